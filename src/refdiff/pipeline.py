"""`RefDiff` and `EncodedImage`: put the rooms in order; no arithmetic of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image

from . import matching
from .bundle import Bundle, find_bundle, load_diffusion, load_diffusion_part
from .discriminative import DiscriminativeModel, biased_picture, clue_scores
from .edges import EdgeSmoother
from .errors import InputError
from .expressions import Expression, check_expression, parse
from .generative import CorrelationMap, GenerativeModel, correlation_map, edge_smoother
from .images import ImageLike, load_image
from .masks import areas, boxes, to_rle
from .memory import Shelf, keep_freed
from .proposals import Proposals, load_proposals
from .segmentor import Segmentor, peak_points, point_grid
from .settings import Settings, Variant
from .timing import Stopwatch

_GRID_SETTINGS = ("points_per_side", "iou_threshold", "stability_threshold", "stability_offset", "nms_threshold",
                  "duplicate_threshold", "min_region")


@dataclass(frozen=True)
class Candidate:
    """One proposal: its `index` among them, `mask` bool [H, W], its `score` (Eq. 1) and the parts of it that the
    variant uses."""

    index: int
    mask: np.ndarray
    score: float
    generative: float | None
    discriminative: float | None


@dataclass(frozen=True)
class Segmentation:
    """The answer to one expression.

    `mask` bool [H, W]; `score` of Eq. 1 (cosine-like, comparable within one bundle and settings); `candidates` every
    proposal that can win, best first; `notice` a sentence when the answer is not to be trusted, else None.
    """

    image: np.ndarray
    expression: Expression
    variant: Variant
    candidates: tuple[Candidate, ...]
    notice: str | None

    @property
    def mask(self) -> np.ndarray:
        return self.candidates[0].mask

    @property
    def score(self) -> float:
        return self.candidates[0].score

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the mask in px, right and bottom exclusive."""
        left, top, right, bottom = boxes(self.mask[None])[0].tolist()
        return left, top, right, bottom

    @property
    def rle(self) -> dict[str, Any]:
        """The mask as COCO RLE: {'size': [H, W], 'counts': str}."""
        return to_rle(self.mask)

    def save(self, path: str | Path) -> None:
        """Write the mask as an 8-bit picture, 255 inside and 0 outside."""
        Image.fromarray(self.mask.astype(np.uint8) * 255).save(path)

    def overlay(self) -> Image.Image:
        """The picture with the mask shown on it and the expression above."""
        from .figures import overlay

        return overlay(self.image, self.mask, self.expression.text)


class EncodedImage:
    """A picture and everything about it that does not depend on words, computed when first needed and kept."""

    def __init__(self, model: RefDiff, image: np.ndarray, settings: Settings, proposals: Proposals | None):
        self.model, self.image, self.settings = model, image, settings
        self.watch = Stopwatch(model.device)
        self._given = proposals
        self._kept: dict[tuple, Any] = {}
        if model.memory is None:
            keep_freed()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.image.shape[0], self.image.shape[1]

    def proposals(self, settings: Settings | None = None) -> Proposals:
        """The given proposals, else the segmentor's."""
        settings = self._bounded(settings)
        if self._given is not None:
            return self._given
        key = ("proposals", *(getattr(settings, name) for name in _GRID_SETTINGS))
        return self.once(key, lambda: self._masks_at(point_grid(settings.points_per_side), settings))

    def segment(self, expressions: Sequence[str], variant: Variant = "full",
                settings: Settings | None = None) -> list[Segmentation]:
        """One answer an expression, in order; the diffusion model and the text encoders see them as one batch.

        Raises InputError for an empty or overlong expression, or an unknown variant.
        """
        if isinstance(expressions, str):
            raise InputError("segment() takes a list of expressions; put the one you have in brackets.")
        if variant not in get_args(Variant):
            raise InputError(f"There is no variant {variant!r}; the variants are {', '.join(get_args(Variant))}.")
        settings = self._bounded(settings)
        expressions = [check_expression(text) for text in expressions]
        if variant != "g" and settings.points == "grid":
            self.proposals(settings)  # first, so that under a bound SAM makes room for the others once
        parsed = [parse(text, settings.root_rule, settings.clue_rule) for text in expressions]
        mapped = variant != "ds" or settings.points == "peaks"
        maps = self._maps(parsed, settings) if mapped else [None] * len(parsed)
        texts = [None] * len(parsed)
        if variant in ("full", "ds") and parsed:
            with self.watch("text"):
                texts = list(zip(*self.model.discriminative.text_features(parsed, settings), strict=True))
        return [self._answer(*each, variant, settings) for each in zip(parsed, maps, texts, strict=True)]

    def correlation(self, expression: str, settings: Settings | None = None) -> CorrelationMap:
        """Eq. 5 for the root, and for every token by itself."""
        settings = self._bounded(settings)
        parsed = parse(expression, settings.root_rule, settings.clue_rule)
        generative = self.model.generative
        maps = generative.attention(self._latents(settings), [parsed.text], settings)[:, 0]
        root = generative.token_indices(parsed, settings)
        tokens = generative.tokens(parsed.text)
        smooth = self._smoother(settings)
        draw = lambda indices: correlation_map(maps[..., indices].mean(-1), self.size, settings, smooth).numpy()  # noqa: E731
        return CorrelationMap(draw(root), tokens, np.stack([draw([i]) for i in range(len(tokens))]), tuple(root))

    def correlation_maps(self, expressions: Sequence[str], settings: Settings | None = None) -> list[np.ndarray]:
        """c of Eq. 5 for each expression, float32 [H, W] in [0, 1], in one batch."""
        settings = self._bounded(settings)
        parsed = [parse(text, settings.root_rule, settings.clue_rule) for text in expressions]
        return [each.numpy() for each in self._maps(parsed, settings)]

    def _bounded(self, settings: Settings | None) -> Settings:
        return self.model.shelf.bounded(settings or self.settings)

    def _embedding(self) -> torch.Tensor:
        return self.once(("embedding",), lambda: self.model.segmentor.encode(self.image), "SAM encoder")

    def _masks_at(self, points: np.ndarray, settings: Settings) -> Proposals:
        embedding = self._embedding()
        found = self.timed("SAM decoder", lambda: self.model.segmentor.masks_at(embedding, points, self.size, settings))
        return Proposals.of(found.masks, "segmentor")

    def _candidates(self, expression: Expression, correlation: torch.Tensor | None,
                    settings: Settings) -> tuple[np.ndarray, list[int]]:
        """The proposals that can win, bool [N, H, W], and their indices among all."""
        if settings.points == "peaks" and self._given is None:
            proposals = self.once(("peaks", expression.text, settings), lambda: self._masks_at(
                peak_points(correlation.numpy(), settings.peaks), settings))
        else:
            proposals = self.proposals(settings)

        def allowed() -> tuple[np.ndarray, list[int]]:
            can = matching.eligible(torch.from_numpy(areas(proposals.masks)), settings.largest, settings.min_area)
            masks = proposals.masks if can.all() else proposals.masks[can.numpy()]
            return masks, can.nonzero()[:, 0].tolist()

        return self.once(("candidates", id(proposals), settings.largest, settings.min_area), allowed)

    def once(self, key: tuple, make: Callable[[], Any], stage: str | None = None) -> Any:
        """What `make` gave for this key the first time, its time counted to `stage`: for what depends on the picture
        and its proposals alone."""
        if key not in self._kept:
            self._kept[key] = self.timed(stage, make) if stage else make()
        return self._kept[key]

    def timed(self, stage: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, its time counted to `stage`."""
        with self.watch(stage):
            return make()

    def _latents(self, settings: Settings) -> torch.Tensor:
        generative = self.model.generative
        return self.once(("latents", settings.image_size, settings.seed),
                         lambda: generative.encode_image(self.image, settings), "latent")

    def _smoother(self, settings: Settings) -> EdgeSmoother | None:
        return self.once(("edges", settings.edge_smoothing), lambda: edge_smoother(self.image, settings))

    def _maps(self, expressions: list[Expression], settings: Settings) -> list[torch.Tensor]:
        """c of Eq. 5 for each expression, float32 [H, W]."""
        generative, maps = self.model.generative, []
        at_once = settings.expressions_per_batch
        for start in range(0, len(expressions), at_once):
            batch = expressions[start : start + at_once]
            latents = self._latents(settings)
            with self.watch("attention"):
                attention = generative.attention(latents, [each.text for each in batch], settings)
                for i, expression in enumerate(batch):
                    indices = generative.token_indices(expression, settings)
                    maps.append(correlation_map(attention[:, i, ..., indices].mean(-1), self.size, settings,
                                                self._smoother(settings)))
        return maps

    def _discriminative(self, expression: Expression, texts: tuple[torch.Tensor, torch.Tensor],
                        masks: np.ndarray, settings: Settings) -> torch.Tensor:
        """s^D of Eq. 10 over v of Eq. 7, and what the clue adds; float32 [N]."""
        model, clues = self.model.discriminative, expression.direction
        seen = lambda where: clues if settings.clue_on == where else ()  # noqa: E731
        picture = lambda where: biased_picture(self.image, seen(where), settings)  # noqa: E731
        common = (id(masks), settings.clip_layer, settings.clue_rule)
        scores = torch.zeros(len(masks))
        if settings.beta > 0:
            masked = self.once(("masked", *common, seen("masked"), settings.clip_side),
                               lambda: model.masked_features_of(picture("masked"), masks, settings), "CLIP masked")
            scores = scores + settings.beta * (masked @ texts[0]).cpu()
        if settings.beta < 1:
            crops = self.once(("crops", *common, seen("crop"), settings.crop, settings.crop_side),
                              lambda: model.crop_features_of(picture("crop"), masks, settings), "CLIP crops")
            scores = scores + (1 - settings.beta) * (crops @ texts[1]).cpu()
        return scores + clue_scores(expression, masks, settings)

    def _answer(self, expression: Expression, correlation: torch.Tensor | None,
                texts: tuple[torch.Tensor, torch.Tensor] | None, variant: Variant, settings: Settings) -> Segmentation:
        if variant == "g":
            masks = self.timed("matching", lambda: Proposals.from_correlation(correlation.numpy()).masks)
            indices, discriminative = range(len(masks)), None
        else:
            masks, indices = self._candidates(expression, correlation, settings)
            discriminative = None if texts is None else self._discriminative(expression, texts, masks, settings)
        with self.watch("matching"):
            generative = None
            if variant != "ds":
                generative = matching.GENERATIVE_RULES[settings.generative_rule](correlation, masks)
            if variant == "full":
                scores = matching.fuse(generative, discriminative, settings.alpha)
            else:
                scores = generative if discriminative is None else discriminative
        value = lambda part, i: None if part is None else float(part[i])  # noqa: E731
        candidates = tuple(
            Candidate(indices[i], masks[i], float(scores[i]), value(generative, i), value(discriminative, i))
            for i in scores.argsort(descending=True, stable=True).tolist())
        return Segmentation(self.image, expression, variant, candidates,
                            self.model.notice(expression, candidates[0], variant))


class RefDiff:
    """Points at things in pictures with words.

    >>> model = RefDiff.from_pretrained("mini")
    >>> model("examples/scene.png", "the cat on the left").save("mask.png")
    """

    def __init__(self, bundle: Bundle, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32,
                 settings: Settings | None = None, memory: float | None = None):
        if memory is not None and not memory > 0:
            raise InputError(f"memory must be a number of GB above 0, not {memory}.")
        self.bundle, self.device, self.dtype, self.memory = bundle, torch.device(device), dtype, memory
        self.settings = settings or bundle.settings()
        folders = {name: folder for name, folder in bundle.parts.items() if name != "diffusion"}
        if "diffusion" in bundle.parts:
            folders |= {name: bundle.parts["diffusion"] / name for name in ("unet", "vae", "text_encoder")}
        self.shelf = Shelf(memory, folders, dtype)

    @classmethod
    def from_pretrained(cls, name: str | Path = "mini", device: str | torch.device = "cpu",
                        dtype: torch.dtype = torch.float32, preset: str | None = None,
                        memory: float | None = None) -> RefDiff:
        """The bundle `name` ('mini', 'sd15', a folder, or a Hub id), on `device`, in `dtype`.

        `preset` 'paper' or 'official' replaces the bundle's own settings. Models are loaded when first used.
        `memory` in GB (10^9 bytes) is what to keep within: batches shrink, and models that do not fit together are
        loaded in turn. Raises BundleError when the bundle cannot be found or is incomplete.
        """
        bundle = find_bundle(name)
        return cls(bundle, device, dtype, bundle.settings(preset), memory)

    @cached_property
    def generative(self) -> GenerativeModel:
        folder = self.bundle.part("diffusion")
        load = lambda place: load_diffusion_part(folder, place.name, self.device, self.dtype)  # noqa: E731
        return GenerativeModel(lambda name: self.shelf.get(name, folder / name, load), *load_diffusion(folder))

    @property
    def discriminative(self) -> DiscriminativeModel:
        return self._model("clip", DiscriminativeModel, self.bundle.part("clip"))

    @property
    def rival(self) -> DiscriminativeModel:
        """The CLIP of Yu et al.'s methods where the bundle names one; else the bundle's own."""
        if self.bundle.rival is None:
            return self.discriminative
        return self._model("rival", DiscriminativeModel, self.bundle.rival())

    @property
    def segmentor(self) -> Segmentor:
        return self._model("sam", Segmentor, self.bundle.part("sam"))

    def _model(self, name: str, kind: Any, folder: Path) -> Any:
        return self.shelf.get(name, folder, lambda folder: kind.from_pretrained(folder, self.device, self.dtype))

    def encode(self, image: ImageLike, settings: Settings | None = None,
               proposals: str | Path | Proposals | None = None) -> EncodedImage:
        """The picture, ready for any number of expressions; `proposals` a file of COCO RLE masks to use instead of
        the segmentor's."""
        pixels = load_image(image)
        if isinstance(proposals, (str, Path)):
            name = Path(image).name if isinstance(image, (str, Path)) else None
            proposals = load_proposals(proposals, pixels.shape[:2], name)
        return EncodedImage(self, pixels, settings or self.settings, proposals)

    def __call__(self, image: ImageLike, expression: str, variant: Variant = "full", settings: Settings | None = None,
                 proposals: str | Path | Proposals | None = None) -> Segmentation:
        """The mask of what `expression` points at in `image`."""
        return self.encode(image, settings, proposals).segment([expression], variant)[0]

    def notice(self, expression: Expression, best: Candidate, variant: Variant) -> str | None:
        """Why an answer is not to be trusted, in a sentence, or None."""
        domain = self.bundle.domain
        if domain.nouns and expression.root.lower() not in domain.nouns:
            return (f"Low confidence: the model {self.bundle.name} has not learnt the word {expression.root!r}; "
                    "try --model sd15.")
        if variant == "full" and best.score < domain.low_score:
            return (f"Low confidence: nothing here looks much like {expression.phrase!r} to the model "
                    f"{self.bundle.name}, which knows drawn scenes; try --model sd15.")
        return None
