"""Measure a bundle on a scenes dataset: pointing accuracy, and mIoU and oIoU of every variant.

    python benchmarks/mini.py [--data benchmarks/scenes] [--split val] [--json FILE] [--set point_source=peaks]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from refdiff import RefDiff
from refdiff.cli.options import load_model, model_options
from refdiff.core.masks import iou_matrix
from refdiff.datasets import open_dataset

VARIANTS = ("g", "gs", "ds", "root", "one", "full")
# root: full, each expression read as one, as the paper does; one: full, which always answers with one thing
READINGS = {"root": {"reading": "root"}, "one": {"targets": "one"}}


def measure(model: RefDiff, data: Path, split: str) -> list[dict]:
    """A row of figures for every expression."""
    rows = []
    for references in open_dataset(data, split).images():
        scene = model.encode(references[0].image)
        texts = [reference.expression for reference in references]
        answers = {name: scene.segment(texts, "full" if name in READINGS else name,
                                       model.settings.replace(**READINGS.get(name, {}))) for name in VARIANTS}
        maps = scene.correlation_maps(texts)
        for i, reference in enumerate(references):
            truth = reference.truth(scene.size)
            row = {"id": reference.id, "expression": reference.expression, "kind": reference.kind,
                   "pointing": float(truth.flatten()[maps[i].argmax()]),
                   "best proposal": iou_matrix(scene.proposals().masks, truth[None]).max(),
                   "score": answers["full"][i].score, "noticed": answers["full"][i].notice is not None}
            for variant in VARIANTS:
                mask = answers[variant][i].mask
                row[f"{variant} I"], row[f"{variant} U"] = int((mask & truth).sum()), int((mask | truth).sum())
                row[variant] = row[f"{variant} I"] / max(row[f"{variant} U"], 1)
            rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    columns = ("pointing", "best proposal", *VARIANTS)
    kinds = defaultdict(list)
    for row in rows:
        kinds["all"].append(row)
        kinds[row["kind"]].append(row)
    lines = ["| expressions | n | " + " | ".join(columns) + " | " + " | ".join(f"{v} oIoU" for v in VARIANTS) + " |",
             "| --- " * (2 + len(columns) + len(VARIANTS)) + "|"]
    for kind, chosen in kinds.items():
        means = [np.mean([row[column] for row in chosen]) for column in columns]
        overall = [sum(row[f"{v} I"] for row in chosen) / sum(row[f"{v} U"] for row in chosen) for v in VARIANTS]
        lines.append(f"| {kind} | {len(chosen)} | " + " | ".join(f"{value:.3f}" for value in means + overall) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "scenes")
    parser.add_argument("--split", default="val")
    parser.add_argument("--json", type=Path, help="write a row for every expression here")
    model_options(parser)
    options = parser.parse_args()
    rows = measure(load_model(options), options.data, options.split)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
