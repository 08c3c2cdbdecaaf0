"""Draw the scenes benchmark over photographs that training never saw.

    python training/pictograms.py DIR && python benchmarks/make_scenes.py benchmarks/scenes --pictograms DIR

With the pictograms of another style it draws the same kind of set in that style.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))

from loop import scene_maker
from refdiff.datasets.scenes import write_scenes

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictograms", type=Path, required=True)
    options = parser.parse_args()
    print(write_scenes(options.out, scene_maker(options.pictograms, held_out=True)))
