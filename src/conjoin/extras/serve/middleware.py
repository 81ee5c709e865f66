"""Middleware: counts requests, checks the token and limits clients and bodies before a request is parsed."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from conjoin.extras.serve.limits import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PUBLIC_PATHS = frozenset({"/", "/healthz"})  # need no token
CLOSE = {"connection": "close"}


class RequestCounter:
    """Counts answers, errors of the middleware too, by status and route; the route of unknown paths is `other`."""

    def __init__(self, app: ASGIApp, count: Callable[[str, int], None]) -> None:
        self.app = app
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                routes = {route.path for route in scope["app"].routes}
                self.count(scope["path"] if scope["path"] in routes else "other", message["status"])
            await send(message)

        await self.app(scope, receive, counting_send if scope["type"] == "http" else send)


class TokenAuth:
    """Answers 401 to requests without the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.authorization = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_public = scope["type"] != "http" or scope["path"] in PUBLIC_PATHS
        if is_public or hmac.compare_digest(_header(scope, b"authorization"), self.authorization):
            await self.app(scope, receive, send)
        else:
            await _reject(send, 401, "the token is missing or wrong; send it as Authorization: Bearer TOKEN",
                          {"www-authenticate": "Bearer"})


class ClientLimit:
    """Answers 429 to a client that has too many requests in progress."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.max_requests = limits.requests_per_client
        self.requests: Counter[str] = Counter()  # in progress, by client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/extract":
            await self.app(scope, receive, send)
            return
        client = (scope.get("client") or ("",))[0]
        if self.requests[client] >= self.max_requests:
            await _reject(send, 429, f"{self.max_requests} requests of this client are in progress; wait for an answer",
                          {"retry-after": "1"})
            return
        self.requests[client] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.requests[client] -= 1
            if not self.requests[client]:
                del self.requests[client]


class BodyLimit:
    """Answers 413 to a body that is too large, without reading it all, and 408 to one that takes too long."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.max_bytes = limits.body_bytes
        self.seconds = limits.seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self.seconds):
                body = await self._read(scope, receive)
        except ConnectionResetError:
            return
        except TimeoutError:
            await _reject(send, 408, f"the body did not arrive within {self.seconds:g} seconds; send it again", CLOSE)
            return
        if body is None:
            await _reject(send, 413, f"the body has more than {self.max_bytes:,} bytes; send fewer texts at a time", CLOSE)
            return
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body, or None if it is too large. Raises `ConnectionResetError` if the client disconnects."""
        length = _header(scope, b"content-length")
        if length.isdigit() and int(length) > self.max_bytes:
            return None
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            body += message.get("body", b"")
            if len(body) > self.max_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body first, then further messages."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


async def _reject(send: Send, status: int, error: str, headers: dict[str, str]) -> None:
    body = json.dumps({"error": error}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw_headers})
    await send({"type": "http.response.body", "body": body})
