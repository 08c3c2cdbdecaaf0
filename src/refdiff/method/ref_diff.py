"""Ref-Diff on one page: sections 3.1 to 3.4 of Ni et al. (2023) in the paper's order. Production runs this.

A `Scene` offers what does not depend on words, each made once per image: latents, proposals, features of proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..core.proposals import Proposals
from ..core.protocols import Diffusion, Similarity
from ..language import Direction, Expression
from ..language.tokens import token_indices
from ..settings import DiscriminativeSettings, GenerativeSettings, Settings, Variant
from ..timing import Watch
from .correlation import correlation_map
from .edges import EdgeSmoother
from .position import positional_bias
from .scores import GENERATIVE_RULES, eligible, fuse, inside_means
from .threshold import threshold_proposals


class Scene(Protocol):
    """An image x, uint8 [H, W, 3], with the models that look at it."""

    @property
    def image(self) -> np.ndarray: ...
    @property
    def watch(self) -> Watch: ...
    @property
    def diffusion(self) -> Diffusion: ...
    @property
    def similarity(self) -> Similarity: ...

    def latents(self, settings: GenerativeSettings) -> torch.Tensor:
        """The scaled latent of x, float32 [1, C, h, w]."""
        ...

    def follow_edges(self, settings: GenerativeSettings) -> EdgeSmoother | None:
        """What lets maps follow the edges of x, where the settings ask for it."""
        ...

    def proposals(self, settings: Settings, correlation: torch.Tensor | None = None) -> Proposals:
        """The segmentor's masks or the given ones; `correlation` is c where points are its peaks."""
        ...

    def masked_features(self, proposals: Proposals, clues: tuple[Direction, ...],
                        settings: DiscriminativeSettings) -> torch.Tensor:
        """f_M(x * P) for every proposal (Eq. 7), float32 [N, D], unit length; P of Eq. 6 by the `clues`."""
        ...

    def crop_features(self, proposals: Proposals, clues: tuple[Direction, ...],
                      settings: Settings) -> torch.Tensor:
        """f(x * M) for every proposal (Eq. 7), float32 [N, D], unit length."""
        ...


@dataclass(frozen=True, eq=False)
class Scores:
    """Of one expression: the `proposals` that can win, their `indices` among all, s^G, s^D and `total` = s of Eq. 1;
    each float32 [N], None where the variant does without."""

    proposals: Proposals
    indices: tuple[int, ...]
    generative: torch.Tensor | None
    discriminative: torch.Tensor | None
    total: torch.Tensor

    def order(self) -> list[int]:
        """Eq. 2: the proposals by score, best first; of equal ones the earlier first."""
        order: list[int] = self.total.argsort(descending=True, stable=True).tolist()
        return order


# 3.1 Problem formulation and inference pipeline

def ref_diff(scene: Scene, expressions: Sequence[Expression], variant: Variant, settings: Settings) -> list[Scores]:
    """Score the proposals of an image for each expression.

    variant 'full' is all of it; 'g' the diffusion model alone, with Eq. 8's proposals; 'gs' the diffusion model and
    the segmentor; 'ds' the image-text model and the segmentor.
    """
    maps: list[torch.Tensor] | list[None] = [None] * len(expressions)
    if variant != "ds" or settings.segmentor.point_source == "peaks":
        maps = correlation_maps(scene, expressions, settings)
    texts: list[TextFeatures] | list[None] = [None] * len(expressions)
    if variant in ("full", "ds"):
        texts = text_features(scene, expressions, settings.discriminative)

    answers = []
    for expression, c, r in zip(expressions, maps, texts, strict=True):
        if variant == "g" and c is not None:
            proposals = threshold_proposals(c.numpy(), settings.generative.thresholds)  # Eq. 8
            indices = tuple(range(len(proposals.masks)))
        else:
            proposals = scene.proposals(settings, c)
            indices = eligible(proposals.areas, settings.matching)
            if not indices:
                answers.append(_none_eligible(proposals))
                continue
            proposals = proposals.subset(indices)
        s_g = s_d = None
        if c is not None and variant != "ds":
            with scene.watch("matching"):
                s_g = GENERATIVE_RULES[settings.matching.generative_rule](c, proposals.tensor)  # Eq. 9
        if r is not None:
            s_d = discriminative_scores(scene, expression, r, proposals, settings)  # Eq. 6, 7, 10
        answers.append(Scores(proposals, indices, s_g, s_d, _total(s_g, s_d, settings.matching.alpha)))  # Eq. 1
    return answers


def _total(s_g: torch.Tensor | None, s_d: torch.Tensor | None, alpha: float) -> torch.Tensor:
    """Eq. 1; where a variant uses one of the scores, that one alone."""
    if s_g is not None and s_d is not None:
        return fuse(s_g, s_d, alpha)
    only = s_g if s_d is None else s_d
    if only is None:
        raise ValueError("every variant uses at least one of the two scores")
    return only


def _none_eligible(proposals: Proposals) -> Scores:
    """The release multiplies the score of every mask it rules out by 0, so that the first one wins."""
    count = len(proposals.masks)
    return Scores(proposals, tuple(range(count)), None, None, torch.zeros(count, dtype=torch.float32))


# 3.2 Generative process

def correlation_maps(scene: Scene, expressions: Sequence[Expression], settings: Settings) -> list[torch.Tensor]:
    """c of Eq. 5 for each expression, float32 [H, W] in [0, 1]; several expressions share a pass of the U-Net."""
    maps, generative = [], settings.generative
    at_once = settings.batching.expressions_per_batch
    for start in range(0, len(expressions), at_once):
        batch = expressions[start : start + at_once]
        x = scene.latents(generative)
        with scene.watch("attention"):
            a = scene.diffusion.attention(x, [each.text for each in batch], generative)  # Eq. 3, 4: [L, B, h, w, S]
            for i, expression in enumerate(batch):
                k = token_indices(scene.diffusion, expression, settings.expression)  # the root token
                height, width = scene.image.shape[:2]
                maps.append(correlation_map(a[:, i, ..., k].mean(-1), (height, width), generative,
                                            scene.follow_edges(generative)))  # Eq. 5
    return maps


# 3.3 Discriminative process, and what of 3.4 matches with it

@dataclass(frozen=True, eq=False)
class TextFeatures:
    """What the masked encoder's features (`masked`: r of Eq. 10) and the crops' (`crop`) are compared with; float32
    [D]."""

    masked: torch.Tensor
    crop: torch.Tensor


def text_features(scene: Scene, expressions: Sequence[Expression],
                  settings: DiscriminativeSettings) -> list[TextFeatures]:
    """r of Eq. 10: the mean of the features of the text and of its root alone; all texts in one batch."""
    if not expressions:
        return []
    texts = [each.phrase if settings.text == "phrase" else each.text for each in expressions]
    with scene.watch("text"):
        features = scene.similarity.text_features(texts + [each.root for each in expressions])
    whole, root = features[: len(texts)], features[len(texts) :]
    r = (whole + root) / 2
    return [TextFeatures(*each) for each in zip(r, r if settings.crop_text == "mean" else whole, strict=True)]


def discriminative_scores(scene: Scene, expression: Expression, r: TextFeatures, proposals: Proposals,
                          settings: Settings) -> torch.Tensor:
    """Eq. 10, s^D = v r^T, with v of Eq. 7 and x * P of Eq. 6; float32 [N].

    As the product is linear in v, the two parts of Eq. 7 are multiplied apart. Darkening the image hardly moves CLIP,
    so that a clue may also add `clue_weight` times a proposal's mean of P (ours; 0 in the paper).
    """
    discriminative, beta, clues = settings.discriminative, settings.matching.beta, expression.direction
    s_d = torch.zeros(len(proposals.masks), dtype=torch.float32)
    if beta > 0:
        f_m = scene.masked_features(proposals, clues if discriminative.clue_on == "masked" else (), discriminative)
        s_d = s_d + beta * (f_m @ r.masked).cpu()
    if beta < 1:
        f = scene.crop_features(proposals, clues if discriminative.clue_on == "crop" else (), settings)
        s_d = s_d + (1 - beta) * (f @ r.crop).cpu()
    if clues and settings.matching.clue_weight:
        height, width = scene.image.shape[:2]
        p = positional_bias((height, width), clues, discriminative.clue_ramp)
        s_d = s_d + settings.matching.clue_weight * inside_means(p, proposals.tensor)
    return s_d
