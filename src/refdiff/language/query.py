"""`Query`: what an expression asks for, in a form that prints as one line a person can check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Side = Literal["left", "right", "top", "bottom", "middle", "front", "back", "corner", "edge"]
Order = Literal["left", "right", "top", "bottom", "front", "back",
                "biggest", "smallest", "tallest", "shortest", "widest", "narrowest"]
Kind = Literal["left of", "right of", "above", "below", "next to", "between", "behind", "in front of", "on", "in",
               "touching", "closest to", "farthest from", "with", "of", "bigger than", "smaller than", "taller than",
               "shorter than", "is"]

THING = "thing"
"""The head of a target that names no kind of thing."""


@dataclass(frozen=True)
class Attribute:
    """What a thing is like, in one word as it was said: a colour, a material, what it does."""

    word: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{'not ' * self.negated}{self.word}"


@dataclass(frozen=True)
class Place:
    """Where in the image a thing is."""

    side: Side
    negated: bool = False

    def __str__(self) -> str:
        return f"{'not ' * self.negated}at {self.side}"


@dataclass(frozen=True)
class Rank:
    """Which one in an order: `number` 1 is the first from a side, or the biggest, the smallest, ..."""

    order: Order
    number: int = 1
    negated: bool = False

    def __str__(self) -> str:
        count = "" if self.order.endswith("est") and self.number == 1 else f"#{self.number} "
        return f"{'not ' * self.negated}{count}{self.order if self.order.endswith('est') else f'from {self.order}'}"


@dataclass(frozen=True)
class Relation:
    """How a thing stands to others: one target, or two for 'between'. 'is', always negated, leaves them out."""

    kind: Kind
    to: tuple[Target, ...]
    negated: bool = False

    def __str__(self) -> str:
        kind = "" if self.kind == "is" else f"{self.kind} "
        return f"{'not ' * self.negated}{kind}{' and '.join(f'({target})' for target in self.to)}"


Condition = Attribute | Place | Rank | Relation
_CLASSES: tuple[type, ...] = (Attribute, Place, Rank, Relation)


@dataclass(frozen=True)
class Target:
    """Things of one kind: `head` is the noun in the singular, or THING; `number` how many are meant, or 'all'.

    `conditions` stand in a fixed order: attributes, places, ranks, relations.
    """

    head: str
    number: int | Literal["all"] = 1
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        once = dict.fromkeys(self.conditions)
        order = sorted(once, key=lambda each: (_CLASSES.index(type(each)), str(each)))
        object.__setattr__(self, "conditions", tuple(order))

    def __str__(self) -> str:
        number = "one" if self.number == 1 else self.number
        return f"{number} {', '.join([self.head, *map(str, self.conditions)])}"

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return tuple(each for each in self.conditions if isinstance(each, Attribute))

    @property
    def relations(self) -> tuple[Relation, ...]:
        return tuple(each for each in self.conditions if isinstance(each, Relation))

    @property
    def phrase(self) -> str:
        """The noun with the attributes that are not negated, as an image-text model should see it: "red mug"."""
        return " ".join([*(each.word for each in self.attributes if not each.negated), self.head])

    def nested(self) -> Iterator[Target]:
        """This target and all that its relations name, outermost first."""
        yield self
        for relation in self.relations:
            for other in relation.to:
                yield from other.nested()

    def having(self, *more: Condition) -> Target:
        """The same with more conditions."""
        return replace(self, conditions=(*self.conditions, *more))


@dataclass(frozen=True)
class Query:
    """What `text` asks for: the union of its `targets`. `ignored`: words that might change what is meant and were not
    understood."""

    text: str
    targets: tuple[Target, ...]
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " + ".join(map(str, self.targets))

    @property
    def plain(self) -> bool:
        """Whether one thing is meant by what it is alone, without conditions on others or on its place."""
        first = self.targets[0]
        return (len(self.targets) == 1 and first.number == 1 and first.head != THING
                and all(isinstance(each, Attribute) and not each.negated for each in first.conditions))
