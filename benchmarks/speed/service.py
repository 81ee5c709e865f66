"""The service under load: latency and rate with 1, 8 and 64 clients, and its memory over ten thousand requests.

    python benchmarks/speed/service.py MODEL --data DATA/conll04/spert_json

`conjoin serve` runs as a process of its own, on the same cores as the clients; each client asks for one text of the test
split after the other. Beside it the same texts through `Extractor.pipe`, which is what the model gives without a network.
The result is service.json beside this script.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from measuring import HERE, machine, timed, write

from conjoin import Extractor, read_corpus
from conjoin.corpora.sample import sample_corpus

CLIENTS = (1, 8, 64)
REQUESTS = {1: 400, 8: 1_600, 64: 3_200}
ALL = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--requests", type=int, default=ALL, help="for the memory")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data) if arguments.data else sample_corpus()
    texts = [document.text for document in corpus.test]
    extractor = Extractor.load(arguments.model)
    seconds = min(timed(lambda: list(extractor.pipe(texts))) for _ in range(3))
    result: dict[str, Any] = {"data": "/".join(Path(arguments.data).parts[-2:]) if arguments.data else "sample",
                              **machine(), "pipe, texts per second": round(len(texts) / seconds, 1)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "conjoin", "serve", str(arguments.model), "--port", str(port),
               "--max-requests", str(2 * max(CLIENTS))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
        try:
            asyncio.run(measured(f"http://127.0.0.1:{port}", texts, service.pid, arguments.requests, result))
        finally:
            service.terminate()
    write(result, arguments.output or HERE / ("service.json" if arguments.data else "service-sample.json"))


async def measured(address: str, texts: list[str], pid: int, requests: int, result: dict[str, Any]) -> None:
    await up(address)
    await load(address, texts, 8, 100)  # warm
    result["clients"] = {}
    for clients in CLIENTS:
        result["clients"][str(clients)] = row = await load(address, texts, clients, REQUESTS[clients])
        print(clients, row, flush=True)
    done, memory = 0, {}
    for step in (requests // 10, requests):
        await load(address, texts, 8, step - done)
        done = step
        memory[f"after {step:,} more requests"] = resident_mb(pid)
    result["memory_mb"] = memory


async def up(address: str) -> None:
    async with httpx.AsyncClient(base_url=address) as client:
        for _ in range(600):
            try:
                if (await client.get("/healthz")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    raise SystemExit("the service did not start")


async def load(address: str, texts: list[str], clients: int, requests: int) -> dict[str, float]:
    """So many requests by so many clients, each waiting for its answer before it asks again."""
    left = iter(itertools.islice(itertools.cycle(texts), requests))
    waits: list[float] = []

    async def one() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:  # shared, its connections are the bottleneck
            for text in left:
                start = time.perf_counter()
                answer = await client.post("/extract", json={"text": text})
                answer.raise_for_status()
                waits.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    seconds = time.perf_counter() - start
    waits.sort()
    percentiles = {f"p{share}_ms": round(1000 * waits[min(len(waits) - 1, len(waits) * share // 100)], 1)
                   for share in (50, 95, 99)}
    return {"requests": requests, "per_second": round(requests / seconds, 1), **percentiles}


def resident_mb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text(encoding="utf-8").split("VmRSS:")[1].split()[0]) // 1024


if __name__ == "__main__":
    main()
