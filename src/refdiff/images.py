"""Open, check and orient pictures; inside refdiff a picture is uint8 RGB [H, W, 3]."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import InputError

ImageLike = str | Path | Image.Image | np.ndarray

MAX_PIXELS = 100_000_000
MIN_SIDE = 8
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")


def load_image(source: ImageLike) -> np.ndarray:
    """The picture as uint8 RGB [H, W, 3], upright by its EXIF orientation, transparency laid on white.

    `source` is a path (PNG, JPEG, WebP, BMP, TIFF, GIF's first frame), a PIL image, or an array: [H, W] grey,
    [H, W, 3] RGB or [H, W, 4] RGBA; uint8, uint16, bool, or float in [0, 1].
    Raises InputError for anything that is not such a picture, is over 100 megapixels or under 8 px a side.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pil(source, "The picture")
    path = Path(source)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a picture.")
    if not path.exists():
        raise InputError(f"There is no picture {path}; check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as opened:
                return _from_pil(opened, str(path))
    except UnidentifiedImageError:
        raise InputError(f"{path} is not a picture refdiff can read: use PNG, JPEG, WebP, BMP, TIFF or GIF.") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path} has over {MAX_PIXELS // 10**6} megapixels; make it smaller first.") from None
    except PermissionError:
        raise InputError(f"{path} may not be read; check its permissions.") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError) as error:
        raise InputError(f"{path} is broken or cut short ({error}); save it again.") from None


def check_picture_name(path: Path) -> None:
    """Raises InputError when a file to write is not named as a picture."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} must be named as a picture to write, for example {path.stem or 'sheet'}.png.")


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(f"{name} is {width}x{height}, over {MAX_PIXELS // 10**6} megapixels; make it smaller first.")
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name} is {width}x{height}; each side must have at least {MIN_SIDE} pixels.")


def _from_pil(picture: Image.Image, name: str) -> np.ndarray:
    _check_size(*picture.size, name)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):  # 16-bit and wider greys; Pillow would clip, not scale them
        grey = np.asarray(picture)
        if grey.dtype.kind == "f":
            grey = np.clip(grey if grey.max() > 1 else grey * 255, 0, 255)
        elif grey.max() > 255:
            grey = np.clip(grey.astype(np.int64) // 257, 0, 255)
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        picture = Image.alpha_composite(white, over)
    return np.array(picture.convert("RGB"))


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4)):
        raise InputError(f"An array picture must be [H, W], [H, W, 3] or [H, W, 4], not {list(array.shape)}.")
    _check_size(array.shape[1], array.shape[0], "The picture")
    if array.dtype == np.uint16:
        array = (array // 257).astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise InputError("A float picture must hold values from 0 to 1.")
        array = np.round(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"An array picture must be uint8, uint16, bool or float, not {array.dtype}.")
    if array.ndim == 2 or array.shape[-1] == 1:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=-1)
    if array.shape[-1] == 4:
        alpha = array[..., 3:].astype(np.uint16)
        return ((array[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def square_offsets(height: int, width: int) -> tuple[int, int, int]:
    """(side, top, left) of the black square a picture is centred on for the diffusion model."""
    side = max(height, width)
    return side, (side - height) // 2, (side - width) // 2


def letterbox(image: np.ndarray, size: int) -> np.ndarray:
    """The picture centred on a black square of its longer edge, resized with Lanczos: uint8 [size, size, 3]."""
    height, width = image.shape[:2]
    side, top, left = square_offsets(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = image
    return np.array(Image.fromarray(square).resize((size, size), Image.Resampling.LANCZOS))
