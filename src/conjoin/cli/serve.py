"""Serve a trained model over HTTP.

POST /extract takes {"text": …} or {"texts": […]} and returns entities, relations and character offsets; GET /model
returns types, scores and limits, /docs describes the service, and /metrics counts for Prometheus. Requests that arrive
together are extracted together. Only this machine can reach the service unless --host says otherwise. With the
environment variable CONJOIN_TOKEN requests must carry that token. Ctrl-C or SIGTERM answers the requests that have
arrived, then stops.

Examples:
  conjoin serve run
  CONJOIN_TOKEN=secret conjoin serve small --host 0.0.0.0 --port 80
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from conjoin.cli.messages import message
from conjoin.cli.options import Model, PrecisionName
from conjoin.errors import SettingError, require_extra

if TYPE_CHECKING:
    from conjoin.extras.serve import Limits

LOCAL = ("127.0.0.1", "::1", "localhost")
KEEP_ALIVE = 30  # seconds that an idle connection stays open: longer than clients keep theirs
TOKEN = "CONJOIN_TOKEN"
WARM_UP = "Maria Ortiz leads the Halden Steel of Leeds."  # so that the first request does not pay for the start


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """The limits of the service."""

    max_bytes: Annotated[int, typer.Option(min=1, help="Maximum bytes of a request.")] = 1_000_000
    max_texts: Annotated[int, typer.Option(min=1, help="Maximum texts of a request.")] = 64
    max_characters: Annotated[int, typer.Option(min=1, help="Maximum characters of a text.")] = 100_000
    max_queued: Annotated[int, typer.Option(min=1, help="Maximum texts in the queue.")] = 256
    max_requests: Annotated[int, typer.Option(min=1, help="Maximum concurrent requests of one client.")] = 32
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds until a request is given up.")] = 30.0

    def limits(self) -> Limits:
        from conjoin.extras.serve import Limits

        return Limits(body_bytes=self.max_bytes, texts=self.max_texts, characters=self.max_characters,
                      waiting=self.max_queued, requests_per_client=self.max_requests, seconds=self.timeout)


def serve(
    model: Model,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every address of this machine.")] = LOCAL[0],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
    precision: PrecisionName = "no",
    limits: LimitOptions,
) -> None:
    check_free(host, port)

    from conjoin.extras.serve import create_app

    try:
        import uvicorn
    except ImportError as error:
        raise require_extra("serve", "uvicorn") from error

    from conjoin.extractor import Extractor

    token = os.environ.get(TOKEN)
    extractor = Extractor.load(model, precision=precision)
    extractor(WARM_UP)
    if not token and host not in LOCAL:
        message(f"anyone who can reach {host} can use this service; set {TOKEN} to ask for a token")
    app = create_app(extractor, name=model.name, limits=limits.limits(), token=token)
    uvicorn.run(app, host=host, port=port, log_level="info", proxy_headers=False, timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=int(limits.timeout) + 1)


def check_free(host: str, port: int) -> None:
    """Raise `SettingError` for an address that is in use or not of this machine, before the model is loaded."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        raise SettingError(f"cannot listen on {host}, port {port} ({error.strerror or error}); give another --port, 0 "
                           "for a free one, or another --host") from error
