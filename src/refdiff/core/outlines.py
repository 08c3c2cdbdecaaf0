"""Masks as polygons: the inverse of `polygons.from_polygons`, to the pixel.

An outline runs along the edges between pixels, with the inside on its right. A polygon is one ring, and some formats
allow one for each thing: a hole is joined to the outline around it by a cut without width, which lies inside the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree


def to_polygons(mask: np.ndarray) -> list[np.ndarray]:
    """The parts of a mask bool [H, W] as polygons float64 [P, 2] (x, y) in px along the edges of pixels.

    Parts meet at sides of pixels, not at corners; the largest comes first. pycocotools draws them as the same mask.
    """
    return _parts(mask, 0.0)


def to_polygon(mask: np.ndarray) -> np.ndarray:
    """A mask bool [H, W] as one polygon float64 [P, 2] (x, y) through the centres of its outermost pixels, where the
    centre of pixel 0 is at 0.5; empty for an empty mask.

    This is the contour that OpenCV draws and fills as the same mask. Further parts are joined to the largest by lines
    there and back, which add to the mask where they are drawn, one pixel wide.
    """
    parts = _parts(mask, 0.5)
    if not parts:
        return np.zeros((0, 2))
    largest, others = parts[0], parts[1:]
    tree = KDTree(largest)
    inserted: dict[int, list[np.ndarray]] = {}
    for part in others:
        distances, places = tree.query(part)
        nearest = int(distances.argmin())
        inserted.setdefault(int(places[nearest]), []).append(np.roll(part, -nearest, axis=0))
    pieces = []
    for place, corner in enumerate(largest):
        pieces.append(corner[None])
        for part in inserted.get(place, ()):
            pieces += [part, part[:1], corner[None]]
    return np.concatenate(pieces)


def _parts(mask: np.ndarray, inset: float) -> list[np.ndarray]:
    """A polygon for each part of the mask, so many px inside its outline."""
    rings = _rings(mask)
    labels, _ = ndimage.label(mask)
    outer = [ring for ring in rings if mask[ring[0, 1], ring[0, 0]]]
    holes = sorted((ring for ring in rings if not mask[ring[0, 1], ring[0, 0]]), key=lambda ring: -ring[0, 1])
    every = [*outer, *holes]
    edges = _Edges(mask, every)
    cuts: list[list[tuple[int, int, np.ndarray]]] = [[] for _ in every]  # of each ring: edge, x, what is joined there
    # From the lowest on: whatever is joined to a hole lies lower.
    for number, hole in enumerate(holes, len(outer)):
        x, y = hole[0].tolist()
        above, edge, top = edges.above(x, y)
        way = np.array([[x + 0.5, top + inset], [x + 0.5, y - inset]])
        cuts[above].append((edge, x, np.concatenate([way, _cut(hole, cuts[number], inset), way[::-1]])))
    sizes = np.bincount(labels.ravel())
    order = sorted(range(len(outer)), key=lambda number: -sizes[labels[outer[number][0, 1], outer[number][0, 0]]])
    return [_cut(outer[number], cuts[number], inset) for number in order]


class _Edges:
    """The horizontal edges of a mask's rings, to be found from below."""

    def __init__(self, mask: np.ndarray, rings: Sequence[np.ndarray]):
        self._mask, found = mask, []
        for number, ring in enumerate(rings):
            places = np.flatnonzero(ring[:, 0] < np.roll(ring[:, 0], -1))  # to the right, so that the inside is below
            found.append(np.stack([self._key(*ring[places].T), np.full(len(places), number), places]))
        edges = np.concatenate(found, axis=1) if found else np.zeros((3, 0), int)
        self._keys, self._ring, self._place = edges[:, edges[0].argsort()]

    def _key(self, x: Any, y: Any) -> Any:
        return y * (self._mask.shape[1] + 1) + x

    def above(self, x: int, y: int) -> tuple[int, int, int]:
        """(ring, place of the edge in it, y) of the next edge over the pixel (x, y - 1), which is inside."""
        outside = np.flatnonzero(~self._mask[:y, x])
        top = int(outside[-1]) + 1 if outside.size else 0
        edge = np.searchsorted(self._keys, self._key(x, top), side="right") - 1  # edges of one row do not overlap
        return int(self._ring[edge]), int(self._place[edge]), top


def _cut(ring: np.ndarray, cuts: Sequence[tuple[int, int, np.ndarray]], inset: float) -> np.ndarray:
    """A ring so many px inside its outline, with what is joined to its edges."""
    after, before = np.roll(ring, -1, axis=0) - ring, ring - np.roll(ring, 1, axis=0)
    step = np.sign(after + before)  # a corner has one horizontal and one vertical edge
    pieces, last = [], 0
    drawn = ring + inset * np.stack([-step[:, 1], step[:, 0]], axis=1)  # the inside is to the right
    for edge, _, piece in sorted(cuts, key=lambda cut: cut[:2]):
        pieces += [drawn[last : edge + 1], piece]
        last = edge + 1
    return np.concatenate([*pieces, drawn[last:]])


def _rings(mask: np.ndarray) -> list[np.ndarray]:
    """The outlines of a mask as corners int64 [P, 2] (x, y), the inside on their right, each from the leftmost of its
    topmost corners on.

    A lattice point is a corner where one or three of the four pixels around it are inside, and two corners where two
    are that meet there alone. In every row of the lattice corners are joined in pairs, and in every column.
    """
    padded = np.pad(mask, 1)
    around = [padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]]  # above left, above right, below ...
    single = np.logical_xor.reduce(around)
    falling = around[0] & around[3] & ~around[1] & ~around[2]
    rising = around[1] & around[2] & ~around[0] & ~around[3]
    twice = falling | rising
    y, x = (np.concatenate(each) for each in zip(np.nonzero(single | twice), np.nonzero(twice), strict=True))
    first = np.arange(len(y)) < len(y) - np.count_nonzero(twice)  # of two corners at one point the left one
    # Of the pixels that meet at a point, that on the left is above where they fall and below where they rise.
    upper = np.where(rising[y, x], ~first, first)
    across, down = _pairs(y, x, ~first), _pairs(x, y, ~upper)
    rings, seen = [], np.zeros(len(y), bool)
    horizontal, vertical = across.tolist(), down.tolist()
    for start in np.lexsort((~first, x, y)).tolist():
        if seen[start]:
            continue
        ring, corner = [], start
        while not seen[corner]:
            other = horizontal[corner]
            ring += [corner, other]
            seen[corner] = seen[other] = True
            corner = vertical[other]
        points = np.stack([x[ring], y[ring]], axis=1)
        # It runs to the right from its first corner: clockwise, as outlines should and holes should not.
        rings.append(points if mask[points[0, 1], points[0, 0]] else np.roll(points[::-1], 1, axis=0))
    return rings


def _pairs(line: np.ndarray, along: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The corner with which each is joined along its line: the first with the second, the third with the fourth."""
    order = np.lexsort((second, along, line))
    partner = np.empty(len(order), int)
    partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    return partner
