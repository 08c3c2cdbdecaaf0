"""Pickles of plain data, read by an interpreter of their own that can build nothing else and in bounded time.

Python's unpickler, even one that refuses every class, can be made to fill the memory or overflow the stack with a few
bytes; here a pickle costs time and memory in proportion to its size.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.files import check_nesting, read_bytes, shown
from ..errors import InputError

_MAX_BYTES = 1 << 28
_MAX_CONTAINERS = 10_000_000  # RefCOCO's files hold under a million
_SHARING = 4  # how often, on average, a list or dict may occur: more is a bomb
_LARGEST_KEY = 1 << 60  # of numbers as keys: beyond it many can be made to have the same hash


def load_plain_pickle(path: str | Path) -> Any:
    """The content of an untrusted pickle of any protocol.

    Raises InputError unless it holds lists, tuples, dicts (with strings or numbers as keys), strings, bytes and
    numbers only, nested at most 64 deep, in a file of at most 268 MB.
    """
    reader = _Reader(read_bytes(path, _MAX_BYTES))
    try:
        content = reader.read()
        check_nesting(content, _SHARING * reader.containers + 1)
        return content
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise InputError(f"{shown(path)} is not a pickle of plain data ({shown(error)}); refdiff reads no "
                         "other.") from None


class _Mark:
    """Where on the stack the parts of a container begin."""


class _Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.containers = 0

    def read(self) -> Any:
        while True:
            code = self.data[self.at : self.at + 1]
            self.at += 1
            if code == b".":
                if len(self.stack) != 1 or self.stack[0] is _Mark:
                    raise ValueError("it does not end with one value")
                return self.stack[0]
            handler = _HANDLERS.get(code)
            if handler is None:
                what = "a class or function" if code in _CALLS else f"opcode {code!r}"
                raise ValueError(f"it asks for {what}" if code else "it ends too early")
            handler(self)

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if count < 0 or len(part) != count:
            raise ValueError("it ends too early")
        self.at += count
        return part

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self, form: str) -> int:
        value: int = struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]
        return value

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise ValueError("it ends too early")
        line = self.data[self.at : end]
        self.at = end + 1
        return line

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def build(self, container: Any) -> None:
        self.containers += 1
        if self.containers > _MAX_CONTAINERS:
            raise ValueError("it holds too many lists")
        self.stack.append(container)

    def parts(self) -> list[Any]:
        """What stands above the last mark; both are taken off the stack."""
        at = len(self.stack) - 1
        while self.stack[at] is not _Mark:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        parts = self.stack[at + 1 :]
        del self.stack[at:]
        return parts

    def append(self, parts: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError("it appends to what is not a list")
        target.extend(parts)

    def set_items(self, parts: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(parts) % 2:
            raise TypeError("it sets items of what is not a dict")
        if not all(map(_is_key, parts[::2])):
            raise TypeError("a key is neither a string nor a number")
        target.update(zip(parts[::2], parts[1::2], strict=True))

    def build_dict(self) -> None:
        parts = self.parts()
        self.build({})
        self.set_items(parts)

    def last(self, count: int) -> list[Any]:
        parts = self.stack[-count:]
        if len(parts) != count or _Mark in parts:
            raise ValueError("its stack is too short")
        del self.stack[-count:]
        return parts

    def remember(self, index: int) -> None:
        if self.stack[-1] is _Mark:
            raise ValueError("it keeps a mark")
        self.memo[index] = self.stack[-1]


def _is_key(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return not abs(value) > _LARGEST_KEY
    return value is None or isinstance(value, (str, bytes))


def _string(value: bytes) -> str:
    """A string of Python 2, which does not say its encoding."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _quoted(line: bytes) -> str:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b'"', b"'"):
        raise ValueError("a string has no quotes")
    return _string(codecs.escape_decode(line[1:-1])[0])


def _integer(line: bytes) -> int | bool:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line.rstrip(b"L"))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


_CALLS = b"c i o R b \x81 \x82 \x83 \x84 \x92 \x93 P Q".split()
_HANDLERS: dict[bytes, Callable[[_Reader], object]] = {
    b"\x80": lambda reader: reader.take(1),  # protocol
    b"\x95": lambda reader: reader.take(8),  # frame
    b"(": lambda reader: reader.push(_Mark),
    b"N": lambda reader: reader.push(None),
    b"\x88": lambda reader: reader.push(True),
    b"\x89": lambda reader: reader.push(False),
    b"I": lambda reader: reader.push(_integer(reader.line())),
    b"L": lambda reader: reader.push(_integer(reader.line())),
    b"J": lambda reader: reader.push(reader.number("i")),
    b"K": lambda reader: reader.push(reader.byte()),
    b"M": lambda reader: reader.push(reader.number("H")),
    b"\x8a": lambda reader: reader.push(int.from_bytes(reader.take(reader.byte()), "little", signed=True)),
    b"F": lambda reader: reader.push(float(reader.line())),
    b"G": lambda reader: reader.push(struct.unpack(">d", reader.take(8))[0]),
    b"S": lambda reader: reader.push(_quoted(reader.line())),
    b"T": lambda reader: reader.push(_string(reader.take(reader.number("i")))),
    b"U": lambda reader: reader.push(_string(reader.take(reader.byte()))),
    b"V": lambda reader: reader.push(reader.line().decode("raw-unicode-escape")),
    b"X": lambda reader: reader.push(_text(reader.take(reader.number("I")))),
    b"\x8c": lambda reader: reader.push(_text(reader.take(reader.byte()))),
    b"\x8d": lambda reader: reader.push(_text(reader.take(reader.number("Q")))),
    b"B": lambda reader: reader.push(reader.take(reader.number("I"))),
    b"C": lambda reader: reader.push(reader.take(reader.byte())),
    b"\x8e": lambda reader: reader.push(reader.take(reader.number("Q"))),
    b"]": lambda reader: reader.build([]),
    b"}": lambda reader: reader.build({}),
    b")": lambda reader: reader.build(()),
    b"\x85": lambda reader: reader.build(tuple(reader.last(1))),
    b"\x86": lambda reader: reader.build(tuple(reader.last(2))),
    b"\x87": lambda reader: reader.build(tuple(reader.last(3))),
    b"t": lambda reader: reader.build(tuple(reader.parts())),
    b"l": lambda reader: reader.build(reader.parts()),
    b"d": _Reader.build_dict,
    b"a": lambda reader: reader.append(reader.last(1)),
    b"e": lambda reader: reader.append(reader.parts()),
    b"s": lambda reader: reader.set_items(reader.last(2)),
    b"u": lambda reader: reader.set_items(reader.parts()),
    b"p": lambda reader: reader.remember(int(reader.line())),
    b"q": lambda reader: reader.remember(reader.byte()),
    b"r": lambda reader: reader.remember(reader.number("I")),
    b"\x94": lambda reader: reader.remember(len(reader.memo)),
    b"g": lambda reader: reader.push(reader.memo[int(reader.line())]),
    b"h": lambda reader: reader.push(reader.memo[reader.byte()]),
    b"j": lambda reader: reader.push(reader.memo[reader.number("I")]),
}
