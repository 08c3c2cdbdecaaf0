"""Rules for what a thing is: nouns and the words that describe them, numbers, and words that stand for nouns."""

from __future__ import annotations

from dataclasses import replace

from . import kinds, words
from .draft import Draft
from .items import Item
from .query import THING, Attribute, Target
from .reader import Reader
from .syntax import singular


def word(reader: Reader, draft: Draft, item: Item) -> bool:
    """A run of words up to the noun, with what it is compounded of: "big old tennis racket"."""
    if draft.named or (draft.head is not None and reader.see(-1).text in words.WHO):  # "the thing that flies"
        return _after_noun(reader, draft, item)
    run = _run(reader)
    found = None if draft.linked and all(each.adjective for each in run) else _noun(run, reader.see(len(run)))
    if found is None:
        _describe(draft, *run)
        return reader.skip(len(run))
    first, last = found
    if run[-1].text in kinds.BODY and last + 2 == len(run) and reader.see(len(run)).text in ("up", "down"):
        last += 1  # "cow head down", where a tagger takes the head for a verb
    reader.skip(last + 1)
    name, draft.plural = _singular(run[last])
    before = [each.text for each in run[first:last]]
    if name in kinds.BODY and before and reader.see().text in ("up", "down"):  # "horse head up"
        draft.relate("with", Target(name, "all" if draft.plural else 1, (Attribute(reader.see().text),)))
        _describe(draft, *run[:first])
        draft.head, draft.plural = " ".join(before), False
        return reader.skip()
    if before and before[-1] in kinds.WEARERS and name in kinds.HAD:  # "girl ponytail"
        draft.relate("with", Target(name, "all" if draft.plural else 1))
        _describe(draft, *run[:first])
        draft.head, draft.plural = " ".join(before), False
        return True
    if name in kinds.WEARERS and kinds.CLOTHES.issuperset(before[-1:]) and before:  # "red shirt guy"
        worn = Target(" ".join(before), conditions=tuple(Attribute(each.text) for each in run[:first]))
        draft.relate("with", worn, negated=draft.negated())  # "no shirt guy"
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
    while run[first].text in kinds.MATERIALS and first < last:
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
    if item.text in kinds.ADJECTIVES or item.doing:
        return None
    stands = following.idea in ("relation", "unrelated", "distance", "from")  # "the remote closest to the cat"
    describes = (item.adjective or item.text.endswith("ed")) and not stands
    mistaken = item.tag == "JJ" and (last + 1 < len(run) or (alone and not following.idea))  # "firefighter standing"
    return last if mistaken or not describes else None


def _singular(item: Item) -> tuple[str, bool]:
    """A noun in the singular, and whether it was in the plural."""
    text = item.text
    if text in kinds.PEOPLE:
        return kinds.PEOPLE[text], True
    *before, last = text.split()
    if last in kinds.IE_PLURALS:
        return " ".join([*before, last[:-1]]), True
    if text in kinds.PAIRS or text.endswith(kinds.SINGULAR_ENDINGS) or text in kinds.SINGULAR:
        return text, False
    if item.tag in ("NN", "NNP") and not text.endswith("s"):  # "guitars" alone may be tagged as a singular
        return text, False
    name = " ".join([*before, singular(last)])
    return name, name != text


def _with_measure(reader: Reader, draft: Draft, name: str) -> None:
    """A "slice of pizza" is one thing, and a "kind of dog" a dog."""
    if name in kinds.MEASURES and reader.see(1).idea == "word":
        reader.skip()
        run = reader.run()
        _, last = _noun(run, reader.see(len(run))) or (0, len(run) - 1)
        draft.head = f"{draft.head} of {' '.join(each.text for each in run[: last + 1])}"
        reader.skip(last + 1)
    elif name in kinds.KINDS:
        draft.head = None
        reader.skip()


def _after_noun(reader: Reader, draft: Draft, item: Item) -> bool:
    """What it does or is like, or what it is with: "guy white shirt"."""
    run = [item, *reader.run(1)]
    if item.text in kinds.POSTURES and draft.head not in kinds.ANIMATE and any(
            each.head in kinds.ANIMATE for each in draft.outers):
        return False  # "the kid in the snow smiling"
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
    if item.text in words.HANDLING and thing_follows(reader):
        reader.relate(draft, "with")  # "eating a pizza"
    return True


def thing_follows(reader: Reader, start: int = 0) -> bool:
    """Whether a noun is so far ahead, after what may stand before one."""
    run = reader.run(reader.past("determiner", "number", start=start))
    return bool(run) and not all(each.adjective for each in run)


def _describe(draft: Draft, *items: Item) -> None:
    for item in items:
        if item.text not in kinds.DEGREES and not (item.text.endswith("ly") and item.tag == "RB"):
            draft.describe(item.text)


def number(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "two dogs", "dogs (both)" and "player 12". A "pair of scissors" is one thing."""
    if item.text == "pair" and reader.see(1).idea == "of" and reader.see(2).text in kinds.PAIRED:
        return word(reader, draft, item)
    if item.text == "both" and _joins(reader):
        return reader.skip()
    if item.text in words.SOME_OF_ALL:
        reader.ignore(item.text)
    if draft.head is not None and item.text.isdecimal():
        draft.head = f"{draft.head} {item.text}"
    elif draft.head is None or (draft.plural and draft.number is None):
        draft.number = item.value
    return reader.skip()


def _joins(reader: Reader) -> bool:
    """Whether "both" is of a thing and another: "both the red mug and the blue one", unlike "both cats"."""
    start = reader.past("determiner", "side", "extreme", "superlative", "ordinal", "part", start=1)
    return reader.see(start).idea in ("word", "one", "and") and not plural_follows(reader, start) and any(
        item.idea == "and" for item in reader.items[reader.at :])


def plural_follows(reader: Reader, start: int) -> bool:
    """Whether the noun that is so far ahead, after what describes it, is in the plural."""
    run = reader.run(start)
    following = reader.see(start + len(run))
    if following.idea == "one":
        return following.text.endswith("s")
    found = _noun(run, following) if run else None
    return found is not None and _singular(run[found[1]])[1]


def determiner(reader: Reader, draft: Draft, item: Item) -> bool:
    """A noun right after another starts a clause, "the cup the lady holds", unlike in "the one I mean is the cup" and
    "the cup the red one"."""
    described = reader.past("word", "side", start=1)
    if draft.head is None or draft.linked or draft.negate or reader.see(1).idea not in ("word", "number", "one"):
        return reader.skip()
    if draft.outer is not None:
        return False
    if reader.see(described).idea == "one":
        return reader.skip()
    clause(reader, draft)
    return True


def clause(reader: Reader, draft: Draft, negated: bool = False) -> None:
    """How another thing stands to the draft's, told the other way round: "the horse that the girl is riding"."""
    other = reader.target(draft, brief=True)
    negated = negated or any(reader.see(i).idea == "not" for i in range(reader.past("be", "not")))
    reader.skip_past("be", "not")
    last = reader.see(-1)
    if other is not None and last.doing:  # "is sitting" belongs to what follows
        other = replace(other, conditions=tuple(each for each in other.conditions if each != Attribute(last.text)))
    while last.idea != "relation" and (reader.see().verb or reader.see().doing or reader.see().idea == "relation"):
        last = reader.see()
        reader.skip()
    kind = "with" if last.text in words.HANDLING else last.value if last.idea == "relation" else None
    if other is not None and kind in words.INVERSE and not thing_follows(reader):
        draft.relate(words.INVERSE[kind], other, negated=negated)
    else:
        reader.ignore(other.head if other else last.text)


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
        draft.again = item.text == "one"
        draft.head = draft.like if item.text in ("one", "ones") else THING
        draft.plural = item.text.endswith("s")
    return reader.skip()


def fill(reader: Reader, draft: Draft, item: Item) -> bool:
    """Words that say nothing, but for "up" and "down" in "with its head down"."""
    if item.text in ("up", "down") and draft.head in kinds.BODY:
        draft.describe(item.text)
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
