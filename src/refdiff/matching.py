"""Scores of proposals and the choice among them (Eq. 1, 2, 9); plain tensor arithmetic."""

from __future__ import annotations

import numpy as np
import torch


def generative_scores(correlation: torch.Tensor | np.ndarray, masks: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Eq. 9: mean of c [H, W] inside each mask (bool [N, H, W]) minus its mean outside; float32 [N].

    An empty inside or outside counts as mean 0 (epsilon 1e-6, as released).
    """
    inside, outside, _ = _means(correlation, masks)
    return (inside - outside).float()


def between_class_scores(correlation: torch.Tensor | np.ndarray, masks: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Eq. 9, of what rises above the map's median, times 2 sqrt(a (1 - a)), a the fraction of area inside: twice the
    root of Otsu's between-class variance with the sign of Eq. 9, in [-1, 1]; float32 [N].

    Eq. 9 alone is greatest for the few brightest pixels, so it cannot choose among Eq. 8's own masks, and among SAM's
    it prefers a thing's parts. Below the median lie the things that the word is not; with them Otsu's rule parts the
    ground from those.
    """
    correlation = torch.as_tensor(correlation)
    inside, outside, fraction = _means(correlation.clamp(min=correlation.median()), masks)
    return ((inside - outside) * 2 * (fraction * (1 - fraction)).clamp(min=0).sqrt()).float()


GENERATIVE_RULES = {"between_class": between_class_scores, "difference": generative_scores}


def _means(correlation, masks) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    c = torch.as_tensor(correlation).float().flatten()
    m = torch.as_tensor(masks).flatten(1)
    numbers = torch.empty_like(c)  # of one mask, which a cache holds; of all of them it does not
    area, total = c.new_empty(2, len(m))
    for i, each in enumerate(m):
        numbers.copy_(each)
        area[i], total[i] = numbers.sum(), numbers @ c
    inside = total / (area + 1e-6)
    outside = (c.sum() - total) / (c.numel() - area + 1e-6)
    return inside, outside, area / c.numel()


def fuse(generative: torch.Tensor, discriminative: torch.Tensor, alpha: float) -> torch.Tensor:
    """Eq. 1: alpha * s^G + (1 - alpha) * s^D; float32 [N]."""
    return alpha * torch.as_tensor(generative) + (1 - alpha) * torch.as_tensor(discriminative)


def eligible(areas: torch.Tensor, largest: int = 0, min_area: int = 0) -> torch.Tensor:
    """Which masks can win Eq. 2, bool [N]: the `largest` (0: all) of more than `min_area` px; `areas` in px [N].

    Where that leaves none, every mask can win.
    """
    allowed = areas > min_area
    if largest and len(areas) > largest:
        order = torch.argsort(areas, descending=True, stable=True)[:largest]
        allowed &= torch.zeros_like(allowed).index_fill(0, order, True)
    return allowed if allowed.any() else torch.ones_like(allowed)


def inside_means(values: np.ndarray, masks: np.ndarray) -> torch.Tensor:
    """Mean of `values` [H, W] inside each mask (bool [N, H, W]); float32 [N]."""
    return _means(values, masks)[0].float()
