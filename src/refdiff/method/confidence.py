"""How likely an answer is right: a bundle's calibration, fitted on held-out expressions (training/calibrate.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BundleError
from .ref_diff import Scores

_SAME = 0.5  # IoU with the winner from which another proposal is the same thing


@dataclass(frozen=True)
class Calibration:
    """A logistic curve: P(IoU > 0.5) = 1 / (1 + exp(-(bias + score * s + margin * m))), with s the winner's score and m
    by how much it is above the best proposal that is something else."""

    bias: float
    score: float
    margin: float

    @classmethod
    def read(cls, manifest: Mapping[str, Any]) -> dict[str, Calibration]:
        """The curve of each variant, as a bundle's refdiff.json has them. Raises BundleError where they are not three
        finite numbers each."""
        curves = {}
        for variant, numbers in manifest.items():
            try:
                curves[variant] = cls(**{name: float(value) for name, value in numbers.items()})
            except (AttributeError, TypeError, ValueError, OverflowError):
                curves[variant] = cls(math.nan, math.nan, math.nan)
            if not all(map(math.isfinite, (curves[variant].bias, curves[variant].score, curves[variant].margin))):
                raise BundleError(f"The bundle's calibration of {variant!r} must be numbers bias, score and margin.")
        return curves

    def __call__(self, scores: Scores) -> float:
        """The probability, in [0, 1], that the best proposal overlaps the truth with an IoU over 0.5."""
        s, m = features(scores)
        exponent = self.bias + self.score * s + self.margin * m
        return 1 / (1 + math.exp(-min(max(exponent, -50.0), 50.0)))


def features(scores: Scores) -> tuple[float, float]:
    """(s, m): the winner's score, and its margin over the best proposal whose IoU with it is under 0.5 (0 where there
    is none of them)."""
    order = scores.order()
    best = scores.proposals.masks[order[0]]
    score = float(scores.total[order[0]])
    for i in order[1:]:
        other = scores.proposals.masks[i]
        if np.count_nonzero(best & other) < _SAME * np.count_nonzero(best | other):
            return score, score - float(scores.total[i])
    return score, 0.0


