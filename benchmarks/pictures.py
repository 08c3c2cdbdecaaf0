"""Draw the pictures in docs with mini: expressions.png, and those in pictures/, which how-it-works.md shows.

    python benchmarks/pictures.py
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from refdiff import RefDiff
from refdiff.core.drawing import heat_overlay, overlay, proposals_overlay
from refdiff.core.figures import Figure, Panel, as_image
from refdiff.language import parse
from refdiff.method.position import biased_image
from refdiff.method.threshold import threshold_proposals
from refdiff.result import Candidate, Segmentation
from refdiff.scene import EncodedImage

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "scene.png"
DOCS = ROOT / "docs"
SHOWN = ("the cat on the left", "both cats", "the cat and the guitar", "the smaller cat",
         "everything except the cats",
         "the cat not on the left", "the third cat from the left", "a zebra")
FOLLOWED = SHOWN[0]
"""The expression that "How it works" follows."""
ANOTHER = 0.3  # a candidate that overlaps (IoU) those shown by less is about another part of the image


def main() -> None:
    scene = RefDiff.from_pretrained("mini").encode(EXAMPLE)
    results = scene.segment(SHOWN)
    panels = [Panel(each.expression.text, _answer(each), "" if each.found else "nothing found") for each in results]
    as_image(Figure(panels), dpi=180).save(DOCS / "expressions.png")

    (DOCS / "pictures").mkdir(exist_ok=True)
    _save(_answer(results[0]), "answer")
    for name, of_step in _steps(scene).items():
        _save(_in_pairs(of_step), name)


def _answer(result: Segmentation) -> Image.Image:
    return overlay(result.image, [each.mask for each in result.instances])


def _steps(scene: EncodedImage) -> dict[str, list[Panel]]:
    """What each step of the method makes of the example, with mini's settings and one whole expression (Eq. 1)."""
    settings = scene.settings.replace(reading="root")
    correlation = scene.correlation(FOLLOWED, settings)
    root = " ".join(correlation.tokens[k] for k in correlation.root)
    cut, proposals = threshold_proposals(correlation.map, settings.generative.thresholds), scene.proposals(settings)
    result = scene.segment([FOLLOWED], settings=settings)[0]
    best = result.candidates[0]
    darkened = biased_image(scene.image, parse(FOLLOWED, settings.expression).direction,
                            settings.discriminative.clue_ramp)
    return {
        "map": [Panel("x, the image", Image.fromarray(scene.image)),
                Panel(f"c, the map of “{root}”", heat_overlay(scene.image, correlation.map), bar=True)],
        "proposals": [Panel("from c", heat_overlay(scene.image, cut.masks.mean(0)),
                            f"{len(cut.masks)} masks, one inside the other"),
                      Panel("from SAM", proposals_overlay(scene.image, proposals.masks),
                            f"{len(proposals.masks)} masks, a colour each")],
        "seen": [Panel("x times P, for “left”", Image.fromarray((255 * darkened).astype(np.uint8))),
                 Panel("x times one of the masks", Image.fromarray(scene.image * best.mask[..., None]))],
        "candidates": [Panel(f"s = {each.score:.2f}", overlay(scene.image, [each.mask]),
                             f"s^G = {each.generative:.2f}, s^D = {each.discriminative:.2f}")
                       for each in _of_different_things(result.candidates, 4)]}


def _of_different_things(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """The best of the candidates that show different parts of the image."""
    chosen: list[Candidate] = []
    for each in candidates:
        if all(np.sum(each.mask & other.mask) < ANOTHER * np.sum(each.mask | other.mask) for other in chosen):
            chosen.append(each)
    return chosen[:count]


def _in_pairs(panels: Sequence[Panel]) -> Image.Image:
    """Two panels to a row, large enough to be read on a telephone."""
    rows = [as_image(Figure(panels[i : i + 2]), dpi=200) for i in range(0, len(panels), 2)]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _save(picture: Image.Image, name: str) -> None:
    picture.save(DOCS / "pictures" / f"{name}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    main()
