"""Where the time of each stage goes: on the device, or in starting its work; and which operators take the most.

    python benchmarks/stage_profile.py [--model FOLDER] [--device cuda] [--dtype bfloat16] [--expressions 1]
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from refdiff import RefDiff
from refdiff.bench.measure import EXPRESSIONS, STAGES, refdiff_way

PICTURE = Path(__file__).parent.parent / "examples" / "scene.png"


@contextmanager
def marked(stage: str) -> Iterator[None]:
    """Takes a `Stopwatch`'s place; what a stage started on the device ends within it."""
    with record_function(stage):
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def stage_table(events: list) -> str:
    """Milliseconds a stage took and its kernels ran, and how many there were."""
    spans = [event for event in events if event.name in STAGES and event.device_type == DeviceType.CPU]
    kernels = [event for event in events if event.device_type == DeviceType.CUDA and event.name not in STAGES]
    wall, busy, count = defaultdict(float), defaultdict(float), Counter()
    for span in spans:
        inside = [each for each in kernels if span.time_range.start <= each.time_range.start < span.time_range.end]
        wall[span.name] += span.time_range.elapsed_us() / 1000
        busy[span.name] += sum(each.time_range.elapsed_us() for each in inside) / 1000
        count[span.name] += len(inside)
    lines = ["| stage | ms | kernels, ms | kernels |", "| --- | --- | --- | --- |"]
    lines += [f"| {stage} | {wall[stage]:.1f} | {busy[stage]:.1f} | {count[stage]} |" for stage in STAGES]
    return "\n".join([*lines, f"| all | {sum(wall.values()):.1f} | {sum(busy.values()):.1f} | {count.total()} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--preset", choices=("paper", "official"))
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--expressions", type=int, default=1)
    options = parser.parse_args()
    model = RefDiff.from_pretrained(options.model, options.device, getattr(torch, options.dtype), options.preset)
    if options.image_size:
        model.settings = model.settings.replace(image_size=options.image_size)
    texts = [EXPRESSIONS[i % len(EXPRESSIONS)] for i in range(options.expressions)]
    for _ in range(2):
        refdiff_way(model, PICTURE, texts)
    on_device = options.device != "cpu"
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA] if on_device else None) as watched:
        refdiff_way(model, PICTURE, texts, marked)
    print(stage_table(watched.events()))
    print(watched.key_averages().table(sort_by=f"self_{'device' if on_device else 'cpu'}_time_total", row_limit=15,
                                       max_name_column_width=60))


if __name__ == "__main__":
    main()
