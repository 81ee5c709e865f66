"""Limits of the service."""

from __future__ import annotations

from dataclasses import dataclass, fields

from conjoin.errors import SettingError


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper limits, of one request and of all together. Raises `SettingError` for one that is not above 0."""

    body_bytes: int = 1_000_000
    texts: int = 64  # of a request
    characters: int = 100_000  # of a text
    waiting: int = 256  # texts that wait or are extracted at once
    requests_per_client: int = 32  # in progress
    seconds: float = 30.0  # for a body to arrive, and for the texts to be extracted

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not value > 0:
                raise SettingError(f"the limit {limit.name} is {value}; give a number above 0")
