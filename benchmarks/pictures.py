"""Draw docs/expressions.png: what mini answers to expressions of every kind.

    python benchmarks/pictures.py
"""

from __future__ import annotations

from pathlib import Path

from refdiff import RefDiff
from refdiff.core.drawing import overlay
from refdiff.core.figures import Figure, Panel, as_image

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "examples" / "scene.png"
SHOWN = ("the cat on the left", "both cats", "the cat and the guitar", "the biggest thing",
         "everything except the cats",
         "the thing above the guitar", "the guitar not on the left", "a zebra")


def main() -> None:
    scene = RefDiff.from_pretrained("mini").encode(EXAMPLE)
    results = scene.segment(SHOWN)
    panels = [Panel(each.expression.text, overlay(each.image, [one.mask for one in each.instances]),
                    "" if each.found else "nothing found") for each in results]
    as_image(Figure(panels), dpi=180).save(HERE.parent / "docs" / "expressions.png")


if __name__ == "__main__":
    main()
