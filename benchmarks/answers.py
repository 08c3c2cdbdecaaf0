"""Whether refdiff gives the plain way's answers: one expression of each of the benchmark's scenes, both ways.

    python benchmarks/answers.py [--pictures 200] [--preset official] [--device cuda]

An answer is the same when the two masks' IoU is above 0.9 (float32: almost always all pixels are).
"""

from __future__ import annotations

import argparse
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from refdiff import RefDiff
from refdiff.bench.plain import plain_answer
from refdiff.datasets import open_dataset
from refdiff.images import load_image
from refdiff.masks import iou_matrix


def compare(pictures: int, preset: str | None, device: str) -> str:
    data = Path(__file__).parent / "scenes"
    groups = chain.from_iterable(open_dataset(data, split).pictures() for split in ("val", "testA", "testB"))
    models = {dtype: RefDiff.from_pretrained("mini", device, dtype, preset)
              for dtype in (torch.float32, torch.bfloat16)}
    overlaps = {dtype: [] for dtype in models}
    differences = {dtype: [] for dtype in models}
    for references in islice(groups, pictures):
        image, text = load_image(references[0].image), references[0].expression
        exact = models[torch.float32]
        plain = plain_answer(exact, image, text, exact.settings)
        for dtype, model in models.items():
            scene = model.encode(image)
            overlaps[dtype].append(iou_matrix(scene.segment([text])[0].mask[None], plain.mask[None])[0, 0])
            differences[dtype].append(np.abs(scene.correlation_maps([text])[0] - plain.correlation).max())
    return "\n".join(
        f"{str(dtype).removeprefix('torch.')}: the same answer for {np.mean(np.array(each) > 0.9):.1%} of {len(each)} "
        f"scenes, every pixel of it for {np.mean(np.array(each) == 1):.1%}; correlation at most "
        f"{max(differences[dtype]):.1e} apart" for dtype, each in overlaps.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--preset", choices=("paper", "official"))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(compare(options.pictures, options.preset, options.device))
