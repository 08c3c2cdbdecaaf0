import numpy as np
import pytest
import torch

from refdiff.method import (
    EdgeSmoother,
    between_class_scores,
    correlation_map,
    eligible,
    fuse,
    generative_scores,
    positional_bias,
    threshold_proposals,
)
from refdiff.settings import OFFICIAL, PAPER, MatchingSettings, Settings


def random_case(seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.random((12, 17), dtype=np.float32), rng.random((5, 12, 17)) < 0.3


def test_generative_scores_are_mean_inside_minus_mean_outside():
    correlation, masks = random_case()
    expected = [correlation[mask].mean() - correlation[~mask].mean() for mask in masks]
    assert np.allclose(generative_scores(correlation, masks), expected, atol=1e-5)
    assert generative_scores(correlation, np.zeros((1, 12, 17), bool)) == pytest.approx(-correlation.mean())
    large = np.random.default_rng(0).random((480, 640), dtype=np.float32)  # where sums are rounded
    assert generative_scores(large, np.ones((1, 480, 640), bool)) == pytest.approx(large.mean(), abs=1e-4)


def test_eq_8_thresholds_and_why_eq_9_cannot_choose_among_them():
    y, x = np.mgrid[0:64, 0:64]
    blob = np.exp(-((y - 30) ** 2 + (x - 34) ** 2) / 200).astype(np.float32)
    masks = threshold_proposals(blob, Settings().generative.thresholds).masks
    assert masks.shape == (19, 64, 64)
    assert np.array_equal(masks[9], blob >= 0.5)
    literal = generative_scores(blob, np.array(masks)).argmax()
    weighed = between_class_scores(blob, np.array(masks)).argmax()
    assert literal == 18 and masks[literal].sum() < 0.02 * 64 * 64
    half_height = masks[weighed]
    assert 0.2 < half_height[30].sum() / 64 < 0.7


def test_between_class_scores_are_twice_the_root_of_otsus_variance_above_the_median():
    correlation, masks = random_case(1)
    chosen = between_class_scores(correlation, masks)
    correlation = np.maximum(correlation, np.quantile(correlation, 0.5, method="lower"))
    for score, mask in zip(chosen, masks, strict=True):
        within = mask.mean() * correlation[mask].var() + (~mask).mean() * correlation[~mask].var()
        assert (score / 2) ** 2 == pytest.approx(correlation.var() - within, abs=1e-6)
        assert np.sign(score) == np.sign(correlation[mask].mean() - correlation[~mask].mean())


def test_g_chooses_what_stands_out_rather_than_everything_but_what_lies_below_the_ground():
    c = np.full((64, 64), 0.5, np.float32)
    c[5:35, 5:35] = 0.0
    c[45:55, 45:55] = 1.0
    masks = threshold_proposals(c, Settings().generative.thresholds).masks
    assert masks[between_class_scores(c, np.array(masks)).argmax()].sum() == 100


def test_fuse_and_who_can_win():
    fused = fuse(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.5]), 0.25)
    assert fused.tolist() == [0.25, 0.375]
    areas = np.array([5, 300, 200, 100])
    for changes, expected in (({}, (0, 1, 2, 3)), ({"min_area": 50}, (1, 2, 3)), ({"largest": 2}, (1, 2)),
                              ({"largest": 2, "min_area": 250}, (1,)), ({"min_area": 10**6}, (0, 1, 2, 3)),
                              ({"min_area": 10**6, "none_eligible": "first"}, ())):
        assert eligible(areas, MatchingSettings(**changes)) == expected


def test_eq_5_is_scaled_once_in_the_paper_and_once_more_after_the_crop_by_default():
    grid = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    square = torch.nn.functional.interpolate(grid[None], size=(144, 144), mode="bilinear")[0, 0]
    once = correlation_map(grid, (96, 144), PAPER.generative)
    assert torch.allclose(once, (square[24:120] - grid.min()) / (grid.max() - grid.min()), atol=1e-5)
    again = correlation_map(grid, (96, 144), Settings().generative)
    assert torch.allclose(again, (once - once.min()) / (once.max() - once.min()), atol=1e-5)
    flat = correlation_map(torch.ones(1, 16, 16), (20, 30), OFFICIAL.generative)
    assert flat.isfinite().all()


def test_the_positional_bias_is_a_ramp():
    left = positional_bias((3, 5), ["left"])
    assert np.allclose(left, [[1, 0.75, 0.5, 0.25, 0]] * 3)
    assert np.allclose(positional_bias((3, 5), ["right"]), left[:, ::-1])
    corner = positional_bias((3, 5), ["top", "left"])
    assert corner[0, 0] == 1 and corner[1, 0] == 0.5 and corner[2].max() == 0
    assert (positional_bias((3, 5), []) == 1).all()
    released = positional_bias((2, 9), ["left"], OFFICIAL.discriminative.clue_ramp)
    assert np.allclose(released[0], [1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0])


def smoother(image, strength):
    return EdgeSmoother(image, Settings().replace(edge_smoothing=strength).generative)


def test_a_map_spreads_over_what_has_one_colour_and_stops_at_edges():
    image = np.full((60, 80, 3), 40, np.uint8)
    image[20:40, 10:50] = (200, 60, 30)
    thing = (image[..., 0] == 200)
    peak = np.zeros((60, 80), np.float32)
    peak[24:28, 14:18] = 1  # the word's attention fell on a corner of the thing
    smooth = smoother(image, 300.0)(peak)
    assert smooth.dtype == np.float32 and smooth.shape == peak.shape
    assert np.array_equal(smooth > smooth.max() / 2, thing)
    with np.errstate(all="raise"):
        assert np.array_equal(smoother(image, 300.0)(peak), smooth)
    level = np.full((60, 80), 0.7, np.float32)
    assert np.allclose(smoother(image, 300.0)(level), level, atol=1e-6)


def test_it_is_the_least_of_its_sum():
    rng = np.random.default_rng(0)
    image, values = rng.integers(0, 60, (5, 6, 3), dtype=np.uint8), rng.random((5, 6)).astype(np.float32)
    colours, places = image.reshape(-1, 3) / 255, [divmod(i, 6) for i in range(30)]
    system, strength = np.eye(30), 20.0
    for p in range(30):
        for q in range(30):
            if p != q and max(abs(np.subtract(places[p], places[q]))) == 1:
                weight = np.exp(-((colours[p] - colours[q]) ** 2).sum() / (2 * 0.03**2)) + 1e-4
                system[p, p] += strength * weight
                system[p, q] -= strength * weight
    expected = np.linalg.solve(system, values.ravel()).reshape(5, 6)
    assert np.allclose(smoother(image, strength)(values), expected, atol=1e-5)
