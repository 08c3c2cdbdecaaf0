"""Time and memory of the whole method on one picture, beside the plain way and beside the floor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image

from ..images import load_image
from ..memory import keep_freed
from ..pipeline import RefDiff, Segmentation
from ..timing import Stopwatch
from .floor import OperationCounter, matrix_product_rate
from .plain import plain_answer

EXPRESSIONS = (
    "the cat on the left", "the dog", "a red car", "the big tree", "the ball at the bottom", "the green apple",
    "the house on the right", "a bird", "the horse next to the tree", "the cup", "a yellow flower", "the book",
    "the chair in the corner", "the blue hat", "the clock above the bed", "the small boat")
STAGES = ("decode", "latent", "attention", "SAM encoder", "SAM decoder", "text", "CLIP masked", "CLIP crops",
          "matching", "writing")


def expressions(count: int) -> list[str]:
    """So many of `EXPRESSIONS`, over again where there are too few."""
    return [EXPRESSIONS[i % len(EXPRESSIONS)] for i in range(count)]


def measure(model: RefDiff, picture: Path, counts: Sequence[int], rounds: int,
            show: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Seconds, ready for JSON: medians of `rounds`, ratios the medians of the rounds' own ratios.

    A round runs the plain way for one expression (it shares nothing, so k expressions take k times that) and refdiff
    for each of `counts` expressions, both from the picture's file to the masks' files. The plain way is in float32,
    as released; half precision is one of refdiff's means.
    """
    plain = in_float32(model)
    texts = {count: expressions(count) for count in counts}
    counters = {count: OperationCounter() for count in counts}
    for count in counts:
        show(f"counting the arithmetic of {count} expressions")
        results = refdiff_way(model, picture, texts[count], counters[count])
    taken: list[dict[str | int, float]] = []
    stages: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    rates: list[dict[torch.dtype, float]] = []
    for number in range(rounds):
        show(f"round {number + 1} of {rounds}")
        rates.append(product_rates(model))
        seconds = {"plain": seconds_of(model, lambda n=number: plain_way(plain, picture, EXPRESSIONS[n % 16]))}
        refdiff_way(model, picture, texts[min(counts)])  # the plain way gave back what refdiff keeps from run to run
        for count in counts:
            watch = Stopwatch(model.device)
            seconds[count] = seconds_of(model, lambda c=count, w=watch: refdiff_way(model, picture, texts[c], w))
            stages[count].append(watch.milliseconds)
        taken.append(seconds)
    rate = {dtype: median(each[dtype] for each in rates) for dtype in rates[0]}
    height, width = results[0].mask.shape
    report = {
        "picture": [width, height], "proposals": len(results[0].candidates), "rounds": rounds,
        "operations_per_second": {str(dtype).removeprefix("torch."): each for dtype, each in rate.items()},
        "plain_seconds": median(each["plain"] for each in taken), "counts": {}}
    for count in counts:
        floors = {stage: counters[count].seconds(stage, rate) for stage in STAGES}
        report["counts"][count] = {
            "seconds": median(each[count] for each in taken),
            "floor_seconds": sum(floors.values()),
            "over_floor": median(each[count] for each in taken) / sum(floors.values()),
            "times_faster": median(count * each["plain"] / each[count] for each in taken),
            "stages": {stage: {"seconds": median(each.get(stage, 0.0) for each in stages[count]) / 1000,
                               "floor_seconds": floors[stage]} for stage in STAGES}}
    return report


def in_float32(model: RefDiff) -> RefDiff:
    """The model as the plain way runs it: in float32, without a bound on memory."""
    if model.dtype == torch.float32 and model.memory is None:
        return model
    return RefDiff(model.bundle, model.device, torch.float32, model.settings)


def refdiff_way(model: RefDiff, picture: Path, texts: Sequence[str],
                watch: Stopwatch | OperationCounter | None = None) -> list[Segmentation]:
    """From a picture's file to masks in files; a watch sees every stage."""
    stage = watch or (lambda _: nullcontext())
    with stage("decode"):
        image = load_image(picture)
    scene = model.encode(image)
    if watch:
        scene.watch = watch
    results = scene.segment(texts)
    with stage("writing"), tempfile.TemporaryDirectory() as folder:
        for number, result in enumerate(results):
            result.save(Path(folder) / f"{number}.png")
    return results


def plain_way(model: RefDiff, picture: Path, text: str) -> None:
    """From a picture's file to one mask in a file, freed memory in the C library's own way."""
    keep_freed(2**25)
    answer = plain_answer(model, load_image(picture), text, model.settings)
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(answer.mask).save(Path(folder) / "mask.png")


def product_rates(model: RefDiff) -> dict[torch.dtype, float]:
    """Operations a second in matrix products of the dtypes that the model computes in."""
    return {dtype: matrix_product_rate(model.device, dtype) for dtype in {torch.float32, model.dtype}}


def seconds_of(model: RefDiff, run: Callable[[], Any]) -> float:
    """Wall-clock seconds until everything that `run` started is done."""
    watch = Stopwatch(model.device)
    with watch("all"):
        run()
    return watch.milliseconds["all"] / 1000
