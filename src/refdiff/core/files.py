"""Files read within bounds and written whole: JSON, JSON lines, and atomic replacement."""

from __future__ import annotations

import codecs
import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InputError, RefDiffError

MAX_BYTES = 1 << 30  # of a file that is read whole; the largest of known datasets, PhraseCut's, stay below it
MAX_DEPTH = 64  # of lists and objects inside each other; far below what would exhaust the interpreter's stack


def shown(name: object) -> str:
    """`name` as text that any terminal can print: surrogates escaped, a long middle left out."""
    text = str(name).encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= 200 else f"{text[:120]}...{text[-60:]}"


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """A regular file opened for reading, in bytes; a pipe or device is refused without waiting for it.

    Raises InputError when there is no such file or it cannot be opened.
    """
    name = shown(path)
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (the caller closes it; Path has no opener)
    except FileNotFoundError:
        raise InputError(f"There is no file {name}; check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{name} is a folder, not a file.") from None
    except PermissionError:
        if Path(path).is_dir():  # how Windows refuses a folder
            raise InputError(f"{name} is a folder, not a file.") from None
        raise InputError(f"{name} cannot be read; check its permissions.") from None
    except (OSError, ValueError) as error:  # a name that is too long, or not one at all
        raise InputError(f"{name} cannot be opened ({_reason(error)}).") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"{name} is not a regular file.")
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or shown(error) or type(error).__name__


def read_bytes(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises InputError otherwise."""
    with open_regular(path) as file:
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise InputError(f"{shown(path)} cannot be read ({_reason(error)}).") from None
    if len(content) > limit:
        raise InputError(f"{shown(path)} is larger than {limit / 1e6:.0f} MB, the most that is read.")
    return content


def check_nesting(content: Any, containers: int | None = None) -> None:
    """Raises ValueError when lists, tuples and dicts stand inside each other more than MAX_DEPTH deep.

    With `containers`, also when there are more of them than that, each counted as often as it occurs: a value that is
    shared could otherwise stand for exponentially many.
    """
    level, count = [content], 0
    for _ in range(MAX_DEPTH + 1):
        count += len(level)
        if containers is not None and count > containers:
            raise ValueError("its parts are repeated too often")
        level = [part for each in level if isinstance(each, (list, tuple, dict))
                 for part in (each.values() if isinstance(each, dict) else each) if type(part) in (list, tuple, dict)]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; a text that can be no path names none."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a null character
        return False


class _NotFinite(ValueError):
    pass


def _refused(constant: str) -> Any:
    raise _NotFinite(constant)


def parse_json(text: bytes, finite: bool = False) -> Any:
    """JSON in UTF-8, with or without a byte-order mark. Raises ValueError, also for deep nesting and, where all numbers
    must be `finite`, for NaN and Infinity, which Python writes though JSON has none."""
    try:
        content = json.loads(text.removeprefix(codecs.BOM_UTF8).decode("utf-8"),
                             parse_constant=_refused if finite else None)
    except RecursionError:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"at line {error.lineno}, column {error.colno}" if text.strip() else "it is empty") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except _NotFinite as error:
        raise ValueError(f"it holds {error}, which JSON does not allow") from None
    except ValueError:  # of int
        raise ValueError("a number has thousands of digits") from None
    check_nesting(content)
    return content


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file, with or without a byte-order mark.

    Raises InputError when it cannot be read, is larger than 1 GiB, or is nested more than 64 deep.
    """
    try:
        return parse_json(read_bytes(path))
    except ValueError as error:
        raise InputError(f"{shown(path)} is not a valid JSON file ({shown(error)}).") from None


def read_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, content) of every line of a file that is not blank.

    Lines end at a line feed alone, so that strings may hold U+2028 and U+0085. Raises InputError when the file cannot
    be read.
    """
    for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
        text = line.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else line.strip()
        if text:
            yield number, text


def read_json_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """(line number from 1, value) of every line of a JSON Lines file that is not blank.

    Raises InputError when the file cannot be read, and at the first line that is not valid JSON.
    """
    for number, text in read_lines(path):
        try:
            yield number, parse_json(text)
        except ValueError as error:
            raise InputError(f"Line {number} of {shown(path)} is not valid JSON ({shown(error)}).") from None


def make_folder(folder: Path) -> None:
    """Make a folder unless it exists. Raises InputError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{shown(folder)} is not a folder and cannot become one ({_reason(error)}); name another "
                         "one.") from None


def make_new_folder(folder: Path) -> None:
    """Make a folder, which may exist if it is empty. Raises InputError otherwise."""
    make_folder(folder)
    try:
        empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be read ({_reason(error)}); name another folder.") from None
    if not empty:
        raise InputError(f"{shown(folder)} is not empty; name another folder, or remove what is in it.")


def named_after(image: str, expression: str) -> str:
    """A name for a file about an image and an expression, without a suffix: of letters and digits of the expression,
    and short enough for any file system. Several may get the same."""
    words = _short(re.sub(r"[\W_]+", "-", expression.lower()).strip("-"), 60) or "expression"
    return f"{_short(Path(image).stem, 120)}.{words}"


def _short(text: str, most: int) -> str:
    """The beginning of the text, at most so many bytes of UTF-8: file names are limited."""
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def write_atomically(path: str | os.PathLike[str], content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file beside `path`, then put it in its place: a reader sees the old content or the new, never a part.

    `content` is bytes, or a function that writes to the open file. Raises InputError when the folder does not exist or
    may not be written to, and RefDiffError when writing fails, for example on a full disk; `path` is then unchanged.
    """
    name = shown(path)
    try:
        target = Path(os.path.realpath(path))  # through a symbolic link, which stays one
        usable = target.is_file() or not target.exists()
    except (OSError, ValueError, TypeError) as error:  # a name that is too long, or not one at all
        raise InputError(f"{name} cannot be written ({_reason(error)}).") from None
    if not usable:
        raise InputError(f"{name} is not a regular file; name another file to write.")
    beside = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with beside.open("xb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
        beside.replace(target)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{name} cannot be written: its folder does not exist.") from None
    except PermissionError:
        raise InputError(f"{name} cannot be written; check the permissions of its folder.") from None
    except OSError as error:
        raise RefDiffError(f"{name} could not be written ({_reason(error)}); an older file is unchanged.") from None
    finally:
        with suppress(OSError):
            beside.unlink()
