"""Masks that end where the image's colours do: the guided filter of He, Sun and Tang (2010), the image as guide."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...core.masks import boxes
from ...core.protocols import ScoredMasks
from ...settings import SegmentorSettings
from .grid import distinct

_SIDE = 320  # px of the longer side at which the linear functions are found; larger images only have them applied


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
        rows = slice(max(0, top - 2 * radius), bottom + 2 * radius + 1)
        window = rows, slice(max(0, left - 2 * radius), right + 2 * radius + 1)
        whole = slice(rows.start * step, rows.stop * step), slice(window[1].start * step, window[1].stop * step)
        before = mask[whole].copy()
        near = guide.near_edges(mask[::step, ::step][window], before.shape)
        for _ in range(settings.guided_rounds):
            found = guide.follow(mask[::step, ::step][window].astype(np.float32), window, whole) > 0.5
            found = np.where(near, found, before)
            if found.any():
                mask[whole] = found
    return out


class _Guide:
    """What windows of 2 `radius` + 1 px of colours float32 [H, W, 3], every `step`-th px of them, have in common, for
    any number of masks (He and Sun's fast guided filter, 2015)."""

    def __init__(self, colours: np.ndarray, step: int, radius: int, evenness: float):
        self.whole, self.step, self.size = colours, step, 2 * radius + 1
        self.colours = colours[::step, ::step]
        self.centre = self._mean(self.colours)
        products = self.colours[..., :, None] * self.colours[..., None, :]
        spread = self._mean(products.reshape(*self.colours.shape[:2], 9)).reshape(products.shape)
        spread = spread - self.centre[..., :, None] * self.centre[..., None, :] + evenness * np.eye(3)
        self.inverse = np.linalg.inv(spread).astype(np.float32)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        size = (self.size, self.size, *([1] * (values.ndim - 2)))
        return np.asarray(ndimage.uniform_filter(values, size, mode="nearest"))

    def near_edges(self, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """bool of `size`: what lies within half a window's radius of the edges of every `step`-th px of a mask."""
        reach = self.size // 4 * 2 + 1
        inside = ndimage.uniform_filter(mask.astype(np.float32), reach, mode="nearest")
        return self._spread((inside > 1e-4) & (inside < 1 - 1e-4), np.empty(size))

    def follow(self, values: np.ndarray, window: tuple[slice, slice], whole: tuple[slice, slice]) -> np.ndarray:
        """Values float32 [h, w] in a window of every `step`-th px as the colours there have them, in the same window
        of the `whole` image."""
        colours, centre = self.colours[window], self.centre[window]
        level = self._mean(values)
        shared = self._mean(colours * values[..., None]) - centre * level[..., None]
        slope = (self.inverse[window] @ shared[..., None])[..., 0]
        offset = level - (slope * centre).sum(-1)
        shown = self.whole[whole]
        slope, offset = self._spread(self._mean(slope), shown), self._spread(self._mean(offset), shown)
        return np.asarray((slope * shown).sum(-1) + offset)

    def _spread(self, values: np.ndarray, shown: np.ndarray) -> np.ndarray:
        """Values of every `step`-th px for all px of `shown`."""
        wide = values.repeat(self.step, 0).repeat(self.step, 1)
        return wide[: shown.shape[0], : shown.shape[1]]
