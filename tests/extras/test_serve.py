"""The service: its answers equal the library's; errors, limits, batches, shutdown and the page."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

import doubles
from conjoin import Extractor
from conjoin.artifacts.run_record import RunRecord
from conjoin.document import Document
from conjoin.errors import SettingError
from conjoin.schema import Schema

pytest.importorskip("fastapi")
from conjoin.cli.serve import LimitOptions, check_free, serve
from conjoin.extras.serve import Limits, create_app

OSWALD = "Lee Oswald shot Kennedy in Dallas."
ORTIZ = "Maria Ortiz leads the Halden Steel of Leeds."


@pytest.fixture(scope="module")
def extractor(trained_run: Path) -> Extractor:
    return Extractor.load(trained_run, device="cpu")


class StandIn(doubles.FirstWords):
    """Finds first words once `gate` is open; fails on "raise"."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.schema = Schema(("Word",), ("Next",))
        self.record = RunRecord()

    @property
    def pipeline(self) -> StandIn:
        return self

    @property
    def config(self) -> Any:
        from conjoin import load_config

        return load_config("conjoin-base")

    def extract(self, texts: Any) -> list[Document]:
        self.batches.append(len(texts))
        self.gate.wait(20)
        return super().extract(texts)


@asynccontextmanager
async def client_of(extractor: object, **options: Any) -> AsyncIterator[Any]:
    """A client of a running service in this event loop."""
    app = create_app(cast(Extractor, extractor), **options)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        yield client


def post(extractor: object, body: object, *, path: str = "/extract", headers: Any = None, **options: Any) -> Any:
    """The answer to one POST; a body other than bytes is sent as JSON."""

    async def call() -> Any:
        async with client_of(extractor, **options) as client:
            content = body if isinstance(body, bytes) else json.dumps(body)
            return await client.post(path, content=content, headers={"content-type": "application/json", **(headers or {})})

    return asyncio.run(call())


def get(extractor: object, path: str, **options: Any) -> Any:
    async def call() -> Any:
        async with client_of(extractor, **options) as client:
            return await client.get(path)

    return asyncio.run(call())


def test_answers_equal_the_library(extractor: Extractor) -> None:
    texts = [OSWALD, "", ORTIZ, f"{ORTIZ} {OSWALD}\r\n\r\n{OSWALD}"]
    answer = post(extractor, {"texts": texts})
    assert answer.status_code == 200
    assert answer.json() == {"documents": [extractor(text).to_json(tokens=False) for text in texts]}
    assert len(answer.json()["documents"][0]["relations"]) == 1
    assert post(extractor, {"text": OSWALD}).json()["documents"] == answer.json()["documents"][:1]
    assert post(extractor, {"texts": []}).json() == {"documents": []}


def test_other_formats(extractor: Extractor) -> None:
    lines = post(extractor, {"texts": [OSWALD, ORTIZ], "format": "jsonl"})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["text"] for line in lines.text.splitlines()] == [OSWALD, ORTIZ]
    page = post(extractor, {"text": OSWALD, "format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "Kennedy" in page.text


def test_thresholds() -> None:
    body = {"text": "one two three"}
    assert len(post(StandIn(), body).json()["documents"][0]["entities"]) == 2
    assert post(StandIn(), {**body, "entity_threshold": 0.5}).json()["documents"][0]["entities"] == []
    assert post(StandIn(), {**body, "relation_threshold": 1}).json()["documents"][0]["relations"] == []


def test_lone_surrogate(extractor: Extractor) -> None:
    body = b'{"text": "Lee Oswald shot Kennedy in \\ud83d Dallas."}'
    for form in ("json", "jsonl", "html"):
        answer = post(extractor, body[:-1] + f', "format": "{form}"}}'.encode())
        assert answer.status_code == 200
        assert "Lee Oswald" in answer.text and "Kill" in answer.text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'give either "text" or "texts"'),
        ({"text": "a", "texts": ["b"]}, 'give either "text" or "texts"'),
        ({"text": 7}, "text: must be a valid string"),
        ({"texts": "Oslo"}, "texts: must be a valid list"),
        ({"text": "a", "txt": "b"}, "unknown field 'txt' (did you mean 'text'?); choose"),
        ({"text": "a", "entity_threshold": 1.5}, "entity_threshold: must be less than or equal to 1"),
        ({"text": "a", "format": "xml"}, "format: must be 'json', 'jsonl', 'html' or 'fragment'"),
        ({"texts": ["a"] * 65}, "65 texts, more than the limit of 64; send"),
        ({"texts": ["a", "b" * 100_001]}, "text 2 has 100,001 characters, more than the limit of 100,000; split"),
        ([1], "the body is not a JSON object; send a JSON object such as"),
        (b"{", "the body is not JSON ("),
        (b"", "the body is empty; send a JSON object such as"),
        (b'{"text": "a", "entity_threshold": NaN}', "entity_threshold"),
    ],
)
def test_invalid_requests(body: object, message: str) -> None:
    answer = post(StandIn(), body)
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


def test_body_in_another_encoding() -> None:
    answer = post(StandIn(), '{"text": "Münster"}'.encode("latin-1"))
    assert answer.status_code == 400
    assert "UTF-8" in answer.json()["error"]


def test_large_body_with_and_without_its_length() -> None:
    limits = Limits(body_bytes=1000)
    assert post(StandIn(), {"text": "x" * 900}, limits=limits).status_code == 200
    assert post(StandIn(), {"text": "x" * 1000}, limits=limits).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    async def call() -> Any:
        async with client_of(StandIn(), limits=limits) as client:
            return await client.post("/extract", content=chunks())

    answer = asyncio.run(call())
    assert answer.status_code == 413
    assert "more than 1,000 bytes" in answer.json()["error"]


async def until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition never held")


def test_waiting_texts_are_extracted_together_up_to_a_limit() -> None:
    stand_in = StandIn()
    stand_in.gate.clear()

    async def call() -> list[Any]:
        async with client_of(stand_in, limits=Limits(waiting=4, requests_per_client=100)) as client:
            first = asyncio.create_task(client.post("/extract", json={"text": "first"}))
            await until(lambda: stand_in.batches)
            others = [asyncio.create_task(client.post("/extract", json={"text": f"text {n}"})) for n in range(5)]
            await until(lambda: sum(task.done() for task in others) == 2)
            errors = [task.result() for task in others if task.done()]
            assert [answer.status_code for answer in errors] == [503, 503]
            assert "too many texts" in errors[0].json()["error"]
            assert errors[0].headers["retry-after"] == "1"
            stand_in.gate.set()
            answers = [answer.result() if answer.done() else await answer for answer in (first, *others)]
            page = (await client.get("/metrics")).text
            assert 'conjoin_requests_total{route="/extract",status="503"} 2.0' in page
            assert "conjoin_texts_total 4.0" in page
            assert "conjoin_waiting_texts 0.0" in page
            return answers

    answers = asyncio.run(call())
    assert stand_in.batches == [1, 3]
    texts = [answer.json()["documents"][0]["text"] for answer in answers if answer.status_code == 200]
    assert texts == ["first", "text 0", "text 1", "text 2"]


def test_too_many_requests_of_one_client() -> None:
    stand_in = StandIn()
    stand_in.gate.clear()

    async def call() -> None:
        async with client_of(stand_in, limits=Limits(requests_per_client=2)) as client:
            running = [asyncio.create_task(client.post("/extract", json={"text": "a"})) for _ in range(2)]
            await until(lambda: stand_in.batches)
            answer = await client.post("/extract", json={"text": "a"})
            assert answer.status_code == 429
            assert "2 requests" in answer.json()["error"]
            stand_in.gate.set()
            assert [(await task).status_code for task in running] == [200, 200]
            assert (await client.post("/extract", json={"text": "a"})).status_code == 200

    asyncio.run(call())


def test_slow_extraction_is_abandoned_and_later_requests_are_answered() -> None:
    stand_in = StandIn()
    stand_in.gate.clear()

    async def call() -> None:
        async with client_of(stand_in, limits=Limits(seconds=0.2)) as client:
            answer = await client.post("/extract", json={"text": "a"})
            assert answer.status_code == 503
            assert "more than 0.2 seconds" in answer.json()["error"]
            stand_in.gate.set()
            assert (await client.post("/extract", json={"text": "a"})).status_code == 200

    asyncio.run(call())


def test_only_the_request_at_fault_fails() -> None:
    stand_in = StandIn()
    stand_in.gate.clear()

    async def call() -> list[Any]:
        async with client_of(stand_in) as client:
            first = asyncio.create_task(client.post("/extract", json={"text": "first"}))
            await until(lambda: stand_in.batches)
            texts = ("good", "raise", "better")
            others = [asyncio.create_task(client.post("/extract", json={"text": text})) for text in texts]
            await asyncio.sleep(0.2)
            stand_in.gate.set()
            return [await task for task in (first, *others)]

    answers = asyncio.run(call())
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
    assert "(RuntimeError)" in answers[2].json()["error"]


def test_token() -> None:
    options = {"token": "secret"}
    assert post(StandIn(), {"text": "a"}, **options).status_code == 401
    assert post(StandIn(), {"text": "a"}, headers={"authorization": "Bearer wrong"}, **options).status_code == 401
    assert post(StandIn(), {"text": "a"}, headers={"authorization": "Bearer secret"}, **options).status_code == 200
    assert [get(StandIn(), path, **options).status_code for path in ("/healthz", "/model", "/metrics")] == [200, 401, 401]


def test_model_information(extractor: Extractor) -> None:
    info = get(extractor, "/model", name="run").json()
    assert info["name"] == "run"
    assert info["types"] == extractor.schema.to_json()
    assert info["limits"]["texts"] == 64
    assert get(extractor, "/healthz").json() == {"status": "ok"}
    assert re.search("/nothing; /docs", get(extractor, "/nothing").json()["error"])
    assert re.search("/extract does not accept GET; /docs", get(extractor, "/extract").json()["error"])


def test_openapi_describes_the_answers() -> None:
    operation = get(StandIn(), "/openapi.json").json()["paths"]["/extract"]["post"]
    assert set(operation["responses"]) == {"200", "400", "401", "408", "413", "422", "429", "500", "503"}
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "application/x-ndjson", "text/html"}


def test_slow_body() -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(20)

    async def call() -> Any:
        async with client_of(StandIn(), limits=Limits(seconds=0.2, requests_per_client=1)) as client:
            slow = asyncio.create_task(client.post("/extract", content=stalled()))
            await asyncio.sleep(0.05)
            other = await client.post("/extract", json={"text": "a"})
            assert other.status_code == 429, "a request whose body is incomplete is in progress"
            return await slow, (await client.get("/metrics")).text

    answer, page = asyncio.run(call())
    assert answer.status_code == 408
    assert "within 0.2 seconds" in answer.json()["error"]
    assert 'conjoin_requests_total{route="/extract",status="429"} 1.0' in page


def test_panic_of_a_library_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    class Panic(BaseException):
        """Like PanicException of PyO3."""

    class Fragile(StandIn):
        def extract(self, texts: Any) -> list[Document]:
            if any("panic" in text for _, text in texts):
                raise Panic("out of bounds")
            return super().extract(texts)

    async def call() -> list[int]:
        async with client_of(Fragile()) as client:
            return [(await client.post("/extract", json={"text": text})).status_code for text in ("a", "panic", "b")]

    assert asyncio.run(call()) == [200, 500, 200]
    assert "the model failed: Panic: out of bounds" in caplog.text


def test_request_larger_than_the_queue_is_invalid() -> None:
    answer = post(StandIn(), {"texts": ["a"] * 5}, limits=Limits(waiting=4))
    assert answer.status_code == 422
    assert "5 texts, more than the limit of 4; send" in answer.json()["error"]


def test_limits_are_above_zero() -> None:
    with pytest.raises(SettingError, match="limit texts is 0"):
        Limits(texts=0)


@pytest.fixture
def service(trained_run: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves and its address."""
    command = [sys.executable, "-m", "conjoin", "serve", str(trained_run), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        matches = (re.search(r"running on (http://\S+)", line) for line in process.stderr)
        yield process, next(match[1] for match in matches if match)
        process.kill()


def test_address_is_checked_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingError, match=rf"127.0.0.1.*port {port} \(.*in use\)"):
            serve(Path("nowhere"), port=port, limits=LimitOptions())
    check_free("127.0.0.1", port)
    check_free("localhost", 0)
    with pytest.raises(SettingError, match="--host"):
        check_free("no-such-host.invalid", 8000)


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_the_page_in_a_browser(service: tuple[subprocess.Popen[str], str]) -> None:
    """By keyboard: extract, open all views, filter without another request, open a shared link."""
    from playwright.sync_api import sync_playwright

    _, address = service
    messages: list[str] = []
    addresses: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(address)
        page.focus("#text")
        page.keyboard.press("Control+A")
        page.keyboard.type(f"{ORTIZ} {OSWALD}")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector(".cj-arc")
        assert page.locator(".cj-arc").count() == 3
        assert page.inner_text("#status").startswith("6 entities and 3 relations")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        requests = len(addresses)
        page.focus("#tab-text")
        views = (("graph", 5, ".page-node"), ("table", 9, "#view-table tbody tr"), ("json", 1, "#json"))
        for view, count, selector in views:
            page.keyboard.press("ArrowRight")
            assert page.locator(f"#view-{view}").is_visible()
            assert page.locator(selector).count() == count
        assert len(json.loads(page.inner_text("#json"))[0]["entities"]) == 6
        page.keyboard.press("Home")
        page.fill("#min-relation-score", "1")
        relations = page.evaluate("conjoin.shown(document)[0].relations.length")
        assert page.locator(".cj-arc").count() == relations
        page.fill("#min-entity-score", "1")
        entities = page.evaluate("conjoin.shown(document)[0].entities.length")
        assert page.locator(".cj-entity:not(.cj-low)").count() == entities
        assert len(addresses) == requests
        page.fill("#min-entity-score", "0")
        page.click("#share")
        link = page.evaluate("location.href")
        other = browser.new_page()
        other.goto(link)
        other.wait_for_selector(".cj-entity")
        assert other.input_value("#text") == f"{ORTIZ} {OSWALD}"
        assert other.input_value("#min-relation-score") == "1"
        browser.close()
    assert messages == []


@pytest.mark.processes
def test_sigterm_answers_open_requests_and_ends(service: tuple[subprocess.Popen[str], str]) -> None:
    process, address = service
    answers: list[Any] = []
    body = {"texts": [f"{OSWALD} " * 300] * 4}
    client = threading.Thread(target=lambda: answers.append(httpx.post(f"{address}/extract", json=body, timeout=60)))
    assert httpx.get(f"{address}/healthz").status_code == 200
    client.start()
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    client.join()
    assert answers[0].status_code == 200
    assert len(answers[0].json()["documents"][3]["relations"]) == 300
    process.wait(30)
    assert process.returncode in (0, -signal.SIGTERM)
