"""What is to be labelled: the images of a folder, and the expressions to ask about."""

from __future__ import annotations

from pathlib import Path

from ..core.files import exists, read_bytes, shown
from ..core.images import SUFFIXES
from ..errors import InputError
from ..language import check_expression

FOLDER = "refdiff-labels"
"""The folder in that of the images which holds what is kept about them."""

_EXPRESSIONS_BYTES = 1_000_000
_FILES = (".txt", ".csv", ".json", ".jsonl", ".tsv", ".md")


def read_expressions(text: str) -> dict[str, str]:
    """Categories by expression: from a file with one expression in a line, else from text with commas between them.

    'the big dog = dog' gives an expression another category than itself. Raises InputError.
    """
    path = Path(text)
    if exists(path) and path.is_file():
        try:
            parts = read_bytes(path, _EXPRESSIONS_BYTES).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise InputError(f"{shown(path)} is not text in UTF-8.") from None
    else:
        if "," not in text and (exists(path) or path.suffix in _FILES):
            raise InputError(f"--expressions names {shown(path)}, and there is no such file; give a file with one "
                             "expression in a line, or \"cat,dog\".")
        parts = text.split(",")
    found: dict[str, str] = {}
    for part in filter(None, map(str.strip, parts)):
        expression, _, category = part.partition("=")
        expression = check_expression(expression)
        if expression in found:
            raise InputError(f"--expressions names {shown(expression)!r} twice.")
        found[expression] = check_expression(category) if category.strip() else expression
    if not found:
        raise InputError("--expressions names nothing; give a file with one expression in a line, or \"cat,dog\".")
    return found


def find_images(folder: Path) -> list[str]:
    """The images in a folder and those below it, by their relative paths; hidden ones and what links elsewhere are
    left out."""
    home = folder.resolve()

    def usable(path: Path) -> bool:
        parts = path.relative_to(folder).parts
        return (path.suffix.lower() in SUFFIXES and parts[0] != FOLDER and not any(p.startswith(".") for p in parts)
                and path.is_file() and path.resolve().is_relative_to(home))

    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if usable(path))
