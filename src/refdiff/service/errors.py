"""Every failure as problem+json (RFC 9457): a status, its usual title, and one sentence."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..core.files import shown
from ..errors import InputError, RefDiffError

logger = logging.getLogger("refdiff.service")


class Problem(Exception):
    """What a client is told: `status`, and `detail`, one sentence of what was wrong and what to do."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None):
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def busy(status: int, detail: str, seconds: float) -> Problem:
    """429 or 503 with the seconds after which trying again makes sense."""
    return Problem(status, detail, {"Retry-After": str(max(1, math.ceil(seconds)))})


class ProblemResponse(JSONResponse):
    """A problem as a response."""

    media_type = "application/problem+json"

    def __init__(self, problem: Problem):
        super().__init__(problem_content(problem), problem.status, problem.headers)


def problem_content(problem: Problem) -> dict[str, Any]:
    """The members of RFC 9457 that are used."""
    return {"type": "about:blank", "title": HTTPStatus(problem.status).phrase, "status": problem.status,
            "detail": problem.detail}


def as_problem(error: BaseException) -> Problem:
    """What a client is told of an exception; what nobody foresaw is logged with its traceback."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, InputError):
        return Problem(422, str(error))
    if isinstance(error, MemoryError):
        return busy(503, "Memory ran out; use a smaller image or fewer expressions at once.", 10)
    if not isinstance(error, RefDiffError):
        logger.error("a request failed", exc_info=error)
        return Problem(500, "Something failed inside refdiff; the server's log says what.")
    return Problem(500, str(error))


_REASONS = {
    "missing": "it is missing", "extra_forbidden": "there is no such field",
    "too_short": "it needs at least {min_length} of them", "too_long": "it may hold at most {max_length}",
    "model_type": "it must be an object", "model_attributes_type": "it must be an object",
    "dict_type": "it must be an object", "list_type": "it must be a list", "string_type": "it must be text",
    "bool_type": "it must be true or false", "int_type": "it must be a whole number",
    "float_type": "it must be a number", "finite_number": "it must be a finite number"}
"""Some of pydantic's complaints by their type, in words for people."""


def told(errors: Sequence[Mapping[str, Any]]) -> str:
    """pydantic's first complaint as a sentence, without the value that was sent."""
    first = errors[0]
    place = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    own = _REASONS.get(first.get("type", ""))
    reason = (own.format_map(first.get("ctx") or {}) if own else
              str(first.get("msg", "it cannot be read")).removeprefix("Value error, ").rstrip("."))
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    where = f"The field {shown(place)}" if place else "The request"
    return f"{where} is not valid: {reason[:1].lower()}{shown(reason[1:])}{more}."


def install_handlers(app: FastAPI) -> None:
    """Make every failure of the app that is foreseen a problem; `security.Guard` does the others."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RefDiffError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _problem(request: Request, error: Exception) -> ProblemResponse:
    return ProblemResponse(as_problem(error))


async def _invalid(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    return ProblemResponse(Problem(422, told(error.errors())))


async def _http(request: Request, error: Exception) -> ProblemResponse:
    """What the framework refuses by itself: a path or method that it does not know, JSON that cannot be parsed."""
    assert isinstance(error, HTTPException)
    path = shown(request.url.path)
    detail = {404: f"There is nothing at {path}; GET /openapi.json lists what there is.",
              405: f"{request.method} is not possible at {path}; the header Allow says what is.",
              400: "The body is not valid JSON in UTF-8."}.get(error.status_code, f"{error.detail}.")
    return ProblemResponse(Problem(error.status_code, detail, error.headers))
