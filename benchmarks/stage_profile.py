"""Where the time of each stage goes: on the device, or in starting its work; and which operators take the most.

    python benchmarks/stage_profile.py [--expressions 1] [--model FOLDER] [--device cuda] [--dtype bfloat16] ...
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from refdiff.bench.measure import STAGES, expressions, run_refdiff
from refdiff.cli.options import load_model, model_options
from refdiff.timing import Stopwatch

IMAGE = Path(__file__).parent.parent / "examples" / "scene.png"


class Marker(Stopwatch):
    """A stopwatch whose stages the profiler sees too, with what they started on the device."""

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        with record_function(stage), super().__call__(stage):
            yield


def stage_table(events: list) -> str:
    """Milliseconds a stage took and its kernels ran, and how many there were."""
    spans = [event for event in events if event.name in STAGES and event.device_type == DeviceType.CPU]
    kernels = [event for event in events if event.device_type == DeviceType.CUDA and event.name not in STAGES]
    wall: defaultdict[str, float] = defaultdict(float)
    busy: defaultdict[str, float] = defaultdict(float)
    count: Counter[str] = Counter()
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
    parser.add_argument("--expressions", type=int, default=1)
    model_options(parser)
    options = parser.parse_args()
    model, texts = load_model(options), expressions(options.expressions)
    for _ in range(2):
        run_refdiff(model, IMAGE, texts)
    on_device = model.device.type != "cpu"
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA] if on_device else None) as watched:
        run_refdiff(model, IMAGE, texts, Marker(model.wait))
    print(stage_table(watched.events()))
    print(watched.key_averages().table(sort_by=f"self_{'device' if on_device else 'cpu'}_time_total", row_limit=15,
                                       max_name_column_width=60))


if __name__ == "__main__":
    main()
