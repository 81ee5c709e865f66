"""Limits of the service."""

from __future__ import annotations

from dataclasses import dataclass, fields

from conjoin.errors import SettingError


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper limits, of one request and of all together.

    Attributes:
        body_bytes: Bytes of a request's body.
        texts: Texts of a request.
        characters: Characters of a text.
        waiting: Texts that wait or are extracted at once.
        requests_per_client: Requests of one client in progress.
        seconds: Time for a body to arrive, and for the texts to be extracted.

    Raises:
        SettingError: If a limit is not above 0.
    """

    body_bytes: int = 1_000_000
    texts: int = 64
    characters: int = 100_000
    waiting: int = 256
    requests_per_client: int = 32
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not value > 0:
                raise SettingError(f"the limit {limit.name} is {value}; give a number above 0")
