"""A file of JSON lines that is only appended to, each line at a place by which it can be read back."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.files import parse_json, shown
from ..errors import InputError, RefDiffError


class Journal:
    """The lines of a file, which is made if it is not there; threads may share it.

    What a killed process left of its last line is taken away; `damaged` is how many other lines are not JSON. Raises
    InputError when the file cannot be opened.
    """

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()
        self.damaged = 0
        try:
            self._writer = path.open("ab", buffering=0)  # nothing that was refused may be written later
            self._reader = path.open("rb")
            self._end = self._whole()
        except OSError as error:
            raise InputError(f"{shown(path)} cannot be written ({error.strerror or error}).") from None

    def _whole(self) -> int:
        """Cut off what follows the last line feed; gives the size."""
        self._reader.seek(0)
        size = sum(len(line) for line in self._reader if line.endswith(b"\n"))
        self._writer.truncate(size)
        return size

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """(place, value) of every line, None for what is not JSON."""
        place = 0
        while place < self._end:
            line = self._line(place)
            value = _value(line)
            self.damaged += value is None
            yield place, value
            place += len(line)

    def read(self, place: int) -> Any:
        """The value of the line at a place."""
        return _value(self._line(place))

    def append(self, value: Any, durable: bool) -> int:
        """Write a line behind the others; gives its place. `durable`: it is on the disk when this returns.

        Raises RefDiffError when the disk refuses.
        """
        line = json.dumps(value).encode() + b"\n"
        with self._lock:
            place = self._end
            try:
                if self._writer.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if durable:
                    os.fsync(self._writer.fileno())
            except OSError as error:
                with suppress(OSError):
                    self._writer.truncate(place)
                raise RefDiffError(f"{shown(self._path)} could not be written ({error.strerror}); make room and "
                                   "decide again.") from None
            self._end += len(line)
            return place

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    def _line(self, place: int) -> bytes:
        with self._lock:
            self._reader.seek(place)
            return self._reader.readline()


def _value(line: bytes) -> Any:
    try:
        return parse_json(line)
    except ValueError:
        return None
