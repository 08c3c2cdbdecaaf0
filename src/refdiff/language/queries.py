"""From an expression to its `Query`.

RefCOCO's expressions are telegraphic ("red shirt right") and their syntax trees often wrong. So spaCy's tags say what
kind of word each is, the tables of `words` what it means, and the order of the words what belongs to what. A `Reader`
goes from left to right and has one rule for each idea read by

    expression := target ("and" target)*
    target     := [number] described noun said*          every part may be missing: "left", "the one behind the car"
    described  := (adjective | side | ordinal | superlative)*
    said       := ["that is"] ["not"] (adjective | place | relation target) | "except" target
    place      := ["on the"] side* [part] ["of the picture"] | "leftmost"
    relation   := "behind" | "of" | "closest to" | "bigger than" | "with" | ...

What follows a noun is said of the nearest noun before it, but what one is with says no more than its noun: in "the cat
by the man in the hat on the left" the man is on the left.
What is worn or carried is said of the nearest who can wear it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from . import joins, nouns, orders, places, relations
from .expression import check_expression
from .items import Item, items
from .query import THING, Query, Target
from .reader import Reader, Rule
from .supplied import supplied
from .words import OPPOSITE, Idea

_REQUEST = re.compile(
    r"[.?!;]\s+(?=(?:please |so |now |just |then |and )*(?:i want|i need|i mean|i'd like|i would like|i'm looking for|"
    r"give|show|find|select|segment|mark|mask|pick|highlight|cut|get|choose|outline|point|can you|could you|would you|"
    r"which|where)\b)", re.IGNORECASE)
"""Between a sentence that tells what there is and one that asks for something."""

_RULES: Mapping[Idea, Rule] = {
    "word": nouns.word, "number": nouns.number, "determiner": nouns.determiner, "one": nouns.one,
    "someone": nouns.someone, "everything": nouns.everything, "pronoun": nouns.pronoun,
    "side": places.side, "part": places.part, "picture": places.picture, "viewer": places.viewer,
    "ordinal": orders.ordinal, "superlative": orders.superlative, "comparative": orders.comparative,
    "extreme": orders.extreme,
    "relation": relations.relation, "unrelated": relations.unrelated, "of": relations.of,
    "possessive": relations.possessive, "at": relations.preposition, "from": relations.preposition,
    "unknown": relations.preposition, "heading": relations.heading, "distance": relations.distance,
    "and": joins.and_, "but": joins.but, "except": joins.except_, "not": joins.not_, "that": joins.that, "be": joins.be,
    "ignored": joins.ignored, "fill": nouns.fill,
}
"""What reads the items of an idea; "than" is skipped."""


def query(text: object) -> Query:
    """What an expression asks for. Raises InputError for an empty text or one of over 1,000 characters."""
    return _query(check_expression(text))


@lru_cache(maxsize=1024)
def _query(text: str) -> Query:
    found: Query | None = supplied((text, Query))
    if found is not None:
        return found
    before, sentence = _sentences(text)
    context = Reader(items(before), _RULES).targets() if before else (Target(THING),)
    like = context[-1].head
    reader = Reader(items(sentence), _RULES, like)
    targets = reader.targets()
    if targets == (Target(THING),):
        targets = context  # "I see two dogs. Mark them."
    targets = tuple(
        replace(each, head=like) if each.head == THING and each.number != "all" else each for each in targets)
    return Query(text, targets, (*reader.ignored, *_lost(reader.items, targets, reader.ignored)))


def _sentences(text: str) -> tuple[str, str]:
    """What is said before the sentence that asks, as in "You see the two cats? I want the left one", and that."""
    starts = [match.end() for match in _REQUEST.finditer(text)]
    return (text[: starts[-1]], text[starts[-1] :]) if starts else ("", text)


def _lost(found: list[Item], targets: tuple[Target, ...], ignored: list[str]) -> list[str]:
    """The words of direction that say nothing in the targets; none is lost without a word."""
    said = " ".join([*map(str, targets), *ignored])
    placed = [item for item in found if item.idea in ("side", "extreme") and item.value in ("left", "right")]
    return [item.text for item in placed if item.value not in said and not any(
        f"{word} {OPPOSITE[item.value]}" in said for word in ("from", "at"))]
