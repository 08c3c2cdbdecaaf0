"""Settings: their ranges, and that nothing kept for some of them is ever used for others."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import shapes
from refdiff import InputError, Settings
from refdiff.settings import OFFICIAL, PAPER

CHEAP = {"points_per_side": 4}
# Another value for every setting that mini can run, each different from its own.
OTHER = {
    "root_rule": "syntax", "clue_rule": "release", "image_size": 128, "noise_timestep": 200, "timesteps": (300, 50),
    "guidance": 3.0, "prompt_suffix": ", ", "attention": "softmax", "attention_stride": 16, "layers": (),
    "combine": "release", "edge_smoothing": 50.0, "edge_side": 40, "edge_colour": 0.2, "edge_floor": 0.01,
    "thresholds": (0.3, 0.6), "seed": 5, "clip_layer": -2, "clip_side": 64, "crop": "image", "crop_side": 48,
    "clue_on": "crop", "clue_ramp": 0.5, "text": "sentence", "crop_text": "text", "alpha": 0.9, "beta": 0.8,
    "clue_weight": 0.0, "generative_rule": "difference", "largest": 2, "min_area": 400, "none_eligible": "first",
    "point_source": "peaks", "points_per_side": 6, "peaks": 2, "peak_distance": 0.3, "iou_threshold": 0.6,
    "stability_threshold": 0.9, "stability_offset": 3.0, "nms_threshold": 0.3, "duplicate_threshold": 0.4,
    "min_region": 400, "judged_side": 64, "guided_radius": 0.05, "guided_evenness": 0.1, "guided_rounds": 1,
    "resize": "8bit", "expressions_per_batch": 1, "points_per_batch": 3, "crops_per_batch": 1, "reading": "instances",
    "targets": "one", "threshold": 0.9, "each_threshold": 0.1,
    "evidence_bias": -1.0, "evidence_text": 0.5, "evidence_map": 2.0, "evidence_parts": 1.0,
    "global_share": 0.5}


@pytest.fixture(scope="module")
def warm(model):
    """A scene that has answered with every variant and reading, and settings of its own."""
    scene = model.encode(shapes(), model.settings.replace(**CHEAP))
    answers(scene, scene.settings)
    return scene


def answers(scene, settings):
    """Those of variant full, by the query and by the root, and of g."""
    text = ["the ball on the left"]
    return [scene.segment(text, "full", settings)[0], scene.segment(text, "g", settings)[0],
            scene.segment(text, "full", settings.replace(reading="root"))[0]]


# mini has layers at one stride alone, so that no other can be tried.
@pytest.mark.parametrize("name", sorted(Settings().flat().keys() - {"attention_stride"}))
def test_a_warm_scene_answers_as_a_fresh_one_after_any_setting_changes(model, warm, name):
    before = warm.settings.flat()[name]
    changes = {name: OTHER[name]}
    if name in ("peaks", "peak_distance"):
        changes["point_source"] = "peaks"
    if name == "crop_side":
        changes["crop"] = "aspect"
    assert OTHER[name] != before or name == "layers"
    changed = warm.settings.replace(**changes)
    fresh = model.encode(shapes(), changed)
    for own, other in zip(answers(warm, changed), answers(fresh, changed), strict=True):
        assert np.array_equal(own.mask, other.mask)
        # Sums are ordered otherwise in other batches; all else is the same to the last bit.
        apart = 1e-5 if name.endswith("_per_batch") else 0
        scores = [[candidate.score for candidate in each.candidates] for each in (own, other)]
        assert scores[0] == pytest.approx(scores[1], abs=apart, rel=0)


def test_every_setting_has_another_value_to_try():
    assert OTHER.keys() == Settings().flat().keys()


@pytest.mark.parametrize(("changes", "words"), [
    ({"timesteps": [None]}, "timesteps must be a whole number"), ({"layers": [1]}, "layers must be text"),
    ({"min_region": -1}, "from 0 to"), ({"image_size": 1}, "from 16 to"), ({"seed": 10**30}, "seed"),
    ({"guidance": float("nan")}, "not nan"), ({"alpha": "x"}, "a number"), ({"alpha": True}, "a number"),
    ({"alfa": 1}, "no setting"), ({"timesteps": []}, "at least one"), ({"timesteps": "51"}, "a list"),
    ({"combine": 3}, "one of"), ({"reading": "all"}, "root, query, instances, relations"),
    ({"targets": None}, "one, any"), ({"threshold": 1.5}, "from 0 to 1"), ({"points_per_side": 0}, "from 1 to 128"),
])
def test_a_wrong_value_is_refused_by_name(changes, words):
    with pytest.raises(InputError, match=words):
        Settings().replace(**changes)


def test_names_are_flat_and_groups_are_keys():
    assert OFFICIAL.replace(**OFFICIAL.flat()) == OFFICIAL
    changed = PAPER.replace(alpha=0.4)
    assert changed.matching != PAPER.matching and changed.generative == PAPER.generative
    assert hash(changed.generative) == hash(PAPER.generative)
    names = [each.name for group in dataclasses.fields(Settings)
             for each in dataclasses.fields(getattr(Settings(), group.name))]
    assert len(names) == len(set(names)) == len(Settings().flat())


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
                     st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=3), st.none()), max_size=4))


@given(st.sampled_from(sorted(Settings().flat())), anything)
def test_any_value_is_taken_within_its_range_or_refused(name, value):
    try:
        settings = Settings().replace(**{name: value})
    except InputError as error:
        assert str(error).endswith(".") and name in str(error)
    else:
        kept = settings.flat()[name]
        assert kept == value or (isinstance(value, list) and kept == tuple(value))
