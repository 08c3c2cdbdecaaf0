"""What another process has worked out of a text meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

_ANSWERS: dict[Hashable, Callable[[], Any]] = {}


def supply(question: Hashable, answer: Callable[[], Any]) -> None:
    """Let the next who asks take what `answer` gives, unless that is None."""
    _ANSWERS[question] = answer


def supplied(question: Hashable) -> Any:
    """What was supplied, once; None where nothing was."""
    answer = _ANSWERS.pop(question, None)
    return answer() if answer else None
