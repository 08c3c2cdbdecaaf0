"""How the time for one image grows with expressions, and with proposals.

    python benchmarks/scaling.py [--model mini] [--image examples/scene.png] [--rounds 5]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import numpy as np

from refdiff import RefDiff, load_image
from refdiff.bench.measure import EXPRESSIONS
from refdiff.cli.options import load_model, model_options
from refdiff.core.proposals import Proposals

TEXTS = (1, 2, 4, 8, 16, 32)
MASKS = (10, 25, 50, 100, 200)


def boxes(count: int, size: tuple[int, int]) -> Proposals:
    """Random boxes of a tenth to a half of the image's sides."""
    rng, masks = np.random.default_rng(0), np.zeros((count, *size), bool)
    for mask in masks:
        extents = [int(extent * rng.uniform(0.1, 0.5)) for extent in size]
        top, left = (int(rng.integers(extent - own)) for extent, own in zip(size, extents, strict=True))
        mask[top : top + extents[0], left : left + extents[1]] = True
    return Proposals(masks, "given")


def seconds(model: RefDiff, image: np.ndarray, texts: int, proposals: Proposals, rounds: int) -> float:
    """The median time for a fresh image."""
    taken = []
    for _ in range(rounds + 1):  # the first is a warm-up
        scene = model.encode(image, proposals=proposals)
        started = time.perf_counter()
        scene.segment([f"{EXPRESSIONS[i % len(EXPRESSIONS)]} {i}" for i in range(texts)])
        if model.wait:
            model.wait()
        taken.append(time.perf_counter() - started)
    return median(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=Path(__file__).parent.parent / "examples" / "scene.png")
    parser.add_argument("--rounds", type=int, default=5)
    model_options(parser)
    options = parser.parse_args()
    model, image = load_model(options), load_image(options.image)
    size = image.shape[0], image.shape[1]
    for name, cases in (
        ("expressions over 25 proposals", [(count, count, 25) for count in TEXTS]),
        ("proposals, one expression", [(count, 1, count) for count in MASKS]),
    ):
        print(f"| {name} | ms | ms each |\n| --- | --- | --- |")
        for count, texts, masks in cases:
            taken = 1000 * seconds(model, image, texts, boxes(masks, size), options.rounds)
            print(f"| {count} | {taken:.0f} | {taken / count:.1f} |", flush=True)
        print()


if __name__ == "__main__":
    main()
