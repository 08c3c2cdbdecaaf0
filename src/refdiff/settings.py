"""Every number of the method in one frozen place, in groups, and the presets `PAPER` and `OFFICIAL`.

A group is what a cached value is keyed by: whatever depends on one number of a group is made again when any of that
group changes.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .errors import InputError

Variant = Literal["full", "g", "gs", "ds"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)


def _ranged(default: Any, low: float, high: float) -> Any:
    """A number, or a tuple of numbers, each from `low` to `high`."""
    return field(default=default, metadata={"range": (low, high)})


class _Group:
    """Checks every value against its type and range. Raises InputError."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for each in dataclasses.fields(self):  # type: ignore[arg-type]
            value = _checked(each.name, getattr(self, each.name), hints[each.name], each.metadata.get("range"))
            object.__setattr__(self, each.name, value)


def _checked(name: str, value: Any, hint: Any, limits: tuple[float, float] | None) -> Any:
    if get_origin(hint) is Literal:
        if not isinstance(value, str) or value not in get_args(hint):
            raise InputError(f"{name} must be one of {', '.join(get_args(hint))}, not {_shown(value)}.")
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)) or (limits and not value):
            what = "a list of at least one number" if limits else "a list"
            raise InputError(f"{name} must be {what}, not {_shown(value)}.")
        return tuple(_checked(f"each value of {name}", item, get_args(hint)[0], limits) for item in value)
    if hint is str:
        if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
            raise InputError(f"{name} must be text, not {_shown(value)}.")
        return value
    kind = "a number" if hint is float else "a whole number"
    if isinstance(value, bool) or not isinstance(value, (int, float) if hint is float else int):
        raise InputError(f"{name} must be {kind}, not {_shown(value)}.")
    low, high = limits or (-math.inf, math.inf)
    if not low <= value <= high:  # NaN too
        raise InputError(f"{name} must be {kind} from {_bound(low)} to {_bound(high)}, not {_shown(value)}.")
    return value


def _bound(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class ExpressionSettings(_Group):
    """How an expression is read (sections 3.2 and 3.3).

    root_rule: 'referent' (first noun that is not a place), 'syntax' (the paper's ROOT) or 'release'.
    clue_rule: 'words' (four directions, everyday forms) or 'release' (left and right as substrings).
    """

    root_rule: Literal["referent", "syntax", "release"] = "referent"
    clue_rule: Literal["words", "release"] = "words"


@dataclass(frozen=True)
class GenerativeSettings(_Group):
    """The diffusion model's correlation map (Eq. 3-5) and the masks cut from it (Eq. 8).

    image_size: side in px of the square the diffusion model sees.
    noise_timestep: training timestep up to which noise is added (sigma_t of Eq. 3).
    timesteps: training timesteps at which the U-Net then runs, in order; the maps of all are used.
    guidance: classifier-free guidance scale of noise and maps; 1 runs the conditional half alone.
    prompt_suffix: appended to the expression for the diffusion model.
    attention: 'softmax' (Eq. 4) or 'logits' (before the softmax, as released).
    attention_stride: only cross-attention layers with one query per this many px are used.
    layers: only layers whose name starts with one of these; empty for all.
    combine: 'mean' (Eq. 5: the mean map, scaled to [0, 1] once, resized bilinearly), 'rescaled' (scaled once more after
        the crop to the image) or 'release' (each map scaled, 8 bit, Lanczos, scaled once more).
    edge_smoothing: how strongly the map then follows the image's edges; 0 leaves it as it is.
    edge_side: px of the longer side on which edges are followed.
    edge_colour: distance in RGB, of [0, 1] each, at which neighbours begin to part.
    edge_floor: weight across the hardest edge, so that every area hangs together.
    thresholds: mu of Eq. 8.
    seed: of the VAE's sample and of the noise.
    """

    image_size: int = _ranged(512, 16, 4096)
    noise_timestep: int = _ranged(101, 0, 999)
    timesteps: tuple[int, ...] = _ranged((101,), 0, 999)
    guidance: float = _ranged(1.0, 0, 100)
    prompt_suffix: str = ""
    attention: Literal["softmax", "logits"] = "softmax"
    attention_stride: int = _ranged(32, 1, 1024)
    layers: tuple[str, ...] = ()
    combine: Literal["mean", "rescaled", "release"] = "rescaled"
    edge_smoothing: float = _ranged(300.0, 0, 1e6)
    edge_side: int = _ranged(128, 8, 1024)
    edge_colour: float = _ranged(0.03, 0.001, 10)
    edge_floor: float = _ranged(1e-4, 1e-9, 1)
    thresholds: tuple[float, ...] = _ranged(tuple(i / 20 for i in range(1, 20)), 0, 1)
    seed: int = _ranged(0, 0, 2**32 - 1)


@dataclass(frozen=True)
class DiscriminativeSettings(_Group):
    """What the image-text model is shown (Eq. 6, 7, 10).

    clip_layer: -1 the last, -2 the penultimate layer.
    clip_side: shorter side in px of the image the masked encoder f_M sees; 0 keeps the image's own size.
    crop: what f sees of x * M: 'image' (all of it), 'box' (cut to the mask's box, resized to a square) or 'aspect'
        (cut, shorter side resized, as released).
    crop_side: px of that shorter side; 0 takes the model's own size.
    clue_on: which encoder sees x * P: 'masked' (Eq. 7) or 'crop' (as released).
    clue_ramp: fraction of the image's side over which P falls from 1 to 0.
    text: what is compared with r of Eq. 10: 'sentence', or 'phrase' (the referent without words of place).
    crop_text: whether the crop is compared with the mean of text and root ('mean') or the text alone ('text').
    """

    clip_layer: int = _ranged(-1, -100, -1)
    clip_side: int = _ranged(0, 0, 4096)
    crop: Literal["image", "box", "aspect"] = "box"
    crop_side: int = _ranged(0, 0, 4096)
    clue_on: Literal["masked", "crop"] = "masked"
    clue_ramp: float = _ranged(1.0, 0.01, 1)
    text: Literal["sentence", "phrase"] = "phrase"
    crop_text: Literal["mean", "text"] = "mean"


@dataclass(frozen=True)
class MatchingSettings(_Group):
    """How scores are formed and the winner is chosen (Eq. 1, 2, 7, 9).

    alpha: weight of s^G against s^D (Eq. 1).
    beta: weight of the masked encoder f_M against the cropped one (Eq. 7).
    clue_weight: weight of a proposal's mean of P, added to s^D when the expression has a clue; 0 is the paper.
    generative_rule: s^G: 'difference' (Eq. 9) or 'between_class' (Eq. 9 weighted by area, as Otsu's threshold does).
    largest: only this many of the largest proposals can win; 0 for all.
    min_area: proposals of at most this many px cannot win.
    none_eligible: where that leaves no proposal: 'all' can win, or the 'first' one wins with score 0 (as released).
    """

    alpha: float = _ranged(0.1, 0, 1)
    beta: float = _ranged(0.3, 0, 1)
    clue_weight: float = _ranged(0.05, 0, 100)
    generative_rule: Literal["between_class", "difference"] = "between_class"
    largest: int = _ranged(0, 0, 10**6)
    min_area: int = _ranged(0, 0, 10**9)
    none_eligible: Literal["all", "first"] = "all"


@dataclass(frozen=True)
class SegmentorSettings(_Group):
    """SAM's automatic mask generator (Kirillov et al., 2023, appendix B).

    point_source: where SAM is asked: 'grid' (`points_per_side` squared, whatever the words) or 'peaks' (the `peaks`
        greatest local maxima of the correlation map: fewer, but other proposals for every expression).
    points_per_side: of the point grid.
    peaks: at most how many maxima.
    peak_distance: at the nearest, as a fraction of the longer side.
    iou_threshold, stability_threshold, stability_offset, nms_threshold: as in SAM's mask generator.
    duplicate_threshold: of two masks with a greater IoU the better rated stays; 1 keeps both.
    min_region: specks and holes of fewer px are then removed; 0 keeps them.
    judged_side: masks of larger images are judged at this longer side in px, already finer than SAM's logits.
    guided_radius: half the side of the windows in which masks then follow the image's colours, as a fraction of its
        longer side; 0 leaves them (a guided filter, ours).
    guided_evenness: variance of colours, of [0, 1] each, below which such a window counts as even.
    guided_rounds: how often.
    resize: how the image is brought to SAM's size: 'float' (antialiased) or '8bit' (Pillow's bilinear, as released).
    """

    point_source: Literal["grid", "peaks"] = "grid"
    points_per_side: int = _ranged(32, 1, 128)
    peaks: int = _ranged(24, 1, 4096)
    peak_distance: float = _ranged(1 / 24, 0.001, 1)
    iou_threshold: float = _ranged(0.88, 0, 1)
    stability_threshold: float = _ranged(0.95, 0, 1)
    stability_offset: float = _ranged(1.0, 0, 100)
    nms_threshold: float = _ranged(0.7, 0, 1)
    duplicate_threshold: float = _ranged(0.9, 0, 1)
    min_region: int = _ranged(0, 0, 10**6)
    judged_side: int = _ranged(1024, 64, 10_000)
    guided_radius: float = _ranged(0.0, 0, 0.1)
    guided_evenness: float = _ranged(3e-4, 1e-6, 1)
    guided_rounds: int = _ranged(2, 1, 10)
    resize: Literal["float", "8bit"] = "float"


@dataclass(frozen=True)
class QuerySettings(_Group):
    """How what an expression asks for is answered (ours; variant 'full' only).

    reading: how much of an expression is used: 'root' (Eq. 1 and 2 of the whole expression, as the paper), 'query'
        (each thing named, by its noun and attributes), 'instances' (how many too), 'relations' (places, orders and
        relations too).
    targets: 'one' (the best proposal, always) or 'any' (one, several or nothing).
    threshold: how likely what is asked for must be there at all; 0 always answers.
    each_threshold: how likely each thing must be meant where all are.
    evidence_bias, evidence_text, evidence_map, evidence_parts: of the log-odds that a proposal is what a noun says:
        s^D against other nouns, s^G, and the number of proposals that it is a part of or holds.
    """

    reading: Literal["root", "query", "instances", "relations"] = "relations"
    targets: Literal["one", "any"] = "any"
    threshold: float = _ranged(0.16, 0, 1)
    each_threshold: float = _ranged(0.5, 0, 1)
    evidence_bias: float = _ranged(0.3, -100, 100)
    evidence_text: float = _ranged(0.88, 0, 100)
    evidence_map: float = _ranged(15.5, 0, 1000)
    evidence_parts: float = _ranged(0.18, 0, 100)


@dataclass(frozen=True)
class BaselineSettings(_Group):
    """What the methods to compare with leave open; Ref-Diff does not read it.

    global_share: v of Yu et al.'s Global-Local, the weight of the whole image against the crop. `refdiff evaluate`
        takes theirs for RefCOCOg, 0.85, unless another is given.
    """

    global_share: float = _ranged(0.95, 0, 1)


@dataclass(frozen=True)
class BatchingSettings(_Group):
    """How many expressions, points and crops at most the U-Net, SAM's decoder and CLIP take at once; more are faster
    and need more memory."""

    expressions_per_batch: int = _ranged(16, 1, 4096)
    points_per_batch: int = _ranged(64, 1, 16_384)
    crops_per_batch: int = _ranged(32, 1, 4096)


@dataclass(frozen=True)
class Settings:
    """How an expression is matched with an image.

    The defaults follow the paper where it speaks, the release where the paper is silent, and depart from both where
    measuring showed something better. A bundle's `refdiff.json` adjusts them to its models.

    >>> Settings().replace(alpha=0.2, points_per_side=16).matching.alpha
    0.2
    """

    expression: ExpressionSettings = field(default_factory=ExpressionSettings)
    generative: GenerativeSettings = field(default_factory=GenerativeSettings)
    discriminative: DiscriminativeSettings = field(default_factory=DiscriminativeSettings)
    matching: MatchingSettings = field(default_factory=MatchingSettings)
    segmentor: SegmentorSettings = field(default_factory=SegmentorSettings)
    query: QuerySettings = field(default_factory=QuerySettings)
    baselines: BaselineSettings = field(default_factory=BaselineSettings)
    batching: BatchingSettings = field(default_factory=BatchingSettings)

    def scores_like(self, other: Settings) -> bool:
        """Whether the method's scores are those of `other`: batches, baselines, the threshold and how many may be
        answered change none."""
        query = dataclasses.replace(self.query, threshold=other.query.threshold, targets=other.query.targets)
        return dataclasses.replace(self, batching=other.batching, baselines=other.baselines, query=query) == other

    def replace(self, **changes: Any) -> Settings:
        """A copy with some values changed, each by its own name: `replace(alpha=0.2)`.

        Raises InputError for an unknown name, or a value of the wrong type or out of range.
        """
        by_group: dict[str, dict[str, Any]] = {}
        for name, value in changes.items():
            if name not in _HOME:
                raise InputError(f"There is no setting {_shown(name)}; the settings are {', '.join(sorted(_HOME))}.")
            by_group.setdefault(_HOME[name], {})[name] = value
        return dataclasses.replace(
            self, **{group: dataclasses.replace(getattr(self, group), **own) for group, own in by_group.items()})

    def flat(self) -> dict[str, Any]:
        """Every value by its own name, as `replace` takes them."""
        return {name: getattr(getattr(self, group), name) for name, group in _HOME.items()}


_HOME: dict[str, str] = {each.name: name for name, group in get_type_hints(Settings).items()
                        for each in dataclasses.fields(group)}


PAPER = Settings().replace(
    root_rule="syntax", image_size=1024, noise_timestep=101, timesteps=(51, 1), combine="mean", edge_smoothing=0.0,
    generative_rule="difference", clip_layer=-2, crop="image", text="sentence", clue_weight=0.0, alpha=0.1, beta=0.3,
    duplicate_threshold=1.0, reading="root", targets="one",
)
"""The paper's text (sections 3 and 4.1)."""

OFFICIAL = Settings().replace(
    root_rule="release", clue_rule="release", image_size=1024, noise_timestep=101, timesteps=(51, 1), guidance=9.0,
    prompt_suffix=", ", attention="logits", combine="release", edge_smoothing=0.0, generative_rule="difference",
    clip_layer=-1, crop="aspect", crop_side=224, clue_on="crop", clue_ramp=2 / 3, text="sentence", crop_text="text",
    clue_weight=0.0, alpha=0.05 / 1.05, beta=0.3, largest=10, min_area=10_000, none_eligible="first",
    duplicate_threshold=1.0, resize="8bit", reading="root", targets="one",
)
"""The authors' release: 0.7 crop + 0.3 masked + 0.05 s^G, divided by 1.05 so that the weights of Eq. 1 sum to one."""

PRESETS = {"paper": PAPER, "official": OFFICIAL}
