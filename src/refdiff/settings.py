"""Every number of the method in one frozen place, and the presets `PAPER` and `OFFICIAL`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .errors import InputError

Variant = Literal["full", "g", "gs", "ds"]


@dataclass(frozen=True)
class Settings:
    """How an expression is matched with a picture.

    The defaults follow the paper where it speaks, the release where the paper is silent, and depart from both where
    measuring showed something better (`root_rule`, `generative_rule`, `edge_smoothing`, `text`, `clue_weight`). A
    bundle's `refdiff.json` adjusts them to its models.

    Expression analysis
        root_rule: 'referent' (first noun that is not a place), 'syntax' (the paper's ROOT) or 'release'.
        clue_rule: 'words' (four directions, everyday forms) or 'release' (left and right as substrings).
    Generative process (Eq. 3-5)
        image_size: side in px of the square the diffusion model sees.
        noise_timestep: training timestep, in [0, 1000), up to which noise is added (sigma_t of Eq. 3).
        timesteps: training timesteps at which the U-Net then runs, in order; maps of all are used.
        guidance: classifier-free guidance scale of noise and maps; 1 runs the conditional half alone.
        prompt_suffix: appended to the expression for the diffusion model.
        attention: 'softmax' (Eq. 4) or 'logits' (before the softmax, as released).
        attention_stride: only cross-attention layers with one query per this many px are used.
        layers: only layers whose name starts with one of these; empty for all.
        combine: 'mean' (average, then Eq. 5, bilinear) or 'release' (each map scaled, 8 bit, Lanczos).
        edge_smoothing: how strongly the map then follows the picture's edges; 0 leaves it as Eq. 5 has it.
        generative_rule: s^G: 'between_class' (Eq. 9 weighed by area, as Otsu's threshold does) or 'difference' (Eq. 9).
    Discriminative process (Eq. 6, 7, 10)
        clip_layer: -1 the last, -2 the penultimate layer.
        clip_side: shorter side in px of the picture CLIP's masked attention sees; 0 keeps the picture's own size.
        beta: weight of the masked encoder f_M in Eq. 7.
        crop: what f sees of x * M: 'image' (all of it), 'box' (cut to the mask's box, resized to a square) or
            'aspect' (cut, shorter side resized, as released).
        crop_side: px of that shorter side; 0 takes CLIP's own size.
        clue_on: which encoder sees x * P: 'masked' (Eq. 7) or 'crop' (as released).
        text: what is compared with r of Eq. 10: 'sentence', or 'phrase' (the referent without words of place).
        crop_text: whether the crop is compared with the mean of text and root ('mean') or the text alone ('text').
        clue_weight: weight of a proposal's mean of P, added to s^D when the expression has a clue; 0 is the paper.
    Matching (Eq. 1)
        alpha: weight of s^G against s^D.
        largest: only this many of the largest proposals can win; 0 for all.
        min_area: proposals of at most this many px cannot win.
    Segmentor
        points: where SAM is asked: 'grid' (points_per_side squared, whatever the words) or 'peaks' (the `peaks`
            greatest local maxima of the correlation map: fewer, but other proposals for every expression).
        points_per_side: of the point grid.
        iou_threshold, stability_threshold, stability_offset, nms_threshold: as in SAM's mask generator.
        duplicate_threshold: of two masks with a greater IoU the better rated stays; 1 keeps both.
        min_region: specks and holes of fewer px are removed; 0 keeps them.
    seed: of the VAE's sample and of the noise.
    expressions_per_batch, points_per_batch, crops_per_batch: how many at most the U-Net, SAM's decoder and CLIP take at
        once; more are faster and need more memory.
    """

    root_rule: Literal["referent", "syntax", "release"] = "referent"
    clue_rule: Literal["words", "release"] = "words"

    image_size: int = 512
    noise_timestep: int = 101
    timesteps: tuple[int, ...] = (101,)
    guidance: float = 1.0
    prompt_suffix: str = ""
    attention: Literal["softmax", "logits"] = "softmax"
    attention_stride: int = 32
    layers: tuple[str, ...] = ()
    combine: Literal["mean", "release"] = "mean"
    edge_smoothing: float = 300.0
    generative_rule: Literal["between_class", "difference"] = "between_class"

    clip_layer: int = -1
    clip_side: int = 0
    beta: float = 0.3
    crop: Literal["image", "box", "aspect"] = "box"
    crop_side: int = 0
    clue_on: Literal["masked", "crop"] = "masked"
    text: Literal["sentence", "phrase"] = "phrase"
    crop_text: Literal["mean", "text"] = "mean"
    clue_weight: float = 0.05

    alpha: float = 0.1
    largest: int = 0
    min_area: int = 0

    points: Literal["grid", "peaks"] = "grid"
    peaks: int = 24
    points_per_side: int = 32
    iou_threshold: float = 0.88
    stability_threshold: float = 0.95
    stability_offset: float = 1.0
    nms_threshold: float = 0.7
    duplicate_threshold: float = 0.9
    min_region: int = 0

    seed: int = 0

    expressions_per_batch: int = 16
    points_per_batch: int = 64
    crops_per_batch: int = 32

    def __post_init__(self) -> None:
        hints = get_type_hints(Settings)
        for field in dataclasses.fields(self):
            value, hint = getattr(self, field.name), hints[field.name]
            if get_origin(hint) is Literal:
                if value not in get_args(hint):
                    raise InputError(f"{field.name} must be one of {', '.join(get_args(hint))}, not {value!r}.")
            elif get_origin(hint) is tuple:
                if isinstance(value, str) or not hasattr(value, "__iter__"):
                    raise InputError(f"{field.name} must be a list, not {value!r}.")
                object.__setattr__(self, field.name, tuple(value))
            elif hint is str:
                if not isinstance(value, str):
                    raise InputError(f"{field.name} must be text, not {value!r}.")
            elif isinstance(value, bool) or not isinstance(value, (int, float) if hint is float else int):
                raise InputError(f"{field.name} must be {'a number' if hint is float else 'a whole number'}, "
                                 f"not {value!r}.")
        for name in ("alpha", "beta", "iou_threshold", "stability_threshold", "nms_threshold", "duplicate_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must lie between 0 and 1, not {getattr(self, name)}.")
        if not 0 <= self.edge_smoothing < float("inf"):
            raise InputError(f"edge_smoothing must be 0 or more, not {self.edge_smoothing}.")
        if not self.timesteps or not all(0 <= t < 1000 for t in (*self.timesteps, self.noise_timestep)):
            raise InputError("timesteps and noise_timestep must lie between 0 and 999, and there must be at least one.")
        counts = ("image_size", "attention_stride", "peaks", "points_per_side", "expressions_per_batch",
                  "points_per_batch", "crops_per_batch")
        if min(getattr(self, name) for name in counts) < 1:
            raise InputError(f"{', '.join(counts[:-1])} and {counts[-1]} must be at least 1.")

    def replace(self, **changes: Any) -> Settings:
        """A copy with some values changed. Raises InputError for an unknown name or a value out of range."""
        known = {field.name for field in dataclasses.fields(self)}
        for name in changes:
            if name not in known:
                raise InputError(f"There is no setting {name!r}; the settings are {', '.join(sorted(known))}.")
        return dataclasses.replace(self, **changes)


PAPER = Settings(
    root_rule="syntax", image_size=1024, noise_timestep=101, timesteps=(51, 1), edge_smoothing=0.0,
    generative_rule="difference", clip_layer=-2, crop="image", text="sentence", clue_weight=0.0, alpha=0.1, beta=0.3,
    duplicate_threshold=1.0,
)
"""The paper's text (sections 3 and 4.1)."""

OFFICIAL = Settings(
    root_rule="release", clue_rule="release", image_size=1024, noise_timestep=101, timesteps=(51, 1), guidance=9.0,
    prompt_suffix=", ", attention="logits", combine="release", edge_smoothing=0.0, generative_rule="difference",
    clip_layer=-1, crop="aspect", crop_side=224, clue_on="crop", text="sentence", crop_text="text", clue_weight=0.0,
    alpha=0.05 / 1.05, beta=0.3, largest=10, min_area=10_000, duplicate_threshold=1.0,
)
"""The authors' release: 0.7 crop + 0.3 masked + 0.05 s^G, divided by 1.05 so that the weights of Eq. 1 sum to one."""

PRESETS = {"paper": PAPER, "official": OFFICIAL}
