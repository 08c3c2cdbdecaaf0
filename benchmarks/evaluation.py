"""Measure the runner: memory over many images, and the time of one Ray worker against two.

    python benchmarks/evaluation.py memory [--images 2000]
    python benchmarks/evaluation.py workers [--data benchmarks/scenes] [--images 40]
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from refdiff import RefDiff
from refdiff.baselines.registry import get_methods
from refdiff.core.masks import to_rle
from refdiff.datasets import open_dataset
from refdiff.datasets.reference import Dataset
from refdiff.evaluation.engine import Progress
from refdiff.evaluation.runner import evaluate

SIDE = 64


def small_scenes(folder: Path, count: int) -> tuple[Path, Path]:
    """A dataset of `count` images of one coloured square each, and a file of their proposals."""
    lines, proposals = [], {}
    for i in range(count):
        rng = np.random.default_rng(i)
        left, top = rng.integers(0, SIDE // 2, 2)
        mask = np.zeros((SIDE, SIDE), bool)
        mask[top : top + SIDE // 2, left : left + SIDE // 2] = True
        image = np.where(mask[..., None], rng.integers(0, 256, 3), rng.integers(0, 256, 3)).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(json.dumps({"image": f"{i}.png", "expression": "the square", "segmentation": to_rle(mask)}))
        proposals[f"{i}.png"] = [to_rle(mask), to_rle(~mask)]
    (folder / "small.jsonl").write_text("\n".join(lines))
    (folder / "proposals.json").write_text(json.dumps(proposals))
    return folder / "small.jsonl", folder / "proposals.json"


def resident() -> float:
    """This process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def memory(images: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data, proposals = small_scenes(Path(folder), images)

        def show(progress: Progress) -> None:
            if progress.done % max(1, images // 10) == 0:
                print(f"{progress.done} images: {resident():.0f} MB", flush=True)

        evaluate(RefDiff.from_pretrained("mini"), open_dataset(data), get_methods(["region-token", "ref-diff/ds"]),
                 Path(folder) / "run", proposals, show=show)


def workers(data: Path, images: int) -> None:
    import ray

    whole = open_dataset(data)
    kept = [reference for group in islice(whole.images(), images) for reference in group]
    dataset = Dataset(whole.name, whole.split, tuple(kept), whole.where)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    model, methods = RefDiff.from_pretrained("mini"), get_methods(["ref-diff"])
    import torch

    torch.set_num_threads(1)  # so that a second worker adds a core
    spent = {}
    for count in (1, 2, 1, 2):
        with tempfile.TemporaryDirectory() as folder:
            moments = []
            evaluate(model, dataset, methods, folder, workers=count,
                     show=lambda progress, moments=moments: moments.append(time.perf_counter()))
            # from the first images on: a worker's start (imports, loading) is paid once per run
            seconds = (moments[-1] - moments[count]) / (len(moments) - 1 - count)
            spent.setdefault(count, []).append(seconds)
            print(f"{count} worker(s): {1000 * seconds:.0f} ms per image", flush=True)
    print(f"one worker's time over two workers': {min(spent[1]) / min(spent[2]):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("memory", "workers"))
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "scenes")
    parser.add_argument("--images", type=int)
    options = parser.parse_args()
    if options.what == "memory":
        memory(options.images or 2000)
    else:
        workers(options.data, options.images or 40)
