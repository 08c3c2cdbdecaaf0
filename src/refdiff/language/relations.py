"""Rules for how a thing stands to others, and for prepositions, which may lead to a place too."""

from __future__ import annotations

from . import kinds, words
from .draft import Draft
from .items import Item
from .nouns import thing_follows, word
from .places import place, skip_picture, starts
from .query import THING, Kind, Place, Rank, Relation, Side
from .reader import MAX_DEPTH, Reader


def relation(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "behind the fence"; but "on the left" and "in the picture" are places, and "in red" is a colour.

    A brief draft has none but what its owner has too: "girl with a flower in her hair".
    """
    ahead = reader.past("determiner", "fill", start=1)
    if item.text == "on" and reader.see(1).text == "top" and draft.brief and draft.named and (
            reader.see(2).idea not in ("side", "part", "of", "word")):
        return reader.skip(2)  # "cake with strawberries on top"
    if item.text in words.BEFORE_PLACES and starts(reader, draft, ahead):
        return place(reader, draft, ahead)
    if reader.see(ahead).idea == "picture" and reader.see(ahead + 1).idea not in ("word", "part") and (
            item.value in words.PLACE_IN_PICTURE):
        draft.place(*words.PLACE_IN_PICTURE[item.value])
        return reader.skip(ahead + 1)
    clothes = item.text == "in" and reader.clothes(1)
    if item.value == "with" or clothes:
        if of_another(reader, draft):
            return False
    elif draft.brief and not (item.value in ("in", "on") and reader.see(1).text in words.POSSESSIVES):
        return False
    reader.skip()
    if item.text in words.NOT_QUITE:
        reader.ignore(item.text)
    if item.text == "over" and reader.see(-2).doing and reader.see().text == "to":
        return True  # "bending over to pick up the ball"
    if item.text == "on" and draft.head in kinds.PERSONS and reader.clothes(nouns=kinds.PHONES):
        return _relate(reader, draft, "with", item.text)
    if item.text == "in" and _colours(reader, draft):
        return True
    if reader.see().text == "and" and reader.see(1).idea == "relation" and item.value in words.INVERSE:
        return _shared(reader, draft, item)
    return _relate(reader, draft, "with" if clothes else item.value, item.text)


def _shared(reader: Reader, draft: Draft, item: Item) -> bool:
    """Relations to one thing: "above and to the left of the laptop"."""
    negated = draft.negated()
    reader.skip()
    following = reader.see()
    before = len(draft.conditions)
    draft.negate = negated  # of both, as in "not in the top left corner"
    relation(reader, draft, following)
    for each in draft.conditions[before : before + 1]:
        if isinstance(each, Relation):
            draft.relate(item.value, *each.to, negated=negated)
    return True


def of_another(reader: Reader, draft: Draft, ahead: int = 0) -> bool:
    """Whether what one is with, said so far ahead, is said of an outer draft's thing: the nearest that can wear it, in
    "kid in the snow wearing a red jacket", or else the outer one. Animals leave it to people: "the man on the horse
    holding a flag"."""
    item = reader.see(ahead)
    worn = item.text in words.WORN
    if draft.outer is None or not draft.named:
        return False
    if draft.brief and not thing_follows(reader, ahead + 1):
        return True  # "the umbrella the lady is holding"
    if draft.head in kinds.PERSONS or (worn and draft.head in kinds.ANIMALS and (
            draft.linked or not any(each.head in kinds.PERSONS for each in draft.outers))):
        return draft.brief and not (worn or item.text == "in")
    animate = any(each.head in kinds.ANIMATE for each in draft.outers)
    return draft.brief or worn or (animate and reader.clothes(ahead + 1, kinds.HAD))


def _colours(reader: Reader, draft: Draft) -> bool:
    """Colours that no noun follows are what the thing is like: "in dark blue and white"."""
    end = _past_colours(reader, reader.past("determiner", "fill", "number"))
    while end and reader.see(end).idea == "and" and reader.see(end + 1).text in kinds.COLOURS | kinds.SHADES:
        end = _past_colours(reader, end + 1)
    if end:
        draft.describe(*(reader.see(i).text for i in range(end) if reader.see(i).idea == "word"))
        reader.skip(end)
    return end > 0


def _past_colours(reader: Reader, start: int) -> int:
    """How far ahead the colours that start there end; 0 where they describe a noun."""
    end = start
    while reader.see(end).text in kinds.COLOURS | kinds.SHADES:
        end += 1
    described = reader.see(end).names or reader.had("top", end)
    return end if end > start and reader.see(end - 1).text in kinds.COLOURS and not described else 0


def _relate(reader: Reader, draft: Draft, kind: Kind, text: str) -> bool:
    """A relation to what follows, or the place that it means where nothing does: "the one behind"."""
    before = reader.see(-2)
    if reader.relate(draft, kind) or reader.see(-1).idea == "pronoun":  # "with food on it"
        return True
    if text in words.SIDE_ALONE:
        draft.place(words.SIDE_ALONE[text])
    elif not (before.idea in ("word", "heading") and (before.verb or before.doing)):  # "bending over"
        reader.ignore(text)
    return True


def unrelated(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "without a hat"."""
    if draft.brief:
        return False
    if of_another(reader, draft):
        return False
    draft.negate = not draft.negate  # "not without"
    return relation(reader, draft, item)


def of(reader: Reader, draft: Draft, item: Item) -> bool:
    """A relation in "the wheel of the car", a choice in "the biggest of the dogs" and "the middle cat of the three"."""
    if skip_picture(reader):
        return True
    reader.skip()
    negated = draft.negated()
    group = reader.target(draft)
    if group is None:
        reader.ignore(item.text)
    elif draft.head is None or group.head in (THING, draft.head) or (draft.head == THING and group.number != 1):
        draft.take(group)
    else:
        draft.relate("of", group, negated=negated)
    return True


def possessive(reader: Reader, draft: Draft, item: Item) -> bool:
    """What was read so far is what the next noun belongs to: "the car's wheel"."""
    draft.depth += 1
    if draft.depth > MAX_DEPTH:
        reader.ignore_rest()
    elif draft.something:
        draft.start_again(draft.finished())
    return reader.skip()


def preposition(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "at the top" and "from the left". At a table is next to it; other things that follow are not understood."""
    ahead = reader.past("determiner", "fill", start=1)
    if item.text in ("to", "from") and not draft.brief and _distant_noun(reader, draft):
        return True
    if item.text == "looking at" and reader.see(1).text in words.POSSESSIVES and not draft.brief:
        reader.skip()  # "looking at her phone"
        return _relate(reader, draft, "with", item.text)
    if item.text == "off" and reader.see(1).idea in ("relation", "at"):
        return reader.skip()  # "cut off on the left"
    if starts(reader, draft, ahead):
        return place(reader, draft, ahead, counted=item.idea == "from")
    if reader.see(ahead).idea in ("picture", "viewer"):
        return reader.skip(ahead + 1)
    if draft.brief:
        return False
    reader.skip()
    if item.text == "at" and draft.head is not None:
        return _relate(reader, draft, "next to", item.text)
    if item.idea != "at":
        reader.ignore(item.text)
    purpose = item.text == "to" and reader.see().tag == "VB"  # "to pick up the ball"
    if purpose:
        reader.skip()
    dropped = reader.target(draft) if draft.head is not None else None
    if dropped is not None and dropped.head == THING:
        draft.conditions += [each for each in dropped.conditions if isinstance(each, (Place, Rank))]
    elif dropped is not None and item.idea == "at":
        reader.ignore(dropped.head if purpose else f"{item.text} {dropped.head}")
    elif purpose and draft.head == THING:
        reader.ignore(reader.see(-1).text)  # "something to eat"
    return True


def heading(reader: Reader, draft: Draft, item: Item) -> bool:
    """What is "facing left" is at no place by that, and it is not understood."""
    ahead = reader.past("at", "determiner", start=1)
    faces = item.text == "facing" and reader.see(1).idea == "determiner" and reader.see(ahead).idea == "word"
    if faces and not draft.brief:
        reader.ignore(item.text)
        reader.skip()
        return _relate(reader, draft, "next to", item.text)
    if reader.see(ahead).idea != "side":
        return word(reader, draft, item)
    reader.ignore(" ".join(reader.see(i).text for i in range(ahead + 1)))
    return reader.skip(ahead + 1)


def distance(reader: Reader, draft: Draft, item: Item) -> bool:
    """A relation in "closest to the boat", an order in "closest to the left", "closest to us" and "the closest"."""
    if draft.brief and draft.head is not None:
        return False
    reader.skip()
    return _distant(reader, draft, item.value, item.text)


def _distant_noun(reader: Reader, draft: Draft) -> bool:
    """The order in "the closest cup" turns out to be a relation when "to the laptop" follows."""
    for kind, order in words.FROM_VIEWER.items():
        if draft.head is not None and Rank(order) in draft.conditions:
            draft.conditions.remove(Rank(order))
            return _distant(reader, draft, kind)
    return False


def _distant(reader: Reader, draft: Draft, kind: Kind, text: str = "") -> bool:
    """What the distance, said with `text`, is from: a side, the viewer, another thing, or nothing."""
    ahead = reader.past("at", "from", "determiner")
    leading = [*text.split(), *(reader.see(i).text for i in range(ahead))]
    leads = ahead > 0 or leading[-1] in ("to", "from")
    first, end = reader.see(ahead), reader.past("side", "extreme", start=ahead)
    if leads and end > ahead and not reader.see(end).names:
        sides: list[Side] = [reader.see(i).value for i in range(ahead, end)]
        reader.skip(end)
        if not skip_picture(reader) and reader.see().idea == "of":  # "closest to the front of the car"
            reader.skip()
            return _relate(reader, draft, kind, text)
        return _distant_side(draft, sides, away=kind == "farthest from" and "from" in leading)
    if first.idea in ("viewer", "picture"):
        reader.skip(ahead + 1)
    elif leads or (draft.named and thing_follows(reader)):  # "mug nearest lamp"
        reader.skip_past("at", "from")
        return _relate(reader, draft, kind, text)
    draft.rank(words.FROM_VIEWER[kind])
    return True


def _distant_side(draft: Draft, sides: list[Side], away: bool) -> bool:
    """The order from a side, which is the other way round in "farthest from the left", or the place of a corner."""
    orders = [words.COUNTED_FROM[side] for side in sides if side in words.COUNTED_FROM]
    if len(orders) == 1:
        draft.rank(words.OPPOSITE[orders[0]] if away else orders[0])
    elif orders:
        opposite: dict[Side, Side] = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}
        draft.place(*(opposite.get(side, side) if away else side for side in sides if side in words.COUNTED_FROM))
    else:
        draft.negate = away
        draft.place(*sides)
    return True
