"""From SAM's low-resolution logits to masks of the picture, computed only where a mask is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import prod

import numpy as np
import torch
import torch.nn.functional as F

_AT_ONCE = 50_000_000  # px of whole masks that are computed at once
_BAND = 32  # rows of a window that are computed together, as few cells touch them


class Enlarger:
    """SAM's way from logits [low, low] to a picture of `size` (H, W): bilinear to its square of `side` px, cut to the
    picture's `inner` (height, width) there, bilinear to the picture.

    All of it is linear and works on rows and columns alike, so any window of the result is two small products.
    """

    def __init__(self, low: int, side: int, inner: tuple[int, int], size: tuple[int, int], device: torch.device):
        self.size = size
        self.rows, self.columns = (_Axis(low, side, *extents, device) for extents in zip(inner, size, strict=True))

    def whole(self, logits: torch.Tensor) -> Iterator[torch.Tensor]:
        """Values float32 [n, H, W] of logits [N, low, low], some masks at a time."""
        for part in logits.split(max(1, _AT_ONCE // prod(self.size))):
            yield self.rows.matrix @ part @ self.columns.matrix.T

    def window(self, logits: torch.Tensor, box: np.ndarray) -> tuple[int, int, torch.Tensor]:
        """(top, left, values float32 [h, w]): all pixels that low-resolution cells of `box` (left, top, right,
        bottom) touch, of one mask's logits [low, low]."""
        (left, right), (top, bottom) = self.columns.pixels(box[0], box[2]), self.rows.pixels(box[1], box[3])
        if left == right or top == bottom:
            return top, left, logits.new_empty(bottom - top, right - left)
        across, bands = self.columns.cells(left, right), slice(top // _BAND, -(-bottom // _BAND))
        weights, near = (each[bands] for each in self.rows.banded)
        down = slice(int(near[0, 0]), int(near[-1, -1]) + 1)
        wide = logits[down, across] @ self.columns.matrix[left:right, across].T
        values = (weights @ wide[near - down.start]).flatten(0, 1)
        return top, left, values[top - bands.start * _BAND : bottom - bands.start * _BAND]


class _Axis:
    """One side of the picture: `matrix` float32 [extent, low] from low-resolution cells to pixels."""

    def __init__(self, low: int, side: int, inner: int, extent: int, device: torch.device):
        square = F.interpolate(torch.eye(low, device=device)[None], size=side, mode="linear")[..., :inner]
        self.matrix = F.interpolate(square, size=extent, mode="linear")[0].T.contiguous()
        used = (self.matrix != 0).cpu().numpy()
        self.first, self.last = used.argmax(1), low - used[:, ::-1].argmax(1)

    def pixels(self, start: int, stop: int) -> tuple[int, int]:
        """The first pixel that the cells from `start` to `stop` touch and the one after the last."""
        begin = int(np.searchsorted(self.last, start, "right"))
        return begin, max(begin, int(np.searchsorted(self.first, stop, "left")))

    def cells(self, start: int, stop: int) -> slice:
        """All cells that touch the pixels from `start` to `stop`."""
        return slice(int(self.first[start]), int(self.last[stop - 1]))

    @cached_property
    def banded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The matrix for `_BAND` pixels at a time, float32 [B, _BAND, K], without all but the K cells int64 [B, K] that
        may touch them."""
        extent, low = self.matrix.shape
        starts = np.arange(0, extent, _BAND)
        first, last = self.first[starts], self.last[np.minimum(starts + _BAND, extent) - 1]
        count = (last - first).max()
        cells = torch.from_numpy(np.minimum(first, low - count)[:, None] + np.arange(count)).to(self.matrix.device)
        bands = F.pad(self.matrix, (0, 0, 0, -extent % _BAND)).unflatten(0, (len(starts), _BAND))
        return bands.gather(2, cells[:, None].expand(-1, _BAND, -1)), cells
