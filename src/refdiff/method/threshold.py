"""Eq. 8: the weight-free filter, which cuts proposals from the correlation map alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.proposals import Proposals


def threshold_proposals(correlation: np.ndarray, thresholds: Sequence[float]) -> Proposals:
    """Eq. 8: the masks c >= mu for each mu of `thresholds`, of c float32 [H, W] in [0, 1]; empty ones are left out."""
    return Proposals.of(np.stack([correlation >= threshold for threshold in thresholds]), "filter")
