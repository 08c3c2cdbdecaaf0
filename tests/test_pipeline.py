import io
import json
import pickle
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import ROOT, shapes
from refdiff import BundleError, InputError, RefDiff
from refdiff.core.masks import from_rle, iou_matrix
from refdiff.core.proposals import Proposals
from refdiff.method import between_class_scores, fuse, generative_scores, threshold_proposals
from refdiff.models.segmentors.grid import peak_points
from refdiff.weights.manifest import Bundle

EXAMPLE = ROOT / "examples" / "scene.png"


@pytest.fixture(scope="module")
def scene(model):
    return model.encode(shapes())


def test_the_same_call_gives_the_same_mask(model):
    first, second = (model(shapes(), "the ball on the left") for _ in range(2))
    assert np.array_equal(first.mask, second.mask) and first.score == second.score


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("chosen", [
    lambda: default_dtype(torch.bfloat16), lambda: default_dtype(torch.float64),
    lambda: torch.autocast("cpu", dtype=torch.bfloat16), lambda: torch.device("meta"), lambda: np.errstate(all="raise"),
], ids=["bfloat16", "float64", "autocast", "device", "errstate"])
def test_what_a_user_chose_for_computing_of_their_own_changes_no_answer(model, chosen):
    expected = model(shapes(), "the ball on the left")
    with chosen():
        for memory in (None, 2.0):
            found = RefDiff(model.bundle, model.device, memory=memory)(shapes(), "the ball on the left")
            assert np.array_equal(found.mask, expected.mask) and found.score == pytest.approx(expected.score, abs=1e-6)


def test_a_batch_gives_what_single_calls_give(model, scene):
    texts = ["the ball on the left", "the balls next to the gift", "a blue gift", "everything but the red ball"]
    for variant in ("full", "g", "gs", "ds"):
        for text, together in zip(texts, scene.segment(texts, variant), strict=True):
            alone = model(shapes(), text, variant=variant)
            # sums are ordered otherwise in a batch: a pixel on a threshold of Eq. 8 may fall on its other side
            assert (together.mask != alone.mask).mean() <= (0.002 if variant == "g" else 0), (variant, text)
            assert together.score == pytest.approx(alone.score, abs=1e-5)


def test_scores_are_eq_1_of_their_parts(model, scene):
    correlation = scene.correlation_maps(["the ball on the left"])[0]
    for rule, scores in (("difference", generative_scores), ("between_class", between_class_scores)):
        settings = scene.settings.replace(generative_rule=rule, reading="root")
        result = scene.segment(["the ball on the left"], settings=settings)[0]
        masks = np.stack([candidate.mask for candidate in result.candidates])
        assert np.allclose([c.generative for c in result.candidates], scores(correlation, masks), atol=1e-5)
    for candidate in result.candidates:
        assert candidate.score == pytest.approx(
            float(fuse(candidate.generative, candidate.discriminative, scene.settings.matching.alpha)), abs=1e-6)
    scores = [candidate.score for candidate in result.candidates]
    assert scores == sorted(scores, reverse=True) and result.score == scores[0]
    assert result.query is None and len(result.instances) == 1


def test_variant_g_chooses_among_eq_8(scene):
    result = scene.segment(["a ball"], "g")[0]
    masks = threshold_proposals(
        scene.correlation_maps(["a ball"])[0], scene.settings.generative.thresholds).masks
    assert any(np.array_equal(result.mask, mask) for mask in masks)


def test_presets_and_settings_change_the_run(model, scene):
    for preset in ("paper", "official"):
        settings = model.bundle.settings(preset)
        result = scene.segment(["the ball on the left"], settings=settings)[0]
        assert result.mask.shape == scene.size and result.query is None and len(result.instances) == 1
    changed = scene.segment(["a ball"], settings=model.settings.replace(alpha=1.0, reading="root"))[0]
    assert changed.score == pytest.approx(changed.candidates[0].generative)


def test_results_can_be_saved(model, scene, tmp_path):
    result = scene.segment(["a ball"], "g")[0]
    result.save(tmp_path / "mask.png")
    buffer = io.BytesIO()
    result.save(buffer)
    for file in (tmp_path / "mask.png", buffer):
        with Image.open(file) as saved:
            assert np.array_equal(np.asarray(saved) == 255, result.mask)
    with pytest.raises(InputError, match="mask"):
        result.save(tmp_path / "mask")
    assert result.overlay().size[0] == 144
    left, top, right, bottom = result.box
    assert result.mask[top:bottom, left:right].sum() == result.mask.sum()
    cutout = result.cutout()
    assert cutout.size == (right - left, bottom - top)
    assert np.array_equal(np.asarray(cutout)[..., 3] == 255, result.mask[top:bottom, left:right])
    assert result == result and result != scene.segment(["a ball"], "g")[0]


def test_given_proposals_and_results_do_not_change_with_a_users_arrays(model):
    own = np.zeros((2, 96, 144), bool)
    own[0, 20:60, 10:60], own[1, 30:70, 80:130] = True, True
    scene = model.encode(shapes(), proposals=Proposals(own, "given"))
    first = scene.segment(["the ball on the left"])[0]
    assert first.confidence is None  # fitted on masks of the segmentor
    mask = first.candidates[0].mask.copy()
    own[:] = False
    first.image[:] = 0
    again = scene.segment(["the ball on the left"])[0]
    assert again.score == first.score and np.array_equal(first.candidates[0].mask, mask)
    copied = pickle.loads(pickle.dumps(scene.proposals()))
    assert np.array_equal(copied.masks, scene.proposals().masks) and not copied.masks.flags.writeable


def test_a_users_own_arrays_are_theirs(model):
    image = shapes()
    scene = model.encode(image)
    image[:] = 0
    result = scene.segment(["a ball"])[0]
    assert scene.image.any() and np.array_equal(scene.image, shapes())
    result.mask[:] = True
    assert not scene.proposals().masks[result.candidates[0].index].all()
    with pytest.raises(ValueError, match="read-only"):
        result.candidates[0].mask[:] = True


def test_a_model_is_pickled_without_its_weights(model):
    copy = pickle.loads(pickle.dumps(model))
    assert copy.settings == model.settings and np.array_equal(copy(shapes(), "a ball", "g").mask,
                                                              model(shapes(), "a ball", "g").mask)


@pytest.mark.parametrize(("variant", "unused"), [("g", ("sam", "clip")), ("gs", ("clip",)), ("ds", ("diffusion",))])
def test_only_the_parts_that_a_variant_needs_are_looked_for(variant, unused, monkeypatch):
    model, part = RefDiff.from_pretrained("mini", device="cpu"), Bundle.part

    def checked(bundle, name):
        assert name not in unused
        return part(bundle, name)

    monkeypatch.setattr(Bundle, "part", checked)
    for memory in (None, 3.0):
        RefDiff(model.bundle, model.device, memory=memory)(shapes(), "a ball", variant)


def test_confidence_is_given_for_the_settings_it_was_fitted_for(model):
    curve = {"score": 1.0, "margin": 0.0}
    curves = {kind: curve | {"bias": bias}
              for kind, bias in {"query": 0.5, "nothing": -0.5, "instance": 0.5, "full": 0.1}.items()}
    scene = RefDiff(replace(model.bundle, calibration=curves), model.device).encode(EXAMPLE)

    def confidence(text: str, **changes) -> float | None:
        return scene.segment([text], settings=scene.settings.replace(**changes))[0].confidence

    assert 0.5 < confidence("the cats") < 1 and 0 < confidence("a strawberry") < 0.5
    assert 0 < confidence("the cat on the left", reading="root") < 1
    each = [instance.confidence for instance in scene.segment(["the cats"])[0].instances]
    assert len(each) == 2 and all(0.5 < chance < 1 for chance in each)
    assert confidence("the cats", alpha=0.3) is confidence("the cats", targets="one") is None
    assert confidence("the cat on the left", targets="one") == confidence("the cat on the left")
    assert confidence("the haunted cats") is None  # a word was not taken into account


def test_peaks_ask_sam_at_the_maps_maxima_and_leave_other_expressions_alone(model):
    settings = model.settings.replace(point_source="peaks", peaks=6)
    scene = model.encode(shapes(), settings)
    alone = scene.segment(["the ball on the left"])[0]
    together = model.encode(shapes(), settings).segment(["a cat", "the ball on the left"])[1]
    assert np.array_equal(alone.mask, together.mask) and len(alone.candidates) <= 18
    c = scene.correlation_maps(["the ball on the left"])[0]
    points = peak_points(c, settings.segmentor)
    assert np.all((points > 0) & (points < 1))
    x, y = (points[0] * [c.shape[1], c.shape[0]]).astype(int)
    assert c[y, x] == c.max()


def test_correlation_has_a_map_for_every_token(scene):
    correlation = scene.correlation("the red ball")
    assert correlation.tokens[1:-1] == ("the", "red", "ball") and correlation.root == (3,)
    assert correlation.per_token.shape == (5, *scene.size)
    assert np.allclose(correlation.map, correlation.per_token[3])


def test_wrong_calls_are_refused(scene):
    with pytest.raises(InputError, match="variant"):
        scene.segment(["a ball"], "best")
    with pytest.raises(InputError, match="list"):
        scene.segment("a ball")
    for name, value in (("device", "gpu"), ("device", "meta"), ("dtype", "int8"), ("memory", float("inf")),
                        ("preset", "best")):
        with pytest.raises(InputError):
            RefDiff.from_pretrained("mini", **{name: value})
    for wrong in ({"settings": "paper"}, {"proposals": np.ones((1, 96, 144), bool)}, {"proposals": 5}):
        with pytest.raises(InputError):
            scene.model.encode(shapes(), **wrong).segment(["a ball"])
    for name, value in (("memory", "2"), ("fast", 3), ("fast", [1])):
        with pytest.raises(InputError, match=name):
            RefDiff.from_pretrained("mini", **{name: value})
    with pytest.raises(InputError, match="144x96"):
        RefDiff.from_pretrained("mini").encode(shapes(), proposals=Proposals.of(np.ones((1, 5, 5), bool), "given"))
    assert scene.segment([]) == []


def test_the_main_job(model):
    """The example of the README: each answer is the object that is meant, not another."""
    things = json.loads((ROOT / "examples" / "scene.json").read_text())
    cats = sorted((thing for thing in things if thing["noun"] == "cat"), key=lambda thing: thing["box"][0])
    meant = {"the cat on the left": cats[0], "the cat on the right": cats[1],
             "the guitar": next(thing for thing in things if thing["noun"] == "guitar")}
    answers = model.encode(EXAMPLE).segment(list(meant))
    for answer, thing in zip(answers, meant.values(), strict=True):
        assert overlap(answer.mask, thing) > 0.5, answer.expression.text


def overlap(mask: np.ndarray, thing: dict) -> float:
    return iou_matrix(mask[None], from_rle(thing["segmentation"])[None])[0, 0]


@pytest.fixture(scope="module")
def example(model):
    return model.encode(EXAMPLE)


def test_several_are_instances_and_their_union(example):
    cats = [thing for thing in json.loads((ROOT / "examples" / "scene.json").read_text()) if thing["noun"] == "cat"]
    result = example.segment(["the cats"])[0]
    assert result.found and len(result.instances) == 2 and str(result.query) == "all cat"
    for thing in cats:
        assert max(overlap(each.mask, thing) for each in result.instances) > 0.5
    first, second = result.instances
    assert np.array_equal(result.mask, first.mask | second.mask) and result.score == first.score >= second.score
    assert result.box == tuple(side(pair) for side, pair in zip((min, min, max, max), zip(first.box, second.box,
                                                                strict=True), strict=True))
    assert np.array_equal(from_rle(second.rle), second.mask) and not first.mask.flags.writeable
    left, top, right, bottom = first.box
    assert first.mask[top:bottom, left:right].sum() == first.mask.sum()
    assert result.notice is None and example.segment(["three cats"])[0].query.targets[0].number == 3


def test_nothing_is_an_answer_too(example, tmp_path):
    result = example.segment(["a zebra"])[0]
    assert not result.found and result.instances == () and result.box is None and len(result.candidates) > 1
    assert result.mask.shape == example.size and not result.mask.any() and not from_rle(result.rle).any()
    assert "'zebra'" in result.notice and "--model sd15" in result.notice
    result.save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as saved:
        assert saved.size == (640, 480) and not np.asarray(saved).any()
    assert result.overlay().width == 640
    with pytest.raises(InputError, match="nothing was found for 'a zebra'"):
        result.cutout()
    one = example.segment(["a zebra"], settings=example.settings.replace(targets="one"))[0]
    assert one.found and len(one.instances) == 1 and one.score == one.candidates[0].score


def test_a_known_thing_that_is_not_there_is_said_with_what_comes_nearest(example):
    assert example.segment(["a strawberry"])[0].notice.startswith("No strawberry was found")
    assert example.segment(["the cat on the drum"])[0].notice.startswith("No cat like that was found")
    strict = example.settings.replace(threshold=1.0)
    assert example.segment(["the guitar"], settings=strict)[0].notice == (
        "No guitar was found that is likely enough; the likeliest is on the left.")


def test_a_threshold_changes_no_confidence(example):
    usual, strict = (example.segment(["the guitar"], settings=settings)[0]
                     for settings in (example.settings, example.settings.replace(threshold=0.5)))
    assert usual.confidence == strict.confidence is not None


def test_what_is_not_taken_into_account_is_named(example):
    plain, result = example.segment(["the cat", "the haunted cat through the car"])
    assert "'haunted'" in result.notice and "'through" in result.notice and plain.notice is None
    assert np.array_equal(result.mask, plain.mask)


def test_a_result_is_one_short_line(example):
    for text in ("the cats", "a zebra"):
        shown = repr(example.segment([text])[0])
        assert repr(text) in shown and "640x480" in shown and "\n" not in shown and len(shown) < 120


def test_models_that_give_no_numbers_are_refused(model, monkeypatch):
    broken = RefDiff(model.bundle, model.device)
    crops = broken.similarity.crop_features
    monkeypatch.setattr(broken.similarity, "crop_features", lambda *each, **options: crops(*each, **options) * np.nan)
    for reading in ("root", "relations"):
        with pytest.raises(BundleError, match="not finite"):
            broken(shapes(), "a ball", settings=model.settings.replace(reading=reading))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_gpu_gives_the_cpus_answers(model):
    texts = ["the cat on the left", "the guitar", "the cats"]
    here = model.encode(EXAMPLE)
    for dtype in (torch.float32, torch.float16):
        there = RefDiff.from_pretrained("mini", "cuda", dtype).encode(EXAMPLE)
        for own, other in zip(here.segment(texts), there.segment(texts), strict=True):
            assert iou_matrix(own.mask[None], other.mask[None])[0, 0] > 0.95
        assert np.abs(here.correlation_maps(texts)[0] - there.correlation_maps(texts)[0]).max() < 0.05
