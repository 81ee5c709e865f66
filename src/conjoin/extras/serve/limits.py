"""How much a service takes, from one request and from all together."""

from __future__ import annotations

from dataclasses import dataclass, fields

from conjoin.errors import SettingError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a service refuses beyond: bytes of a request's body, texts of a request, characters of a text, texts that
    wait at once, requests under way for one client, and the seconds after which a request is given up."""

    body_bytes: int = 1_000_000
    texts: int = 64
    characters: int = 100_000
    waiting: int = 256
    requests_per_client: int = 32
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for value in fields(self):
            if not getattr(self, value.name) > 0:
                raise SettingError(f"the limit {value.name} is {getattr(self, value.name)}; give more than 0")
