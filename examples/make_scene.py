"""Draw examples/scene.png: python examples/make_scene.py PICTOGRAMS (the folder training/pictograms.py made)."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from refdiff.datasets.drawing import SceneMaker, load_photographs, load_pictograms

photographs = load_photographs()
drawings = [each for each in load_pictograms(sys.argv[1]) if each.style in ("noto", "twemoji", "fluent")]
maker = SceneMaker(drawings, [photographs[name] for name in ("coffee", "rocket", "gravel")])
nouns = ["cat", "cat", "umbrella", "car", "apple", "guitar"]
scene = maker.make(np.random.default_rng((7, 782)), 480, 640, count=5, nouns=nouns)
Image.fromarray(scene.image).save(Path(__file__).parent / "scene.png", optimize=True)
