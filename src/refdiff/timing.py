"""Time per stage of the work on one picture."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Sums wall-clock milliseconds per stage in `milliseconds`.

    >>> with watch("attention"):
    ...     ...
    """

    def __init__(self, device: torch.device | str = "cpu"):
        self.milliseconds: dict[str, float] = defaultdict(float)
        self._cuda = torch.device(device).type == "cuda"

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._wait()
        started = time.perf_counter()
        try:
            yield
        finally:
            self._wait()
            self.milliseconds[stage] += (time.perf_counter() - started) * 1000

    def _wait(self) -> None:
        if self._cuda:
            torch.cuda.synchronize()
