"""Counts and orders that fit what is in a scene, and that go beyond it.

    python benchmarks/counts.py --split report

For every kind of thing in a scene of the benchmark `said` of which there are c: "the nth NOUN from the left" for n up
to c + 2, "k NOUNs" for k = c and up to c + 2, and "both NOUNs" for c up to 2. Right is, within c, IoU over 0.5; beyond
it, for an order, nothing, and for a number the c that are there (IoU over 0.5), or nothing. "Told": the notice says
that fewer or none were found.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refdiff import RefDiff
from refdiff.bench.report import markdown
from refdiff.core.masks import from_rle
from refdiff.core.polygons import from_polygons
from refdiff.datasets import open_dataset
from refdiff.datasets.wording import plural
from refdiff.evaluation.metrics import Overlap

HERE = Path(__file__).parent
ORDINALS, NUMBERS = {2: "second", 3: "third", 4: "fourth"}, {2: "two", 3: "three", 4: "four"}


def asked(noun: str, own: list[dict[str, Any]]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(kind, expression, the annotations that are meant)."""
    ordered, count = sorted(own, key=lambda each: each["bbox"][0] + each["bbox"][2] / 2), len(own)
    for n in range(2, min(4, count + 2) + 1):
        beyond = n > count
        yield ("order, beyond" if beyond else "order"), f"the {ORDINALS[n]} {noun} from the left", ordered[n - 1 : n]
        if n >= count:
            yield ("number, beyond" if beyond else "number"), f"{NUMBERS[n]} {plural(noun)}", own
    if count <= 2:
        yield ("number" if count == 2 else "number, beyond"), f"both {plural(noun)}", own


def mask_of(annotations: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    out = np.zeros(size, bool)
    for drawn in (each["segmentation"] for each in annotations):
        out |= from_rle(drawn, size) if isinstance(drawn, dict) else from_polygons(drawn, size)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE / "said")
    parser.add_argument("--split", default="report")
    options = parser.parse_args()
    model = RefDiff.from_pretrained("mini")
    about = json.loads((options.data / "instances.json").read_text())
    names = {each["id"]: each["name"] for each in about["categories"]}
    images = {each["file_name"]: each["id"] for each in about["images"]}
    right: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    for references in open_dataset(options.data, options.split).images():
        scene, there = model.encode(references[0].image), defaultdict(list)
        for each in about["annotations"]:
            if each["image_id"] == images[references[0].image.name]:
                there[names[each["category_id"]]].append(each)
        wanted = [one for noun, own in there.items() for one in asked(noun, own)]
        for (kind, _, meant), result in zip(wanted, scene.segment([text for _, text, _ in wanted]), strict=True):
            good = Overlap.of(result.mask, mask_of(meant, scene.size)).iou > 0.5
            if kind.startswith("number, beyond"):
                good |= not result.found
            right[kind].append((good, not result.found, bool(result.notice)))
    rows = [["", "expressions", "right", "nothing found", "told"]]
    rows += [[kind, str(len(each)), *(f"{share:.3f}" for share in np.mean(each, 0))] for kind, each in right.items()]
    print(markdown(rows))


if __name__ == "__main__":
    main()
