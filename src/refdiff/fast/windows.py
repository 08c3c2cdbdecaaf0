"""From SAM's low-resolution logits to masks of the image, computed only where a mask is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import prod

import numpy as np
import torch
import torch.nn.functional as F

from ..models.segmentors.grid import mask_boxes, stability_scores
from ..settings import SegmentorSettings

_AT_ONCE = 50_000_000  # px of whole masks that are computed at once
_BAND = 32  # rows of a window that are computed together, as few cells touch them


class WindowCanvas:
    """SAM's way from logits [low, low] to an image of `size` (H, W): bilinear to its square of `side` px, cut to the
    image's `inner` (height, width) there, bilinear to the image.

    All of it is linear and works on rows and columns alike, so any window of the result is two small products. On a
    device, where every step must be started and waited for, whole masks are drawn, many at a time.
    """

    def __init__(self, side: int, inner: tuple[int, int], size: tuple[int, int], embedding: torch.Tensor):
        self.size = size
        low, device = 4 * embedding.shape[-1], embedding.device
        self.rows, self.columns = (_Axis(low, side, *extents, device) for extents in zip(inner, size, strict=True))

    def judged(self, logits: torch.Tensor,
               settings: SegmentorSettings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Indices int64 [M] of those logits [N, h, w] that are stable masks and not empty, their stability float32 [M]
        and boxes float32 [M, 4]."""
        if logits.device.type != "cpu":
            return self._judged_whole(logits, settings)
        offset = settings.stability_offset
        good: list[int] = []
        stability: list[float] = []
        boxes: list[tuple[int, ...]] = []
        for i, box in enumerate(mask_boxes(logits > -offset).int().tolist()):
            top, left, window = self._window(logits[i], box)
            values = window.numpy()  # many small steps: there they cost the least
            stable = int(np.count_nonzero(values > offset)) / max(int(np.count_nonzero(values > -offset)), 1)
            if stable < settings.stability_threshold:
                continue
            inside = values > 0
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            if rows.size:
                good.append(i)
                stability.append(stable)
                boxes.append((left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1))
        return (torch.tensor(good, dtype=torch.long), torch.tensor(stability, dtype=torch.float32),
                torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)))

    def _judged_whole(self, logits: torch.Tensor,
                      settings: SegmentorSettings) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        parts = [(stability_scores(values, settings.stability_offset), mask_boxes(values > 0))
                 for values in self._whole(logits)]
        stability, boxes = (torch.cat(each) for each in zip(*parts, strict=True))
        good = (stability >= settings.stability_threshold) & (boxes[:, 2] > boxes[:, 0])
        return good.nonzero()[:, 0], stability[good], boxes[good]

    def painted(self, logits: torch.Tensor) -> np.ndarray:
        """Masks bool [N, H, W] of logits [N, h, w]."""
        if logits.device.type != "cpu" and len(logits):
            return torch.cat([(values > 0).cpu() for values in self._whole(logits)]).numpy()
        masks = np.zeros((len(logits), *self.size), bool)
        for mask, each, box in zip(masks, logits, mask_boxes(logits > 0).int().tolist(), strict=True):
            top, left, values = self._window(each, box)
            height, width = values.shape
            mask[top : top + height, left : left + width] = (values > 0).numpy()
        return masks

    def _whole(self, logits: torch.Tensor) -> Iterator[torch.Tensor]:
        """Values float32 [n, H, W] of logits [N, low, low], some masks at a time."""
        for part in logits.split(max(1, _AT_ONCE // prod(self.size))):
            yield self.rows.matrix @ part @ self.columns.matrix.T

    def _window(self, logits: torch.Tensor, box: list[int]) -> tuple[int, int, torch.Tensor]:
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
    """One side of the image: `matrix` float32 [extent, low] from low-resolution cells to pixels."""

    def __init__(self, low: int, side: int, inner: int, extent: int, device: torch.device):
        square = F.interpolate(torch.eye(low, device=device, dtype=torch.float32)[None], size=side,
                               mode="linear")[..., :inner]
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
