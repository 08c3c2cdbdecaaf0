"""Rules for places in the picture, and for the words that may stand before and after one."""

from __future__ import annotations

from . import kinds, words
from .draft import Draft
from .items import Item
from .nouns import word
from .query import Kind, Side
from .reader import Reader


def side(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "top left corner"; but the back in "with her back to us" is a thing."""
    if draft.brief and draft.head is None and any(map(reader.had, words.SIDES_HAD)):
        draft.head = item.text
        return reader.skip()
    return place(reader, draft)


def place(reader: Reader, draft: Draft, ahead: int = 0, counted: bool = False) -> bool:
    """Sides that start so far ahead: where the thing is, whose side it is, or what an ordinal counts from, for which
    they are `counted` after "from"."""
    if draft.brief and (ahead or draft.head is not None):
        return False
    on = reader.see().text == "on"
    reader.skip(ahead)
    start = reader.at
    sides = _sides(reader)
    along = any(item.text in words.LINES for item in reader.items[start : reader.at])  # "second in the top row"
    if not skip_picture(reader) and sides and reader.see().idea == "of":
        return _side_of(reader, draft, sides, on)
    order = words.COUNTED_FROM.get(sides[-1]) if sides else None
    if draft.order and order and (counted or ((ahead or draft.head) and not along)):
        draft.rank(order, onwards=counted)
        sides.pop()
    draft.place(*sides)
    return True


def _sides(reader: Reader) -> list[Side]:
    """The sides that come next, with the parts that they are of: "top left corner" is top and left."""
    sides: list[Side] = []
    while reader.see().idea in ("side", "part"):
        if reader.see().idea == "side":
            sides.append(reader.see().value)
        reader.skip()
    return [each for each in sides if each not in words.CORNERS] or sides


def skip_picture(reader: Reader) -> bool:
    """Whether "of the picture", "corner of the image" or the like came next."""
    while reader.see().idea == "part" or reader.see().value in words.CORNERS:
        reader.skip()
    if reader.see().idea in ("of", "from", "at") or reader.see().value in ("in", "on"):
        ahead = reader.past("determiner", "fill", start=1)
        if reader.see(ahead).idea == "picture" and reader.see(ahead + 1).idea not in ("word", "of"):
            return reader.skip(ahead + 1)
    return False


def _side_of(reader: Reader, draft: Draft, sides: list[Side], on: bool) -> bool:
    """A relation in "dog on the left of the car", a part in "top of the train", a choice in "middle of the dogs"."""
    reader.skip()
    if draft.head is None:
        draft.place(*sides)
        several = reader.see(reader.past("determiner")).idea in ("number", "everything")
        return reader.choose(draft) if several else whole(reader, draft)
    kind = words.SIDE_OF.get(sides[-1])
    if kind is not None:
        reader.relate(draft, kind)
        return True
    negated = draft.negated()
    target = reader.target(draft)
    if target is not None:  # "in the corner of the room", "in the middle of the cats"
        inside: Kind = "on" if on or sides[-1] == "edge" else "in"
        draft.relate(inside if target.number == 1 else "between", target, negated=negated)
    return True


def whole(reader: Reader, draft: Draft) -> bool:
    """What a part is of stands for it."""
    target = reader.target(draft)
    if target is not None:
        draft.take(target)
        draft.number = target.number
    return True


def starts(reader: Reader, draft: Draft, ahead: int) -> bool:
    """Whether what is so far ahead, after a preposition, is a place: "on the left", but not "on the left chair"."""
    first = reader.see(ahead)
    if first.idea == "part":
        of = reader.see(ahead + 1).idea == "of"
        return of or (reader.see().value in ("in", "on") and first.text not in words.PLACES_AND_THINGS)
    end = reader.past("side", "extreme", "part", "fill", start=ahead)
    last, following = reader.see(end - 1), reader.see(end)
    thing = following.idea == "one" or (following.idea == "word" and following.noun)
    describes = thing and last.idea in ("side", "extreme") and draft.head is not None
    return first.idea in ("side", "extreme") and not describes


def part(reader: Reader, draft: Draft, item: Item) -> bool:
    """A row is no thing of its own, unless it is a "row of chairs"; a line may be one."""
    of = reader.see(1).idea == "of"
    if of and item.text == "half" and not draft.something:
        reader.ignore("half of")
        reader.skip(2)
        return whole(reader, draft)
    alone = draft.head is None and draft.order is None and not draft.conditions
    if alone and (item.text in kinds.MEASURES if of else item.text in words.PLACES_AND_THINGS):
        return word(reader, draft, item)
    reader.skip()
    if of and draft.head is None and item.text in words.LINES:
        reader.skip()
        return whole(reader, draft)  # "top row of windows"
    return True


def picture(reader: Reader, draft: Draft, item: Item) -> bool:
    """A thing in "the picture on the wall"."""
    return word(reader, draft, item) if draft.head is None else reader.skip()


def viewer(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "show me the camera": a camera may be a thing, and "me" is none."""
    thing = draft.head is None and item.text in words.PLACES_AND_THINGS
    return word(reader, draft, item) if thing else reader.skip()
