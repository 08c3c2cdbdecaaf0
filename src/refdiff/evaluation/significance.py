"""Whether one system is better than another over the same expressions: paired t-test and bootstrap (scipy)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .metrics import Overlap

LEVEL = 0.01
"""The paper's p."""
_RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """First minus second: `mean` of IoU with its paired t-test's `p` (two-sided), and 95 % bootstrap intervals
    (low, high) of the differences in mIoU and oIoU over `count` expressions."""

    count: int
    mean: float
    p: float
    miou_interval: tuple[float, float]
    oiou: float
    oiou_interval: tuple[float, float]


def difference(first: Sequence[Overlap], second: Sequence[Overlap], seed: int = 0) -> Difference:
    """Compare two systems on the same expressions in the same order. Raises InputError for fewer than two."""
    from scipy import stats

    if len(first) != len(second) or len(first) < 2:
        raise InputError("A comparison needs two results over the same two or more expressions.")
    a, b = (np.array([each.iou for each in one]) for one in (first, second))
    counts = [np.array([getattr(each, name) for each in one], float)
              for one in (first, second) for name in ("intersection", "union")]
    same = bool((a == b).all())  # the t statistic would be 0 / 0
    return Difference(
        count=len(a), mean=float((a - b).mean()), p=1.0 if same else float(stats.ttest_rel(a, b).pvalue),
        miou_interval=_interval([a - b], np.mean, seed),
        oiou=float(_overall_difference(*counts)), oiou_interval=_interval(counts, _overall_difference, seed))


def _overall_difference(*counts: np.ndarray, axis: int = -1) -> np.ndarray:
    """oIoU of the first minus that of the second, along an axis of expressions.

    `counts` are intersections and unions of the first, then of the second.
    """
    first, first_unions, second, second_unions = (each.sum(axis) for each in counts)
    return np.asarray(first / np.maximum(first_unions, 1) - second / np.maximum(second_unions, 1))


def _interval(data: Sequence[np.ndarray], statistic: Callable[..., np.ndarray], seed: int) -> tuple[float, float]:
    """The 95 % bootstrap interval of a statistic that takes `data` and an axis."""
    from scipy import stats

    found = stats.bootstrap(data, statistic, paired=len(data) > 1, vectorized=True, n_resamples=_RESAMPLES, batch=100,
                            method="percentile", rng=np.random.default_rng(seed)).confidence_interval
    return float(found.low), float(found.high)
