"""The rows of the papers' tables as data: corpus, settings, protocol and reported figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from conjoin.experiments.folds import DevUse, Folding

Column = Literal["entities micro", "relations micro", "entities macro", "relations macro", "gold relations micro"]
OWN_SPLITS = Folding()


@dataclass(frozen=True, slots=True)
class Row:
    """One system on one corpus.

    Attributes:
        name: As in the paper.
        corpus: Key of `SOURCES`.
        reported: The paper's figures in per cent, by column.
        seeds: Number of runs that the paper takes the mean of.
        overrides: Settings that differ from the preset.
        same_size: Add layers to the shared stack until the model has about as many trained parameters as its preset (Crone
            2020 §4.2).
        deviation: The paper's figures after ±, by column.
        note: A difference from the paper's protocol.
    """

    name: str
    corpus: str
    preset: str
    reported: Mapping[Column, float]
    folding: Folding = OWN_SPLITS
    dev: DevUse = "join"
    seeds: int = 3
    overrides: tuple[str, ...] = ()
    same_size: bool = False
    deviation: Mapping[Column, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a paper."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


_MICRO: tuple[Column, ...] = ("entities micro", "relations micro")
_BOTH: tuple[Column, ...] = ("entities macro", "relations macro", *_MICRO)


def _crone(entities_macro: float, relations_macro: float, entities: float, relations: float) -> dict[Column, float]:
    return {"entities macro": entities_macro, "relations macro": relations_macro,
            "entities micro": entities, "relations micro": relations}


CRONE_TABLE_2 = Table(
    "crone2020-table2",
    "Crone 2020, Table 2: strict F1 on ADE (mean of 10 folds) and CoNLL04 (mean of 5 initialisations)",
    _BOTH,
    (
        Row("ADE", "ade-crone", "crone2020-ade", {"entities macro": 89.48, "relations macro": 83.74},
            folding=Folding(folds=10, hold_out=0.1), dev="choose", seeds=1,
            note="the tenth that is held out is every fold's dev part; the epochs are the preset's"),
        Row("CoNLL04", "conll04", "crone2020-conll04", _crone(87.00, 72.63, 89.78, 71.08), seeds=5),
    ),
)

CRONE_TABLE_3 = Table(
    "crone2020-table3",
    "Crone 2020, Table 3: CoNLL04 without task-specific layers, at equal size (mean of 3 initialisations)",
    _BOTH,
    (
        Row("full", "conll04", "crone2020-conll04", _crone(87.00, 72.63, 89.78, 71.08)),
        Row("no NER-specific layers", "conll04", "crone2020-conll04", _crone(86.19, 68.45, 89.24, 67.05),
            overrides=("stack.entities=0",), same_size=True),
        Row("no RE-specific layers", "conll04", "crone2020-conll04", _crone(85.84, 59.57, 89.06, 57.82),
            overrides=("stack.relations=0",), same_size=True),
        Row("no task-specific layers", "conll04", "crone2020-conll04", _crone(86.16, 57.45, 89.46, 55.47),
            overrides=("stack.entities=0", "stack.relations=0"), same_size=True),
    ),
)


def _giorgi(entities: float, relations: float) -> dict[Column, float]:
    return {"entities micro": entities, "relations micro": relations}


GIORGI_TABLE_1 = Table(
    "giorgi2019-table1",
    "Giorgi et al. 2019, Table 1: strict F1 on five corpora (mean of 3 runs; ADE macro, the others micro)",
    (*_MICRO, "entities macro", "relations macro", "gold relations micro"),
    (
        Row("ACE04", "ace04", "giorgi2019-ace04", _giorgi(87.58, 53.99), folding=Folding(dev_share=0.1), dev="choose",
            deviation=_giorgi(0.2, 0.1), note="the five folds of the published lists"),
        Row("ACE05", "ace05", "giorgi2019-ace05", _giorgi(87.21, 58.63), deviation=_giorgi(0.3, 0.0)),
        Row("CoNLL04", "conll04", "giorgi2019-conll04", _giorgi(89.46, 66.83), deviation=_giorgi(1.0, 0.4)),
        Row("ADE", "ade-giorgi", "giorgi2019-ade", {"entities macro": 89.56, "relations macro": 85.77},
            folding=Folding(folds=10, dev_share=0.1), dev="choose",
            deviation={"entities macro": 0.1, "relations macro": 0.4}),
        Row("i2b2", "i2b2", "giorgi2019-i2b2", {**_giorgi(89.26, 63.02), "gold relations micro": 72.03},
            folding=Folding(folds=5, dev_share=0.1), dev="choose",
            deviation={**_giorgi(0.1, 0.3), "gold relations micro": 0.1}),
    ),
)


def _ablation(name: str, entities: float, relations: float, deviations: tuple[float, float], *overrides: str) -> Row:
    return Row(name, "conll04", "giorgi2019-conll04", _giorgi(entities, relations), overrides=overrides,
               folding=Folding(folds=5, splits=("train", "dev")), deviation=_giorgi(*deviations))


GIORGI_TABLE_2 = Table(
    "giorgi2019-table2",
    "Giorgi et al. 2019, Table 2: ablation on CoNLL04 (5 folds of train and dev, mean of 3 runs)",
    _MICRO,
    (
        _ablation("full", 86.32, 60.29, (0.2, 0.2)),
        _ablation("(a) no entity pre-training", 85.91, 59.44, (0.1, 0.2), "training.relation_ramp=0"),
        _ablation("(b) no entity embeddings", 86.07, 59.52, (0.1, 0.2), "relations.label_embedding=none"),
        _ablation("(c) one feed-forward for head and tail", 86.02, 60.13, (0.1, 0.0), "relations.projections=shared"),
        _ablation("(d) no feed-forwards for head and tail", 83.93, 54.67, (0.2, 0.8), "relations.projections=none"),
        _ablation("(e) no bilinear term", 86.35, 59.60, (0.1, 0.0), "relations.bilinear=false"),
    ),
)

TABLES: Mapping[str, Table] = {
    table.name: table for table in (CRONE_TABLE_2, CRONE_TABLE_3, GIORGI_TABLE_1, GIORGI_TABLE_2)
}

# Giorgi et al. 2019, Table A.1: entities and relations of each corpus by our names of types.
STATISTICS = "giorgi2019-a1"
COUNTS: Mapping[str, tuple[str, Mapping[str, int], Mapping[str, int]]] = {
    "ACE04": ("ace04-all", {"PER": 12508, "ORG": 4405, "GPE": 4425, "LOC": 614, "FAC": 688, "WEA": 119, "VEH": 209},
              {"PHYS": 1202, "PER-SOC": 362, "EMP-ORG": 1591, "ART": 212, "OTHER-AFF": 141, "GPE-AFF": 517}),
    "ACE05": ("ace05", {"PER": 20891, "ORG": 5627, "GPE": 7455, "LOC": 1119, "FAC": 1461, "WEA": 911, "VEH": 919},
              {"PHYS": 1612, "PART-WHOLE": 1060, "PER-SOC": 615, "ART": 703, "ORG-AFF": 1922, "GEN-AFF": 730}),
    "CoNLL04": ("conll04-all", {"Loc": 4765, "Org": 2499, "Peop": 3918, "Other": 3011},
                {"Kill": 268, "Live_In": 521, "Located_In": 406, "OrgBased_In": 452, "Work_For": 401}),
    "ADE": ("ade-giorgi", {"DRUG": 4979, "AE": 5669}, {"ADE": 6682}),
    "i2b2": ("i2b2", {"problem": 19664, "test": 13831, "treatment": 14186},
             {"PIP": 2203, "TeCP": 504, "TeRP": 3053, "TrAP": 2617, "TrCP": 526, "TrIP": 203, "TrNAP": 174, "TrWP": 133}),
}
