"""The rows of a run as one flat table, in a file that pandas and other tools read: CSV or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..core.files import shown, write_atomically
from ..errors import InputError
from .rows_folder import Row
from .run_folder import read_rows

_AT_ONCE = 10_000  # rows of a row group


def export_rows(run: str | Path, out: str | Path) -> None:
    """Write a row for each expression and method, and for each fault, to `out`, a .csv or .parquet file.

    Columns are a row's keys; what stands inside another has a dot in its name, such as `parts.generative`,
    `milliseconds.attention` and `rle.counts`; lists are JSON. A value that a row lacks is empty. Raises InputError for
    another ending, without pyarrow for Parquet, and when the rows cannot be read.
    """
    run, out = Path(run), Path(out)
    if out.suffix not in _WRITERS:
        raise InputError(f"{shown(out)} must end in {' or '.join(_WRITERS)}, which says how rows are written.")
    columns: dict[str, set[type]] = {}
    for row in read_rows(run):
        for name, value in _flat(row).items():
            columns.setdefault(name, set()).update([] if value is None else [_kind(value)])
    write_atomically(out, lambda file: _WRITERS[out.suffix](columns, map(_flat, read_rows(run)), file))


def _flat(row: Row, before: str = "") -> Row:
    flat: Row = {}
    for key, value in row.items():
        name = f"{before}{key}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = json.dumps(value) if isinstance(value, list) else (
                value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value)
    return flat


def _kind(value: Any) -> type:
    return str if type(value) is int and abs(value) >= 1 << 63 else type(value)


def _write_csv(columns: dict[str, set[type]], rows: Iterator[Row], file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    text.detach()  # the file is not this function's to close


def _write_parquet(columns: dict[str, set[type]], rows: Iterator[Row], file: BinaryIO) -> None:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise InputError("Parquet needs pyarrow; install it with pip install 'refdiff[parquet]', or write a .csv "
                         "file.") from None
    kinds = {frozenset([bool]): pyarrow.bool_(), frozenset([int]): pyarrow.int64(),
             frozenset([float]): pyarrow.float64(), frozenset([int, float]): pyarrow.float64(),
             frozenset(): pyarrow.null()}
    schema = pyarrow.schema([(name, kinds.get(frozenset(types), pyarrow.string())) for name, types in columns.items()])
    as_text = [field.name for field in schema if field.type == pyarrow.string()]  # ids may be numbers and words
    with ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _AT_ONCE)):
            typed = [row | {name: str(row[name]) for name in as_text if row.get(name) is not None} for row in group]
            writer.write_batch(pyarrow.RecordBatch.from_pylist(typed, schema))


_WRITERS = {".csv": _write_csv, ".parquet": _write_parquet}
