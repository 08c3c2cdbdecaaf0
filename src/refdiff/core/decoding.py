"""Image files and PIL images, decoded within bounds: of size, of shape, and of what a broken file may do."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from PIL import Image

from ..errors import InputError
from .files import MAX_BYTES, open_regular, shown

MAX_PIXELS = 100_000_000
MIN_SIDE = 8
# The models see a square of the longer side, and CLIP a strip whose shorter side is fixed, so that the cost grows with
# the square of the aspect ratio: with mini 16:1 takes 1.5 times as long as 3:2, 32:1 4 times and 62:1 14 times.
MAX_ASPECT = 20
# `letterbox` takes at most 10 s at this side, for a tall image.
MAX_SIDE = 30_000

Read = TypeVar("Read")

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_UPRIGHT = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90}


def open_image(source: Any) -> Image.Image:
    """A path, bytes, open file or PIL image as a PIL image in its own mode: checked, decoded and upright.

    Raises InputError for anything else, and for what `load_image` refuses.
    """
    name = source_name(source)
    if isinstance(source, Image.Image):
        return _decoded(lambda: source, name)
    if isinstance(source, (str, os.PathLike)):
        with open_regular(source) as file:
            return _decoded(lambda: _opened(file, name), name)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decoded(lambda: _opened(io.BytesIO(source), name), name)
    if callable(getattr(source, "read", None)):
        content = _content(source, name)
        return _decoded(lambda: _opened(io.BytesIO(content), name), name)
    raise InputError(f"An image must be a path, a PIL image, an array, a tensor, bytes or an open file, not "
                     f"{type(source).__name__}.")


def stated_size(content: bytes) -> tuple[int, int]:
    """(width, height) in px that the header of an image file states, of which nothing is decoded.

    Raises InputError where it is not an image.
    """
    return _guarded(lambda: _opened(io.BytesIO(content), "The image").size, "The image")


def check_size(width: int, height: int, name: str) -> None:
    """Raises InputError, naming the image, unless its sides in px are within the bounds above."""
    if width * height > MAX_PIXELS:
        raise InputError(f"{name} is {width}x{height}, over {MAX_PIXELS // 10**6} megapixels; make it smaller first.")
    short, long = sorted((width, height))
    if short < MIN_SIDE:
        raise InputError(f"{name} is {width}x{height}; each side must have at least {MIN_SIDE} pixels.")
    if long > MAX_SIDE:
        raise InputError(f"{name} is {width}x{height}; a side may have at most {MAX_SIDE} pixels.")
    if long > MAX_ASPECT * short:
        raise InputError(f"{name} is {width}x{height}; the longer side may be at most {MAX_ASPECT} times the shorter: "
                         "cut it into parts.")


def source_name(source: Any) -> str:
    """What messages call an image."""
    return shown(source) if isinstance(source, (str, os.PathLike)) else "The image"


def _content(file: Any, name: str) -> bytes:
    """All of an open file, from its start where it can be rewound, as Pillow reads one."""
    try:
        if file.seekable():
            file.seek(0)
        content = file.read(MAX_BYTES + 1)
    except Exception as error:  # a closed file, or an object whose reading can fail in ways of its own
        raise InputError(f"{name} cannot be read from this file ({shown(error)}).") from None
    if not isinstance(content, (bytes, bytearray)):
        raise InputError(f"{name} cannot be read from a text file; open it with mode 'rb'.")
    if len(content) > MAX_BYTES:
        raise InputError(f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB, the most that is read.")
    return bytes(content)


def _opened(file: BinaryIO, name: str) -> Image.Image:
    """What Image.open does, but for its warning of large images, which only a filter for the whole process could
    silence: `check_size` refuses those instead."""
    head = file.read(32)
    factory: Callable[[BinaryIO, str], Image.Image] | None = None
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in head:
        factory = _heif(name)
    else:
        Image.init()
        for kind in _FORMATS:
            make, accepts = Image.OPEN.get(kind, (None, None))
            if make is not None and accepts is not None and accepts(head[:16]) is True:
                factory = make
                break
    if factory is None:
        if b"ftypavi" in head:
            raise InputError(f"{name} is an AVIF image, which this Pillow cannot read; install Pillow 11.3 or later.")
        raise InputError(f"{name} is not an image refdiff can read; use PNG, JPEG, WebP, BMP, TIFF, GIF, AVIF or HEIC.")
    file.seek(0)
    return factory(file, "")


def _heif(name: str) -> Callable[[BinaryIO, str], Image.Image]:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise InputError(f"{name} is a HEIC image; install what reads them with pip install 'refdiff[heif]'.") from None
    factory: Callable[[BinaryIO, str], Image.Image] = HeifImageFile
    return factory


def _decoded(opened: Callable[[], Image.Image], name: str) -> Image.Image:
    def decode() -> Image.Image:
        image = opened()
        check_size(*image.size, name)
        image.load()
        turn = _orientation(image)
        return image if turn is None else image.transpose(turn)

    return _guarded(decode, name)


def _guarded(read: Callable[[], Read], name: str) -> Read:
    try:
        return read()
    except InputError:
        raise
    except Exception:  # Pillow's readers raise errors of many types on broken files and closed images
        raise InputError(f"{name} is broken or incomplete; save it again.") from None


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """How to turn the image upright by its EXIF orientation; None where that is missing or damaged."""
    try:
        return _UPRIGHT.get(image.getexif()[0x0112])
    except Exception:  # none there, or a damaged block, which can raise anything
        return None
