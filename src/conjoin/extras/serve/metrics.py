"""What a service counts, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from conjoin.errors import require_extra

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
except ImportError as error:
    raise require_extra("serve", "prometheus-client") from error

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Measures:
    """Counters of one service, in a registry of their own."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("conjoin_requests", "Requests by route and status.", ["route", "status"],
                                registry=self.registry)
        self.seconds = Histogram("conjoin_request_seconds", "Time to the answer of /extract.", buckets=SECONDS,
                                 registry=self.registry)
        self.texts = Counter("conjoin_texts", "Texts that were extracted.", registry=self.registry)
        self.characters = Counter("conjoin_characters", "Characters of them.", registry=self.registry)
        self.batches = Histogram("conjoin_batch_texts", "Texts that were extracted together.", buckets=TEXTS,
                                 registry=self.registry)
        Gauge("conjoin_waiting_texts", "Texts that wait or are under way.", registry=self.registry).set_function(waiting)

    def count(self, route: str, status: int) -> None:
        """Count a request by how it was answered."""
        self.requests.labels(route, str(status)).inc()

    def page(self) -> bytes:
        """All of it as text."""
        return generate_latest(self.registry)
