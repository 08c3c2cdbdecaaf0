"""Scores of proposals and which of them can win (Eq. 1, 2, 9); plain tensor arithmetic."""

from __future__ import annotations

import numpy as np
import torch

from ..settings import MatchingSettings

_EPSILON = 1e-6  # an empty inside or outside has mean 0, as released

Array = torch.Tensor | np.ndarray


def generative_scores(correlation: Array, masks: Array) -> torch.Tensor:
    """Eq. 9, s^G: mean of c [H, W] inside each mask (bool [N, H, W]) minus its mean outside; float32 [N] in [-1, 1]."""
    inside, outside, _ = _means(correlation, masks)
    return (inside - outside).float()


def between_class_scores(correlation: Array, masks: Array) -> torch.Tensor:
    """Eq. 9, of what rises above the map's median, times 2 sqrt(a (1 - a)), a the fraction of area inside: twice the
    root of Otsu's between-class variance with the sign of Eq. 9, in [-1, 1]; float32 [N].

    Eq. 9 alone is greatest for the few brightest pixels, so it cannot choose among Eq. 8's own masks, and among SAM's
    it prefers parts of things. Below the median lie the things that the word does not mean; with them Otsu's rule would
    part the ground from those.
    """
    c = _tensor(correlation)
    inside, outside, fraction = _means(c.clamp(min=c.median()), masks)
    return ((inside - outside) * 2 * (fraction * (1 - fraction)).clamp(min=0).sqrt()).float()


GENERATIVE_RULES = {"between_class": between_class_scores, "difference": generative_scores}


def inside_means(values: Array, masks: Array) -> torch.Tensor:
    """Mean of `values` [H, W] inside each mask (bool [N, H, W]); float32 [N]."""
    return _means(values, masks)[0].float()


def _means(values: Array, masks: Array) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each mask: the mean inside, the mean outside, and the fraction of area inside; each float32 [N]."""
    c, m = _tensor(values).float().flatten(), _tensor(masks).flatten(1)
    numbers = torch.empty_like(c)  # of one mask, which a cache holds; of all of them it does not
    area, total = c.new_empty(2, len(m))
    for i, each in enumerate(m):
        numbers.copy_(each)
        area[i], total[i] = numbers.sum(), numbers @ c
    inside = total / (area + _EPSILON)
    outside = (c.sum() - total) / (c.numel() - area + _EPSILON)
    outside = outside.masked_fill(area == c.numel(), 0.0)  # where nothing is outside, the sums differ by rounding alone
    return inside, outside, area / c.numel()


def _tensor(array: Array) -> torch.Tensor:
    return array if isinstance(array, torch.Tensor) else torch.tensor(array)  # a copy: torch warns of read-only arrays


def fuse(generative: Array | float, discriminative: Array | float, alpha: float) -> torch.Tensor:
    """Eq. 1: s = alpha * s^G + (1 - alpha) * s^D; float32 [N]."""
    s_g, s_d = (torch.as_tensor(each, dtype=torch.float32) for each in (generative, discriminative))
    return alpha * s_g + (1 - alpha) * s_d


def eligible(areas: np.ndarray, settings: MatchingSettings) -> tuple[int, ...]:
    """Indices of the masks that can win Eq. 2, for `areas` int64 [N] in px: the `largest` of more than `min_area` px
    (10 of more than 10,000 in the release). Where no mask passes: all of them, or none under 'first'."""
    allowed = areas > settings.min_area
    if settings.largest:
        order = np.argsort(-areas, kind="stable")[: settings.largest]
        allowed &= np.isin(np.arange(len(areas)), order)
    if not allowed.any() and settings.none_eligible == "all":
        allowed[:] = True
    return tuple(np.flatnonzero(allowed).tolist())
