"""How the baselines that see a whole image depend on its side.

    python benchmarks/baseline_side.py          # mini, 40 images of val
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from refdiff import RefDiff
from refdiff.baselines import yu2023
from refdiff.baselines.registry import get_methods
from refdiff.core.masks import iou_matrix
from refdiff.datasets import open_dataset

SIDES = (64, 128, 192)  # px


def pixels_at(side: int) -> Callable[..., torch.Tensor]:
    """What `yu2023.whole_pixels` does, at this side instead of CLIP's own."""
    def whole_pixels(model: object, image: np.ndarray) -> torch.Tensor:
        return F.interpolate(yu2023.image_pixels(image), size=(side, side), mode="bilinear")

    return whole_pixels


def main() -> None:
    model = RefDiff.from_pretrained("mini")
    methods = get_methods(["region-token", "global-local", "cropping"])  # cropping sees no whole image: to compare
    images = list(islice(open_dataset(Path(__file__).parent / "scenes", "val").images(), 40))
    proposals = [model.encode(references[0].image).proposals() for references in images]
    for side in SIDES:
        yu2023.whole_pixels = pixels_at(side)
        overlaps = {method.name: [] for method in methods}
        for references, given in zip(images, proposals, strict=True):
            scene = model.encode(references[0].image, proposals=given)
            for method in methods:
                choices = method(scene, [reference.expression for reference in references])
                overlaps[method.name] += [iou_matrix(choice.mask[None], reference.truth(scene.size)[None])[0, 0]
                                          for choice, reference in zip(choices, references, strict=True)]
        print(f"{side} px:", ", ".join(f"{name} {np.mean(found):.3f}" for name, found in overlaps.items()), flush=True)


if __name__ == "__main__":
    main()
