"""What the exporters read: the answers of refdiff batch, or of one method of a run of refdiff evaluate, by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..core.files import read_json, shown
from ..core.masks import from_rle
from ..errors import InputError
from ..evaluation import run_folder
from ..evaluation.rows_folder import HEADER, Row, placed_rows
from . import batch


@dataclass(frozen=True)
class Thing:
    """One thing that was found: its mask as COCO RLE, its `score` and its `confidence`, where they are known."""

    rle: dict[str, Any]
    score: float | None
    confidence: float | None


@dataclass(frozen=True)
class Answer:
    """The answer to one expression; `things` is empty where nothing was found, and `rle` the union of their masks.
    `asked` is the expression itself where labelling gave it another category, which then is `expression`."""

    id: int | str
    expression: str
    rle: dict[str, Any]
    score: float | None
    confidence: float | None
    things: tuple[Thing, ...]
    asked: str | None = None


@dataclass(frozen=True)
class AnsweredImage:
    """An image and the answers about it; `name` as the manifest has it, or its file name in a run, `size` (H, W)."""

    name: str
    size: tuple[int, int]
    answers: tuple[Answer, ...]

    def things(self) -> Iterator[tuple[Answer, Thing, np.ndarray]]:
        """Everything that was found in it, with its mask bool [H, W]. Raises InputError for a broken one."""
        for answer in self.answers:
            for thing in answer.things:
                mask = from_rle(thing.rle, self.size)
                if mask.any():
                    yield answer, thing, mask


@dataclass(frozen=True)
class Source:
    """All that a folder holds: the images with answers in the order of the data, the number of expressions that could
    not be used (`faults`), and what answered (`by`: the bundle, and the method in a run)."""

    images: tuple[AnsweredImage, ...]
    faults: int
    by: str

    def expressions(self) -> list[str]:
        """Those that were asked, each once, in order."""
        return list(dict.fromkeys(answer.expression for image in self.images for answer in image.answers))


def read_source(folder: str | Path, method: str | None = None) -> Source:
    """The answers in a folder of refdiff batch, or of a run of refdiff evaluate.

    `method` says whose answers, and may be left out where a run has one method. A run keeps the union of the things
    that an expression means, which is then one thing. Raises InputError where the folder holds no answers, or not that
    method's.
    """
    folder = Path(folder)
    if not (folder / HEADER).exists():
        raise InputError(f"{shown(folder)} holds no answers; name a folder of refdiff batch or refdiff evaluate.")
    header = read_json(folder / HEADER)
    if isinstance(header, dict) and "manifest" in header:
        if method is not None:
            raise InputError(f"{shown(folder)} is of refdiff batch, which has no methods to choose from.")
        by, kind = batch.read_header(folder)["bundle"]["name"], batch.KIND
    else:
        header = run_folder.read_header(folder)
        method = _method(folder, header["methods"], method)
        by, kind = f"{header['bundle']['name']} {method}", run_folder.kind(header["methods"])
    by_image: dict[int, list[Row]] = {}
    faults = 0
    for _, _, row in placed_rows(folder, kind):
        if row.get("method", method) == method:
            faults += "fault" in row
            by_image.setdefault(row["image_index"], []).extend([] if "fault" in row else [row])
    # in the order of the data, whichever image was finished first
    images = tuple(_image(rows) for _, rows in sorted(by_image.items()) if rows)
    return Source(images, faults, by)


def _method(folder: Path, methods: Sequence[str], wanted: str | None) -> str:
    if wanted is None and len(methods) == 1:
        return methods[0]
    if wanted is None or wanted not in methods:
        raise InputError(f"{shown(folder)} has the methods {', '.join(methods)}; choose one with --method.")
    return wanted


def _image(rows: Sequence[Row]) -> AnsweredImage:
    height, width = from_rle(rows[0]["rle"]).shape
    return AnsweredImage(rows[0]["image"], (height, width), tuple(map(_answer, rows)))


def _answer(row: Row) -> Answer:
    several = row.get("instances")  # of a batch; a run has their number
    found = several if isinstance(several, list) else [row] if row.get("found", True) else []
    return Answer(row["id"], row["expression"], row["rle"], row["score"], row.get("confidence"),
                  tuple(Thing(each["rle"], each["score"], each.get("confidence")) for each in found),
                  row.get("asked"))


def file_names(images: Iterable[AnsweredImage]) -> list[PurePosixPath]:
    """A relative path for what is written about each image, without a suffix: the image's own where it lies in the
    folder of its data, else its file name.

    Raises InputError where two images would get the same.
    """
    taken: dict[PurePosixPath, str] = {}
    for image in images:
        path = PurePosixPath(image.name.replace("\\", "/"))
        if not path.name or path.name == "..":
            raise InputError(f"{shown(image.name)!r} is not the name of an image.")
        inside = not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]
        name = (path if inside else PurePosixPath(path.name)).with_suffix("")
        if name in taken:
            raise InputError(f"{shown(taken[name])} and {shown(image.name)} would be called {shown(name)} alike; "
                             "rename one of them.")
        taken[name] = image.name
    return list(taken)
