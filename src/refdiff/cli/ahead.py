"""Expressions parsed by another process while this one imports the model libraries: about a second of a cold start.

The grammar takes that long to load. Where the other process fails, expressions are parsed here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial

from ..language import Expression, parse
from ..language.syntax import supply
from ..settings import ExpressionSettings


class _Elsewhere:
    """Expressions that another process is parsing."""

    def __init__(self, expressions: Sequence[str], settings: ExpressionSettings):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], text=True, encoding="utf-8", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self._process.stdin:
            with suppress(OSError), self._process.stdin as file:
                json.dump([list(expressions), asdict(settings)], file)
        self._answers: list[Expression] | None = None

    def answer(self, place: int) -> Expression | None:
        """One of them, waited for; None where the process failed."""
        if self._answers is None:
            with self._process as process:
                text = process.stdout.read() if process.stdout else ""
            try:
                self._answers = [Expression(**row | {"direction": tuple(row["direction"])}) for row in json.loads(text)]
            except (ValueError, TypeError):
                self._answers = []
        return self._answers[place] if place < len(self._answers) else None


def parse_ahead(expressions: Sequence[str], settings: ExpressionSettings) -> None:
    """Start parsing elsewhere; `parse` waits for it when it is asked for one of these expressions."""
    with suppress(OSError):  # where no process can be started
        elsewhere = _Elsewhere(expressions, settings)
        for place, text in enumerate(expressions):
            supply(text, settings, partial(elsewhere.answer, place))


if __name__ == "__main__":
    texts, own = json.load(sys.stdin)
    json.dump([asdict(parse(text, ExpressionSettings(**own))) for text in texts], sys.stdout)
