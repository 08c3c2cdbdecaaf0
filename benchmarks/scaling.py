"""How the time for one picture grows with expressions, and with proposals.

    python benchmarks/scaling.py [--model mini] [--picture examples/scene.png] [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np

from refdiff import RefDiff, load_image
from refdiff.bench.measure import EXPRESSIONS
from refdiff.cli import load_model, model_options
from refdiff.proposals import Proposals

TEXTS = (1, 2, 4, 8, 16, 32)
MASKS = (10, 25, 50, 100, 200)


def boxes(count: int, size: tuple[int, int]) -> Proposals:
    """Random boxes of a tenth to a half of the picture's sides."""
    rng, masks = np.random.default_rng(0), np.zeros((count, *size), bool)
    for mask in masks:
        extents = [int(extent * rng.uniform(0.1, 0.5)) for extent in size]
        top, left = (int(rng.integers(extent - own)) for extent, own in zip(size, extents, strict=True))
        mask[top : top + extents[0], left : left + extents[1]] = True
    return Proposals(masks, "file")


def seconds(model: RefDiff, image: np.ndarray, texts: int, proposals: Proposals, rounds: int) -> float:
    """The median time for a fresh picture."""
    taken = []
    for _ in range(rounds + 1):  # the first is a warm-up
        scene = model.encode(image, proposals=proposals)
        started = time.perf_counter()
        scene.segment([f"{EXPRESSIONS[i % len(EXPRESSIONS)]} {i}" for i in range(texts)])
        taken.append(time.perf_counter() - started)
    return median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path(__file__).parent.parent / "examples" / "scene.png")
    parser.add_argument("--rounds", type=int, default=5)
    model_options(parser)
    options = parser.parse_args()
    model, image = load_model(options), load_image(options.picture)
    for name, counts, case in (
        ("expressions over 25 proposals", TEXTS, lambda n: (n, boxes(25, image.shape[:2]))),
        ("proposals, one expression", MASKS, lambda n: (1, boxes(n, image.shape[:2]))),
    ):
        print(f"| {name} | ms | ms each |\n| --- | --- | --- |")
        for count in counts:
            taken = 1000 * seconds(model, image, *case(count), options.rounds)
            print(f"| {count} | {taken:.0f} | {taken / count:.1f} |", flush=True)
        print()


if __name__ == "__main__":
    main()
