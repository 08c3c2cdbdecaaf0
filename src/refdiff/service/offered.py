"""The settings that a request may change: which, with the paper's names and the ranges and words of `Settings`."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..settings import Settings

PAPER_NAMES = {"alpha": "alpha", "beta": "beta", "noise_timestep": "t", "reading": None, "targets": None,
               "threshold": None}
"""What the paper calls each of them; None where it is refdiff's own."""


@dataclasses.dataclass(frozen=True)
class Offered:
    """One setting: `kind` is float, int or a tuple of the words that it may be; `low` and `high` bound numbers."""

    name: str
    symbol: str | None
    kind: Any
    low: float | None
    high: float | None
    says: str


def offered() -> list[Offered]:
    """The settings of PAPER_NAMES in their order."""
    found = {}
    for group in get_type_hints(Settings).values():
        hints = get_type_hints(group)
        for each in dataclasses.fields(group):
            if each.name in PAPER_NAMES:
                hint = hints[each.name]
                kind = get_args(hint) if get_origin(hint) is Literal else hint
                low, high = each.metadata.get("range", (None, None))
                found[each.name] = Offered(each.name, PAPER_NAMES[each.name], kind, low, high,
                                           _said(group.__doc__ or "", each.name))
    return [found[name] for name in PAPER_NAMES]


def _said(text: str, name: str) -> str:
    """What a group's docstring says of one of its fields."""
    entry = re.search(rf"^ *{name}: (.*(?:\n {{8,}}.*)*)", text, re.MULTILINE)
    return " ".join(entry[1].split()) if entry else ""
