"""The table of featurisers, loading them from JSON, and several joined into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conjoin.features.arrays import Arrays, Featuriser, Texts, joined
from conjoin.features.casing import CasingFeaturiser
from conjoin.features.characters import CharacterFeaturiser
from conjoin.features.pieces import PieceFeaturiser
from conjoin.features.words import WordFeaturiser


class JoinedFeaturiser:
    """Several featurisers as one, with arrays named `featuriser.array`."""

    kind = "joined"

    def __init__(self, parts: Mapping[str, Featuriser]) -> None:
        self.parts = dict(parts)

    def sizes(self, texts: Texts) -> list[int]:
        return [max(costs) for costs in zip(*(part.sizes(texts) for part in self.parts.values()), strict=True)]

    def arrays(self, texts: Texts) -> Arrays:
        return joined({name: part.arrays(texts) for name, part in self.parts.items()})

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "parts": {name: part.to_json() for name, part in self.parts.items()}}


Load = Callable[[Mapping[str, Any], dict[str, Featuriser]], Featuriser]

# kind → a featuriser of that kind, from its JSON and its parts
FEATURISERS: dict[str, Load] = {
    JoinedFeaturiser.kind: lambda value, parts: JoinedFeaturiser(parts),
    PieceFeaturiser.kind: PieceFeaturiser.from_json,
    WordFeaturiser.kind: lambda value, parts: WordFeaturiser(value["words"], width=value["width"]),
    CharacterFeaturiser.kind: lambda value, parts: CharacterFeaturiser(value["alphabet"]),
    CasingFeaturiser.kind: lambda value, parts: CasingFeaturiser(),
}


def load_featuriser(value: Mapping[str, Any]) -> Featuriser:
    """The featuriser that `to_json` described. Raises `LookupError`, `TypeError` or `ValueError` for anything else."""
    load = FEATURISERS[value["kind"]]
    return load(value, {name: load_featuriser(part) for name, part in dict(value.get("parts", {})).items()})
