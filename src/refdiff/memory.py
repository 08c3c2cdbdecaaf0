"""A bound on memory: which models stay loaded, and how much is done at once."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Collection
from math import prod
from pathlib import Path
from typing import Any

import torch

from .settings import Settings

_LIBRARIES = 0.6  # GB that Python and the libraries take before any model
_WORK = 0.2  # share of a bound kept for what models compute
_LOADING = 0.5  # of a model's size: what is read of it, in half precision, while it is loaded
# GB in float32 that one more of each takes at the sizes of SD 1.5 (512 px), SAM and CLIP ViT-B/16; benchmarks/README.md
_PICTURE, _EXPRESSION, _POINT, _CROP = 0.7, 0.25, 0.04, 0.01
_BLOCK = 64  # rows
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
CACHE = 2**24  # bytes of one processor's last cache that a step may count on


def cached(most: int, each: float, device: torch.device) -> int:
    """How many things of `each` bytes to do at once: `most`, on a CPU no more than its caches hold, in whole blocks of
    the library's products, which are a fifth slower with 781 rows than with 768."""
    if device.type != "cpu":
        return most
    fit = max(1, int(CACHE / each))
    if most > fit > _BLOCK:
        fit -= fit % _BLOCK
    return min(most, fit)


class Shelf:
    """The models of a bundle, each loaded when first asked for.

    `bound` GB (10^9 bytes), None for none. With a bound, before a model that would not fit beside the others and their
    work is loaded, the others are put away, to be loaded again when asked for.
    """

    def __init__(self, bound: float | None, folders: dict[str, Path], dtype: torch.dtype):
        self.bound, self.dtype = bound, dtype
        self._models: dict[str, Any] = {}
        self._sizes = {name: weight_gb(folder, dtype) for name, folder in folders.items()} if bound else {}
        self._picture = _PICTURE

    def get(self, name: str, folder: Path, load: Callable[[Path], Any]) -> Any:
        """The model `name`, which `load` reads from `folder`."""
        if name in self._models:
            return self._models[name]
        if self.bound is not None:
            self._sizes.setdefault(name, weight_gb(folder, self.dtype))
            if self._need([*self._models, name]) > self.bound:
                self._models.clear()
                _give_back()
        self._models[name] = load(folder)
        if self.bound is not None:
            _give_back()
        return self._models[name]

    def bounded(self, settings: Settings) -> Settings:
        """The settings with batches that fit beside the weights."""
        if self.bound is None:
            return settings
        scale = self.dtype.itemsize / 4
        larger = (settings.image_size / 512) ** 2
        self._picture = _PICTURE * larger * scale
        room = max(self.bound * _WORK, self.bound - _LIBRARIES - sum(self._sizes.values())) / scale
        expression = _EXPRESSION * larger * (2 if settings.guidance != 1 else 1)
        fit = lambda most, each: max(1, min(most, int(room / each)))  # noqa: E731
        return settings.replace(expressions_per_batch=fit(settings.expressions_per_batch, expression),
                                points_per_batch=fit(settings.points_per_batch, _POINT),
                                crops_per_batch=fit(settings.crops_per_batch, _CROP))

    def _need(self, names: Collection[str]) -> float:
        """GB that these models and their work take, the last of them being loaded."""
        sizes = [self._sizes[name] for name in names]
        work = max(self.bound * _WORK, _LOADING * sizes[-1], self._picture if "vae" in names else 0)
        return _LIBRARIES + sum(sizes) + work


def keep_freed(blocks: int = 2**31 - 1) -> None:
    """Tell the C library to keep freed memory up to so many bytes a block, and twice that in all, for what comes next.

    For the whole process, until told otherwise, which then holds up to a tenth more. Fresh memory takes five times as
    long to write as what is there already; by itself the library keeps blocks of 32 MB at the most. Only glibc listens.
    """
    tell = _c_library("mallopt")
    if tell:
        tell(_MMAP_THRESHOLD, blocks)
        tell(_TRIM_THRESHOLD, min(2 * blocks, 2**31 - 1))


def _give_back() -> None:
    """Return to the system what no one uses: the libraries leave what they read of a model in cycles, and the C library
    keeps what is freed."""
    gc.collect()
    trim = _c_library("malloc_trim")
    if trim:
        trim(0)


def _c_library(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def weight_gb(folder: Path, dtype: torch.dtype) -> float:
    """GB that the safetensors files below `folder` take once loaded as `dtype`."""
    from safetensors import safe_open

    count = 0
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            count += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return count * dtype.itemsize / 1e9
