"""Everyday expressions on ten scenes of testA and testB, written without sight of the rules: the share that is right.

    python benchmarks/everyday.py [--wrong]

Right is an IoU over 0.5 with all that is meant together, or nothing where nothing is meant.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from refdiff import RefDiff
from refdiff.core.masks import from_rle
from refdiff.evaluation.metrics import Overlap

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--wrong", action="store_true", help="show what is wrong")
    options = parser.parse_args()
    instances = json.loads((HERE / "scenes" / "instances.json").read_text())
    segmentations = {each["id"]: each["segmentation"] for each in instances["annotations"]}
    asked = defaultdict(list)
    for each in json.loads((HERE / "everyday.json").read_text()):
        asked[each["image"]].append(each)
    model = RefDiff.from_pretrained(options.model)
    right, every = Counter(), Counter()
    for name, expressions in asked.items():
        scene = model.encode(HERE / "scenes" / "images" / name)
        results = scene.segment([each["expression"] for each in expressions])
        for each, result in zip(expressions, results, strict=True):
            truth = np.zeros(scene.size, bool)
            for number in each["ann_ids"]:
                truth |= from_rle(segmentations[number], scene.size)
            iou = Overlap.of(result.mask, truth).iou
            every[each["kind"]] += 1
            right[each["kind"]] += iou > 0.5
            if options.wrong and iou <= 0.5:
                print(f"{name}: {each['expression']}  IoU {iou:.2f}\n    {result.query}  {result.notice or ''}")
    for kind in every:
        print(f"{kind:10s} {right[kind]:3d} of {every[kind]:3d}")
    print(f"{'all':10s} {sum(right.values()):3d} of {sum(every.values()):3d}")


if __name__ == "__main__":
    main()
