"""Choose the TSEG-style baseline's side, its threshold and whether it follows edges, by mIoU on val.

    python training/tune_tseg.py [--data benchmarks/scenes] [--write]
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from refdiff import RefDiff
from refdiff.baselines.tseg import assigned, cut, opened
from refdiff.datasets import open_dataset
from refdiff.settings import GenerativeSettings
from refdiff.weights.manifest import EMBEDDED

SIDES = (128, 160, 192)
CUTS = tuple(itertools.product((False, True), (i / 20 for i in range(2, 13)), (False, True)))
"""Whether to follow edges, the threshold, and whether it is relative."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("benchmarks/scenes"))
    parser.add_argument("--write", action="store_true", help="into the config.json of the shipped weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = RefDiff.from_pretrained("mini", device="cpu")
    network = opened(model)[0]
    shipped, found = network.config, {}
    for side in SIDES:
        network.config = replace(shipped, side=side)
        for references in open_dataset(options.data, "val").images():
            scene = model.encode(references[0].image)
            edges = scene.follow_edges(GenerativeSettings())
            maps = assigned(scene, [r.expression for r in references])
            for reference, (own, _) in zip(references, maps, strict=True):
                truth, smooth = reference.truth(scene.size), edges(own)
                for follow, threshold, relative in CUTS:
                    config = replace(shipped, side=side, edges=follow, threshold=threshold, relative=relative)
                    mask = cut(smooth if follow else own, config)
                    found.setdefault(config, []).append(((mask & truth).sum() / (mask | truth).sum(), reference.kind))
    means = {each: np.mean([iou for iou, _ in rows]) for each, rows in found.items()}
    for side, edges, relative in itertools.product(SIDES, (False, True), (False, True)):
        best = max((c for c in means if (c.side, c.edges, c.relative) == (side, edges, relative)), key=means.get)
        nouns = np.mean([iou for iou, kind in found[best] if kind == "noun"])
        print(f"side {side}, edges {edges}, relative {relative}: threshold {best.threshold:.2f}, "
              f"mIoU {means[best]:.4f}, by noun {nouns:.4f}")
    if options.write:
        config = json.dumps(asdict(max(means, key=means.get)), indent=2)
        (EMBEDDED / "tseg" / "config.json").write_text(config + "\n")


if __name__ == "__main__":
    main()
