"""A thread for each model: takes work from its queue, and does together what can be done together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from starlette.requests import ClientDisconnect, Request

from ..pipeline import RefDiff
from ..timing import Stopwatch
from .errors import busy
from .limits import Limits
from .metrics import Metrics
from .queue import Job, Queue

_STOPPING = "The server is stopping; ask another one, or this one when it has started again."


class Abandoned(Exception):
    """Nobody waits for what is being done."""


class Worker:
    """Everything one model does, one batch after another, in a thread of its own."""

    def __init__(self, model: RefDiff, limits: Limits, metrics: Metrics):
        self.model, self.name, self._limits, self._metrics = model, model.bundle.name, limits, metrics
        self.stopping = False
        self._queue = Queue(limits)
        self._spare: deque[Job] = deque()
        self._running: list[Job] = []
        self._begun = 0.0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"refdiff {self.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Refuse what waits and what comes; what runs is finished."""
        with self._changed:
            self.stopping = True
            waiting = [*self._queue.drain(), *self._spare]
            self._spare.clear()
            self._changed.notify_all()
        for job in waiting:
            _give(job, busy(503, _STOPPING, 10))

    def join(self, seconds: float) -> None:
        """Wait for what runs, but not for longer."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def load(self) -> tuple[int, int]:
        """How many jobs wait, and how many run."""
        with self._changed:
            return len(self._queue), len(self._running)

    async def do(self, job: Job, request: Request | None = None) -> tuple[Any, dict[str, Any]]:
        """The result of a job and its timings. For a request its time is limited.

        Raises Problem when it is refused or not done in time, ClientDisconnect when the request's client has gone, and
        whatever the work raises.
        """
        self._submit(job)
        done = asyncio.wrap_future(job.result)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            left = None if request is None else job.arrived + self._limits.seconds - time.monotonic()
            await asyncio.wait({done, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if done.done():
                return done.result()
            if gone.done():
                raise ClientDisconnect
            raise busy(503, f"The answer took longer than {self._limits.seconds:g} seconds; try again later.",
                       self._limits.seconds / 4)
        finally:
            gone.cancel()
            if not done.done():
                self._abandon(job)
                done.cancel()

    async def do_when_idle(self, job: Job) -> Any:
        """The result of a job that is done when nothing else waits, however late that is.

        Raises Problem when the server stops, and whatever the work raises.
        """
        with self._changed:
            if self.stopping:
                raise busy(503, _STOPPING, 10)
            self._spare.append(job)
            self._changed.notify()
        result, _ = await asyncio.wrap_future(job.result)
        return result

    def _spared(self) -> list[Job]:
        return [self._spare.popleft()] if self._spare else []

    def _submit(self, job: Job) -> None:
        with self._changed:
            if self.stopping:
                raise busy(503, _STOPPING, 10)
            left = self._begun + self._queue.expected(self._running) - time.monotonic()
            self._queue.push(job, max(0.0, left) if self._running or len(self._queue) else None)
            self._changed.notify()

    def _abandon(self, job: Job) -> None:
        with self._changed:
            job.abandoned = True
            self._queue.remove(job)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._running = []
                while not (jobs := self._queue.take() or self._spared()):
                    if self.stopping:
                        return
                    self._changed.wait()
                self._running, self._begun = jobs, time.monotonic()
            for job in jobs:
                job.started = self._begun
            try:
                self._perform(jobs)
            except Abandoned:
                pass
            except BaseException as error:
                if len(jobs) == 1:
                    _give(jobs[0], error)
                    continue
                for job in jobs:  # alone, so that none fails for what another asked
                    try:
                        self._perform([job])
                    except BaseException as own:
                        _give(job, own)

    def _perform(self, jobs: Sequence[Job]) -> None:
        watch = _Watch(self.model, jobs)
        begun = time.monotonic()
        results = jobs[0].perform([job.asked for job in jobs], watch)
        seconds = time.monotonic() - begun
        with self._changed:
            self._queue.measured(jobs[0].kind, seconds)
        self._metrics.done(self.name, jobs, seconds, watch.stopwatch.milliseconds)
        for job, result in zip(jobs, results, strict=True):
            waited = (job.started or begun) - job.arrived
            _give(job, (result, {"waited": round(1000 * waited, 1), "total": round(1000 * (waited + seconds), 1),
                                 "stages": {name: round(ms, 1) for name, ms in watch.stopwatch.milliseconds.items()}}))


class _Watch:
    """Counts the time of stages, and stops the work before a stage for which nobody waits any longer."""

    def __init__(self, model: RefDiff, jobs: Sequence[Job]):
        self.stopwatch, self._jobs = Stopwatch(model.wait), jobs

    def __call__(self, stage: str) -> AbstractContextManager[None]:
        if all(job.abandoned for job in self._jobs):
            raise Abandoned
        return self.stopwatch(stage)


def _give(job: Job, outcome: Any) -> None:
    """Set a job's result, or the exception that came of it."""
    if not job.result.set_running_or_notify_cancel():
        return
    if isinstance(outcome, BaseException):
        job.result.set_exception(outcome)
    else:
        job.result.set_result(outcome)


async def _disconnected(request: Request | None) -> None:
    """Returns when the client has closed its connection, whose request was read to its end."""
    if request is None:
        await asyncio.Event().wait()
    else:
        while (await request.receive())["type"] != "http.disconnect":
            pass
