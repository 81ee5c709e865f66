"""The service: routes, what they refuse and why."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from conjoin.annotator import Thresholds
from conjoin.document import Document
from conjoin.errors import require_extra
from conjoin.extractor import Extractor
from conjoin.extras.serve.limits import Limits
from conjoin.extras.serve.metrics import Measures
from conjoin.extras.serve.middleware import BodyLimit, ClientLimit, Counted, Guard
from conjoin.extras.serve.page import fragment, studio
from conjoin.extras.serve.payloads import About, Asked, Found, Health, Reason, sentence
from conjoin.extras.serve.queue import Batcher, BusyError
from conjoin.render import to_html
from conjoin.version import __version__

try:
    from fastapi import FastAPI, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import HTMLResponse, JSONResponse, Response
    from starlette.exceptions import HTTPException
except ImportError as error:
    raise require_extra("serve", "fastapi") from error

LOGGER = logging.getLogger("conjoin.serve")
REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": Reason, "description": told}
    for status, told in ((400, "The body is not in UTF-8."),
                         (401, "The token is missing or wrong."), (408, "The body did not come in time."),
                         (413, "The body has too many bytes."),
                         (422, "The request is not as described, or a text is too long."),
                         (429, "Too many requests of this client are under way."),
                         (500, "The model failed at a text."),
                         (503, "Too much waits already, or it took too long."))
}
FORMATS: dict[str, Any] = {"application/json": {}, "application/x-ndjson": {}, "text/html": {}}


def create_app(
    extractor: Extractor, *, name: str = "model", limits: Limits | None = None, token: str | None = None
) -> FastAPI:
    """The service of a model as an ASGI application.

    Concurrent requests are extracted together. With a `token`, requests but those to `/healthz` must carry it as
    `Authorization: Bearer TOKEN`.
    """
    limits = limits or Limits()
    measures = Measures(lambda: batcher.waiting)
    batcher = Batcher(extractor.pipeline.extract, waiting=limits.waiting, observe=measures.batches.observe)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await asyncio.to_thread(batcher.stop)

    app = FastAPI(title="conjoin", version=__version__, lifespan=running, docs_url="/docs", redoc_url=None,
                  summary="Entities and the relations between them, with character offsets.")
    app.add_middleware(BodyLimit, limits=limits)
    app.add_middleware(ClientLimit, limits=limits)
    if token:
        app.add_middleware(Guard, token=token)
    app.add_middleware(Counted, count=measures.count)  # what is added last is passed first
    _explain(app)
    _add_routes(app, extractor, name, limits, batcher, measures)
    return app


def _add_routes(
    app: FastAPI, extractor: Extractor, name: str, limits: Limits, batcher: Batcher, measures: Measures
) -> None:
    types = extractor.schema.entity_types

    @app.post("/extract", response_model=Found, responses={200: {"content": FORMATS}, **REFUSED})
    async def extract(asked: Asked) -> Response:
        """Find entities and relations in one text or several."""
        texts = asked.all_texts
        _check(texts, limits)
        start = time.perf_counter()
        try:
            async with asyncio.timeout(limits.seconds):
                documents = await batcher.submit(texts)
        except BusyError:
            raise HTTPException(503, "too many texts wait already; try again", {"retry-after": "1"}) from None
        except TimeoutError:
            told = f"it took more than {limits.seconds:g} seconds; try again, or send shorter texts"
            raise HTTPException(503, told, {"retry-after": "5"}) from None
        except Exception as error:
            LOGGER.exception("the model failed: %s: %s", type(error).__name__, error)
            raise HTTPException(500, f"the model failed at a text ({type(error).__name__})") from error
        measures.seconds.observe(time.perf_counter() - start)
        measures.texts.inc(len(texts))
        measures.characters.inc(sum(map(len, texts)))
        thresholds = Thresholds(asked.entity_threshold, asked.relation_threshold)
        return _answer([thresholds.apply(document) for document in documents], asked.format, types)

    @app.get("/model", response_model=About, responses={401: REFUSED[401]})
    async def model() -> Response:
        """The model's types, scores and limits."""
        about = {
            "name": name, "version": __version__, "settings": extractor.config.model_dump(mode="json"),
            "types": extractor.schema.to_json(), "scores": extractor.metrics.get("test", {}), "limits": asdict(limits),
        }
        return JSONResponse(about)

    page = studio(name, characters=limits.characters)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def home() -> Response:
        return HTMLResponse(page)

    @app.get("/healthz", response_model=Health)
    async def healthz() -> Response:
        """Whether the service is up."""
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, 401: REFUSED[401]})
    async def metrics() -> Response:
        """Counts for Prometheus."""
        return Response(measures.page(), media_type="text/plain; version=0.0.4")


def _check(texts: list[str], limits: Limits) -> None:
    most = min(limits.texts, limits.waiting)  # more could never be taken
    if len(texts) > most:
        raise HTTPException(422, f"{len(texts):,} texts, at most {most:,} are taken; send them in several requests")
    for number, text in enumerate(texts, start=1):
        if len(text) > limits.characters:
            raise HTTPException(422, f"text {number} has {len(text):,} characters, at most {limits.characters:,} are "
                                     "taken; cut it, at a paragraph say")


def _answer(documents: list[Document], format: str, types: tuple[str, ...]) -> Response:
    """Half a surrogate pair stays the escape that it was."""
    values = [document.to_json(tokens=False) for document in documents]
    if format == "fragment":
        return Response(fragment(documents, types).encode("utf-8", "replace"), media_type="text/html; charset=utf-8")
    if format == "html":
        return Response(to_html(documents, types=types).encode("utf-8", "replace"), media_type="text/html; charset=utf-8")
    if format == "jsonl":
        lines = "".join(json.dumps(value) + "\n" for value in values)
        return Response(lines, media_type="application/x-ndjson")
    return Response(json.dumps({"documents": values}), media_type="application/json")


def _explain(app: FastAPI) -> None:
    """Whatever is refused is refused with a JSON reason."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        told = {400: "the body is not JSON in UTF-8", 404: f"there is nothing at {request.url.path}; /docs lists what is",
                405: f"{request.url.path} does not take {request.method}; /docs says what it takes"}
        return JSONResponse({"error": told.get(error.status_code, str(error.detail))}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def not_as_described(request: Request, error: RequestValidationError) -> Response:
        kind = request.headers.get("content-type", "")
        told = "; ".join(sentence(problem, content_type=kind) for problem in error.errors()[:5])
        return Response(json.dumps({"error": told}), 422, media_type="application/json")
