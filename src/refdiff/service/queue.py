"""Work that waits for a model: a fair, bounded queue that refuses what it could not do in time."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ..timing import Watch
from .errors import busy
from .limits import Limits

MOST_AT_ONCE = 64  # of `weight` in a batch
_FIRST_COST = 1.0  # seconds that a kind of work is taken to need before any was measured
_NEWEST = 0.2  # weight of the newest measurement in the running mean


@dataclass(eq=False)
class Job:
    """Something for a model to do.

    `perform` takes what is `asked` by all jobs that are done together and gives a result for each; jobs of the same
    `key` can be. `kind` is what its time is known by. `weight` is how many expressions it holds.
    """

    client: str
    kind: str
    key: Hashable
    perform: Callable[[Sequence[Any], Watch], Sequence[Any]]
    asked: Any
    weight: int = 1
    result: Future[Any] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)
    started: float | None = None
    abandoned: bool = False
    """Set when nobody waits for it any longer."""


class Queue:
    """Clients take turns, each its jobs in order. Not locked: its worker does that."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._costs: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def push(self, job: Job, running: float | None) -> None:
        """Let a job wait. Raises Problem (429 or 503) when its client or all clients have too many waiting, or it could
        not be done in time; `running` is the seconds that the model is still busy, None where it is idle: then it may
        turn out to be faster than it was."""
        own = self._waiting.get(job.client, ())
        if len(own) >= self._limits.queue_per_client:
            raise busy(429, f"{len(own)} of your requests are waiting already, the most there may be; wait for them.",
                       self._cost(own) / len(own))
        if len(self) >= self._limits.queue:
            raise busy(503, "Too many requests are waiting; try again later.", self._before(0) / 2 + (running or 0))
        wait = (running or 0) + self._before(len(own) + 1)
        if running is not None and wait + self._cost([job]) > self._limits.seconds:
            raise busy(503, f"The answer would take longer than {self._limits.seconds:g} seconds; try again later.",
                       wait / 2)
        self._waiting.setdefault(job.client, deque()).append(job)

    def take(self) -> list[Job]:
        """The next client's oldest job, and whatever else can be done along with it; [] when nothing waits."""
        if not self._waiting:
            return []
        client, own = next(iter(self._waiting.items()))
        first = own[0]
        self._waiting.move_to_end(client)
        taken: list[Job] = []
        weight = 0
        for job in [first, *(each for jobs in self._waiting.values() for each in jobs if each is not first)]:
            if job.key == first.key and (not taken or weight + job.weight <= MOST_AT_ONCE):
                taken.append(job)
                weight += job.weight
        for job in taken:
            self.remove(job)
        return taken

    def remove(self, job: Job) -> None:
        """Forget a job, if it waits here."""
        own = self._waiting.get(job.client)
        if own is not None and job in own:
            own.remove(job)
            if not own:
                del self._waiting[job.client]

    def drain(self) -> list[Job]:
        """All that waits, which then no longer does."""
        jobs = [job for own in self._waiting.values() for job in own]
        self._waiting.clear()
        return jobs

    def measured(self, kind: str, seconds: float) -> None:
        """Learn what work of a kind takes."""
        self._costs[kind] = seconds + (1 - _NEWEST) * (self._costs.get(kind, seconds) - seconds)

    def expected(self, jobs: Iterable[Job]) -> float:
        """Seconds that jobs done together take."""
        return max((self._costs.get(job.kind, _FIRST_COST) for job in jobs), default=0.0)

    def _before(self, place: int) -> float:
        """Seconds until a client's turn number `place` comes: each other client has as many before it. 0: all turns."""
        return sum(self._cost(islice(own, place or None)) for own in self._waiting.values())

    def _cost(self, jobs: Iterable[Job]) -> float:
        """Seconds, jobs of one key counted once."""
        return sum({job.key: self.expected([job]) for job in jobs}.values())
