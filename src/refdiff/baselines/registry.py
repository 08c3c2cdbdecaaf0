"""The methods that can be compared, by name.

A method is one call: (encoded image, expressions) -> a choice for each expression. To add one here, write the call and
put a line into METHODS; `plugins.py` finds those of others. The masks to choose among are `scene.proposals()`. What
depends on the image alone a method keeps with `scene.kept.get(key, make)`, what depends on the proposals too with
`scene.regions(proposals).kept.get(key, make)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..core.proposals import Proposals
from ..errors import InputError
from ..language import parse
from ..scene import NEEDED, EncodedImage
from ..settings import Variant
from ..weights.manifest import is_here
from . import yu2023


@dataclass(frozen=True, eq=False)
class Choice:
    """What a method answers to one expression: `mask` bool [H, W], its `index` among the proposals (among Eq. 8's
    masks for ref-diff/g) and its `score`, where it has them, the `parts` the score is made of, its `confidence`, where
    there is one, whether anything was `found`, and of how many `instances` the mask is the union.

    `order`: the indices of the proposals that could win, best first; () where the method does not rank proposals.
    `among`: the masks bool [N, H, W] that they are indices of, where those are not `scene.proposals()`."""

    mask: np.ndarray
    index: int | None
    score: float | None
    parts: dict[str, float] = field(default_factory=dict)
    confidence: float | None = None
    found: bool = True
    instances: int = 1
    order: tuple[int, ...] = ()
    among: np.ndarray | None = None


Call = Callable[[EncodedImage, Sequence[str]], list[Choice]]


@dataclass(frozen=True)
class Method:
    """A named method: `label` is its name in tables, `needs` the parts of a bundle that it runs; one that `prompts`
    asks the segmentor for masks of its own, whatever proposals there are. `origin` is what a run's header says of one
    that is not built in: where it is from, and the SHA-256 of its file."""

    name: str
    label: str
    call: Call
    needs: tuple[str, ...]
    origin: Mapping[str, str] | None = None
    prompts: bool = False

    @property
    def chooses(self) -> bool:
        """Whether it chooses among proposals: the segmentor's, or those that are given instead."""
        return "sam" in self.needs and not self.prompts

    def __call__(self, scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
        """One choice per expression, in order. Raises InputError."""
        with scene.model.residency.turn():
            return self.call(scene, expressions)

    def __reduce__(self) -> Any:
        """Pickled by name, and looked for again where it is unpickled: in a worker of Ray."""
        return _named, (self.name,)


def get_methods(names: Sequence[str]) -> list[Method]:
    """The methods of these names, in order and once each: built-in ones, `file.py:function`, and entry points.

    Raises InputError for an unknown one and for two of the same name, RefDiffError for a plug-in that fails.
    """
    from .plugins import find_plugin

    found: dict[str, Method] = {}
    for name in dict.fromkeys(names):
        method = METHODS.get(name) or find_plugin(name, list(METHODS))
        if method.name in found or method.label in {other.label for other in found.values()}:
            raise InputError(f"Two of the methods are called {method.name!r} or, in tables, {method.label!r}; rename "
                             "one's function or label.")
        found[method.name] = method
    return list(found.values())


def _named(name: str) -> Method:
    return get_methods([name])[0]


def _ref_diff(variant: Variant, **changes: Any) -> Call:
    def call(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
        choices = []
        settings = scene.settings.replace(**changes)
        own_masks = variant == "g" or settings.segmentor.point_source == "peaks"  # other ones for each expression
        for answer in scene.segment(expressions, variant, settings):
            best = answer.candidates[0]
            both = {"generative": best.generative, "discriminative": best.discriminative}
            parts = {name: value for name, value in both.items() if value is not None}
            order = tuple(each.index for each in answer.candidates)
            among = np.stack([each.mask for each in answer.candidates]) if own_masks else None
            choices.append(Choice(answer.mask, best.index, answer.score, parts, answer.confidence, answer.found,
                                  len(answer.instances), order if among is None else tuple(range(len(order))), among))
        return choices

    return call


def _most_similar(proposals: Proposals, features: torch.Tensor, texts: torch.Tensor) -> list[Choice]:
    """For each text [B, D] the proposal whose feature [N, D] has the greatest cosine with it."""
    scores = (F.normalize(texts, dim=-1) @ F.normalize(features, dim=-1).T).cpu()
    orders = scores.argsort(dim=1, descending=True, stable=True).tolist()
    return [Choice(proposals.masks[order[0]], order[0], float(row[order[0]]), order=tuple(order))
            for row, order in zip(scores, orders, strict=True)]


def _sentences(scene: EncodedImage, expressions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    with scene.watch("text"):
        parsed = [parse(text, scene.settings.expression) for text in expressions]
        return yu2023.sentence_features(scene.model.baseline_similarity, parsed)


def region_token(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
    """Yu et al.'s region tokens, compared with sentence and noun phrase."""
    proposals = scene.proposals()

    def features() -> torch.Tensor:
        with scene.watch("region token"):
            clip = scene.model.baseline_similarity
            return yu2023.region_token_features(clip, yu2023.whole_pixels(clip, scene.image), proposals.tensor)

    regions = scene.regions(proposals).kept.get("region token", features)
    return _most_similar(proposals, regions, yu2023.mixed_text(*_sentences(scene, expressions)))


def cropping(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
    """Yu et al.'s cropping: plain CLIP on every proposal's box, compared with the sentence."""
    proposals = scene.proposals()

    def features() -> torch.Tensor:
        with scene.watch("cropping"):
            return yu2023.cut_features(scene.model.baseline_similarity, scene.image, proposals.tensor, hide=False)

    return _most_similar(proposals, scene.regions(proposals).kept.get("cropping", features),
                         _sentences(scene, expressions)[0])


def global_local(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
    """Yu et al.'s own method: token masking and masked crops, compared with sentence and noun phrase."""
    proposals, share = scene.proposals(), scene.settings.baselines.global_share

    def features() -> torch.Tensor:
        with scene.watch("global-local"):
            return yu2023.global_local_features(scene.model.baseline_similarity, scene.image, proposals.tensor, share)

    mixed = scene.regions(proposals).kept.get(("global-local", share), features)
    return _most_similar(proposals, mixed, yu2023.mixed_text(*_sentences(scene, expressions)))


def _of_file(name: str) -> Call:
    """`answer` of a file in this folder, which is read when it first runs."""
    def call(scene: EncodedImage, expressions: Sequence[str]) -> list[Choice]:
        answers: list[Choice] = import_module(f".{name}", __package__).answer(scene, expressions)
        return answers

    return call


_BASELINE = ("baseline_clip", "sam")

METHODS = {method.name: method for method in (
    Method("region-token", "Region Token", region_token, _BASELINE),
    Method("cropping", "Cropping", cropping, _BASELINE),
    Method("global-local", "Global-Local CLIP", global_local, _BASELINE),
    Method("hybridgl", "HybridGL", _of_file("hybridgl"), ("clip", "sam")),
    Method("grounded-sam", "Grounded-SAM", _of_file("grounded_sam"), ("grounding_dino", "sam"), prompts=True),
    Method("sam3", "SAM 3", _of_file("sam3"), ("sam3",)),
    Method("tseg", "TSEG-style", _of_file("tseg"), ("tseg",)),
    # Eq. 10 alone: no masked encoder and no clue
    Method("sam-clip", "SAM-CLIP", _ref_diff("ds", beta=0.0, clue_weight=0.0, clue_on="masked"), NEEDED["ds"]),
    Method("ref-diff/g", "Ref-Diff/G", _ref_diff("g"), NEEDED["g"]),
    Method("ref-diff/gs", "Ref-Diff/GS", _ref_diff("gs"), NEEDED["gs"]),
    Method("ref-diff/ds", "Ref-Diff/DS", _ref_diff("ds"), NEEDED["ds"]),
    Method("ref-diff", "Ref-Diff", _ref_diff("full"), NEEDED["full"]),
)}

OWN = tuple(name for name, method in METHODS.items() if all(map(is_here, method.needs)))
"""What 'all' stands for: the methods that fetch no model of their own, and whose weights are installed."""
