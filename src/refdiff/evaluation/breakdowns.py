"""The groups that a run's expressions are told apart by: length, size of what is meant, number of look-alikes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .rows_folder import Row

_SMALL, _MEDIUM = 32**2, 96**2  # px


def object_size(area: int) -> str | None:
    """'small' (under 32 x 32 px), 'medium' or 'large' (from 96 x 96 px on), the sizes of COCO's detection evaluation
    (Lin et al., 2014), of the area in px that an expression means; None where it means nothing."""
    if not area:
        return None
    return "small" if area < _SMALL else "medium" if area < _MEDIUM else "large"


@dataclass(frozen=True)
class Breakdown:
    """Figures by the `groups`, in this order, that `group` puts a row into; None: into none of them. `title` is what
    tables call it."""

    title: str
    groups: tuple[str, ...]
    group: Callable[[Row], str | None]


def _length(row: Row) -> str:
    words = len(row["expression"].split())
    return "8 or more words" if words > 7 else "5-7 words" if words > 4 else "3-4 words" if words > 2 else "1-2 words"


def _look_alikes(row: Row) -> str | None:
    count = row.get("look_alikes")
    if count is None or count < 3:
        return None if count is None else str(count)
    return "6 or more" if count > 5 else "3-5"


BREAKDOWNS = {
    "lengths": Breakdown("length", ("1-2 words", "3-4 words", "5-7 words", "8 or more words"), _length),
    "sizes": Breakdown("object size", ("small", "medium", "large"), lambda row: object_size(row["area"])),
    "look_alikes": Breakdown("number of look-alikes", ("0", "1", "2", "3-5", "6 or more"), _look_alikes),
}
"""By what a report calls each of them."""
