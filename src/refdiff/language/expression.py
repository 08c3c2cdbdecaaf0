"""`Expression`: what the syntax of a referring expression says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InputError

MAX_CHARACTERS = 1000

Direction = Literal["left", "right", "top", "bottom"]


@dataclass(frozen=True)
class Expression:
    """What the syntax of `text` says.

    `root` is the word whose correlation map is used, at characters [start, end) of `text`; `phrase` the referent
    without words of place; `noun_phrase` the noun chunk that holds the syntactic ROOT; `direction` the clues, at
    most one per axis.
    """

    text: str
    root: str
    start: int
    end: int
    phrase: str
    noun_phrase: str
    direction: tuple[Direction, ...]


def check_expression(text: object) -> str:
    """The text with its whitespace tidied. Raises InputError when it is empty, over 1,000 characters or not text."""
    if not isinstance(text, str):
        raise InputError(f"An expression must be text, not {type(text).__name__}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("The expression holds half of a character (a lone surrogate); type it again.") from None
    tidy = " ".join(text.split())
    if not any(character.isalnum() for character in tidy):
        what = f"{tidy[:40]!r} holds no word" if tidy else "The expression is empty"
        raise InputError(f"{what}; say in words what to point at.")
    if len(tidy) > MAX_CHARACTERS:
        raise InputError(f"The expression has {len(tidy)} characters; at most {MAX_CHARACTERS} can be used.")
    return tidy
