"""Around every request: who may ask, from where, and what a browser may do with the answer. Counts them too."""

from __future__ import annotations

import ipaddress
import time
from base64 import b64decode
from collections.abc import Collection
from secrets import compare_digest
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import Problem, ProblemResponse, as_problem
from .metrics import Metrics

CONTENT_POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                  "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
_HEADERS = {"Content-Security-Policy": CONTENT_POLICY, "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"}
_GONE = 499  # what requests are counted by whose client did not wait for the answer
_GUARDED = ("/v1/", "/metrics")  # what the token is for


class Guard:
    """An ASGI application inside another: requests that may not pass get a problem, all answers get the headers above.

    `hosts`: names by which clients may call the server, beside localhost and IP addresses, which no web page can make
    its own by DNS. A request that names an origin must come from the server's own pages. `token`: what requests for
    the API must bear, or send as a password.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, token: str | None = None, hosts: Collection[str] = ()):
        self._app, self._metrics = app, metrics
        self._token = None if token is None else token.encode()
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), _GONE

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["path"], Headers(scope=scope))
        app: Any = self._app if refusal is None else ProblemResponse(refusal)
        try:
            await app(scope, receive, told)
        except ClientDisconnect:
            pass
        except Exception as error:  # what nobody inside knows how to tell
            if status != _GONE:
                raise
            await ProblemResponse(as_problem(error))(scope, receive, told)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD") else "other"
            self._metrics.requests.labels(route, method, status).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - begun)

    def _refusal(self, path: str, headers: Headers) -> Problem | None:
        host = headers.get("host", "")
        if not self._known(host):
            return Problem(421, "This server is not called by this name; start it with --allow-host NAME if it should "
                                "be.")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return Problem(403, "Pages of other origins may not use this server.")
        if self._token is not None and path.startswith(_GUARDED) and not self._admitted(headers.get("authorization")):
            return Problem(401, "A token is needed: send the header Authorization: Bearer TOKEN.",
                           {"WWW-Authenticate": "Bearer"})
        return None

    def _known(self, host: str) -> bool:
        name = host.lower().strip()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _admitted(self, header: str | None) -> bool:
        kind, _, given = (header or "").partition(" ")
        assert self._token is not None
        if kind.lower() == "basic":  # all that Label Studio can send
            given = _password(given)
        elif kind.lower() != "bearer":
            return False
        return compare_digest(given.strip().encode(), self._token)


def _password(given: str) -> str:
    try:
        return b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def client_of(scope: Scope) -> str:
    """By what a request's sender is told from others: its address, of IPv6 the network's half."""
    host = scope["client"][0] if scope.get("client") else "local"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))
