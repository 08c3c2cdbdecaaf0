"""A self-test on the photographs in the package: do a bundle's models do what they should?

Its authors could not download any real weights: this test has never been run with a bundle made for photographs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.files import read_json
from ..core.images import load_image
from ..core.polygons import from_polygons
from ..weights.manifest import EMBEDDED, Bundle
from .metrics import RIGHT, Overlap

if TYPE_CHECKING:
    from ..pipeline import RefDiff

PHOTOGRAPHS = EMBEDDED / "photographs" / "photographs.json"
"""The photographs' files beside it, their sources, and expressions with polygons in px."""
_NEVER_RUN = "This test has never been run with real weights by its authors: tell them what it shows."


@dataclass(frozen=True)
class Tried:
    """The `iou` in [0, 1] of a model's answer to an expression about a photograph with the mask drawn by hand, and the
    `confidence` that the model had in it, None where its bundle is not calibrated."""

    photograph: str
    expression: str
    iou: float
    confidence: float | None


def self_test(model: RefDiff) -> list[Tried]:
    """A model's answers to two plain expressions for each of three photographs."""
    rows = []
    for each in read_json(PHOTOGRAPHS):
        image = load_image(PHOTOGRAPHS.with_name(each["file"]))
        answers = model.encode(image).segment([asked["expression"] for asked in each["expressions"]])
        for asked, answer in zip(each["expressions"], answers, strict=True):
            truth = from_polygons(asked["segmentation"], (image.shape[0], image.shape[1]))
            rows.append(Tried(each["file"], asked["expression"], Overlap.of(answer.mask, truth).iou, answer.confidence))
    return rows


def report(rows: Sequence[Tried], bundle: Bundle) -> str:
    """What `self_test` found in words: IoU for each expression, and a verdict where the bundle is for photographs."""
    lines = [f"IoU {row.iou:.2f}  {row.photograph}: {row.expression}" for row in rows]
    if bundle.domain.nouns:
        verdict = (f"Photographs are outside the domain of {bundle.name}, so that this says nothing about its models; "
                   "try sd15.")
    else:
        right = sum(row.iou > RIGHT for row in rows)
        judged = ("the models do what they should" if 3 * right >= 2 * len(rows)  # 4 of the 6
                  else "something is wrong with these models")
        verdict = f"{right} of {len(rows)} are over {RIGHT}: {judged}.\n{_NEVER_RUN}"
    return "\n".join([*lines, verdict])
