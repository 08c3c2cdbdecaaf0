"""What the inputs are made of: texts, JSON, damaged bytes, images, masks; and `Case`, an input itself."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

Rng = np.random.Generator


@dataclass(frozen=True)
class Case:
    """`run` is called once. `right` says whether its result is; None where `refused` tells all: True, it must raise a
    RefDiffError; False, it may do either."""

    run: Callable[[], Any]
    right: Callable[[Any], bool] | None = None
    refused: bool = False


def either(run: Callable[[], Any]) -> Case:
    return Case(run)


def must_refuse(run: Callable[[], Any]) -> Case:
    return Case(run, refused=True)


def pick(rng: Rng, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def text(rng: Rng, longest: int = 40) -> str:
    """Letters, signs, controls, emoji and lone surrogates."""
    ranges = ((32, 127), (97, 123), (0, 32), (160, 0x250), (0x2000, 0x2070), (0x4E00, 0x4E80), (0x1F400, 0x1F440),
              (0xD800, 0xE000), (0x85, 0x86), (0x300, 0x370))
    used = [ranges[i] for i in rng.choice(len(ranges), 3, p=[0.3, 0.3, *[0.05] * 8])]
    return "".join(chr(rng.integers(*pick(rng, used))) for _ in range(rng.integers(longest)))


def junk(rng: Rng, depth: int = 3) -> Any:
    """Any JSON value, with the numbers and texts that break things."""
    kind = rng.integers(9 if depth else 6)
    if kind == 0:
        return pick(rng, (None, True, False))
    if kind == 1:
        return int(rng.integers(-3, 100))
    if kind == 2:
        return pick(rng, (0, -1, 1, 2**31, 2**53, 2**61 - 1, 2**64, -(2**63), 10**300, 1e9, 1e300, -1e300, math.inf,
                          -math.inf, math.nan, 0.5, 1e-300, 10_000, 100_000_000))
    if kind == 3:
        return text(rng)
    if kind == 4:
        return pick(rng, ("", "a", "x" * 300, "../a", "/etc/passwd", "a\0b", "1", "NaN", "\ud800", "P" * 5000))
    if kind == 5:
        return float(rng.normal() * 10 ** rng.integers(0, 6))
    if kind == 6:
        return {text(rng, 6): junk(rng, depth - 1) for _ in range(rng.integers(4))}
    if kind == 7 and rng.random() < 0.05:
        value: Any = 1
        for _ in range(int(rng.integers(1, 200))):
            value = [value] if rng.random() < 0.5 else {"a": value}
        return value
    return [junk(rng, depth - 1) for _ in range(rng.integers(5))]


def changed(rng: Rng, data: bytes) -> bytes:
    """Bytes set, cut out, doubled or appended at random places."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        if not found:
            break
        at, action = int(rng.integers(len(found))), rng.integers(5)
        if action == 0:
            found[at] = rng.integers(256)
        elif action == 1:
            found[at : at + 4] = pick(rng, (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"))
        elif action == 2:
            del found[at : at + int(rng.integers(1, 60))]
        elif action == 3:
            found[at:at] = found[at : at + int(rng.integers(1, 60))]
        else:
            del found[at:]
    return bytes(found)


def pixels(rng: Rng, smallest: int = 8, largest: int = 60) -> np.ndarray:
    height, width = (int(rng.integers(smallest, largest)) for _ in range(2))
    height, width = max(height, -(-width // 20)), max(width, -(-height // 20))
    image = np.zeros((height, width, 3), np.uint8)
    for channel in range(3):
        image[..., channel] = np.linspace(rng.integers(256), rng.integers(256), width)[None]
    return image if rng.random() < 0.5 else rng.integers(0, 256, image.shape).astype(np.uint8)


def blob(rng: Rng, size: tuple[int, int] | None = None) -> np.ndarray:
    height, width = size or (int(rng.integers(8, 60)), int(rng.integers(8, 60)))
    y, x = np.mgrid[:height, :width]
    mask = np.hypot((y - rng.integers(height)) * rng.uniform(0.5, 2), x - rng.integers(width)) < rng.uniform(2, 40)
    mask |= rng.random((height, width)) < rng.choice([0, 0, 0.05])
    mask[int(rng.integers(height)), int(rng.integers(width))] = True
    return mask


def same(expected: np.ndarray) -> Callable[[Any], bool]:
    def right(found: Any) -> bool:
        return isinstance(found, np.ndarray) and found.dtype == expected.dtype and np.array_equal(found, expected)

    return right


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
