"""What requests and responses hold, as OpenAPI shows it; nothing here knows a model."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from ..settings import Variant
from .offered import Offered, offered

MOST_CANDIDATES = 64
MOST_POINTS = 64
_FARTHEST = 1_000_000  # px

Whole = Annotated[int, BeforeValidator(
    lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)]
"""An integer as JSON Schema has it: 5.0 is one."""

Number = Annotated[float, Field(allow_inf_nan=False)]
Coordinate = Annotated[float, Field(ge=0, le=_FARTHEST)]


class _Asked(BaseModel):
    """Of a request: no field is taken for another, and no value for one of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Told(BaseModel):
    """Of a response."""

    model_config = ConfigDict(extra="forbid")


def _setting(each: Offered) -> Any:
    kind = Literal[each.kind] if isinstance(each.kind, tuple) else Whole if each.kind is int else each.kind
    symbol = f" The paper's {each.symbol}." if each.symbol else ""
    return kind | None, Field(None, ge=each.low, le=each.high, description=f"{each.says}{symbol}")


_SETTINGS = {each.name: _setting(each) for each in offered()}
_Changes: Any = create_model("_Changes", __base__=_Asked, **_SETTINGS)
_Noise: Any = create_model("_Noise", __base__=_Asked, noise_timestep=_SETTINGS["noise_timestep"])


class ImageOptions(_Changes):
    """How an expression is answered; what is left out is as the bundle has it (GET /v1/settings)."""

    variant: Variant = Field("full", description="full: all models; g: diffusion; gs: diffusion + SAM; ds: CLIP + SAM")
    candidates: Whole = Field(5, ge=0, le=MOST_CANDIDATES, description="how many proposals to list, best first")

    def changes(self) -> dict[str, Any]:
        """The settings that are not left out."""
        asked = {name: getattr(self, name) for name in _SETTINGS}
        return {name: value for name, value in asked.items() if value is not None}


class Options(ImageOptions):
    """The same for an image that is sent along."""

    model: str | None = Field(None, max_length=200, description="one of GET /v1/settings; by default the first")


class SegmentUpload(_Asked):
    """An image and what to find in it."""

    image: str = Field(description="an image file in base64", json_schema_extra={"contentEncoding": "base64"})
    expressions: list[str] = Field(min_length=1)
    options: Options = Field(default_factory=Options)


class ModelOptions(_Asked):
    """Which model is to encode an image."""

    model: str | None = Field(None, max_length=200, description="one of GET /v1/settings; by default the first")


class ImageUpload(_Asked):
    """An image to keep."""

    image: str = Field(description="an image file in base64", json_schema_extra={"contentEncoding": "base64"})
    options: ModelOptions = Field(default_factory=lambda: ModelOptions(model=None))


class SegmentRequest(_Asked):
    """What to find in a kept image."""

    expressions: list[str] = Field(min_length=1)
    options: ImageOptions = Field(default_factory=ImageOptions)


class CorrelationRequest(_Noise):
    """Which attention maps of a kept image to draw, and how."""

    expression: str
    colours: Literal["grey", "heat"] = Field("grey", description="8-bit grey, 255 for 1; or RGB from black to white")
    side: Whole = Field(512, ge=16, le=2048, description="px of a map's longer side, at most the image's own")
    token: Whole | None = Field(None, ge=0, description="for image/png: the map of this token; by default the root's")


class RefineRequest(_Asked):
    """What is wrong with an answer: points, a box, or the candidate that is meant instead."""

    answer: str = Field(max_length=64, description="the id of the answer to correct")
    points: list[Annotated[list[Coordinate], Field(min_length=2, max_length=2)]] = Field(
        [], max_length=MOST_POINTS, description="[x, y] in px of the image")
    labels: list[Literal[0, 1]] | None = Field(
        None, max_length=MOST_POINTS, description="of each point: 1 inside what is meant, 0 outside; by default 1")
    box: list[Coordinate] | None = Field(None, min_length=4, max_length=4,
                                         description="[left, top, right, bottom] in px around what is meant")
    candidate: Whole | None = Field(None, ge=0, description="the `index` of the candidate to start from")
    candidates: Whole = Field(5, ge=0, le=MOST_CANDIDATES)


class DownloadRequest(_Asked):
    """Which answers to write to a file, and how."""

    answers: list[str] = Field(min_length=1, max_length=256, description="ids; exactly one for mask, overlay, cutout")
    format: Literal["mask", "overlay", "cutout", "coco", "zip"]


Box = Annotated[list[int], Field(min_length=4, max_length=4,
                                 description="left, top, right, bottom in px, right and bottom exclusive")]


class Rle(_Told):
    """COCO's compressed run-length encoding of a mask."""

    size: list[int] = Field(min_length=2, max_length=2, description="height, width")
    counts: str


class InstanceTold(_Told):
    """One thing that is meant."""

    segmentation: Rle
    box: Box
    area: int = Field(description="in px")
    score: Number = Field(description="how likely it is meant; with reading 'root' and other variants s of Eq. 1")
    confidence: Number | None = Field(description="the answer's where it is the only instance, else null: only whole "
                                                  "answers are calibrated")


class CandidateTold(_Told):
    """One proposal."""

    index: int
    segmentation: Rle
    box: Box
    score: Number = Field(description="as an instance's")
    generative: Number | None = Field(description="s^G (Eq. 9)")
    discriminative: Number | None = Field(description="s^D (Eq. 10)")


class Answer(_Told):
    """The answer to one expression."""

    id: str | None = Field(description="for refine and download; null where the image is not kept")
    expression: str
    query: str | None = Field(description="how it was understood, in one line; null where it was read as one")
    root: str = Field(description="the word whose attention map the paper uses")
    direction: list[str] = Field(description="words of place that were read as directions")
    variant: Variant
    found: bool
    segmentation: Rle = Field(description="of all instances together; empty where nothing was found")
    box: Box | None
    area: int
    score: Number
    confidence: Number | None = Field(description="the probability that the mask is right (IoU over 0.5, or rightly "
                                                  "empty); null where it is not known")
    notice: str | None = Field(description="why not to trust it, or what is missing")
    instances: list[InstanceTold]
    candidates: list[CandidateTold]


class Timings(_Told):
    """Milliseconds: of waiting, in all, and of each stage of the batch that the request was part of."""

    waited: float
    total: float
    stages: dict[str, float]


class SegmentResponse(_Told):
    """An answer to each expression, in order."""

    model: str
    width: int
    height: int
    answers: list[Answer]
    timings: Timings


class ImageTold(_Told):
    """An image that is kept."""

    id: str
    model: str
    width: int
    height: int
    expires_in: float = Field(description="seconds after its last use")
    timings: Timings


class CorrelationResponse(_Told):
    """Attention maps (Eq. 5) as PNG files in base64."""

    expression: str
    width: int
    height: int
    tokens: list[str] = Field(description="as the model reads them, its start and end included")
    root: list[int] = Field(description="the indices of the tokens that `map` was made of")
    map: str
    per_token: list[str]
    timings: Timings


class SettingTold(_Told):
    """A setting that a request may change."""

    name: str
    symbol: str | None = Field(description="what the paper calls it")
    says: str = Field(description="what it is")
    type: Literal["number", "integer", "choice"]
    minimum: float | None
    maximum: float | None
    choices: list[str] | None
    default: dict[str, Any] = Field(description="of each model")


class SettingsTold(_Told):
    """What requests may choose."""

    version: str
    models: list[str]
    variants: list[str]
    settings: list[SettingTold]
    limits: dict[str, int | float]


class State(_Told):
    """Of the server, in a word."""

    status: Literal["ok", "ready"]


class ProblemTold(_Told):
    """A failure (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
