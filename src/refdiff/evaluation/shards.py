"""A run in parts: which images a shard measures, and shards merged into the run that they are parts of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..core.files import make_folder, open_regular, shown, write_atomically
from ..errors import InputError
from .report import write_report
from .rows_folder import ROWS, check_header, differences, locked, placed_rows
from .run_folder import REPORT, kind, read_header

_MOST = 500  # their rows are read at the same time


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count` parts of a dataset's images, from 1: every count-th image."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard written as 'number/count'. Raises InputError for anything else."""
        found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text, re.ASCII)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count <= _MOST:
            raise InputError(f"A shard is written as 1/4, 2/4, 3/4 or 4/4 where there are four, not {shown(text)!r}.")
        return cls(number, count)

    def __contains__(self, index: int) -> bool:
        """Whether it measures image number `index`, from 0."""
        return index % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def merge(out: str | Path, runs: Sequence[str | Path]) -> dict[str, Any]:
    """Make the run in the folder `out` that all shards of one run are parts of; returns its report.

    The report is the same to the byte as that of a run without shards; so are the rows but for their 'milliseconds'.
    Raises InputError where a run is not a finished shard, the shards' headers differ in anything but their shard and
    where the data lie, a shard is missing or there twice, or `out` holds another run.
    """
    folders, out = [Path(run) for run in runs], Path(out)
    headers = [read_header(folder) for folder in folders]
    shards = [_shard(folder, header) for folder, header in zip(folders, headers, strict=True)]
    _check_complete(folders, shards)
    whole = headers[0] | {"shard": None}
    for folder, header in zip(folders, headers, strict=True):
        if differing := differences(whole, header | {"shard": None}):
            raise InputError(f"{shown(folders[0])} and {shown(folder)} are not shards of the same run: they differ in "
                             f"{', '.join(differing)}.")
    lines: list[tuple[int, int, int, int]] = []  # image's index, number of the folder, begin and end in its rows
    answers = 0
    for place, (folder, shard) in enumerate(zip(folders, shards, strict=True)):
        for begin, end, row in placed_rows(folder, kind(header["methods"])):
            if row["image_index"] not in shard:
                raise InputError(f"{shown(folder)} holds rows of image {row['image_index']}, which is not in its shard "
                                 f"{shard}; measure the shard again in another folder.")
            lines.append((row["image_index"], place, begin, end))
            # a fault of the image or of the truth stands for all methods
            answers += 1 if "method" in row else len(whole["methods"])
    expected = whole["dataset"]["expressions"] * len(whole["methods"])
    if answers != expected:
        raise InputError(f"The shards hold {answers} answers, but the whole run has {expected}; start refdiff evaluate "
                         "on each of them again, which measures what is missing.")
    make_folder(out)
    with locked(out):
        check_header(out, whole, read_header)
        write_atomically(out / ROWS, lambda target: _copy(folders, sorted(lines), target))
        return write_report(out)


def _shard(folder: Path, header: dict[str, Any]) -> Shard:
    if header["shard"] is None:
        raise InputError(f"{shown(folder)} is not a shard: it was measured without --shard.")
    if not (folder / REPORT).exists():
        raise InputError(f"The shard {shown(folder)} is not finished; start refdiff evaluate on it again.")
    return Shard.parse(header["shard"])


def _check_complete(folders: Sequence[Path], shards: Sequence[Shard]) -> None:
    by_shard: dict[Shard, Path] = {}
    for folder, shard in zip(folders, shards, strict=True):
        if shard.count != shards[0].count:
            raise InputError(f"{shown(folders[0])} is shard {shards[0]} and {shown(folder)} is shard {shard}; all must "
                             "be of the same number of shards.")
        if shard in by_shard:
            raise InputError(f"{shown(by_shard[shard])} and {shown(folder)} are both shard {shard}; name one of them.")
        by_shard[shard] = folder
    everything = [Shard(number, shards[0].count) for number in range(1, shards[0].count + 1)]
    if missing := [str(shard) for shard in everything if shard not in by_shard]:
        raise InputError(f"Shard {', '.join(missing[:10])} is missing; name the folders of all {shards[0].count} "
                         "shards.")


def _copy(folders: Sequence[Path], lines: Sequence[tuple[int, int, int, int]], target: BinaryIO) -> None:
    with ExitStack() as stack:
        sources = [stack.enter_context(open_regular(folder / ROWS)) for folder in folders]
        for _, place, begin, end in lines:
            sources[place].seek(begin)
            target.write(sources[place].read(end - begin))
