"""What Label Studio sends to an ML backend and takes from it, as far as refdiff uses it; other fields are ignored."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from .schemas import _Told

_MOST_TASKS = 1000


class _Sent(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class SetupRequest(_Sent):
    """A project that is connected; `schema` is its labelling interface."""

    label_config: str | None = Field(None, alias="schema")


class PredictRequest(_Sent):
    """Tasks, and the labelling interface whose brush labels are the expressions."""

    tasks: list[dict[str, Any]] = Field(max_length=_MOST_TASKS)
    label_config: str


class HealthTold(_Told):
    status: str
    model_class: str


class SetupTold(_Told):
    model_version: str


class PredictionTold(_Told):
    """Brush regions of one task, as Label Studio writes them."""

    model_version: str
    score: float
    result: list[dict[str, Any]]
    error: str | None = Field(None, description="why nothing could be predicted")


class PredictTold(_Told):
    results: list[PredictionTold] = Field(description="of the tasks, in their order")
