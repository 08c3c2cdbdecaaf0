"""Expressions parsed by another process while this one imports the model libraries: about a second of a cold start.

The grammar takes that long to load. Where the other process fails, expressions are parsed here.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial

from ..language import Expression, Query, parse, query
from ..language.supplied import supply
from ..settings import ExpressionSettings


class _Elsewhere:
    """Expressions that another process is parsing."""

    def __init__(self, expressions: Sequence[str], settings: ExpressionSettings):
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self._process.stdin:
            with suppress(OSError), self._process.stdin as file:
                file.write(json.dumps([list(expressions), asdict(settings)]).encode())
        self._answers: list[tuple[Expression, Query]] | None = None

    def answer(self, place: int, part: int) -> Expression | Query | None:
        """What it says of one of them, waited for; None where the process failed."""
        if self._answers is None:
            with self._process as process:
                written = process.stdout.read() if process.stdout else b""
            try:
                self._answers = pickle.loads(written)  # of this program itself
            except (pickle.UnpicklingError, EOFError):
                self._answers = []
        return self._answers[place][part] if place < len(self._answers) else None


def parse_ahead(expressions: Sequence[str], settings: ExpressionSettings) -> None:
    """Start parsing elsewhere; `parse` and `query` wait for it when they are asked for one of these expressions."""
    with suppress(OSError):  # where no process can be started
        elsewhere = _Elsewhere(expressions, settings)
        for place, text in enumerate(expressions):
            supply((text, settings), partial(elsewhere.answer, place, 0))
            supply((text, Query), partial(elsewhere.answer, place, 1))


if __name__ == "__main__":
    texts, own = json.load(sys.stdin)
    answers = [(parse(text, ExpressionSettings(**own)), query(text)) for text in texts]
    sys.stdout.buffer.write(pickle.dumps(answers))
