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
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from . import joins, nouns, orders, places, relations
from .expression import check_expression
from .items import items
from .query import Query
from .reader import Reader, Rule
from .supplied import supplied
from .words import Idea

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
    "ignored": joins.ignored,
}
"""What reads the items of an idea; "fill" and "than" are skipped."""


def query(text: object) -> Query:
    """What an expression asks for. Raises InputError for an empty text or one of over 1,000 characters."""
    return _query(check_expression(text))


@lru_cache(maxsize=1024)
def _query(text: str) -> Query:
    found: Query | None = supplied((text, Query))
    if found is not None:
        return found
    reader = Reader(items(text), _RULES)
    return Query(text, reader.targets(), tuple(reader.ignored))
