import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from refdiff.datasets.plain_pickle import load_plain_pickle
from refdiff.datasets.refer import load_refer
from refdiff.datasets.scene_maker import TINTS, SceneMaker, colour_name, load_photographs, load_pictograms, tinted
from refdiff.datasets.scenes import ANIMALS, referrals, write_scenes
from refdiff.errors import InputError
from refdiff.language import parse


@pytest.fixture(scope="module")
def maker(tmp_path_factory) -> SceneMaker:
    """Two animals and two things, each a shape of its own."""
    folder = tmp_path_factory.mktemp("pictograms")
    (folder / "plain").mkdir()
    for i, noun in enumerate(("cat", "dog", "car", "cup")):
        drawing = Image.new("RGBA", (80, 80))
        ImageDraw.Draw(drawing).regular_polygon((40, 40, 38), 3 + i, fill=(200, 40 * i, 60, 255))
        drawing.save(folder / "plain" / f"{noun}.png")
    photographs = [np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)]
    return SceneMaker(load_pictograms(folder), photographs)


def test_scenes_are_seeded_and_their_masks_do_not_overlap(maker):
    for seed in range(40):
        scene, again = (maker.make(np.random.default_rng(seed), 96, 128) for _ in range(2))
        assert np.array_equal(scene.image, again.image)
        assert scene.image.shape == (96, 128, 3) and 1 <= len(scene.objects) <= 5
        assert np.sum([thing.mask for thing in scene.objects], axis=0).max() == 1
    assert not np.array_equal(scene.image, maker.make(np.random.default_rng(99), 96, 128).image)


def test_tints_look_like_their_names():
    drawing = np.dstack([np.tile(np.linspace(30, 220, 64, dtype=np.uint8), (64, 1))] * 3 + [np.full((64, 64), 255)])
    for colour in TINTS:
        mean = tinted(drawing.astype(np.uint8), colour)[..., :3].reshape(-1, 3).mean(0)
        assert colour_name(*mean) in {colour, "red" if colour in ("brown", "pink") else colour}


def test_expressions_mean_one_object_only(maker):
    """Whatever an expression claims holds for its target and for no other object, judged from masks alone."""
    kinds = Counter()
    for seed in range(300):
        scene = maker.make(np.random.default_rng(seed), 120, 160)
        for each in referrals(np.random.default_rng(seed), scene):
            kinds[each.kind] += 1
            parsed, target = parse(each.expression), scene.objects[each.target]
            alike = [thing for thing in scene.objects if thing is not target and thing.noun == target.noun]
            assert target.noun in each.expression
            if each.kind == "noun":
                assert not alike
            elif each.kind == "colour":
                assert target.colour in each.expression
                assert all(other.colour != target.colour for other in alike)
            elif each.kind == "place":
                assert alike and len(parsed.direction) == 1
                x, y = target.centre
                for other in alike:
                    dx, dy = other.centre[0] - x, other.centre[1] - y
                    assert {"left": dx, "right": -dx, "top": dy, "bottom": -dy}[parsed.direction[0]] > 0
    assert min(kinds[kind] for kind in ("noun", "colour", "place", "relation")) > 20


def test_a_dataset_is_written_whole_and_read_back(maker, tmp_path):
    counts = write_scenes(tmp_path / "set", maker, expressions=12)
    assert set(counts) == {"val", "testA", "testB"}
    for split, count in counts.items():
        references = list(load_refer(tmp_path / "set", split))
        assert len(references) == count >= 12
        for reference in references:
            with Image.open(reference.image) as image:
                assert image.size[::-1] == reference.size == reference.mask.shape
            assert reference.mask.any()
            if split != "val":
                assert (parse(reference.expression).root in ANIMALS) == (split == "testA")
    write_scenes(tmp_path / "again", maker, expressions=12)
    for path in sorted(p for p in (tmp_path / "set").rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "set")).read_bytes()
    assert load_plain_pickle(tmp_path / "set" / "refs(refdiff).p") == json.loads(
        (tmp_path / "set" / "refs(refdiff).json").read_text())
    (tmp_path / "set" / "refs(refdiff).json").unlink()
    assert len(list(load_refer(tmp_path / "set", "val"))) == counts["val"]  # from the pickle
    with pytest.raises(InputError, match="not an empty folder"):
        write_scenes(tmp_path / "set", maker)
    with pytest.raises(InputError, match="cannot be made"):
        write_scenes(tmp_path / "set" / "instances.json" / "below", maker)
    with pytest.raises(InputError, match="no split"):
        list(load_refer(tmp_path / "set", "test"))


class _Hostile:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_hostile_pickle_runs_nothing(tmp_path):
    target = tmp_path / "touched"
    (tmp_path / "refs.p").write_bytes(pickle.dumps([{"ref_id": _Hostile(target)}]))
    with pytest.raises(InputError, match="plain data"):
        load_plain_pickle(tmp_path / "refs.p")
    assert not target.exists()
    (tmp_path / "refs.p").write_bytes(pickle.dumps([{"a": ("b", 1, 2.5, None, True, [3])}], protocol=0))
    assert load_plain_pickle(tmp_path / "refs.p") == [{"a": ("b", 1, 2.5, None, True, [3])}]


def test_folders_without_images_or_with_broken_ones_are_refused(tmp_path):
    with pytest.raises(InputError, match="no pictograms"):
        load_pictograms(tmp_path)
    with pytest.raises(InputError, match="no photographs"):
        load_photographs(tmp_path)
    (tmp_path / "cat.png").write_bytes(b"not an image")
    for load in (load_pictograms, load_photographs):
        with pytest.raises(InputError, match=r"cat\.png"):
            load(tmp_path)
    (tmp_path / "instances.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="REFER layout"):
        list(load_refer(tmp_path, "val"))
