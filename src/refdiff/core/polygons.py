"""Polygons as masks: drawn as pycocotools does, which COCO's annotations are meant for, or as Pillow does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from ..errors import InputError

_FARTHEST = 1_000_000  # px; a coordinate beyond it cannot be meant, since no image has a side of that length
_MARGIN = 10_000  # px around the image; pycocotools walks along every outline, also where it is far outside
_MOST_POLYGONS = 20_000  # of a mask
_LONGEST_OUTLINE = 2_000_000  # px of all polygons of a mask: 200 MB in pycocotools, which has no bound of its own
_MOST_CHECKS = 10**9  # points times rows: Pillow looks at every edge for every row


def from_polygons(polygons: Any, size: tuple[int, int]) -> np.ndarray:
    """The union of polygons, each a flat list [x, y, x, y, ...] in px, drawn as pycocotools does; bool [H, W].

    What lies outside the image of `size` (H, W) is cut off. Raises InputError unless at least one polygon has three
    points, all are numbers within a million px, and the outlines together are no longer than two million px.
    """
    drawn = _as_coco(polygons, size)
    while len(drawn) > 1:  # in pairs, since merging one after another would take quadratic time
        drawn = [coco.merge(drawn[i : i + 2]) for i in range(0, len(drawn), 2)]
    return coco.decode(drawn[0]).astype(bool) if drawn else np.zeros(size, bool)


def each_polygon(polygons: Any, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The masks bool [H, W] that `from_polygons` joins, one by one. Raises InputError as it does."""
    for drawn in _as_coco(polygons, size):
        yield coco.decode(drawn).astype(bool)


def pillow_polygons(polygons: Any, size: tuple[int, int], outlined: bool = False) -> np.ndarray:
    """The union of polygons drawn by Pillow's `polygon` with fill 1 and outline 1; bool [H, W].

    Polygons are given as for `from_polygons`, two points being enough; coordinates lose their fraction. Pillow skips
    an outline of the colour of the filling; `outlined` draws it nevertheless. Raises InputError as `from_polygons`
    does, and where points times rows exceed 1e9.
    """
    corners = [np.trunc(each).astype(int) for each in _outlines(polygons, size, least=2, whole=True)]
    if sum(map(len, corners)) * size[0] > _MOST_CHECKS:
        raise InputError("A mask's polygons are broken; they have too many points to be drawn.")
    image = Image.new("L", size[::-1])
    draw = ImageDraw.Draw(image)
    for each in corners:
        points = list(map(tuple, each.tolist()))
        draw.polygon(points, fill=1, outline=1)
        if outlined:
            draw.polygon(points, outline=1)
    return np.asarray(image) > 0


def _as_coco(polygons: Any, size: tuple[int, int]) -> list[Any]:
    """The RLEs of polygons, as pycocotools keeps them."""
    points = _outlines(polygons, size)
    drawn: list[Any] = coco.frPyObjects([each.ravel().tolist() for each in points], *size) if points else []
    return drawn


def _outlines(polygons: Any, size: tuple[int, int], least: int = 3, whole: bool = False) -> list[np.ndarray]:
    """The polygons of at least so many points, each [P, 2] in px, cut where they reach far beyond the image; `whole`
    takes the fractions off first."""
    if not isinstance(polygons, (list, tuple)) or not all(_are_numbers(polygon) for polygon in polygons):
        raise InputError("A mask's polygons are broken; each must be a list of numbers x, y, x, y and so on.")
    given = [polygon for polygon in polygons if len(polygon) >= 2 * least and len(polygon) % 2 == 0]
    if not given or len(given) > _MOST_POLYGONS:
        raise InputError(f"A mask's polygons are broken; {len(given)} have {'two' if least == 2 else 'three'} points "
                         f"or more, and there must be from 1 to {_MOST_POLYGONS}.")
    if not all(-_FARTHEST <= value <= _FARTHEST for polygon in given for value in polygon):  # NaN fails it too
        raise InputError(f"A mask's polygons are broken; a coordinate is over {_FARTHEST} px or not a number.")
    arrays = [np.array(polygon, float).reshape(-1, 2) for polygon in given]
    points = [_clipped(np.trunc(each) if whole else each, size) for each in arrays]
    points = [polygon for polygon in points if len(polygon) >= least]
    if sum((np.abs(each - np.roll(each, 1, axis=0)).max(1) + 1).sum() for each in points) > _LONGEST_OUTLINE:
        raise InputError(f"A mask's polygons are broken; their outlines are longer than {_LONGEST_OUTLINE} px.")
    return points


def _are_numbers(polygon: Any) -> bool:
    return isinstance(polygon, (list, tuple, np.ndarray)) and all(
        isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in polygon)


def _clipped(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The polygon [P, 2] cut at _MARGIN around the image, where it reaches beyond (Sutherland and Hodgman).

    Nearer ones stay as they are, so that they are drawn exactly as pycocotools draws them.
    """
    height, width = size
    for axis, sign, limit in ((0, -1, _MARGIN), (0, 1, width + _MARGIN), (1, -1, _MARGIN), (1, 1, height + _MARGIN)):
        beyond = sign * polygon[:, axis] - limit
        if not (beyond > 0).any():
            continue
        after, beyond_after = np.roll(polygon, -1, axis=0), np.roll(beyond, -1)
        crosses = (beyond > 0) != (beyond_after > 0)
        share = beyond / np.where(crosses, beyond - beyond_after, 1)
        crossings = polygon + share[:, None] * (after - polygon)
        kept = np.stack([beyond <= 0, crosses], axis=1).ravel()
        polygon = np.stack([polygon, crossings], axis=1).reshape(-1, 2)[kept]
    return polygon
