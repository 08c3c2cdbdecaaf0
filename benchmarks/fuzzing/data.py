"""Pickles, and datasets in every layout."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from .values import Case, Rng, blob, changed, either, junk, must_refuse, pick, text


def plain(rng: Rng, depth: int = 3) -> Any:
    """Data that a plain pickle may hold."""
    kind = rng.integers(8 if depth else 5)
    if kind < 5:
        return (None, bool(rng.integers(2)), int(rng.integers(-(2**40), 2**40)), text(rng), float(rng.normal()))[kind]
    parts = [plain(rng, depth - 1) for _ in range(rng.integers(4))]
    return parts if kind == 5 else tuple(parts) if kind == 6 else {text(rng, 9): part for part in parts}


def pickled(rng: Rng, folder: Path) -> Case:
    from refdiff.datasets.plain_pickle import load_plain_pickle

    path, content = folder / "refs.p", [plain(rng) for _ in range(rng.integers(1, 5))]
    data = pickle.dumps(content, protocol=int(rng.integers(6)))
    action = rng.integers(5)
    if action == 0:
        path.write_bytes(data)
        return Case(lambda: load_plain_pickle(path), lambda found: found == content)
    if action == 1:
        path.write_bytes(changed(rng, data))
        return either(lambda: load_plain_pickle(path))
    if action == 2:  # a soup of opcodes that doubles, nests and refers back
        soup = [b"(", b"]", b"}", b")", b"a", b"e", b"s", b"u", b"t", b"l", b"d", b"\x85", b"\x86", b"\x87", b"2", b"0",
                b"N", b"K\1", b"X\1\0\0\0a", b"q\0", b"h\0", b"q\1", b"h\1", b"\x94", b"r\xff\xff\xff\x7f", b"I1\n"]
        body = b"".join(pick(rng, soup) for _ in range(rng.integers(1, 200)))
        path.write_bytes(b"\x80\2" + body + b".")
        return either(lambda: load_plain_pickle(path))
    if action == 3:
        repeated = pick(rng, (b"\x85", b"2\x86", b"q\0h\0\x86", b"]", b"(", b"}q\0", b"l", b"h\0"))
        path.write_bytes(b"\x80\2" + pick(rng, (b"N", b"]q\0", b"}")) + repeated * int(rng.integers(70, 10**5)) + b".")
        return must_refuse(lambda: load_plain_pickle(path))
    called = pickle.dumps([content, pick(rng, (print, Path("a"), Case, np.zeros(2), 1j, {1, 2}))])
    path.write_bytes(called)
    return must_refuse(lambda: load_plain_pickle(path))


def measured(dataset: Any, size: tuple[int, int]) -> tuple[int, int]:
    """(how many references have a truth, how many a fault); any other exception goes through."""
    from refdiff.errors import InputError

    good = 0
    for reference in dataset.references:
        try:
            truth, ignored = reference.truth(size), reference.ignored(size)
            assert truth.shape == size and (ignored is None or not (truth & ignored).any())
            json.dumps([reference.expression, reference.kind, reference.id], ensure_ascii=False).encode()
            good += 1
        except InputError:
            pass
    dataset.fingerprint()
    return good, len(dataset.references) - good


def own_dataset(rng: Rng, folder: Path) -> Case:
    from refdiff.core.masks import to_rle
    from refdiff.datasets import open_dataset

    size, path = (20, 30), folder / "own.jsonl"
    truths = [to_rle(blob(rng, size)) for _ in range(int(rng.integers(1, 6)))]
    rows: list[Any] = [{"image": "a.png", "expression": f"x\u2028 {text(rng, 9).encode('utf-8', 'replace').decode()}",
                        "segmentation": truth} for truth in truths]
    action, faults = rng.integers(4), 0
    if action == 1:
        row = rows[int(rng.integers(len(rows)))]
        row[pick(rng, ("segmentation", "mask"))] = pick(rng, (5, "absent.png", {"size": 1}, [[1]], ["a"]))
        faults = 1
    elif action == 2:
        for row in rows:
            row[pick(rng, ("image", "expression", "segmentation", "mask", "id", "kind"))] = junk(rng)
    lines = [json.dumps(row, ensure_ascii=bool(rng.integers(2))) for row in rows]
    data = (pick(rng, ("", "\ufeff")) + pick(rng, ("\n", "\r\n", "\n\n")).join(lines)).encode("utf-8", "surrogatepass")
    path.write_bytes(changed(rng, data) if action == 3 else data)
    if action < 2:
        return Case(lambda: measured(open_dataset(path), size), lambda found: found == (len(rows) - faults, faults))
    return either(lambda: measured(open_dataset(path), size))


def refer_dataset(rng: Rng, folder: Path) -> Case:
    from refdiff.core.masks import to_rle
    from refdiff.datasets import open_dataset

    size, count = (20, 30), int(rng.integers(1, 5))
    masks: list[Any] = [pick(rng, (to_rle(blob(rng, size)), [to_rle(blob(rng, size))], [[2, 2, 20, 2, 20, 15 + i]]))
                        for i in range(count)]
    instances = {"images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}],
                 "annotations": [{"id": i, "segmentation": mask} for i, mask in enumerate(masks)]}
    refs = [{"ref_id": i, "ann_id": pick(rng, (i, [i], [i, 0])), "image_id": 1, "split": "val",
             "sentences": [{"sent_id": i, "sent": f"thing {i}", "raw": f"Thing {i}"}]} for i in range(count)]
    read = {"text": pick(rng, ("sent", "raw")), "truth_as": pick(rng, ("union", "yu2023"))}
    action = rng.integers(3)
    if action == 1:
        target = pick(rng, [*refs, *instances["images"], *instances["annotations"], refs[0]["sentences"][0]])
        target[pick(rng, sorted(target))] = junk(rng)
    parts = [json.dumps(instances).encode(), json.dumps(refs).encode() if rng.random() < 0.5 else pickle.dumps(refs)]
    name = "refs(x).json" if parts[1].startswith(b"[") else "refs(x).p"
    if action == 2:
        index = int(rng.integers(2))
        parts[index] = changed(rng, parts[index])
    place = Path(folder) / f"refer{rng.integers(1 << 60)}"
    place.mkdir()
    (place / "instances.json").write_bytes(parts[0])
    (place / name).write_bytes(parts[1])
    if action == 0:
        return Case(lambda: measured(open_dataset(place, **read), size), lambda found: found == (count, 0))
    return either(lambda: measured(open_dataset(place, **read), size))


def phrasecut_dataset(rng: Rng, folder: Path) -> Case:
    from refdiff.datasets import open_dataset

    place, count = Path(folder) / f"cut{rng.integers(1 << 60)}", int(rng.integers(1, 5))
    place.mkdir()
    tasks: list[Any] = [{"task_id": f"1__{i}", "image_id": 1, "phrase": "a thing",
                         "Polygons": [[[[2, 2], [20, 2], [20, 15 + i]]]]} for i in range(count)]
    action = rng.integers(3)
    if action == 1:
        task = pick(rng, tasks)
        task[pick(rng, sorted(task))] = pick(rng, (junk(rng), [[junk(rng)]], [[[junk(rng, 1)]]]))
    data = json.dumps(tasks).encode()
    (place / "refer_val.json").write_bytes(changed(rng, data) if action == 2 else data)
    if action == 0:
        return Case(lambda: measured(open_dataset(place, "val"), (20, 30)), lambda found: found == (count, 0))
    return either(lambda: measured(open_dataset(place, "val"), (20, 30)))


def reasonseg_dataset(rng: Rng, folder: Path) -> Case:
    from refdiff.datasets import open_dataset

    place, count = Path(folder) / f"reason{rng.integers(1 << 60)}", int(rng.integers(1, 5))
    (place / "val").mkdir(parents=True)
    action = rng.integers(3)
    for i in range(count):
        points = rng.uniform(-3, 30, (int(rng.integers(2, 9)), 2)) * 10 ** rng.integers(5)
        shape = {"label": pick(rng, ("target", "ignore")), "points": points.tolist()}
        content: dict[str, Any] = {"text": ["a thing"], "is_sentence": True, "shapes": [
            {"label": "target", "points": [[2, 2], [20, 2], [20, 15 + i]]}, *([] if action == 0 else [shape])]}
        if action == 1:
            pick(rng, (content, shape))[pick(rng, ("text", "is_sentence", "shapes", "label", "points"))] = junk(rng)
        data = json.dumps(content).encode()
        (place / "val" / f"{i}.json").write_bytes(changed(rng, data) if action == 2 else data)
        (place / "val" / f"{i}.jpg").touch()
    if action == 0:
        return Case(lambda: measured(open_dataset(place), (20, 30)), lambda found: found == (count, 0))
    return either(lambda: measured(open_dataset(place), (20, 30)))
