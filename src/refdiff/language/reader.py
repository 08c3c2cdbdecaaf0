"""`Reader`: goes through the items of an expression, and has a rule for each idea read them into `Draft`s."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

from . import kinds
from .draft import Draft
from .items import END, Item
from .query import THING, Kind, Target
from .syntax import singular
from .words import Idea

_INDEFINITE = ("a", "an")
MAX_DEPTH = 12
"""How deep relations may be nested; no one says or understands more."""


class Reader:
    """`rules` has the rule for each idea that is not skipped: given the draft and its next item, it reads that and what
    belongs to it, or returns False where the item is not this draft's. `like` is the noun that a first "one" stands
    for. `ignored` gathers what was not understood."""

    def __init__(self, items: list[Item], rules: Mapping[Idea, Rule], like: str = THING):
        self.items, self.rules, self.like = items, rules, like
        self.at = 0
        self.ignored: list[str] = []

    # Going through the items

    def see(self, ahead: int = 0) -> Item:
        place = self.at + ahead
        return self.items[place] if 0 <= place < len(self.items) else END

    def past(self, *ideas: Idea, start: int = 0) -> int:
        """How far ahead the first item is, from `start` on, that is none of these ideas."""
        while self.see(start).idea in ideas:
            start += 1
        return start

    def run(self, start: int = 0) -> list[Item]:
        """The words ahead up to the next idea."""
        return [self.see(i) for i in range(start, self.past("word", start=start))]

    def skip(self, count: int = 1) -> bool:
        self.at += count
        return True

    def skip_past(self, *ideas: Idea) -> None:
        self.at += self.past(*ideas)

    def ignore(self, text: str) -> None:
        if text and text not in self.ignored:
            self.ignored.append(text)

    def ignore_rest(self) -> None:
        self.ignore(" ".join(item.text for item in self.items[self.at :]))
        self.at = len(self.items)

    # Targets

    def targets(self) -> tuple[Target, ...]:
        """All that the items name; one thing where they name nothing."""
        drafts: list[Draft] = []
        while self.see().idea:
            comma = self.see(-1).text == ","
            draft = self.read(Draft(like=drafts[-1].said if drafts else self.like))
            if comma and drafts and draft.repeats(drafts[-1]):
                drafts[-1] = draft
            elif draft.something:
                drafts.append(draft)
            self.skip_past("and")
        for draft, following in reversed(list(pairwise(drafts))):
            draft.share(following)
        return tuple(dict.fromkeys(target for draft in drafts for target in draft.each())) or (Target(THING),)

    def target(self, outer: Draft, brief: bool = False, like: str | None = None) -> Target | None:
        """The target of a relation of `outer`, where the items name one."""
        draft = Draft(outer, brief, like or outer.said, outer.depth + 1)
        if draft.depth > MAX_DEPTH:
            self.ignore_rest()
        return draft.finished() if self.read(draft).something else None

    def read(self, draft: Draft) -> Draft:
        while self.see().idea and self.rules.get(self.see().idea, _skip)(self, draft, self.see()):
            pass
        if draft.negate:
            self.ignore("not")
        return draft

    # What several rules read

    def relate(self, draft: Draft, kind: Kind) -> bool:
        """Read what `draft` has this relation to; False where nothing is named. What one is with is brief."""
        negated = draft.negated()
        brief = draft.brief or kind == "with"
        start = self.at
        first = self.target(draft, brief)
        if first is None:
            return False
        if kind == "between" and first.number == 1 and self.see().idea == "and":
            self.skip()
            draft.relate(kind, *_both(first, self.target(draft, like=first.head)), negated=negated)
        else:
            draft.relate(kind, first, negated=negated)
        while kind == "with" and self.see().idea == "and" and (self.clothes(1, kinds.HAD) or self._another(start)):
            self.skip()
            more = self.target(draft, brief)
            if more is not None:
                draft.relate(kind, more, negated=negated)
        return True

    def _another(self, start: int) -> bool:
        """Whether "and" leads to another thing that one has, in "the boy holding a red umbrella and a blue bag". After
        "a boy" or "holding the umbrella" it may as well lead to a target of its own, and so may what is animate."""
        run = self.run(2)
        return (self.see().text == "and" and self.items[start].text in _INDEFINITE and self.see(1).text in _INDEFINITE
                and not any(item.text in _INDEFINITE for item in self.items[:start])
                and bool(run) and not {singular(item.text) for item in run} & kinds.ANIMATE)

    def clothes(self, start: int = 0, nouns: frozenset[str] = kinds.CLOTHES) -> bool:
        """Whether one of the next words, from `start` on, is of these: "in a red shirt", "in his white top"."""
        start = self.past("determiner", "fill", "number", start=start)
        end = self.past("word", "and", start=start)
        return self.had("top", end) or any(
            {word, singular(word)} & nouns for i in range(start, end) for word in self.see(i).text.split())

    def had(self, side: str, ahead: int = 0) -> bool:
        """Whether this side is so far ahead and a thing: "in a white top", "with his back turned"."""
        following = self.see(ahead + 1)
        place = following.idea in ("side", "part", "of", "one") or (following.idea == "word" and not following.verb)
        return self.see(ahead).text == side and not place

    def choose(self, draft: Draft) -> bool:
        """Read what the draft is one of: "the left of the two dogs"."""
        group = self.target(draft)
        if group is not None:
            draft.take(group)
        return True


def _both(first: Target, second: Target | None) -> tuple[Target, ...]:
    """The first takes the noun of the second: "between the red and the blue cup"."""
    if second is None:
        return (first,)
    return (replace(first, head=second.head) if first.head == THING else first, second)


def _skip(reader: Reader, draft: Draft, item: Item) -> bool:
    return reader.skip()


Rule = Callable[[Reader, Draft, Item], bool]
