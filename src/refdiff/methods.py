"""The systems that can be compared, by name.

A method is one call: (encoded picture, expressions, proposals) -> a choice for each expression. To add one, write
the call and put a line into METHODS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from . import baselines
from .errors import InputError
from .expressions import parse
from .pipeline import EncodedImage
from .proposals import Proposals
from .settings import Variant

# Yu et al.: the weight of the global part; 0.85 on RefCOCOg
_GLOBAL_SHARE = 0.95
_SENTENCE_SHARE = 0.5


@dataclass(frozen=True)
class Choice:
    """What a method answers to one expression: `mask` bool [H, W], its `index` among the proposals (among Eq. 8's
    masks for ref-diff/g), its `score`, and the `parts` the score is made of."""

    mask: np.ndarray
    index: int
    score: float
    parts: dict[str, float] = field(default_factory=dict)


Call = Callable[[EncodedImage, Sequence[str], Proposals | None], list[Choice]]


@dataclass(frozen=True)
class Method:
    """A named system; `label` is its name in tables, `proposals` whether it needs any."""

    name: str
    label: str
    call: Call
    proposals: bool = True

    def __call__(self, scene: EncodedImage, expressions: Sequence[str], proposals: Proposals | None) -> list[Choice]:
        return self.call(scene, expressions, proposals)


def get_methods(names: Sequence[str]) -> list[Method]:
    """The methods of these names, in order and once each. Raises InputError for an unknown one."""
    for name in names:
        if name not in METHODS:
            raise InputError(f"There is no method {name!r}; the methods are {', '.join(METHODS)}.")
    return [METHODS[name] for name in dict.fromkeys(names)]


def _ref_diff(variant: Variant, **changes: Any) -> Call:
    def call(scene: EncodedImage, expressions: Sequence[str], proposals: Proposals | None) -> list[Choice]:
        settings = scene.settings.replace(**changes)
        choices = []
        for answer in scene.segment(expressions, variant, settings):
            best = answer.candidates[0]
            parts = {"generative": best.generative, "discriminative": best.discriminative}
            choices.append(Choice(best.mask, best.index, best.score,
                                  {name: value for name, value in parts.items() if value is not None}))
        return choices

    return call


def _most_similar(proposals: Proposals, features: torch.Tensor, texts: torch.Tensor) -> list[Choice]:
    """For each text [B, D] the proposal whose feature [N, D] has the greatest cosine with it."""
    scores = (F.normalize(texts, dim=-1) @ F.normalize(features, dim=-1).T).cpu()
    return [Choice(proposals.masks[best], best, float(row[best]))
            for row, best in zip(scores, scores.argmax(1).tolist(), strict=True)]


def _sentences(scene: EncodedImage, expressions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    with scene.watch("text"):
        return baselines.sentence_features(scene.model.rival, [parse(text) for text in expressions])


def _mixed(scene: EncodedImage, expressions: Sequence[str]) -> torch.Tensor:
    sentence, phrase = _sentences(scene, expressions)
    return _SENTENCE_SHARE * sentence + (1 - _SENTENCE_SHARE) * phrase


def region_token(scene: EncodedImage, expressions: Sequence[str], proposals: Proposals) -> list[Choice]:
    """Yu et al.'s region tokens, compared with sentence and noun phrase."""
    clip, masks = scene.model.rival, proposals.masks
    features = scene.once(("region token", id(masks)), lambda: baselines.region_token_features(
        clip, baselines.whole_pixels(clip, scene.image), masks), "region token")
    return _most_similar(proposals, features, _mixed(scene, expressions))


def cropping(scene: EncodedImage, expressions: Sequence[str], proposals: Proposals) -> list[Choice]:
    """Yu et al.'s cropping: plain CLIP on every proposal's box, compared with the sentence."""
    features = scene.once(("cropping", id(proposals.masks)), lambda: baselines.cut_features(
        scene.model.rival, scene.image, proposals.masks, hide=False), "cropping")
    return _most_similar(proposals, features, _sentences(scene, expressions)[0])


def global_local(scene: EncodedImage, expressions: Sequence[str], proposals: Proposals) -> list[Choice]:
    """Yu et al.'s own method: token masking and masked crops, compared with sentence and noun phrase."""
    clip, masks = scene.model.rival, proposals.masks

    def features() -> torch.Tensor:
        first = baselines.first_masked_block(len(clip.blocks))
        whole = baselines.token_masked_features(clip, baselines.whole_pixels(clip, scene.image), masks, first)
        return _GLOBAL_SHARE * whole + (1 - _GLOBAL_SHARE) * baselines.cut_features(clip, scene.image, masks, hide=True)

    mixed = scene.once(("global-local", id(masks)), features, "global-local")
    return _most_similar(proposals, mixed, _mixed(scene, expressions))


METHODS = {method.name: method for method in (
    Method("region-token", "Region Token", region_token),
    Method("cropping", "Cropping", cropping),
    Method("global-local", "Global-Local CLIP", global_local),
    # Eq. 10 alone: no masked encoder and no clue
    Method("sam-clip", "SAM-CLIP", _ref_diff("ds", beta=0.0, clue_weight=0.0, clue_on="masked")),
    Method("ref-diff/g", "Ref-Diff/G", _ref_diff("g"), proposals=False),
    Method("ref-diff/gs", "Ref-Diff/GS", _ref_diff("gs")),
    Method("ref-diff/ds", "Ref-Diff/DS", _ref_diff("ds")),
    Method("ref-diff", "Ref-Diff", _ref_diff("full")),
)}
