"""Expressions answered by their queries: evidence from the models, the method's answer, and what to say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .core.lazy import Lazy
from .core.proposals import Proposals
from .errors import BundleError
from .language import Expression, Query, Target, query
from .language.kinds import PAIRS
from .language.query import THING
from .method import correlation_maps
from .method.answers import Answer, answer
from .method.confidence import answer_features, instance_features
from .method.evidence import Evidence, Words, known_nouns, misspelt
from .method.instances import Overlaps
from .method.judging import SIZES
from .method.scores import GENERATIVE_RULES, eligible
from .result import Candidate, Instance, Segmentation
from .settings import Settings

if TYPE_CHECKING:
    from .scene import EncodedImage


@dataclass(frozen=True, eq=False)
class Asked:
    """An expression with its query, what the models said of it, which of an image's proposals that is about
    (`indices`), and the answer."""

    expression: Expression
    query: Query
    evidence: Evidence
    indices: tuple[int, ...]
    answer: Answer


def answer_queries(scene: EncodedImage, expressions: Sequence[Expression], settings: Settings) -> list[Segmentation]:
    """One, several or nothing for each expression."""
    image = scene.image.copy()  # theirs to draw on
    return [_segmentation(scene, image, asked, settings) for asked in ask(scene, expressions, settings)]


def ask(scene: EncodedImage, expressions: Sequence[Expression], settings: Settings) -> Iterable[Asked]:
    """The method's answer to each expression; the maps of all that they name are made in one batch."""
    queries = [query(each.text) for each in expressions]
    named = [_phrases(each, scene.model.bundle.domain) for each in queries]
    phrases = list(dict.fromkeys(phrase for each in named for phrase in each.values()))
    found = correlation_maps(scene, [_bare(phrase) for phrase in phrases], settings)
    maps = _Maps(dict(zip(phrases, found, strict=True)), settings)
    for expression, own, targets in zip(expressions, queries, named, strict=True):
        evidence, indices = _evidence(scene, targets, maps, settings)
        with scene.watch("matching"):
            answered = answer(own, evidence, settings.query)
        yield Asked(expression, own, evidence, indices, answered)


class _Maps:
    """The correlation map of each phrase, and s^G (Eq. 9) of proposals by it, made once for all expressions."""

    def __init__(self, maps: Mapping[str, torch.Tensor], settings: Settings):
        self.maps, self._rule = maps, GENERATIVE_RULES[settings.matching.generative_rule]
        self._scores: Lazy[tuple[str, Proposals], np.ndarray] = Lazy()

    def scores(self, phrase: str, proposals: Proposals) -> np.ndarray:
        """float64 [N]."""
        return self._scores.get((phrase, proposals), lambda: np.asarray(
            self._rule(self.maps[phrase], proposals.tensor).double()))


def _phrases(asked: Query, words: Words) -> dict[Target, str]:
    """What the diffusion model is asked for each target that names one kind of thing: its noun, as the model knows it,
    with its attributes."""
    phrases = {}
    for target in (each for outer in asked.targets for each in outer.nested()):
        known = known_nouns(target.head, words)
        if target.head != THING and len(known) == 1:
            phrases[target] = target.phrase.removesuffix(target.head) + known[0]
    return phrases


def _bare(phrase: str) -> Expression:
    """A phrase as an expression whose root is its last word."""
    root = phrase.split()[-1]
    return Expression(phrase, root, len(phrase) - len(root), len(phrase), phrase, phrase, ())


def _evidence(scene: EncodedImage, phrases: Mapping[Target, str], maps: _Maps,
              settings: Settings) -> tuple[Evidence, tuple[int, ...]]:
    """What the models say, and which of the proposals it is about."""
    every = torch.stack([maps.maps[phrase] for phrase in phrases.values()]).amax(0) if phrases else None
    proposals = scene.proposals(settings, every)
    indices = eligible(proposals.areas, settings.matching) or tuple(range(len(proposals.masks)))
    proposals = proposals.subset(indices)
    overlaps: Overlaps = scene.regions(proposals).overlaps.get(None, lambda: Overlaps.of(proposals))
    beta = settings.matching.beta
    regions = torch.zeros(())
    if beta > 0:
        regions = regions + beta * scene.masked_features(proposals, (), settings.discriminative)
    if beta < 1:
        regions = regions + (1 - beta) * scene.crop_features(proposals, (), settings)
    shown = {target: maps.scores(phrase, proposals) for target, phrase in phrases.items()}
    model = scene.model
    return Evidence(proposals, overlaps, regions, model.similarity.scale, model.text_features, shown,
                    model.bundle.domain, settings.query), indices


def _segmentation(scene: EncodedImage, image: np.ndarray, asked: Asked, settings: Settings) -> Segmentation:
    evidence, found = asked.evidence, asked.answer
    masks = evidence.proposals.masks
    generative, discriminative = evidence.shown(asked.query.targets[0])
    if not np.isfinite([*discriminative, *(generative or ())]).all():
        raise not_finite(scene.model.bundle.name)
    order = np.argsort(-found.likely, kind="stable").tolist()
    candidates = tuple(Candidate(asked.indices[i], masks[i], float(found.likely[i]),
                                 None if generative is None else generative[i], discriminative[i]) for i in order)
    ignored = [*_ignored(asked.query, evidence)]
    fitted = not ignored and evidence.proposals.source == "segmentor" and (
        settings.query.targets == "any" or [target.number for target in asked.query.targets] == [1])

    def confidence(kind: str, features: tuple[float, float]) -> float | None:
        return scene.model.confidence(kind, features, settings) if fitted else None

    instances = tuple(Instance(masks[i], likely, confidence("instance", instance_features(found, likely)))
                      for i, likely in found.chosen)
    told = [*ignored, *_mended(asked.query, evidence), *_missing(found, evidence, scene.size)]
    return Segmentation(image, asked.expression, "full", candidates, instances,
                        confidence("query" if instances else "nothing", answer_features(found)),
                        " ".join(told) or None, asked.query)


def not_finite(bundle: str) -> BundleError:
    """What to raise where models give scores that mean nothing."""
    return BundleError(f"The models of {bundle} give scores that are not finite; run 'refdiff models check {bundle}'.")


def _ignored(asked: Query, evidence: Evidence) -> Iterable[str]:
    """A sentence for each word that was not taken into account."""
    for word in asked.ignored:
        yield f"{word!r} was not taken into account."
    targets = [each for outer in asked.targets for each in outer.nested()]
    for head in dict.fromkeys(target.head for target in targets):
        if head != THING and not evidence.knows_noun(head):
            yield f"The model has not learnt the word {head!r}; try --model sd15."
    for word in dict.fromkeys(each.word for target in targets for each in target.attributes):
        if word not in SIZES and not evidence.knows_attribute(word):
            yield f"{word!r} was not taken into account: the model has not learnt it."


def _mended(asked: Query, evidence: Evidence) -> Iterable[str]:
    """A sentence for each noun that was taken for another."""
    for head in dict.fromkeys(target.head for outer in asked.targets for target in outer.nested()):
        slip = misspelt(head, evidence.words)
        if slip is not None and known_nouns(head, evidence.words) == known_nouns(slip, evidence.words):
            yield f"{head!r} was read as {slip!r}."


def _missing(found: Answer, evidence: Evidence, size: tuple[int, int]) -> Iterable[str]:
    """A sentence for each thing that is not there, or of which fewer are there."""
    for target, nearest in found.missing:
        if target.head != THING and not evidence.knows_noun(target.head):
            continue
        like = " like that" if len(target.conditions) > len(target.attributes) else ""
        none = f"No {target.phrase}{like} {'were' if _several(target.head) else 'was'} found"
        if nearest is None:
            yield f"{none}."
            continue
        looks, where = evidence.likeliest(nearest), _where(evidence.proposals, nearest, size)
        if looks in known_nouns(target.head, evidence.words):
            yield f"{none} that {'are' if _several(target.head) else 'is'} likely enough; the likeliest is {where}."
        else:
            article = "" if _several(looks) else "an " if looks[0] in "aeiou" else "a "
            yield f"{none}: the nearest match, {where}, looks like {article}{looks}."
    for target, count in found.fewer:
        yield f"Only {count} found of the {target.number} asked for: {target.phrase}."


def _several(noun: str) -> bool:
    """Whether a noun in the singular is spoken of as several: "glasses"."""
    return noun in PAIRS


def _where(proposals: Proposals, index: int, size: tuple[int, int]) -> str:
    """Where a proposal lies, in words."""
    left, top, right, bottom = proposals.boxes[index].tolist()
    x, y = (left + right) / 2 / size[1], (top + bottom) / 2 / size[0]
    across = "on the left" if x < 0.4 else "on the right" if x > 0.6 else ""
    down = "at the top" if y < 0.4 else "at the bottom" if y > 0.6 else ""
    return across or down or "in the middle"
