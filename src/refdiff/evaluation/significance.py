"""Whether one system is better than another over the same expressions: paired t-test and bootstrap (scipy)."""

from __future__ import annotations

from collections.abc import Sequence
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
    ratio = lambda i, u, axis: i.sum(axis) / np.maximum(u.sum(axis), 1)  # noqa: E731
    overall = lambda ia, ua, ib, ub, axis=-1: ratio(ia, ua, axis) - ratio(ib, ub, axis)  # noqa: E731
    same = bool((a == b).all())  # the t statistic is 0 / 0
    interval = lambda data, statistic: tuple(float(end) for end in stats.bootstrap(  # noqa: E731
        data, statistic, paired=len(data) > 1, vectorized=True, n_resamples=_RESAMPLES, batch=100,
        method="percentile", rng=np.random.default_rng(seed)).confidence_interval)
    return Difference(
        count=len(a), mean=float((a - b).mean()), p=1.0 if same else float(stats.ttest_rel(a, b).pvalue),
        miou_interval=interval((a - b,), lambda d, axis=-1: d.mean(axis)),
        oiou=float(overall(*counts)), oiou_interval=interval(counts, overall))
