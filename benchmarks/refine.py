"""What corrections by hand gain: IoU before and after clicks, each in the middle of the greatest error.

    python benchmarks/refine.py [--data benchmarks/scenes] [--split val] [--expressions 60] [--clicks 3]

Of answers whose IoU with the truth is at most 0.93; where a click brings it over 0.97 no other is made. The click is
where the greatest part that is missing or too much is deepest.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from refdiff import RefDiff
from refdiff.cli.options import load_model, model_options
from refdiff.core.masks import iou_matrix
from refdiff.datasets import open_dataset

WRONG, GOOD = 0.93, 0.97


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float(iou_matrix(first[None], second[None])[0, 0])


def click(mask: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float], int]:
    """Where a person would click, (x, y), and whether that is inside (1) or outside (0)."""
    found = []
    for error, label in ((truth & ~mask, 1), (mask & ~truth, 0)):
        depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        found.append((depth.max(), (x + 0.5, y + 0.5), label))
    return max(found)[1:]


def corrections(model: RefDiff, data: Path, split: str, clicks: int) -> Iterator[list[float]]:
    """For each answer that is wrong, its IoU and that after each click."""
    for references in open_dataset(data, split).images():
        scene = model.encode(references[0].image)
        answers = scene.segment([reference.expression for reference in references])
        for reference, answer in zip(references, answers, strict=True):
            truth = reference.truth(scene.size)
            row, points, labels, mask = [iou(answer.mask, truth)], [], [], answer.mask
            if row[0] > WRONG:
                continue
            for _ in range(clicks):
                if row[-1] <= GOOD:
                    point, label = click(mask, truth)
                    points.append(point)
                    labels.append(label)
                    mask = scene.refine(answer, points, labels).mask
                row.append(iou(mask, truth))
            yield row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "scenes")
    parser.add_argument("--split", default="val")
    parser.add_argument("--expressions", type=int, default=60, help="at most this many answers that are wrong")
    parser.add_argument("--clicks", type=int, default=3)
    model_options(parser)
    options = parser.parse_args()
    rows = []
    for row in corrections(load_model(options), options.data, options.split, options.clicks):
        rows.append(row)
        if len(rows) == options.expressions:
            break
    values = np.array(rows)
    print("| answers | n | before | " + " | ".join(f"after click {n + 1}" for n in range(options.clicks))
          + " | worse after the first |")
    print("| --- " * (options.clicks + 4) + "|")
    for name, chosen in (("all", values), ("IoU over 0.5", values[values[:, 0] > 0.5]),
                         ("others", values[values[:, 0] <= 0.5])):
        worse = (chosen[:, 1] < chosen[:, 0] - 0.01).mean()
        means = " | ".join(f"{mean:.3f}" for mean in chosen.mean(0))
        print(f"| {name} | {len(chosen)} | {means} | {worse:.0%} |")
