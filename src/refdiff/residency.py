"""A bound on memory: which models stay loaded, and how much is done at once."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .settings import BatchingSettings, Settings

_LIBRARIES = 0.6  # GB that Python and the libraries take before any model
_WORK = 0.2  # share of a bound kept for what models compute
_LOADING = 0.5  # of a model's size: what is read of it, in half precision, while it is loaded
# GB in float32 that one more of each takes at the sizes of SD 1.5 (512 px), SAM and CLIP ViT-B/16; benchmarks/README.md
_IMAGE, _EXPRESSION, _POINT, _CROP = 0.7, 0.25, 0.04, 0.01


@contextmanager
def undisturbed() -> Iterator[None]:
    """Computing as in a thread for which nobody has chosen autocast, a default device or numpy's ways with errors."""
    with ExitStack() as stack:
        stack.enter_context(np.errstate(all="ignore"))
        for kind in ("cpu", "cuda", "mps"):
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


class Turn:
    """A lock that the thread which holds it may take again; what is done under it is undisturbed."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        self._lock.acquire()
        self._entered.append(undisturbed())
        self._entered[-1].__enter__()

    def __exit__(self, *error: Any) -> None:
        self._entered.pop().__exit__(*error)
        self._lock.release()


class Residency:
    """The models of a bundle, each loaded once, when it is first asked for, whichever thread asks.

    `lock` is where everything that loads or computes waits its turn: threads that computed at once would only take each
    other's cores. `bound` in GB (10^9 bytes), None for none. With a bound, before a model that would not fit beside the
    others and their work is loaded, the others are put away, to be loaded again when asked for; then calls take turns
    as a whole. `size` gives the GB that a model's weights take.
    """

    def __init__(self, bound: float | None, size: Callable[[str], float], dtype: torch.dtype):
        self.bound, self.dtype, self._size = bound, dtype, size
        self.lock = Turn()
        self._models: dict[str, Any] = {}
        self._sizes: dict[str, float] = {}
        self._image = _IMAGE

    def get(self, name: str, load: Callable[[], Any]) -> Any:
        """The model `name`, made by `load` unless it is here."""
        with self.lock:
            if name in self._models:
                return self._models[name]
            if self.bound is not None:
                self._sizes[name] = self._size(name)
                if self._need(self.bound, [*self._models, name]) > self.bound:
                    self._models.clear()
                    _give_back()
            self._models[name] = load()
            if self.bound is not None:
                _give_back()
            return self._models[name]

    def turn(self) -> AbstractContextManager[object]:
        """For a whole call: undisturbed; under a bound, one at a time, as the models of two calls at once would break
        it."""
        return undisturbed() if self.bound is None else self.lock

    def bounded(self, settings: Settings, parts: Collection[str]) -> Settings:
        """The settings with batches that fit beside the weights of `parts`."""
        if self.bound is None:
            return settings
        weights = sum(self._sizes.setdefault(name, self._size(name)) for name in parts)
        scale = self.dtype.itemsize / 4
        larger = (settings.generative.image_size / 512) ** 2
        self._image = _IMAGE * larger * scale
        room = max(self.bound * _WORK, self.bound - _LIBRARIES - weights) / scale
        expression = _EXPRESSION * larger * (2 if settings.generative.guidance != 1 else 1)
        own = settings.batching
        return replace(settings, batching=BatchingSettings(
            expressions_per_batch=max(1, min(own.expressions_per_batch, int(room / expression))),
            points_per_batch=max(1, min(own.points_per_batch, int(room / _POINT))),
            crops_per_batch=max(1, min(own.crops_per_batch, int(room / _CROP)))))

    def _need(self, bound: float, names: Collection[str]) -> float:
        """GB that these models and their work take, the last of them being loaded."""
        sizes: Mapping[str, float] = {name: self._sizes[name] for name in names}
        work = max(bound * _WORK, _LOADING * list(sizes.values())[-1], self._image if "vae" in names else 0)
        return _LIBRARIES + sum(sizes.values()) + work


def _give_back() -> None:
    """Return to the system what no one uses: the libraries leave what they read of a model in cycles, and the C library
    keeps what is freed."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)
