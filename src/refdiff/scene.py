"""`EncodedImage`: an image and everything about it that does not depend on words, each made when first needed."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from .answering import answer_queries, not_finite
from .core.lazy import Lazy
from .core.proposals import Proposals
from .core.protocols import Diffusion, ScoredMasks, Similarity
from .errors import InputError
from .language import Direction, Expression, check_expression, parse
from .language.tokens import token_indices
from .method import CorrelationMap, EdgeSmoother, Scores, biased_image, correlation_map, correlation_maps, ref_diff
from .method.confidence import features
from .method.instances import Overlaps
from .models.segmentors.grid import peak_points, point_grid
from .models.segmentors.guided import follow_colours, guided
from .refining import refine
from .result import Candidate, Instance, Segmentation
from .settings import (
    VARIANTS,
    BatchingSettings,
    DiscriminativeSettings,
    GenerativeSettings,
    SegmentorSettings,
    Settings,
    Variant,
)
from .timing import Stopwatch, Watch

if TYPE_CHECKING:
    from .pipeline import RefDiff

NEEDED: dict[str, tuple[str, ...]] = {
    "full": ("diffusion", "sam", "clip"), "g": ("diffusion",), "gs": ("diffusion", "sam"), "ds": ("clip", "sam")}
"""The parts of a bundle that a variant needs."""


@dataclass(frozen=True)
class _Shown:
    """What an encoder was shown: by which settings, darkened by which clues."""

    settings: DiscriminativeSettings
    clues: tuple[Direction, ...]


class Regions:
    """What was computed of one set of proposals in one image."""

    def __init__(self) -> None:
        self.masked: Lazy[_Shown, torch.Tensor] = Lazy()
        self.crops: Lazy[_Shown, torch.Tensor] = Lazy()
        self.overlaps: Lazy[None, Overlaps] = Lazy()
        self.kept: Lazy[Hashable, Any] = Lazy()
        """For methods of your own: what depends on these proposals in this image, by a key of your own."""


class EncodedImage:
    """An image, ready for any number of expressions; from `RefDiff.encode`. Threads may share it.

    `image` uint8 [H, W, 3]; `settings` are the ones used where a call names none. Whatever is kept belongs to this
    object and is keyed by the group of settings that made it. A method of your own keeps what depends on the image in
    `kept.get(key, make)`, and what depends on proposals too in `regions(proposals).kept.get(key, make)`.
    """

    def __init__(self, model: RefDiff, image: np.ndarray, settings: Settings, proposals: Proposals | None = None):
        self.model, self.image, self.settings = model, image, settings
        self.watch: Watch = Stopwatch(model.wait)
        self.kept: Lazy[Hashable, Any] = Lazy()
        self._given = proposals
        self._latents: Lazy[GenerativeSettings, torch.Tensor] = Lazy()
        self._edges: Lazy[GenerativeSettings, EdgeSmoother] = Lazy()
        self._embedding: Lazy[SegmentorSettings, torch.Tensor] = Lazy()
        self._proposals: Lazy[SegmentorSettings, Proposals] = Lazy()
        self._regions: WeakKeyDictionary[Proposals, Regions] = WeakKeyDictionary()
        self._regions_lock = threading.Lock()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.image.shape[0], self.image.shape[1]

    def segment(self, expressions: Sequence[str], variant: Variant = "full",
                settings: Settings | None = None) -> list[Segmentation]:
        """One answer per expression, in order; the diffusion model and the text encoders see them as one batch.

        Raises InputError for an empty or overlong expression, or an unknown variant.
        """
        if isinstance(expressions, str) or not isinstance(expressions, Sequence):
            raise InputError("segment() takes a list of expressions; put the one you have in brackets.")
        if variant not in VARIANTS:
            raise InputError(f"There is no variant {variant!r}; the variants are {', '.join(VARIANTS)}.")
        with self.model.residency.turn():
            settings = self._bounded(settings, NEEDED[variant])
            texts = [check_expression(text) for text in expressions]
            if variant != "g" and settings.segmentor.point_source == "grid" and texts:
                self.proposals(settings)  # first, so that under a bound SAM makes room for the others once
            parsed = [parse(text, settings.expression) for text in texts]
            if variant == "full" and settings.query.reading != "root":
                return answer_queries(self, parsed, settings)
            scores = ref_diff(self, parsed, variant, settings)
            image = self.image.copy()  # theirs to draw on
            return [self._answer(image, *each, variant, settings) for each in zip(parsed, scores, strict=True)]

    def refine(self, result: Segmentation, points: Sequence[tuple[float, float]] = (),
               labels: Sequence[int] | None = None, box: Sequence[float] | None = None,
               candidate: int | None = None) -> Segmentation:
        """An answer about this image, corrected by hand: its `instances` are the corrected mask alone, of score 1.

        It starts from the answer's mask; from that of the candidate of index `candidate`; or from what the segmentor
        sees in `box` (left, top, right, bottom). Then each of the `points` (x, y) that is on the wrong side changes it,
        in their order: `labels` say 1 (inside what is meant, the default) or 0 (outside). All in px. Raises InputError
        for what lies outside the image, labels that do not fit, or where nothing is given.
        """
        with self.model.residency.turn():
            return refine(self, result, points, labels, box, candidate)

    def prompt(self, points: Sequence[tuple[float, float]], labels: Sequence[int],
               box: Sequence[float] | None = None) -> ScoredMasks:
        """The segmentor's three masks of what is pointed at (`SamSegmentor.prompt`), following the image's colours as
        proposals do."""
        with self.model.residency.turn():
            own = self._bounded(None, ("sam",)).segmentor
            embedding = self.embedding()
            with self.watch("SAM decoder"):
                found = self.model.segmentor.prompt_at(embedding, self.size, np.array(points).reshape(-1, 2),
                                                       np.array(labels), None if box is None else np.array([box]))
                return replace(found, masks=follow_colours(found.masks, self.image, own))

    def correlation(self, expression: str, settings: Settings | None = None,
                    side: int | None = None) -> CorrelationMap:
        """Eq. 5 for the root, and for every token by itself; with `side`, maps whose longer side has at most so many
        px: many maps of a large image take gigabytes."""
        with self.model.residency.turn():
            settings = self._bounded(settings, NEEDED["g"])
            parsed, own = parse(expression, settings.expression), settings.generative
            maps = self.diffusion.attention(self.latents(own), [parsed.text], own)[:, 0]
            root = token_indices(self.diffusion, parsed, settings.expression)
            tokens, edges = self.diffusion.tokens(parsed.text), self.follow_edges(own)
            scale = min(1.0, (side or max(self.size)) / max(self.size))
            size = max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale))
            of_root, *of_tokens = (correlation_map(maps[..., k].mean(-1), size, own, edges).numpy()
                                   for k in [root, *([i] for i in range(len(tokens)))])
            return CorrelationMap(of_root, tokens, np.stack(of_tokens), tuple(root))

    def correlation_maps(self, expressions: Sequence[str], settings: Settings | None = None) -> list[np.ndarray]:
        """c of Eq. 5 for each expression, float32 [H, W] in [0, 1], in one batch."""
        if isinstance(expressions, str):
            raise InputError("correlation_maps() takes a list of expressions; put the one you have in brackets.")
        with self.model.residency.turn():
            settings = self._bounded(settings, NEEDED["g"])
            parsed = [parse(text, settings.expression) for text in expressions]
            return [c.numpy() for c in correlation_maps(self, parsed, settings)]

    def proposals(self, settings: Settings | None = None, correlation: torch.Tensor | None = None) -> Proposals:
        """The given proposals, else the segmentor's: on its grid, or at the peaks of `correlation` where the settings
        say so."""
        if self._given is not None:
            return self._given
        with self.model.residency.turn():
            settings = self._bounded(settings, ("sam",))
            own, batching = settings.segmentor, settings.batching
            if own.point_source == "peaks" and correlation is not None:
                return self._masks_at(peak_points(correlation.numpy(), own), own, batching)
            return self._proposals.get(own, lambda: self._masks_at(point_grid(own.points_per_side), own, batching))

    def embedding(self, settings: Settings | None = None) -> torch.Tensor:
        """What the segmentor needs of the image to be prompted (`SamSegmentor.prompt_at`), float32 [1, C, h, w]."""
        with self.model.residency.turn():
            own = self._bounded(settings, ("sam",)).segmentor
            return self._embedding.get(own, lambda: self._encoded(own))

    def _masks_at(self, points: np.ndarray, settings: SegmentorSettings, batching: BatchingSettings) -> Proposals:
        embedding = self._embedding.get(settings, lambda: self._encoded(settings))
        with self.watch("SAM decoder"):
            found = self.model.segmentor.masks_at(embedding, points, self.size, settings, batching)
            found = guided(found, self.image, settings)
        return Proposals.of(found.masks, "segmentor")

    def _encoded(self, settings: SegmentorSettings) -> torch.Tensor:
        with self.watch("SAM encoder"):
            return self.model.segmentor.encode(self.image, settings)

    def regions(self, proposals: Proposals) -> Regions:
        """What was computed of these proposals in this image; it goes when the proposals go."""
        with self._regions_lock:
            return self._regions.setdefault(proposals, Regions())

    # What the method asks of a scene (method.ref_diff.Scene)

    @property
    def diffusion(self) -> Diffusion:
        return self.model.diffusion

    @property
    def similarity(self) -> Similarity:
        return self.model.similarity

    def latents(self, settings: GenerativeSettings) -> torch.Tensor:
        """The scaled latent of the image, float32 [1, C, h, w]."""
        def encode() -> torch.Tensor:
            with self.watch("latent"):
                return self.diffusion.encode_image(self.image, settings)

        with self.model.residency.turn():  # before a lazy value's lock, or two calls could wait for each other
            return self._latents.get(settings, encode)

    def follow_edges(self, settings: GenerativeSettings) -> EdgeSmoother | None:
        """What lets maps follow the image's edges, where the settings ask for it."""
        if not settings.edge_smoothing:
            return None
        return self._edges.get(settings, lambda: EdgeSmoother(self.image, settings))

    def masked_features(self, proposals: Proposals, clues: tuple[Direction, ...],
                        settings: DiscriminativeSettings) -> torch.Tensor:
        """f_M(x * P) of Eq. 7, float32 [N, D], unit length."""
        def encode() -> torch.Tensor:
            with self.watch("CLIP masked"):
                shown = biased_image(self.image, clues, settings.clue_ramp)
                return self.similarity.masked_features(shown, proposals.tensor, settings)

        with self.model.residency.turn():
            return self.regions(proposals).masked.get(_Shown(settings, clues), encode)

    def crop_features(self, proposals: Proposals, clues: tuple[Direction, ...], settings: Settings) -> torch.Tensor:
        """f(x * M) of Eq. 7, float32 [N, D], unit length."""
        own = settings.discriminative

        def encode() -> torch.Tensor:
            with self.watch("CLIP crops"):
                shown = biased_image(self.image, clues, own.clue_ramp)
                return self.similarity.crop_features(shown, proposals.tensor, own, batching=settings.batching)

        with self.model.residency.turn():
            return self.regions(proposals).crops.get(_Shown(own, clues), encode)

    def _bounded(self, settings: Settings | None, parts: tuple[str, ...]) -> Settings:
        own = self.settings if settings is None else settings
        if not isinstance(own, Settings):
            raise InputError(f"settings must be Settings, not {type(own).__name__}; change some with "
                             "model.settings.replace(...).")
        return self.model.bounded(own, parts)

    def _answer(self, image: np.ndarray, expression: Expression, scores: Scores, variant: Variant,
                settings: Settings) -> Segmentation:
        if not scores.total.isfinite().all():
            raise not_finite(self.model.bundle.name)
        candidates = tuple(
            Candidate(scores.indices[i], scores.proposals.masks[i], float(scores.total[i]),
                      None if scores.generative is None else float(scores.generative[i]),
                      None if scores.discriminative is None else float(scores.discriminative[i]))
            for i in scores.order())
        notice = self.model.notice(expression, candidates[0].score, variant)
        # What a notice is about, and masks that others made, lie outside what the confidence was fitted on.
        other = notice is not None or self._given is not None
        confidence = None if other else self.model.confidence(variant, features(scores), settings)
        best = Instance(candidates[0].mask, candidates[0].score, confidence)
        return Segmentation(image, expression, variant, candidates, (best,), confidence, notice)
