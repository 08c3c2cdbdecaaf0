"""Draw the benchmarks `scenes` and `said` over photographs that training never saw.

    python training/pictograms.py DIR && python benchmarks/make_scenes.py benchmarks/scenes --pictograms DIR
    python benchmarks/make_scenes.py benchmarks/said --pictograms DIR --said

With the pictograms of another style it draws the same kind of set in that style.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))

from loop import scene_maker
from refdiff.datasets.said import write_said
from refdiff.datasets.scene_maker import SceneMaker, load_photographs, load_pictograms
from refdiff.datasets.scenes import write_scenes

# Parts (left, top, right, bottom; of 1) of those photographs that show nothing one could mean by "everything": grass,
# gravel, a retina, fur, wood and the sky.
SURFACES = {"camera": (0.82, 0.5, 1, 1), "gravel": (0, 0, 1, 1), "retina": (0.4, 0.3, 0.85, 0.75),
            "chelsea": (0.35, 0, 0.58, 0.22), "coffee": (0.83, 0.2, 1, 0.75), "rocket": (0.16, 0, 0.84, 0.25)}


def said_maker(pictograms: Path) -> SceneMaker:
    """Scenes in the drawings' own styles, where the drawings are all there is to see."""
    photographs = load_photographs()
    surfaces = []
    for name, (left, top, right, bottom) in SURFACES.items():
        height, width = photographs[name].shape[:2]
        surfaces.append(photographs[name][int(top * height) : int(bottom * height),
                                          int(left * width) : int(right * width)])
    return SceneMaker(load_pictograms(pictograms), surfaces)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictograms", type=Path, required=True)
    parser.add_argument("--said", action="store_true", help="what people say, of one thing, several or none")
    options = parser.parse_args()
    if options.said:
        print(write_said(options.out, said_maker(options.pictograms)))
    else:
        print(write_scenes(options.out, scene_maker(options.pictograms, held_out=True)))
