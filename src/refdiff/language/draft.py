"""`Draft`: a target as far as it has been read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from . import kinds, words
from .query import THING, Attribute, Condition, Kind, Order, Place, Rank, Relation, Side, Target


@dataclass
class Draft:
    """`outer` is the draft for a relation of which this one is read, and `depth` how many such there are.

    A `brief` draft leaves what follows its noun to the outer one: in "the man with the hat on the left" the man is on
    the left. `like` is the noun that "one" stands for.
    """

    outer: Draft | None = None
    brief: bool = False
    like: str = THING
    depth: int = 0
    head: str | None = None
    number: int | Literal["all"] | None = None
    plural: bool = False
    conditions: list[Condition] = field(default_factory=list)
    order: int | None = None
    """An ordinal whose side or size is still to come; negative from the last."""
    negate: bool = False
    """Whether the next condition is negated."""
    colours: list[str] = field(default_factory=list)
    """Of which it has one, in "blue or red car"; the last is among the conditions."""
    linked: bool = False
    """Whether what follows is said by "that is"."""
    again: bool = False
    """Whether its noun is one said before: "the left one"."""

    @property
    def something(self) -> bool:
        return bool(self.head or self.conditions or self.number or self.order)

    @property
    def named(self) -> bool:
        return self.head not in (None, THING)

    @property
    def said(self) -> str:
        """The noun that "one" stands for after this."""
        return self.head if self.head not in (None, THING) else self.like

    @property
    def started(self) -> bool:
        """Whether the thing is known, be it only by how it stands to another: "left of the cat and under the tree"."""
        return self.head is not None or any(isinstance(each, Relation) for each in self.conditions)

    @property
    def ranked(self) -> bool:
        return self.order is not None or any(isinstance(each, Rank) for each in self.conditions)

    @property
    def outers(self) -> list[Draft]:
        """The drafts that this one is in, nearest first."""
        return [] if self.outer is None else [self.outer, *self.outer.outers]

    @property
    def outermost(self) -> Draft:
        return self if self.outer is None else self.outer.outermost

    def repeats(self, before: Draft) -> bool:
        """Whether it says which is meant by a bare noun: "the cat, the left one"."""
        return self.again and before.head == self.head and not before.conditions and not before.plural

    def negated(self) -> bool:
        """Whether what comes next is negated; what comes after it is not."""
        negate, self.negate = self.negate, False
        return negate

    def describe(self, *attributes: str) -> None:
        for word in attributes:
            self.conditions.append(Attribute(word, self.negated()))

    def place(self, *sides: Side) -> None:
        """As in "not in the top left corner", all are negated."""
        if sides:
            negated = self.negated()
            self.conditions += [Place(side, negated) for side in sides]

    def rank(self, order: Order, onwards: bool = True) -> None:
        """The pending ordinal, or the first, in an order. The last counted `onwards` from the left is the first from
        the right; the last on the left is the first from there."""
        number, self.order = self.order or 1, None
        order = words.OPPOSITE[order] if number < 0 and onwards else order
        self.conditions.append(Rank(order, abs(number), self.negated()))

    def relate(self, kind: Kind, *to: Target, negated: bool = False) -> None:
        """What is with white fur is white."""
        if kind == "with" and to[0].head in kinds.COATS and to[0].attributes:
            self.conditions += [Attribute(each.word, negated) for each in to[0].attributes]
            return
        self.conditions.append(Relation(kind, to, negated))

    def take(self, other: Target) -> None:
        """What the other is, this one is: it is one of them, or its part."""
        self.head = other.head if self.head in (None, THING) else self.head
        self.conditions += other.conditions

    def start_again(self, owner: Target) -> None:
        """After "the car's": what was read owns what follows."""
        self.head, self.number, self.plural, self.order = None, None, False, None
        self.conditions = [Relation("of", (owner,))]

    def share(self, following: Draft) -> None:
        """Take the noun, and the side that ordinals count from, of the target after "and": "the first and the second
        cup from the left"."""
        if self.head is not None:
            return
        self.head = following.head
        if self.order is not None:
            sides = [each.order for each in following.conditions if isinstance(each, Rank)]
            self.rank(sides[0] if sides else "left")
        placed = any(isinstance(each, (Place, Rank)) for each in self.conditions)
        if following.number is None and placed:
            following.plural = False  # "the top and bottom shelves" are one each
        self.plural = following.plural

    def finished(self) -> Target:
        """The target. An ordinal without a side counts from the left, and a bare plural means all."""
        if self.order is not None:
            self.rank("left")
        number = self.number if self.number is not None else "all" if self.plural else 1
        return Target(self.head or THING, number, tuple(self.conditions))

    def each(self) -> list[Target]:
        """The target in each of its colours."""
        target = self.finished()
        others = [each for each in target.conditions if each != Attribute(self.colours[-1])] if self.colours else []
        return [replace(target, conditions=(*others, Attribute(colour))) for colour in self.colours] or [target]
