"""What a worker does: encode, answer, draw attention, correct; each a job that knows what it can be done along with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..core.images import load_image
from ..method import CorrelationMap
from ..pipeline import RefDiff
from ..result import Segmentation
from ..scene import EncodedImage
from ..settings import Settings
from ..timing import Stopwatch, Watch
from .images import Kept
from .queue import Job
from .rendering import IMAGES, archive, coco
from .schemas import CorrelationRequest, ImageOptions, RefineRequest

Perform = Callable[[Sequence[Any], Watch], Sequence[Any]]


@dataclass(frozen=True)
class Expressions:
    """What one request asks about an image, and how it wants the answers; that too is the worker's work."""

    texts: tuple[str, ...]
    render: Callable[[Sequence[Segmentation]], Any]


def segment_sent(model: RefDiff, client: str, content: bytes, asked: Expressions, options: ImageOptions) -> Job:
    """(answers, as rendered) about an image file that is not kept; along with requests about the same file."""
    settings = model.settings.replace(**options.changes())
    key = "segment", hashlib.sha256(content).digest(), settings, options.variant
    perform = _answering(lambda: model.encode(load_image(content)), settings, options.variant)
    return Job(client, "segment", key, perform, asked, len(asked.texts))


def segment_kept(model: RefDiff, client: str, kept: Kept, asked: Expressions, options: ImageOptions) -> Job:
    """(answers, as rendered) about a kept image; along with requests about the same."""
    settings = model.settings.replace(**options.changes())
    perform = _answering(lambda: kept.scene, settings, options.variant)
    return Job(client, "answer", ("answer", kept.id, settings, options.variant), perform, asked, len(asked.texts))


def _answering(scene_of: Callable[[], EncodedImage], settings: Settings, variant: Any) -> Perform:
    def perform(every: Sequence[Expressions], watch: Watch) -> Sequence[tuple[list[Segmentation], Any]]:
        with _watched(scene_of(), watch) as scene:
            answers = iter(scene.segment([text for asked in every for text in asked.texts], variant, settings))
            own = [[next(answers) for _ in asked.texts] for asked in every]
            with watch("rendering"):
                return [(found, asked.render(found)) for asked, found in zip(every, own, strict=True)]

    return perform


def propose(scene: EncodedImage, texts: Sequence[str]) -> Iterator[Job]:
    """What `encode` and an answer to each expression come to, in steps that do not keep others waiting for long; the
    last gives the answers."""
    yield _alone("", "encode", lambda: scene, EncodedImage.proposals)
    yield _alone("", "latents", lambda: scene, lambda own: own.latents(own.settings.generative))
    yield _alone("", "answer", lambda: scene, lambda own: own.segment(texts))


def encode(model: RefDiff, client: str, content: bytes) -> Job:
    """(scene, proposals' masks) of an image file, with what every answer needs of it."""
    def perform(scene: EncodedImage) -> Any:
        proposals = scene.proposals()
        scene.latents(scene.settings.generative)
        return scene, proposals.masks

    return _alone(client, "encode", lambda: model.encode(load_image(content)), perform)


def correlate(model: RefDiff, client: str, kept: Kept, asked: CorrelationRequest,
              render: Callable[[CorrelationMap], Any]) -> Job:
    """The `CorrelationMap` of an expression, as rendered."""
    changes = {} if asked.noise_timestep is None else {"noise_timestep": asked.noise_timestep}
    settings = model.settings.replace(**changes)
    return _alone(client, "correlation", lambda: kept.scene,
                  lambda scene: render(scene.correlation(asked.expression, settings, asked.side)))


def refine(client: str, kept: Kept, asked: RefineRequest, render: Callable[[Sequence[Segmentation]], Any]) -> Job:
    """(answers, as rendered): one, an earlier one corrected."""
    answer = kept.answer(asked.answer)

    def perform(scene: EncodedImage) -> Any:
        points = [(x, y) for x, y in asked.points]
        refined = scene.refine(answer, points, asked.labels, asked.box, asked.candidate)
        return [refined], render([refined])

    return _alone(client, "refine", lambda: kept.scene, perform)


def draw(client: str, kept: Kept, answers: Sequence[Segmentation], kind: str) -> Job:
    """The content of a file that shows answers."""
    def perform(scene: EncodedImage) -> bytes:
        if kind == "zip":
            return archive(answers, scene.watch)
        with scene.watch("rendering"):
            return coco(answers) if kind == "coco" else IMAGES[kind](answers[0])

    return _alone(client, "draw", lambda: kept.scene, perform)


def _alone(client: str, kind: str, scene_of: Callable[[], EncodedImage], work: Callable[[EncodedImage], Any]) -> Job:
    def perform(asked: Sequence[Any], watch: Watch) -> Sequence[Any]:
        with _watched(scene_of(), watch) as scene:
            return [work(scene)]

    return Job(client, kind, object(), perform, None)


@contextmanager
def _watched(scene: EncodedImage, watch: Watch) -> Iterator[EncodedImage]:
    """The scene, whose stages are timed by `watch`, which it does not keep: that would keep the requests too."""
    scene.watch = watch
    try:
        yield scene
    finally:
        scene.watch = Stopwatch(scene.model.wait)
