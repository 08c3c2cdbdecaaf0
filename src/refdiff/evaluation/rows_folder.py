"""A folder that a command fills image by image: its header, its rows, and the lock that keeps it to one writer."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..core.files import open_regular, parse_json, read_json, shown, write_atomically
from ..datasets import Reference
from ..errors import InputError, RefDiffError

HEADER, ROWS, LOCK = "header.json", "rows.jsonl", ".lock"
_LONGEST_LINE = 64_000_000  # bytes; the RLE of the most ragged mask takes a few million

Row = dict[str, Any]
_ROW_SHAPE = {"image_index": int, "id": (int, str), "image": str, "expression": str}
_FAULT_SHAPE = _ROW_SHAPE | {"fault": str}


@dataclass(frozen=True)
class Kind:
    """What the rows of a folder are: faults, and what `is_answer` accepts. Each of `methods` answers every expression;
    where there are none, every expression has one answer, whose row names no method."""

    is_answer: Callable[[Row], bool]
    methods: Sequence[str] = ()

def fits(value: Any, shape: Any) -> bool:
    """Whether a value read from JSON has a shape: a type or several, [shape] for a list of such, or {key: shape} for an
    object with at least these keys."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(key in value and fits(value[key], each) for key, each in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(each, shape[0]) for each in value)
    return isinstance(value, shape) and not isinstance(value, bool)


# The lock


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a run to this call; the system frees it when the process ends, however it ends.

    Raises InputError, which says who holds it, where another call has it.
    """
    path = folder / LOCK
    try:
        file = _taken(path)
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be written to ({error.strerror or shown(error)}); name another "
                         "folder.") from None
    if file is None:
        raise InputError(f"{shown(folder)} is being written by {_holder(path)}; wait until that has finished, or name "
                         "another folder.")
    with file:
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "host": platform.node()}).encode())
        file.flush()
        yield


def _taken(path: Path) -> BinaryIO | None:
    """The lock, open and ours until it is closed; None where another has it."""
    try:
        import fcntl
    except ImportError:  # Windows, where a file that is open cannot be removed
        try:
            path.unlink(missing_ok=True)
            return path.open("xb")
        except (PermissionError, FileExistsError):
            return None
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:  # a file system without locks must do without
        pass
    return file


def _holder(path: Path) -> str:
    try:
        found = read_json(path)
    except InputError:
        found = None
    if fits(found, {"process": int, "host": str}):
        return f"process {found['process']} on {shown(found['host'])}"
    return "another process"


# The header


def check_header(folder: Path, wanted: dict[str, Any], read_header: Callable[[Path], dict[str, Any]]) -> None:
    """Write the header of a new run, or compare it with that of the one which is there, read by `read_header`.

    Raises InputError where they differ.
    """
    path = folder / HEADER
    wanted = json.loads(json.dumps(wanted))
    if not path.exists():
        if (folder / ROWS).exists():
            raise InputError(f"{shown(folder)} holds rows without a header; name another folder.")
        write_json(path, wanted)
        return
    differing = differences(wanted, read_header(folder))
    if differing:
        raise InputError(f"{shown(folder)} holds a run that differs in {', '.join(differing)}; name another folder for "
                         "this one.")


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """In what two headers differ that figures depend on: all but 'where' and 'labels'."""
    differing = sorted(key for key in wanted if key not in ("where", "labels") and wanted[key] != found.get(key))
    if "settings" in differing:
        names = [name for name, value in wanted["settings"].items() if found["settings"].get(name) != value]
        differing[differing.index("settings")] = f"settings ({', '.join(names)})"
    return differing


def write_json(path: Path, content: Any) -> None:
    """Replace a file by `content` as JSON. Raises RefDiffError when the disk refuses."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


# The rows


def placed_rows(folder: Path, kind: Kind) -> Iterator[tuple[int, int, Row]]:
    """The rows in the order they were written, those of the same image, expression and method once, each behind the
    offsets of its line's begin and end in the file.

    Raises InputError at the first line that is not a row.
    """
    path = folder / ROWS
    seen: set[tuple[int, str, str | None]] = set()
    with open_regular(path) as file:
        for number, (begin, line) in enumerate(_lines(file), 1):
            row = _row(line, kind)
            if row is None:
                raise InputError(f"Line {number} of {shown(path)} is not a row of this run; start the command that "
                                 "wrote it again, which does anew what is missing.")
            key = row["image_index"], str(row["id"]), row.get("method")
            if key not in seen:
                seen.add(key)
                yield begin, begin + len(line), row


def keep_whole_images(folder: Path, images: Sequence[Sequence[Reference]], kind: Kind) -> set[int]:
    """The indices of the images that are done; all else is dropped from the rows.

    A killed run leaves a part of its last image's rows; lines that are not rows, and images that are there twice, are
    dropped as well. Raises InputError when the rows cannot be read.
    """
    path = folder / ROWS
    done: set[int] = set()
    methods: Sequence[str | None] = kind.methods or (None,)
    if not path.exists():
        return done
    kept: list[tuple[int, int]] = []
    current: int | None = None
    begin = 0
    missing: set[tuple[str, str | None]] = set()
    with open_regular(path) as file:
        for start, line in _lines(file):
            row = _row(line, kind)
            if row is None or row["image_index"] >= len(images):
                current = None
                continue
            if row["image_index"] != current:
                current, begin = row["image_index"], start
                missing = {(str(each.id), method) for each in images[row["image_index"]] for method in methods}
            # a row that names no method stands for all: a fault of the image or of the truth
            missing -= {(str(row["id"]), method) for method in ([row["method"]] if "method" in row else methods)}
            if not missing:
                if row["image_index"] not in done:
                    done.add(row["image_index"])
                    kept.append((begin, start + len(line)))
                current = None
        size = file.seek(0, os.SEEK_END)
        if sum(end - begin for begin, end in kept) < size:
            write_atomically(path, _copied(file, kept))
    return done


def _copied(source: BinaryIO, ranges: Sequence[tuple[int, int]]) -> Callable[[BinaryIO], None]:
    def write(target: BinaryIO) -> None:
        for begin, end in ranges:
            source.seek(begin)
            target.write(source.read(end - begin))

    return write


@contextmanager
def appended_rows(folder: Path) -> Iterator[Callable[[list[Row]], None]]:
    """What writes rows behind those that are there, so that they are on the disk when it returns.

    Raises RefDiffError when the disk refuses.
    """
    path = folder / ROWS
    try:
        file = path.open("ab")
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be written ({error.strerror}).") from None

    def append(rows: list[Row]) -> None:
        try:
            file.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise RefDiffError(f"{shown(path)} could not be written ({error.strerror}); what is done is kept: make "
                               "room and start again.") from None

    with file:
        yield append


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of every line, those that are too long for a row in parts."""
    offset = 0
    while line := file.readline(_LONGEST_LINE):
        yield offset, line
        offset += len(line)


def _row(line: bytes, kind: Kind) -> Row | None:
    """The row that a whole line holds, or None."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = parse_json(line)
    except ValueError:
        return None
    if not fits(row, _ROW_SHAPE) or row["image_index"] < 0 or ("method" in row and row["method"] not in kind.methods):
        return None
    found: Row = row
    return found if fits(row, _FAULT_SHAPE) or ("fault" not in row and kind.is_answer(found)) else None
