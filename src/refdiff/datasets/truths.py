"""What is true of each object of a scene: 1 where it clearly is, 0 where it is not, 0.5 where people may differ.

Such truths are float arrays [N]; `np.minimum` is "and", `1 - truth` is "not".
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage

from .scene_maker import Scene, SceneObject, colour_name

SIDES = ("left", "right", "top", "bottom")
_APART = 0.1  # of the image's side, between centres that are counted along it
_MARGIN = 0.12  # of the image's side, by which an object lies on a side of another
_BIGGER, _TALLER = 1.4, 1.25  # ratios of areas, and of a box's sides
_CLOSER = 1.35  # ratio of distances
_SIMILAR = {frozenset(pair.split()) for pair in (
    "red orange", "red pink", "red brown", "orange brown", "orange yellow", "yellow brown", "pink purple",
    "blue purple", "gray black", "gray white", "black brown", "orange pink")}


class Facts:
    """A scene's objects: `nouns`, `colours`, `centres` float [N, 2] (x, y) in image sides, and truths about them."""

    def __init__(self, scene: Scene):
        height, width = scene.image.shape[:2]
        objects = scene.objects
        self.nouns = [each.noun for each in objects]
        self.colours = [each.colour for each in objects]
        self._shares = [_colour_shares(scene.image[each.mask][::17]) for each in objects]
        self._unit = np.array((width, height), float)
        self.centres = np.array([each.centre for each in objects]) / self._unit
        self.areas = np.array([each.mask.sum() for each in objects], float)
        self._boxes = np.array([each.box for each in objects], float)
        self._whole = np.array([not _hidden(each.mask, objects[i + 1 :]) for i, each in enumerate(objects)])
        self.extents = self._boxes[:, 2:] - self._boxes[:, :2]

    def noun(self, noun: str) -> np.ndarray:
        return np.array([float(each == noun) for each in self.nouns])

    def only(self, index: int) -> np.ndarray:
        return (np.arange(len(self.nouns)) == index).astype(float)

    def colour(self, colour: str) -> np.ndarray:
        """Unsure of an object with no dominant colour, with a similar one, or with some of this one."""
        def holds(own: str | None, shares: dict[str, float]) -> float:
            if own == colour:
                return 1.0
            unsure = own is None or frozenset((own, colour)) in _SIMILAR or shares.get(colour, 0) > 0.12
            return 0.5 if unsure else 0.0

        return np.array([holds(*each) for each in zip(self.colours, self._shares, strict=True)])

    def from_side(self, side: str) -> np.ndarray:
        """float [N]: how far each centre is from this side of the image, in image sides."""
        along = self.centres[:, int(side in ("top", "bottom"))]
        return along if side in ("left", "top") else 1 - along

    def at(self, side: str) -> np.ndarray:
        """In this half of the image."""
        distance = self.from_side(side)
        return np.where(distance < 0.4, 1, np.where(distance > 0.55, 0, 0.5))

    def ordered(self, members: np.ndarray, side: str) -> list[int]:
        """The members counted from this side, or none where two are about as far from it."""
        distance = self.from_side(side)
        order = sorted(which(members), key=lambda i: distance[i])
        return order if (np.diff(distance[order]) >= _APART).all() else []

    def in_middle(self, members: np.ndarray) -> int | None:
        """The middle one of three members in a row, if it is nearest the image's middle too."""
        for side in ("left", "top"):
            order = self.ordered(members, side)
            nearness = _ranked(members, self._distance(np.array((0.5, 0.5))), _CLOSER)
            if len(order) == 3 and nearness[0] == order[1]:
                return order[1]
        return None

    def by_size(self, members: np.ndarray) -> list[int | None]:
        """The members from the biggest to the smallest; None in place of one that is about as big as another.

        None at all where one is partly hidden, here and in `by_extent`.
        """
        if not self._whole[members > 0].all():
            return []
        by_box = _ranked(members, -self.extents.prod(1), 1.2)
        return [i if i == j else None for i, j in zip(_ranked(members, -self.areas, _BIGGER), by_box, strict=True)]

    def by_extent(self, members: np.ndarray, axis: int) -> list[int | None]:
        """The members from the widest (axis 0) or tallest (1) on; None in place of one about as wide or tall."""
        return _ranked(members, -self.extents[:, axis], _TALLER) if self._whole[members > 0].all() else []

    def beside(self, side: str, anchor: int) -> np.ndarray:
        """On this side of the anchor, decidedly more than above or below it (or left or right of it)."""
        ahead = self.from_side(side)[anchor] - self.from_side(side)
        across = np.abs(self.centres - self.centres[anchor])[:, int(side in ("left", "right"))]
        sure = (ahead >= _MARGIN) & (ahead - across >= _MARGIN / 2)
        return np.where(sure, 1, np.where(ahead < -0.04, 0, 0.5))

    def next_to(self, anchor: int) -> np.ndarray:
        """Almost touching the anchor; not, where at least a fifth of the shorter image side is between the two."""
        starts = np.maximum(self._boxes[:, :2], self._boxes[anchor, :2])
        ends = np.minimum(self._boxes[:, 2:], self._boxes[anchor, 2:])
        gap = np.hypot(*np.maximum(starts - ends, 0).T) / self._unit.min()
        return np.where(gap < 0.05, 1, np.where(gap > 0.2, 0, 0.5))

    def bigger_than(self, anchor: int) -> np.ndarray:
        ratio = self.areas / self.areas[anchor]
        truth = np.where(ratio >= _BIGGER, 1, np.where(ratio <= 1 / _BIGGER, 0, 0.5))
        return np.where(self._whole & self._whole[anchor], truth, 0.5)

    def between(self, first: int, second: int) -> np.ndarray:
        """Near the middle of the line from one centre to the other."""
        start, end = (self.centres[i] * self._unit for i in (first, second))
        line, offset = end - start, self.centres * self._unit - start
        length = np.hypot(*line)
        along = offset @ line / length**2
        across = np.abs(line[0] * offset[:, 1] - line[1] * offset[:, 0]) / length**2
        inside = (along > 0.2) & (along < 0.8) & (across < 0.33) & (length > 0.4 * self._unit.min())
        outside = (along < 0) | (along > 1) | (across > 0.7)
        return np.where(inside, 1, np.where(outside, 0, 0.5))

    def by_nearness(self, members: np.ndarray, anchor: int) -> list[int | None]:
        """The members from the closest to the anchor on; None in place of one that is about as far as another."""
        return _ranked(members, self._distance(self.centres[anchor]), _CLOSER)

    def _distance(self, point: np.ndarray) -> np.ndarray:
        return np.hypot(*((self.centres - point) * self._unit).T)


def which(truth: np.ndarray) -> list[int]:
    """The objects that a truth holds for, or none where it is unsure of one."""
    return [] if (truth == 0.5).any() else np.flatnonzero(truth).tolist()


def none_of(truth: np.ndarray) -> bool:
    return bool((truth == 0).all())


def _ranked(members: np.ndarray, values: np.ndarray, ratio: float) -> list[int | None]:
    """The members by value; None in place of one whose value is within this ratio of a neighbour's."""
    order = sorted(which(members), key=lambda i: values[i])
    clear = [max(abs(values[i]), abs(values[j])) >= ratio * min(abs(values[i]), abs(values[j]))
             for i, j in pairwise(order)]
    return [i if all(clear[max(k - 1, 0) : k + 1]) else None for k, i in enumerate(order)]


def _hidden(mask: np.ndarray, in_front: tuple[SceneObject, ...]) -> bool:
    """Whether one in front touches it, so that a part of it may be out of sight."""
    around = ndimage.binary_dilation(mask, iterations=2)
    return any((around & other.mask).any() for other in in_front)


def _colour_shares(pixels: np.ndarray) -> dict[str, float]:
    names = [colour_name(*pixel) for pixel in pixels.tolist()]
    return {name: names.count(name) / len(names) for name in set(names)}
