"""Tag schemes: entities as one tag per word, and back.

BIO marks the first word of an entity `B-` and the others `I-`; BIOES also marks the last word `E-` and a single word
`S-` (Giorgi et al. 2019, A.2). Words outside every entity carry `O`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from conjoin.document import Entity
from conjoin.errors import DataError

Scheme = Literal["bio", "bioes"]
OUTSIDE = "O"


def tag_set(types: Sequence[str], scheme: Scheme) -> tuple[str, ...]:
    """The tags of a scheme, `O` first: 2·types + 1 for BIO, 4·types + 1 for BIOES."""
    prefixes = "BI" if scheme == "bio" else "BIES"
    return (OUTSIDE, *(f"{prefix}-{type}" for type in types for prefix in prefixes))


def encode(entities: Iterable[Entity], length: int, scheme: Scheme) -> list[str]:
    """One tag for each of `length` words. Raises `DataError` when entities overlap."""
    tags = [OUTSIDE] * length
    for entity in entities:
        if any(tag != OUTSIDE for tag in tags[entity.start : entity.end]):
            raise DataError(f"entity {entity.type} '{entity.text}' (words {entity.start}-{entity.end}) overlaps another; "
                            "a tagger holds one entity per word: remove one of them (conjoin check names them all, "
                            "--lenient keeps the longer)")
        tags[entity.start : entity.end] = _entity_tags(entity.type, entity.end - entity.start, scheme)
    return tags


def _entity_tags(type: str, length: int, scheme: Scheme) -> list[str]:
    if scheme == "bio":
        return [f"B-{type}"] + [f"I-{type}"] * (length - 1)
    if length == 1:
        return [f"S-{type}"]
    return [f"B-{type}"] + [f"I-{type}"] * (length - 2) + [f"E-{type}"]


def decode(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sequence of tags of either scheme, legal or not.

    In an illegal sequence, a tag that does not continue the open entity (another type, or after `E-`, `S-` or
    `O`) opens a new one; an open entity ends before `B-`, `S-`, `O` or another type, and at the last word.
    """
    entities: list[Entity] = []
    start, open_type = 0, ""
    for index, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, type = tag.partition("-")
        continues = prefix in ("I", "E") and type == open_type
        if open_type and not continues:
            entities.append(Entity(open_type, start, index))
            open_type = ""
        if tag != OUTSIDE and not continues:
            start, open_type = index, type
        if prefix in ("E", "S") and open_type:
            entities.append(Entity(open_type, start, index + 1))
            open_type = ""
    return entities


def may_follow(previous: str | None, tag: str | None, scheme: Scheme) -> bool:
    """True when `tag` may follow `previous`; None is the edge of the sentence."""
    before, _, before_type = (previous or OUTSIDE).partition("-")
    after, _, after_type = (tag or OUTSIDE).partition("-")
    if after in ("I", "E"):
        return before in ("B", "I") and before_type == after_type
    return scheme == "bio" or before not in ("B", "I")
