"""Masks that end where the image's colours do: the guided filter of He, Sun and Tang (2010), the image as guide."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...core.masks import boxes
from ...core.protocols import ScoredMasks
from ...settings import SegmentorSettings
from .grid import distinct

_SIDE = 240  # px of the longer side at which the linear functions are found; larger images only have them applied


def guided(found: ScoredMasks, image: np.ndarray, settings: SegmentorSettings) -> ScoredMasks:
    """Masks that follow the colours of an image uint8 [H, W, 3], without those that become like a better one."""
    masks = follow_colours(found.masks, image, settings)
    if masks is found.masks:
        return found
    kept = distinct(masks, settings.duplicate_threshold)
    return ScoredMasks(masks[kept], found.iou[kept], found.stability[kept])


def follow_colours(masks: np.ndarray, image: np.ndarray, settings: SegmentorSettings) -> np.ndarray:
    """Masks bool [N, H, W] of an image uint8 [H, W, 3], each made a linear function of the colours in every window and
    cut at one half, `guided_rounds` times over.

    Only what lies near a mask's edge changes, so that it does not spread over a touching thing of like colours; what
    would vanish stays as it was.
    """
    if settings.guided_radius * max(image.shape[:2]) < 0.5 or not len(masks):
        return masks
    step = max(1, round(max(image.shape[:2]) / _SIDE))
    radius = max(1, round(settings.guided_radius * max(image.shape[:2]) / step))
    guide = _Guide(image.astype(np.float32) / 255, step, radius, settings.guided_evenness)
    out = masks.copy()
    for mask, box in zip(out, boxes(masks).tolist(), strict=True):
        left, top, right, bottom = (each // step for each in box)
        window = (slice(max(0, top - 2 * radius), bottom + 2 * radius + 1),
                  slice(max(0, left - 2 * radius), right + 2 * radius + 1))
        whole = tuple(slice(each.start * step, each.stop * step) for each in window)
        part, small = mask[whole], mask[::step, ::step][window]  # views: what is set in one is seen in the other
        near = np.nonzero(_spread(guide.near_edges(small), step, part.shape))
        for _ in range(settings.guided_rounds):
            found = part.copy()
            found[near] = guide.follow(small.astype(np.float32), window, near) > 0.5
            if found.any():
                part[:] = found
    return out


def _spread(values: np.ndarray, step: int, size: tuple[int, ...]) -> np.ndarray:
    """Values [h, w] of every `step`-th px for all px of a window of `size`."""
    return values.repeat(step, 0).repeat(step, 1)[: size[0], : size[1]]


class _Guide:
    """What windows of 2 `radius` + 1 px of colours float32 [H, W, 3], every `step`-th px of them, have in common, for
    any number of masks (He and Sun's fast guided filter, 2015)."""

    def __init__(self, colours: np.ndarray, step: int, radius: int, evenness: float):
        self.whole, self.step, self.size = colours, step, 2 * radius + 1
        self.colours = np.ascontiguousarray(colours[::step, ::step].transpose(2, 0, 1))
        self.centre = self._mean(self.colours)
        products = self.colours[:, None] * self.colours[None]
        spread = self._mean(products.reshape(9, *products.shape[2:])).reshape(products.shape)
        spread = spread - self.centre[:, None] * self.centre[None] + evenness * np.eye(3)[..., None, None]
        inverse = np.linalg.inv(spread.transpose(2, 3, 0, 1)).astype(np.float32)
        self.inverse = np.ascontiguousarray(inverse.transpose(2, 3, 0, 1))

    def _mean(self, values: np.ndarray) -> np.ndarray:
        """Of windows of values [..., h, w]."""
        return np.asarray(ndimage.uniform_filter(values, self.size, mode="nearest", axes=(-2, -1)))

    def near_edges(self, mask: np.ndarray) -> np.ndarray:
        """What lies within half a window's radius of the edges of a mask bool [h, w]; bool [h, w]."""
        reach = self.size // 4 * 2 + 1
        inside = ndimage.uniform_filter(mask.astype(np.float32), reach, mode="nearest")
        return np.asarray((inside > 1e-4) & (inside < 1 - 1e-4))

    def follow(self, values: np.ndarray, window: tuple[slice, ...], near: tuple[np.ndarray, ...]) -> np.ndarray:
        """Values float32 [h, w] in a window of every `step`-th px as the colours have them; float32 [n], of the px
        `near` (rows and columns [n]) in the same window of the whole image."""
        here = (slice(None), *window)  # of all channels
        twice = (slice(None), *here)
        centre, level = self.centre[here], self._mean(values)
        shared = self._mean(self.colours[here] * values) - centre * level
        slope = np.einsum("cdhw,dhw->chw", self.inverse[twice], shared)
        offset = self._mean(level - np.einsum("chw,chw->hw", slope, centre))
        slope = self._mean(slope)
        rows, columns = near
        small = rows // self.step, columns // self.step
        there = (slice(None), *small)
        shown = self.whole[rows + window[0].start * self.step, columns + window[1].start * self.step]
        return np.asarray(np.einsum("cn,nc->n", slope[there], shown) + offset[small])
