"""Rules for what a thing is: nouns and the words that describe them, numbers, and words that stand for nouns."""

from __future__ import annotations

from . import words
from .draft import Draft
from .items import Item
from .query import THING, Attribute, Target
from .reader import Reader
from .syntax import singular


def word(reader: Reader, draft: Draft, item: Item) -> bool:
    """A run of words up to the noun, with what it is compounded of: "big old tennis racket"."""
    if draft.named:
        return _after_noun(reader, draft, item)
    run = _run(reader)
    found = None if draft.linked and all(each.adjective for each in run) else _noun(run, reader.see(len(run)))
    if found is None:
        _describe(draft, *run)
        return reader.skip(len(run))
    first, last = found
    reader.skip(last + 1)
    name, draft.plural = _singular(run[last])
    before = [each.text for each in run[first:last]]
    if name in words.WEARERS and words.CLOTHES.issuperset(before[-1:]) and before:  # "red shirt guy"
        draft.relate("with", Target(" ".join(before), conditions=tuple(Attribute(each.text) for each in run[:first])))
        draft.head = name
    else:
        _describe(draft, *run[:first])
        draft.head = " ".join([*before, name])
    if reader.see().idea == "of":
        _with_measure(reader, draft, name)
    return True


def _run(reader: Reader) -> list[Item]:
    """The next item and the words that follow it. Some words of place are things after adjectives, "a white line", or
    nouns, "laptop screen"."""
    run = [reader.see(), *reader.run(1)]
    following, then = reader.see(len(run)), reader.see(len(run) + 1)
    if following.text in words.PLACES_AND_THINGS and then.idea not in ("word", "side") and (
            following.idea in ("picture", "viewer") or all(each.adjective for each in run)):
        run.append(following)
    return run


def _noun(run: list[Item], following: Item) -> tuple[int, int] | None:
    """Where in a run its noun starts, with what it is compounded of, and where it ends; None without a noun."""
    if following.idea == "one":
        return None  # "the tabby one"
    nouns = [i for i, each in enumerate(run) if each.noun]
    if not nouns:
        last = _noun_by_place(run, following)
        return None if last is None else (last, last)
    first = last = nouns[0]
    while last + 1 in nouns:
        last += 1
    while run[first].text in words.MATERIALS and first < last:
        first += 1  # "plastic bottle"
    return first, last


def _noun_by_place(run: list[Item], following: Item) -> int | None:
    """Where the noun is in a run in which none is tagged as one: last, before what it does."""
    last = len(run) - 1
    while last > 0 and run[last].doing:
        last -= 1
    item, alone = run[last], len(run) == 1
    if item.text == "orange" and (alone or last > 0):
        return last  # a fruit
    if item.text in words.ADJECTIVES or item.doing:
        return None
    describes = (item.adjective or item.text.endswith("ed")) and following.idea != "relation"
    mistaken = item.tag == "JJ" and (last + 1 < len(run) or (alone and not following.idea))  # "firefighter standing"
    return last if mistaken or not describes else None


def _singular(item: Item) -> tuple[str, bool]:
    """A noun in the singular, and whether it was in the plural."""
    text = item.text
    if text in words.PEOPLE:
        return words.PEOPLE[text], True
    *before, last = text.split()
    if last in words.IE_PLURALS:
        return " ".join([*before, last[:-1]]), True
    if text in words.PAIRS or text.endswith(words.SINGULAR_ENDINGS) or text in words.SINGULAR:
        return text, False
    if item.tag in ("NN", "NNP") and not text.endswith("s"):  # "guitars" alone may be tagged as a singular
        return text, False
    name = " ".join([*before, singular(last)])
    return name, name != text


def _with_measure(reader: Reader, draft: Draft, name: str) -> None:
    """A "slice of pizza" is one thing, and a "kind of dog" a dog."""
    if name in words.MEASURES and reader.see(1).idea == "word":
        reader.skip()
        run = reader.run()
        _, last = _noun(run, reader.see(len(run))) or (0, len(run) - 1)
        draft.head = f"{draft.head} of {' '.join(each.text for each in run[: last + 1])}"
        reader.skip(last + 1)
    elif name in words.KINDS:
        draft.head = None
        reader.skip()


def _after_noun(reader: Reader, draft: Draft, item: Item) -> bool:
    """What it does or is like, or what it is with: "guy white shirt"."""
    run = [item, *reader.run(1)]
    if draft.brief and not draft.linked and (item.doing or not all(each.adjective for each in run)):
        return False
    if item.adjective and not item.doing and not (run[-1].adjective or run[-1].verb or draft.linked):
        reader.relate(draft, "with")
        return True
    before = reader.see(-2 if reader.see(-1).idea == "determiner" else -1)
    reader.skip()
    if item.adjective or item.verb or (item.noun and before.idea == "be"):  # "who is a doctor"
        _describe(draft, item)
    elif not item.text.endswith("ly"):
        reader.ignore(item.text)
    if item.text in words.HANDLING and _thing_follows(reader):
        reader.relate(draft, "with")  # "eating a pizza"
    return True


def _thing_follows(reader: Reader) -> bool:
    run = reader.run(reader.past("determiner", "number"))
    return bool(run) and not all(each.adjective for each in run)


def _describe(draft: Draft, *items: Item) -> None:
    for item in items:
        if item.text not in words.DEGREES and not (item.text.endswith("ly") and item.tag == "RB"):
            draft.describe(item.text)


def number(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "two dogs", "dogs (both)" and "player 12". A "pair of scissors" is one thing."""
    if item.text == "pair" and reader.see(1).idea == "of" and reader.see(2).text in words.PAIRED:
        return word(reader, draft, item)
    if draft.head is not None and item.text.isdecimal():
        draft.head = f"{draft.head} {item.text}"
    elif draft.head is None or (draft.plural and draft.number is None):
        draft.number = item.value
    return reader.skip()


def determiner(reader: Reader, draft: Draft, item: Item) -> bool:
    """A noun right after another: "the cup the lady holds" does not say how the two stand, unlike "the one I mean is
    the cup" and "the cup the red one"."""
    described = reader.past("word", "side", start=1)
    if draft.head is None or draft.linked or draft.negate or reader.see(1).idea not in ("word", "number", "one"):
        return reader.skip()
    if draft.outer is not None:
        return False
    if reader.see(described).idea == "one":
        return reader.skip()
    other = reader.target(draft, brief=True)
    reader.ignore(other.head if other else item.text)
    reader.skip_past("be")
    while reader.see().verb:
        reader.skip()
    return True


def one(reader: Reader, draft: Draft, item: Item) -> bool:
    """A noun said before in "the left one", and a number in "one red cup" and "one of the cups"."""
    following = reader.see(1)
    alone = item.text == "one" and draft.head is None and not draft.conditions
    counts = following.idea in ("word", "side", "superlative") and not following.doing
    if alone and (following.idea == "of" or (counts and reader.see(-1).idea != "determiner")):
        draft.number = 1
    elif draft.named:
        return draft.outer is None and reader.skip()
    else:
        draft.head = draft.like if item.text in ("one", "ones") else THING
        draft.plural = item.text.endswith("s")
    return reader.skip()


def everything(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "everything red"."""
    draft.head, draft.number = item.value, "all"
    return reader.skip()


def someone(reader: Reader, draft: Draft, item: Item) -> bool:
    """A person in "who is on the left"; after "the man with the hat" it tells more of the man."""
    if draft.head is not None and draft.brief:
        return False
    draft.head, draft.linked = draft.head or item.value, draft.head is not None
    return reader.skip()


def pronoun(reader: Reader, draft: Draft, item: Item) -> bool:
    """The noun of the target before, in "the clown and the balloon above him". Without one it adds nothing, as in "a
    plate with food on it"."""
    if draft.head is None and draft.outermost is not draft and draft.outermost.like != THING:
        draft.head = draft.outermost.like
    return reader.skip()
