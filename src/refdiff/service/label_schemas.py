"""What requests and responses under /v1/label hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .schemas import Answer, Number, _Asked, _Told


class QueuedTold(_Told):
    """One expression in one image of the folder that is labelled."""

    item: int
    image_index: int
    image: str
    expression: str
    category: str = Field(description="what it is called where labels are exported")
    confidence: Number | None


class FaultTold(_Told):
    """An image for which nothing can be proposed."""

    image: str
    detail: str


class LabelsTold(_Told):
    """How far labelling is; all counts but `images` are of items: an expression in an image each."""

    folder: str
    images: int
    items: int
    proposed: int = Field(description="proposed or decided")
    faults: int = Field(description="of images that cannot be used")
    accepted: int
    corrected: int
    rejected: int
    queue: list[QueuedTold] = Field(description="what to decide next, the least confident first")
    wrong: list[FaultTold] = Field(description="the first of the faults")


class ItemTold(_Told):
    """What is proposed for an item, or what was decided."""

    item: int
    image_index: int
    image: str
    expression: str
    category: str
    answer: Answer
    decision: Literal["accepted", "corrected", "rejected"] | None


class OpenedTold(_Told):
    """The ids of an image and an answer about it."""

    id: str
    answer: str


class DecideRequest(_Asked):
    """A decision; a correction names the ids of the image and of the corrected answer."""

    decision: Literal["accept", "correct", "reject"]
    image: str | None = Field(None, max_length=64)
    answer: str | None = Field(None, max_length=64)


class DecisionTold(_Told):
    """A decision that is on the disk."""

    item: int
    decision: Literal["accepted", "corrected", "rejected"]
