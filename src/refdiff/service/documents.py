"""What OpenAPI says of bodies and failures, with examples that can be sent as they are."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .label_schemas import DecideRequest
from .label_studio_schemas import PredictRequest, SetupRequest
from .schemas import (
    CorrelationRequest,
    DownloadRequest,
    ImageUpload,
    ModelOptions,
    Options,
    ProblemTold,
    RefineRequest,
    SegmentRequest,
    SegmentUpload,
)

# A red disc on grey, 32x32 px.
_IMAGE = ("iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQMAAABJtOi3AAAABlBMVEWAgIDIHh5Wmm76AAAAP0lEQVR42o3NMQ2AMAAF0ddfdnCA"
          "FaTgBGuVxMjQpAwIoDdcctMxwfqIbRFnFaiaksIRmNGgcY0v2bu4+8/6BS3LCObKU6NxAAAAAElFTkSuQmCC")
_INTERFACE = ('<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image">'
              '<Label value="the red ball"/></BrushLabels></View>')
_EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    SegmentUpload: {"image": _IMAGE, "expressions": ["the red ball"], "options": {"variant": "full", "candidates": 1}},
    ImageUpload: {"image": _IMAGE},
    SegmentRequest: {"expressions": ["the red ball", "everything but the ball"], "options": {"alpha": 0.2}},
    CorrelationRequest: {"expression": "the red ball", "colours": "heat"},
    RefineRequest: {"answer": "Zx1mYb0Q", "points": [[16, 16], [2, 2]], "labels": [1, 0]},
    DownloadRequest: {"answers": ["Zx1mYb0Q"], "format": "zip"},
    DecideRequest: {"decision": "accept"},
    SetupRequest: {"schema": _INTERFACE},
    PredictRequest: {"tasks": [{"data": {"image": "/data/local-files/?d=photo.jpg"}}], "label_config": _INTERFACE},
}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def components() -> dict[str, Any]:
    """The schemas that the functions below refer to."""
    models = (*_EXAMPLES, Options, ModelOptions, ProblemTold)
    _, found = models_json_schema([(model, "validation") for model in models],
                                  ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """A body of JSON."""
    return {"requestBody": {"required": True, "content": {
        "application/json": {"schema": _reference(model), "example": _EXAMPLES[model]}}}}


def upload_body(model: type[BaseModel]) -> dict[str, Any]:
    """A body with an image: JSON, or multipart with the expressions as parts named expression."""
    expressions = "expressions" in model.model_fields
    parts: dict[str, Any] = {"image": {"type": "string", "format": "binary", "description": "an image file"},
                             "options": _reference(Options if expressions else ModelOptions)}
    if expressions:
        parts["expression"] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    body = json_body(model)
    body["requestBody"]["content"]["multipart/form-data"] = {
        "schema": {"type": "object", "properties": parts, "required": [name for name in parts if name != "options"],
                   "additionalProperties": False},
        "encoding": {"options": {"contentType": "application/json"}}}
    return body


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {"application/problem+json": {"schema": _reference(ProblemTold)}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


ANY_FAILURE = _problems(400, 401, 403, 406, 408, 413, 415, 421, 422, 429, 500, 503)
NOT_KEPT = _problems(404)
UNREADY = _problems(503)


def png_too(of: str) -> dict[int | str, dict[str, Any]]:
    """Of a route that answers with a PNG where that is asked for."""
    return {200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
                  "description": f"JSON; or, accepting image/png, the picture {of}."}}
