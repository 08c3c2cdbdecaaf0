"""The folder of a run of refdiff evaluate: what its header and its rows look like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.decoding import MAX_PIXELS
from ..core.files import read_json, shown
from ..errors import InputError
from .rows_folder import HEADER, Kind, Row, fits, placed_rows

REPORT, TIMINGS = "report.json", "timings.json"

_NONE = type(None)
_HEADER_SHAPE = {
    "refdiff": str, "versions": dict, "bundle": {"name": str, "fingerprint": str}, "methods": [str], "labels": dict,
    "plugins": dict, "settings": dict, "shard": (str, _NONE), "fast": [str], "device": str, "dtype": str,
    "dataset": {"name": str, "split": str, "annotations": str, "limit": (int, _NONE), "expressions": int,
                "fingerprint": str},
    "where": {"dataset": dict}}
_ANSWER_SHAPE = {
    "kind": (str, _NONE), "method": str, "iou": (int, float), "intersection": int, "union": int, "area": int,
    "chosen": (int, _NONE), "score": (int, float, _NONE), "rle": dict, "milliseconds": dict}


def read_header(folder: Path) -> dict[str, Any]:
    """The header of a run. Raises InputError when the folder holds none that refdiff evaluate could have written."""
    path = folder / HEADER
    if not path.exists():
        raise InputError(f"{shown(folder)} holds no run of refdiff evaluate; check the path.")
    header = read_json(path)
    if not fits(header, _HEADER_SHAPE) or not fits([*header["labels"].values()], [str]):
        raise InputError(f"{shown(path)} is not the header of a run of this version of refdiff; name another folder.")
    found: dict[str, Any] = header
    return found


def kind(methods: Sequence[str]) -> Kind:
    """What the rows of a run of these methods are."""
    return Kind(_is_answer, methods)


def read_rows(folder: Path) -> Iterator[Row]:
    """The rows of a run in the order they were written, those of the same image, expression and method once.

    Raises InputError at the first line that is not a row.
    """
    for _, _, row in placed_rows(folder, kind(read_header(folder)["methods"])):
        yield row


def _is_answer(row: Row) -> bool:
    shares = [row[name] for name in ("confidence", "upper_bound") if row.get(name) is not None]
    counts = [row[name] for name in ("rank", "look_alikes") if row.get(name) is not None]
    return (fits(row, _ANSWER_SHAPE) and isinstance(row.get("found", True), bool) and fits(row.get("instances", 0), int)
            and 0 <= row["intersection"] <= row["area"] <= row["union"] <= MAX_PIXELS and 0 <= row["iou"] <= 1
            and all(fits(spent, (int, float)) and 0 <= spent < 1e12 for spent in row["milliseconds"].values())
            and (row["score"] is None or abs(row["score"]) < 1e12)
            and all(fits(share, (int, float)) and 0 <= share <= 1 for share in shares)
            and all(fits(count, int) and count >= 0 for count in counts))
