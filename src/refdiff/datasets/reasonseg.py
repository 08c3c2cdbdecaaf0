"""ReasonSeg: a folder for each split, in it images `X.jpg` and annotations `X.json`: {"text": [...], "is_sentence",
"shapes": [{"label": "target" or "ignore", "points": [[x, y], ...]}]}.

Layout: Lai et al., "LISA: Reasoning segmentation via large language model" (CVPR 2024) and its release.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.files import parse_json, read_bytes, shown
from ..errors import InputError
from .drawn import Shapes
from .reference import Reference, make_reference


def reasonseg_splits(folder: str | Path) -> list[str]:
    """The folders in this folder that hold an image `X.jpg` with its `X.json`."""
    return sorted({path.parent.name for path in Path(folder).glob("*/*.json") if path.with_suffix(".jpg").is_file()})


def load_reasonseg(folder: str | Path, split: str, images: str | Path | None = None) -> Iterator[Reference]:
    """The first text of every image of a split, of the kind 'sentence' or 'phrase', as the release evaluates it.

    What is meant are the polygons labelled 'target', and what those labelled 'ignore' cover counts neither way; where
    they overlap the smaller ones lie on top (`Shapes`). `images` is the images' folder (default: that of the JSON
    files). Raises InputError where there is no such split; a file that is not such an annotation is the fault of that
    reference alone.
    """
    folder, splits = Path(folder), reasonseg_splits(folder)
    if split not in splits:
        raise InputError(f"{shown(folder)} has no split {shown(split)}; it has {shown(', '.join(splits) or 'none')}.")
    for path in sorted((folder / split).glob("*.json")):
        image = Path(images or path.parent) / f"{path.stem}.jpg"
        try:
            content = _annotation(path)
        except InputError as error:
            yield make_reference(path.name, path.stem, image, path.stem, fault=str(error))
            continue
        texts = content.get("text")
        text = texts[0] if isinstance(texts, list) and texts else texts
        shapes, fault = _shapes(content.get("shapes"), path.name)
        yield make_reference(path.name, path.stem, image, text.strip() if isinstance(text, str) else text,
                             "sentence" if content.get("is_sentence") is True else "phrase", shapes, fault=fault)


def _annotation(path: Path) -> dict[str, Any]:
    data = read_bytes(path)
    try:
        content = parse_json(data)
    except ValueError as error:
        try:  # some of the released files are in Windows' encoding
            content = parse_json(data.decode("cp1252").encode())
        except ValueError:
            raise InputError(f"{shown(path.name)} is not a valid JSON file ({shown(error)}).") from None
    if not isinstance(content, dict):
        raise InputError(f"{shown(path.name)} is not an object with a text and shapes.")
    return content


def _shapes(shapes: Any, where: str) -> tuple[Shapes | None, str | None]:
    """(the labelled polygons, or None where there are none, None) or (None, what is wrong)."""
    try:
        labelled = [(shape["label"].lower(), [value for point in shape["points"] for value in point])
                    for shape in shapes or []]
    except (TypeError, KeyError, AttributeError):
        return None, f"{where} has broken shapes; each must have a label and a list of points."
    found = tuple((polygon, "ignore" in label) for label, polygon in labelled if label != "flag")
    return Shapes(found) if found else None, None
