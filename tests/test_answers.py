"""What an expression means among proposals of which it is known what each is: one, several or nothing."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from refdiff.core.proposals import Proposals
from refdiff.language import Attribute, Target, query
from refdiff.language.query import THING
from refdiff.language.words import IDEAS
from refdiff.method.answers import Answer, answer
from refdiff.method.evidence import COLOURS as EVERY_COLOUR
from refdiff.method.evidence import COMMON, Evidence, known_nouns, misspelt
from refdiff.method.instances import AS_LIKELY, COVERED, FLOOR, SAME, Overlaps, separate
from refdiff.method.judging import expecting
from refdiff.method.relations import Shapes, at_least, between, nth, order_keys, related
from refdiff.settings import QuerySettings
from refdiff.weights.manifest import Domain

HEIGHT, WIDTH = 100, 200
THINGS = {
    "a": ("red cat", (10, 60, 40, 90)),
    "b": ("black cat", (80, 62, 106, 88)),
    "c": ("red cat", (150, 8, 190, 48)),  # the biggest
    "d": ("brown dog", (112, 64, 134, 88)),
    "e": ("red cup", (42, 78, 52, 90)),
    "f": ("blue cup", (84, 10, 100, 26)),
    "g": ("blue box", (140, 56, 195, 96)),
    "h": ("red ball", (160, 76, 172, 88)),  # in the box
    "i": ("black hat", (88, 52, 100, 68)),  # on the black cat
}
COLOURS = ("red", "black", "brown", "blue", "green")

LINES = """
the dog = d
the cats = a b c
two cups = e f
three cats = a b c
all red things = a c e
a zebra =
the zebras =
the green cat =
the second zebra from the left =
the cat next to the zebra =

the cat on the left = a
the cat on the right = c
the cat at the top = c
the cat in the middle = b
the cats on the right = c
the cats at the bottom = a b
left cup = e
the leftmost cat = a
second cat from the left = b
second cat from the right = b
third cat from the right = a
first cat from the left = a
first cat from the top = c
the two leftmost cats = a b
the second thing from the left = e
the ninth cat from the left =
the balls on the left =

the biggest cat = c
the second biggest cat = a
the smallest cat = b
the two smallest cats = a b
the big cat = c
the smaller cup = e
the widest thing = g
the biggest red cat = c

the cat left of the dog = a
the cats left of the dog = a b
the cup right of the red cat on the left = e
the cat above the box = c
the box below the cat on the right = g
the ball in the box = h
the hat on the cat = i
the cat with a hat = b
the cup touching the cat = e
the cat next to the dog = b
the cat next to the cup = a
the thing between the black cat and the box = d
the dog between the cats = d
the cup closest to the dog = f
the cat closest to the dog = b
the cat farthest from the dog = a
the cat that is not closest to the dog = a
the two cats closest to the dog = b c
the cat bigger than the box =
the cat smaller than the dog =
the cup smaller than the dog = e

the cat that is not red = b
the cats that are not black = a c
the cats that are not on the left = c
the cat that is not on the left = c
the cat not next to the dog = a
the cats not left of the dog = c
the cat without a hat = c
the cat that is not big = b
everything except the cats = d e f g i
all cats except the black one = a c
all cats except the biggest = a b
the red things that are not cats = e
the cats without a zebra = a b c

the dog and the cups = d e f
the black cat and the red cup = b e
the dog and the zebra = d
the leftmost and rightmost cats = a c
the hat on the cat next to the dog = i
the cup next to the cat farthest from the dog = e
the cup next to the cat left of the dog left of the box = e
""".strip().splitlines()
"""The ball is a part of the box where a thing of any kind is meant."""


class World:
    """A witness of boxes of which it is known what each is."""

    def __init__(self, things=THINGS, no: float = 0.03, yes: float = 0.95):
        masks = np.zeros((len(things), HEIGHT, WIDTH), bool)
        for mask, (_, (left, top, right, bottom)) in zip(masks, things.values(), strict=True):
            mask[top:bottom, left:right] = True
        self.names, self.chances = list(things), (no, yes)
        self.said = [said.split() for said, _ in things.values()]
        self.proposals = Proposals(masks, "given")
        self.overlaps = Overlaps.of(self.proposals)

    def named(self, target):
        return np.array([self.chances[target.head in (THING, said[-1])] for said in self.said])

    def described(self, target, word):
        return np.array([self.chances[word in said] for said in self.said]) if word in COLOURS else None


def asked(text: str, world: World | None = None, **changes) -> Answer:
    return answer(query(text), world or World(), QuerySettings(**changes))


def chosen(text: str, world: World | None = None, **changes) -> str:
    """The names of what is answered."""
    world = world or World()
    return " ".join(sorted(world.names[i] for i, _ in asked(text, world, **changes).chosen))


def mirrored(things=THINGS) -> dict:
    return {name: (said, (WIDTH - right, top, WIDTH - left, bottom))
            for name, (said, (left, top, right, bottom)) in things.items()}


def swapped(text: str) -> str:
    return text.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")


@pytest.mark.parametrize("line", filter(None, LINES))
def test_what_is_meant_is_chosen_and_in_a_mirror_too(line):
    text, wanted = (part.strip() for part in line.split("="))
    found, other = asked(text), asked(swapped(text), World(mirrored()))
    assert chosen(text) == chosen(swapped(text), World(mirrored())) == wanted
    assert np.allclose(found.likely, other.likely) and found.present == pytest.approx(other.present)


def test_the_likeliest_is_named_first():
    things = {str(i): ("cat", (20 * i, 40, 20 * i + 10, 50)) for i in range(5)}
    world = World(things)
    world.named = lambda target: np.array([0.6, 0.1, 0.9, 0.7, 0.3])
    found = asked("the cats", world)
    assert found.chosen == ((2, pytest.approx(0.9)), (3, pytest.approx(0.7)), (0, pytest.approx(0.6)))
    assert found.present == pytest.approx(0.9) and not found.missing and not found.fewer
    assert chosen("the cats", world, each_threshold=0.2) == "0 2 3 4"
    assert chosen("the cats", world, each_threshold=0.95) == "2"  # at least one
    assert chosen("two cats", world) == "2 3" and chosen("a cat", world) == "2"


def test_who_asks_for_several_has_seen_two():
    world = World({"a": ("cat", (10, 40, 40, 70)), "b": ("cat", (90, 40, 120, 70))})
    world.named = lambda target: np.array([0.9, 0.2])
    assert chosen("the cats", world) == chosen("two cats", world) == "a b"
    assert asked("the cats", world).likely[1] > 0.5 > asked("the cat", world).likely[1]
    assert min(chance for _, chance in asked("the two leftmost cats").chosen) > 0.7


def test_what_is_counted_but_not_there_is_not_made_up():
    world = World({"a": ("cat", (10, 40, 40, 70)), "b": ("cat", (90, 40, 120, 70)), "c": ("fox", (150, 40, 180, 70)),
                   "d": ("owl", (150, 75, 180, 95))}, no=0.01)
    assert chosen("the second cat from the left", world) == "b"
    assert chosen("the third cat from the left", world) == chosen("the third biggest cat", world) == ""
    four = asked("four cats", world)
    assert [world.names[i] for i, _ in four.chosen] == ["a", "b"] and four.fewer[0][1] == 2
    assert chosen("three cats", world) == chosen("both cats", world) == "a b"


def test_what_is_closest_is_so_to_the_likeliest_not_to_the_mean():
    world = World({"a": ("cat", (10, 60, 40, 90)), "b": ("cat", (100, 60, 130, 90)),
                   "c": ("ant", (5, 5, 25, 25)), "d": ("bee", (170, 60, 190, 80))})
    world.named = lambda target: np.array(
        [0.9, 0.9, 0.01, 0.01] if target.head == "cat" else [0.01, 0.01, 0.91, 0.58])  # d looks a little like an ant
    assert chosen("the cat closest to the ant", world) == "a" and chosen("the cat farthest from the ant", world) == "b"
    assert chosen("the cat below the ant", world) == "a"


def test_the_only_one_may_lie_anywhere_but_rather_where_it_is_said_to_be():
    world = World({"a": ("cat", (150, 40, 180, 70))})
    assert chosen("the cat on the left", world) == chosen("the cat on the right", world) == "a"
    assert asked("the cat on the left", world).likely[0] < 0.7 * asked("the cat on the right", world).likely[0]


def test_what_is_missing_is_named_with_what_comes_nearest():
    found = asked("a zebra")
    assert (found.chosen, found.present) == ((), pytest.approx(0.03))
    assert found.missing == ((query("a zebra").targets[0], 0),)
    assert chosen("a zebra", threshold=0) == "a"
    assert asked("a zebra", World(no=0.0)).missing == ((query("a zebra").targets[0], None),)
    found = asked("the dog and the zebra")
    assert [str(target) for target, _ in found.missing] == ["one zebra"] and found.present == pytest.approx(0.03)
    assert [str(target) for target, _ in asked("four cats", World(no=0.0)).fewer] == ["4 cat"]


@pytest.mark.parametrize("threshold", [0.16, 1.0])
def test_where_one_is_meant_one_is_always_chosen(threshold):
    for text in (line.split("=")[0] for line in filter(None, LINES)):
        for world in (World(), World(no=0.0), World(dict(list(THINGS.items())[:1]))):
            one, any_number = (asked(text, world, targets=targets, threshold=threshold) for targets in ("one", "any"))
            assert len(one.chosen) == 1 and np.array_equal(one.likely, any_number.likely)
            if any_number.chosen and not any_number.missing:
                assert one.chosen[0] == any_number.chosen[0]


@pytest.mark.parametrize(("text", "of_query", "of_instances", "of_relations"), [
    ("the dog on the left", "d", "d", "d"), ("the black cats", "b", "b", "b"), ("the cats", "a", "a b c", "a b c"),
    ("two cats on the right", "a", "a b", "b c"), ("the biggest cat", "a", "a", "c"),
    ("the cats left of the dog", "a", "a b c", "a b"), ("the cat next to the zebra", "a", "a", ""),
])
def test_readings_go_from_one_thing_by_its_noun_to_all_that_is_said(text, of_query, of_instances, of_relations):
    readings = {"query": of_query, "instances": of_instances, "relations": of_relations}
    assert {reading: chosen(text, reading=reading) for reading in readings} == readings


@pytest.mark.parametrize(("text", "plain"), [
    ("the striped cats", "the cats"), ("the cats that are not striped", "the cats"),
    ("the cat left of the striped dog", "the cat left of the dog"), ("the wooden red cup", "the red cup")])
def test_a_word_that_the_models_do_not_know_changes_nothing(text, plain):
    assert asked(text).chosen == asked(plain).chosen and np.array_equal(asked(text).likely, asked(plain).likely)


def test_what_something_stands_to_decides_by_where_it_is():
    """A dog goes from the left to the right, past a cat: the cat is ever more to its left, and ever less to its
    right."""
    chances = {"left": [], "right": []}
    for x in range(5, 185, 10):
        world = World({"cat": ("cat", (94, 40, 106, 52)), "dog": ("dog", (x, 40, x + 12, 52))}, no=0.0)
        for side, found in chances.items():
            found.append(asked(f"the cat {side} of the dog", world).likely[0])
    assert (np.diff(chances["left"]) >= -1e-3).all() and (np.diff(chances["right"]) <= 1e-3).all()
    assert chances["left"][0] < 0.05 < 0.9 < chances["left"][-1]
    assert chances["right"][-1] < 0.05 < 0.9 < chances["right"][0]


def test_a_thing_does_not_stand_to_itself_and_a_copy_of_it_is_the_same():
    things = {"a": ("cat", (10, 40, 40, 70)), "b": ("cat", (12, 40, 42, 70)), "c": ("cat", (90, 40, 120, 70))}
    assert chosen("the cats", World(things)) == "a c"
    assert chosen("the cat next to the cat", World({"a": things["a"], "b": things["b"]})) == ""
    assert chosen("the cat right of the cat", World(things)) == "c"


def test_masks_without_a_pixel_are_no_harm():
    world = World({"a": ("cat", (10, 40, 40, 70)), "b": ("cat", (5, 5, 5, 5)), "c": ("cat", (9, 9, 9, 9))})
    for text in ("the smallest cat", "the tallest cat", "the cat left of the cat", "cat next to the widest cat"):
        assert np.isfinite(asked(text, world).likely).all()


# Its parts


ANCHOR = (90, 40, 110, 60)
STANDS = [
    ("left of", (20, 40, 40, 60), True), ("left of", (40, 0, 60, 20), True), ("left of", (92, 5, 108, 20), False),
    ("right of", (150, 50, 160, 60), True), ("right of", (20, 40, 40, 60), False),
    ("above", (90, 0, 110, 20), True), ("above", (90, 70, 110, 90), False), ("below", (85, 70, 105, 90), True),
    ("next to", (115, 40, 130, 60), True), ("next to", (170, 40, 190, 60), False),
    ("touching", (110, 40, 130, 60), True), ("touching", (120, 40, 130, 60), False),
    ("on", (95, 30, 105, 41), True), ("on", (95, 60, 105, 80), False), ("on", (95, 0, 105, 10), False),
    ("in", (95, 45, 105, 55), True), ("in", (60, 20, 140, 90), False), ("in", (105, 45, 125, 55), False),
    ("with", (95, 30, 105, 60), True), ("of", (60, 30, 140, 90), True), ("with", (150, 40, 170, 60), False),
    ("in front of", (100, 50, 120, 90), True), ("in front of", (100, 10, 120, 40), False),
    ("behind", (95, 10, 115, 40), True), ("behind", (95, 50, 115, 90), False),
    ("bigger than", (0, 0, 30, 30), True), ("bigger than", (0, 0, 10, 30), False), ("smaller than", (0, 0, 9, 9), True),
    ("taller than", (0, 0, 9, 30), True), ("taller than", (0, 0, 50, 9), False), ("shorter than", (0, 0, 50, 9), True),
]


def shapes(*boxes) -> Shapes:
    corners = np.array(boxes, float).reshape(-1, 4)
    return Shapes.of(corners, (corners[:, 2:] - corners[:, :2]).prod(1), (HEIGHT, WIDTH))


@pytest.mark.parametrize(("kind", "box", "stands"), STANDS)
def test_how_two_things_stand_to_each_other(kind, box, stands):
    score = related(kind, shapes(box), shapes(ANCHOR)).item()
    assert (score > 0.5) == stands and 0 <= score <= 1


def test_between_is_by_the_way_over_it():
    ends = shapes((10, 40, 30, 60)), shapes((150, 40, 170, 60))
    middle, off, beyond = between(shapes((80, 35, 100, 55), (80, 0, 100, 9), (180, 40, 199, 60)), *ends)[:, 0, 0]
    assert middle > 0.9 > off > beyond and beyond < 0.2


@pytest.mark.parametrize(("order", "first"), zip(
    "left right top bottom back front biggest smallest tallest shortest widest narrowest".split(),
    "tall wide big wide big tall big tall tall wide wide tall".split(), strict=True))
def test_orders_begin_with_what_they_are_called_by(order, first):
    keys, _ = order_keys(order, shapes((10, 30, 20, 95), (140, 70, 199, 82), (60, 10, 105, 55)))
    assert ("tall", "wide", "big")[int(keys.argmin())] == first


def brute_force(before: np.ndarray, number: int) -> np.ndarray:
    """How likely exactly `number` - 1 of the others come before each, over all subsets of the others."""
    out = np.zeros(len(before))
    for k, row in enumerate(before):
        others = np.delete(row, k)
        for real in itertools.product((False, True), repeat=len(others)):
            if sum(real) == number - 1:
                out[k] += np.where(real, others, 1 - others).prod()
    return out


@pytest.mark.parametrize("seed", range(4))
def test_nth_agrees_with_going_through_all_subsets(seed):
    rng = np.random.default_rng(seed)
    for count in range(7):
        p, keys = rng.random(count), rng.random(count)
        before = p[None] / (1 + np.exp((keys[None] - keys[:, None]) / 0.1))
        found = [nth(p, keys, number, 0.1) for number in range(1, count + 2)]
        assert np.allclose(found, [brute_force(before, number) for number in range(1, count + 2)])
        assert np.allclose(np.sum(found, 0), 1)  # each has some place in the order
        real = np.array(list(itertools.product((False, True), repeat=count)), bool).reshape(2**count, count)
        chances = np.where(real, p, 1 - p).prod(1)
        assert np.allclose([at_least(p, number) for number in range(count + 2)],
                           [chances[real.sum(1) >= number].sum() for number in range(count + 2)])


def test_nth_is_that_of_the_real_ones_where_keys_lie_apart():
    """Of all ways in which some of six candidates are real, the share in which one is real and has a place."""
    rng = np.random.default_rng(0)
    p, keys = rng.random(6), rng.permutation(6).astype(float)
    order = np.argsort(keys)
    for number in range(1, 7):
        expected = np.zeros(6)
        for real in itertools.product((False, True), repeat=6):
            there = [k for k in order if real[k]]
            if len(there) >= number:
                expected[there[number - 1]] += np.where(real, p, 1 - p).prod()
        assert np.allclose(p * nth(p, keys, number, 0.01), expected)


boxes = st.tuples(st.integers(0, 150), st.integers(0, 70), st.integers(1, 50), st.integers(1, 30)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3]))
quick = settings(max_examples=60, deadline=None, database=None, derandomize=True)


@quick
@given(st.lists(st.tuples(boxes, st.sampled_from([0, FLOOR / 2, 0.1, 0.5, 1]) | st.floats(0, 1)), min_size=1,
                max_size=12))
def test_things_do_not_overlap_and_what_is_left_out_is_part_of_a_likelier_one(found):
    world = World({str(i): ("cat", box) for i, (box, _) in enumerate(found)})
    likely, overlaps = np.array([chance for _, chance in found], float), world.overlaps
    kept = separate(likely, overlaps)
    assert (np.diff(likely[kept]) <= 0).all() and (likely[kept] >= FLOOR).all()
    same = (overlaps.iou > SAME) | (overlaps.cover > COVERED)
    assert not any(same[i, j] for i, j in itertools.combinations(kept, 2))
    for i in set(range(len(found))) - set(kept):
        assert likely[i] < FLOOR or any(same[i, j] and likely[j] >= AS_LIKELY * likely[i] for j in kept)


def test_of_proposals_alike_and_about_as_likely_the_segmentors_best_stands_for_the_thing():
    world = World({"best": ("cat", (10, 10, 60, 60)), "likelier": ("cat", (10, 10, 63, 60)),
                   "other": ("cat", (90, 10, 140, 60))})
    assert separate(np.array([0.93, 0.99, 0.95]), world.overlaps) == [2, 0]
    assert separate(np.array([0.5, 0.99, 0.95]), world.overlaps) == [1, 2]


@quick
@given(st.lists(st.floats(0, 1), max_size=8).map(np.array), st.integers(0, 5))
def test_chances_rise_alike_to_what_is_implied_and_never_fall(p, least):
    raised = expecting(p, least, 20.0)
    assert len(raised) == len(p) and (raised >= p - 1e-9).all() and (raised <= 1).all()
    assert (np.diff(raised[np.argsort(p)]) >= -1e-9).all()
    if least <= 1 or p.sum() >= least:
        assert np.allclose(raised, p)


def test_overlaps_are_of_pixels():
    world = World({"a": ("cat", (0, 0, 40, 40)), "b": ("cat", (20, 0, 60, 40)), "c": ("cat", (0, 0, 20, 20))})
    assert np.allclose(world.overlaps.iou, [[1, 1 / 3, 1 / 4], [1 / 3, 1, 0], [1 / 4, 0, 1]])
    assert np.allclose(world.overlaps.cover, [[1, 1 / 2, 1], [1 / 2, 1, 0], [1, 0, 1]])


PLAIN = "cat cats dog cup box hat ball zebra red black striped big two three all , and".split()
WORDS = [" ".join(phrase) for phrase in IDEAS] + PLAIN * 8


@quick
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join).filter(lambda text: any(
    map(str.isalnum, text))), st.sampled_from([(0.03, 0.95), (0.0, 1.0), (0.0, 0.0), (1.0, 1.0)]),
       st.integers(1, len(THINGS)), st.sampled_from(["query", "instances", "relations"]))
def test_whatever_is_asked_has_an_answer(text, chances, count, reading):
    world = World(dict(list(THINGS.items())[:count]), *chances)
    with np.errstate(all="raise", under="ignore"):
        found = asked(text, world, reading=reading)
        one = asked(text, world, reading=reading, targets="one")
    assert 0 <= found.present <= 1 + 1e-9 and len(one.chosen) == 1
    assert ((found.likely >= 0) & (found.likely <= 1 + 1e-9)).all()
    indices = [index for index, _ in found.chosen]
    assert len(set(indices)) == len(indices) and (indices or found.missing)


# Evidence, of models for which a text is the sum of its words


def features(texts) -> torch.Tensor:
    """float32 [B, D], unit length."""
    rows = torch.zeros(len(texts), len(SPELT))
    for row, text in zip(rows, texts, strict=True):
        for word in text.split():
            row[SPELT.index(word)] += 1
    return torch.nn.functional.normalize(rows, dim=1)


SPELT = list(dict.fromkeys((*COMMON, *EVERY_COLOUR, "thing", "striped")))
KNOWN = Domain(vocabulary=("cat", "dog", "cup", "box", "hat", "ball"), attributes=frozenset((*COLOURS, "striped")),
               meanings={"animal": ("cat", "dog"), "mug": ("cup",)})


def evidence(maps=None, words: Domain = KNOWN, things=THINGS, **changes) -> Evidence:
    world = World(things)
    regions = features([said for said, _ in things.values()])
    return Evidence(world.proposals, world.overlaps, regions, 20.0, features, maps or {}, words,
                    QuerySettings(**changes))


def named(word: str, *attributes: str, **options) -> dict[str, float]:
    target = Target(word, 1, tuple(map(Attribute, attributes)))
    things = options.get("things", THINGS)
    return dict(zip(things, evidence(**options).named(target).tolist(), strict=True))


def test_a_noun_names_what_looks_more_like_it_than_like_other_nouns():
    for word, meant in (("cat", "abc"), ("animal", "abcd"), ("mug", "ef"), ("cup", "ef"), ("ball", "h")):
        chances = named(word)
        assert min(chances[name] for name in meant) > 0.9
        assert max([chance for name, chance in chances.items() if name not in meant]) < 0.1
    assert named("mug") == named("cup")
    assert evidence().likeliest(0) == "cat" and evidence().likeliest(4) == "cup"


def test_words_that_were_not_learnt():
    zebra = {"a": ("zebra", (10, 10, 40, 40))}
    assert named("zebra", things=zebra)["a"] <= 0.05 < 0.9 < named("zebra", things=zebra, words=Domain())["a"]
    of = evidence()
    assert (of.knows_noun("mug"), of.knows_noun("zebra"), of.knows_attribute("old")) == (True, False, False)
    assert of.described(Target("cat"), "old") is None
    anything = evidence(words=Domain())  # a bundle that names no words knows any
    assert anything.knows_noun("zebra") and anything.knows_attribute("old")
    assert [name for name, chance in named("cat", words=Domain()).items() if chance > 0.9] == ["a", "b", "c"]


def test_a_noun_may_be_a_slip_of_the_pen_or_a_head():
    words = Domain(vocabulary=("guitar", "tiger", "boat", "bird"), meanings={"puppy": ("dog",)})
    known = {"gitar": "guitar", "tigger": "tiger", "brid": "bird", "pupy": "dog", "tiger head": "tiger",
             "boar": "boar", "coat": "coat", "bard": "bard", "head": "head", "electric gitar": "guitar"}
    assert {head: known_nouns(head, words)[0] for head in known} == known
    assert misspelt("gitar", words) == "guitar" and misspelt("boar", words) is None
    assert known_nouns("gitar", Domain()) == ("gitar",)  # a bundle that knows any word is asked about that


def test_a_colour_of_anything_is_that_of_what_it_looks_like():
    things = {"a": ("red cat", (10, 10, 40, 40)), "b": ("blue dog", (60, 10, 90, 40))}
    for head in (THING, "animal"):
        red, blue = evidence(things=things).described(Target(head), "blue")
        assert red < 0.1 < 0.9 < blue


def test_a_colour_is_weighed_against_others_and_another_word_against_the_noun():
    cats = evidence().described(Target("cat"), "red")[:3]
    assert min(cats[0], cats[2]) > 0.9 > 0.1 > cats[1]
    things = {"a": ("striped cat", (10, 10, 40, 40)), "b": ("cat", (60, 10, 90, 40))}
    mixed = {"a": ("black black cat dog", (10, 10, 40, 40))}  # hardly a cat, but surely a black one
    chances = [named("cat", *colour, things=mixed, evidence_bias=-4.0)["a"] for colour in ((), ["red"], ["black"])]
    assert chances[0] == chances[1] < 0.5 < 0.9 < chances[2]
    striped, plain = evidence(things=things).described(Target("cat"), "striped")
    assert striped > 0.9 > 0.1 > plain


def test_what_a_map_shows_counts_and_a_part_or_a_heap_counts_less():
    target = Target("cat")
    shown = np.where(np.arange(len(THINGS)) == 1, 0.4, 0.0)
    before, after = (evidence({target: np.zeros(len(THINGS)) + more}, evidence_bias=-3.0).named(target)
                     for more in (0.0, shown))
    assert after[1] > before[1] and np.array_equal(np.delete(after, 1), np.delete(before, 1))
    assert np.array_equal(evidence({target: shown}, evidence_map=0.0).named(target),
                          evidence({target: 1 - shown}, evidence_map=0.0).named(target))
    things = {"a": ("cat", (10, 10, 60, 60)), "head": ("cat", (10, 10, 30, 30)), "b": ("cat", (90, 10, 140, 60))}
    chances = named("cat", things=things, evidence_parts=1.0)
    assert chances["a"] == chances["head"] < chances["b"]
    assert len(set(named("cat", things=things, evidence_parts=0.0).values())) == 1


def test_what_consists_of_two_things_is_neither():
    things = {"both": ("cat", (10, 10, 90, 50)), "a": ("cat", (10, 10, 50, 50)), "b": ("dog", (50, 10, 90, 50)),
              "whole": ("cat", (110, 10, 190, 50)), "half": ("cat", (110, 10, 150, 50))}
    for head in ("cat", THING):
        chances = named(head, things=things, evidence_parts=0.0, evidence_text=0.1)
        assert chances["both"] < 0.5 < 0.8 < min(chances["a"], chances["whole"])


def test_maps_of_the_other_nouns_of_a_query_stand_in_contrast():
    cat, dog = Target("cat"), Target("dog")
    alone, beside = np.full(len(THINGS), 0.2), np.where(np.arange(len(THINGS)) == 1, 0.4, -0.1)
    before, after = (evidence({cat: alone} | more, evidence_bias=-4.0).named(cat) for more in ({}, {dog: beside}))
    assert after[1] < before[1] and np.array_equal(np.delete(after, 1), np.delete(before, 1))
    red = Target("cat", 1, (Attribute("red"),))  # the same noun is no contrast
    assert np.array_equal(evidence({cat: alone, red: beside}, evidence_bias=-4.0).named(cat), before)


def test_anything_is_a_whole_thing_that_does_not_run_along_the_border():
    things = {"inside": ("cat", (60, 20, 100, 60)), "left": ("cat", (0, 20, 50, 60)),
              "ground": ("cat", (0, 70, 200, 100)), "head": ("cat", (70, 25, 90, 45))}
    chances = named(THING, things=things)
    assert chances["inside"] > chances["left"] > chances["ground"] and chances["inside"] > chances["head"]


def test_both_scores_are_shown_for_each_proposal():
    target = Target("mug", 1, (Attribute("red"),))
    generative, discriminative = evidence({target: np.arange(9.0)}).shown(target)
    assert generative == list(range(9)) and max(discriminative) == discriminative[4] == pytest.approx(1)
    assert evidence().shown(target)[0] is None
