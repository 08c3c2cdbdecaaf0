"""From an expression to items: words that stand for one idea of `words.IDEAS`, or for a thing or what it is like."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from . import kinds, words
from .spelling import spelled
from .syntax import tagged
from .words import Idea

Token = tuple[str, str]
"""A word, lower case, and its tag."""


@dataclass(frozen=True)
class Item:
    """`idea` says what `text` is, `value` what `words.IDEAS` says of it, and `tag` is spaCy's for its first word."""

    idea: Idea
    text: str = ""
    tag: str = ""
    value: Any = None

    @property
    def doing(self) -> bool:
        """Whether it is what a thing does, even where it is tagged as a noun: "jumping" but not "building"."""
        return self.text.endswith("ing") and self.text not in kinds.ING_NOUNS

    @property
    def adjective(self) -> bool:
        return self.doing or self.text in kinds.ADJECTIVES or self.tag in ("JJ", "JJR", "JJS", "VBN", "VBD", "RB")

    @property
    def noun(self) -> bool:
        named = self.tag in ("NN", "NNS", "NNP", "NNPS") and not self.doing
        return named and (self.text not in kinds.ADJECTIVES or self.text in kinds.NOUNS_TOO)

    @property
    def names(self) -> bool:
        """Whether it names a thing, or is on the way to it: what is before it describes it."""
        return self.idea == "one" or (self.idea == "word" and not self.doing)

    @property
    def verb(self) -> bool:
        return self.tag.startswith("VB")


END = Item("")


def items(text: str) -> list[Item]:
    """The longest phrases that the tables know, and other words as they are; signs that no table knows are left out."""
    tokens = _with_compounds(_with_hyphens(tagged(spelled(text))))
    found: list[Item] = []
    while tokens:
        item, length = _first(tokens, found[-1] if found else END)
        if any(unicodedata.category(sign) == "So" for sign in item.text):
            item = replace(item, idea="ignored")  # an emoji may stand for the thing
        if item.idea != "word" or any(map(str.isalnum, item.text)):
            found.append(item)
        del tokens[:length]
    return _without_requests(found)


def _with_hyphens(tokens: list[Token]) -> list[Token]:
    """spaCy takes "t-shirt" for three words."""
    joined: list[Token] = []
    for word, tag in tokens:
        if len(joined) > 1 and joined[-1][0] == "-":
            joined.pop()
            joined[-1] = (f"{joined[-1][0]}-{word}", tag)
        else:
            joined.append((word, tag))
    return joined


def _with_compounds(tokens: list[Token]) -> list[Token]:
    joined: list[Token] = []
    for word, tag in tokens:
        pair = f"{joined[-1][0]}_{word}" if joined else ""
        if pair in kinds.COMPOUNDS or pair.removesuffix("s") in kinds.COMPOUNDS:
            joined[-1] = (pair.replace("_", " "), "NNS" if word.endswith("s") else "NN")
        else:
            joined.append((word, tag))
    return joined


def _first(tokens: list[Token], previous: Item) -> tuple[Item, int]:
    """The item that the tokens start with, and how many it takes."""
    word, tag = tokens[0]
    if tag == "POS":
        return Item("possessive", word, tag), 1
    for length in range(min(words.LONGEST, len(tokens)), 0, -1):
        phrase = tuple(word for word, _ in tokens[:length])
        if phrase in words.IDEAS and not _place_and_relation(phrase, previous):
            idea, value = words.IDEAS[phrase]
            return Item(idea, " ".join(phrase), tag, value), length
    if word.isdecimal() and len(word) < 3 and int(word) > 0:
        return Item("number", word, tag, int(word)), 1
    return Item("word", word, tag), 1


def _place_and_relation(phrase: tuple[str, ...], previous: Item) -> bool:
    """As in "the dog on the right next to the tree", where "right next to" is not one relation."""
    relation, side = words.IDEAS[phrase][0] == "relation", words.IDEAS.get(phrase[:1], ("", None))[0] == "side"
    return relation and side and previous.idea in ("determiner", "relation", "at")


_BEFORE_REQUESTS: tuple[Idea, ...] = ("fill", "that", "be", "viewer", "not")
_AFTER_REQUESTS: tuple[Idea, ...] = ("determiner", "number", "everything", "pronoun", "viewer", "fill", "be",
                                       "request")


def _without_requests(found: list[Item]) -> list[Item]:
    """The items with what "mask the girl" and "a mask of the girl" begin with as fillers; "the girl with the mask" and
    "the mask of the girl" name a thing."""
    settled: list[Item] = []
    for item, following in pairwise([*found, END]):
        begins = all(each.idea in _BEFORE_REQUESTS for each in settled)
        if item.text in words.MASKS and following.text in ("of", "for") and (begins or _asked(settled)):
            item = replace(item, idea="fill")
        elif item.idea == "request":
            asks = begins and following.idea in _AFTER_REQUESTS
            item = replace(item, idea="fill" if asks else "word")
        elif item.idea == "of" and settled and settled[-1].idea == "fill" and settled[-1].text in words.MASKS:
            item = replace(item, idea="fill")
        settled.append(item)
    return settled


def _asked(settled: list[Item]) -> bool:
    """Whether these are a request and an article, or "a"; "the mask of the girl" requests nothing."""
    *before, last = settled
    return last.idea == "determiner" and (bool(before) or last.text != "the") and all(
        each.idea in _BEFORE_REQUESTS for each in before)
