import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from refdiff.cli.main import main
from refdiff.core.masks import from_rle
from refdiff.datasets.refer import load_refer
from refdiff.datasets.said import KINDS, SPLITS, sayings, write_said
from refdiff.datasets.scene_maker import TINTS, Scene, SceneMaker, SceneObject, load_pictograms
from refdiff.datasets.scenes import ANIMALS
from refdiff.datasets.truths import Facts
from refdiff.datasets.wording import group, plural
from refdiff.errors import InputError

COMMITTED = Path(__file__).parent.parent / "benchmarks" / "said"
NEED_LOOK_ALIKES = ("colour", "place", "ordinal", "size", "relation", "between", "negation")
NOUNS = ("cat", "bee", "car", "cup", "bed", "hat", "key")
ORDINALS = {word: k for k, words in enumerate((("first", "1st"), ("second", "2nd"), ("third", "3rd"),
                                               ("fourth", "4th"))) for word in words}


@pytest.fixture(scope="module")
def drawings(tmp_path_factory) -> Path:
    """Seven things, each a shape of its own."""
    folder = tmp_path_factory.mktemp("pictograms")
    for i, noun in enumerate(NOUNS):
        drawing = Image.new("RGBA", (80, 80))
        ImageDraw.Draw(drawing).regular_polygon((40, 40, 38), 3 + i, fill=(200, 0, 60, 255))
        drawing.save(folder / f"{noun}.png")
    return folder


@pytest.fixture(scope="module")
def maker(drawings) -> SceneMaker:
    return SceneMaker(load_pictograms(drawings), [])


@pytest.fixture(scope="module")
def committed() -> list[tuple[dict, list[dict], list[dict]]]:
    """(ref, the objects meant, all objects of its image) for each expression of the committed benchmark."""
    instances = json.loads((COMMITTED / "instances.json").read_text())
    names = {each["id"]: each["name"] for each in instances["categories"]}
    objects = defaultdict(list)
    for each in instances["annotations"]:
        left, top, width, height = each["bbox"]
        objects[each["image_id"]].append({
            **each, "noun": names[each["category_id"]], "left": left + width / 2, "top": top + height / 2,
            "right": -left - width / 2, "bottom": -top - height / 2})
    refs = json.loads((COMMITTED / "grefs(refdiff).json").read_text())
    return [(ref, [each for each in objects[ref["image_id"]] if each["id"] in ref["ann_id"]],
             objects[ref["image_id"]]) for ref in refs]


def _alike(target: dict, objects: list[dict]) -> list[dict]:
    return [each for each in objects if each["noun"] == target["noun"]]


def test_the_committed_benchmark_is_whole(committed):
    counts = Counter((ref["split"], ref["kind"]) for ref, _, _ in committed)
    assert {*counts} == {(split, kind) for split in SPLITS for kind in KINDS} and min(counts.values()) >= 60
    assert sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file()) < 10_000_000
    for ref, meant, _ in committed:
        assert ref["no_target"] == (not meant) == (ref["ann_id"] == [-1]) == (ref["kind"] == "absent")
        assert len(meant) > 1 if ref["kind"] in ("plural", "several", "exclusion") else len(meant) < 2
    for split in SPLITS:
        references = list(load_refer(COMMITTED, split))
        assert len(references) == sum(counts[split, kind] for kind in KINDS)
        assert not any(reference.fault for reference in references)


@pytest.mark.parametrize("kind", NEED_LOOK_ALIKES)
def test_knowing_the_nouns_alone_is_no_better_than_chance(committed, kind):
    """Nor is it to take the leftmost, biggest and so on of the look-alikes, whatever is asked."""
    for split in SPLITS:
        found = [(meant[0], _alike(meant[0], objects)) for ref, meant, objects in committed
                 if (ref["kind"], ref["split"]) == (kind, split)]
        chances = [1 / len(alike) for _, alike in found]
        assert max(chances) <= 0.5
        for side, best in [*((side, min) for side in ("left", "right", "top", "bottom")), ("area", min), ("area", max)]:
            hits = [best(alike, key=lambda each: each[side]) is target for target, alike in found]
            assert abs(np.mean(hits) - np.mean(chances)) < 0.12


def test_the_first_noun_said_is_the_targets(committed):
    for ref, meant, objects in committed:
        if ref["kind"] in NEED_LOOK_ALIKES:
            text = ref["sentences"][0]["sent"]
            said = {noun: re.search(rf"\b({noun}|{plural(noun)})\b", text) for noun in {o["noun"] for o in objects}}
            first = min((match.start(), noun) for noun, match in said.items() if match)
            assert first[1] == meant[0]["noun"], text


def test_ordinals_sizes_and_all_hold_in_the_committed_truth(committed):
    checked = Counter()
    for ref, meant, objects in committed:
        text = ref["sentences"][0]["sent"]
        if any(re.search(rf"\b{colour}\b", text) for colour in TINTS):
            continue  # colours are not in the files
        if ref["kind"] == "ordinal":
            rank = next(k for word, k in ORDINALS.items() if word in text.split())
            side = re.search(r"from (?:the )?(left|right|top|bottom)", text)[1]
            assert sorted(_alike(meant[0], objects), key=lambda each: each[side])[rank] is meant[0], text
        elif ref["kind"] == "size" and (word := re.fullmatch(r"(?:the )?(biggest|largest|smallest|tiniest) \w+", text)):
            best = max if word[1] in ("biggest", "largest") else min
            assert best(_alike(meant[0], objects), key=lambda each: each["area"]) is meant[0], text
        elif ref["kind"] == "plural" and (noun := meant[0]["noun"]) and re.fullmatch(
                rf"(all|all the|every|each|both|the two|the) ({noun}|{plural(noun)})", text):
            assert meant == _alike(meant[0], objects), text
        elif ref["kind"] == "noun":
            assert len(_alike(meant[0], objects)) == 1 and (meant[0]["noun"] in text or "animal" in text), text
        elif ref["kind"] == "absent" and re.fullmatch(r"(?:the|an?) (\w+)", text):
            assert not group(text.split()[1]) & {each["noun"] for each in objects}, text
        elif ref["kind"] == "exclusion" and (gone := re.fullmatch(
                r"(?:everything|all|anything|all things) (?:but|except|except for|other than) (?:the )?(\w+)", text)):
            assert meant == [o for o in objects if gone[1] not in (o["noun"], plural(o["noun"]))], text
        else:
            continue
        checked[ref["kind"]] += 1
    assert min(checked[kind] for kind in ("ordinal", "size", "plural", "noun", "absent", "exclusion")) > 1


def test_colours_are_said_only_where_they_tell(maker):
    """Whatever colour is claimed or denied, judged from the scene's own list of colours."""
    kinds = Counter()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        scene = maker.make(rng, 144, 192, 5, ["cat", "car"])
        for each in sayings(rng, scene, maker.nouns):
            denied = re.fullmatch(r"(?:the )?(\w+) (?:that is not|that isn't|not) (\w+)", each.expression)
            claimed = re.fullmatch(r"(?:the )?(\w+) (\w+)", each.expression)
            colour, noun = (denied[2], denied[1]) if denied else (claimed[1], claimed[2]) if claimed else ("", "")
            if colour in TINTS and noun in ("cat", "car") and each.kind in ("colour", "negation", "absent"):
                alike = [i for i, thing in enumerate(scene.objects) if thing.noun == noun]
                assert tuple(i for i in alike if (scene.objects[i].colour == colour) != bool(denied)) == each.target
                assert all(scene.objects[i].colour for i in alike)
                kinds[each.kind] += 1
    assert min(kinds[kind] for kind in ("colour", "negation", "absent")) > 10


def _facts(*boxes: tuple[int, int, int, int]) -> Facts:
    """Cats in a grey image of 100 x 100 px."""
    objects = []
    for left, top, right, bottom in boxes:
        mask = np.zeros((100, 100), bool)
        mask[top:bottom, left:right] = True
        objects.append(SceneObject("cat", None, "", mask, (left, top, right, bottom)))
    return Facts(Scene(np.full((100, 100, 3), 128, np.uint8), tuple(objects)))


def test_what_people_may_see_differently_is_unsure():
    facts = _facts((0, 40, 20, 60), (40, 40, 60, 60), (80, 42, 94, 58))
    everyone = np.ones(3)
    assert facts.at("left").tolist() == [1, 0.5, 0] and facts.at("right").tolist() == [0, 0.5, 1]
    assert facts.ordered(everyone, "right") == [2, 1, 0] and facts.ordered(everyone, "top") == []
    assert facts.in_middle(everyone) == 1
    assert facts.by_size(everyone) == [None, None, 2]
    assert facts.between(0, 2).tolist() == [0.5, 1, 0.5]
    assert facts.beside("left", 1).tolist() == [1, 0.5, 0]
    assert facts.by_nearness(np.array((0.0, 1, 1)), 0) == [1, 2]
    assert facts.next_to(1).tolist() == [0.5, 1, 0.5]
    assert facts.colour("gray").tolist() == [0.5] * 3
    hidden = _facts((0, 0, 40, 40), (38, 0, 48, 40))
    assert hidden.by_size(np.ones(2)) == [] and hidden.bigger_than(1).tolist() == [0.5, 0.5]


def test_a_dataset_is_written_whole_and_the_same_again(maker, tmp_path, drawings, capsys):
    told = []
    counts = write_said(tmp_path / "set", maker, per_kind=2, progress=told.append)
    assert [*counts] == [*SPLITS] and sum(told) == sum(counts.values())
    for split, count in counts.items():
        references = list(load_refer(tmp_path / "set", split))
        assert len(references) == count and min(Counter(each.kind for each in references).values()) >= 2
        for reference in references:
            assert reference.truth(reference.size).any() != (reference.kind == "absent")
    assert main(["scenes", str(tmp_path / "again"), "--pictograms", str(drawings), "--said", "--expressions", "2"]) == 0
    assert "work" in capsys.readouterr().out
    for path in sorted(p for p in (tmp_path / "set").rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "set")).read_bytes()
    for annotation in json.loads((tmp_path / "set" / "instances.json").read_text())["annotations"]:
        assert from_rle(annotation["segmentation"]).sum() == annotation["area"]
    with pytest.raises(InputError, match="not an empty folder"):
        write_said(tmp_path / "set", maker)
    few = SceneMaker([each for each in load_pictograms(drawings) if each.noun in NOUNS[:4]], [])
    with pytest.raises(InputError, match="five things"):
        write_said(tmp_path / "few", few)


def test_plurals_are_spelt_right():
    spelt = {"cat": "cats", "strawberry": "strawberries", "butterfly": "butterflies", "donkey": "donkeys",
             "bus": "buses", "dress": "dresses", "fish": "fish", "sheep": "sheep", "mouse": "mice", "fox": "foxes",
             "tennis racket": "tennis rackets", "wolf": "wolves", "key": "keys", "watch": "watches"}
    assert {noun: plural(noun) for noun in spelt} == spelt
    assert len({noun for noun in ANIMALS if plural(noun) == noun}) == 5
