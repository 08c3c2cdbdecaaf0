"""Answers corrected by hand."""

from dataclasses import replace

import numpy as np
import pytest

from conftest import ROOT, shapes
from refdiff import InputError
from refdiff.core.masks import iou_matrix
from refdiff.method.corrections import follow_clicks
from refdiff.result import Instance

DISC, SQUARE = shapes()[..., 0] == 200, shapes()[..., 2] == 200
CORNER = np.zeros_like(DISC)
CORNER[:3, :3] = True


@pytest.fixture(scope="module")
def scene(model):
    return model.encode(shapes(), model.settings.replace(points_per_side=4))


@pytest.fixture(scope="module")
def answer(scene):
    return scene.segment(["the red ball"])[0]


def iou(first, second) -> float:
    return float(iou_matrix(first[None], second[None])[0, 0])


def test_a_click_inside_adds_a_thing_and_one_outside_takes_it_away(scene, answer):
    assert iou(answer.mask, DISC) > 0.8
    both = scene.refine(answer, [(110, 48)])
    assert iou(both.mask, DISC | SQUARE) > 0.8 and both.instances[0].score == 1
    assert both.confidence is None and both.expression is answer.expression and both.candidates is answer.candidates
    masks = answer.mask | CORNER, both.mask & ~DISC
    specks = replace(both, instances=tuple(Instance(mask, 1.0, None) for mask in masks))
    assert not (scene.refine(specks, [(36, 48)], [0]).mask & CORNER).any()  # with all that belongs to the thing
    one = scene.refine(both, [(36, 48)], [0])
    assert iou(one.mask, SQUARE) > 0.8 and not one.mask[48, 36]
    assert np.array_equal(scene.refine(answer, [(36, 48), (1, 1)], [1, 0]).mask, answer.mask)  # right already


def test_a_box_or_a_candidate_is_where_a_correction_starts(scene, answer):
    assert iou(scene.refine(answer, box=(86, 24, 134, 72)).mask, SQUARE) > 0.7
    other = answer.candidates[-1]
    assert np.array_equal(scene.refine(answer, candidate=other.index).mask, other.mask)
    inside = tuple(np.argwhere(~other.mask)[0][::-1] + 0.5)
    assert scene.refine(answer, [inside], candidate=other.index).mask.sum() != other.mask.sum()


def test_what_cannot_be_meant_is_refused(scene, answer, model):
    for wrong in ({}, {"points": [(1, 2, 3)]}, {"points": [(144, 2)]}, {"points": [(float("nan"), 2)]},
                  {"points": [(1, 2)], "labels": [1, 0]}, {"points": [(1, 2)], "labels": [2]}, {"box": (1, 2)},
                  {"box": (5, 5, 5, 9)}, {"box": (0, 0, 999, 9)}, {"candidate": 10**6}):
        with pytest.raises(InputError):
            scene.refine(answer, **wrong)
    with pytest.raises(InputError, match="144x96"):
        model.encode(shapes(40, 40)).refine(answer, [(1, 1)])


def test_clicks_move_a_mask_as_the_walker_s_equations_say():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8) // 8 + np.uint8(100)
    image[:, 6:] += 60
    mask = rng.random((9, 12)) > 0.6
    points, labels = [(2.5, 4.5), (9.5, 4.5)], [1, 0]
    weight, wanted = np.full((9, 12), 0.02), mask.astype(float)
    for (x, y), label in zip(points, labels, strict=True):
        weight[int(y) - 1:int(y) + 2, int(x) - 1:int(x) + 2] = 1e3
        wanted[int(y) - 1:int(y) + 2, int(x) - 1:int(x) + 2] = label
    system = np.diag(weight.ravel())
    for p in np.ndindex(9, 12):
        for q in np.ndindex(9, 12):
            if p != q and abs(p[0] - q[0]) <= 1 and abs(p[1] - q[1]) <= 1:
                apart = ((image[p].astype(float) - image[q]) ** 2).sum() / 255**2
                edge = np.exp(-apart / (2 * 0.03**2)) + 1e-4
                system[np.ravel_multi_index(p, (9, 12)), np.ravel_multi_index(p, (9, 12))] += edge
                system[np.ravel_multi_index(p, (9, 12)), np.ravel_multi_index(q, (9, 12))] -= edge
    expected = np.linalg.solve(system, (weight * wanted).ravel()).reshape(9, 12) > 0.5
    assert np.array_equal(follow_clicks(mask, image, points, labels), expected) and not np.array_equal(expected, mask)


def test_a_click_makes_answers_about_scenes_better(model, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from refine import corrections

    model = type(model)(model.bundle, model.device, settings=model.settings.replace(points_per_side=6))
    rows = []
    for row in corrections(model, ROOT / "benchmarks" / "scenes", "val", 1):
        rows.append(row)
        if len(rows) == 8:
            break
    before, after = np.mean(rows, 0)
    assert after > before + 0.05, rows
