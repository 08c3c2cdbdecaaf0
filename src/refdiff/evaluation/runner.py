"""Runs methods over a dataset, one line of JSONL an expression and method, and goes on where it was stopped."""

from __future__ import annotations

import importlib.metadata
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..datasets import Dataset, Reference
from ..errors import InputError
from ..images import load_image
from ..masks import to_rle
from ..methods import Method
from ..pipeline import RefDiff
from ..proposals import load_proposals, read_proposals
from .metrics import Overlap, summary

HEADER, ROWS, REPORT, TIMINGS = "header.json", "rows.jsonl", "report.json", "timings.json"
_AHEAD = 4  # pictures decoded before the model asks for them
_LIBRARIES = ("torch", "transformers", "diffusers", "spacy", "numpy", "pillow")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` pictures; `rate` in expressions a second since this start; `remaining` in seconds."""

    done: int
    total: int
    rate: float
    remaining: float


def header(model: RefDiff, dataset: Dataset, methods: Sequence[Method], proposals: str | Path | None) -> dict[str, Any]:
    """All that the figures of a run depend on."""
    return {
        "refdiff": __version__,
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
        "bundle": {"name": model.bundle.name, "fingerprint": model.bundle.fingerprint()},
        "dataset": {"name": dataset.name, "split": dataset.split, "expressions": len(dataset.references),
                    "fingerprint": dataset.fingerprint()},
        "proposals": None if proposals is None else Path(proposals).name,
        "methods": [method.name for method in methods],
        "settings": asdict(model.settings), "device": model.device.type, "dtype": str(model.dtype),
        "where": dataset.where,
    }


def evaluate(model: RefDiff, dataset: Dataset, methods: Sequence[Method], out: str | Path,
             proposals: str | Path | None = None, workers: int = 0,
             show: Callable[[Progress], None] | None = None) -> dict[str, Any]:
    """Run what is still to do and write the report, which is returned.

    `out` is a folder; an existing run there goes on. `proposals` is a file of COCO RLE masks by picture name.
    `workers` over 0 shares the pictures among that many Ray actors. Raises InputError when the folder holds a run
    with other data or settings, or the proposals cannot be read.
    """
    if proposals is not None:
        read_proposals(proposals)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _check_header(out, header(model, dataset, methods, proposals))
    pictures = list(dataset.pictures())
    done = _trim(out / ROWS, len(methods), pictures)
    todo = [index for index in range(len(pictures)) if index not in done]
    started, expressions = time.monotonic(), 0
    if workers:
        from .cluster import results

        answers = results(model, pictures, todo, methods, proposals, workers)
    else:
        answers = _local(model, pictures, todo, methods, proposals)
    with (out / ROWS).open("ab") as file:
        for count, (index, rows) in enumerate(answers, 1):
            file.write(b"".join(json.dumps({"picture": index, **row}).encode() + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
            expressions += len(pictures[index])
            seconds = time.monotonic() - started
            if show:
                show(Progress(len(done) + count, len(pictures), expressions / seconds,
                              seconds / count * (len(todo) - count)))
    return write_report(out)


def evaluate_picture(model: RefDiff, references: Sequence[Reference], image: np.ndarray | InputError,
                     methods: Sequence[Method], proposals: str | Path | None) -> list[dict[str, Any]]:
    """The rows of one picture: a fault an expression that cannot be used, else one a method and expression."""
    name = references[0].image.name

    def fault(reference: Reference, error: InputError) -> dict[str, Any]:
        return {"id": reference.id, "image": name, "expression": reference.expression, "fault": str(error)}

    if isinstance(image, InputError):
        return [fault(reference, image) for reference in references]
    rows, usable = [], []
    for reference in references:
        try:
            usable.append((reference, reference.truth(image.shape[:2])))
        except InputError as error:
            rows.append(fault(reference, error))
    if not usable:
        return rows
    try:
        given = None if proposals is None else load_proposals(proposals, image.shape[:2], name)
        scene = model.encode(image, proposals=given)
    except InputError as error:
        return rows + [fault(reference, error) for reference, _ in usable]
    given = scene.proposals() if any(method.proposals for method in methods) else None
    texts = [reference.expression for reference, _ in usable]
    before: dict[str, float] = {}
    for method in methods:
        try:
            choices = method(scene, texts, given if method.proposals else None)
        except InputError:
            choices = [_alone(method, scene, text, given) for text in texts]
        spent = {stage: round(value - before.get(stage, 0), 2) for stage, value in scene.watch.milliseconds.items()
                 if value > before.get(stage, 0)}
        before = dict(scene.watch.milliseconds)
        for (reference, truth), choice in zip(usable, choices, strict=True):
            if isinstance(choice, InputError):
                rows.append(fault(reference, choice) | {"method": method.name})
                continue
            overlap = Overlap.of(choice.mask, truth)
            rows.append({
                "id": reference.id, "image": name, "expression": reference.expression, "kind": reference.kind,
                "method": method.name, "iou": overlap.iou, **asdict(overlap), "chosen": choice.index,
                "score": choice.score, "parts": choice.parts, "rle": to_rle(choice.mask), "milliseconds": spent})
            spent = {}  # of all the picture's expressions together, told once
    return rows


def _alone(method: Method, scene, text: str, given):
    """One expression by itself, so that a bad one does not take its neighbours with it."""
    try:
        return method(scene, [text], given if method.proposals else None)[0]
    except InputError as error:
        return error


def read_picture(path: Path) -> np.ndarray | InputError:
    """The picture, or why there is none."""
    try:
        return load_image(path)
    except InputError as error:
        return error


def _local(model: RefDiff, pictures: list[list[Reference]], todo: list[int], methods: Sequence[Method],
           proposals: str | Path | None) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    for index, image in ahead(todo, lambda index: read_picture(pictures[index][0].image)):
        yield index, evaluate_picture(model, pictures[index], image, methods, proposals)


def ahead(items: Iterable[Any], load: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
    """(item, what it loads) in order, the next few loading in another thread meanwhile."""
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting = [(item, pool.submit(load, item)) for item in islice(iterator, _AHEAD)]
        while waiting:
            item, future = waiting.pop(0)
            waiting += [(following, pool.submit(load, following)) for following in islice(iterator, 1)]
            yield item, future.result()


def _check_header(out: Path, wanted: dict[str, Any]) -> None:
    path = out / HEADER
    wanted = json.loads(json.dumps(wanted))
    if not path.exists():
        if (out / ROWS).exists():
            raise InputError(f"{out} holds rows without a header; choose another folder.")
        _write(path, wanted)
        return
    found = read_header(out)
    differing = sorted(key for key in wanted if key != "where" and wanted[key] != found.get(key))
    if "settings" in differing:
        names = [name for name, value in wanted["settings"].items() if found["settings"].get(name) != value]
        differing[differing.index("settings")] = f"settings ({', '.join(names)})"
    if differing:
        raise InputError(f"{out} holds a run with other {', '.join(differing)}; choose another folder for this one.")


def read_header(out: Path) -> dict[str, Any]:
    """The header of a run. Raises InputError when the folder holds none."""
    try:
        return json.loads((out / HEADER).read_text())
    except (OSError, ValueError):
        raise InputError(f"{out} holds no run of refdiff evaluate.") from None


def read_rows(out: Path) -> Iterator[dict[str, Any]]:
    """The rows of a run, in the order they were written."""
    try:
        with (out / ROWS).open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, ValueError):
        raise InputError(f"{out / ROWS} cannot be read; run refdiff evaluate again to mend it.") from None


def _trim(path: Path, methods: int, pictures: list[list[Reference]]) -> set[int]:
    """Cut off what a killed run wrote of its last picture; the indices of the pictures that are done."""
    done: set[int] = set()
    if not path.exists():
        return done
    whole = 0
    with path.open("rb") as file:
        current, counts = None, Counter()
        for line in file:
            try:
                row = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                row = None
            if row is None:
                break
            if row["picture"] != current:
                current, counts = row["picture"], Counter()
            # a fault of the picture or the truth stands for all methods
            counts[str(row["id"])] += 1 if "method" in row else methods
            if all(counts[str(reference.id)] >= methods for reference in pictures[current]):
                done.add(current)
                whole = file.tell()
    with path.open("r+b") as file:
        file.truncate(whole)
    return done


def write_report(out: Path) -> dict[str, Any]:
    """Figures of every method, in all and by kind, and every fault; `timings.json` apart, since times never repeat."""
    about = read_header(out)
    overlaps: dict[str, dict[str, list[tuple[tuple[int, int], Overlap]]]] = {name: {} for name in about["methods"]}
    faults, stages = [], {name: Counter() for name in about["methods"]}
    for position, row in enumerate(read_rows(out)):
        if "fault" in row:
            faults.append({key: row[key] for key in ("id", "image", "expression", "method", "fault") if key in row})
            continue
        for kind in {"all", row["kind"] or "all"}:
            overlaps[row["method"]].setdefault(kind, []).append(((row["picture"], position), Overlap.of_row(row)))
        stages[row["method"]].update(row["milliseconds"])
    figures = {}
    for name, kinds in overlaps.items():
        figures[name] = {}
        for kind, found in sorted(kinds.items()):
            ordered = [each for _, each in sorted(found, key=itemgetter(0))]
            figures[name][kind] = {"expressions": len(found), **summary(ordered)}
    report = {key: value for key, value in about.items() if key != "where"} | {
        "faults": sorted(faults, key=lambda row: (row["image"], str(row["id"]), row.get("method", ""))),
        "figures": figures}
    _write(out / TIMINGS, {name: {stage: round(value, 1) for stage, value in counted.items()}
                           for name, counted in stages.items()})
    _write(out / REPORT, report)
    return report


def _write(path: Path, content: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)
