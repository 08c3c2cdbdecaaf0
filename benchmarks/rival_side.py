"""How the rivals that see a whole picture depend on its side: python benchmarks/rival_side.py (40 pictures of val)"""

from itertools import islice
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from refdiff.masks import iou_matrix

from refdiff import RefDiff, baselines, methods
from refdiff.datasets import open_dataset

if __name__ == "__main__":
    model = RefDiff.from_pretrained("mini")
    groups = list(islice(open_dataset(Path(__file__).parent / "scenes", "val").pictures(), 40))
    for side in (64, 128, 192):
        baselines.whole_pixels = lambda clip, image, side=side: F.interpolate(
            baselines.picture_pixels(image), size=(side, side), mode="bilinear")
        overlaps = {name: [] for name in ("region-token", "global-local", "cropping")}
        for references in groups:
            scene = model.encode(references[0].image)
            texts = [reference.expression for reference in references]
            for name, found in overlaps.items():
                choices = methods.METHODS[name](scene, texts, scene.proposals())
                found += [iou_matrix(choice.mask[None], reference.mask[None])[0, 0]
                          for choice, reference in zip(choices, references, strict=True)]
        print(f"{side} px:", ", ".join(f"{name} {np.mean(found):.3f}" for name, found in overlaps.items()), flush=True)
