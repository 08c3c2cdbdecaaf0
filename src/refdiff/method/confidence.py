"""How likely an answer is right: a bundle's calibration, fitted on held-out expressions (training/calibrate.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BundleError
from .answers import Answer
from .ref_diff import Scores

_SAME = 0.5  # IoU with the winner from which another proposal is the same thing
_GREATEST = 1e9  # of a curve's numbers


@dataclass(frozen=True)
class Calibration:
    """A logistic curve: P(right) = 1 / (1 + exp(-(bias + score * s + margin * m))), with s the winner's score and m by
    how much it is above the best proposal that is something else; of answers to queries ('query' where something was
    found, 'nothing' where not) see `answer_features`, of one thing found ('instance') `instance_features`."""

    bias: float
    score: float
    margin: float

    @classmethod
    def read(cls, manifest: Mapping[str, Any]) -> dict[str, Calibration]:
        """The curve of each kind of answer (a variant, 'query', 'nothing' or 'instance') in a bundle's refdiff.json.
        Raises BundleError where one is not three numbers, of at most a billion."""
        curves = {}
        for variant, numbers in manifest.items():
            if not (isinstance(numbers, Mapping) and numbers.keys() == {"bias", "score", "margin"}
                    and all(type(value) in (int, float) and abs(value) <= _GREATEST for value in numbers.values())):
                raise BundleError(f"The bundle's calibration of {variant[:40]!r} must be the numbers bias, score and "
                                  "margin, none over a billion.")
            curves[variant] = cls(**numbers)
        return curves

    def __call__(self, features: tuple[float, float]) -> float:
        """The probability, in [0, 1], that an answer of these features is right: that its IoU with the truth is over
        0.5, or that it is rightly empty."""
        s, m = features
        exponent = self.bias + self.score * s + self.margin * m
        return 1 / (1 + math.exp(-min(max(exponent, -50.0), 50.0)))


def answer_features(found: Answer) -> tuple[float, float]:
    """(s, m) of an answer to a query: the log-odds that what is asked for is there, and of the least likely of the
    chosen things to be meant (0 where there is none)."""
    return _log_odds(found.present), _log_odds(found.chosen[-1][1]) if found.chosen else 0.0


def instance_features(found: Answer, likely: float) -> tuple[float, float]:
    """(s, m) of one of the chosen things: the log-odds that what is asked for is there, and that this is meant."""
    return _log_odds(found.present), _log_odds(likely)


def _log_odds(chance: float) -> float:
    chance = min(max(chance, 1e-4), 1 - 1e-4)
    return math.log(chance / (1 - chance))


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


