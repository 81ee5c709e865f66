"""What every request passes before it is read: it is counted, its token, its size and its client are looked at."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from conjoin.extras.serve.limits import Limits

App = Any  # an ASGI application: scope, receive, send
OPEN = frozenset({"/", "/healthz"})  # paths that need no token


async def refuse(send: Any, status: int, error: str, headers: dict[str, str] | None = None) -> None:
    """An answer that says why."""
    body = json.dumps({"error": error}).encode()
    named = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


class BodyLimit:
    """Answers 413 to a body of too many bytes, whether it says its length or not, without reading it all, and 408 to one
    that takes too long."""

    def __init__(self, app: App, limits: Limits) -> None:
        self.app = app
        self.most = limits.body_bytes
        self.seconds = limits.seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on with its whole body, or refuse it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        body = None
        if not (told.isdigit() and int(told) > self.most):
            try:
                async with asyncio.timeout(self.seconds):
                    body = await self._body(receive)
            except ConnectionResetError:
                return
            except TimeoutError:
                await refuse(send, 408, f"the body did not come within {self.seconds:g} seconds; send it again",
                             {"connection": "close"})
                return
        if body is None:
            await refuse(send, 413, f"the body has more than {self.most:,} bytes; send fewer texts at a time",
                         {"connection": "close"})
            return
        given = False

        async def whole() -> dict[str, Any]:
            nonlocal given
            if given:
                return dict(await receive())
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, whole, send)

    async def _body(self, receive: Any) -> bytes | None:
        """The whole body; None where it is too large. Raises `ConnectionResetError` when the client has gone."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            body += message.get("body", b"")
            if len(body) > self.most:
                return None
            if not message.get("more_body", False):
                return bytes(body)


class ClientLimit:
    """Answers 429 to a client that has too many requests under way."""

    def __init__(self, app: App, limits: Limits) -> None:
        self.app = app
        self.most = limits.requests_per_client
        self.under_way: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] != "/extract":
            await self.app(scope, receive, send)
            return
        client = (scope.get("client") or ("",))[0]
        if self.under_way[client] >= self.most:
            await refuse(send, 429, f"{self.most} requests of yours are under way; wait for an answer",
                         {"retry-after": "1"})
            return
        self.under_way[client] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way[client] -= 1
            if not self.under_way[client]:
                del self.under_way[client]


class Guard:
    """Answers 401 to who does not give the token."""

    def __init__(self, app: App, token: str) -> None:
        self.app = app
        self.wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, self.wanted):
                await refuse(send, 401, "give the token of this service as Authorization: Bearer TOKEN",
                             {"www-authenticate": "Bearer"})
                return
        await self.app(scope, receive, send)


class Counted:
    """Counts answers by route, `other` for what is none, and status. Who is refused at a door counts at its route."""

    def __init__(self, app: App, count: Callable[[str, int], None]) -> None:
        self.app = app
        self.count = count

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""

        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                known = {route.path for route in scope["app"].routes}
                self.count(scope["path"] if scope["path"] in known else "other", message["status"])
            await send(message)

        await self.app(scope, receive, noted if scope["type"] == "http" else send)
