"""oIoU, mIoU, Pr@X and the release's area-weighted mean, from per-expression counts of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
RIGHT = 0.5
"""The IoU over which an answer is right, as a confidence counts it."""


@dataclass(frozen=True)
class Overlap:
    """How a prediction and the truth overlap, in px: `intersection`, `union`, and the truth's `area`, 0 where nothing
    is meant."""

    intersection: int
    union: int
    area: int

    @classmethod
    def of(cls, prediction: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None = None) -> Overlap:
        """Of two masks bool [H, W]; pixels that are `ignored`, which the truth has none of, count neither way."""
        if ignored is not None:
            prediction = prediction & ~ignored
        return cls(int((prediction & truth).sum()), int((prediction | truth).sum()), int(truth.sum()))

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Overlap:
        """Of a row of a run."""
        return cls(row["intersection"], row["union"], row["area"])

    @property
    def iou(self) -> float:
        """Intersection over union in [0, 1]; 1 where nothing is meant and nothing predicted (gRefCOCO's evaluator)."""
        return self.intersection / self.union if self.union else 1.0

    @property
    def predicted(self) -> int:
        """The prediction's area in px."""
        return self.union + self.intersection - self.area


def summary(overlaps: Iterable[Overlap]) -> dict[str, float]:
    """The metrics over expressions, each in [0, 1]; all 0 over none.

    An empty prediction has IoU 0 and its truth's area still counts to the unions. Where nothing is meant, an empty
    prediction has IoU 1; any other has 0, and its area still counts to the unions. The weight in the area-weighted mean
    is then 0.

    oIoU: sum of intersections over sum of unions. mIoU: mean IoU. Pr@X: share of expressions with IoU over X.
    area-weighted IoU: mean IoU weighted by the truth's area, which the release of Ref-Diff prints as mIoU.
    """
    overlaps = list(overlaps)
    ious = np.array([each.iou for each in overlaps], float)
    areas = np.array([each.area for each in overlaps], float)
    union = sum(each.union for each in overlaps)
    return {
        "oIoU": sum(each.intersection for each in overlaps) / union if union else 0.0,
        "mIoU": _mean(ious),
        **{f"Pr@{threshold}": _mean(ious > threshold) for threshold in THRESHOLDS},
        "area-weighted IoU": float((ious * areas).sum() / areas.sum()) if areas.sum() else 0.0,
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
