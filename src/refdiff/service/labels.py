"""What `refdiff serve --folder` asks about and keeps in FOLDER/refdiff-labels, for one server at a time:

decisions.jsonl has every decision, the last about an expression in an image counts; rows.jsonl and header.json the
answers that were accepted, as refdiff batch writes its own; proposals.jsonl what the model proposed, so that a restart
need not ask again.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from pydantic import ValidationError

from ..core.files import make_folder, read_bytes, shown, write_atomically
from ..core.images import load_image
from ..errors import InputError, RefDiffError
from ..evaluation.rows_folder import HEADER, ROWS, locked, write_json
from ..pipeline import RefDiff
from .folder import FOLDER, find_images, read_expressions
from .journal import Journal
from .schemas import Answer

Decision = Literal["accepted", "corrected", "rejected"]


@dataclass(frozen=True)
class Item:
    """One expression in one image; `number` is its place among all of them."""

    number: int
    image_index: int
    image: str
    expression: str
    category: str


class Labels:
    """The items of a folder, and what is known of each; from `open_labels`. Threads may share it."""

    def __init__(self, folder: Path, categories: dict[str, str]):
        self.folder, self.categories, self._expressions = folder, categories, list(categories)
        self.images = find_images(folder)
        self.faults: dict[str, str] = {}
        self.decisions: dict[int, Decision] = {}
        self.trust: dict[int, float] = {}  # of what was proposed: its confidence, below 0 where that is not known
        self._by = ""
        self._proposed: dict[int, int] = {}  # places of lines
        self._decided: dict[int, int] = {}
        self._numbers = {image: index for index, image in enumerate(self.images)}
        self._order = {expression: place for place, expression in enumerate(categories)}
        self._own = folder / FOLDER
        self._proposals = Journal(self._own / "proposals.jsonl")
        self._journal = Journal(self._own / "decisions.jsonl")
        for place, line in self._journal:
            number = self._number(line)
            if number is not None and line.get("decision") in get_args(Decision):
                self.decisions[number], self._decided[number] = line["decision"], place
        self.damaged = self._journal.damaged
        """How many lines of decisions were not JSON, and are left out."""
        self._write_rows()

    def __len__(self) -> int:
        return len(self.images) * len(self.categories)

    def item(self, number: int) -> Item:
        index, place = divmod(number, len(self.categories))
        expression = self._expressions[place]
        return Item(number, index, self.images[index], expression, self.categories[expression])

    def pixels(self, index: int) -> np.ndarray:
        """An image uint8 [H, W, 3]. Raises InputError, which does not say where the folder is."""
        path = self.folder / self.images[index]
        try:
            return load_image(read_bytes(path))
        except InputError as error:
            raise InputError(str(error).replace(shown(path), shown(self.images[index]))) from None

    def items(self, index: int) -> list[Item]:
        """Those of an image."""
        count = len(self.categories)
        return [self.item(number) for number in range(index * count, (index + 1) * count)]

    def use(self, model: RefDiff) -> None:
        """Take up what this model proposed before, and write the header."""
        settings, fingerprint = model.settings.flat(), model.bundle.fingerprint()
        self._by = sha256(json.dumps([fingerprint, settings], default=str).encode()).hexdigest()[:16]
        for place, line in self._proposals:
            number = self._number(line)
            if number is not None and line.get("by") == self._by:
                self._take(number, line, place)
        about = json.dumps([self.images, self.categories]).encode()
        write_json(self._own / HEADER, {
            "manifest": {"name": shown(self.folder.name), "expressions": len(self),
                         "fingerprint": sha256(about).hexdigest()[:16]},
            "settings": settings, "bundle": {"name": model.bundle.name, "fingerprint": fingerprint}})

    def unproposed(self) -> Iterator[int]:
        """The indices of images of which something is not proposed yet, nor decided."""
        for index, image in enumerate(self.images):
            if image not in self.faults and not all(
                    each.number in self.trust or each.number in self.decisions for each in self.items(index)):
                yield index

    def propose(self, item: Item, answer: dict[str, Any]) -> None:
        """Keep what a model answered, content of `schemas.Answer`. Raises RefDiffError when the disk refuses."""
        line = {"image": item.image, "expression": item.expression, "by": self._by, "answer": answer}
        self._take(item.number, line, self._proposals.append(line, durable=False))

    def proposal(self, item: Item) -> dict[str, Any] | None:
        """What was proposed, if anything was."""
        place = self._proposed.get(item.number)
        return None if place is None else self._proposals.read(place)["answer"]

    def decided(self, item: Item) -> dict[str, Any] | None:
        """The answer that was accepted or corrected, content of `schemas.Answer`."""
        place = self._decided.get(item.number)
        return None if place is None else self._journal.read(place).get("answer")

    def decide(self, item: Item, decision: Decision, answer: dict[str, Any] | None) -> None:
        """Write a decision, which is on the disk when this returns. Raises RefDiffError when that refuses."""
        before = self.decisions.get(item.number)
        line = {"image": item.image, "expression": item.expression, "category": item.category, "decision": decision,
                "at": datetime.now(timezone.utc).isoformat(timespec="seconds"), "answer": answer}
        self._decided[item.number] = self._journal.append(line, durable=True)
        self.decisions[item.number] = decision
        if before in (None, "rejected") and answer is not None:
            self._append_row(_row(item, answer))
        elif before not in (None, "rejected"):
            self._write_rows()

    def queue(self, most: int) -> list[Item]:
        """What is to be decided next, the least confident first."""
        waiting = ((trust, number) for number, trust in self.trust.items() if number not in self.decisions)
        return [self.item(number) for _, number in heapq.nsmallest(most, waiting)]

    def close(self) -> None:
        self._proposals.close()
        self._journal.close()

    def _number(self, line: Any) -> int | None:
        """The item that a line is about, if it is still asked about."""
        if not isinstance(line, dict) or not isinstance(line.get("answer"), (dict, type(None))):
            return None
        image, expression = line.get("image"), line.get("expression")
        if not (isinstance(image, str) and image in self._numbers and isinstance(expression, str)
                and expression in self._order):
            return None
        if line["answer"] is not None:
            try:
                Answer.model_validate(line["answer"])
            except ValidationError:
                return None
        return self._numbers[image] * len(self.categories) + self._order[expression]

    def _take(self, number: int, line: dict[str, Any], place: int) -> None:
        confidence, score = line["answer"]["confidence"], line["answer"]["score"]
        self._proposed[number], self.trust[number] = place, score - 2 if confidence is None else confidence

    def _write_rows(self) -> None:
        """Write all accepted answers anew."""
        def write(file: BinaryIO) -> None:
            for number in sorted(self._decided):
                item = self.item(number)
                answer = self.decided(item)
                if answer is not None:
                    file.write(_line(_row(item, answer)))

        write_atomically(self._own / ROWS, write)

    def _append_row(self, row: dict[str, Any]) -> None:
        try:
            with (self._own / ROWS).open("ab") as file:
                file.write(_line(row))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RefDiffError(f"{shown(self._own / ROWS)} could not be written ({error.strerror}); it is made anew "
                               "when the server starts again.") from None


@contextmanager
def open_labels(folder: Path, expressions: str) -> Iterator[Labels]:
    """The labels of a folder of images; `expressions` as `read_expressions` takes them.

    Raises InputError where the folder has no images, cannot be written to, or belongs to another server already.
    """
    categories = read_expressions(expressions)
    if not folder.is_dir():
        raise InputError(f"{shown(folder)} is not a folder; --folder needs one with images.")
    make_folder(folder / FOLDER)
    with locked(folder / FOLDER):
        labels = Labels(folder, categories)
        try:
            if not labels.images:
                raise InputError(f"{shown(folder)} holds no images; --folder needs a folder with some.")
            yield labels
        finally:
            labels.close()


def _row(item: Item, answer: dict[str, Any]) -> dict[str, Any]:
    """As in rows.jsonl of refdiff batch; what is exported is called by its category."""
    def place(of: dict[str, Any]) -> dict[str, Any]:
        return {"box": of["box"], "score": of["score"], "confidence": of["confidence"], "rle": of["segmentation"]}

    return {"image_index": item.image_index, "id": item.expression, "image": item.image, "expression": item.category,
            "asked": item.expression, "query": answer["query"], "found": answer["found"], "notice": answer["notice"],
            **place(answer), "instances": [place(each) for each in answer["instances"]]}


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


