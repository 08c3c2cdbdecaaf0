"""From a query to an answer: one instance, several or none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..language import Query, Target
from ..settings import QuerySettings
from .judging import Witness, judge


@dataclass(frozen=True, eq=False)
class Answer:
    """What a query asks for in an image: `chosen` proposals with how likely each is meant, most likely first; `likely`
    that of every proposal, float64 [N]; `present`, the least likely of the targets to be there; which were `missing`,
    each with the proposal that comes nearest to it, if any; and `fewer`, targets of which fewer were found than asked
    for, with how many."""

    chosen: tuple[tuple[int, float], ...]
    likely: np.ndarray
    present: float
    missing: tuple[tuple[Target, int | None], ...]
    fewer: tuple[tuple[Target, int], ...]


def answer(query: Query, witness: Witness, settings: QuerySettings) -> Answer:
    """One, several or nothing."""
    likely = np.zeros(len(witness.proposals.masks))
    chosen: dict[int, float] = {}
    missing: list[tuple[Target, int | None]] = []
    fewer: list[tuple[Target, int]] = []
    present = 1.0
    for target in query.targets:
        judged = judge(_reduced(target, settings), witness)
        np.maximum.at(likely, judged.indices, judged.likely)
        present = min(present, judged.present)
        if not judged.indices or (judged.present < settings.threshold and settings.targets == "any"):
            missing.append((target, judged.indices[int(judged.likely.argmax())] if judged.indices else None))
            continue
        found = judged.chosen(settings.each_threshold)
        if isinstance(target.number, int) and len(found) < target.number:
            fewer.append((target, len(found)))
        for k in found:
            index = judged.indices[k]
            chosen[index] = max(chosen.get(index, 0.0), float(judged.likely[k]))
    ordered = sorted(chosen.items(), key=lambda each: -each[1])
    if settings.targets == "one":
        ordered = ordered[:1]
    if not ordered and (settings.targets == "one" or settings.threshold == 0):  # the best there is
        best = likely if likely.any() else witness.named(query.targets[0])
        ordered = [(int(best.argmax()), float(likely.max()))]
    return Answer(tuple(ordered), likely, present, tuple(missing), tuple(fewer))


def _reduced(target: Target, settings: QuerySettings) -> Target:
    """The target as far as the settings read it."""
    if settings.reading == "relations":
        return target
    number = target.number if settings.reading == "instances" else 1
    return replace(target, number=number, conditions=target.attributes)
