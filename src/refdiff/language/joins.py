"""Rules for what joins targets and conditions, and for what leaves out and negates."""

from __future__ import annotations

from dataclasses import replace

from . import kinds
from .draft import Draft
from .items import Item
from .nouns import clause, plural_follows, thing_follows
from .query import THING, Attribute, Relation
from .reader import Reader
from .relations import of_another
from .syntax import singular
from .words import WORN, Idea

DOES = frozenset("do does did don doesn didn".split())


def and_(reader: Reader, draft: Draft, item: Item) -> bool:
    """More of the same ("that is red and blue", "on the left and behind the car"), or else the end of the draft."""
    ahead = reader.past("and", "fill")
    last = draft.conditions[-1] if draft.conditions else None
    negated = last is not None and last.negated
    if item.text == "or" and negated and isinstance(last, Relation) and _thing(reader, draft, ahead):
        reader.skip(ahead)  # "not next to the man or the woman"
        draft.negate = True
        reader.relate(draft, last.kind)
        return True
    if item.text == "," and draft.outer is None and reader.see(ahead).idea == "word" and _had(reader, draft, ahead):
        reader.skip(ahead)
        return reader.relate(draft, "with")
    if _colours(reader, draft):
        return True
    if reader.see(ahead).idea and not _more(reader, draft, ahead):
        return False
    both = isinstance(last, Attribute) and _adjectives(reader, draft, ahead)  # "not red and blue"
    draft.negate = negated and (item.text == "or" or both)
    return reader.skip(ahead)


def _colours(reader: Reader, draft: Draft) -> bool:
    """Colours of which each thing has one: "blue or red car" and "red and blue cars", but not "a red and blue ball"
    nor, as white goes with another, "black and white cats"."""
    last = draft.conditions[-1] if draft.conditions else None
    before_noun = draft.head is None or draft.linked
    if draft.outer or draft.number not in (None, "all") or not before_noun or not isinstance(last, Attribute):
        return False
    colours, end = [last.word], 0
    while reader.see(end).idea == "and" and reader.see(reader.past("and", start=end)).text in kinds.COLOURS:
        end = reader.past("and", start=end) + 1
        colours.append(reader.see(end - 1).text)
    by_or = any(reader.see(i).text == "or" for i in range(end))
    several = by_or or (plural_follows(reader, end) and not (len(colours) == 2 and "white" in colours))
    if last.negated or colours[0] not in kinds.COLOURS or len(colours) == 1 or not several:
        return False
    draft.colours, draft.conditions[-1] = colours, Attribute(colours[-1])
    return reader.skip(end)


def _had(reader: Reader, draft: Draft, ahead: int) -> bool:
    """As in "girl, ponytail, left" and "cow, head down"."""
    if reader.see(ahead).text in kinds.BODY and reader.see(ahead + 1).text in ("up", "down"):
        return draft.head in kinds.ANIMATE
    return draft.head in kinds.PERSONS and reader.clothes(ahead, kinds.HAD)


def _more(reader: Reader, draft: Draft, ahead: int) -> bool:
    """Whether what is so far ahead, after "and", is said of the draft."""
    idea = reader.see(ahead).idea
    if idea == "word":
        if _adjectives(reader, draft, ahead):
            return draft.head is None or draft.linked
        return draft.head is None and bool(draft.conditions) and not draft.ranked
    if draft.outer is not None:
        return False
    if idea in ("side", "extreme", "ordinal", "superlative"):
        return not _thing(reader, draft, ahead) and _place_follows(reader, draft, idea)
    return idea == "not" or (draft.started and idea in ("relation", "unrelated", "that", "be", "at", "distance"))


def _place_follows(reader: Reader, draft: Draft, idea: Idea) -> bool:
    """As in "the cat on the left and at the top" and, after a comma, "zebra, second from the right"."""
    if reader.see().text == ",":
        return draft.started or (bool(draft.conditions) and (idea == "side" or not draft.ranked))
    return draft.started and idea == "side"


def _thing(reader: Reader, draft: Draft, ahead: int) -> bool:
    """Whether a thing is named so far ahead, not only what one is like or where it is: "the cat", "left dog"."""
    described = reader.past("side", "extreme", "ordinal", "superlative", "part", start=ahead)
    following = reader.see(described)
    if following.idea == "word":
        return not _adjectives(reader, draft, described)
    return reader.see(ahead).idea in ("determiner", "number", "everything", "pronoun") or following.idea == "one"


def _adjectives(reader: Reader, draft: Draft, ahead: int) -> bool:
    """Whether the words so far ahead describe, alone or before a noun that is still to come."""
    run = reader.run(ahead)
    return bool(run) and (all(each.adjective for each in run) or (draft.head is None and run[0].adjective))


def but(reader: Reader, draft: Draft, item: Item) -> bool:
    """Leaves out in "all animals but the horse", and joins in "big but not red"."""
    if draft.outer is not None and draft.head is not None:
        return False
    if _thing(reader, draft, 1):
        return except_(reader, draft, item)
    return reader.skip()


def except_(reader: Reader, draft: Draft, item: Item) -> bool:
    """What is left out, in "all cups except the red one and the blue one"."""
    if draft.outer is not None:
        return False
    draft.head, draft.number = draft.head or THING, "all"
    reader.skip()
    _leave_out(reader, draft, item)
    while reader.see().idea == "and" and reader.see(reader.past("and")).idea not in ("", "fill", "be"):
        reader.skip()
        _leave_out(reader, draft, item)
    return True


def not_(reader: Reader, draft: Draft, item: Item) -> bool:
    """Negates in "not red" and leaves out in "not the cat"; "not the cat but the dog" asks for the dog, and so
    does "not the cat, the dog"."""
    if (draft.brief and draft.head is not None and not draft.linked) or (item.text == "nor" and draft.outer):
        return False
    if reader.see(-1).text in DOES and (reader.see(1).verb or reader.see(1).idea == "fill"):
        return _not_done(reader, draft, item)
    if item.text == "no" and draft.head is not None and (reader.clothes(1, kinds.HAD) or _lacks(reader, draft)):
        return _not_worn(reader, draft)
    if item.text == "no" and draft.head is None and _worn_by(reader):
        draft.negate = True
        return reader.skip()
    if item.text == "no" and draft.named and reader.see(1).text == "person" and reader.see(2).idea == "be":
        reader.skip()  # "the couch that nobody is sitting on"
        clause(reader, draft, negated=True)
        return True
    ahead = reader.past("fill", "that", "be", start=1)
    if reader.see(ahead).value == "with" and of_another(reader, draft, ahead):
        return False
    bare = draft.head is None
    if not _thing(reader, draft, ahead) or (bare and (draft.outer or draft.conditions or draft.order)):
        draft.negate = True
        return reader.skip()
    start = reader.at
    reader.skip(ahead)
    draft.head = draft.head or THING
    _leave_out(reader, draft, item)
    if bare and not _corrected(reader, draft, start):
        draft.number = "all"
    return True


def _corrected(reader: Reader, draft: Draft, start: int) -> bool:
    """Whether what is asked for follows what is not, which then is as if it had not been said."""
    asked = reader.see(reader.past("fill", "be", "viewer", start=1)).idea == "determiner"
    if reader.see().idea != "but" and not (reader.see().text == "," and asked):
        return False
    for each in draft.conditions:
        if isinstance(each, Relation) and each.to[0].head != THING:
            draft.like = each.to[0].head  # "not the left cat, the right one"
    draft.head, draft.number, draft.conditions = None, None, []
    del reader.items[start : reader.at + 1]
    reader.at = start
    return True


def _lacks(reader: Reader, draft: Draft) -> bool:
    """As in "mug no handle"."""
    return draft.named and reader.see(1).idea == "word" and reader.see(1).text != "person" and thing_follows(reader, 1)


def _worn_by(reader: Reader) -> bool:
    """As in "no shirt guy"."""
    names = [each.text for each in reader.run(1) if each.noun]
    return len(names) > 1 and names[-1] in kinds.WEARERS and names[-2] in kinds.CLOTHES


def _not_done(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "does not fly" and, of a request, "do not pick the cat"; of a filler, "does not look at the ball", the
    denial is not understood."""
    following = reader.see(1)
    if following.idea == "fill" and draft.outer is None and not draft.something and (
            _thing(reader, draft, reader.past("viewer", start=2))):
        start = reader.at
        reader.skip()
        except_(reader, draft, item)
        _corrected(reader, draft, start)
        return True
    if following.idea != "fill":
        draft.linked = draft.negate = True
        return reader.skip()
    reader.ignore(f"{item.text} {following.text}")
    reader.skip(2)
    reader.skip_past("at")
    reader.target(draft)
    return True


def _not_worn(reader: Reader, draft: Draft) -> bool:
    """As in "guy no shirt" and, of someone who is known by clothes only, "blue jeans no shirt"."""
    reader.skip()
    if draft.outer is None and {draft.head, singular(draft.head or "")} & kinds.CLOTHES:
        worn = draft.finished()
        draft.head, draft.number, draft.plural, draft.conditions = THING, None, False, []
        draft.relate("with", worn)
    draft.negate = True
    return reader.relate(draft, "with")


def _leave_out(reader: Reader, draft: Draft, item: Item) -> None:
    """What comes next; where it names no noun, as "the smallest", it is of what it is left out of. What is no cat is
    none of them."""
    every = draft.linked and reader.see().text in ("a", "an")
    target = reader.target(draft)
    if target is None:
        reader.ignore(item.text)
    else:
        left_out = replace(target, head=draft.said) if target.head == THING else target
        if every and left_out.number == 1:
            left_out = replace(left_out, number="all")
        draft.relate("is", left_out, negated=True)


def that(reader: Reader, draft: Draft, item: Item) -> bool:
    """Links, but not what another does: "the bench that the man sits on"."""
    return reader.skip() if reader.see(1).idea == "determiner" else be(reader, draft, item)


def be(reader: Reader, draft: Draft, item: Item) -> bool:
    """Links what is said of a thing. Where it is that one is with is said of who has it."""
    following = reader.see(reader.past("that", "be", "not"))
    wears = following.text in WORN and draft.head in kinds.ANIMATE  # "the man with the dog that is wearing a sweater"
    elsewhere = following.idea in ("relation", "side", "at", "distance") and not wears
    if draft.brief and draft.head is not None and elsewhere:
        return False
    draft.linked = True
    return reader.skip()


def ignored(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "the other dog", which is another than one that is not known."""
    reader.ignore(item.text)
    return reader.skip()
