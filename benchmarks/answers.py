"""Whether refdiff gives the reference implementation's answers: one expression of every k-th image of the scenes.

    python benchmarks/answers.py [--images 200] [--preset official] [--device cuda]

Two answers are the same when their masks' IoU is above 0.9. Where masks are not, a line names the image.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from refdiff import RefDiff, load_image
from refdiff.bench.reference import Reference
from refdiff.bench.report import markdown
from refdiff.datasets import Reference as Meant
from refdiff.datasets import open_dataset

SCENES = Path(__file__).parent / "scenes"
WAYS = {"fast, float32": (True, torch.float32), "not fast, float32": (False, torch.float32),
        "fast, bfloat16": (True, torch.bfloat16)}


def chosen(count: int) -> list[Meant]:
    """One expression of each of `count` images, evenly spread over the three splits."""
    images = [group for split in ("val", "testA", "testB") for group in open_dataset(SCENES, split).images()]
    places = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [images[place][number % len(images[place])] for number, place in enumerate(places)]


def compare(count: int, preset: str | None, device: str) -> str:
    models = {way: RefDiff.from_pretrained("mini", device, dtype, preset, fast=fast)
              for way, (fast, dtype) in WAYS.items()}
    first = next(iter(models.values()))
    settings, reference = first.settings.replace(reading="root"), Reference(first.bundle, first.device)
    overlaps, apart = defaultdict(list), defaultdict(list)
    for number, meant in enumerate(chosen(count), 1):
        image, text = load_image(meant.image), meant.expression
        answer = reference.answer(image, text, settings)
        for way, model in models.items():
            scene = model.encode(image, settings)
            mask = scene.segment([text])[0].mask
            overlaps[way].append((mask & answer.mask).sum() / max(1, (mask | answer.mask).sum()))
            apart[way].append(np.abs(scene.correlation_maps([text])[0] - answer.correlation).max())
            if overlaps[way][-1] <= 0.9:
                print(f"{way}: {meant.image.name}, {text!r}: IoU {overlaps[way][-1]:.3f}", flush=True)
        if number % 10 == 0:
            print(f"{number} images", file=sys.stderr, flush=True)
    rows = [[f"mini, {preset or 'own settings'}", "images", "same mask", "identical", "correlation at most apart"]]
    rows += [[way, str(len(each)), f"{np.mean(np.array(each) > 0.9):.1%}", f"{np.mean(np.array(each) == 1):.1%}",
              f"{max(apart[way]):.1e}"] for way, each in overlaps.items()]
    return markdown(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--preset", choices=("paper", "official"))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(compare(options.images, options.preset, options.device))
