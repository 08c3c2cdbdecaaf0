"""Image files, objects given as images, and mask files."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image

from .values import Case, Rng, blob, changed, either, must_refuse, pick, pixels, same, saved


def image_file(rng: Rng, folder: Path) -> Case:
    from refdiff.core.images import load_image

    image = pixels(rng)
    grey, opaque = np.repeat(image[..., :1], 3, -1), np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    kind, sent, expected = pick(rng, (("PNG", image, image), ("BMP", image, image), ("TIFF", image, image),
                                      ("PNG", image[..., 0], grey), ("PNG", opaque, image), ("GIF", grey[..., 0], grey),
                                      ("JPEG", image, None), ("WEBP", image, None), ("AVIF", image, None),
                                      ("PNG", image[..., 0].astype(np.uint16) * 257, None)))
    data, path = saved(Image.fromarray(sent), kind), folder / f"image.{kind.lower()}"
    action = rng.integers(10)
    if action < 3:
        path.write_bytes(data)
        source = pick(rng, (path, str(path), data, bytearray(data), io.BytesIO(data)))
        return Case(lambda: load_image(source), same(expected)) if expected is not None else Case(
            lambda: load_image(source), lambda found: found.shape == image.shape and found.dtype == np.uint8)
    if action < 4:
        return must_refuse(lambda: load_image(pick(rng, (folder, folder / "absent", folder / ("x" * 300), "", "a\0b",
                                                         "\ud800", "/dev/zero"))))
    if action < 5:
        width, height = pick(rng, ((8, 500), (12_000, 8), (30_000, 8), (40_000, 3000), (20_000, 20_000), (7, 9), (1, 1),
                                   (65_000, 65_000)))
        claimed = saved(Image.new("1", (8, 8)), "PNG")
        return must_refuse(lambda: load_image(
            claimed[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + claimed[24:]))
    if action < 6:
        exif = b"Exif\0\0" + changed(rng, b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0")
        damaged = saved(Image.fromarray(image), "JPEG", exif=exif)
        return Case(lambda: load_image(damaged), lambda found: sorted(found.shape) == sorted(image.shape))
    broken = changed(rng, data) if action < 9 else rng.bytes(int(rng.integers(200)))
    return either(lambda: load_image(broken))


def image_object(rng: Rng, folder: Path) -> Case:
    import torch

    from refdiff.core.images import load_image

    image, action = pixels(rng), rng.integers(8)
    if action < 3:
        tensor = torch.from_numpy(image.copy())
        source = pick(rng, (image, image / 255, image.astype(np.uint16) * 257, np.asfortranarray(image),
                            np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]), Image.fromarray(image), tensor,
                            tensor.permute(2, 0, 1), tensor.permute(2, 0, 1).float() / 255))
        deep = isinstance(source, np.ndarray) and source.dtype == np.uint16 and image.max() < 64  # taken for 14 bits
        return Case(lambda: load_image(source), (lambda found: found.shape == image.shape) if deep else same(image))
    if action < 4:
        wrong = pick(rng, (None, 5, 1.5, [1], {}, object(), (), set(), np.float64(3), Image, "", b"", io.StringIO("a")))
        return must_refuse(lambda: load_image(wrong))
    if action < 6:
        shape = tuple(int(extent) for extent in rng.integers(0, 30, rng.integers(0, 5)))
        dtype = pick(rng, ("u1", "u2", ">u2", "u4", "i1", "i4", "i8", "f2", "f4", "f8", "?", "c8", "O", "S3", "M8[s]"))
        array = np.zeros(shape, dtype)
        if array.size and dtype.startswith("f"):
            array.flat[0] = pick(rng, (0, 1, 2, -1, np.nan, np.inf))
        return either(lambda: load_image(array))
    if action < 7:
        shape = tuple(int(extent) for extent in rng.choice([0, 1, 3, 4, 9, 20], rng.integers(0, 5)))
        dtype = pick(rng, (torch.uint8, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex64))
        tensor = torch.zeros(shape, dtype=dtype)
        odd = pick(rng, (tensor, tensor.to("meta"), tensor.unsqueeze(0)))
        return either(lambda: load_image(odd))
    mode = pick(rng, ("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "LA", "PA", "La", "RGBa",
                      "RGBX", "I;16", "I;16B"))
    odd_image = Image.new(mode, tuple(int(side) for side in rng.integers(0, 40, 2)))
    if mode in ("I", "F") and odd_image.size[0] and odd_image.size[1]:
        odd_image.putpixel((0, 0), pick(rng, (-1, 255, 70_000) if mode == "I" else (-1.0, 0.5, math.nan, math.inf)))
    if rng.random() < 0.2:
        odd_image.close()
    elif rng.random() < 0.3:
        odd_image.info |= {"transparency": pick(rng, (0, 300, b"\0\1", "a", (1, 2, 3))), "exif": rng.bytes(9)}
    return either(lambda: load_image(odd_image))


def mask_file(rng: Rng, folder: Path) -> Case:
    from refdiff.core.masks import mask_from_image

    mask, path = blob(rng), folder / "mask.png"
    mask[0, 0] = not mask[-1, -1]
    low = int(rng.integers(0, 200))
    action = rng.integers(6)
    if action == 0:
        image = Image.fromarray(np.where(mask, rng.integers(low + 1, 256), low).astype(np.uint8))
    elif action == 1:
        noise = rng.integers(0, 60, mask.shape)
        image = Image.fromarray(np.where(mask, 255 - noise, noise).astype(np.uint8))
    elif action == 2:
        image = Image.fromarray(np.where(mask, rng.integers(1, 255), 0).astype(np.uint8), "P")
        image.putpalette([0, 0, 0, *rng.integers(0, 256, 765).tolist()])
    elif action == 3:
        image = Image.fromarray(np.dstack([*[np.full(mask.shape, low)] * 3, mask * 255]).astype(np.uint8))
    elif action == 4:
        image = Image.fromarray(mask)
    else:
        data = changed(rng, saved(Image.fromarray(mask), pick(rng, ("PNG", "GIF", "TIFF", "BMP"))))
        return either(lambda: mask_from_image(io.BytesIO(data)))
    image.save(path)
    fits = max(mask.shape) <= 20 * min(mask.shape)
    return Case(lambda: mask_from_image(path), same(mask)) if fits else either(lambda: mask_from_image(path))
