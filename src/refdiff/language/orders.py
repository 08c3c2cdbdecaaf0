"""Rules for which one of several: ordinals, superlatives, and the end of a side."""

from __future__ import annotations

from . import words
from .draft import Draft
from .items import Item
from .places import skip_picture
from .reader import Reader


def ordinal(reader: Reader, draft: Draft, item: Item) -> bool:
    """Waits for what it counts from: "second from the left", "second biggest"."""
    draft.order = item.value
    return reader.skip()


def superlative(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "the biggest"."""
    draft.rank(item.value)
    return reader.skip()


def comparative(reader: Reader, draft: Draft, item: Item) -> bool:
    """A relation in "bigger than the cat"; "the bigger dog" is the biggest."""
    if reader.see(1).idea != "than":
        return superlative(reader, draft, item)
    reader.skip(2)
    if not reader.relate(draft, words.COMPARED[item.value]):
        reader.ignore(f"{item.text} than")
    return True


def extreme(reader: Reader, draft: Draft, item: Item) -> bool:
    """As in "leftmost" and "at the far left of the picture"."""
    draft.rank(item.value, onwards=False)
    reader.skip()
    skip_picture(reader)
    return True
