"""Automatic mask generation: points to ask at, and filters for what comes back (Kirillov et al., 2023, appendix B)."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from ...core.masks import areas
from ...settings import SegmentorSettings


def point_grid(per_side: int) -> np.ndarray:
    """Centres (x, y) of per_side x per_side cells of the unit square: float64 [per_side ** 2, 2]."""
    centres = (np.arange(per_side) + 0.5) / per_side
    return np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)


def peak_points(correlation: np.ndarray, settings: SegmentorSettings) -> np.ndarray:
    """The `settings.peaks` greatest local maxima (x, y) of c [H, W], as fractions of its sides: float64 [P, 2]."""
    height, width = correlation.shape
    window = max(3, int(max(height, width) * settings.peak_distance))
    ys, xs = np.nonzero(ndimage.maximum_filter(correlation, window, mode="nearest") == correlation)
    order = np.argsort(-correlation[ys, xs], kind="stable")[: settings.peaks]
    return np.stack([(xs[order] + 0.5) / width, (ys[order] + 0.5) / height], axis=-1)


def stability_scores(logits: torch.Tensor, offset: float) -> torch.Tensor:
    """IoU of each mask [N, h, w] cut at +offset with itself cut at -offset; float32 [N]."""
    high = (logits > offset).flatten(1).sum(1).float()
    low = (logits > -offset).flatten(1).sum(1).float()
    return high / low.clamp(min=1)


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Boxes (left, top, right, bottom) of masks bool [N, h, w], ends exclusive; float32 [N, 4], zeros where empty."""
    (top, bottom), (left, right) = _ends(masks.any(2)), _ends(masks.any(1))
    return torch.stack([left, top, right, bottom], dim=1).float()


def _ends(lines: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The first true place of each line bool [N, n] and the one after the last; zeros where there is none."""
    if not len(lines):
        return lines.sum(1), lines.sum(1)
    extent = lines.shape[1]
    position = torch.arange(extent, device=lines.device)
    last = torch.where(lines, position, -1).amax(1) + 1
    return torch.minimum(torch.where(lines, position, extent).amin(1), last), last


def box_nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices, best score first, of boxes float [N, 4] that overlap no better one by an IoU above `threshold`."""
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    ends = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (ends - torch.maximum(boxes[:, None, :2], boxes[None, :, :2])).clamp(min=0).prod(-1)
    overlap = shared / (area[:, None] + area[None] - shared).clamp(min=1e-9)
    return order[_keep(overlap, threshold)]


def distinct(masks: np.ndarray, threshold: float) -> np.ndarray:
    """Indices of those masks bool [N, H, W], best first, that are not empty and that no earlier one resembles by an IoU
    above `threshold`."""
    area = areas(masks)
    filled = np.flatnonzero(area)
    if threshold >= 1:
        return filled
    overlap = np.zeros((len(masks), len(masks)))
    # No IoU is greater than the ratio of the areas: few pairs have to be looked at.
    like = np.minimum.outer(area, area) > threshold * np.maximum.outer(area, area)
    for i, j in np.argwhere(np.triu(like, 1)):
        shared = np.count_nonzero(masks[i] & masks[j])
        overlap[i, j] = overlap[j, i] = shared / (area[i] + area[j] - shared)
    return filled[_keep(torch.from_numpy(overlap[np.ix_(filled, filled)]), threshold).numpy()]


def _keep(overlap: torch.Tensor, threshold: float) -> torch.Tensor:
    """Greedy suppression in the given order over a symmetric overlap [N, N]."""
    clashes = (overlap > threshold).cpu().numpy()
    removed = np.zeros(len(clashes), bool)
    kept = []
    for i, row in enumerate(clashes):
        if not removed[i]:
            kept.append(i)
            removed |= row
    return torch.tensor(kept, dtype=torch.long, device=overlap.device)
