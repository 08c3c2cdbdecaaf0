"""How an expression is written: signs, abbreviations, slips of the pen and turns of phrase, as the tables know them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from . import kinds, words
from .syntax import known

_SIDE = r"(?:left|right|top|bottom|front|back|middle|center|centre|side|foreground|background|corner|upper|lower)"
_COUNTS = "one two three four five six seven eight nine ten".split()
_COUNT = rf"(?:\d+|{'|'.join(_COUNTS)})"
_HOURS = ("top", "top right", "top right", "right", "bottom right", "bottom right", "bottom", "bottom left",
          "bottom left", "left", "top left", "top left")
_DONE = "holding|wearing|carrying|riding|eating|drinking|reading|throwing|using|pushing|pulling|sitting on|standing on"

_SIGNS = (
    (r"[’‘´`]", "'"),
    (r"[“”]", '"'),
    (r"\bw/o\b", "without "),
    (r"\bb/w\b", "between"),
    (r"\bw/", "with "),
    (r"\bb&w\b", "black and white"),
    (r"\bnon-", "non "),
    (r"#\s*(?=\d)", "number "),
    (r"(?<=\w)[+&](?=\w)", " and "),
    (r"(?<=\w)/(?=\w)", " / "),
    (r"(?<=[a-z]{2})\.(?=[a-z]{2})", " , "),
    (r"(?<=\w) shaped\b", "-shaped"),
    (r"\s-+\s|[–—;|]", " , "),
    (r"[()]", r" \g<0> "),
    (r"\bno\. ?(?=\d)", "number "),
    (r"(?<!letter )\bl$|^l(?= )|\bl(?= (?:most|side|corner|hand)\b)", "left"),
    (r"(?<!letter )(?<=[\w,] )r$|^r(?= )|\br(?= (?:most|side|corner|hand)\b)", "right"),
)
"""Signs as words and as the plain signs that the tagger knows, by regular expression."""
_TURNS = (
    (r"\bcloset to\b", "closest to"),
    (r"\b(that|which|who) (?:can|could|will|would|might|must|should)\b(?! (?:be|i|you|we)\b)", r"\1"),
    (r"^how many (.+?) (?:are|is) there\b.*|^how many (.+)", lambda match: f"the {match[1] or match[2]}"),
    (r"\b(?:no[ -]?one|nobody)\b(?! of)", "no person"),
    (r"\b(?:immediate|direct)(?:ly)? (?=(?:left|right)\b)", ""),  # "to the immediate left of"
    (r"\b(?:a (?:little )?bit|a little|slightly|somewhat|immediately|almost)(?: (?:further|farther|more))? "
     r"(?=(?:(?:off )?to the|left|right|above|below|behind|in front|over|under)\b)", ""),
    (rf"\b(?<!the )(?:way|off|over|out|away|further|farther)"
     rf" (?=(?:(?:to|on|in|at) (?:the )?(?:very |far )?|over )(?:{_SIDE}|there)\b)", ""),
    (r"\b(?<!the )way (?=(?:back|in|on|at|over|up|down|off|out|behind|above|below)\b)", ""),  # "way in the back"
    (rf"\b(?:number|no\.?) ?({_COUNT}) (?=(?:in )?(?:from|counting|counted|on the|in from)\b)",
     lambda match: f"{_ordinal(match[1])} "),
    (r"(?<=th|rd|nd|st) (one )?(?:in|along|across|over) from\b", r" \1from"),
    (rf"\b({_COUNT}) (?:in|along|across|over|up|down) from\b", lambda match: f"{_ordinal(match[1])} from"),
    (rf"\b(?:in|along|across|over) from (?=(?:the )?{_SIDE}\b)", "from "),
    (r"\b(?:one )?(?:just |right )?before (?:the )?(?:very )?last(?: one)?\b|\blast but one\b", "second to last"),
    (r"\blast but two\b", "third to last"),
    (r"\b(\w+(?:most|est)) but one\b", r"second \1"),
    (r"\b(\w+(?:most|est)) but two\b", r"third \1"),
    (rf"\b(?:further|farther) (?={_SIDE}\b)", ""),
    (r"\b(above|below|under|over|behind) (?:and )?(?:to )?(?:the )?(?=(?:left|right) of\b)", r"\1 and to the "),
    (r"\bto the (left|right) (and|or) (?=(?:above|below|behind|over|under|in front)\b)", r"to the \1 of \2 "),
    (r"(?:\b(?:at|in|to) )?(?:\bthe )?\b(\d+|" + "|".join(_COUNTS) + r"|eleven|twelve) ?o'? ?clock(?: position)?\b",
     lambda match: _hour(match[1])),
    (rf"^what(?:'s| is| are) ((?:the|a|this|that|his|her) .+?) ({_DONE})\b", r"the thing that \1 is \2"),
)
"""Turns of phrase as others that mean the same, by regular expression."""
_TYPOS = {
    "teh": "the", "hte": "the", "thier": "their", "righ": "right", "frm": "from", "fom": "from",
    "secnd": "second", "thrid": "third", "furtherest": "furthest", "fartherest": "farthest", "wth": "with",
    "infront": "in front", "nextto": "next to", "inbetween": "in between", "ontop": "on top", "forground": "foreground",
    "backround": "background", "wearign": "wearing", "holidng": "holding", "btwn": "between", "nxt": "next",
    "pls": "please", "plz": "please", "ppl": "people", "blk": "black", "wht": "white", "grn": "green",
    "lhs": "left side", "rhs": "right side", "rt": "right", "btm": "bottom", "bttm": "bottom",
}
_CONFUSABLE = frozenset("shall rebar marion marlon larry garry cary carey carr carrie camry lowe longo leong yeung "
                         "yong grady borden browder golda gras".split())
"""Words and names that no table has and a slip would turn into another."""


def spelled(text: str) -> str:
    """The text in lower case as the tagger and the tables know it."""
    text = text.lower()
    for pattern, plain in _SIGNS:
        text = re.sub(pattern, plain, text)
    text = re.sub(r"\w+", lambda word: _corrected(word.group()), text)
    for pattern, turned in _TURNS:
        text = re.sub(pattern, turned, text)
    return re.sub(r"\w+(-\w+)+", lambda word: _parted(word.group()), text)


def _parted(word: str) -> str:
    """Words with hyphens of which each stands for an idea are so many words: "upper-left", "second-largest"."""
    parts = word.split("-")
    return " ".join(parts) if (word,) not in words.IDEAS and all((part,) in words.IDEAS for part in parts) else word


def _ordinal(count: str) -> str:
    number = int(count) if count.isdecimal() else _COUNTS.index(count) + 1
    return next((phrase for phrase, (idea, value) in _ordinals() if value == number), f"number {number}")


def _ordinals() -> list[tuple[str, tuple[str, object]]]:
    return [(phrase[0], meaning) for phrase, meaning in words.IDEAS.items() if meaning[0] == "ordinal"]


def _hour(hour: str) -> str:
    number = int(hour) if hour.isdecimal() else [*_COUNTS, "eleven", "twelve"].index(hour) + 1
    return f"at the {_HOURS[number % 12]}"


@lru_cache(maxsize=4096)
def _corrected(word: str) -> str:
    """A word that is none, and one slip away from a single word of direction, order, size, colour or relation, as that
    word. Nouns are left alone."""
    if word in _TYPOS:
        return _TYPOS[word]
    if len(word) < 3 or not (word.isalpha() and word.isascii()) or (word,) in words.IDEAS or word in _CONFUSABLE:
        return word
    return slip_of(word, _meant()) or word


def slip_of(word: str, meant: Iterable[str]) -> str | None:
    """The only one of some words that a word, which is none itself, is one slip away from."""
    near = [each for each in meant if word[0] == each[0] and _one_slip(word, each)]
    return near[0] if len(near) == 1 and not known(word) else None


@lru_cache(maxsize=1)
def _meant() -> frozenset[str]:
    """The words that a slip may stand for."""
    ideas = ("side", "extreme", "ordinal", "superlative", "comparative", "relation", "unrelated", "distance")
    alone = {phrase[0] for phrase, (idea, _) in words.IDEAS.items() if idea in ideas and len(phrase) == 1}
    return frozenset(word for word in alone | kinds.COLOURS | kinds.SIZES if len(word) > 3 and word.isalpha())


def _one_slip(word: str, meant: str) -> bool:
    """Whether one letter is missing, too many or, in long words, wrong, or two neighbours have changed places."""
    short = len(meant) < 5
    while word and meant and word[0] == meant[0]:
        word, meant = word[1:], meant[1:]
    while word and meant and word[-1] == meant[-1]:
        word, meant = word[:-1], meant[:-1]
    if len(word) == 2:
        return word == meant[::-1]
    return len(word) + len(meant) == 1 or (len(word) == len(meant) == 1 and not short)
