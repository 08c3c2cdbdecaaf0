"""`RefDiff`: a bundle's models, and what they are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from . import fast as optimisations
from .core.images import ImageLike, load_image
from .core.lazy import Lazy
from .core.proposal_files import load_proposals
from .core.proposals import Proposals
from .errors import InputError
from .language import Expression
from .method.confidence import Calibration
from .models.diffusion.cross import CrossAttentionDiffusion, load_part
from .models.segmentors.sam import SamSegmentor
from .models.similarity.clip import ClipSimilarity
from .residency import Residency
from .result import Segmentation
from .scene import EncodedImage
from .settings import VARIANTS, Settings, Variant
from .weights.load import load_clip, load_sam, load_scheduler, load_tokenizer, text_positions, vae_stride, weight_gb
from .weights.manifest import Bundle, find_bundle
from .weights.save import save_bundle

Model = TypeVar("Model")
_MOST_TEXTS, _TEXTS_AT_ONCE = 4096, 128
_DIFFUSION_PARTS = ("unet", "vae", "text_encoder")
_IN_OWN_DTYPE = (*_DIFFUSION_PARTS, "clip", "baseline_clip")


class RefDiff:
    """Points at things in images with words. Threads, and tasks of asyncio through threads, may share one.

    >>> model = RefDiff.from_pretrained("mini")
    >>> model("examples/scene.png", "the cat on the left").save("mask.png")
    """

    def __init__(self, bundle: Bundle, device: torch.device, dtype: torch.dtype = torch.float32,
                 settings: Settings | None = None, memory: float | None = None,
                 fast: optimisations.Fast = True):
        if memory is not None and (not isinstance(memory, (int, float)) or not 0 < memory < float("inf")):
            raise InputError(f"memory must be a number of GB above 0, not {memory!r}.")
        self.bundle, self.device, self.dtype, self.memory = bundle, device, dtype, memory
        self.settings = settings or bundle.settings()
        self.fast = optimisations.chosen(fast)
        self.residency = Residency(memory, self._weight_gb, dtype)
        self._calibration = Calibration.read(bundle.calibration or {})
        self._diffusion: Lazy[str, CrossAttentionDiffusion] = Lazy()
        self._texts: dict[str, torch.Tensor] = {}

    @classmethod
    def from_pretrained(cls, name: str | Path = "mini", device: str | torch.device = "auto",
                        dtype: str | torch.dtype = "auto", preset: str | None = None, memory: float | None = None,
                        fast: optimisations.Fast = True) -> RefDiff:
        """The bundle `name`: 'mini', 'sd15', 'sd15-light', a folder, or a Hub id.

        Nothing is loaded or downloaded before it is needed. `device` 'auto' takes CUDA, else MPS, else the CPU; `dtype`
        'auto' is bfloat16 on CUDA, and float32 elsewhere and for presets. `preset` 'paper' or 'official' replaces the
        bundle's own settings. `memory` in GB (10^9 bytes) is a bound to keep within: batches shrink, and models that do
        not fit together are loaded in turn; what a caller does with `model.segmentor` and the like alone is outside it.
        `fast` False leaves the models as their libraries have them; a list of names of `refdiff.fast.OPTIMISATIONS`
        installs those. Raises BundleError when there is no such bundle, and InputError for any other argument.
        """
        bundle = find_bundle(name)
        settings, where = bundle.settings(preset), find_device(device)
        return cls(bundle, where, find_dtype(dtype, where, preset), settings, memory, fast)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the bundle with the present settings to a folder that is new or empty, ready for the Hub: copies of its
        files, refdiff.json, and a model card. `from_pretrained(folder)` then gives the same masks.

        A part that is only on the Hub is fetched first. Raises InputError where the folder is not empty, BundleError
        where a part is not available, and RefDiffError when the disk refuses.
        """
        save_bundle(self.bundle, Path(folder), self.settings)

    def __call__(self, image: ImageLike, expression: str, variant: Variant = "full", settings: Settings | None = None,
                 proposals: str | Path | Proposals | None = None) -> Segmentation:
        """The mask of what `expression` points at in `image`."""
        return self.encode(image, settings, proposals).segment([expression], variant)[0]

    def encode(self, image: ImageLike, settings: Settings | None = None,
               proposals: str | Path | Proposals | None = None) -> EncodedImage:
        """The image, ready for any number of expressions. `proposals`: masks to use instead of the segmentor's, as
        `Proposals` or a JSON file, as `core.proposal_files.load_proposals` reads it.

        Raises InputError for an image or proposals that cannot be used.
        """
        pixels = load_image(image)
        size = pixels.shape[0], pixels.shape[1]
        if isinstance(proposals, (str, Path)):
            found = load_proposals(proposals, size, image if isinstance(image, (str, Path)) else None)
            if found is None:
                raise InputError(f"{proposals} lists the image without a mask; there is nothing to choose from.")
            proposals = found
        elif proposals is not None and not isinstance(proposals, Proposals):
            raise InputError(f"proposals must be Proposals or the path of a JSON file, not {type(proposals).__name__}; "
                             "make them of masks with Proposals.of(masks, 'given').")
        elif proposals is not None and proposals.masks.shape[1:] != size:
            raise InputError(f"The proposals are of an image of {proposals.masks.shape[2]}x{proposals.masks.shape[1]}, "
                             f"this one has {size[1]}x{size[0]}.")
        return EncodedImage(self, pixels, settings or self.settings, proposals)

    # The models, each loaded when first asked for

    @property
    def diffusion(self) -> CrossAttentionDiffusion:
        """Read for its attention (Eq. 3-5)."""
        return self._diffusion.get("diffusion", self._open_diffusion)

    @property
    def segmentor(self) -> SamSegmentor:
        """Offers proposals."""
        def load() -> SamSegmentor:
            return self._ready(SamSegmentor(load_sam(self.bundle.part("sam"), self.device)))

        model: SamSegmentor = self.residency.get("sam", load)
        return model

    @property
    def similarity(self) -> ClipSimilarity:
        """Compares proposals with texts (Eq. 7, 10)."""
        return self._clip("clip")

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """`similarity.text_features`, of which those of words asked for before are kept; float32 [B, D]."""
        with self.residency.lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._texts]
            if len(self._texts) + len(new) > _MOST_TEXTS:
                self._texts.clear()
                new = list(dict.fromkeys(texts))
            for start in range(0, len(new), _TEXTS_AT_ONCE):
                part = new[start : start + _TEXTS_AT_ONCE]
                self._texts.update(zip(part, self.similarity.text_features(part), strict=True))
            return torch.stack([self._texts[text] for text in texts])

    @property
    def baseline_similarity(self) -> ClipSimilarity:
        """The CLIP of Yu et al.'s methods where the bundle names one; else the bundle's own."""
        return self._clip("baseline_clip" if self.bundle.has("baseline_clip") else "clip")

    def _clip(self, part: str) -> ClipSimilarity:
        def load() -> ClipSimilarity:
            return self._ready(ClipSimilarity(*load_clip(self.bundle.part(part), self.device, self.dtype)))

        model: ClipSimilarity = self.residency.get(part, load)
        return model

    def brought(self, part: str, load: Callable[[Path, torch.device], Model]) -> Model:
        """The model of a part that a method brings along, which `load(folder, device)` makes when it is first asked
        for. Raises BundleError where the part is not available."""
        model: Model = self.residency.get(part, lambda: self._ready(load(self.bundle.part(part), self.device)))
        return model

    def _open_diffusion(self) -> CrossAttentionDiffusion:
        folder = self.bundle.part("diffusion")

        def part(name: str) -> Any:
            return self.residency.get(name, lambda: self._ready(load_part(folder, name, self.device, self.dtype)))

        tokenizer = load_tokenizer(folder / "tokenizer", text_positions(folder / "text_encoder"))
        return self._ready(CrossAttentionDiffusion(part, tokenizer, load_scheduler(folder / "scheduler"),
                                                  vae_stride(folder / "vae")))

    def _ready(self, model: Model) -> Model:
        """A model that was just loaded, optimised and taking its turn with the others."""
        optimisations.install(model, self.fast, self.dtype)
        if hasattr(model, "lock"):
            model.lock = self.residency.lock
        return model

    def _weight_gb(self, name: str) -> float:
        folder = self.bundle.part("diffusion") / name if name in _DIFFUSION_PARTS else self.bundle.part(name)
        return weight_gb(folder, self.dtype if name in _IN_OWN_DTYPE else torch.float32)

    def bounded(self, settings: Settings, parts: tuple[str, ...]) -> Settings:
        """The settings with batches that keep within `memory` beside these parts of the bundle."""
        names = [each for part in parts for each in (_DIFFUSION_PARTS if part == "diffusion" else (part,))]
        return self.residency.bounded(settings, names)

    @property
    def wait(self) -> Any:
        """What returns when the device has done all that was asked of it; None on the CPU."""
        return partial(torch.cuda.synchronize, self.device) if self.device.type == "cuda" else None

    # What the bundle knows of its answers

    @cached_property
    def _calibrated(self) -> Settings:
        return self.bundle.settings()

    def confidence(self, kind: str, features: tuple[float, float], settings: Settings) -> float | None:
        """The probability that an answer is right, `kind` a variant, 'query', 'nothing' or 'instance'
        (`method.confidence`); None where the bundle has no calibration for these settings."""
        own = self._calibrated
        if kind in VARIANTS:
            own = own.replace(reading=settings.query.reading, targets=settings.query.targets)
        if kind not in self._calibration or not settings.scores_like(own):
            return None
        return self._calibration[kind](features)

    def notice(self, expression: Expression, score: float, variant: Variant) -> str | None:
        """Why an answer is not to be trusted, in a sentence, or None."""
        domain = self.bundle.domain
        if domain.nouns and expression.root.lower() not in domain.nouns:
            return (f"Low confidence: the model {self.bundle.name} has not learnt the word {expression.root!r}; "
                    "try --model sd15.")
        if variant == "full" and score < domain.low_score:
            return (f"Low confidence: nothing here looks much like {expression.phrase!r} to the model "
                    f"{self.bundle.name}, which knows drawn scenes; try --model sd15.")
        return None

    def __reduce__(self) -> Any:
        """Pickled without its models, which are loaded again where it is unpickled."""
        return RefDiff, (self.bundle, self.device, self.dtype, self.settings, self.memory, self.fast)


def find_device(name: str | torch.device) -> torch.device:
    """The device called 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'. Raises InputError where it is not available."""
    if str(name) == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, TypeError, ValueError):
        raise InputError(f"The device {str(name)!r} is not available here; use cpu, cuda or mps, or leave it out to "
                         "take the best there is.") from None
    return device


def find_dtype(name: str | torch.dtype, device: torch.device, preset: str | None) -> torch.dtype:
    """The floating-point type called 'auto', 'float32', 'bfloat16' or 'float16'. Raises InputError for another."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and preset is None else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if isinstance(name, torch.dtype) and name in known.values():
        return name
    if isinstance(name, str) and name in known:
        return known[name]
    raise InputError(f"dtype must be auto, float32, bfloat16 or float16, not {name!r}.")
