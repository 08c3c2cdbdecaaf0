"""RLE, polygons and proposal files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from .values import Case, Rng, blob, changed, either, junk, must_refuse, pick, same


def rle(rng: Rng, folder: Path) -> Case:
    from refdiff.core.masks import from_rle, to_rle

    mask = blob(rng)
    good = to_rle(mask)
    action = rng.integers(6)
    if action == 0:
        return Case(lambda: from_rle(to_rle(mask), mask.shape), same(mask))
    if action == 1:
        line = mask.T.ravel()
        ends = np.concatenate([[0], np.flatnonzero(line[1:] != line[:-1]) + 1, [line.size]])
        counts = [0] * bool(line[0]) + np.diff(ends).tolist()
        return Case(lambda: from_rle({"size": list(mask.shape), "counts": counts}), same(mask))
    if action == 2:
        return must_refuse(lambda: from_rle(good, (mask.shape[0] + 1, mask.shape[1])))
    if action == 3:
        counts = changed(rng, good["counts"].encode()).decode("latin-1")
        return Case(lambda: from_rle(good | {"counts": counts})) if counts else must_refuse(lambda: from_rle({}))
    if action == 4:
        bomb = pick(rng, ("P" * 200_000, "0" * 200_000, "o" * 10**6, [1] * 200_000, [10**400], [math.inf], "ÿ" * 9))
        return must_refuse(lambda: from_rle({"size": [4, 4], "counts": bomb}))
    value = pick(rng, (junk(rng), {"size": junk(rng), "counts": junk(rng)}, good | {"size": junk(rng)},
                       good | {"counts": junk(rng)}))
    return either(lambda: from_rle(value))


def polygon(rng: Rng, folder: Path) -> Case:
    from pycocotools import mask as coco

    from refdiff.core.polygons import from_polygons, pillow_polygons

    size = int(rng.integers(8, 120)), int(rng.integers(8, 120))
    action, draw = rng.integers(5), pick(rng, (from_polygons, pillow_polygons))
    if action < 2:
        shapes = [(rng.uniform(-0.2, 1.2, (int(rng.integers(3, 30)), 2)) * size[::-1]).round(int(rng.integers(6)))
                  for _ in range(int(rng.integers(1, 5)))]
        flat = [points.ravel().tolist() for points in shapes]
        return Case(lambda: from_polygons(flat, size),
                    lambda found: np.array_equal(found, coco.decode(coco.merge(coco.frPyObjects(flat, *size))) > 0))
    if action == 2:
        far = [(rng.normal(size=2 * int(rng.integers(3, 9))) * 10 ** rng.integers(2, 20)).tolist()]
        return either(lambda: draw(far, size))
    if action == 3:
        zigzag = [[0, 0, size[1], size[0]] * int(rng.integers(100, 60_000))] * int(rng.integers(1, 4))
        return either(lambda: draw(zigzag, (size[0] * 20, size[1] * 20)))
    value = pick(rng, (junk(rng), [junk(rng), junk(rng)], [[junk(rng, 1) for _ in range(6)]]))
    return either(lambda: draw(value, size))


def proposal_file(rng: Rng, folder: Path) -> Case:
    from refdiff.core.masks import to_rle
    from refdiff.core.proposal_files import load_proposals

    size, path = (int(rng.integers(8, 40)), int(rng.integers(8, 40))), folder / f"proposals{rng.integers(1 << 60)}.json"
    masks = np.stack([blob(rng, size) for _ in range(int(rng.integers(1, 9)))])
    rles: list[Any] = [to_rle(mask) for mask in masks]
    items = [{"segmentation": each, "image_id": 7} for each in rles]
    instances = {"images": [{"id": 7, "file_name": "b/a.jpg"}, {"id": 8, "file_name": "b.jpg"}], "annotations": items}
    content: Any = pick(rng, (rles, {"a.jpg": rles, "b.jpg": []}, [{"segmentation": each} for each in rles], items,
                              [*items, {"segmentation": rles[0], "image_id": "b.jpg"}], {"7": items}, instances))
    asked = pick(rng, ("b/a.jpg", folder / "b" / "a.jpg")), 7
    action = rng.integers(5)
    if action == 0:
        path.write_text(json.dumps(content))
        return Case(lambda: load_proposals(path, size, *asked), lambda found: np.array_equal(found.masks, masks))
    if action == 1:
        path.write_text(json.dumps([{"size": [10_000, 10_000], "counts": [10**8]}] * int(rng.integers(1, 500))))
        return must_refuse(lambda: load_proposals(path, pick(rng, (size, (480, 640))), *asked))
    if action == 2:
        rles[int(rng.integers(len(rles)))] = junk(rng)
    broken = pick(rng, items) | {pick(rng, ("image_id", "segmentation")): junk(rng)}
    value = pick(rng, (content, content, junk(rng), {"a.jpg": junk(rng)}, [junk(rng)], [broken],
                       instances | {pick(rng, ("images", "annotations")): [junk(rng), broken]}))
    data = json.dumps(value).encode()
    path.write_bytes(changed(rng, data) if action == 3 else data)
    return either(lambda: load_proposals(path, size, *asked))
