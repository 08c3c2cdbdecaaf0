"""What can be said of the objects of a scene: ideas, their truth and random words for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .scene_maker import TINTS, Scene
from .truths import SIDES, Facts, which
from .wording import agreeing, plural, with_article

ORDINALS = ("first", "second", "third", "fourth")
_DIGITS = ("1st", "2nd", "3rd", "4th")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
WHERE = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
_MOST = {"left": "leftmost", "right": "rightmost", "top": "topmost", "bottom": "lowest"}
_FAR = {"left": "on the far left", "right": "on the far right", "top": "at the very top", "bottom": "furthest down"}
BESIDE = {"left": ("to the left of", "left of", "on the left of"), "right": ("to the right of", "right of"),
          "top": ("above", "over"), "bottom": ("below", "under", "beneath")}


@dataclass(frozen=True)
class Idea:
    """What can be said of things: its truth (see `truths`), forms with {n} for the noun (or {s} for its plural)
    and states, words that 'is' or 'is not' may precede."""

    truth: np.ndarray
    forms: tuple[str, ...]
    states: tuple[str, ...] = ()


IdeasOf = Callable[[str, np.ndarray], "list[Idea]"]  # of a noun, and of those of it that are meant


class Ideas(Facts):
    """Facts, and random words for them."""

    def __init__(self, rng: np.random.Generator, scene: Scene):
        super().__init__(scene)
        self.rng = rng
        self.unique = [noun for noun, count in Counter(self.nouns).items() if count == 1]
        self.repeated = [noun for noun, count in Counter(self.nouns).items() if count > 1]

    def pick(self, options):
        return options[self.rng.integers(len(options))]

    def shuffled(self, options) -> list:
        return [options[i] for i in self.rng.permutation(len(options))]

    def anchors(self, noun: str) -> list[tuple[int, str]]:
        """Objects of other nouns that a noun, with a colour where it needs one, tells from all others."""
        named = [(self.nouns.index(each), each) for each in self.unique if each != noun]
        for i, (each, colour) in enumerate(zip(self.nouns, self.colours, strict=True)):
            alone = colour and which(np.minimum(self.noun(each), self.colour(colour))) == [i]
            if alone and each in self.repeated and each != noun:
                named.append((i, f"{colour} {each}"))
        return named

    # ideas about one noun; `members` is the truth of being one of those among whom something is first or biggest

    def colour_ideas(self) -> list[Idea]:
        return [Idea(self.colour(colour), (f"{colour} {{n}}",) * 3 + (f"{{n}} that is {colour}",), (colour,))
                for colour in TINTS]

    def place_ideas(self) -> list[Idea]:
        sides = [Idea(self.at(side), (f"{{n}} {words}", f"{side} {{n}}", f"{{n}} {words} of the picture",
                                      f"{{n}} that is {words}"), (words,)) for side, words in WHERE.items()]
        corners = [Idea(np.minimum(self.at(across), self.at(along)),
                        (f"{across} {along} {{n}}", f"{{n}} at the {across} {along}",
                         f"{{n}} in the {across} {along} corner"), (f"in the {across} {along} corner",))
                   for across in ("top", "bottom") for along in ("left", "right")]
        return sides + corners

    def extreme_ideas(self, members: np.ndarray) -> list[Idea]:
        ideas = []
        for side in SIDES:
            order = self.ordered(members, side)
            if len(order) > 1:
                forms = (f"{_MOST[side]} {{n}}", f"{{n}} {_FAR[side]}", f"{{n}} closest to the {side} edge",
                         f"{{n}} nearest the {side}")
                ideas.append(Idea(self.only(order[0]), forms, (f"the {_MOST[side]} one",)))
        middle = self.in_middle(members)
        if middle is not None:
            ideas += [Idea(self.only(middle), ("{n} in the middle", "middle {n}", "center {n}", "{n} in the center",
                                               "{n} that is in the middle"), ("in the middle",))] * 4
        return ideas

    def rank_ideas(self, members: np.ndarray) -> list[Idea]:
        ideas = []
        for side in SIDES:
            order = self.ordered(members, side)
            for k, i in enumerate(order if len(order) > 1 else ()):
                if k == 0 and self.rng.random() < 0.5:
                    continue  # "the first" is the commonest otherwise
                word, digit = ORDINALS[k], _DIGITS[k]
                ideas.append(Idea(self.only(i), (
                    f"{word} {{n}} from the {side}", f"{digit} {{n}} from the {side}",
                    f"{word} {{n}} counting from the {side}", f"{{n}} that is {word} from the {side}",
                    f"{digit} {{n}} from the {side} side")))
        return ideas

    def size_ideas(self, members: np.ndarray) -> list[Idea]:
        order = self.by_size(members)
        if len(order) < 2:
            return []
        said: list[tuple[int | None, str]] = [
            *((order[0], word) for word in ("biggest", "largest")), *((order[-1], w) for w in ("smallest", "tiniest"))]
        if len(order) == 2:
            said += [(order[0], "bigger"), (order[0], "larger"), (order[1], "smaller")]
        else:
            said += [(order[1], "second biggest"), (order[1], "2nd largest"), (order[-2], "second smallest")]
        if len(order) == 3:
            said.append((order[1], "medium-sized"))
        for axis, most, least in ((0, "widest", "narrowest"), (1, "tallest", "shortest")):
            extents = self.by_extent(members, axis)
            said += [(extents[0], most), (extents[-1], least)]
        number = NUMBERS[len(order)]
        return [Idea(self.only(i), (f"{word} {{n}}", f"{word} {{n}}", f"{word} one of the {number} {{s}}",
                                    f"{{n}} that is {'the ' * word.endswith('est')}{word}"), (f"the {word} one",))
                for i, word in said if i is not None]

    def relation_ideas(self, noun: str) -> list[Idea]:
        ideas = []
        for anchor, name in self.anchors(noun):
            for side, words in BESIDE.items():
                forms = tuple(f"{{n}} {word} the {name}" for word in words)
                ideas.append(Idea(self.beside(side, anchor), (*forms, f"{{n}} that is {words[0]} the {name}"),
                                  tuple(f"{word} the {name}" for word in words)))
            near = self.next_to(anchor)
            ideas.append(Idea(near, tuple(f"{{n}} {word} the {name}" for word in ("next to", "beside", "near", "by")),
                              (f"next to the {name}", f"near the {name}")))
            bigger = self.bigger_than(anchor)
            for truth, word in ((bigger, "bigger"), (bigger, "larger"), (1 - bigger, "smaller")):
                ideas.append(Idea(truth, (f"{{n}} {word} than the {name}", f"{{n}} that is {word} than the {name}"),
                                  (f"{word} than the {name}",)))
        return ideas

    def between_ideas(self, noun: str) -> list[Idea]:
        ideas = []
        for (first, name), (second, other) in combinations(self.anchors(noun), 2):
            words = f"between the {name} and the {other}"
            ideas.append(Idea(self.between(first, second), (f"{{n}} {words}", f"{{n}} that is {words}",
                                                            f"{{n}} in between the {other} and the {name}")))
        for other in self.repeated:
            two = which(self.noun(other))
            if other != noun and len(two) == 2:
                names = plural(other)
                ideas.append(Idea(self.between(*two), (f"{{n}} between the two {names}",
                                                       f"{{n}} between the {names}")))
        return ideas

    def nearness_ideas(self, noun: str, members: np.ndarray) -> list[Idea]:
        ideas = []
        for anchor, name in self.anchors(noun):
            order = self.by_nearness(members, anchor)
            if len(order) > 1:
                for i, words in ((order[0], ("closest to", "nearest to", "nearest")),
                                 (order[-1], ("farthest from", "furthest from", "farthest away from"))):
                    if i is not None:
                        forms = tuple(f"{{n}} {word} the {name}" for word in words)
                        ideas.append(Idea(self.only(i), (*forms, f"{{n}} that is {words[0]} the {name}")))
        return ideas

    def negated(self, noun: str, ideas: list[Idea]) -> list[Idea]:
        """What is not so of a thing, where it is of another of that noun."""
        out = []
        held = [idea for idea in ideas if (np.minimum(self.noun(noun), idea.truth) == 1).any()]
        coloured = {idea.states[0]: idea.truth for idea in held if idea.states[0] in TINTS}
        for first, second in combinations(coloured, 2):
            out.append(Idea(1 - np.maximum(coloured[first], coloured[second]),
                            (f"{{n}} that is neither {first} nor {second}",)))
        for idea in held:
            state = self.pick(idea.states)
            forms = [f"{{n}} that is not {state}", f"{{n}} that isn't {state}", f"{{n}} not {state}"]
            if state in TINTS:
                forms += [f"non-{state} {{n}}", f"{{n}}, but not the {state} one"]
            if state.startswith("next to the "):
                anchor = with_article(state.removeprefix("next to the "))
                forms += [f"{{n}} without {anchor} next to it", f"{{n}} with no {anchor.split(' ', 1)[1]} beside it"]
            out.append(Idea(1 - idea.truth, tuple(forms)))
        return out

    def told(self, ideas_of: IdeasOf, extras: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Each look-alike that such an idea tells from the others; a third of them with an extra idea beside it, best
        where neither would do alone. `extras` names what may be added: colour, place, relation.
        """
        for noun in self.repeated:
            alike = self.noun(noun)
            alone = list(self._told_with(noun, alike, ideas_of, None))
            more = []
            for extra in self.shuffled(self.extra_ideas(noun, extras)):
                among = np.minimum(alike, extra.truth)
                if len(which(among)) != 1 and (among == 1).any():  # the main idea must be needed
                    more += list(self._told_with(noun, among, ideas_of, extra))
            known = {target for _, target in alone}
            more.sort(key=lambda each: each[1] in known)
            yield from alone
            yield from more[: max(1, len(alone) // 2)]

    def _told_with(self, noun: str, among: np.ndarray, ideas_of: IdeasOf,
                   extra: Idea | None) -> Iterator[tuple[str, tuple[int, ...]]]:
        for idea in self.shuffled(ideas_of(noun, among)):
            target = which(np.minimum(among, idea.truth))
            phrase = self.phrase(noun, idea, extra)
            if len(target) == 1 and phrase:
                yield f"the {phrase}", tuple(target)

    def extra_ideas(self, noun: str, kinds: str) -> list[Idea]:
        ideas = self.colour_ideas() if "colour" in kinds else []
        if "place" in kinds:
            ideas += self.place_ideas()
        if "relation" in kinds:
            ideas += [idea for idea in self.relation_ideas(noun) if " than " not in idea.states[0]]
        return ideas

    def phrase(self, noun: str, idea: Idea, extra: Idea | None = None) -> str | None:
        """The noun with one idea or two, of which at most one follows it; None where both would."""
        one, several = noun, plural(noun)
        main = self.pick(idea.forms)
        if extra:
            after = not main.endswith("{n}")
            forms = [form for form in extra.forms if form.endswith("{n}") or not after]
            if not forms:
                return None
            form = self.pick(forms)
            one, several = form.format(n=one), agreeing(form.format(n=several))
        return main.format(n=one, s=several)
