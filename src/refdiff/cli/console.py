"""What every command says and how: complaints, tables, closed streams."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import RefDiffError

if TYPE_CHECKING:
    from ..evaluation.engine import Progress


def tell(sentence: str) -> None:
    """A sentence on standard error, or nowhere where that is closed or cannot be written."""
    if sys.stderr is not None:
        try:
            print(f"refdiff: {sentence}", file=sys.stderr, flush=True)
        except ValueError:
            pass
        except OSError:
            _drop_the_rest(2)


def show_progress(progress: Progress) -> None:
    """On standard error: one line that changes on a terminal, else a line now and then."""
    last = progress.done == progress.total
    if sys.stderr is None or not (sys.stderr.isatty() or last or progress.done % 50 == 0):
        return
    with contextlib.suppress(OSError, ValueError):
        print(f"{progress.done}/{progress.total} images, {progress.rate:.1f} expressions/s, "
              f"{progress.remaining / 60:.1f} min left ", end="\r" if sys.stderr.isatty() and not last else "\n",
              file=sys.stderr, flush=True)


def prepare() -> None:
    """Make printing safe: a character that the terminal lacks is escaped, and a closed stream's number is not taken by
    the next file that is opened."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def show(text: str) -> None:
    """Text on standard output. Raises RefDiffError where that is closed or cannot be written."""
    if sys.stdout is None:
        raise RefDiffError("Standard output is closed, so that the results cannot be shown.")
    with _written():
        print(text)


def finish() -> None:
    """Write out what was printed. Raises RefDiffError where that is not possible, BrokenPipeError where nobody reads
    it."""
    if sys.stdout is not None:
        with _written():
            sys.stdout.flush()


@contextlib.contextmanager
def _written() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _drop_the_rest(1)
        if isinstance(error, BrokenPipeError):
            raise
        raise RefDiffError(f"Standard output cannot be written: {error.strerror or error}.") from None


def _drop_the_rest(stream: int) -> None:
    """Let a stream that cannot be written lead nowhere: Python would try again at its end, and fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def table(rows: Sequence[Sequence[str]], most: int = 44) -> str:
    """Rows of text in columns; cells but those of the last column are cut to `most` characters."""
    widths = [min(most, max(len(row[i]) for row in rows)) for i in range(len(rows[0]) - 1)]
    return "\n".join("  ".join([*map(str.ljust, _cut(row[:-1], widths), widths), row[-1]]).rstrip() for row in rows)


def _cut(cells: Iterable[str], widths: Iterable[int]) -> list[str]:
    return [cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell, width in zip(cells, widths, strict=True)]
