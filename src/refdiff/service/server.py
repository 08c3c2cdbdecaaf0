"""The server around the application: uvicorn, with what it leaves open: connections that send or read too slowly, too
many of them, and waiting requests when it stops."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Collection
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from .errors import Problem, problem_content

_HEAD_BYTES = 32_768
_KEEP_ALIVE_SECONDS = 5
_BACKLOG = 128


def server_of(app: FastAPI, proxies: Collection[str] = ()) -> uvicorn.Server:
    """A server of an app from `create_app`: `run([listener])` serves until the process is told to stop (SIGINT,
    SIGTERM; a second SIGINT does not wait) or `should_exit` is set.

    `proxies`: addresses whose X-Forwarded-For is believed.
    """
    limits = app.state.service.limits
    protocol = type("Protocol", (_Protocol,), {"seconds": limits.upload_seconds, "most": limits.connections})
    config = uvicorn.Config(
        app, http=protocol, ws="none", lifespan="on", log_level="error", access_log=False, server_header=False,
        h11_max_incomplete_event_size=_HEAD_BYTES, timeout_keep_alive=_KEEP_ALIVE_SECONDS, backlog=_BACKLOG,
        timeout_graceful_shutdown=int(limits.seconds) + 5, proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies) or None)
    return _Server(config)


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.service.stop()  # type: ignore[union-attr]  # before uvicorn waits for what is open
        await super().shutdown(sockets)


class _Protocol(H11Protocol):
    """A connection that is closed unless a request's head arrives, and an answer is read, within `seconds`."""

    seconds: float
    most: int
    _timer: asyncio.TimerHandle | None = None
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(Problem(503, "Too many connections are open; try again later.", {"Retry-After": "5"}))
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # else another request was there already
            self._unread = self.transport.get_write_buffer_size()
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(400, "This is not a valid HTTP request."))

    def _wait(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self.seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        unread, self._unread = self._unread, self.transport.get_write_buffer_size()
        if 0 < self._unread < unread:  # a large answer, which is being read
            self._wait()
        else:
            self.transport.abort()

    def _refuse(self, problem: Problem) -> None:
        """Answer before there is a request that the application could see."""
        content = json.dumps(problem_content(problem)).encode()
        headers: dict[str, Any] = {"Content-Type": "application/problem+json", "Content-Length": len(content),
                                   "Connection": "close", **problem.headers}
        lines = [f"HTTP/1.1 {problem.status} {problem_content(problem)['title']}",
                 *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.transport.write("\r\n".join(lines).encode() + content)
        self.transport.close()
