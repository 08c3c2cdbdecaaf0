"""What people say: mean IoU by kind on the benchmark `said` (1 for a rightly empty answer), and what each idea adds.

    python benchmarks/said.py --split report                      # as the settings are
    python benchmarks/said.py --split report --ablation           # root only, + query, + instances, + relations, ...
    python benchmarks/said.py --data FOLDER --set threshold=0.2   # another drawing style, another setting

Settings are chosen on the split work; figures are of the split report.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

from refdiff import RefDiff, Settings
from refdiff.core.masks import to_rle
from refdiff.datasets import open_dataset
from refdiff.evaluation.metrics import Overlap

HERE = Path(__file__).parent
ABLATION = {
    "root only (the paper's rule)": {"reading": "root", "targets": "one"},
    "+ query": {"reading": "query", "threshold": 0.0},
    "+ instances": {"reading": "instances", "threshold": 0.0},
    "+ relations": {"reading": "relations", "threshold": 0.0},
    "+ abstention": {},
}


def measure(model: RefDiff, data: Path, split: str, rows: dict[str, Settings]) -> dict[str, list[dict]]:
    """For each of the settings, a dictionary for each expression."""
    found = defaultdict(list)
    for references in open_dataset(data, split).images():
        scene = model.encode(references[0].image)
        for name, settings in rows.items():
            results = scene.segment([each.expression for each in references], settings=settings)
            for reference, result in zip(references, results, strict=True):
                truth = reference.truth(scene.size)
                found[name].append({
                    "kind": reference.kind, "image": reference.image.name, "expression": reference.expression,
                    "query": str(result.query), "iou": Overlap.of(result.mask, truth).iou, "found": result.found,
                    "meant": bool(truth.any()), "confidence": result.confidence, "score": result.score,
                    "notice": result.notice, "rle": to_rle(result.mask)})
    return found


def summary(rows: list[dict]) -> dict[str, float]:
    """Mean IoU by kind and over kinds, the share right where nothing is meant, and refused where something is."""
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row["iou"])
    figures = {kind: float(np.mean(values)) for kind, values in by_kind.items()}
    figures["all kinds"] = float(np.mean(list(figures.values())))
    refused = [not row["found"] for row in rows if row["meant"]]
    return figures | {"refused": float(np.mean(refused)) if refused else 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--data", type=Path, default=HERE / "said")
    parser.add_argument("--split", default="report")
    parser.add_argument("--ablation", action="store_true", help="what each idea adds")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path, help="a JSON file of every answer")
    options = parser.parse_args()
    model = RefDiff.from_pretrained(options.model)
    changes = {name: json.loads(value) if value[0] in "0123456789-[" else value
               for name, value in (text.split("=", 1) for text in options.changes)}
    own = model.settings.replace(**changes)
    rows = {name: own.replace(**each) for name, each in (ABLATION if options.ablation else {"settings": {}}).items()}
    found = measure(model, options.data, options.split, rows)
    figures = {name: summary(each) for name, each in found.items()}
    columns = list(next(iter(figures.values())))
    print("| |" + "|".join(f" {column} " for column in columns) + "|")
    print("|---|" + "---|" * len(columns))
    for name, each in figures.items():
        print(f"| {name} |" + "|".join(f" {each[column]:.3f} " for column in columns) + "|")
    if options.out:
        options.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
