"""Draw examples/scene.png, and write its objects' true masks into scene.json.

    python examples/make_scene.py PICTOGRAMS        (the folder that training/pictograms.py made)
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from refdiff.core.masks import to_rle
from refdiff.datasets.scene_maker import SceneMaker, load_photographs, load_pictograms

photographs = load_photographs()
drawings = [each for each in load_pictograms(sys.argv[1]) if each.style in ("noto", "twemoji", "fluent")]
maker = SceneMaker(drawings, [photographs[name] for name in ("coffee", "rocket", "gravel")])
nouns = ["cat", "cat", "umbrella", "car", "apple", "guitar"]
scene = maker.make(np.random.default_rng((7, 782)), 480, 640, count=5, nouns=nouns)
folder = Path(__file__).parent
Image.fromarray(scene.image).save(folder / "scene.png", optimize=True)
truth = [{"noun": thing.noun, "box": thing.box, "segmentation": to_rle(thing.mask)} for thing in scene.objects]
(folder / "scene.json").write_text(json.dumps(truth, indent=1) + "\n")
