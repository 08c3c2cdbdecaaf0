"""Whether one system is better than another over the same expressions: tests on pairs of answers, and a bootstrap over
images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .metrics import RIGHT, Overlap

LEVEL = 0.01
"""The paper's p."""
_RESAMPLES = 9999


@dataclass(frozen=True)
class Difference:
    """First minus second over `count` expressions about `images` images: `mean` of IoU, and `oiou`, each with its 95 %
    interval (low, high).

    The intervals and `p_bootstrap` are of a bootstrap that draws images, each with all its expressions, which are not
    independent of one another. The other tests take every expression as independent: `p` of the paired t-test on IoU,
    `p_wilcoxon` of the signed-rank test on IoU, `p_mcnemar` of McNemar's exact test on IoU over 0.5. All are two-sided.
    """

    count: int
    images: int
    mean: float
    miou_interval: tuple[float, float]
    oiou: float
    oiou_interval: tuple[float, float]
    p: float
    p_bootstrap: float
    p_wilcoxon: float
    p_mcnemar: float


def difference(first: Sequence[Overlap], second: Sequence[Overlap], images: Sequence[int], seed: int = 0) -> Difference:
    """Compare two systems on the same expressions in the same order; `images` says which image each is about.

    Raises InputError where the lengths differ, or there are fewer than two images.
    """
    from scipy import stats

    if not len(first) == len(second) == len(images) or len(set(images)) < 2:
        raise InputError("A comparison needs two results over the same expressions of two or more images.")
    a, b = (np.array([each.iou for each in one]) for one in (first, second))
    differences = np.round(a - b, 12)  # equal ones stay equal, as the signed-rank test's ties
    counts = [np.array([getattr(each, name) for each in one], float)
              for one in (first, second) for name in ("intersection", "union")]
    _, image = np.unique(images, return_inverse=True)
    sums = np.stack([np.bincount(image, each) for each in (differences, np.ones(len(a)), *counts)], 1)
    drawn = _resampled(sums, seed)
    means, overall = _mean_difference(drawn), _overall_difference(drawn)
    right, wrong = int(((a > RIGHT) & (b <= RIGHT)).sum()), int(((b > RIGHT) & (a <= RIGHT)).sum())
    same = not differences.any()  # the t statistic would be 0 / 0
    beyond = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    return Difference(
        count=len(a), images=len(sums), mean=float(_mean_difference(sums.sum(0))), miou_interval=_interval(means),
        oiou=float(_overall_difference(sums.sum(0))), oiou_interval=_interval(overall),
        p=1.0 if same else float(stats.ttest_rel(a, b).pvalue), p_bootstrap=min(1.0, 2 * beyond / (1 + len(means))),
        p_wilcoxon=1.0 if same else float(stats.wilcoxon(differences).pvalue),
        p_mcnemar=float(stats.binomtest(right, right + wrong).pvalue) if right + wrong else 1.0)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p corrected for that many tests, so that the chance of any false finding among them stays below the level it
    is compared with, whatever their dependence (Holm 1979)."""
    corrected, largest = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[place]))
        corrected[place] = largest
    return corrected


def _resampled(sums: np.ndarray, seed: int) -> np.ndarray:
    """The sums [R, K] over as many images as there are, drawn with replacement, R times; `sums` [images, K]."""
    rng, images = np.random.default_rng(seed), len(sums)
    return np.stack([np.bincount(rng.integers(0, images, images), minlength=images) @ sums for _ in range(_RESAMPLES)])


def _mean_difference(sums: np.ndarray) -> np.ndarray:
    """mIoU of the first minus that of the second; `sums` [..., 6] as `difference` makes them."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def _overall_difference(sums: np.ndarray) -> np.ndarray:
    """oIoU of the first minus that of the second."""
    first, first_unions, second, second_unions = np.moveaxis(sums[..., 2:], -1, 0)
    return np.asarray(first / np.maximum(first_unions, 1) - second / np.maximum(second_unions, 1))


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
