"""The said benchmark: what people say of a scene with look-alikes, of one thing, several or none; gRefCOCO layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from ..errors import InputError
from .ideas import BESIDE, NUMBERS, ORDINALS, WHERE, Idea, Ideas
from .scene_maker import TINTS, Scene, SceneMaker
from .scenes import ANIMALS, SIZES, SMALLEST, Record, Referral
from .truths import SIDES, none_of, which
from .wording import agreeing, countable, group, plural, with_article, worded

SEED = 1 << 52  # far from every seed that training and the scenes benchmark draw
SPLITS = ("work", "report")  # settings are chosen on the first, figures reported on the second
_PER_IMAGE = 6  # expressions at most, each of another kind
_EXCEPT = ("except", "but", "except for", "other than", "apart from")


def sayings(rng: np.random.Generator, scene: Scene, nouns: list[str]) -> list[Referral]:
    """Unambiguous expressions of every kind the scene allows, in random order; `nouns` may be missed in it.

    None of a scene of fewer than 3 objects, of more than 4 of a noun, or with one too small to see.
    """
    alike = Counter(each.noun for each in scene.objects)
    if len(scene.objects) < 3 or max(alike.values()) > len(ORDINALS):
        return []
    if min(each.mask.mean() for each in scene.objects) < SMALLEST:
        return []  # a hidden object could make any expression ambiguous
    facts = Ideas(rng, scene)
    found = [Referral(worded(rng, phrase, asked=not phrase.startswith("not ")), tuple(target), kind)
             for kind, say in KINDS.items() for phrase, target in say(facts, nouns)]
    return [found[i] for i in rng.permutation(len(found))]


# Each kind yields phrases and the indices of what they mean; `nouns` are those of all drawings.


def _noun(facts: Ideas, nouns: list[str]):
    for noun in facts.unique:
        phrase = facts.pick((f"the {noun}", f"the {noun}", with_article(noun)))
        yield phrase, (facts.nouns.index(noun),)
    animals = [i for i, noun in enumerate(facts.nouns) if noun in ANIMALS]
    if len(animals) == 1 and facts.rng.random() < 0.2:
        yield "the animal", tuple(animals)


def _colour(facts: Ideas, nouns: list[str]):
    yield from facts.told(lambda noun, among: facts.colour_ideas(), "place relation")


def _place(facts: Ideas, nouns: list[str]):
    yield from facts.told(lambda noun, among: facts.place_ideas() + facts.extreme_ideas(among), "colour")


def _ordinal(facts: Ideas, nouns: list[str]):
    yield from facts.told(lambda noun, among: facts.rank_ideas(among), "colour")


def _size(facts: Ideas, nouns: list[str]):
    yield from facts.told(lambda noun, among: facts.size_ideas(among), "colour place relation")


def _relation(facts: Ideas, nouns: list[str]):
    def rarer(noun: str, among: np.ndarray) -> list[Idea]:
        return [idea for idea in facts.relation_ideas(noun) if not idea.states[0].startswith("next to")]

    found = list(facts.told(rarer, "colour"))
    yield from found or facts.told(lambda noun, among: facts.relation_ideas(noun), "colour")


def _between(facts: Ideas, nouns: list[str]):
    found = list(facts.told(lambda noun, among: facts.between_ideas(noun), "colour"))
    if found or facts.rng.random() < 0.4:  # that one is nearest to something is the commoner of the two
        yield from found or facts.told(facts.nearness_ideas, "colour")


def _negation(facts: Ideas, nouns: list[str]):
    found = list(facts.told(lambda noun, among: facts.negated(noun, facts.colour_ideas()), "place"))
    if found and facts.rng.random() < 0.5:
        yield from found
    else:
        yield from facts.told(lambda noun, among: facts.negated(
            noun, [*facts.place_ideas(), *facts.relation_ideas(noun)]), "colour place")


def _plural(facts: Ideas, nouns: list[str]):
    for noun in facts.repeated:
        ideas = facts.shuffled([*facts.colour_ideas(), *facts.place_ideas(), *facts.relation_ideas(noun)])
        for idea in [None, *ideas]:
            targets = which(np.minimum(facts.noun(noun), idea.truth) if idea else facts.noun(noun))
            if len(targets) > 1:
                form = facts.pick([f for f in idea.forms if "{s}" not in f]) if idea else "{n}"
                yield _all(facts, form.format(n=noun), agreeing(form.format(n=plural(noun))), len(targets)), targets
    animals = [i for i, noun in enumerate(facts.nouns) if noun in ANIMALS]
    if len(animals) > 1 and len({facts.nouns[i] for i in animals}) > 1:
        yield facts.pick(("all animals", "all the animals", "every animal", "the animals")), animals


def _all(facts: Ideas, one: str, several: str, count: int) -> str:
    forms = [f"all {several}", f"all the {several}", f"every {one}", f"each {one}", f"the {several}", several,
             f"the {NUMBERS[count]} {several}", f"all {NUMBERS[count]} {several}"]
    if count == 2:
        forms[-1:] = [f"both {several}", f"both the {several}", f"a couple of {several}", f"the pair of {several}"]
    return facts.pick(forms)


def _several(facts: Ideas, nouns: list[str]):
    parts = _parts(facts)
    short = [part for part in parts if len(part[0].split()) <= 3]
    for some in (facts.shuffled(parts if k % 3 else short)[: 2 + k % 2] for k in range(12)):
        targets = {i for _, target in some for i in target}
        if len(some) > 1 and len(targets) == sum(len(target) for _, target in some):
            names = [name for name, _ in some]
            forms = ["{} and {}", "{} and {}", "{} plus {}", "{} as well as {}", "{} together with {}", "{} & {}"]
            if not any(name.startswith("both ") for name in names):
                forms.append("both {} and {}")
            if len(names) == 3:
                forms = ["{}, {} and {}", "{}, {} and {}", "{} and {} and {}"]
            yield facts.pick(forms).format(*names), sorted(targets)
    for noun in facts.repeated:
        coloured = {colour: which(np.minimum(facts.noun(noun), facts.colour(colour))) for colour in TINTS}
        for first, second in combinations([colour for colour, found in coloured.items() if len(found) == 1], 2):
            yield facts.pick((f"the {first} and the {second} {noun}", f"the {first} {noun} and the {second} one",
                              f"the {noun} that is {first} and the one that is {second}")), sorted(
                                  coloured[first] + coloured[second])


def _parts(facts: Ideas) -> list[tuple[str, list[int]]]:
    """Things that a conjunction may join: what is unique, look-alikes told apart, pairs."""
    parts = [(f"the {noun}", [facts.nouns.index(noun)]) for noun in facts.unique]
    for noun in facts.repeated:
        members = facts.noun(noun)
        for ideas in (facts.colour_ideas(), facts.place_ideas() + facts.extreme_ideas(members),
                      facts.rank_ideas(members), facts.size_ideas(members)):
            for idea in facts.shuffled(ideas):
                target = which(np.minimum(members, idea.truth))
                if len(target) == 1:
                    form = facts.pick([form for form in idea.forms if "{s}" not in form])
                    parts.append((f"the {form.format(n=noun)}", target))
                    break
        if len(which(members)) == 2:
            parts.append((f"both {plural(noun)}", which(members)))
    return parts


def _exclusion(facts: Ideas, nouns: list[str]):
    everything = set(range(len(facts.nouns)))
    animals = {i for i in everything if facts.nouns[i] in ANIMALS}
    left_out = [(f"the {noun}", {facts.nouns.index(noun)}) for noun in facts.unique]
    left_out += [(f"the {plural(noun)}", set(which(facts.noun(noun)))) for noun in facts.repeated]
    left_out += [(f"{name} and {other}", gone | more) for (name, gone), (other, more) in combinations(left_out, 2)]
    for name, gone in left_out:
        if len(everything - gone) > 1:
            word = facts.pick(_EXCEPT)
            forms = [f"everything {word} {name}", f"all {word} {name}", f"everything {word} {name}",
                     f"all things {word} {name}", f"anything but {name}", f"all objects {word} {name}"]
            if " and " not in name:
                forms += [f"everything that is not {name}", f"not {name}"]
            yield facts.pick(forms), sorted(everything - gone)
        if gone < animals and len(animals - gone) > 1:
            word = facts.pick(_EXCEPT)
            yield facts.pick((f"all animals {word} {name}", f"every animal {word} {name}",
                              f"all the animals {word} {name}")), sorted(animals - gone)
    for noun in facts.repeated:
        yield from _all_but_one(facts, noun, everything)


def _all_but_one(facts: Ideas, noun: str, everything: set[int]):
    """All look-alikes but one, and everything but one of them."""
    members = facts.noun(noun)
    count = len(which(members))
    ideas = [*facts.colour_ideas(), *facts.place_ideas(), *facts.extreme_ideas(members), *facts.rank_ideas(members),
             *facts.size_ideas(members)]
    telling = [idea for idea in ideas if len(which(np.minimum(members, idea.truth))) == 1]
    for idea in facts.shuffled(telling)[:2]:
        gone = which(np.minimum(members, idea.truth))
        forms = [form for form in idea.forms if "{s}" not in form]
        word = facts.pick(_EXCEPT)
        name, one = facts.pick(forms).format(n=noun), facts.pick(forms).format(n="one")
        if count > 2:
            yield facts.pick((f"all {plural(noun)} {word} the {one}", f"every {noun} {word} the {one}",
                              f"all the {plural(noun)} but not the {one}",
                              f"the {plural(noun)} {word} the {one}")), sorted({*which(members)} - {*gone})
        if len(everything) > 2:
            yield facts.pick((f"everything {word} the {name}", f"all things {word} the {name}",
                              f"anything but the {name}")), sorted(everything - {*gone})


def _absent(facts: Ideas, nouns: list[str]):
    seen = set().union(*(group(noun) for noun in facts.nouns))
    missing = facts.shuffled([noun for noun in nouns if noun not in seen])[:6]
    for noun, other in zip(missing[::2], missing[1::2], strict=False):
        side = facts.pick(SIDES)
        colour, k = facts.pick(list(TINTS)), facts.rng.integers(3)
        anchor = facts.pick([plural(each) for each in facts.repeated] + facts.unique)
        yield facts.pick((f"the {noun}", with_article(noun), f"the {colour} {noun}", f"the {noun} {WHERE[side]}",
                          f"the {ORDINALS[k]} {noun} from the {side}", f"the biggest {noun}", f"both {plural(noun)}",
                          f"all {plural(noun)}", f"the {noun} {facts.pick(BESIDE[side])} the {anchor}")), ()
        yield facts.pick((f"the {noun} and the {other}", f"{with_article(noun)} or {with_article(other)}",
                          f"the {noun} next to the {other}", f"the {facts.pick(facts.nouns)} next to the {noun}",
                          f"the {facts.pick(facts.nouns)} {facts.pick(BESIDE[side])} the {noun}")), ()
    there = {colour for colour in facts.colours if colour}
    for noun in facts.unique + facts.repeated:
        for colour, idea in zip(TINTS, facts.colour_ideas(), strict=True):
            if none_of(np.minimum(facts.noun(noun), idea.truth)) and (colour in there or facts.rng.random() < 0.1):
                side = facts.pick(SIDES)
                yield facts.pick((f"the {colour} {noun}", f"the {colour} {noun}", f"the {noun} that is {colour}",
                                  f"the {colour} {noun} {WHERE[side]}", f"all {colour} {plural(noun)}")), ()


KINDS: dict[str, Callable[[Ideas, list[str]], Iterator]] = {
    "noun": _noun, "colour": _colour, "place": _place, "ordinal": _ordinal, "size": _size, "relation": _relation,
    "between": _between, "plural": _plural, "several": _several, "negation": _negation, "exclusion": _exclusion,
    "absent": _absent}


def write_said(out: str | Path, maker: SceneMaker, per_kind: int = 60, seed: int = 0,
               progress: Callable[[int], None] | None = None) -> dict[str, int]:
    """Write a dataset of at least `per_kind` expressions of every kind per split; returns how many each split has.

    Layout: `grefs(refdiff).json` as in gRefCOCO, `instances.json` and `images/`. In splits work and report. The same
    arguments give the same files; `progress` is told how many expressions were added. Raises InputError when the
    pictograms show too few nouns, or `out` already holds files or cannot be made.
    """
    nouns = [noun for noun in maker.nouns if countable(noun)]
    if len({group(noun) for noun in nouns}) < 5:
        raise InputError("The pictograms must show at least five things that nobody takes for one another, each file "
                         "named by its noun.")
    record = Record(Path(out), maker.nouns, "grefs")
    counts = {}
    for number, split in enumerate(SPLITS):
        had: Counter[str] = Counter()
        surplus = {kind: np.zeros(6) for kind in KINDS}
        scene_seed = 0
        while min(had[kind] for kind in KINDS) < per_kind:
            rng = np.random.default_rng((SEED, seed, number, scene_seed))
            scene_seed += 1
            scene = _scene(rng, maker, nouns)
            needed = [kind for kind in sorted(KINDS, key=lambda kind: had[kind]) if had[kind] < per_kind]
            found = _balanced(scene, sayings(rng, scene, nouns), needed, surplus)
            if len(found) >= min(_PER_IMAGE - 1, len(needed)):
                for each in found:
                    surplus[each.kind] += _standing(scene, each)
                record.add(split, scene, found)
                had.update(each.kind for each in found)
                if progress:
                    progress(len(found))
        counts[split] = had.total()
    record.write()
    return counts


def _scene(rng: np.random.Generator, maker: SceneMaker, nouns: list[str]) -> Scene:
    """A scene of 3 to 6 objects of 1 to 3 nouns, none of which can be taken for another."""
    wanted = int(rng.choice([1, 2, 3], p=[0.08, 0.42, 0.5]))
    chosen: list[str] = []
    for noun in (nouns[i] for i in rng.permutation(len(nouns))):
        if len(chosen) < wanted and all(noun not in group(other) for other in chosen):
            chosen.append(noun)
    count = int(rng.integers(3, 5 if wanted == 1 else 7))
    return maker.make(rng, *SIZES[rng.integers(len(SIZES))], count, chosen)


def _balanced(scene: Scene, found: list[Referral], needed: list[str],
              surplus: dict[str, np.ndarray]) -> list[Referral]:
    """One expression of each kind needed most, whose target makes up best for how targets stood so far."""
    chosen: list[Referral] = []
    for kind in needed:
        options = [each for each in found if each.kind == kind]
        if options and len(chosen) < _PER_IMAGE:
            chosen.append(min(options, key=lambda each: float(surplus[kind] @ _standing(scene, each))))
    return chosen


def _standing(scene: Scene, each: Referral) -> np.ndarray:
    """float [6]: whether the one thing meant is the leftmost, rightmost, highest, lowest, biggest and smallest of its
    look-alikes, less what chance would give."""
    if not isinstance(each.target, tuple) or len(each.target) != 1:
        return np.zeros(6)
    target = scene.objects[each.target[0]]
    alike = [other for other in scene.objects if other.noun == target.noun]
    values = np.array([[*other.centre, float(other.mask.sum())] for other in alike])[:, [0, 0, 1, 1, 2, 2]]
    values[:, 1::2] *= -1
    own = next(i for i, other in enumerate(alike) if other is target)
    return (values.argmin(0) == own) - 1 / len(alike)
