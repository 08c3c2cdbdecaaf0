import numpy as np
import pytest
import torch

from refdiff import matching
from refdiff.proposals import Proposals


def random_case(seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.random((12, 17), dtype=np.float32), rng.random((5, 12, 17)) < 0.3


def test_generative_scores_are_mean_inside_minus_mean_outside():
    correlation, masks = random_case()
    expected = [correlation[mask].mean() - correlation[~mask].mean() for mask in masks]
    assert np.allclose(matching.generative_scores(correlation, masks), expected, atol=1e-5)
    assert matching.generative_scores(correlation, np.zeros((1, 12, 17), bool)).isfinite().all()


def test_eq_8_thresholds_and_why_eq_9_cannot_choose_among_them():
    y, x = np.mgrid[0:64, 0:64]
    blob = np.exp(-((y - 30) ** 2 + (x - 34) ** 2) / 200).astype(np.float32)
    masks = Proposals.from_correlation(blob).masks
    assert masks.shape == (19, 64, 64)
    assert np.array_equal(masks[9], blob >= 0.5)
    literal = matching.generative_scores(blob, masks).argmax()
    weighed = matching.between_class_scores(blob, masks).argmax()
    assert literal == 18 and masks[literal].sum() < 0.02 * 64 * 64
    half_height = masks[weighed]
    assert 0.2 < half_height[30].sum() / 64 < 0.7


def test_between_class_scores_are_twice_the_root_of_otsus_variance_above_the_median():
    correlation, masks = random_case(1)
    chosen = matching.between_class_scores(correlation, masks)
    correlation = np.maximum(correlation, np.quantile(correlation, 0.5, method="lower"))
    for score, mask in zip(chosen, masks, strict=True):
        within = mask.mean() * correlation[mask].var() + (~mask).mean() * correlation[~mask].var()
        assert (score / 2) ** 2 == pytest.approx(correlation.var() - within, abs=1e-6)
        assert np.sign(score) == np.sign(correlation[mask].mean() - correlation[~mask].mean())


def test_g_chooses_what_stands_out_rather_than_everything_but_what_lies_below_the_ground():
    c = np.full((64, 64), 0.5, np.float32)
    c[5:35, 5:35] = 0.0
    c[45:55, 45:55] = 1.0
    masks = Proposals.from_correlation(c).masks
    assert masks[matching.between_class_scores(c, masks).argmax()].sum() == 100


def test_fuse_and_who_can_win():
    fused = matching.fuse(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.5]), 0.25)
    assert fused.tolist() == [0.25, 0.375]
    areas = torch.tensor([5, 300, 200, 100])
    assert matching.eligible(areas).all()
    assert matching.eligible(areas, min_area=50).tolist() == [False, True, True, True]
    assert matching.eligible(areas, largest=2).tolist() == [False, True, True, False]
    assert matching.eligible(areas, largest=2, min_area=250).tolist() == [False, True, False, False]
    assert matching.eligible(areas, min_area=10**6).all()
