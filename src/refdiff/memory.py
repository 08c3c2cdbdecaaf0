"""A bound on memory: which models stay loaded, and how much is done at once."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch

from .settings import Settings

_LIBRARIES = 0.6  # GB that Python and the libraries take before any model
# GB in float32 that one more of each takes at the sizes of SD 1.5 (512 px), SAM and CLIP ViT-B/16; benchmarks/README.md
_EXPRESSION, _POINT, _CROP = 0.25, 0.04, 0.01


CACHE = 16e6  # bytes of one processor's last cache that a step may count on


def cached(most: int, each: float, device: torch.device) -> int:
    """How many things of `each` bytes to do at once: `most`, on a CPU no more than its caches hold."""
    return max(1, min(most, int(CACHE / each))) if device.type == "cpu" else most


class Shelf:
    """The models of a bundle, each loaded when first asked for.

    `bound` GB (10^9 bytes), None for none. With a bound, loaded weights fill half of it at most: before a model that
    would not fit is loaded, the others are put away, to be loaded again when asked for.
    """

    def __init__(self, bound: float | None, folders: dict[str, Path], dtype: torch.dtype):
        self.bound, self.dtype = bound, dtype
        self._models: dict[str, Any] = {}
        self._sizes = {name: weight_gb(folder, dtype) for name, folder in folders.items()} if bound else {}

    @property
    def crowded(self) -> bool:
        """Whether the models cannot all stay loaded."""
        return self.bound is not None and sum(self._sizes.values()) > self.bound / 2

    def get(self, name: str, folder: Path, load: Callable[[Path], Any]) -> Any:
        """The model `name`, which `load` reads from `folder`."""
        if name not in self._models:
            if self.bound is not None:
                self._sizes.setdefault(name, weight_gb(folder, self.dtype))
                if sum(self._sizes[each] for each in (*self._models, name)) > self.bound / 2:
                    self._models.clear()
            self._models[name] = load(folder)
        return self._models[name]

    def bounded(self, settings: Settings) -> Settings:
        """The settings with batches that fit beside the weights."""
        if self.bound is None:
            return settings
        weights = max([self.bound / 2, *self._sizes.values()])
        room = (self.bound - _LIBRARIES - weights) * 4 / self.dtype.itemsize
        expression = _EXPRESSION * (settings.image_size / 512) ** 2 * (2 if settings.guidance != 1 else 1)
        fit = lambda most, each: max(1, min(most, int(room / each)))  # noqa: E731
        return settings.replace(expressions_per_batch=fit(settings.expressions_per_batch, expression),
                                points_per_batch=fit(settings.points_per_batch, _POINT),
                                crops_per_batch=fit(settings.crops_per_batch, _CROP))


def weight_gb(folder: Path, dtype: torch.dtype) -> float:
    """GB that the safetensors files below `folder` take once loaded as `dtype`."""
    from safetensors import safe_open

    count = 0
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as file:
            count += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return count * dtype.itemsize / 1e9
