"""From an expression to its `Query`: words are looked up by idea, then read from left to right.

RefCOCO's expressions are telegraphic ("red shirt right"), and their syntax trees often wrong. So spaCy's tags say what
kind of word each is, and the tables of `words` what it means; the order of the words decides what belongs to what.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, cast

from . import words
from .expression import check_expression
from .query import THING, Attribute, Condition, Kind, Order, Place, Query, Rank, Relation, Side, Target
from .syntax import singular, tagged

_ENDS = {"", "and", "except", "but"}
_NOUN_TAGS = ("NN", "NNS", "NNP", "NNPS")


@dataclass(frozen=True)
class Item:
    """Words that stand for one idea of `words.IDEAS`, or one 'word' of its own: its `tag` is spaCy's."""

    idea: str
    value: Any = None
    text: str = ""
    tag: str = ""


def query(text: object) -> Query:
    """What an expression asks for. Raises InputError for an empty text or one of over 1,000 characters."""
    return _query(check_expression(text))


@lru_cache(maxsize=1024)
def _query(text: str) -> Query:
    reader = _Reader(_items(tagged(text)))
    return Query(text, reader.targets(), tuple(reader.ignored))


def _items(tokens: list[tuple[str, str]]) -> list[Item]:
    """The longest phrases that the tables know, and other words as they are; words joined by hyphens are one."""
    joined: list[tuple[str, str]] = []
    for word, tag in tokens:
        if joined and len(joined) > 1 and joined[-1][0] == "-":
            joined.pop()
            joined[-1] = (f"{joined[-1][0]}-{word}", tag)
        elif joined and f"{joined[-1][0]} {word}" in words.COMPOUNDS:
            joined[-1] = (f"{joined[-1][0]} {word}", "NNS" if word.endswith("s") else "NN")
        else:
            joined.append((word, tag))
    items: list[Item] = []
    while joined:
        for length in range(min(words.LONGEST, len(joined)), 0, -1):
            phrase = tuple(word for word, _ in joined[:length])
            if phrase in words.IDEAS:
                break
        idea, value = words.IDEAS.get(phrase, ("word", None))
        if phrase == ("'s",) and joined[0][1] == "POS":
            idea = "possessive"
        if idea == "word" and phrase[0].isdigit() and len(phrase[0]) < 3:
            idea, value = "number", int(phrase[0])
        if idea == "word" and phrase[0].startswith("non-"):
            items.append(Item("not"))
            phrase = (phrase[0][4:],)
        if idea != "word" or any(map(str.isalnum, phrase[0])):
            items.append(Item(idea, value, " ".join(phrase), joined[0][1]))
        del joined[:length]
    return items


class _Reader:
    """Reads targets from items. `ignored` gathers what was not understood."""

    def __init__(self, items: list[Item]):
        self.items, self.at = items, 0
        self.ignored: list[str] = []
        self.nouns: list[str] = []  # for the pronouns that follow

    def see(self, ahead: int = 0) -> Item:
        place = self.at + ahead
        return self.items[place] if place < len(self.items) else Item("")

    def after(self, *fillers: str, start: int = 0) -> int:
        """How far ahead the first item is that is none of these ideas."""
        ahead = start
        while self.see(ahead).idea in fillers:
            ahead += 1
        return ahead

    def targets(self) -> tuple[Target, ...]:
        """All that the items name."""
        found: list[_Draft] = []
        while self.see().idea:
            start = self.at
            draft = self.draft(_Draft(self))
            if draft.something:
                found.append(draft)
            while self.see().idea == "and" or self.at == start:
                self.at += 1
        if not found:
            return (Target(THING),)
        for draft, following in reversed(list(zip(found, found[1:]))):
            draft.borrow(following)  # "the red and the blue cup"
        done: list[Target] = []
        for draft in found:
            done.append(draft.finished())
        return tuple(dict.fromkeys(done))

    def one(self, outer: _Draft, brief: bool = False) -> Target | None:
        """The target of a relation of `outer`, or None; a `brief` one leaves what follows its noun to the outer."""
        draft = self.draft(_Draft(self, outer, brief))
        return draft.finished() if draft.something else None

    def draft(self, draft: _Draft) -> _Draft:
        while self.see().idea and draft.take():
            pass
        return draft


class _Draft:
    """A target as far as it has been read."""

    def __init__(self, reader: _Reader, outer: _Draft | None = None, brief: bool = False):
        self.reader, self.outer, self.brief = reader, outer, brief
        self.head: str | None = None
        self.number: int | Literal["all"] | None = None
        self.plural = False
        self.conditions: list[Condition] = []
        self.order: int | None = None  # an ordinal whose side or size is still to come
        self.late: Side | None = None  # the last place said after the noun
        self.negate = self.negations = False
        self.linked = False  # after "that is"

    @property
    def something(self) -> bool:
        return bool(self.head or self.conditions or self.number or self.order)

    def add(self, make: Any, *values: Any) -> None:
        self.conditions.append(make(*values, self.negate))
        self.negate = False

    def take(self) -> bool:
        """Read the next item into the draft; False where it belongs to another."""
        reader, item = self.reader, self.reader.see()
        if item.idea in ("and", "but", "except") or (item.idea == "without" and item.text.startswith("without count")):
            return self.joined(item)
        reader_of = getattr(self, f"_{item.idea}", None)
        if reader_of is None:
            reader.at += 1
            return True
        return bool(reader_of(item))

    # What joins and what leaves out

    def joined(self, item: Item) -> bool:
        reader = self.reader
        if item.idea == "except" or (item.idea == "but" and self.number == "all" and reader.see(1).idea != "not"):
            if self.outer is not None:
                return False
            reader.at += 1
            self.leave_out()
            return True
        if item.idea == "but":
            reader.at += 1
            if reader.see().idea == "not" and reader.see(reader.after("not")).idea in ("determiner", "one"):
                self.number = self.number or ("all" if self.plural else None)
                reader.at += 1
                self.leave_out()
            return True
        following = reader.see(reader.after("and", "fill"))
        if not following.idea:
            reader.at += 1
            return True
        if self.outer is not None:
            return False
        if following.idea in ("relation", "be", "side", "at", "nearest", "farthest", "without", "superlative"):
            # "left of the cat and under the tree", "on the left and at the top": more about the same
            self_has = self.head is not None and reader.see(reader.after("and", "fill")).idea != "superlative"
            place = reader.after("and", "fill")
            if self_has and not self._noun_follows(place):
                reader.at += reader.after("and", "fill")
                return True
            return False
        if following.idea == "not":
            reader.at += reader.after("and", "fill")
            return True
        if following.idea == "word" and self._only_adjectives(reader.after("and", "fill")) and (
                self.head is None or self.linked):
            reader.at += reader.after("and", "fill")  # "red and blue cup", "that is black and white"
            if self.negations:
                self.negate = True
            return True
        if (self.head is None and following.idea == "word" and self.conditions
                and not any(isinstance(each, Rank) for each in self.conditions) and self.order is None):
            reader.at += reader.after("and", "fill")
            return True
        return False

    def _noun_follows(self, ahead: int) -> bool:
        """Whether a side at `ahead` describes a new noun: "the cat and left dog"."""
        reader = self.reader
        return reader.see(ahead).idea == "side" and reader.see(ahead + 1).idea in ("word", "one")

    def _only_adjectives(self, ahead: int) -> bool:
        reader = self.reader
        run = [reader.see(i) for i in range(ahead, reader.after("word", start=ahead))]
        return bool(run) and (all(map(_adjective, run)) or (self.head is None and _adjective(run[0])))

    def leave_out(self) -> None:
        """Read what "except" is followed by."""
        reader = self.reader
        self.number = "all"
        self.head = self.head or THING
        while True:
            other = reader.one(self)
            if other is None:
                break
            self.conditions.append(Relation("is", (other,), True))
            if reader.see().idea != "and" or not reader.see(reader.after("and", "fill")).idea:
                break
            reader.at += 1

    # One method for each idea that a target can be said with

    def _not(self, item: Item) -> bool:
        reader = self.reader
        reader.at += 1
        following = reader.see(reader.after("fill", "be"))
        thing = following.idea in ("determiner", "everything") or (following.idea == "word" and not self._adjectives_next())
        relates = following.idea == "relation"
        if self.head is None and not self.conditions and self.outer is None and thing and not self.order:
            self.head, self.number = THING, "all"
            self.conditions.append(Relation("is", (self._other(),), True))
        elif self.head is not None and thing and not relates:
            reader.at += reader.after("fill", "be")
            if self.head == THING or self.number == "all" or self.plural:
                self.number = "all" if self.number is None and self.plural else self.number
            self.conditions.append(Relation("is", (self._other(),), True))
        else:
            self.negate, self.negations = True, item.text in ("neither", "nor", "not", "n't")
        return True

    def _other(self) -> Target:
        return self.reader.one(self) or Target(THING)

    def _adjectives_next(self) -> bool:
        return self._only_adjectives(self.reader.after("fill", "be"))

    def _without(self, item: Item) -> bool:
        if self.brief:
            return False
        self.negate = True
        return self._relation(replace(item, value="with"))

    def _determiner(self, item: Item) -> bool:
        reader = self.reader
        if self.head not in (None, THING) and not self.negate and reader.see(1).idea in ("word", "number", "one"):
            return self.outer is None and self._restart()
        reader.at += 1
        return True

    def _restart(self) -> bool:
        """A second noun without a word between ("the one I mean is the man"): it belongs to the same."""
        self.reader.at += 1
        return True

    def _number(self, item: Item) -> bool:
        reader = self.reader
        if item.text.endswith("pair") and reader.see(1).idea == "of" and reader.see(2).text in words.PAIRS:
            return self._word(item)
        reader.at += 1
        if reader.see().idea == "of":
            reader.at += 1
        if self.head is not None:
            if not self.brief:
                self.head = f"{self.head} {item.text}" if item.text.isdigit() else self.head
            return True
        self.number = item.value
        return True

    def _everything(self, item: Item) -> bool:
        self.head = "person" if item.text[-3:] in ("ody", "one") else THING
        self.number = "all"
        self.reader.at += 1
        return True

    def _one(self, item: Item) -> bool:
        reader = self.reader
        following = reader.see(1)
        if item.text == "one" and self.head is None and following.idea in ("word", "side", "superlative") and not (
                self.conditions) and reader.see(-1).idea != "determiner" and not self.reader.see(1).text.endswith("ing"):
            reader.at += 1  # "one red cup"
            self.number = 1
            return True
        if self.head not in (None, THING):
            return self.outer is None and bool(self._skip())
        reader.at += 1
        # "one of the two dogs"
        if following.idea == "of" and not self.conditions:
            reader.at += 1
            return self._group()
        antecedent = reader.nouns[-1] if reader.nouns else THING
        self.head = antecedent if item.text in ("one", "ones") else THING
        self.plural = item.text.endswith("s") and item.text != "this"
        return True

    def _pronoun(self, item: Item) -> bool:
        """"The clown and the balloon above him": who was named before the balloon."""
        if self.head is None:
            others = [noun for noun in self.reader.nouns if self.outer is None or noun != self.outer.head]
            self.head = others[-1] if others else THING
        return self._skip()

    def _skip(self) -> bool:
        self.reader.at += 1
        return True

    def _group(self) -> bool:
        """After "the biggest of": "the two dogs" are those among which one is meant."""
        group = self.reader.one(self)
        if group is not None:
            self.head, self.plural = group.head, False
            self.conditions += group.conditions
        return True

    def _ordinal(self, item: Item) -> bool:
        self.reader.at += 1
        self.order = item.value
        return True

    def _superlative(self, item: Item) -> bool:
        self.reader.at += 1
        self.add(Rank, item.value, self.order or 1)
        self.order = None
        if self.reader.see().idea == "of" and self.head is None:
            self.reader.at += 1
            return self._group()
        return True

    def _comparative(self, item: Item) -> bool:
        reader = self.reader
        if reader.see(1).idea == "than":
            reader.at += 2
            return self._related(words.COMPARED[item.value], self.brief)
        return self._superlative(item)

    def _nearest(self, item: Item) -> bool:
        return self._distance(item, "closest to", "front")

    def _farthest(self, item: Item) -> bool:
        return self._distance(item, "farthest from", "back")

    def _distance(self, item: Item, kind: Kind, side: Side) -> bool:
        reader = self.reader
        ahead = reader.after("at", "determiner", "from", start=1)
        following = reader.see(ahead)
        if following.idea in ("side", "extreme") or (following.idea == "part" and reader.see(ahead + 1).idea == "side"):
            # "furthest to the left", "closest to the bottom"
            reader.at += ahead + 1
            self._picture_after()
            # "farthest from the left" is the other way round
            away = kind == "farthest from" and "from" in [reader.items[i].text.split()[-1] for i in
                                                          range(reader.at - ahead - 1, reader.at - 1)]
            self.add(Rank, _opposite(following.value) if away else following.value, self.order or 1)
            self.order = None
            return True
        if following.idea in ("viewer", "picture"):
            reader.at += ahead + 1
        elif ahead > 1 or " " in item.text and item.text.split()[-1] in ("to", "from"):
            return self._compared(kind)
        else:
            reader.at += 1
        self.add(Rank, side, self.order or 1)
        self.order = None
        return True

    def _compared(self, kind: Kind) -> bool:
        self.reader.at += self.reader.after("at", "from", start=1)
        return self._related(kind, False)

    def _extreme(self, item: Item) -> bool:
        self.reader.at += 1
        self._picture_after()
        self.add(Rank, item.value, self.order if self.order and self.order > 0 else 1)
        self.order = None
        return True

    def _side(self, item: Item) -> bool:
        return self._place(0)

    def _at(self, item: Item) -> bool:
        return self._preposition(item)

    def _from(self, item: Item) -> bool:
        return self._preposition(item)

    def _unknown(self, item: Item) -> bool:
        return self._preposition(item)

    def _preposition(self, item: Item) -> bool:
        """Words that matter only before a place: "at the top", "from the left"."""
        reader = self.reader
        ahead = reader.after("determiner", "fill", start=1)
        if reader.see(ahead).idea in ("side", "extreme") or self._is_part(ahead):
            return self._place(ahead, item.idea == "from")
        if reader.see(ahead).idea in ("picture", "viewer"):
            reader.at += ahead + 1
            return True
        if self.brief:
            return False
        reader.at += 1
        if item.idea == "at" and self.head is not None and reader.see(ahead - 1).idea in ("word", "number"):
            return self._related("next to", False)
        if item.text not in ("at", "to", "as", "for", "so", "about"):
            self.ignore(item.text)
        if self.head is not None:
            reader.one(self)
        return True

    def _is_part(self, ahead: int) -> bool:
        return self.reader.see(ahead).idea == "part" and self.reader.see(ahead + 1).idea == "of"

    def _place(self, ahead: int, counted: bool = False) -> bool:
        """One or two sides, "of" what they are, and the ordinal that counts from one."""
        reader = self.reader
        if self.brief and not (self.head is None and ahead == 0):
            return False
        if ahead == 0 and self._worn():
            return self._word(reader.see())
        described = ahead > 0 or self.head is not None
        reader.at += ahead
        sides: list[Side] = []
        part = False
        while reader.see().idea in ("side", "part", "extreme"):
            item = reader.see()
            if item.idea == "extreme":
                return self._extreme(item)
            if item.idea == "side":
                if sides and item.value not in ("left", "right", "corner", "edge", "middle") and not described and (
                        reader.see(1).idea == "word"):
                    pass
                sides.append(item.value)
            elif item.text == "hand" and reader.see(1).idea != "part":
                break
            else:
                part = True
            reader.at += 1
            if reader.see().idea == "most":
                reader.at += 1
        if part and not sides and self.order is None and not described:
            return True
        if any(side in ("left", "right", "top", "bottom") for side in sides):
            sides = [side for side in sides if side not in ("corner", "edge")]
        of_picture = self._picture_after()
        if reader.see().idea == "of" and not of_picture and sides:
            return self._side_of(sides, described, part)
        if self.order is not None and sides and (counted or (self.head is not None and described)):
            self.rank(sides.pop())
        elif counted and sides and self.order is None and len(sides) == 1 and self.conditions and isinstance(
                self.conditions[-1], Rank):
            sides.clear()
        negated = self.negate
        for side in sides:
            self.conditions.append(Place(side, negated))
        if sides:
            self.negate = False
        return True

    def _worn(self) -> bool:
        """Whether "top" here is what someone wears or a part of a thing: "in a red top"."""
        reader = self.reader
        return reader.see().text == "top" and self.brief and self.head is None and (
            reader.see(1).idea not in ("word", "side", "one"))

    def _side_of(self, sides: list[Side], described: bool, part: bool) -> bool:
        """"left of the car" is a relation, "left side of the car" a part of it, "left of the two cars" a choice."""
        reader = self.reader
        reader.at += 1
        kinds: dict[Side, Kind] = {"left": "left of", "right": "right of", "top": "on", "bottom": "below",
                                   "back": "behind", "front": "in front of"}
        ahead = reader.after("determiner")
        if reader.see(ahead).idea in ("number", "everything") and self.head is None:
            self.conditions += [Place(side, self.negate) for side in sides]
            self.negate = False
            return self._group()
        if self.head is not None and sides[-1] in kinds:
            return self._related(kinds[sides[-1]], self.brief)
        if self.head is not None:
            number = reader.see(ahead).idea == "number"
            return self._related("between" if number and sides[-1] == "middle" else "in", self.brief)
        if sides[-1] in ("left", "right") and not part:
            self.head = THING
            return self._related(kinds[sides[-1]], False)
        whole = reader.one(self)
        if whole is not None:
            self.head, self.plural, self.number = whole.head, False, whole.number
            self.conditions += whole.conditions
        self.conditions += [Place(side, self.negate) for side in sides]
        self.negate = False
        return True

    def _picture_after(self) -> bool:
        """Skip "of the picture", "side", "corner"."""
        reader = self.reader
        while reader.see().idea == "part" and reader.see().text in ("side", "corner", "part", "half", "end", "area"):
            reader.at += 1
        if reader.see().idea in ("of", "from", "at") or reader.see().text in ("in", "on", "within"):
            ahead = reader.after("determiner", "fill", start=1)
            if reader.see(ahead).idea == "picture" and reader.see(ahead + 1).idea not in ("word", "of"):
                reader.at += ahead + 1
                return True
        return False

    def _part(self, item: Item) -> bool:
        """A row or a column is no thing of its own; a hand, a line or an end may be."""
        reader = self.reader
        alone = self.head is None and reader.see(1).idea != "of"
        if alone and (item.text == "hand" or (item.text in ("line", "column", "spot", "end") and self.order is None
                                              and not self.conditions)):
            return self._word(item)
        reader.at += 1
        if reader.see().idea == "of" and self.head is None:
            reader.at += 1
            return self._group()
        return True

    def _picture(self, item: Item) -> bool:
        return self._word(item) if self.head is None else self._skip()

    def _viewer(self, item: Item) -> bool:
        if item.text in ("camera", "photographer", "lens"):
            return self._word(item)
        return self._skip()

    def _fill(self, item: Item) -> bool:
        return self._skip()

    def _than(self, item: Item) -> bool:
        return self._skip()

    def _be(self, item: Item) -> bool:
        reader = self.reader
        if self.brief and self.head is not None and reader.see(1).idea in ("relation", "side", "at", "nearest"):
            return False
        if item.text in ("he", "she", "they", "i", "it") and self.head is None and self.outer is not None:
            self.head = reader.nouns[-1] if reader.nouns else THING  # "above it"
        self.linked = True
        return self._skip()

    def _ignored(self, item: Item) -> bool:
        if self.head is None:
            self.ignore(item.text)
        return self._skip()

    def ignore(self, text: str) -> None:
        if text not in self.reader.ignored:
            self.reader.ignored.append(text)

    def _of(self, item: Item) -> bool:
        if self.brief:
            return False
        reader = self.reader
        reader.at += 1
        if reader.see(reader.after("determiner", "fill")).idea == "picture":
            return True
        if self.head is None:
            return self._group()
        return self._related("of", False)

    def _possessive(self, item: Item) -> bool:
        """"the car's wheel": what was read so far is what the next noun belongs to."""
        owner = self.finished()
        self.reader.at += 1
        self.head, self.number, self.plural = None, None, False
        self.conditions = [Relation("of", (owner,))]
        return True

    def _relation(self, item: Item) -> bool:
        reader = self.reader
        ahead = reader.after("determiner", "fill", start=1)
        following = reader.see(ahead)
        if item.text in ("on", "in", "by", "near", "to", "with", "over", "around", "from", "within") and (
                following.idea in ("side", "extreme") or self._is_part(ahead)
                or (following.idea == "part" and item.text in ("on", "in") and following.text in ("side", "end"))):
            if not self._side_is_noun(ahead):
                if self.brief:
                    return False
                return self._place(ahead)
        if item.text in ("in", "on", "within") and following.idea == "picture" and (
                reader.see(ahead + 1).idea not in ("word", "part")):
            reader.at += ahead + 1
            return True
        if item.text in ("next", "before", "by", "around", "over", "under", "in", "on", "has") and not following.idea:
            return self._skip()
        if self.brief and item.value != "with":
            return False
        reader.at += 1
        kind: Kind = item.value
        colour = self._colour_alone()
        if item.text == "in" and colour:
            self.conditions.append(Attribute(colour, self.negate))
            self.negate = False
            return True
        if item.text == "in" and self._clothes_next():
            kind = "with"
        return self._related(kind, kind == "with")

    def _side_is_noun(self, ahead: int) -> bool:
        """"with the front wheel", "on the left chair": the side describes another noun."""
        reader = self.reader
        last = ahead
        while reader.see(last).idea in ("side", "part", "fill"):
            last += 1
        return (reader.see(last).idea == "word" and reader.see(ahead - 1).idea == "determiner" and self.head is not None
                and reader.see(last - 1).idea == "side" and _nounlike(reader.see(last)))

    def _colour_alone(self) -> str | None:
        """ "in blue": a colour with no noun after it."""
        reader = self.reader
        ahead = reader.after("determiner", "fill")
        item = reader.see(ahead)
        if item.text in words.COLOURS and reader.see(ahead + 1).idea != "word":
            reader.at += ahead + 1
            return item.text
        return None

    def _clothes_next(self) -> bool:
        reader = self.reader
        ahead = reader.after("determiner", "fill", "number")
        end = reader.after("word", "and", start=ahead)
        if reader.see(end).text == "top" and end > ahead:
            return True
        return any(singular(reader.see(i).text) in words.CLOTHES or reader.see(i).text in words.CLOTHES
                   for i in range(ahead, end))

    def _related(self, kind: Kind, brief: bool) -> bool:
        reader = self.reader
        negated, self.negate = self.negate, False
        kept = self.head
        if self.head is None:
            self.head = THING
        first = reader.one(self, brief)
        if first is None:
            self.head = kept
            return True
        to = [first]
        if kind == "between" and first.number == 1 and reader.see().idea == "and":
            reader.at += 1
            second = reader.one(self)
            to += [second] if second is not None else []
        self.conditions.append(Relation(kind, tuple(to), negated))
        if kind == "with" and not brief:
            return True
        if kept is None and self.outer is None and reader.see().idea == "word":
            self.head = None
        # "with a hat and a coat"
        while brief and kind == "with" and reader.see().idea == "and" and self._clothes_after_and():
            reader.at += 1
            more = reader.one(self, brief)
            if more is not None:
                self.conditions.append(Relation("with", (more,), negated))
        return True

    def _clothes_after_and(self) -> bool:
        reader = self.reader
        kept = reader.at
        reader.at += 1
        found = self._clothes_next()
        reader.at = kept
        return found

    def _word(self, item: Item) -> bool:
        """A run of words: adjectives, the noun with what it is compounded of, and what it does."""
        reader = self.reader
        if self.head not in (None, THING) and not self.negate:
            return self._after_noun()
        run: list[Item] = []
        while reader.see().idea == "word" or (not run and reader.see() is item) or (
                run and reader.see().text in ("hand", "line", "spot", "top", "screen", "camera", "drawing")
                and reader.see(1).idea != "word" and all(map(_adjective, run))):
            run.append(reader.see())
            reader.at += 1
        if self.linked and self.head is not None and all(map(_adjective, run)):
            head = None
        else:
            head = _head(run, reader.see())
        if head is None:
            for each in run:
                self._describe(each)
            return True
        first, last = head
        described = run[:first]
        for each in described:
            self._describe(each)
        name, self.plural = _noun(run[last], compound=last > first)
        self.head = " ".join([*(each.text for each in run[first:last]), name])
        if (run[last].text in words.MEASURES or name in words.MEASURES) and reader.see().idea == "of" and (
                reader.see(1).idea == "word"):
            self._measured()
        elif name in words.KINDS and reader.see().idea == "of":
            reader.at += 1
            self.head = None
        if self.head:
            reader.nouns.append(self.head)
        for each in run[last + 1 :]:
            self._describe(each)
        return True

    def _measured(self) -> None:
        """"slice of pizza" names one thing."""
        reader = self.reader
        reader.at += 1
        run = []
        while reader.see().idea == "word":
            run.append(reader.see())
            reader.at += 1
        self.head = f"{self.head} of {' '.join(each.text for each in run)}"

    def _after_noun(self) -> bool:
        """Words after the noun: what it does or is like; a second noun after adjectives is what it is with."""
        reader = self.reader
        end = reader.after("word")
        run = [reader.see(i) for i in range(end)]
        if self.brief:
            return False
        if len(run) > 1 and _adjective(run[0]) and not _adjective(run[-1]) and not run[-1].tag.startswith("VB") and (
                not self.linked):
            self.conditions += [Relation("with", (other,), self.negate) for other in [reader.one(self, True)] if other]
            return True
        item = run[0]
        reader.at += 1
        if _adjective(item) or item.tag in ("VBG", "VBN", "VBZ", "VBP", "VBD", "VB"):
            self._describe(item)
        elif item.tag.startswith("NN") and self.linked:
            self._describe(item)
        elif item.tag.startswith("NN") and reader.see(-2).idea != "word":
            self.ignore(item.text)
        elif not item.text.endswith("ly"):
            self.ignore(item.text)
        return True

    def _describe(self, item: Item) -> None:
        if item.text.endswith("ly") and item.tag == "RB":
            return
        if item.text in ("most", "least", "very", "quite", "rather", "too", "more", "much", "almost"):
            return
        self.conditions.append(Attribute(item.text, self.negate))
        if not (self.negations and self.reader.see().idea in ("and", "not")):
            self.negate = False

    # The end

    def rank(self, order: Order) -> None:
        """The pending ordinal, counted from a side; the last from the left is the first from the right."""
        number = self.order or 1
        if number < 0:
            order, number = cast(Order, order if self.head is None else _opposite(order)), -number
        self.conditions.append(Rank(order, number, self.negate))
        self.order, self.negate = None, False

    def borrow(self, following: _Draft) -> None:
        """Take the noun, and the side that ordinals count from, of the target after "and"."""
        if self.head is None:
            self.head = following.head
            if self.order is not None:
                sides = [each.order for each in following.conditions if isinstance(each, Rank)]
                self.rank(sides[0] if sides else "left")
                self.head = following.head

    def finished(self) -> Target:
        if self.order is not None:
            order: Order = "left"
            for i, each in enumerate(self.conditions):
                if isinstance(each, Place) and each.side == "right" and self.order == -1:
                    del self.conditions[i]
                    break
            if self.order < 0:
                order, self.order = "right", -self.order
            self.conditions.append(Rank(order, self.order))
            self.order = None
        number = self.number if self.number is not None else "all" if self.plural else 1
        if number == "all" and any(isinstance(each, Rank) for each in self.conditions) and not self.plural:
            number = 1
        return Target(self.head or THING, number, tuple(self.conditions))


def _opposite(order: Any) -> Any:
    pairs = {"left": "right", "top": "bottom", "front": "back"}
    return {**pairs, **{b: a for a, b in pairs.items()}}.get(order, order)


def _adjective(item: Item) -> bool:
    return item.text in words.ADJECTIVES or (
        item.tag in ("JJ", "JJR", "JJS", "VBN", "VBG", "VBD", "RB") and item.text not in words.ING_NOUNS)


def _nounlike(item: Item) -> bool:
    return item.tag in _NOUN_TAGS and item.text not in words.COLOURS


def _head(run: list[Item], following: Item) -> tuple[int, int] | None:
    """Where the noun of a run of words starts, with what it is compounded of, and where it ends; None without one."""
    nouns = [i for i, item in enumerate(run) if _nounlike(item) and not (
        item.text in words.SIZES)]
    if not nouns:
        # a noun that is tagged as something else: "donut under the cookie"
        last = len(run) - 1
        while last > 0 and run[last].text.endswith("ing") and run[last].text not in words.ING_NOUNS:
            last -= 1
        odd = run[last]
        if odd.text == "orange" and (last > 0 or len(run) == 1):
            return last, last
        describes = odd.tag in ("JJ", "JJR", "JJS", "VBN", "VBG", "RB") or odd.text.endswith(("ing", "ed"))
        if odd.text in words.ADJECTIVES or (describes and following.idea != "relation" and not (
                odd.tag == "JJ" and not following.idea and len(run) == 1)):
            return None
        return last, last
    last = nouns[0]
    while last + 1 in nouns:
        last += 1
    if last + 1 < len(run) and last != nouns[-1] and not _gerund(run[last + 1]) and not (
            _adjective(run[last + 1]) and last + 2 < len(run)):
        last = nouns[-1]
    while last > nouns[0] and _gerund(run[last]):
        last -= 1
    if run[last].text == "orange" and last == 0 and len(run) > 1:
        last = nouns[-1]
    first = last
    while first > 0 and first - 1 in nouns and not _gerund(run[first - 1]):
        first -= 1
    return first, last


def _gerund(item: Item) -> bool:
    return item.text.endswith("ing") and item.text not in words.ING_NOUNS


def _noun(item: Item, compound: bool) -> tuple[str, bool]:
    """A noun in the singular, and whether it was said in the plural; "glasses" are one thing, "wine glasses" are not."""
    text = item.text
    if text in words.PEOPLE:
        return words.PEOPLE[text], True
    if (text in words.PAIRS and not compound) or item.tag in ("NN", "NNP") or text.endswith(("ss", "us", "is")):
        return text, False
    return singular(text), singular(text) != text
