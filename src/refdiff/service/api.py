"""The API's routes: each reads its request within bounds, lets a worker do the work, and writes the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from .. import __version__
from ..language import check_expression
from ..settings import VARIANTS
from . import rendering, tasks
from .documents import ANY_FAILURE, NOT_KEPT, json_body, png_too, upload_body
from .errors import Problem
from .images import Kept, answer_ids
from .offered import offered
from .schemas import (
    CorrelationRequest,
    CorrelationResponse,
    DownloadRequest,
    ImageTold,
    ImageUpload,
    RefineRequest,
    SegmentRequest,
    SegmentResponse,
    SegmentUpload,
    SettingsTold,
)
from .security import client_of
from .uploads import Account
from .worker import Worker

if TYPE_CHECKING:
    from .app import Service

Name = Annotated[str, Path(alias="id", max_length=64, description="the id that POST /v1/images gave")]
_JSON, _PNG = "application/json", "image/png"
_FILES = {"mask": (_PNG, "mask.png"), "overlay": (_PNG, "overlay.png"), "cutout": (_PNG, "cutout.png"),
          "coco": (_JSON, "coco.json"), "zip": ("application/zip", "zip")}


def routes(service: Service) -> APIRouter:
    """All of /v1/."""
    router = APIRouter(prefix="/v1", tags=["v1"], responses=ANY_FAILURE)
    uploads, images = service.uploads, service.images

    def texts(expressions: Sequence[str]) -> tuple[str, ...]:
        most = service.limits.expressions_per_request
        if len(expressions) > most:
            raise Problem(422, f"There are {len(expressions)} expressions; at most {most} are taken per request.")
        return tuple(_checked(text, service.limits.characters) for text in expressions)

    def kept_image(name: str) -> tuple[Kept, Worker]:
        kept = images.get(name)
        return kept, service.workers[kept.model]

    @router.get("/settings", response_model=SettingsTold, summary="What requests may choose, and the limits")
    async def settings() -> dict[str, Any]:
        return settings_content(service)

    @router.post("/segment", response_model=SegmentResponse, responses=png_too("of one expression"),
                 openapi_extra=upload_body(SegmentUpload), summary="Masks of what expressions mean in an image")
    async def segment(request: Request) -> Response:
        kind = _wanted(request, _JSON, _PNG)
        with Account(uploads) as account:
            content, asked = await uploads.image(request, SegmentUpload, account)
            names = [None] * len(asked.expressions)
            own = tasks.Expressions(texts(asked.expressions), _render(kind, names, asked.options.candidates))
            worker = service.worker(asked.options.model)
            job = await asyncio.to_thread(tasks.segment_sent, worker.model, client_of(request.scope), content, own,
                                          asked.options)
            (_, rendered), timings = await worker.do(job, request)
        return await _response(kind, rendered, model=worker.name, timings=timings)

    @router.post("/images", response_model=ImageTold, status_code=201, openapi_extra=upload_body(ImageUpload),
                 summary="Encode an image once, to ask about it by its id")
    async def keep(request: Request) -> Response:
        with Account(uploads) as account:
            content, asked = await uploads.image(request, ImageUpload, account)
            worker, client = service.worker(asked.options.model), client_of(request.scope)
            (scene, proposals), timings = await worker.do(tasks.encode(worker.model, client, content), request)
        kept = images.add(client, worker.name, scene, proposals)
        told = {"id": kept.id, "model": worker.name, "width": scene.size[1], "height": scene.size[0],
                "expires_in": 60 * service.limits.image_minutes, "timings": timings}
        return Response(json.dumps(told), 201, {"Location": f"/v1/images/{kept.id}"}, _JSON)

    @router.delete("/images/{id}", status_code=204, responses=NOT_KEPT, summary="Forget an image")
    async def forget(name: Name) -> Response:
        images.remove(name)
        return Response(status_code=204)

    @router.post("/images/{id}/segment", response_model=SegmentResponse, openapi_extra=json_body(SegmentRequest),
                 responses=NOT_KEPT | png_too("of one expression"), summary="The same for an image that is kept")
    async def segment_kept(name: Name, request: Request) -> Response:
        kind = _wanted(request, _JSON, _PNG)
        asked = await uploads.json(request, SegmentRequest)
        kept, worker = kept_image(name)
        names = answer_ids(len(asked.expressions))
        own = tasks.Expressions(texts(asked.expressions), _render(kind, names, asked.options.candidates))
        job = tasks.segment_kept(worker.model, client_of(request.scope), kept, own, asked.options)
        (answers, rendered), timings = await worker.do(job, request)
        images.remember(kept, names, answers)
        return await _response(kind, rendered, model=worker.name, timings=timings)

    @router.post("/images/{id}/refine", response_model=SegmentResponse, openapi_extra=json_body(RefineRequest),
                 responses=NOT_KEPT, summary="An answer, corrected by hand")
    async def refine(name: Name, request: Request) -> Response:
        asked = await uploads.json(request, RefineRequest)
        kept, worker = kept_image(name)
        names = answer_ids(1)
        job = tasks.refine(client_of(request.scope), kept, asked, _render(_JSON, names, asked.candidates))
        (answers, rendered), timings = await worker.do(job, request)
        images.remember(kept, names, answers)
        return await _response(_JSON, rendered, model=worker.name, timings=timings)

    @router.post("/images/{id}/correlation", response_model=CorrelationResponse,
                 openapi_extra=json_body(CorrelationRequest), responses=NOT_KEPT | png_too("of one map"),
                 summary="Attention maps: the root's, and each token's")
    async def correlation(name: Name, request: Request) -> Response:
        kind = _wanted(request, _JSON, _PNG)
        asked = await uploads.json(request, CorrelationRequest)
        asked = asked.model_copy(update={"expression": texts([asked.expression])[0]})
        kept, worker = kept_image(name)
        draw = partial(rendering.correlation_content, colours=asked.colours) if kind == _JSON else partial(
            rendering.correlation_png, colours=asked.colours, token=asked.token)
        job = tasks.correlate(worker.model, client_of(request.scope), kept, asked, draw)
        rendered, timings = await worker.do(job, request)
        return await _response(kind, rendered, expression=asked.expression, timings=timings)

    @router.post("/images/{id}/download", response_class=Response, openapi_extra=json_body(DownloadRequest),
                 responses={**NOT_KEPT, 200: {"content": {kind: {} for kind, _ in _FILES.values()}}},
                 summary="Answers as a file")
    async def download(name: Name, request: Request) -> Response:
        asked = await uploads.json(request, DownloadRequest)
        kept, worker = kept_image(name)
        answers = [kept.answer(each) for each in asked.answers]
        if asked.format in rendering.IMAGES and len(answers) > 1:
            raise Problem(422, f"A file of format {asked.format} shows one answer; name one, or take the format zip.")
        job = tasks.draw(client_of(request.scope), kept, answers, asked.format)
        content, _ = await worker.do(job, request)
        kind, suffix = _FILES[asked.format]
        stem = rendering.slug(answers[0]) if len(answers) == 1 else "refdiff"
        return Response(content, 200, {"Content-Disposition": f'attachment; filename="{stem}.{suffix}"'}, kind)

    return router


def settings_content(service: Service) -> dict[str, Any]:
    """`schemas.SettingsTold`."""
    flat = {name: worker.model.settings.flat() for name, worker in service.workers.items()}
    types = {float: "number", int: "integer"}
    return {
        "version": __version__, "models": list(service.workers), "variants": list(VARIANTS),
        "settings": [{"name": each.name, "symbol": each.symbol, "says": each.says,
                      "type": "choice" if isinstance(each.kind, tuple) else types[each.kind], "minimum": each.low,
                      "maximum": each.high, "choices": list(each.kind) if isinstance(each.kind, tuple) else None,
                      "default": {name: values[each.name] for name, values in flat.items()}} for each in offered()],
        "limits": asdict(service.limits),
    }


def _checked(text: str, most: int) -> str:
    """An expression, tidied. Raises Problem, or InputError."""
    text = check_expression(text)
    if len(text) > most:
        raise Problem(422, f"An expression has {len(text)} characters; at most {most} are taken.")
    return text


def _render(kind: str, names: Sequence[str | None], candidates: int) -> Any:
    """How answers are to be rendered. Raises Problem where one picture cannot show them all."""
    if kind == _JSON:
        return partial(rendering.answers_content, names=names, candidates=candidates)
    if len(names) != 1:
        raise Problem(422, "A PNG shows the mask of one expression; ask for one, or accept application/json.")
    return lambda answers: rendering.IMAGES["mask"](answers[0])


def _wanted(request: Request, *kinds: str) -> str:
    """Which kind of answer the header Accept asks for; the first where it leaves that open. Raises Problem."""
    asked = request.headers.get("accept", "*/*") or "*/*"
    best, chosen = 0.0, None
    for part in asked.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        weight = next((_weight(each[2:]) for each in parameters if each.startswith("q=")), 1.0)
        for kind in kinds:
            if name in (kind, f"{kind.partition('/')[0]}/*", "*/*") and weight > best:
                best, chosen = weight, kind
                break
    if chosen is None:
        raise Problem(406, f"The header Accept must allow {' or '.join(kinds)}.")
    return chosen


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


async def _response(kind: str, rendered: Any, **more: Any) -> Response:
    """A picture as it is; anything else, with what else there is to say, as JSON."""
    if kind == _PNG:
        return Response(rendered, media_type=_PNG)
    return Response(await asyncio.to_thread(json.dumps, {**rendered, **more}, allow_nan=False), media_type=_JSON)
