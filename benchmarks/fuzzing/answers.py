"""What is asked of `refdiff batch`, and answers that `refdiff export` and Label Studio's backend read."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .values import Case, Rng, blob, changed, either, junk, pick, pixels, saved, text


def batch_manifest(rng: Rng, folder: Path) -> Case:
    from refdiff.datasets import load_manifest

    rows: list[Any] = [{"image": f"{i}.png", **pick(rng, ({"expression": "a"}, {"expressions": ["a", "b"]}))}
                       for i in range(int(rng.integers(1, 6)))]
    asked = sum(len(row.get("expressions", "a")) for row in rows)
    action, path = rng.integers(3), folder / "m.jsonl"
    if action == 1:
        for row in rows:
            row[pick(rng, ("image", "expression", "expressions", "id"))] = junk(rng)
    data = "\n".join(map(json.dumps, rows)).encode()
    path.write_bytes(changed(rng, data) if action == 2 else data)

    def faults() -> tuple[int, int]:
        found = load_manifest(path)
        found.fingerprint()
        return len(found.references), sum(each.fault is not None for each in found.references)

    return either(faults) if action else Case(faults, lambda found: found == (asked, 0))


def answers(rng: Rng, folder: Path) -> Case:
    """A folder of refdiff batch, exported in every format."""
    from refdiff.core.masks import to_rle

    size, rows = (20, 30), []
    for i in range(int(rng.integers(1, 5))):
        masks = [blob(rng, size) for _ in range(int(rng.integers(3)))]
        places = [{"box": [0, 0, 1, 1], "score": 0.5, "confidence": None, "rle": to_rle(mask)} for mask in masks]
        rows.append({"image_index": i // 2, "id": i, "image": f"{i // 2}.png", "expression": text(rng),
                     "query": None, "found": bool(masks), "notice": None, "box": None, "score": 0.5,
                     "confidence": None, "rle": to_rle(np.any([np.zeros(size, bool), *masks], 0)),
                     "instances": places})
    header: dict[str, Any] = {"manifest": {"name": "m", "expressions": 1, "fingerprint": ""}, "settings": {},
                              "bundle": {"name": "mini"}}
    action, things = rng.integers(3), sum(len(row["instances"]) for row in rows)
    if action == 1:
        target = pick(rng, [header, *rows, *[each for row in rows for each in row["instances"]]])
        target[pick(rng, sorted(target))] = junk(rng)
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    place = folder / f"answers{rng.integers(1 << 60)}"
    place.mkdir()
    (place / "header.json").write_text(json.dumps(header))
    (place / "rows.jsonl").write_bytes(changed(rng, data) if action == 2 else data)
    return either(lambda: _exported(place)) if action else Case(lambda: _exported(place), lambda found: found == things)


def _exported(place: Path) -> int:
    from refdiff.output.coco import to_coco, write_coco
    from refdiff.output.label_studio import write_label_studio
    from refdiff.output.png import write_png
    from refdiff.output.source import read_source
    from refdiff.output.yolo import write_yolo

    source = read_source(place)
    try:
        write_coco(source, place / "coco.json", polygons=True)
        write_yolo(source, place / "yolo")
        write_label_studio(source, place / "label-studio")
        write_png(source, place / "png")
        assert {each.name for each in place.iterdir()} >= {"coco.json", "yolo", "label-studio", "png"}
    finally:
        for name in ("yolo", "label-studio", "png"):
            shutil.rmtree(place / name, ignore_errors=True)
    return len(to_coco(source)["annotations"])


class _Nowhere:
    """Stands for a model: finds nothing."""

    class bundle:
        name = "none"

    def encode(self, image: np.ndarray) -> _Nowhere:
        return self

    def segment(self, expressions: Any) -> list[Any]:
        return []


def label_studio_task(rng: Rng, folder: Path) -> Case:
    from refdiff.output import label_studio_backend as backend

    config = ('<View><Image name="a" value="$image"/><BrushLabels name="b" toName="a"><Label value="the cat"/>'
              "</BrushLabels></View>")
    image = base64.b64encode(saved(Image.fromarray(pixels(rng)), "PNG")).decode()
    tasks: list[Any] = [{"data": {"image": f"data:image/png;base64,{image}"}}, junk(rng), {"data": junk(rng)}]
    tasks.append({"data": {"image": pick(rng, ("/data/local-files/?d=", "/data/upload/", "", "data:image/png;base64,"))
                           + pick(rng, (text(rng), "../../etc/passwd", "%2e%2e/x", "a" * 5000, "\0"))}})
    if rng.integers(2):
        config = changed(rng, config.encode()).decode("utf-8", "replace")
    return either(lambda: backend.predict(_Nowhere(), tasks, config, backend.image_loader(folder)))  # type: ignore
