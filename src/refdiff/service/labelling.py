"""Labelling a folder of images: masks proposed in the background, and the routes /v1/label to decide about them."""

from __future__ import annotations

import asyncio
import io
import logging
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from PIL import Image

from ..core.files import shown
from ..core.masks import from_rle
from ..errors import InputError, RefDiffError
from ..language import parse
from ..result import Candidate, Instance, Segmentation
from . import label_schemas, tasks
from .documents import ANY_FAILURE, NOT_KEPT, json_body
from .errors import Problem
from .folder import FOLDER
from .images import answer_ids
from .labels import Decision, Item, Labels
from .rendering import answers_content
from .security import client_of
from .worker import Worker

if TYPE_CHECKING:
    from .app import Service

_CANDIDATES = 5
Number = Annotated[int, Path(ge=0, description="as GET /v1/label lists them")]
Index = Annotated[int, Path(ge=0, description="an item's image_index")]
_SHOWN = 12  # of the queue, and of faults
_DECISIONS: dict[str, Decision] = {"accept": "accepted", "correct": "corrected", "reject": "rejected"}
_CHANGED = (f"The image has changed since its masks were proposed; remove {FOLDER}/proposals.jsonl and start the "
            "server again.")
logger = logging.getLogger("refdiff.service")


async def propose_all(labels: Labels, worker: Worker) -> None:
    """Propose masks for every image for which it is still to be done, whenever the model has nothing else to do."""
    for index in list(labels.unproposed()):
        items = labels.items(index)
        try:
            image = await asyncio.to_thread(labels.pixels, index)
            scene = worker.model.encode(image)
            answers: Any = []
            for job in tasks.propose(scene, [each.expression for each in items]):
                answers = await worker.do_when_idle(job)
            contents = await asyncio.to_thread(answers_content, answers, [None] * len(answers), _CANDIDATES)
            for item, answer in zip(items, contents["answers"], strict=True):
                labels.propose(item, answer)
        except Problem:  # the server stops
            return
        except RefDiffError as error:
            labels.faults[items[0].image] = str(error)
        except Exception:
            logger.exception("nothing could be proposed for %s", shown(items[0].image))
            labels.faults[items[0].image] = "Something failed inside refdiff; the server's log says what."


def label_routes(service: Service, labels: Labels) -> APIRouter:
    """All of /v1/label/."""
    router = APIRouter(prefix="/v1/label", tags=["label"], responses=ANY_FAILURE)
    writing = asyncio.Lock()

    def item_of(number: int) -> Item:
        if number >= len(labels):
            raise Problem(404, f"There is no item {number}; the last is {len(labels) - 1}.")
        return labels.item(number)

    @router.get("", response_model=label_schemas.LabelsTold, summary="How far it is, and what is to be decided next")
    async def state() -> dict[str, Any]:
        counts = Counter(list(labels.decisions.values()))
        return {
            "folder": shown(labels.folder.name), "images": len(labels.images), "items": len(labels),
            "proposed": len(labels.trust.keys() | labels.decisions.keys()),
            "faults": len(labels.faults) * len(labels.categories), "accepted": counts["accepted"],
            "corrected": counts["corrected"], "rejected": counts["rejected"],
            "queue": [{**_told(each), "confidence": _confidence(labels, each)} for each in labels.queue(_SHOWN)],
            "wrong": [{"image": shown(name), "detail": detail}
                      for name, detail in list(labels.faults.items())[:_SHOWN]]}

    @router.get("/items/{number}", response_model=label_schemas.ItemTold, responses=NOT_KEPT, summary="One item")
    async def item(number: Number) -> dict[str, Any]:
        own = item_of(number)
        answer = await asyncio.to_thread(_answer, labels, own)
        return {**_told(own), "answer": answer, "decision": labels.decisions.get(number)}

    @router.get("/images/{index}", response_class=Response, summary="An image of the folder",
                responses={200: {"content": {"image/jpeg": {}}}})
    async def image(index: Index) -> Response:
        if index >= len(labels.images):
            raise Problem(404, f"There is no image {index}; the last is {len(labels.images) - 1}.")
        return Response(await asyncio.to_thread(_jpeg, labels, index), media_type="image/jpeg")

    @router.post("/items/{number}/open", response_model=label_schemas.OpenedTold, status_code=201, responses=NOT_KEPT,
                 summary="Keep an item's image and answer by ids, to correct it with POST /v1/images/{id}/refine")
    async def open_item(number: Number, request: Request) -> dict[str, str]:
        own, worker = item_of(number), service.worker(None)
        told = await asyncio.to_thread(_answer, labels, own)
        image = await asyncio.to_thread(labels.pixels, own.image_index)
        answer = await asyncio.to_thread(_segmentation, image, told)
        kept = service.images.add(client_of(request.scope), worker.name, worker.model.encode(image),
                                  answer.candidates[0].mask[None])
        names = answer_ids(1)
        service.images.remember(kept, names, [answer])
        return {"id": kept.id, "answer": names[0]}

    @router.post("/items/{number}/decide", response_model=label_schemas.DecisionTold, responses=NOT_KEPT,
                 openapi_extra=json_body(label_schemas.DecideRequest), summary="Accept, correct or reject an answer")
    async def decide(number: Number, request: Request) -> dict[str, Any]:
        asked = await service.uploads.json(request, label_schemas.DecideRequest)
        own, decision = item_of(number), _DECISIONS[asked.decision]
        answer = await asyncio.to_thread(_answer, labels, own)
        if decision == "accepted":
            _check_size(await asyncio.to_thread(labels.pixels, own.image_index), answer)
        if decision == "accepted" and labels.decisions.get(number) == "corrected":
            decision = "corrected"  # once more
        elif decision == "corrected":
            if asked.image is None or asked.answer is None:
                raise Problem(422, "A correction needs the ids of the image and of the corrected answer.")
            corrected = service.images.get(asked.image).answer(asked.answer)
            if list(corrected.image.shape[:2]) != answer["segmentation"]["size"]:
                raise Problem(422, "The corrected answer is about another image.")
            contents = await asyncio.to_thread(answers_content, [corrected], [None], _CANDIDATES)
            answer = {**contents["answers"][0], "query": answer["query"], "expression": own.expression}
        async with writing:
            await asyncio.to_thread(labels.decide, own, decision, None if decision == "rejected" else answer)
        return {"item": number, "decision": decision}

    return router


def _answer(labels: Labels, item: Item) -> dict[str, Any]:
    """What was decided, else what was proposed. Raises Problem."""
    answer = labels.decided(item) or labels.proposal(item)
    if answer is None:
        raise Problem(404, "Nothing is proposed for this item yet; ask for another one.")
    return answer


def _told(item: Item) -> dict[str, Any]:
    return {"item": item.number, "image_index": item.image_index, "image": shown(item.image),
            "expression": item.expression, "category": item.category}


def _confidence(labels: Labels, item: Item) -> float | None:
    known = labels.trust[item.number]
    return None if known < 0 else known


def _jpeg(labels: Labels, index: int) -> bytes:
    """An image as the model sees it, whatever kind of file it is. Raises InputError."""
    file = io.BytesIO()
    Image.fromarray(labels.pixels(index)).save(file, "JPEG", quality=90)
    return file.getvalue()


def _check_size(image: Any, told: dict[str, Any]) -> None:
    """Raises InputError where an answer is about an image of another size."""
    if list(image.shape[:2]) != told["segmentation"]["size"]:
        raise InputError(_CHANGED)


def _segmentation(image: Any, told: dict[str, Any]) -> Segmentation:
    """An answer from the content of `schemas.Answer`. Raises InputError where the image has changed since."""
    size = image.shape[0], image.shape[1]
    try:
        candidates = tuple(Candidate(each["index"], from_rle(each["segmentation"], size), each["score"],
                                     each["generative"], each["discriminative"]) for each in told["candidates"])
        instances = tuple(Instance(from_rle(each["segmentation"], size), each["score"], each["confidence"])
                          for each in told["instances"])
    except InputError:
        raise InputError(_CHANGED) from None
    return Segmentation(image, parse(told["expression"]), told["variant"], candidates, instances, told["confidence"],
                        told["notice"])
