"""Time of the whole method on one image, beside the reference implementation and beside the floor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..core.images import load_image, save_image
from ..pipeline import RefDiff
from ..result import Segmentation
from ..settings import Settings
from ..timing import Stopwatch, Watch
from .floor import OperationCounter, matrix_product_rate
from .reference import Reference

EXPRESSIONS = (
    "the cat on the left", "the dog", "a red car", "the big tree", "the ball at the bottom", "the green apple",
    "the house on the right", "a bird", "the horse next to the tree", "the cup", "a yellow flower", "the book",
    "the chair in the corner", "the blue hat", "the clock above the bed", "the small boat")
STAGES = ("decode", "latent", "attention", "SAM encoder", "SAM decoder", "text", "CLIP masked", "CLIP crops",
          "matching", "writing")


def expressions(count: int) -> list[str]:
    """So many of `EXPRESSIONS`, over again where there are too few."""
    return [EXPRESSIONS[i % len(EXPRESSIONS)] for i in range(count)]


def silent(text: str) -> None:
    """What is told of the progress where nobody listens."""


def measure(model: RefDiff, image: Path, counts: Sequence[int], rounds: int,
            show: Callable[[str], None] = silent) -> dict[str, Any]:
    """Seconds, ready for JSON: medians of `rounds`, ratios the medians of the rounds' own ratios.

    A round runs the reference implementation for one expression (it shares nothing, so k expressions take k times that)
    and refdiff for each of `counts` expressions, both from the image's file to the masks' files. The reference
    implementation is in float32, as released; half precision is one of refdiff's means.
    """
    texts = {count: expressions(count) for count in counts}
    counters = {count: OperationCounter() for count in counts}
    for count in counts:
        show(f"counting the arithmetic of {count} expressions")
        results = run_refdiff(model, image, texts[count], counters[count])
    reference = Reference(model.bundle, model.device)
    show("warming up the reference implementation")
    run_reference(reference, image, EXPRESSIONS[0], model.settings)
    taken: list[dict[int, float]] = []
    reference_taken: list[float] = []
    stages: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    rates: list[dict[torch.dtype, float]] = []
    for number in range(rounds):
        show(f"round {number + 1} of {rounds}")
        rates.append(product_rates(model))
        text = EXPRESSIONS[number % len(EXPRESSIONS)]
        reference_taken.append(seconds_of(model, partial(run_reference, reference, image, text, model.settings)))
        seconds: dict[int, float] = {}
        for count in counts:
            watch = Stopwatch(model.wait)
            seconds[count] = seconds_of(model, partial(run_refdiff, model, image, texts[count], watch))
            stages[count].append(watch.milliseconds)
        taken.append(seconds)
    rate = {dtype: median(each[dtype] for each in rates) for dtype in rates[0]}
    height, width = results[0].mask.shape
    report: dict[str, Any] = {
        "image": [width, height], "proposals": len(results[0].candidates), "rounds": rounds,
        "operations_per_second": {str(dtype).removeprefix("torch."): each for dtype, each in rate.items()},
        "reference_seconds": median(reference_taken), "counts": {}}
    for count in counts:
        floors = {stage: counters[count].seconds(stage, rate) for stage in STAGES}
        report["counts"][count] = {
            "seconds": median(each[count] for each in taken),
            "floor_seconds": sum(floors.values()),
            "over_floor": median(each[count] for each in taken) / sum(floors.values()),
            "times_faster": median(count * slow / each[count]
                                   for slow, each in zip(reference_taken, taken, strict=True)),
            "stages": {stage: {"seconds": median(each.get(stage, 0.0) for each in stages[count]) / 1000,
                               "floor_seconds": floors[stage]} for stage in STAGES}}
    return report


def run_refdiff(model: RefDiff, image: Path, texts: Sequence[str], watch: Watch | None = None) -> list[Segmentation]:
    """From an image's file to masks in files; a watch sees every stage."""
    stage = watch or _unwatched
    with stage("decode"):
        pixels = load_image(image)
    scene = model.encode(pixels)
    if watch:
        scene.watch = watch
    # read as the reference implementation reads them
    results = scene.segment(texts, settings=model.settings.replace(reading="root"))
    with stage("writing"), tempfile.TemporaryDirectory() as folder:
        for number, result in enumerate(results):
            result.save(Path(folder) / f"{number}.png")
    return results


def _unwatched(stage: str) -> AbstractContextManager[None]:
    return nullcontext()


def run_reference(reference: Reference, image: Path, text: str, settings: Settings) -> None:
    """From an image's file to one mask in a file."""
    answer = reference.answer(load_image(image), text, settings)
    with tempfile.TemporaryDirectory() as folder:
        save_image(answer.mask, Path(folder) / "mask.png")


def product_rates(model: RefDiff) -> dict[torch.dtype, float]:
    """Operations a second in matrix products of the dtypes that the model computes in."""
    return {dtype: matrix_product_rate(model.device, dtype) for dtype in {torch.float32, model.dtype}}


def seconds_of(model: RefDiff, run: Callable[[], Any]) -> float:
    """Wall-clock seconds until everything that `run` started is done."""
    watch = Stopwatch(model.wait)
    with watch("all"):
        run()
    return watch.milliseconds["all"] / 1000
