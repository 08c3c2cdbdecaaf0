"""Hostile and valid inputs of every kind: each must end in its stated result or in a RefDiffError, within bounds.

    python benchmarks/fuzz.py --inputs 20000 --seed 0 --out fuzz.jsonl

Every input is made from the seed, its kind and its number alone. They run in another process under a limit of memory;
one that crashes or hangs there is counted and the process started again. FILE gets a line per input, and a run that was
stopped goes on after the last. Exit status 1 when any input escaped: another exception, a wrong result, a valid input
refused, a crash, or more than --seconds. Needs a system with resource limits (Linux, macOS).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

MEMORY = 6_000_000_000  # bytes of addresses, those of torch and spaCy among them
START_SECONDS = 120  # what the first input of a kind may take, imports included, and each that runs the models


def work() -> None:
    """Run the inputs that standard input names, [seed, kind, index] a line; a line of output for each."""
    import resource

    import numpy as np

    from fuzzing import KINDS
    from refdiff.errors import RefDiffError

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        seed, kind, index = json.loads(line)
        rng = np.random.default_rng((seed, zlib.crc32(kind.encode()), index))
        with tempfile.TemporaryDirectory() as folder:
            case = KINDS[kind][0](rng, Path(folder))
            started = time.perf_counter()
            try:
                result = case.run()
                outcome, note = "answered", ""
                if case.refused or (case.right is not None and not case.right(result)):
                    outcome, note = "escaped", f"a wrong result: {str(result)[:200]}"
            except RefDiffError as error:
                outcome, note = "refused", str(error)[:300]
                if case.right is not None:
                    outcome, note = "escaped", f"a valid input was refused: {note}"
                elif not str(error).endswith(".") or "\n" in str(error):
                    outcome, note = "escaped", f"not a sentence: {note}"
            except BaseException as error:
                frames = "".join(traceback.format_tb(error.__traceback__)[-4:])
                outcome, note = "escaped", f"{frames}{type(error).__name__}: {str(error)[:300]}"
            seconds = round(time.perf_counter() - started, 4)
        row = {"kind": kind, "index": index, "outcome": outcome, "seconds": seconds, "note": note}
        out.write(json.dumps(row) + "\n")


class Worker:
    """A process that runs inputs one after another, started anew after each that it does not survive."""

    def __init__(self, seed: int, seconds: float):
        self.seed, self.seconds, self.process = seed, seconds, None
        self.known: set[str] = set()

    def run(self, kind: str, index: int) -> dict[str, Any]:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, __file__, "--work"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, bufsize=1, env=os.environ | {"HF_HUB_OFFLINE": "1"})
            self.known = set()
        limit = START_SECONDS if kind == "segment" or kind not in self.known else self.seconds
        self.known.add(kind)
        with contextlib.suppress(BrokenPipeError), selectors.DefaultSelector() as selector:
            self.process.stdin.write(json.dumps([self.seed, kind, index]) + "\n")
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(limit) else ""
            if line:
                return json.loads(line)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a process that crashed takes a moment to end
            self.process.wait(1)
        how = "crashed" if self.process.poll() is not None else f"took over {limit:g} s"
        self.close()
        return {"kind": kind, "index": index, "outcome": "escaped", "seconds": limit, "note": f"the process {how}"}

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def read_state(path: Path, seed: int) -> list[dict[str, Any]]:
    """The rows of an earlier run with the same seed; a last line that is incomplete is cut off."""
    if not path.exists():
        path.write_text(json.dumps({"seed": seed}) + "\n")
        return []
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    header, *rows = [json.loads(line) for line in whole.splitlines()] or [{}]
    if header != {"seed": seed}:
        sys.exit(f"{path} is not of a run with seed {seed}; name another file.")
    path.write_bytes(whole)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    slowest: dict[str, float] = defaultdict(float)
    for row in rows:
        for kind in (row["kind"], "all"):
            counts[kind][row["outcome"]] += 1
            slowest[kind] = max(slowest[kind], row["seconds"])
    lines = ["| kind | inputs | answered | refused | escaped | slowest |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for kind in [*sorted(set(counts) - {"all"}), "all"]:
        found = counts[kind]
        lines.append(f"| {kind} | {found.total()} | {found['answered']} | {found['refused']} | {found['escaped']} | "
                     f"{slowest[kind]:.2f} s |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000, help="how many in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON-lines file for the results; an existing one is gone on with")
    parser.add_argument("--kinds", nargs="+", help="only these")
    parser.add_argument("--seconds", type=float, default=10, help="what one input may take")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
        return 0
    if options.out is None:
        parser.error("--out is required")
    from fuzzing import KINDS, SEGMENTS

    shares = {kind: share for kind, (_, share) in KINDS.items() if options.kinds is None or kind in options.kinds}
    rows = read_state(options.out, options.seed)
    done = {(row["kind"], row["index"]) for row in rows}
    worker = Worker(options.seed, options.seconds)
    try:
        with options.out.open("a") as file:
            for kind, share in shares.items():
                count = SEGMENTS if kind == "segment" else round(options.inputs * share / sum(shares.values()))
                for index in range(count):
                    if (kind, index) in done:
                        continue
                    rows.append(worker.run(kind, index))
                    file.write(json.dumps(rows[-1]) + "\n")
                    file.flush()
                print(f"{kind}: done", file=sys.stderr)
    finally:
        worker.close()
    print(table(rows))
    escaped = [row for row in rows if row["outcome"] == "escaped"]
    for row in escaped[:20]:
        print(f"\n{row['kind']} {row['index']}: {row['note']}", file=sys.stderr)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
