"""`conjoin serve`: a trained model as a web service."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from conjoin.cli.messages import messages
from conjoin.cli.options import PrecisionName, chosen_precision
from conjoin.errors import SettingError, require_extra

LOCAL = ("127.0.0.1", "::1", "localhost")
KEPT = 30  # seconds for which a connection without requests stays open: longer than clients keep theirs
TOKEN = "CONJOIN_TOKEN"


def serve(
    run: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a training run, a model or an export.")],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 is every one of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 8000,
    precision: PrecisionName = "no",
    max_bytes: Annotated[int, typer.Option(min=1, help="Most bytes of a request.")] = 1_000_000,
    max_texts: Annotated[int, typer.Option(min=1, help="Most texts of a request.")] = 64,
    max_characters: Annotated[int, typer.Option(min=1, help="Most characters of a text.")] = 100_000,
    max_waiting: Annotated[int, typer.Option(min=1, help="Most texts that wait at once.")] = 256,
    max_requests: Annotated[int, typer.Option(min=1, help="Most requests of one client under way at once.")] = 32,
    seconds: Annotated[float, typer.Option(min=0.001, help="After which a request is given up.")] = 30.0,
) -> None:
    """Serve a trained model over HTTP.

    POST /extract takes {"text": …} or {"texts": […]} and answers with entities, relations and character offsets; GET
    /model tells types, scores and limits, /docs describes it all, /metrics counts for Prometheus. Requests that come at
    once are extracted together. Only this machine can reach it unless --host says otherwise; with the environment variable
    CONJOIN_TOKEN requests must carry that token. Ctrl-C or SIGTERM answers what has come, then ends.

    Examples:

      conjoin serve run

      CONJOIN_TOKEN=secret conjoin serve small --host 0.0.0.0 --port 80
    """
    used = chosen_precision(precision)
    check_free(host, port)

    from conjoin.extras.serve import Limits, create_app

    try:
        import uvicorn
    except ImportError as error:
        raise require_extra("serve", "uvicorn") from error

    from conjoin.extractor import Extractor

    limits = Limits(body_bytes=max_bytes, texts=max_texts, characters=max_characters, waiting=max_waiting,
                    requests_per_client=max_requests, seconds=seconds)
    token = os.environ.get(TOKEN)
    extractor = Extractor.load(run, precision=used)
    extractor("Maria Ortiz leads the Halden Steel of Leeds.")  # what is slow the first time is not the first client's
    if not token and host not in LOCAL:
        messages().print(f"anyone who can reach {host} can use this service; set {TOKEN} to ask for a token", markup=False)
    app = create_app(extractor, name=run.name, limits=limits, token=token)
    uvicorn.run(app, host=host, port=port, log_level="info", proxy_headers=False, timeout_keep_alive=KEPT,
                timeout_graceful_shutdown=int(seconds) + 1)


def check_free(host: str, port: int) -> None:
    """Raise for an address that cannot be listened at, before a model is loaded for it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(address)
    except OSError as error:
        raise SettingError(f"cannot listen at {host}, port {port} ({error.strerror or error}); give another --port, 0 "
                           "for a free one, or another --host") from error
