"""The time of expressions of order, relations, negation and several things beside plain ones.

    OMP_NUM_THREADS=1 python benchmarks/time_of_queries.py [--rounds 5] [--scenes 40] [--set ...]

Process time in seconds, medians, each about a fresh image that is encoded anew: one expression, eight further plain
ones, and eight further ones of other kinds. "Further" is what one more costs, beside the first. Then the mean of one
expression each about scenes of the split val.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean, median

import numpy as np

from refdiff import RefDiff, load_image
from refdiff.bench.report import markdown
from refdiff.cli.options import load_model, model_options
from refdiff.datasets import open_dataset
from refdiff.settings import Settings

HERE = Path(__file__).parent
FIRST = "the cat on the left"
PLAIN = ["the cat", "the guitar", "the orange", "the lamp", "the dog", "the car", "the tree", "the chair"]
OTHERS = ["the second cat from the left", "the cat closest to the guitar", "the largest orange", "both cats",
          "everything except the guitar", "the cat that is not on the left", "the orange between the cats",
          "the penguin"]
BEFORE = {"reading": "root", "nms_threshold": 0.9, "guided_radius": 0.0}


def seconds(model: RefDiff, image: np.ndarray, settings: Settings, expressions: Sequence[str]) -> float:
    started = time.process_time()
    model.encode(image, settings).segment(expressions)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=40)
    model_options(parser)
    options = parser.parse_args()
    model = load_model(options)
    example = load_image(HERE.parent / "examples" / "scene.png")
    images = {"640x480": example, "320x240": example[::2, ::2].copy()}
    rows = [["image", "reading", "1 expression", "1 + 8 plain", "1 + 8 others", "further plain", "further other"]]
    for size, image in images.items():
        for name, changes in (("root, as before", BEFORE), ("relations, now", {})):
            tried = model.settings.replace(**changes)
            spent: list[list[float]] = [[], [], []]
            for _ in range(options.rounds + 1):  # the first loads and warms up
                for taken, more in zip(spent, ([], PLAIN, OTHERS), strict=True):
                    taken.append(seconds(model, image, tried, [FIRST, *more]))
            one, plain, others = (median(each[1:]) for each in spent)
            rows.append([size, name, *(f"{each:.2f}" for each in (one, plain, others)),
                         f"{(plain - one) / 8:.3f}", f"{(others - one) / 8:.3f}"])
    print(markdown(rows))
    references = [of_image[0] for of_image in islice(open_dataset(HERE / "scenes", "val").images(), options.scenes)]
    means = [fmean(seconds(model, load_image(each.image), model.settings.replace(**changes), [each.expression])
                   for each in references) for changes in (BEFORE, {})]
    print(f"\n{len(references)} scenes of val, one expression: {means[0]:.2f} as before, {means[1]:.2f} now, "
          f"{means[1] / means[0]:.2f} times")


if __name__ == "__main__":
    main()
