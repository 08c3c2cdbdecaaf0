"""Masks that end where the image's colours do: the guided filter of He, Sun and Tang (2010), the image as guide."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...core.masks import boxes
from ...settings import SegmentorSettings


def guided(masks: np.ndarray, image: np.ndarray, settings: SegmentorSettings) -> np.ndarray:
    """Masks bool [N, H, W] of an image uint8 [H, W, 3], each made a linear function of the colours in every window and
    cut at one half, `guided_rounds` times over. What would vanish stays as it was."""
    radius = round(settings.guided_radius * max(image.shape[:2]))
    if radius < 1 or not len(masks):
        return masks
    guide = _Guide(image.astype(np.float32) / 255, radius, settings.guided_evenness)
    out = masks.copy()
    margin = 2 * radius
    for mask, (left, top, right, bottom) in zip(out, boxes(masks).tolist(), strict=True):
        window = np.s_[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        for _ in range(settings.guided_rounds):
            found = guide.follow(mask[window].astype(np.float32), window) > 0.5
            if found.any():
                mask[window] = found
    return out


class _Guide:
    """What windows of 2 `radius` + 1 px of colours float32 [H, W, 3] have in common, for any number of masks."""

    def __init__(self, colours: np.ndarray, radius: int, evenness: float):
        self.colours, self.size = colours, 2 * radius + 1
        self.centre = self._mean(colours)
        products = colours[..., :, None] * colours[..., None, :]
        spread = self._mean(products.reshape(*colours.shape[:2], 9)).reshape(products.shape)
        spread = spread - self.centre[..., :, None] * self.centre[..., None, :] + evenness * np.eye(3)
        self.inverse = np.linalg.inv(spread).astype(np.float32)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        size = (self.size, self.size, *([1] * (values.ndim - 2)))
        return np.asarray(ndimage.uniform_filter(values, size, mode="nearest"))

    def follow(self, values: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
        """Values float32 [h, w] in a window of the image, as its colours have them; the same shape."""
        colours, centre = self.colours[window], self.centre[window]
        level = self._mean(values)
        shared = self._mean(colours * values[..., None]) - centre * level[..., None]
        slope = (self.inverse[window] @ shared[..., None])[..., 0]
        offset = level - (slope * centre).sum(-1)
        return np.asarray((self._mean(slope) * colours).sum(-1) + self._mean(offset))
