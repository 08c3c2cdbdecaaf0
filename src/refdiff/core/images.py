"""Images as arrays: loaded, put on a square, saved; inside refdiff an image is uint8 RGB [H, W, 3]."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import numpy as np
from PIL import Image

from ..errors import InputError
from .decoding import check_size, open_image, source_name
from .files import shown, write_atomically

if TYPE_CHECKING:
    import torch

ImageLike: TypeAlias = "str | Path | Image.Image | np.ndarray | torch.Tensor | bytes | BinaryIO"

_WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF",
            ".tiff": "TIFF", ".gif": "GIF"}
SUFFIXES = frozenset(_WRITTEN) | {".avif", ".heic", ".heif"}
"""Suffixes, in lower case, of files that are taken for images."""
_BITS = (8, 10, 12, 14, 16)  # per channel, as cameras and scanners have them
_BAND = 4_000_000  # pixels of the square that `letterbox` holds at a time


def load_image(source: ImageLike) -> np.ndarray:
    """The image as uint8 RGB [H, W, 3], upright by its EXIF orientation, transparency laid on white.

    `source` is a path (PNG, JPEG, WebP, BMP, TIFF, GIF's first frame, AVIF, and HEIC with the extra `heif`), the
    content of such a file as bytes, a file open for reading in binary, or a PIL image; an array [H, W] or [H, W, 1]
    (grey), [H, W, 3] (RGB) or [H, W, 4] (RGBA); or a torch tensor, [H, W], [C, H, W] or [H, W, C]. Arrays and tensors
    are uint8, uint16, bool, or float in [0, 1]. Values of 16 bits are scaled by the 8, 10, 12, 14 or 16 bits that
    their greatest one needs. The result is always a new array.

    Raises InputError for anything else, and for an image that is broken, has over 100 megapixels, a side under 8 or
    over 30,000 px, or one side more than 20 times the other.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, "The array")
    if _is_tensor(source):
        return _from_array(_tensor_as_array(cast("torch.Tensor", source)), "The tensor")
    return _from_pil(open_image(source), source_name(source))


def check_image_name(path: Path) -> None:
    """Raises InputError unless a file to write has the suffix of an image format that can be written."""
    if path.suffix.lower() not in _WRITTEN:
        raise InputError(f"{shown(path)} must end in {', '.join(_WRITTEN)}; for example "
                         f"{shown(path.stem) or 'image'}.png.")


def save_image(image: Image.Image | np.ndarray, target: str | Path | BinaryIO, dpi: float | None = None) -> None:
    """Write a PIL image or an array (uint8 [H, W], [H, W, 3] or [H, W, 4], or bool [H, W] as 0 and 255).

    `target` is a path, whose suffix says which format and which is replaced only when the new file is complete; or a
    file open for writing in binary, which gets a PNG. `dpi`, pixels per inch, is noted in a file whose format can.
    Raises InputError for any other image or target, and RefDiffError when the disk refuses.
    """
    if isinstance(image, np.ndarray):
        if not (image.dtype == bool and image.ndim == 2) and not (
                image.dtype == np.uint8 and (image.ndim == 2 or (image.ndim == 3 and image.shape[-1] in (3, 4)))):
            raise InputError(f"An array to save must be uint8 [H, W], [H, W, 3] or [H, W, 4], or bool [H, W], not "
                             f"{image.dtype} {list(image.shape)}.")
        image = Image.fromarray(image.astype(np.uint8) * 255 if image.dtype == bool else image)
    elif not isinstance(image, Image.Image):
        raise InputError(f"Only a PIL image or an array can be saved as an image, not {type(image).__name__}.")
    if isinstance(target, (str, os.PathLike)):
        path = Path(target)
        check_image_name(path)
        write_atomically(path, _encoded(image, _WRITTEN[path.suffix.lower()], shown(path), dpi))
    elif callable(getattr(target, "write", None)):
        content = _encoded(image, "PNG", "The image", dpi)
        try:
            target.write(content)
        except (TypeError, ValueError, OSError) as error:  # a text file, or one that is closed or only for reading
            raise InputError(f"The image cannot be written to this file ({shown(error)}); open it with mode "
                             "'wb'.") from None
    else:
        raise InputError(f"An image is saved to a path or an open binary file, not to {type(target).__name__}.")


def square_offsets(height: int, width: int) -> tuple[int, int, int]:
    """(side, top, left) of the black square an image is centred on for the diffusion model."""
    side = max(height, width)
    return side, (side - height) // 2, (side - width) // 2


def letterbox(image: np.ndarray, size: int) -> np.ndarray:
    """The image centred on a black square of its longer side, resized with Lanczos: uint8 [size, size, 3]."""
    height, width = image.shape[:2]
    side, top, left = square_offsets(height, width)
    # Pillow resizes rows first, then columns: rows in bands give the same bytes without the whole square in memory.
    narrow = np.zeros((side, size, 3), np.uint8)
    band = np.zeros((min(height, max(1, _BAND // side)), side, 3), np.uint8)
    for start in range(0, height, len(band)):
        rows = image[start : start + len(band)]
        band[: len(rows), left : left + width] = rows
        resized = Image.fromarray(band[: len(rows)]).resize((size, len(rows)), Image.Resampling.LANCZOS)
        narrow[top + start : top + start + len(rows)] = np.asarray(resized)
    return np.array(Image.fromarray(narrow).resize((size, size), Image.Resampling.LANCZOS))


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    try:
        if image.mode.startswith(("I", "F")):  # greys of 16 bits and more, which Pillow would clip instead of scaling
            return _grey(np.asarray(image), name)
        if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
            over = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        return np.array(image.convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # a palette or transparency that does not fit the mode
        raise InputError(f"{name} cannot be converted to RGB ({shown(error)}); save it again.") from None


def _grey(values: np.ndarray, name: str) -> np.ndarray:
    """Greys [H, W] of a wide integer or float type as RGB."""
    lowest, greatest = values.min(), values.max()
    if not (lowest >= 0 and greatest <= 65535):  # NaN fails it too
        raise InputError(f"{name} must hold values from 0 to 65535, not from {lowest} to {greatest}.")
    if values.dtype.kind == "f":
        scale = 255 if greatest <= 1 else 255 / _greatest_of(greatest)
        grey = np.round(values * scale).astype(np.uint8)
    else:
        grey = _eight_bits(values)
    return np.repeat(grey[..., None], 3, axis=-1)


def _greatest_of(value: float) -> int:
    """The greatest value of the fewest usual bits that hold `value`."""
    return next(limit for bits in _BITS if value <= (limit := (1 << bits) - 1))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Integers of up to 16 bits, scaled to 8 by how many of them are used: files of 12 bits are kept in 16."""
    return (values.astype(np.uint32) * 255 // _greatest_of(int(values.max()))).astype(np.uint8)


def _is_tensor(source: Any) -> bool:
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)  # without torch loaded there can be no tensor
    return tensor is not None and isinstance(source, tensor)


def _tensor_as_array(tensor: torch.Tensor) -> np.ndarray:
    """[H, W] or [H, W, C]: channels stand first where that dimension has 1, 3 or 4, else last."""
    try:
        tensor = tensor.detach().cpu()
        array: np.ndarray = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    except Exception as error:  # a tensor on the meta device, sparse or quantised
        raise InputError(f"The tensor cannot be read as an image ({shown(error)}).") from None
    return array.transpose(1, 2, 0) if array.ndim == 3 and array.shape[0] in (1, 3, 4) else array


def _from_array(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4)):
        raise InputError(f"{name} must be [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] to be an image, not "
                         f"{list(array.shape)}.")
    array = np.asarray(array)
    check_size(array.shape[1], array.shape[0], name)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # in either byte order
        array = _eight_bits(array)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # NaN fails it too
            raise InputError(f"{name} is float and must hold values from 0 to 1.")
        array = np.round(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"{name} must be uint8, uint16, bool or float to be an image, not {array.dtype}.")
    if array.ndim == 2 or array.shape[-1] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=-1)
    if array.shape[-1] == 4:
        alpha = array[..., 3:].astype(np.uint16)
        return ((array[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.array(array, order="C")


def _encoded(image: Image.Image, kind: str, name: str, dpi: float | None) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, kind, **({} if dpi is None else {"dpi": (dpi, dpi)}))
    except Exception as error:  # a mode the format does not know, a closed image
        raise InputError(f"{name} cannot be written as {kind} ({shown(error)}); use .png.") from None
    return file.getvalue()
