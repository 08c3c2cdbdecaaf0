"""The best guess that looks at neither image nor expression: a box or an ellipse in the middle, its size chosen on val.

    python benchmarks/constant_guess.py [--data benchmarks/scenes] [--kind noun]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from refdiff.datasets import open_dataset
from refdiff.datasets.reference import Reference

SHARES = tuple(i / 20 for i in range(4, 21))  # of the image's height and width


def guess(height: int, width: int, shape: str, share: float) -> np.ndarray:
    """bool [height, width]: a box or an ellipse whose height and width are that share of the image's."""
    y, x = np.mgrid[0:height, 0:width]
    y, x = (2 * y + 1) / height - 1, (2 * x + 1) / width - 1
    return (np.maximum(abs(x), abs(y)) if shape == "box" else np.hypot(x, y)) <= share


def figures(references: list[Reference], shape: str, share: float) -> tuple[float, float]:
    """(mIoU, oIoU) of that guess."""
    both = np.array([((found & truth).sum(), (found | truth).sum()) for truth in (r.mask for r in references)
                     for found in [guess(*truth.shape, shape, share)]])
    return float((both[:, 0] / both[:, 1]).mean()), float(both[:, 0].sum() / both[:, 1].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("benchmarks/scenes"))
    parser.add_argument("--kind", help="only expressions of this kind, such as noun")
    options = parser.parse_args()
    splits = {split: [r for r in open_dataset(options.data, split).references if options.kind in (None, r.kind)]
              for split in ("val", "testA", "testB")}
    best = max(((shape, share) for shape in ("box", "ellipse") for share in SHARES),
               key=lambda each: figures(splits["val"], *each)[0])
    print(f"{best[0]}, {best[1]:.2f} of each side")
    for split, references in splits.items():
        mean, overall = figures(references, *best)
        print(f"{split}: {len(references)} expressions, mIoU {100 * mean:.2f}, oIoU {100 * overall:.2f}")


if __name__ == "__main__":
    main()
