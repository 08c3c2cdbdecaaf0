"""How what a dataset holds of a mask is drawn, in each of the ways that its own evaluation does it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.masks import from_rle, mask_from_image
from ..core.polygons import each_polygon, from_polygons, pillow_polygons
from ..errors import InputError

_MOST_PIXELS = 10**9  # of all parts of a mask that are drawn one by one; a small part counts as _LEAST_PIXELS
_LEAST_PIXELS = 10**5

Drawing = Literal["union", "once", "pillow"]
"""How the parts of one annotation make a mask: 'union', drawn as pycocotools does; 'once', the pixels that exactly one
part covers (REFER's `getMask` sums the parts, and Yu et al.'s release keeps where the sum is 1); or 'pillow', the
union of polygons as PhraseCut's own code draws them."""


@dataclass(frozen=True)
class Shapes:
    """ReasonSeg's labelled polygons, each (flat list [x, y, x, y, ...] in px, whether it is to be ignored)."""

    polygons: tuple[tuple[Any, bool], ...]

    def painted(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(what is meant, what counts neither way), both bool [H, W]: drawn over each other, the largest first.

        ReasonSeg's own code draws with OpenCV, whose edges differ from Pillow's in a few pixels. Raises InputError for
        a broken polygon.
        """
        _check_total(self.polygons, size)
        pillow_polygons([polygon for polygon, _ in self.polygons], size)  # which bounds all of them together
        areas = [np.count_nonzero(pillow_polygons([polygon], size, outlined=True)) for polygon, _ in self.polygons]
        target, void = np.zeros(size, bool), np.zeros(size, bool)
        for i in sorted(range(len(areas)), key=lambda i: (-areas[i], -i)):
            polygon, ignored = self.polygons[i]
            mask = pillow_polygons([polygon], size, outlined=True)  # again, as all at once could fill the memory
            target[mask], void[mask] = not ignored, ignored
        return target, void


def draw(segmentation: Any, size: tuple[int, int], drawing: Drawing) -> np.ndarray | None:
    """The mask bool [H, W] of a COCO RLE, a list of those, a list of polygons, or the path of a mask image; None where
    there is none. Raises InputError for a broken one, or one of another size than (H, W)."""
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, Path):
        mask = mask_from_image(segmentation)
        if mask.shape != size:
            raise InputError(f"A mask is {mask.shape[1]}x{mask.shape[0]} for an image of {size[1]}x{size[0]}; they "
                             "must have the same size.")
        return mask
    if isinstance(segmentation, dict):
        return from_rle(segmentation, size)
    rles = isinstance(segmentation, list) and all(isinstance(part, dict) for part in segmentation)
    if rles or drawing == "once":
        _check_total(segmentation, size)
    if rles:
        return _joined((from_rle(part, size) for part in segmentation), size, drawing)
    if drawing == "once":
        return _joined(each_polygon(segmentation, size), size, drawing)
    return pillow_polygons(segmentation, size) if drawing == "pillow" else from_polygons(segmentation, size)


def _joined(parts: Iterable[np.ndarray], size: tuple[int, int], drawing: Drawing) -> np.ndarray:
    covered = np.zeros(size, np.uint8)  # as wide as the release's sum, so that it too would take 257 for 1
    for part in parts:
        if drawing == "once":
            covered += part
        else:
            covered |= part
    inside: np.ndarray = covered == 1
    return inside


def _check_total(parts: Any, size: tuple[int, int]) -> None:
    if isinstance(parts, (list, tuple)) and len(parts) * max(size[0] * size[1], _LEAST_PIXELS) > _MOST_PIXELS:
        raise InputError(f"A mask of {size[1]}x{size[0]} has {len(parts)} parts, too many to be drawn one by one.")
