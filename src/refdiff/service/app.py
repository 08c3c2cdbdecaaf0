"""The application: what `create_app` puts together, its start and its end, and what is not the API itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from .. import __version__
from ..errors import InputError
from ..pipeline import RefDiff
from .api import routes
from .documents import UNREADY, components
from .errors import Problem, busy, install_handlers
from .images import ImageStore
from .label_studio import label_studio_routes
from .labelling import label_routes, propose_all
from .labels import Labels
from .limits import Limits
from .metrics import Metrics
from .queue import Job
from .schemas import State
from .security import Guard
from .uploads import Uploads
from .worker import Worker

PAGE = Path(__file__).with_name("page")
"""The static page: index.html is served at /, the other files under /page/; all of it without a token."""

_SWEEP_SECONDS = 10
logger = logging.getLogger("refdiff.service")


class Service:
    """What one server holds: its workers by the names of their models, the kept images, and what it counts."""

    def __init__(self, models: Sequence[RefDiff], limits: Limits):
        names = [model.bundle.name for model in models]
        if not models or len(set(names)) < len(names):
            raise InputError("A server needs at least one model, and none twice.")
        self.limits, self.metrics = limits, Metrics()
        self.images, self.uploads = ImageStore(limits), Uploads(limits)
        self.workers = {name: Worker(model, limits, self.metrics) for name, model in zip(names, models, strict=True)}
        self.warm: set[str] = set()
        self._watch()

    def worker(self, name: str | None) -> Worker:
        """The worker of a model; of the first where none is named. Raises Problem."""
        if name is None:
            return next(iter(self.workers.values()))
        if name not in self.workers:
            raise Problem(422, f"There is no such model here; the models are {', '.join(self.workers)}.")
        return self.workers[name]

    async def warm_up(self) -> None:
        """Have every model do all that it can once, so that what it needs is loaded and its time is known."""
        for name, worker in self.workers.items():
            with suppress(Problem):  # the server is stopping already
                try:
                    await worker.do(_trial(worker.model))
                    self.warm.add(name)
                except Problem:
                    raise
                except Exception as error:
                    logger.error("the model %s cannot be used: %s", name, error)

    def stop(self) -> None:
        """Refuse what waits and what comes."""
        for worker in self.workers.values():
            worker.stop()

    def _watch(self) -> None:
        def load(which: int) -> list[tuple[str, float]]:
            return [(name, worker.load()[which]) for name, worker in self.workers.items()]

        watch = self.metrics.watch
        watch("refdiff_waiting_requests", "Requests that wait for a model.", lambda: load(0))
        watch("refdiff_running_requests", "Requests that a model is working on.", lambda: load(1))
        watch("refdiff_kept_images", "Images kept by id.", lambda: [("", len(self.images))])
        watch("refdiff_kept_bytes", "Bytes of kept images, proposals and answers.", lambda: [("", self.images.bytes)])
        watch("refdiff_upload_bytes", "Bytes of bodies held.", lambda: [("", self.uploads.held)])


def _trial(model: RefDiff) -> Job:
    def perform(asked: Any, watch: Any) -> list[None]:
        scene = model.encode(np.full((64, 64, 3), 128, np.uint8))
        scene.segment(["the thing on the left"])
        return [None]

    return Job("", "trial", None, perform, None)


def create_app(models: Sequence[RefDiff], limits: Limits | None = None, token: str | None = None,
               hosts: Collection[str] = (), labels: Labels | None = None,
               label_studio: Path | None = None) -> FastAPI:
    """The HTTP API of these models, the first of which answers where a request names none.

    `token`, if given, is what requests for /v1/ and /metrics must bear; `hosts` are names that the server may be called
    by, beside localhost and its addresses; `labels`: the folder whose images the first model is asked about, in the
    background, to be decided at /label; `label_studio`: the folder of Label Studio's images, for which the first model
    is its ML backend at /v1/label-studio. `app.state.service` is its `Service`. Raises InputError.
    """
    service = Service(models, limits or Limits())
    if labels is not None:
        labels.use(models[0])

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for worker in service.workers.values():
            worker.start()
        tasks = [asyncio.create_task(service.warm_up()), asyncio.create_task(_sweep(service.images))]
        if labels is not None:
            tasks.append(asyncio.create_task(propose_all(labels, service.worker(None))))
        yield
        service.stop()
        for task in tasks:
            task.cancel()
        for worker in service.workers.values():
            await asyncio.to_thread(worker.join, service.limits.seconds)

    app = FastAPI(title="refdiff", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
                  redirect_slashes=False,
                  description="Point at things in an image with words. Every failure is a problem (RFC 9457).",
                  license_info={"name": "Apache-2.0"})
    app.state.service = service
    install_handlers(app)
    app.add_middleware(Guard, metrics=service.metrics, token=token, hosts=hosts)
    app.include_router(routes(service))
    if labels is not None:
        app.include_router(label_routes(service, labels))
    if label_studio is not None:
        app.include_router(label_studio_routes(service, label_studio))
    _probes(app, service)
    _page(app, labels is not None)
    _describe(app, token is not None)
    return app


async def _sweep(images: ImageStore) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        images.expire()


def _probes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_model=State, tags=["probes"], summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", response_model=State, tags=["probes"], summary="Whether every model is loaded",
             responses=UNREADY)
    async def readyz() -> dict[str, str]:
        if any(worker.stopping for worker in service.workers.values()):
            raise busy(503, "The server is stopping.", 10)
        cold = [name for name in service.workers if name not in service.warm]
        if cold:
            raise busy(503, f"Not loaded yet: {', '.join(cold)}.", 5)
        return {"status": "ready"}

    @app.get("/metrics", tags=["probes"], summary="What Prometheus reads", response_class=Response,
             responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _page(app: FastAPI, labelling: bool) -> None:
    if PAGE.is_dir():
        app.mount("/page", StaticFiles(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        if not (PAGE / "index.html").is_file():
            raise HTTPException(404)
        return FileResponse(PAGE / "index.html")

    if labelling:
        @app.get("/label", include_in_schema=False)
        async def label() -> FileResponse:
            return FileResponse(PAGE / "label.html")


def _describe(app: FastAPI, guarded: bool) -> None:
    """OpenAPI with the bodies that are read by `uploads`, and with the token where there is one."""
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            content = get_openapi(title=app.title, version=app.version, description=app.description,
                                  license_info=app.license_info, routes=app.routes)
            content["components"]["schemas"].update(components())
            if guarded:
                content["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                for path, methods in content["paths"].items():
                    if path.startswith(("/v1/", "/metrics")):
                        for operation in methods.values():
                            operation["security"] = [{"token": []}]
            app.openapi_schema = content
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
