"""An ML backend of Label Studio, the routes /v1/label-studio: predictions about the images of one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request

from ..errors import InputError
from ..output.label_studio_backend import brush_of, image_loader, model_version, predict_one
from ..timing import Watch
from . import label_studio_schemas as schemas
from .documents import ANY_FAILURE, json_body
from .errors import Problem
from .queue import Job
from .security import client_of

if TYPE_CHECKING:
    from .app import Service


def label_studio_routes(service: Service, folder: Path) -> APIRouter:
    """What Label Studio asks of a backend; the first model answers. `folder`: where the files of its tasks are."""
    router = APIRouter(prefix="/v1/label-studio", tags=["label studio"], responses=ANY_FAILURE)
    limits, load, worker = service.limits, image_loader(folder), service.worker(None)

    @router.get("/health", response_model=schemas.HealthTold, summary="Whether the backend is there")
    async def health() -> dict[str, str]:
        return {"status": "UP", "model_class": "refdiff"}

    @router.post("/setup", response_model=schemas.SetupTold, openapi_extra=json_body(schemas.SetupRequest),
                 summary="What a project with this labelling interface is answered by")
    async def setup(request: Request) -> dict[str, str]:
        asked = await service.uploads.json(request, schemas.SetupRequest)
        if asked.label_config:
            brush_of(asked.label_config)
        return {"model_version": model_version(worker.model)}

    @router.post("/predict", response_model=schemas.PredictTold, openapi_extra=json_body(schemas.PredictRequest),
                 summary="A prediction for each task")
    async def predict(request: Request) -> dict[str, Any]:
        asked = await service.uploads.json(request, schemas.PredictRequest)
        brush = brush_of(asked.label_config)
        if len(brush.labels) > limits.expressions_per_request:
            raise Problem(422, f"The interface has {len(brush.labels)} labels; {limits.expressions_per_request} are "
                               "taken at most.")
        for label in brush.labels:
            if len(label) > limits.characters:
                raise InputError(f"A label may have at most {limits.characters} characters, not {len(label)}.")

        def perform(tasks: Sequence[Any], watch: Watch) -> list[dict[str, Any]]:
            return [predict_one(worker.model, task, brush, load) for task in tasks]

        found = []
        for task in asked.tasks:  # each is a job of its own, so that others take turns with them
            job = Job(client_of(request.scope), "label studio", object(), perform, task)
            found.append((await worker.do(job, request))[0])
        return {"results": found}

    return router
