"""SAM 3 by text (Carion et al., "SAM 3: Segment Anything with Concepts", 2025), the expression as it is.

Where every expression means one thing (`targets` 'one') the mask of the highest score is taken, whatever the score.
Elsewhere (our choice) the answer is the union of all masks that score over 0.5, as in the model's own examples, and
nothing where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..language import check_expression
from ..models.segmentors.sam3 import Sam3
from ..scene import EncodedImage
from .grounded_sam import taken
from .method import Choice

THRESHOLD = 0.5


def answer(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
    """For each expression the best mask, or the union of the good ones; `index` is that of the best mask, 0."""
    texts = [check_expression(text) for text in expressions]
    model = scene.model.brought("sam3", Sam3.from_pretrained)

    def encode() -> object:
        with scene.watch("SAM 3 image"):
            return model.encode(scene.image)

    encoded = scene.kept.get("sam3", encode)
    choices = []
    for text in texts:
        with scene.watch("SAM 3 text"):
            logits, scores = model.find(encoded, text)
            masks = model.painted(logits[: taken(scores, scene.settings.query.targets, THRESHOLD)], scene.size)
        union = np.asarray(masks.any(0))
        choices.append(Choice(union, 0, float(scores[0]), found=len(masks) > 0, instances=len(masks)))
    return choices
