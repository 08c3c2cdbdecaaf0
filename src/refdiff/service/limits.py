"""What one server takes at most: every limit in one frozen place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..language.expression import MAX_CHARACTERS
from ..settings import _Group as Checked


def _limit(default: Any, low: float, high: float, says: str) -> Any:
    return field(default=default, metadata={"range": (low, high), "says": says})


@dataclass(frozen=True)
class Limits(Checked):
    """Each field says what it is in its metadata; the command line makes an option of it. MB are 10^6 bytes.

    Raises InputError for a value of the wrong type or out of range.
    """

    body_mb: float = _limit(20.0, 0.001, 1000, "MB of a request's body")
    megapixels: float = _limit(12.5, 0.001, 100, "million pixels of an image")
    expressions_per_request: int = _limit(16, 1, 1000, "expressions per request")
    characters: int = _limit(300, 1, MAX_CHARACTERS, "characters of an expression")
    queue: int = _limit(32, 1, 10_000, "requests that wait for a model")
    queue_per_client: int = _limit(8, 1, 10_000, "of those, from one address")
    seconds: float = _limit(120.0, 0.1, 3600, "seconds from a request's arrival to its answer")
    upload_seconds: float = _limit(30.0, 0.1, 3600, "seconds for a request's head, and again for its body, to arrive")
    connections: int = _limit(256, 1, 10_000, "open connections")
    uploads_mb: float = _limit(256.0, 0.001, 100_000, "MB of all bodies held at once")
    images: int = _limit(32, 1, 10_000, "images kept by id")
    image_minutes: float = _limit(30.0, 0.001, 10_000, "minutes that an image is kept after its last use")
    images_mb: float = _limit(1024.0, 0.001, 1_000_000, "MB of kept images, their proposals and answers")
    answers: int = _limit(64, 1, 10_000, "answers kept per image")

    @property
    def body_bytes(self) -> int:
        return int(self.body_mb * 1e6)

    @property
    def uploads_bytes(self) -> int:
        return int(self.uploads_mb * 1e6)

    @property
    def images_bytes(self) -> int:
        return int(self.images_mb * 1e6)
