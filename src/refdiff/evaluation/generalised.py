"""gRefCOCO's metrics, for data whose expressions may mean several things or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .metrics import Overlap

THRESHOLDS = (0.7, 0.8, 0.9)
NAMES = ("gIoU", "cIoU", "N-acc", "T-acc", *(f"Pr@{threshold}" for threshold in THRESHOLDS))


def generalised_summary(overlaps: Iterable[Overlap]) -> dict[str, float | None]:
    """The metrics of NAMES over expressions, each in [0, 1], None where there is nothing to count.

    gIoU: mean IoU, which is 1 for an empty prediction where nothing is meant. cIoU: sum of intersections over sum of
    unions. N-acc: share of the expressions that mean nothing with an empty prediction. T-acc: share of the others
    without one. Pr@X: share of the others with IoU of X or more; `metrics.summary` counts IoU over X of all, as the
    RefCOCO family does.
    """
    overlaps = list(overlaps)
    meaning = [each for each in overlaps if each.area]
    union = sum(each.union for each in overlaps)
    return {
        "gIoU": _mean([each.iou for each in overlaps]),
        "cIoU": sum(each.intersection for each in overlaps) / union if union else None,
        "N-acc": _mean([not each.predicted for each in overlaps if not each.area]),
        "T-acc": _mean([each.predicted > 0 for each in meaning]),
        **{f"Pr@{threshold}": _mean([each.iou >= threshold for each in meaning]) for threshold in THRESHOLDS},
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
