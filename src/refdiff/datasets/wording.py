"""How people put it: plurals, nouns that can be taken for one another, and sentences around what is meant."""

from __future__ import annotations

import re

import numpy as np

# A scene never holds two nouns of one group, and none of a group in the scene counts as absent from it: one may be
# taken for the other, contain its word, or show it as a part.
_GROUPS = tuple(frozenset(group.split()) for group in (
    "ball basketball balloon", "bird duck chicken chick rooster penguin dove eagle owl parrot turkey swan flamingo",
    "bus truck car train tractor", "airplane helicopter rocket", "sun moon star flower heart",
    "cake candle strawberry cherry gift", "house tree", "cactus pineapple mushroom carrot",
    "dog cat bear tiger lion fox wolf", "cow horse sheep pig rabbit goat deer unicorn zebra mouse rat monkey",
    "fish whale shark dolphin", "frog turtle lizard snake crocodile", "bee butterfly spider bug ant",
    "donut cookie pizza burger ring", "book laptop phone camera", "shirt dress", "hat crown", "bed chair",
    "apple lemon egg", "cup bottle drum", "pencil spoon key hammer trumpet",
))
# One drawing may be called several of these, and an orange may be a colour.
_UNCOUNTED = frozenset("broccoli bread cherry corn glasses grapes orange scissors".split())
_PLURALS = {"fish": "fish", "sheep": "sheep", "deer": "deer", "squid": "squid", "shrimp": "shrimp", "mouse": "mice",
            "goose": "geese", "wolf": "wolves", "person": "people", "man": "men", "woman": "women", "child": "children",
            "leaf": "leaves", "knife": "knives", "potato": "potatoes", "tomato": "tomatoes"}
_VERBS = (("that isn't", "that aren't"), ("that is", "that are"), ("that's", "that are"))
_LEFT_OUT = re.compile(r"\b(?:the (?!one\b|other\b|rest\b)|that is |that are |that's )")
_REQUESTS = ("please mark {}", "could you mark {}", "find {}", "select {}", "show me {}", "highlight {}", "outline {}",
             "i am looking for {}", "{} please", "i mean {}", "can you find {} for me", "segment {}")


def countable(noun: str) -> bool:
    """Whether one drawing of the noun is called one of it."""
    return noun not in _UNCOUNTED


def group(noun: str) -> frozenset[str]:
    """The nouns that this one may be taken for, itself among them."""
    return next((names for names in _GROUPS if noun in names), frozenset({noun}))


def plural(noun: str) -> str:
    """The noun's plural; of a compound, its last word's."""
    *before, last = noun.split(" ")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return " ".join((*before, last))


def with_article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" and not phrase.startswith("uni") else "a ") + phrase


def agreeing(phrase: str) -> str:
    """What was said of one, said of several: 'that is' becomes 'that are'."""
    for one, several in _VERBS:
        phrase = phrase.replace(one, several)
    return phrase


def worded(rng: np.random.Generator, phrase: str, asked: bool = True) -> str:
    """The phrase as it is, short as a telegram, or (where it can be asked for) within a request."""
    draw = rng.random()
    if draw < 0.4:
        return _LEFT_OUT.sub("", phrase)
    if draw < 0.6 and asked:
        return str(rng.choice(_REQUESTS)).format(phrase)
    return phrase
