"""Grounded-SAM (Ren et al., 2024): Grounding DINO's boxes of an expression as prompts for the bundle's SAM.

Where every expression means one thing (`targets` 'one') the box of the highest score is taken, whatever the score, as
evaluations on RefCOCO do. Elsewhere (our choice) the answer is the union of the masks of all boxes that score over
0.25, Grounding DINO's own threshold, and nothing where there is none. Its threshold for text is not needed: it only
names boxes. SAM draws one mask for each box, as in Grounded-SAM's demos.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..language import check_expression
from ..models.detection.grounding_dino import GroundingDino
from ..scene import EncodedImage
from .method import Choice

THRESHOLD = 0.25


def answer(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
    """For each expression the mask of the best box, or the union of those of good boxes; `index` is that of the box
    among the detector's, best first."""
    found = _boxes(scene, [check_expression(text) for text in expressions])  # before SAM, should it take the room
    segmentor, embedding = scene.model.segmentor, scene.embedding()
    height, width = scene.size
    choices = []
    for boxes, scores in found:
        mask = np.zeros(scene.size, bool)
        with scene.watch("SAM prompt"):
            for box in boxes.numpy() * np.array([width, height, width, height], np.float32):
                mask |= segmentor.prompt_at(embedding, scene.size, boxes=box[None], single=True).masks[0]
        choices.append(Choice(mask, 0, float(scores[0]), found=len(boxes) > 0, instances=len(boxes)))
    return choices


def _boxes(scene: EncodedImage, texts: Sequence[str]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """For each text the boxes that count, float32 [K, 4] as fractions, and all scores, float32 [Q], best first."""
    detector = scene.model.brought("grounding_dino", GroundingDino.from_pretrained)
    pixels = scene.kept.get("grounded-sam", lambda: detector.pixels(scene.image))
    found = []
    for text in texts:
        with scene.watch("Grounding DINO"):
            boxes, scores = detector.boxes(pixels, text)
        found.append((boxes[: taken(scores, scene.settings.query.targets, THRESHOLD)], scores))
    return found


def taken(scores: torch.Tensor, targets: str, threshold: float) -> int:
    """How many of the things found, whose scores float [Q] fall, are the answer: one, or all over a threshold."""
    return 1 if targets == "one" else int((scores > threshold).sum())
