"""Instances: from how likely each proposal is what a phrase says to things that do not overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.proposals import Proposals
from .relations import Shapes

SAME, COVERED = 0.5, 0.7
"""Two proposals are one thing from this IoU on, or where the larger covers this share of the smaller."""
ALIKE, AS_LIKELY = 0.8, 0.9
"""Of proposals that are this much alike (IoU) and this nearly as likely, the segmentor's best stands for the thing."""
FLOOR = 0.02  # what is less likely changes no answer
_SIDE = 512  # px of the longer side at which masks are compared
MOST = 24  # instances of one phrase


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Of every two of N proposals: `iou`, and `cover`, the share of the smaller that the other covers; float32
    [N, N]."""

    iou: np.ndarray
    cover: np.ndarray

    @classmethod
    def of(cls, proposals: Proposals) -> Overlaps:
        step = -(-max(proposals.masks.shape[1:]) // _SIDE)
        flat = proposals.masks[:, ::step, ::step].reshape(len(proposals.masks), -1).astype(np.float32)
        shared, areas = flat @ flat.T, flat.sum(1).clip(1)
        return cls(shared / (areas[:, None] + areas[None] - shared), shared / np.minimum(areas[:, None], areas[None]))


def separate(likely: np.ndarray, overlaps: Overlaps) -> list[int]:
    """The indices, most likely first, of proposals that are no part or copy of a likelier one.

    `likely` float64 [N], of proposals in the segmentor's order, best first.
    """
    kept: list[int] = []
    alive = likely >= FLOOR
    for i in np.argsort(-likely, kind="stable").tolist():
        if alive[i] and len(kept) < MOST:
            same = alive & (overlaps.iou[i] > ALIKE) & (likely >= AS_LIKELY * likely[i])
            best = int(same.argmax()) if same.any() else i  # a mask of no pixel is not even like itself
            kept.append(best)
            alive &= (overlaps.iou[best] <= SAME) & (overlaps.cover[best] <= COVERED)
            alive[i] = False
    return sorted(kept, key=lambda i: -likely[i])


def shapes_of(indices: list[int], proposals: Proposals) -> Shapes:
    """The places and sizes of some proposals."""
    height, width = proposals.masks.shape[1:]
    return Shapes.of(proposals.boxes[indices].astype(float), proposals.areas[indices].astype(float), (height, width))
