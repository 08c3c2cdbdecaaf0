"""Draw the loss and the held-out figures of every run over samples seen: python training/plot.py RUN... --out DIR"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("training/curves"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for run in options.runs:
        rows = list(csv.DictReader((run / "curve.csv").open()))
        samples = [float(row["samples"]) / 1000 for row in rows]
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), constrained_layout=True)
        left.plot(samples, [float(row["loss"]) for row in rows])
        left.set(title=f"{run.name}: loss", xlabel="thousand samples")
        for name in [name for name in rows[0] if name not in ("step", "samples", "minutes", "loss", "psnr")]:
            style = "--" if name.startswith("unseen") else "-"
            right.plot(samples, [float(row[name]) for row in rows], style, label=name)
        right.set(title="held out", xlabel="thousand samples", ylim=(0, 1))
        right.legend(fontsize=6)
        figure.savefig(options.out / f"{run.name}.png", dpi=110)
        shutil.copy(run / "curve.csv", options.out / f"{run.name}.csv")
