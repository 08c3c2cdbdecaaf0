"""From a target to its instances, judged by what its words say and by how things stand.

Every factor is a soft score in [0, 1]. A target's own words come first, then relations, places, and last what picks one
of several: an order, or what is closest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..core.proposals import Proposals
from ..language import Place, Rank, Relation, Target
from ..language.query import Order
from .instances import SAME, Overlaps, separate, shapes_of
from .relations import Shapes, at_least, between, distances, nth, order_keys, place, place_keys, related

_PICKS = ("closest to", "farthest from")
_LOOSE = ("next to", "between", "behind", "in front of", "with", "of")
_OPINION = 0.25  # how much those say of whether a thing is there: what is near is a matter of opinion
_LEAPS = {"all": 20.0, 1: 5.0}
"""By how much at most the odds of instances rise where more are implied than were seen: by "the cups", and by "the cup
on the left"."""
_COUNT_LEAP = 3.0  # the same where a number is said: a count may be wrong
_CLAIM = 0.5  # how much it says of whether the nth of an order is there, that fewer than n things are
SIZES: dict[str, Order] = {
    "big": "biggest", "large": "biggest", "huge": "biggest", "giant": "biggest", "small": "smallest",
    "little": "smallest", "tiny": "smallest", "tall": "tallest", "short": "shortest", "wide": "widest",
    "long": "widest", "thin": "narrowest", "narrow": "narrowest"}
"""Attributes that compare a thing with others of its kind."""


class Witness(Protocol):
    """What the models say of words, about the proposals of one image."""

    @property
    def proposals(self) -> Proposals: ...
    @property
    def overlaps(self) -> Overlaps: ...

    def named(self, target: Target) -> np.ndarray:
        """How likely each proposal is a whole thing that the target's noun names, float64 [N]."""
        ...

    def described(self, target: Target, word: str) -> np.ndarray | None:
        """How likely each is what the attribute `word` says, given that it is what the noun names, float64 [N]; None
        for a word that the models do not know."""
        ...


@dataclass(frozen=True, eq=False)
class Judged:
    """A target in an image: its instances, as `indices` among the proposals and as `shapes`; how likely each is one of
    those meant, `likely` float64 [K]; and `present`, how likely what the target asks for is there at all."""

    target: Target
    indices: list[int]
    shapes: Shapes
    likely: np.ndarray
    present: float

    def chosen(self, each_threshold: float) -> list[int]:
        """Which are meant, as positions in `indices`, most likely first: all that are likely enough, or as many as the
        target says, of which those that are not half as likely are left out; at least one."""
        order: list[int] = np.argsort(-self.likely, kind="stable").tolist()
        number = self.target.number
        least = each_threshold if number == "all" else each_threshold / 2
        return [k for k in order[: None if number == "all" else number] if self.likely[k] > least] or order[:1]


def judge(target: Target, witness: Witness) -> Judged:
    """The instances of a target."""
    named = witness.named(target)
    indices = separate(named, witness.overlaps)
    shapes = shapes_of(indices, witness.proposals)
    seen = named[indices].astype(float)
    fits = stands = surely = np.ones(len(seen))  # how well each fits the attributes, and the relations
    present = 1.0
    ranks = [each for each in target.conditions if isinstance(each, Rank)]
    for each in target.attributes:
        says = None if each.word in SIZES else witness.described(target, each.word)
        if each.word in SIZES:
            ranks.append(Rank(SIZES[each.word], 1, each.negated))
        elif says is not None:
            fits = fits * (1 - says[indices] if each.negated else says[indices])
    picks = [each for each in target.relations if each.kind in _PICKS]
    for relation in target.relations:
        if relation not in picks:
            says, there = _relate(relation, indices, shapes, witness)
            stands, present = stands * says, present * there
            surely = surely * (says**_OPINION if relation.kind in _LOOSE else says)
    present *= float((seen * fits * surely).max(initial=0.0))
    p = expecting(seen, _least(target), _LEAPS.get(target.number, _COUNT_LEAP)) * fits * stands
    places = [each for each in target.conditions if isinstance(each, Place)]
    one = target.number == 1
    if places:
        p = p * _placed(places, p, shapes, one and not ranks and not picks)
    for relation in picks:
        others = [judge(other, witness) for other in relation.to]
        present *= min(other.present for other in others)
        sign = 1 if (relation.kind == "closest to") != relation.negated else -1
        p = p * sum((weight * _picked(p, sign * away, 1, 0.02, target) for weight, away in _away(shapes, others[0])),
                    np.zeros(len(p)))
    last = max((rank.number for rank in ranks), default=1)
    if last > 1:
        present *= at_least(seen * fits * stands, last) ** _CLAIM
    for rank in ranks:
        keys, width = order_keys(rank.order, shapes)
        says = _picked(p, keys, rank.number, width, target)
        p = p * (1 - says if rank.negated else says)
    if one and (ranks or picks):
        present *= min(1.0, float(p.sum()))  # exactly one of them is that
    elif places and not one:
        present = min(present, float(p.max(initial=0.0)))
    return Judged(target, indices, shapes, p, present)


# How many

def _least(target: Target) -> int:
    """How many instances of its noun a target implies: "the third cup" at least three; who says where a thing is, or
    which in an order, has seen two."""
    least = 2 if target.number == "all" else target.number
    for each in target.conditions:
        if isinstance(each, (Rank, Place)) or (isinstance(each, Relation) and each.kind in _PICKS):
            least = max(least, 2, each.number if isinstance(each, Rank) else 0)
    return least


def expecting(p: np.ndarray, least: int, leap: float) -> np.ndarray:
    """The chances p of instances, given that at least `least` of them are real: their odds raised alike, at most by
    `leap`, until they add up to that."""
    if least <= 1 or not len(p):
        return p
    odds = p / (1 - p).clip(1e-9)
    for factor in np.geomspace(1, leap, 24):
        raised: np.ndarray = odds * factor / (1 + odds * factor)
        if raised.sum() >= least:
            break
    return raised


# Which, and where

def _picked(p: np.ndarray, keys: np.ndarray, number: int, width: float, target: Target) -> np.ndarray:
    """How likely each is the one of an order, or among the first of it where several are meant."""
    several = 1 if target.number == "all" else target.number
    return np.asarray(np.sum([nth(p, keys, n, width) for n in range(number, number + several)], 0))


def _placed(places: list[Place], p: np.ndarray, shapes: Shapes, one: bool) -> np.ndarray:
    """How much each lies where the target is said to be: by itself, and, where one is meant, as the nearest there."""
    alone = np.prod([1 - place(each.side, shapes) if each.negated else place(each.side, shapes) for each in places], 0)
    if not one:
        return np.asarray(alone)
    keys = np.sum([(-1 if each.negated else 1) * place_keys(each.side, shapes, p) for each in places], 0)
    return np.asarray(nth(p, keys, 1, 0.03) * (0.4 + 0.6 * alone))


# Relations

def _weights(judged: Judged) -> np.ndarray:
    """How likely each instance is the one, or one of those, that a relation is to."""
    if judged.target.number == 1:  # one is and no other: by the odds
        odds = judged.likely / (1 - judged.likely).clip(1e-3)
        return np.asarray(odds / max(float(odds.sum()), 1e-9))
    return judged.likely


def _relate(relation: Relation, indices: list[int], shapes: Shapes, witness: Witness) -> tuple[np.ndarray, float]:
    """(how much each instance stands in the relation, how likely what it stands to is there)."""
    others = [judge(other, witness) for other in relation.to]
    if relation.kind == "is":
        return 1 - _is(others[0], indices, witness), 1.0
    if relation.kind == "between":
        says = _between(others, indices, shapes, witness)
    else:
        pairs = related(relation.kind, shapes, others[0].shapes) * _apart(indices, others[0], witness)
        weights = _weights(others[0])
        says = pairs @ weights if others[0].target.number == 1 else 1 - np.prod(1 - pairs * weights, 1)
    there = min(other.present for other in others)
    return (1 - says * there, 1.0) if relation.negated else (says, there)


def _between(others: list[Judged], indices: list[int], shapes: Shapes, witness: Witness) -> np.ndarray:
    """How much each instance lies between two others, or between two of several."""
    first, second = others[0], others[-1]
    pairs = between(shapes, first.shapes, second.shapes)
    pairs = pairs * _apart(indices, first, witness)[:, :, None] * _apart(indices, second, witness)[:, None]
    weights = _weights(first)[:, None] * _weights(second)[None]
    if len(others) == 1:
        return np.asarray((pairs * weights).max((1, 2), initial=0.0))
    return np.asarray((pairs * weights).sum((1, 2)) / max(float(weights.sum()), 1e-9))


def _apart(indices: list[int], other: Judged, witness: Witness) -> np.ndarray:
    """0 where an instance [K] and one of another target [J] are the same thing, else 1."""
    return np.asarray(witness.overlaps.iou[np.ix_(indices, other.indices)] <= SAME, float)


def _is(other: Judged, indices: list[int], witness: Witness) -> np.ndarray:
    """How likely each instance is one of those that another target names."""
    chosen = list(range(len(other.indices))) if other.target.number == "all" else other.chosen(0.0)
    same = witness.overlaps.iou[np.ix_(indices, [other.indices[k] for k in chosen])] > SAME
    return np.asarray((same * other.likely[chosen]).max(1, initial=0.0))


def _away(shapes: Shapes, other: Judged) -> list[tuple[float, np.ndarray]]:
    """(how likely, how far each instance then is from what is named, float64 [K]) for each thing that it may be; on
    average where several things are meant."""
    weights, apart = _weights(other), distances(shapes, other.shapes)
    if other.target.number == 1:
        return list(zip(weights.tolist(), apart.T, strict=True))
    return [(1.0, np.asarray(apart @ weights / max(float(weights.sum()), 1e-9)))]
