"""The web service: its routes, answers and errors."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from conjoin.annotator import Thresholds
from conjoin.document import Document
from conjoin.errors import require_extra
from conjoin.extractor import Extractor
from conjoin.extras.serve.limits import Limits
from conjoin.extras.serve.metrics import Metrics
from conjoin.extras.serve.middleware import BodyLimit, ClientLimit, RequestCounter, TokenAuth
from conjoin.extras.serve.page import documents_html, page_html
from conjoin.extras.serve.payloads import ErrorMessage, ExtractRequest, ExtractResponse, Health, ModelInfo, describe_problem
from conjoin.extras.serve.queue import BatchQueue, ExtractionError, QueueFullError
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
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorMessage, "description": description}
    for status, description in ((400, "The body is not UTF-8."), (401, "The token is missing or wrong."),
                                (408, "The body did not arrive in time."), (413, "The body is too large."),
                                (422, "The request is invalid, or a text is too long."),
                                (429, "The client has too many requests in progress."),
                                (500, "The model failed on a text."),
                                (503, "Too many texts are waiting, or extraction took too long."))
}
FORMATS: dict[str, Any] = {"application/json": {}, "application/x-ndjson": {}, "text/html": {}}


def create_app(
    extractor: Extractor, *, name: str = "model", limits: Limits | None = None, token: str | None = None
) -> FastAPI:
    """Build the service of a model; concurrent requests are extracted together.

    `/model` and the title of the page show `name`. Requests must carry a `token` as `Authorization: Bearer TOKEN`, except
    those to `/` and `/healthz`.
    """
    limits = limits or Limits()
    metrics = Metrics(lambda: queue.size)
    queue = BatchQueue(extractor.pipeline.extract, max_waiting=limits.waiting, observe=metrics.batches.observe)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        queue.start()
        yield
        await asyncio.to_thread(queue.stop)

    app = FastAPI(title="conjoin", version=__version__, lifespan=lifespan, docs_url="/docs", redoc_url=None,
                  summary="Extract entities and relations, with character offsets.")
    app.add_middleware(BodyLimit, limits=limits)
    app.add_middleware(ClientLimit, limits=limits)
    if token:
        app.add_middleware(TokenAuth, token=token)
    app.add_middleware(RequestCounter, count=metrics.count_request)  # the last one added runs first
    _add_error_handlers(app)
    _add_extraction(app, extractor.schema.entity_types, limits, queue, metrics)
    _add_information(app, extractor, name, limits, metrics.to_text)
    return app


def _add_extraction(app: FastAPI, types: tuple[str, ...], limits: Limits, queue: BatchQueue, metrics: Metrics) -> None:
    @app.post("/extract", response_model=ExtractResponse, responses={200: {"content": FORMATS}, **ERRORS})
    async def extract(request: ExtractRequest) -> Response:
        """Extract entities and relations from one text or several."""
        texts = [request.text] if request.text is not None else list(request.texts or [])
        _check_size(texts, limits)
        start = time.perf_counter()
        documents = await _documents(queue, texts, limits.seconds)
        metrics.count_texts(texts, time.perf_counter() - start)
        thresholds = Thresholds(request.entity_threshold, request.relation_threshold)
        return _response([thresholds.apply(document) for document in documents], request.format, types)


def _add_information(app: FastAPI, extractor: Extractor, name: str, limits: Limits, as_text: Callable[[], bytes]) -> None:
    @app.get("/model", response_model=ModelInfo, responses={401: ERRORS[401]})
    async def model() -> Response:
        """Show the model's types, settings, scores and limits."""
        scores = extractor.record.to_json().get("test", {})
        return JSONResponse({
            "name": name, "version": __version__, "settings": extractor.config.model_dump(mode="json"),
            "types": extractor.schema.to_json(), "scores": scores, "limits": asdict(limits),
        })

    page = page_html(name, max_characters=limits.characters)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def home() -> Response:
        return HTMLResponse(page)

    @app.get("/healthz", response_model=Health)
    async def healthz() -> Response:
        """Check that the service is up."""
        return JSONResponse({"status": "ok"})

    responses: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {}}}, 401: ERRORS[401]}

    @app.get("/metrics", response_class=Response, responses=responses)
    async def metrics() -> Response:
        """Show metrics in Prometheus' text format."""
        return Response(as_text(), media_type="text/plain; version=0.0.4")


def _check_size(texts: list[str], limits: Limits) -> None:
    max_texts = min(limits.texts, limits.waiting)  # the queue never has room for more
    if len(texts) > max_texts:
        raise HTTPException(422, f"the request has {len(texts):,} texts, more than the limit of {max_texts:,}; send "
                                 "several requests")
    for number, text in enumerate(texts, start=1):
        if len(text) > limits.characters:
            raise HTTPException(422, f"text {number} has {len(text):,} characters, more than the limit of "
                                     f"{limits.characters:,}; split it, for instance at a paragraph")


async def _documents(queue: BatchQueue, texts: list[str], seconds: float) -> list[Document]:
    try:
        async with asyncio.timeout(seconds):
            return await queue.submit(texts)
    except QueueFullError:
        raise HTTPException(503, "too many texts are waiting; try again", {"retry-after": "1"}) from None
    except TimeoutError:
        message = f"extraction took more than {seconds:g} seconds; try again, or send shorter texts"
        raise HTTPException(503, message, {"retry-after": "5"}) from None
    except ExtractionError as error:
        LOGGER.exception("the model failed: %s", error)
        raise HTTPException(500, f"the model failed on a text ({type(error.__cause__).__name__})") from error


def _response(documents: list[Document], format: str, types: tuple[str, ...]) -> Response:
    """A lone surrogate stays an escape in JSON; HTML, which cannot hold it, shows a question mark."""
    if format in ("html", "fragment"):
        page = to_html(documents, types=types) if format == "html" else documents_html(documents, types)
        return Response(page.encode("utf-8", "replace"), media_type="text/html; charset=utf-8")
    values = [document.to_json(tokens=False) for document in documents]
    if format == "jsonl":
        return Response("".join(json.dumps(value) + "\n" for value in values), media_type="application/x-ndjson")
    return Response(json.dumps({"documents": values}), media_type="application/json")


def _add_error_handlers(app: FastAPI) -> None:
    """Every error is answered as JSON, `{"error": "…"}`."""

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        messages = {400: "the body is not UTF-8; send JSON in UTF-8", 404: f"there is no {path}; /docs lists the routes",
                    405: f"{path} does not accept {request.method}; /docs lists the routes"}
        return JSONResponse({"error": messages.get(error.status_code, error.detail)}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(request: Request, error: RequestValidationError) -> Response:
        content_type = request.headers.get("content-type", "")
        message = "; ".join(describe_problem(problem, content_type=content_type) for problem in error.errors()[:5])
        return Response(json.dumps({"error": message}), 422, media_type="application/json")
