"""Metrics of the service, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conjoin.errors import require_extra

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
except ImportError as error:
    raise require_extra("serve", "prometheus-client") from error

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self, waiting_texts: Callable[[], float]) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("conjoin_requests", "Requests by route and status.", ["route", "status"], registry=registry)
        self.seconds = Histogram("conjoin_request_seconds", "Seconds to extract the texts of a request.", buckets=SECONDS,
                                 registry=registry)
        self.texts = Counter("conjoin_texts", "Texts extracted.", registry=registry)
        self.characters = Counter("conjoin_characters", "Characters of the texts extracted.", registry=registry)
        self.batches = Histogram("conjoin_batch_texts", "Texts extracted together.", buckets=TEXTS, registry=registry)
        Gauge("conjoin_waiting_texts", "Texts waiting or being extracted.", registry=registry).set_function(waiting_texts)

    def count_request(self, route: str, status: int) -> None:
        self.requests.labels(route, str(status)).inc()

    def count_texts(self, texts: Sequence[str], seconds: float) -> None:
        """Count the texts of a request, extracted in so many seconds."""
        self.seconds.observe(seconds)
        self.texts.inc(len(texts))
        self.characters.inc(sum(map(len, texts)))

    def to_text(self) -> bytes:
        return generate_latest(self.registry)
