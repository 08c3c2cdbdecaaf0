"""From an expression to items: words that stand for one idea of `words.IDEAS`, or for a thing or what it is like."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from . import words
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
        return self.text.endswith("ing") and self.text not in words.ING_NOUNS

    @property
    def adjective(self) -> bool:
        return self.doing or self.text in words.ADJECTIVES or self.tag in ("JJ", "JJR", "JJS", "VBN", "VBD", "RB")

    @property
    def noun(self) -> bool:
        named = self.tag in ("NN", "NNS", "NNP", "NNPS") and not self.doing
        return named and (self.text not in words.ADJECTIVES or self.text in words.NOUNS_TOO)

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
    tokens = _with_compounds(_with_hyphens(tagged(_spelled(text))))
    found: list[Item] = []
    while tokens:
        item, length = _first(tokens, found[-1] if found else END)
        if item.idea != "word" or any(map(str.isalnum, item.text)):
            found.append(item)
        del tokens[:length]
    return _without_requests(found)


def _spelled(text: str) -> str:
    """The text as the tagger and the tables know it."""
    text = text.lower()
    for pattern, plain in words.SPELLINGS:
        text = re.sub(pattern, plain, text)
    text = re.sub(r"\w+", lambda word: words.TYPOS.get(word.group(), word.group()), text)
    return re.sub(r"\w+(-\w+)+", lambda word: _parted(word.group()), text)


def _parted(word: str) -> str:
    """Words with hyphens of which each stands for an idea are so many words: "upper-left", "second-largest"."""
    parts = word.split("-")
    return " ".join(parts) if (word,) not in words.IDEAS and all((part,) in words.IDEAS for part in parts) else word


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
        if pair in words.COMPOUNDS or pair.removesuffix("s") in words.COMPOUNDS:
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


def _without_requests(found: list[Item]) -> list[Item]:
    """The items with what "mask the girl" begins with as a filler; "the girl with the mask" names a thing."""
    settled: list[Item] = []
    for item, following in pairwise([*found, END]):
        if item.idea == "request":
            begins = all(each.idea in ("fill", "that", "be", "viewer") for each in settled)
            asks = begins and following.idea in ("determiner", "number", "everything", "viewer", "fill", "be")
            item = replace(item, idea="fill" if asks else "word")
        settled.append(item)
    return settled
