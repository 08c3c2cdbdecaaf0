"""A manifest: a JSONL file that asks about images, each line {"image", "expression" or "expressions", "id"?}."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.files import parse_json, read_lines, shown
from ..errors import InputError
from .reference import Dataset, Reference, grouped, image_path, is_id, make_reference


def load_manifest(path: str | Path) -> Dataset:
    """The expressions of a manifest as a dataset without truths, those of one image together.

    `image` is a path, a relative one to the file's folder. `id` is that of the one "expression", or of the line, whose
    "expressions" are then "ID.1", "ID.2" and so on; without it, it is the line's number. What is wrong with a line is
    the fault of its expressions alone. Raises InputError where the file cannot be read or has no lines, and when two
    expressions have the same id.
    """
    path = Path(path)
    references = [each for number, text in read_lines(path) for each in _asked(path.parent, f"Line {number}", text)]
    if not references:
        raise InputError(f'{shown(path)} is empty; write a line such as {{"image": "a.jpg", "expression": "the cat"}} '
                         "for each image.")
    return grouped(path.name, "", references, {"manifest": str(path)}, False, path.stem)


def _asked(base: Path, where: str, text: bytes) -> Iterator[Reference]:
    line, fault = _line(where, text)
    image, image_fault = image_path(base, line.get("image"), where, inside=False)
    fault = fault or image_fault
    number = line.get("id", int(where.split()[1]))
    if "expressions" not in line:
        yield make_reference(where, number, image, line.get("expression", ""), fault=fault)
        return
    for place, expression in enumerate(line["expressions"], 1):
        id = f"{number}.{place}" if is_id(number) else None
        yield make_reference(f"{where}, expression {place},", id, image, expression, fault=fault)


def _line(where: str, text: bytes) -> tuple[dict[str, Any], str | None]:
    """(what a line says, None) or (what can be used of it, what is wrong with it)."""
    try:
        line = parse_json(text)
    except ValueError as error:
        return {}, f"{where} is not valid JSON ({shown(error)})."
    if not isinstance(line, dict) or "image" not in line or ("expression" in line) == ("expressions" in line):
        return {}, f'{where} is not an object with "image" and either "expression" or "expressions".'
    several = line.get("expressions", [""])
    if not isinstance(several, list) or not several:
        return line | {"expressions": [""]}, f"{where} has no expressions: they must be a list of at least one."
    return line, None
