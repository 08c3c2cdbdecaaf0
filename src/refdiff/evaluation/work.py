"""The work on one image of a dataset: its rows, whichever engine asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..baselines.method import Choice, Method
from ..core.masks import ious, to_rle
from ..core.proposal_files import load_proposals
from ..datasets import Reference
from ..errors import InputError
from ..scene import EncodedImage
from ..timing import Stopwatch
from .breakdowns import object_size
from .metrics import Overlap
from .rows_folder import Row

if TYPE_CHECKING:
    from ..pipeline import RefDiff

Answer = TypeVar("Answer")


def evaluate_image(model: RefDiff, references: Sequence[Reference], index: int, image: np.ndarray | InputError,
                   methods: Sequence[Method], proposals: str | Path | None) -> list[Row]:
    """The rows of image number `index` of a dataset: a fault for each expression that cannot be used, else an answer
    for each method and expression.

    Where the file of proposals lists the image without any, every expression is missed by the methods that choose among
    proposals: IoU 0.
    """
    rows: list[Row] = []
    usable: list[tuple[Reference, np.ndarray]] = []
    for reference in references:
        try:
            usable.append((reference, _truth(reference, image)))
        except InputError as error:
            rows.append(fault(index, reference, error))
    if not usable or isinstance(image, InputError):
        return rows
    try:
        given = None if proposals is None else load_proposals(proposals, _size(image), references[0].image,
                                                              references[0].image_id)
        scene = model.encode(image, proposals=given)
    except InputError as error:
        return rows + [fault(index, reference, error) for reference, _ in usable]
    none_proposed = proposals is not None and given is None
    best = _BestProposals(scene, [(truth, reference.ignored(_size(truth))) for reference, truth in usable])
    texts = [reference.expression for reference, _ in usable]
    for method in methods:
        scene.watch = watch = Stopwatch(model.wait)
        answers: Sequence[Choice | InputError | None]
        answers = [None] * len(texts) if none_proposed and method.chooses else each_answer(
            partial(method, scene), texts)
        spent = {stage: round(value, 2) for stage, value in watch.milliseconds.items()}
        for place, ((reference, truth), answer) in enumerate(zip(usable, answers, strict=True)):
            if isinstance(answer, InputError):
                rows.append(fault(index, reference, answer) | {"method": method.name})
                continue
            rows.append(_answer(index, reference, method, answer, truth) | best.of(place, answer)
                        | {"milliseconds": spent})
            spent = {}  # of all the image's expressions together, told once
    return rows


class _BestProposals:
    """How good the best of the proposals is for each expression of an image, and where a method ranks it."""

    def __init__(self, scene: EncodedImage, truths: Sequence[tuple[np.ndarray, np.ndarray | None]]):
        self._scene, self._truths = scene, truths
        self._shared: dict[int, tuple[float, int]] = {}

    def of(self, place: int, choice: Choice | None) -> Row:
        """'upper_bound', the IoU of the proposal that overlaps the truth most, and 'rank', its place in the method's
        order from 1: None where it was ruled out, or where no proposal overlaps the truth. Both None where nothing is
        meant, or the method ranks no proposals."""
        if not self._truths[place][0].any() or (choice is not None and not choice.order):
            return {"upper_bound": None, "rank": None}
        if choice is None:  # nothing was proposed
            return {"upper_bound": 0.0, "rank": None}
        if choice.among is not None:
            bound, best = _best(choice.among, *self._truths[place])
        else:
            if place not in self._shared:
                self._shared[place] = _best(self._scene.proposals().masks, *self._truths[place])
            bound, best = self._shared[place]
        ranked = bound > 0 and best in choice.order
        return {"upper_bound": bound, "rank": choice.order.index(best) + 1 if ranked else None}


def _best(masks: np.ndarray, truth: np.ndarray, ignored: np.ndarray | None) -> tuple[float, int]:
    """The greatest IoU of the masks with the truth, and the first that has it."""
    overlaps = ious(masks if ignored is None else masks & ~ignored, truth)
    best = int(overlaps.argmax())
    return float(overlaps[best]), best


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _truth(reference: Reference, image: np.ndarray | InputError) -> np.ndarray:
    if reference.fault is not None:
        raise InputError(reference.fault)
    if isinstance(image, InputError):
        raise image
    return reference.truth(_size(image))


def each_answer(ask: Callable[[list[str]], Sequence[Answer]], texts: list[str]) -> Sequence[Answer | InputError]:
    """An answer to each expression; where one of them is refused, each is asked about by itself."""
    try:
        return ask(texts)
    except InputError:
        return [_alone(ask, text) for text in texts]


def _alone(ask: Callable[[list[str]], Sequence[Answer]], text: str) -> Answer | InputError:
    try:
        return ask([text])[0]
    except InputError as error:
        return error


def fault(index: int, reference: Reference, error: InputError) -> Row:
    """The row of an expression that cannot be used."""
    return {"image_index": index, "id": reference.id, "image": reference.image.name,
            "expression": reference.expression, "fault": str(error)}


def _answer(index: int, reference: Reference, method: Method, choice: Choice | None, truth: np.ndarray) -> Row:
    mask = np.zeros_like(truth) if choice is None or not choice.found else choice.mask
    overlap = Overlap.of(mask, truth, reference.ignored(_size(truth)))
    return {
        "image_index": index, "id": reference.id, "image": reference.image.name, "expression": reference.expression,
        "kind": reference.kind, "object_size": object_size(overlap.area), "look_alikes": reference.look_alikes,
        "method": method.name, "iou": overlap.iou, **asdict(overlap),
        "found": choice is not None and choice.found, "instances": choice.instances if choice else 0,
        "chosen": choice and choice.index,
        "score": choice and choice.score, "parts": choice.parts if choice else {},
        "confidence": choice.confidence if choice else None, "rle": to_rle(mask)}
