"""The methods that can be compared, by name.

A method is one call: (encoded image, expressions) -> a choice for each expression. To add one here, write the call and
put a line into METHODS; `plugins.py` finds those of others. The masks to choose among are `scene.proposals()`. What
depends on the image alone a method keeps with `scene.kept.get(key, make)`, what depends on the proposals too with
`scene.regions(proposals).kept.get(key, make)`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from .method import Call, Choice, Method
from .plugins import find_plugin


class BuiltIn(Method):
    """One of METHODS."""

    def __reduce__(self) -> Any:
        """Pickled by name, and looked up where it is unpickled: in a worker of Ray."""
        return _built_in, (self.name,)


def _built_in(name: str) -> Method:
    return METHODS[name]


def get_methods(names: Sequence[str]) -> list[Method]:
    """The methods of these names, in order and once each: built-in ones, `file.py:function`, and entry points.

    Raises InputError for an unknown one and for two of the same name, RefDiffError for a plug-in that fails.
    """
    found: dict[str, Method] = {}
    for name in dict.fromkeys(names):
        method = METHODS.get(name) or find_plugin(name, list(METHODS))
        if method.name in found or method.label in {other.label for other in found.values()}:
            raise InputError(f"Two of the methods are called {method.name!r} or, in tables, {method.label!r}; rename "
                             "one's function or label.")
        found[method.name] = method
    return list(found.values())


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
    BuiltIn("region-token", "Region Token", region_token, _BASELINE),
    BuiltIn("cropping", "Cropping", cropping, _BASELINE),
    BuiltIn("global-local", "Global-Local CLIP", global_local, _BASELINE),
    BuiltIn("hybridgl", "HybridGL", _of_file("hybridgl"), ("clip", "sam")),
    BuiltIn("grounded-sam", "Grounded-SAM", _of_file("grounded_sam"), ("grounding_dino", "sam"), prompts=True),
    BuiltIn("sam3", "SAM 3", _of_file("sam3"), ("sam3",)),
    BuiltIn("tseg", "TSEG-style", _of_file("tseg"), ("tseg",)),
    # Eq. 10 alone: no masked encoder and no clue
    BuiltIn("sam-clip", "SAM-CLIP", _ref_diff("ds", beta=0.0, clue_weight=0.0, clue_on="masked"), NEEDED["ds"]),
    BuiltIn("ref-diff/g", "Ref-Diff/G", _ref_diff("g"), NEEDED["g"]),
    BuiltIn("ref-diff/gs", "Ref-Diff/GS", _ref_diff("gs"), NEEDED["gs"]),
    BuiltIn("ref-diff/ds", "Ref-Diff/DS", _ref_diff("ds"), NEEDED["ds"]),
    BuiltIn("ref-diff", "Ref-Diff", _ref_diff("full"), NEEDED["full"]),
)}

OWN = tuple(name for name, method in METHODS.items() if all(map(is_here, method.needs)))
"""What 'all' stands for: the methods that fetch no model of their own, and whose weights are installed."""
