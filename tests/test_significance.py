"""Comparisons of two systems: tests, intervals and their correction, against independent computations."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from refdiff import InputError
from refdiff.evaluation import significance
from refdiff.evaluation.metrics import Overlap
from refdiff.evaluation.significance import difference, holm


def system(low: int, count: int, seed: int) -> list[Overlap]:
    rng = np.random.default_rng(seed)
    return [Overlap(int(i), int(u), 40) for i, u in zip(rng.integers(low, 50, count), rng.integers(50, 100, count),
                                                        strict=True)]


def test_tests_agree_with_their_definitions():
    first, second = system(20, 60, 0), system(5, 60, 1)
    found = difference(first, second, range(60))
    a, b = ([each.iou for each in one] for one in (first, second))
    d = np.subtract(a, b)
    t = d.mean() / (d.std(ddof=1) / np.sqrt(60))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 59))
    ranks = stats.rankdata(abs(d))
    z = (ranks[d > 0].sum() - 60 * 61 / 4) / math.sqrt(60 * 61 * 121 / 24)  # of the signed ranks' sum
    assert found.p_wilcoxon == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.02)
    only_first = sum(x > 0.5 >= y for x, y in zip(a, b, strict=True))
    only_second = sum(y > 0.5 >= x for x, y in zip(a, b, strict=True))
    n, tail = only_first + only_second, min(only_first, only_second)
    assert only_second and only_first > only_second
    assert found.p_mcnemar == pytest.approx(min(1, 2 * sum(math.comb(n, k) for k in range(tail + 1)) / 2**n))
    assert (found.count, found.images) == (60, 60) and found.mean == pytest.approx(d.mean())


def test_the_bootstrap_draws_images_as_trying_every_draw_does():
    images = [7, 7, 7, 2, 5, 5, 9, 9, 9, 9, 4]
    first, second = system(20, 11, 3), system(0, 11, 4)
    groups = [[i for i, image in enumerate(images) if image == each] for each in sorted(set(images))]
    means, overall = [], []
    for drawn in product(groups, repeat=5):  # all 5^5, each as likely
        rows = [i for group in drawn for i in group]
        means.append(np.mean([first[i].iou - second[i].iou for i in rows]))
        ratios = [sum(one[i].intersection for i in rows) / sum(one[i].union for i in rows) for one in (first, second)]
        overall.append(ratios[0] - ratios[1])
    found = difference(first, second, images)
    spread = np.std(means)
    assert found.miou_interval == pytest.approx(tuple(np.percentile(means, (2.5, 97.5))), abs=0.1 * spread)
    assert found.oiou_interval == pytest.approx(tuple(np.percentile(overall, (2.5, 97.5))), abs=0.1 * np.std(overall))
    share = 2 * min(np.mean(np.array(means) <= 0), np.mean(np.array(means) >= 0))
    assert found.p_bootstrap == pytest.approx(share, abs=0.02) and found.images == 5


def test_the_interval_covers_the_truth_where_expressions_of_an_image_are_alike(monkeypatch):
    """100 experiments with a true difference of 0: an interval over images holds it about as often as it says, one that
    takes expressions as independent does not."""
    monkeypatch.setattr(significance, "_RESAMPLES", 300)
    rng = np.random.default_rng(0)
    images = np.repeat(np.arange(40), 8)
    base, covered = [Overlap(500, 1000, 700)] * len(images), np.zeros(2)
    for _ in range(100):
        ious = 0.5 + rng.normal(0, 0.12, 40)[images] + rng.normal(0, 0.06, len(images))
        answers = [Overlap(int(1000 * iou), 1000, 700) for iou in np.clip(ious, 0, 0.7)]
        for way, clusters in enumerate((images, range(len(images)))):
            low, high = difference(answers, base, clusters).miou_interval
            covered[way] += low <= 0 <= high
    assert 88 <= covered[0] <= 99 and covered[1] < 70


def test_equal_systems_do_not_differ_and_one_image_is_not_enough():
    one = system(10, 6, 0)
    found = difference(one, one, [0, 0, 1, 1, 2, 2])
    assert (found.p, found.p_bootstrap, found.p_wilcoxon, found.p_mcnemar) == (1, 1, 1, 1)
    assert found.miou_interval == found.oiou_interval == (0, 0)
    for images in ([0] * 6, [0, 1]):
        with pytest.raises(InputError, match="two or more images"):
            difference(one, one, images)


def test_holm_rejects_what_stepping_down_rejects():
    ps = [0.01, 0.04, 0.03, 0.005]
    assert holm(ps) == pytest.approx([0.03, 0.06, 0.06, 0.02]) and holm([]) == []
    for order in permutations([0.001, 0.012, 0.02, 0.02, 0.6]):
        for level in (0.005, 0.02, 0.05, 0.1, 0.7):
            rejected, left = set(), sorted(range(5), key=order.__getitem__)
            while left and order[left[0]] <= level / len(left):
                rejected.add(left.pop(0))
            assert {i for i, p in enumerate(holm(order)) if p <= level + 1e-12} == rejected
