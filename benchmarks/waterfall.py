"""What each optimisation of `refdiff.fast` gains, by the work that it touches.

    python benchmarks/waterfall.py [--rounds 5] [--model FOLDER] [--preset official] [--dtype bfloat16] [--set ...]
    python benchmarks/waterfall.py --optimisations sam-encoder,unet-stop

Two models are compared in turn, round by round: the one with all optimisations and the one that lacks this one, then
the one with this one alone and the one with none. Only the stage that the optimisation touches is run. A gain is the
median of the rounds' own differences, +- their median distance from it; the share is of the time that one expression
about a fresh image takes with all optimisations. Two models are loaded at a time.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from refdiff import RefDiff, load_image
from refdiff.bench.report import device_name, markdown
from refdiff.cli.options import load_model, model_options
from refdiff.fast import OPTIMISATIONS, chosen
from refdiff.models.segmentors.grid import point_grid

EVERY, NONE = frozenset(OPTIMISATIONS), frozenset[str]()
TEXT = "the cat on the left"


class Inputs:
    """What the stages of one image start from, made once with all optimisations."""

    def __init__(self, model: RefDiff, image: np.ndarray):
        model.encode(image).segment([TEXT])  # loads and warms up
        again = model.encode(image)
        started = time.perf_counter()
        again.segment([TEXT])
        self.seconds = time.perf_counter() - started
        self.image, self.masks = image, again.proposals().tensor
        self.latents = again.latents(model.settings.generative)
        self.embedding = model.segmentor.encode(image, model.settings.segmentor)


def attention(model: RefDiff, given: Inputs) -> None:
    model.diffusion.attention(given.latents, [TEXT], model.settings.generative)


def crops(model: RefDiff, given: Inputs) -> None:
    model.similarity.crop_features(given.image, given.masks, model.settings)


def attention_and_crops(model: RefDiff, given: Inputs) -> None:
    attention(model, given)
    crops(model, given)


def sam_encoder(model: RefDiff, given: Inputs) -> None:
    model.segmentor.encode(given.image, model.settings.segmentor)


def sam_masks(model: RefDiff, given: Inputs) -> None:
    own, size = model.settings.segmentor, given.image.shape[:2]
    model.segmentor.masks_at(given.embedding, point_grid(own.points_per_side), size, own, model.settings.batching)


TOUCHED: dict[str, Callable[[RefDiff, Inputs], None]] = {
    "unet-stop": attention, "half-attention": attention_and_crops, "sam-encoder": sam_encoder,
    "sam-decoder": sam_masks, "sam-windows": sam_masks}


def with_only(model: RefDiff, fast: frozenset[str]) -> RefDiff:
    return RefDiff(model.bundle, model.device, model.dtype, model.settings, model.memory, fast)


def in_turn(stage: Callable[[RefDiff, Inputs], None], slower: RefDiff, faster: RefDiff, given: Inputs,
            rounds: int) -> tuple[list[str], float]:
    """Cells: ms of the first, of the second, the gain; and the gain in seconds. One round loads and warms up."""
    spent: list[list[float]] = [[], []]
    for _ in range(rounds + 1):
        for taken, model in zip(spent, (slower, faster), strict=True):
            started = time.perf_counter()
            stage(model, given)
            if model.wait:
                model.wait()
            taken.append(time.perf_counter() - started)
    a, b = (np.array(each[1:]) for each in spent)
    middle = float(np.median(a - b))
    noise = float(np.median(np.abs(a - b - middle)))
    return [f"{median(a) * 1000:.0f}", f"{median(b) * 1000:.0f}", f"{middle * 1000:.1f} +- {noise * 1000:.1f}"], middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", type=Path, default=Path(__file__).parent.parent / "examples" / "scene.png")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--optimisations", metavar="NAME[,NAME...]", default=",".join(OPTIMISATIONS),
                        help="which to measure (default: all)")
    parser.add_argument("--left-out-only", action="store_true", help="do not measure each alone")
    model_options(parser)
    options = parser.parse_args()
    model, image, names = load_model(options), load_image(options.image), options.optimisations.split(",")
    chosen(names)  # an unknown name should fail now
    given = Inputs(model, image)
    print(f"{model.bundle.name}, {str(model.dtype).removeprefix('torch.')}, {model.settings.generative.image_size} px, "
          f"{len(given.masks)} proposals, {device_name(model.device)}, {torch.get_num_threads()} threads, torch "
          f"{torch.__version__}, medians of {options.rounds}; one expression takes {given.seconds * 1000:.0f} ms\n",
          flush=True)
    base = with_only(model, NONE)  # loads nothing
    del model
    rows = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        cells, share = [name], []
        for slower, faster in ((EVERY - {name}, EVERY), (NONE, frozenset({name})))[: 1 if options.left_out_only else 2]:
            found, gained = in_turn(TOUCHED[name], with_only(base, slower), with_only(base, faster), given,
                                    options.rounds)
            cells += found
            share.append(f"{gained / given.seconds:.1%}")
            gc.collect()  # a model's parts refer to each other
        rows.append([*cells[:4], share[0], *cells[4:], *share[1:]])
    head = ["optimisation", "stage without it, ms", "with it, ms", "it gains, ms", "of one expression",
            "stage with none, ms", "with it alone, ms", "it gains, ms", "of one expression"]
    print(markdown([head[: len(rows[0])], *rows]))


if __name__ == "__main__":
    main()
