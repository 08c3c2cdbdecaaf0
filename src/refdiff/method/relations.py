"""Where things are, and how they stand to each other: soft scores in [0, 1] between instances, in the image plane only.

Every score is a smooth function of boxes and areas, so that a near miss counts for something. Lengths are fractions of
the image's longer side; `p` float64 [K] is how likely each instance is one of those meant, `q` [J] the same of the
things it stands to. In the spirit of HybridGL's spatial guidance (Liu and Li, CVPR 2025), which weighs pairs of
proposals by the order of their centres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..language.query import Kind, Order, Side

Array = NDArray[np.float64]

_NEAR = 0.02  # differences of place below this are hardly seen
_SIZE = 0.08  # differences of log area below this are hardly seen


@dataclass(frozen=True, eq=False)
class Shapes:
    """Instances as boxes float64 [K, 4] (left, top, right, bottom) and areas [K], in fractions of the image's longer
    side; `extent` (height, width) of the image in the same."""

    boxes: Array
    areas: Array
    extent: tuple[float, float]

    @classmethod
    def of(cls, boxes: Array, areas: Array, size: tuple[int, int]) -> Shapes:
        """Of boxes and areas in px of an image of `size` (H, W)."""
        side = max(size)
        return cls(boxes / side, areas / side**2, (size[0] / side, size[1] / side))

    @property
    def centres(self) -> Array:
        """(x, y) float64 [K, 2]."""
        return np.asarray((self.boxes[:, :2] + self.boxes[:, 2:]) / 2)

    @property
    def spans(self) -> Array:
        """(width, height) float64 [K, 2]."""
        return np.asarray(self.boxes[:, 2:] - self.boxes[:, :2])


def step(x: Array, width: float = 1.0) -> Array:
    """A smooth step from 0 to 1 about 0, the logistic function of x in widths."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x / width, -50, 50))))


# Orders: which one

def order_keys(order: Order, shapes: Shapes) -> tuple[Array, float]:
    """What an order sorts by, least first, float64 [K], and below which difference two are hardly told apart."""
    (x, y), (width, height) = shapes.centres.T, shapes.spans.T
    keys = {"left": x, "right": -x, "top": y, "bottom": -y, "front": -shapes.boxes[:, 3], "back": shapes.boxes[:, 3]}
    if order in keys:
        return keys[order], _NEAR
    area, height, width = (np.log(each.clip(1e-9)) for each in (shapes.areas, height, width))
    sizes = {"biggest": -area, "smallest": area, "tallest": -height, "shortest": height, "widest": -width,
             "narrowest": width}
    return sizes[order], _SIZE if order in ("biggest", "smallest") else _SIZE / 2


def nth(p: Array, keys: Array, number: int, width: float) -> Array:
    """How likely exactly `number` - 1 of the instances meant come before each, by `keys`; float64 [K].

    Each other instance comes before with p times a smooth step of the difference of keys; the number of those that do
    follows the Poisson binomial distribution.
    """
    before = p[None] * step(keys[:, None] - keys[None], width)
    return np.array([_counts(np.delete(row, k), number)[number - 1] for k, row in enumerate(before)])


def at_least(p: Array, number: int) -> float:
    """How likely `number` of things are there or more, of which each is with a chance p."""
    return float(_counts(p, len(p))[number:].sum())


def _counts(p: Array, most: int) -> Array:
    """How likely 0, 1, ..., `most` of things are there, of which each is with a chance p; float64 [most + 1]."""
    counts = np.zeros(most + 1)
    counts[0] = 1.0
    for chance in p:
        counts[1:] = counts[1:] * (1 - chance) + counts[:-1] * chance
        counts[0] *= 1 - chance
    return counts


# Places in the image

def place(side: Side, shapes: Shapes) -> Array:
    """How much each instance lies at a side of the image, whatever the others; float64 [K]."""
    (x, y), (height, width) = shapes.centres.T, shapes.extent
    x, y = x / width, y / height
    if side in ("corner", "edge"):
        off = np.abs(np.stack([x, y]) - 0.5)
        return step((off.min(0) if side == "corner" else off.max(0)) - 0.25, 0.06)
    if side == "middle":
        return step(0.2 - np.abs(np.stack([x, y]) - 0.5).max(0), 0.06)
    low = {"left": x, "right": 1 - x, "top": y, "bottom": 1 - y, "front": 1 - y, "back": y}[side]
    return step(0.5 - low, 0.08)


def place_keys(side: Side, shapes: Shapes, p: Array) -> Array:
    """What those nearest to a side have least of, float64 [K]. The middle is that of the image, or of the instances
    meant where they stand in a row."""
    if side in ("left", "right", "top", "bottom", "front", "back"):
        return order_keys(side, shapes)[0]
    centres = shapes.centres
    middle = np.array([shapes.extent[1], shapes.extent[0]]) / 2
    if side == "middle":
        meant = centres[p > 0.5 * p.max(initial=0)]
        if len(meant) > 2:
            low, high = meant.min(0), meant.max(0)
            along = int(np.argmax(high - low))
            return np.asarray(np.abs(centres[:, along] - (low + high)[along] / 2))
        return np.asarray(np.abs(centres - middle).max(1))
    off = np.abs(centres - middle) / middle
    return np.asarray(-off.min(1) if side == "corner" else -off.max(1))


# Relations between two instances

def _overlap(a: Shapes, b: Shapes) -> Array:
    """How far boxes overlap along x and y, negative where they lie apart; float64 [K, J, 2]."""
    low = np.maximum(a.boxes[:, None, :2], b.boxes[None, :, :2])
    return np.asarray(np.minimum(a.boxes[:, None, 2:], b.boxes[None, :, 2:]) - low)


def gaps(a: Shapes, b: Shapes) -> Array:
    """Distances between boxes, 0 where they meet; float64 [K, J]."""
    return np.asarray(np.linalg.norm((-_overlap(a, b)).clip(0), axis=-1))


def distances(a: Shapes, b: Shapes) -> Array:
    """Distances between centres; float64 [K, J]."""
    return np.asarray(np.linalg.norm(a.centres[:, None] - b.centres[None], axis=-1))


def inside(a: Shapes, b: Shapes) -> Array:
    """The share of the box of each of `a` that lies in the box of each of `b`; float64 [K, J]."""
    return np.asarray(_overlap(a, b).clip(0).prod(-1) / a.spans.prod(-1)[:, None].clip(1e-9))


def _towards(a: Shapes, b: Shapes, direction: tuple[int, int]) -> Array:
    """How much each of `a` lies in a direction (x, y) from each of `b`: by the cosine of the way between centres."""
    way = a.centres[:, None] - b.centres[None]
    length = np.linalg.norm(way, axis=-1)
    cosine = way @ np.array(direction) / length.clip(1e-6)
    return step(cosine - 0.5, 0.12) * step(length - _NEAR, _NEAR / 2)


_DIRECTIONS: dict[Kind, tuple[int, int]] = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


def related(kind: Kind, a: Shapes, b: Shapes) -> Array:
    """How much each of `a` stands in a relation to each of `b`; float64 [K, J]. For 'between' see `between`."""
    if kind in _DIRECTIONS:
        return _towards(a, b, _DIRECTIONS[kind])
    gap = gaps(a, b)
    near = np.asarray(np.exp(-gap / 0.15))
    if kind == "on":
        return step(0.03 - gap, 0.02) * np.maximum(inside(a, b), _towards(a, b, (0, -1)))
    if kind == "in":
        return step(inside(a, b) - 0.5, 0.1)
    if kind in ("behind", "in front of"):
        lower = a.boxes[:, None, 3] - b.boxes[None, :, 3]
        return np.asarray(step(lower if kind == "in front of" else -lower, 0.05) * near)
    if kind == "touching":
        return step(0.02 - gap, 0.01)
    if kind in ("with", "of"):
        meet = np.maximum(inside(a, b), inside(b, a).T)
        return np.maximum(0.3 * near, step(meet - 0.3, 0.1))
    if kind in ("bigger than", "smaller than"):
        return _compared(a.areas, b.areas, kind == "bigger than", _SIZE)
    if kind in ("taller than", "shorter than"):
        return _compared(a.spans[:, 1], b.spans[:, 1], kind == "taller than", _SIZE / 2)
    return near  # next to


def _compared(a: Array, b: Array, greater: bool, width: float) -> Array:
    ratio = np.log(a[:, None].clip(1e-9) / b[None].clip(1e-9))
    return step(ratio if greater else -ratio, width)


def between(a: Shapes, b: Shapes, c: Shapes) -> Array:
    """How much each of `a` lies between each of `b` and each of `c`: by how little the way over it is longer;
    float64 [K, J, L]."""
    direct = distances(b, c)[None]
    detour = distances(a, b)[:, :, None] + distances(a, c)[:, None]
    return step(1.25 - detour / direct.clip(1e-6), 0.08) * (direct > 2 * _NEAR)
