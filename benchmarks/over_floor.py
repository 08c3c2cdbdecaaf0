"""refdiff's own time over the floor, round by round: `refdiff bench` without the reference implementation's minutes.

    python benchmarks/over_floor.py [--expressions 1] [--rounds 5] [--model FOLDER] [--dtype bfloat16] ...
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from statistics import median

from refdiff.bench.floor import OperationCounter
from refdiff.bench.measure import STAGES, expressions, product_rates, run_refdiff, seconds_of
from refdiff.cli.options import load_model, model_options
from refdiff.timing import Stopwatch

IMAGE = Path(__file__).parent.parent / "examples" / "scene.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--expressions", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    model_options(parser)
    options = parser.parse_args()
    model, texts, counter = load_model(options), expressions(options.expressions), OperationCounter()
    run_refdiff(model, IMAGE, texts, counter)
    ratios = []
    for _ in range(options.rounds):
        rates, watch = product_rates(model), Stopwatch(model.wait)
        seconds = seconds_of(model, partial(run_refdiff, model, IMAGE, texts, watch))
        floors = {stage: counter.seconds(stage, rates) for stage in STAGES}
        ratios.append(seconds / sum(floors.values()))
        print(f"{seconds:.2f} s, {ratios[-1]:.2f} times the floor:", ", ".join(
            f"{stage} {watch.milliseconds[stage] / 1000:.2f} ({floors[stage]:.2f})" for stage in STAGES), flush=True)
    print(f"median {median(ratios):.2f}")


if __name__ == "__main__":
    main()
