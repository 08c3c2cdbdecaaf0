"""Time per stage of the work on one image."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Watch = Callable[[str], AbstractContextManager[None]]
"""What counts the time of a named stage: `with watch("attention"): ...`."""


class Stopwatch:
    """Sums wall-clock milliseconds per stage in `milliseconds`; threads may share it.

    `wait`, if given, returns when the device has done all that was asked of it.
    """

    def __init__(self, wait: Callable[[], None] | None = None):
        self.milliseconds: dict[str, float] = defaultdict(float)
        self._wait = wait
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if self._wait:
            self._wait()
        started = time.perf_counter()
        try:
            yield
        finally:
            if self._wait:
                self._wait()
            with self._lock:
                self.milliseconds[stage] += (time.perf_counter() - started) * 1000
