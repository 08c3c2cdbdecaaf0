"""Bodies of requests, read and parsed within bounds: of bytes, of time, of parts, and of all bodies together.

A body is read into memory up to its limit, counted against what all bodies may take, and parsed off the event loop, one
at a time: parsing can take several times the memory of what is parsed.
"""

from __future__ import annotations

import asyncio
import binascii
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..core.decoding import check_size, stated_size
from ..core.files import parse_json
from .errors import Problem, busy, told
from .limits import Limits

Asked = TypeVar("Asked", bound=BaseModel)

_SMALL = 1_000_000  # bytes of a body without an image
_MOST_VALUES = 20_000  # commas and brackets of a JSON body; each value takes many times its own length once parsed
_OPTIONS_BYTES = 20_000


class Uploads:
    """Reads bodies for one server."""

    def __init__(self, limits: Limits):
        self.limits, self.held = limits, 0
        self._parsing = asyncio.Semaphore(1)

    async def json(self, request: Request, model: type[Asked]) -> Asked:
        """A small JSON body as what `model` says. Raises Problem."""
        _expect(request, "application/json")
        with Account(self) as account:
            body = await self._read(request, min(_SMALL, self.limits.body_bytes), account)
            return await self._off_the_loop(lambda: _validated(model, _values(body)))

    async def image(self, request: Request, model: type[Asked], account: Account) -> tuple[bytes, Asked]:
        """An image file, and the rest of the body, multipart or JSON, as `model` says, its `image` empty; the file
        stays on `account`. Raises Problem."""
        kind = _expect(request, "multipart/form-data", "application/json")
        body = await self._read(request, self.limits.body_bytes, account)
        read = _from_json if kind == "application/json" else _from_multipart
        header = request.headers.get("content-type", "")
        content, asked = await self._off_the_loop(lambda: read(bytes(body), header, model, self.limits))
        account.shrink(len(content))
        return content, asked

    async def _off_the_loop(self, work: Callable[[], Any]) -> Any:
        async with self._parsing:
            return await asyncio.to_thread(work)

    async def _read(self, request: Request, most: int, account: Account) -> bytearray:
        """The whole body. Raises Problem when it is too large, or has not arrived in time."""
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > most:
            raise _too_large(most)
        body = bytearray()
        until = time.monotonic() + self.limits.upload_seconds
        chunks = request.stream()
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks, None), until - time.monotonic())
            except asyncio.TimeoutError:
                raise Problem(408, f"The body did not arrive within {self.limits.upload_seconds:g} seconds; send it "
                                   "again.", {"Connection": "close"}) from None
            if chunk is None:
                return body
            if len(body) + len(chunk) > most:
                raise _too_large(most)
            account.grow(len(chunk))
            body += chunk


@dataclass
class Account:
    """The bytes that one request holds, given back when it is done."""

    uploads: Uploads
    bytes: int = field(default=0, init=False)

    def grow(self, more: int) -> None:
        """Raises Problem where all requests together would hold too much."""
        if self.uploads.held + more > self.uploads.limits.uploads_bytes:
            raise busy(503, "Too many uploads at once; try again later.", self.uploads.limits.upload_seconds / 4)
        self.uploads.held += more
        self.bytes += more

    def shrink(self, left: int) -> None:
        """Give back all but `left`."""
        self.uploads.held -= self.bytes - left
        self.bytes = left

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *error: object) -> None:
        self.shrink(0)


def _too_large(most: int) -> Problem:
    return Problem(413, f"The body is larger than {most / 1e6:g} MB, the most that is taken.", {"Connection": "close"})


def _expect(request: Request, *kinds: str) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds:
        raise Problem(415, f"The header Content-Type must be {' or '.join(kinds)}.")
    return kind


def _values(body: bytes | bytearray) -> Any:
    """What a JSON body holds. Raises Problem."""
    if sum(map(body.count, b",[{")) > _MOST_VALUES:
        raise Problem(422, f"The body holds more than {_MOST_VALUES} values, far more than a request can need.")
    try:
        return parse_json(bytes(body), finite=True)
    except ValueError as error:
        raise Problem(400, f"The body is not valid JSON ({error}).") from None


def _validated(model: type[Asked], values: Any) -> Asked:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise Problem(422, told(error.errors(include_url=False, include_input=False))) from None


def _from_json(body: bytes, header: str, model: type[Asked], limits: Limits) -> tuple[bytes, Asked]:
    asked = _validated(model, _values(body))
    text: str = asked.image  # type: ignore[attr-defined]
    try:
        content = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(422, "The field image is not valid base64; encode the file without line breaks.") from None
    return _measured(content, limits), asked.model_copy(update={"image": ""})


def _from_multipart(body: bytes, header: str, model: type[Asked], limits: Limits) -> tuple[bytes, Asked]:
    parts = _Parts(limits).parse(body, header)
    if "image" not in parts:
        raise Problem(422, "There is no part named image; send the image's file as one.")
    values: dict[str, Any] = {"image": "", "options": _values(parts["options"][0]) if "options" in parts else {}}
    if "expressions" in model.model_fields:
        values["expressions"] = [_text(each) for each in parts.get("expression", [])]
    elif "expression" in parts:
        raise Problem(422, "An image is kept without expressions; ask for them at /v1/images/{id}/segment.")
    return _measured(bytes(parts["image"][0]), limits), _validated(model, values)


def _text(value: bytearray) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(422, "An expression is not UTF-8.") from None


def _measured(content: bytes, limits: Limits) -> bytes:
    """An image file that is not too large, as its header states."""
    width, height = stated_size(content)
    if width * height > limits.megapixels * 1e6:
        raise Problem(413, f"The image is {width}x{height}, over the {limits.megapixels:g} megapixels that are taken; "
                           "make it smaller.")
    check_size(width, height, "The image")
    return content


class _Parts:
    """The parts of a multipart body by name, none larger or more of them than can be meant."""

    def __init__(self, limits: Limits):
        self.found: dict[str, list[bytearray]] = {}
        self._most = {"image": (1, limits.body_bytes), "options": (1, _OPTIONS_BYTES),
                      # in bytes: UTF-8, and spaces
                      "expression": (limits.expressions_per_request, 4 * limits.characters + 1000)}
        self._header = {"name": bytearray(), "value": bytearray()}
        self._disposition = b""
        self._name, self._ended = "", False

    def parse(self, body: bytes, header: str) -> dict[str, list[bytearray]]:
        """Raises Problem."""
        boundary = parse_options_header(header)[1].get(b"boundary")
        if not boundary:
            raise Problem(400, "The header Content-Type names no boundary.")
        try:
            parser = MultipartParser(boundary, {
                "on_part_begin": self._begin, "on_header_field": self._field, "on_header_value": self._value,
                "on_header_end": self._header_end, "on_headers_finished": self._named, "on_part_data": self._data,
                "on_end": self._end})
            parser.write(body)
            parser.finalize()
        except FormParserError:
            raise Problem(400, "The body is not valid multipart/form-data.") from None
        if not self._ended:
            raise Problem(400, "The multipart body is incomplete; its last boundary is missing.")
        return self.found

    def _begin(self) -> None:
        self._disposition = b""

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header["name"] += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header["value"] += data[start:end]

    def _header_end(self) -> None:
        if self._header["name"].lower() == b"content-disposition":
            self._disposition = bytes(self._header["value"])
        self._header = {"name": bytearray(), "value": bytearray()}

    def _named(self) -> None:
        self._name = parse_options_header(self._disposition)[1].get(b"name", b"").decode("utf-8", "replace")
        if self._name not in self._most:
            raise Problem(422, "A part must be named image, expression or options.")
        parts = self.found.setdefault(self._name, [])
        if len(parts) == self._most[self._name][0]:
            raise Problem(422, f"The body has too many parts named {self._name}; at most {len(parts)} are taken.")
        parts.append(bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self.found[self._name][-1]
        if len(part) + end - start > self._most[self._name][1]:
            raise Problem(422, f"A part named {self._name} is longer than can be meant.")
        part += data[start:end]

    def _end(self) -> None:
        self._ended = True
