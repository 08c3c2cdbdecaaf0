"""Every two methods of one run or several compared over the expressions that both answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ..core.files import shown
from ..errors import InputError
from .metrics import Overlap
from .run_folder import read_rows
from .significance import Difference, difference, holm
from .tables import Run

TESTS = {"p_bootstrap": "bootstrap", "p": "t-test", "p_wilcoxon": "Wilcoxon", "p_mcnemar": "McNemar"}
"""The tests of a `Difference`, by its fields."""

FEW_IMAGES = 20
"""Of fewer images than this a bootstrap has too few different samples."""
_Key = tuple[str, str, str, int]  # id, image's name, expression, and the truth's area in px, which differs with truths


@dataclass(frozen=True)
class Pair:
    """First minus second, each a (run's folder, method's label); `corrected` has the p of each of TESTS after Holm's
    correction for all pairs that are compared."""

    first: tuple[str, str]
    second: tuple[str, str]
    found: Difference
    corrected: dict[str, float]


def compare_pairs(runs: Sequence[Run]) -> tuple[list[Pair], list[str]]:
    """Every pair of (run, method) with two or more images in common, and a note on each two runs that answered
    different expressions.

    Expressions are the same where id, image's name, words and the truth's area are. Raises InputError when nothing can
    be compared.
    """
    systems = [((shown(run.folder), run.label(method)), answers)
               for run in runs for method, answers in _answers(run).items()]
    notes: dict[str, None] = {}
    found: list[tuple[tuple[str, str], tuple[str, str], Difference]] = []
    for (first, ours), (second, theirs) in combinations(systems, 2):
        both = [key for key in ours if key in theirs]
        if first[0] != second[0] and not len(both) == len(ours) == len(theirs):
            notes[f"{first[0]} and {second[0]} have {len(both) or 'none'} of {len(ours)} and {len(theirs)} expressions "
                  "in common, matched by id, image, words and the truth's area"] = None
        if len({ours[key][0] for key in both}) > 1:
            found.append((first, second, difference([ours[key][1] for key in both], [theirs[key][1] for key in both],
                                                    [ours[key][0] for key in both])))
    if any(each.images < FEW_IMAGES for _, _, each in found):
        notes[f"Intervals and bootstrap over fewer than {FEW_IMAGES} images are too narrow; take more images"] = None
    if not found:
        raise InputError("; ".join([*notes, "nothing can be compared: name runs with two or more methods, or several "
                                            "runs over the same expressions, of two or more images"]) + ".")
    corrected = {test: holm([getattr(each, test) for _, _, each in found]) for test in TESTS}
    return [Pair(first, second, each, {test: ps[place] for test, ps in corrected.items()})
            for place, (first, second, each) in enumerate(found)], list(notes)


def _answers(run: Run) -> dict[str, dict[_Key, tuple[int, Overlap]]]:
    """By method, each expression's image and how answer and truth overlap."""
    answers: dict[str, dict[_Key, tuple[int, Overlap]]] = {}
    for row in read_rows(run.folder):
        if "fault" not in row:
            key = str(row["id"]), row["image"], row["expression"], row["area"]
            answers.setdefault(row["method"], {})[key] = row["image_index"], Overlap.of_row(row)
    return answers
