"""From SAM's low-resolution logits to masks of the picture, computed only where a mask is."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import torch
import torch.nn.functional as F

_AT_ONCE = 50_000_000  # px of whole masks that are computed at once


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
        left, top, right, bottom = box
        rows, low_rows, down = self.rows.window(top, bottom)
        columns, low_columns, across = self.columns.window(left, right)
        return rows.start, columns.start, down @ logits[low_rows, low_columns] @ across.T


class _Axis:
    """One side of the picture: `matrix` float32 [extent, low] from low-resolution cells to pixels."""

    def __init__(self, low: int, side: int, inner: int, extent: int, device: torch.device):
        square = F.interpolate(torch.eye(low, device=device)[None], size=side, mode="linear")[..., :inner]
        self.matrix = F.interpolate(square, size=extent, mode="linear")[0].T.contiguous()
        used = (self.matrix != 0).cpu().numpy()
        self.first, self.last = used.argmax(1), low - used[:, ::-1].argmax(1)

    def window(self, start: int, stop: int) -> tuple[slice, slice, torch.Tensor]:
        """Pixels that the cells from `start` to `stop` touch, all cells that touch these, and the matrix between."""
        begin = int(np.searchsorted(self.last, start, "right"))
        end = max(begin, int(np.searchsorted(self.first, stop, "left")))
        if begin == end:
            return slice(begin, end), slice(0, 0), self.matrix[begin:end, :0]
        cells = slice(int(self.first[begin]), int(self.last[end - 1]))
        return slice(begin, end), cells, self.matrix[begin:end, cells]
