"""What each optimisation of `refdiff.fast` gains: the time of one expression about a fresh image, with and without it.

    python benchmarks/waterfall.py [--rounds 5] [--model FOLDER] [--preset official] [--dtype bfloat16] [--set ...]
    python benchmarks/waterfall.py --optimisations sam-encoder,unet-share

Each is left out of all of them, and added to none. The two configurations that are compared run in turn, round by
round, and a gain is the median of the rounds' own differences, +- their median distance from it; so the machine may
become slower or faster in the meantime. Two models are loaded at a time.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from refdiff import RefDiff, load_image
from refdiff.bench.measure import EXPRESSIONS
from refdiff.bench.report import device_name, markdown
from refdiff.cli.options import load_model, model_options
from refdiff.fast import OPTIMISATIONS, chosen
from refdiff.language import parse

EVERY = frozenset(OPTIMISATIONS)


def with_only(model: RefDiff, fast: frozenset[str]) -> RefDiff:
    return RefDiff(model.bundle, model.device, model.dtype, model.settings, model.memory, fast)


def seconds(model: RefDiff, image: np.ndarray, text: str) -> float:
    """Of one expression about a fresh image, without reading or writing files."""
    scene = model.encode(image)
    parse(text, model.settings.expression)  # what is remembered of a text must not favour whoever comes second
    started = time.perf_counter()
    scene.segment([text])
    if model.wait:
        model.wait()
    return time.perf_counter() - started


def in_turn(first: RefDiff, second: RefDiff, image: np.ndarray, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of both by round, after one round that loads and warms up."""
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for taken, model in zip(spent, (first, second), strict=True):
            taken.append(seconds(model, image, EXPRESSIONS[number % len(EXPRESSIONS)]))
    return spent[0][1:], spent[1][1:]


def gain(slower: list[float], faster: list[float]) -> list[str]:
    """Two cells: by how many ms the second is faster, and how much that is of the first one's time."""
    differences = [a - b for a, b in zip(slower, faster, strict=True)]
    middle = median(differences)
    noise = median(abs(each - middle) for each in differences)
    return [f"{middle * 1000:.0f} +- {noise * 1000:.0f}", f"{middle / median(slower):.1%}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=Path(__file__).parent.parent / "examples" / "scene.png")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--optimisations", metavar="NAME[,NAME...]", default=",".join(OPTIMISATIONS),
                        help="which to measure (default: all)")
    model_options(parser)
    options = parser.parse_args()
    model, image, names = load_model(options), load_image(options.image), options.optimisations.split(",")
    chosen(names)  # an unknown name should fail now
    rows = {name: [name] for name in names}
    whole: dict[str, list[float]] = {"all": [], "none": []}
    for base, fast in (("all", EVERY), ("none", frozenset[str]())):
        kept = with_only(model, fast)
        for name in names:
            print(f"{name} against {base}", file=sys.stderr, flush=True)
            of_base, of_other = in_turn(kept, with_only(model, fast ^ {name}), image, options.rounds)
            whole[base] += of_base
            rows[name] += [f"{median(of_other) * 1000:.0f}",
                           *(gain(of_other, of_base) if base == "all" else gain(of_base, of_other))]
            gc.collect()  # a model's parts refer to each other
    print(f"{model.bundle.name}, {str(model.dtype).removeprefix('torch.')}, {model.settings.generative.image_size} px, "
          f"{device_name(model.device)}, {torch.get_num_threads()} threads, torch {torch.__version__}, medians of "
          f"{options.rounds}: {1000 * median(whole['all']):.0f} ms with all optimisations, "
          f"{1000 * median(whole['none']):.0f} ms with none\n")
    head = ["optimisation", "all but it, ms", "it gains, ms", "of that time", "it alone, ms", "it gains, ms",
            "of the time with none"]
    print(markdown([head, *rows.values()]))


if __name__ == "__main__":
    main()
