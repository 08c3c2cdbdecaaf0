"""Values that are made when first asked for and belong to the object that holds them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Lazy(Generic[Key, Value]):
    """One value per key, made once: while one thread makes it, others that ask wait.

    A key is what the value depends on besides the object that owns this field: a frozen group of settings, not an
    `id()` and not a list of names kept by hand.
    """

    def __init__(self) -> None:
        self._values: dict[Key, Value] = {}
        self._lock = threading.RLock()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value for `key`; the first call makes it."""
        with self._lock:
            if key not in self._values:
                self._values[key] = make()
            return self._values[key]
