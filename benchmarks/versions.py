"""refdiff beside another checkout of it: the same winners, and time in turn.

    git worktree add ../before e0d5d95
    python benchmarks/versions.py ../before [--images 200] [--rounds 4] [--no-fast]

Every version runs in processes of its own, with this environment's libraries and the other checkout's mini, each
expression read as one. Winners: the expressions of evenly spread
images of the scenes benchmark. Time: the 640x480 example, from its file to the masks' files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np

from refdiff.core.masks import from_rle

HERE = Path(__file__).resolve().parent
# What runs in either version: of the library only what both have.
WORKER = """
import io, json, sys, time
from contextlib import suppress
from pathlib import Path
from statistics import median
from refdiff import RefDiff
from refdiff.datasets import open_dataset
task, here, images, options = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
with suppress(ImportError):  # before it was an option of the command line, the library did it by itself
    from refdiff.bench.allocator import keep_freed
    keep_freed()
model = RefDiff.from_pretrained(sys.argv[5], device="cpu", **options)
with suppress(Exception):  # versions that read queries too
    model.settings = model.settings.replace(reading="root")
if task == "winners":
    groups = []
    for split in ("val", "testA", "testB"):
        data = open_dataset(here / "scenes", split)
        groups += list(data.images() if hasattr(data, "images") else data.pictures())
    for references in groups[:: max(1, len(groups) // images)][:images]:
        texts = [each.expression for each in references]
        for text, answer in zip(texts, model.encode(references[0].image).segment(texts)):
            print(json.dumps([references[0].image.name, text, answer.candidates[0].index, answer.rle]))
else:
    texts = ["the cat on the left", "the dog", "a red car", "the big tree", "a bird", "the guitar", "the cup", "a book"]
    def seconds(count):
        started = time.perf_counter()
        for answer in model.encode(here.parent / "examples" / "scene.png").segment(texts[:count]):
            answer.save(here / "scratch.png")
        return time.perf_counter() - started
    try:
        seconds(1), seconds(8)
        print(json.dumps([median(seconds(1) for _ in range(9)), median(seconds(8) for _ in range(5))]))
    finally:
        (here / "scratch.png").unlink(missing_ok=True)
"""


def run(source: Path, task: str, images: int, options: dict[str, bool], bundle: Path) -> list:
    """What the version at `source` prints for a task, line by line."""
    command = [sys.executable, "-c", WORKER, task, str(HERE), str(images), json.dumps(options), str(bundle)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(source / "src")}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="the other checkout")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--no-fast", action="store_true", help="this version without its optimisations")
    options = parser.parse_args()
    now, own = HERE.parent, {"fast": False} if options.no_fast else {}
    bundle = options.before.resolve() / "src" / "refdiff" / "bundles" / "mini"
    old, new = (run(*each, bundle) for each in ((options.before.resolve(), "winners", options.images, {}),
                                                (now, "winners", options.images, own)))
    apart = [float((from_rle(a[3]) != from_rle(b[3])).mean()) for a, b in zip(old, new, strict=True)]
    same = sum(a[:3] == b[:3] for a, b in zip(old, new, strict=True))
    print(f"{len(old)} expressions about {len({row[0] for row in old})} images: the same winner for {same}; masks "
          f"apart by more than 0.1 % of the pixels for {sum(each > 0.001 for each in apart)}, at most by "
          f"{max(apart):.2%}")
    spent: dict[str, list[list[float]]] = {"before": [], "now": []}
    for _ in range(options.rounds):
        for name, source, given in (("before", options.before.resolve(), {}), ("now", now, own)):
            spent[name] += run(source, "time", 0, given, bundle)
    for count, place in ((1, 0), (8, 1)):
        before, after = (median(each[place] for each in spent[name]) for name in ("before", "now"))
        ratio = median(np.array(spent["now"])[:, place] / np.array(spent["before"])[:, place])
        print(f"{count} expression{'s' * (count > 1)}: {before * 1000:.0f} ms before, {after * 1000:.0f} ms now; "
              f"ratio {ratio:.2f}, median of {options.rounds} rounds")


if __name__ == "__main__":
    main()
