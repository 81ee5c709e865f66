"""The corpora of the papers in a user's folder, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conjoin.document import Corpus
from conjoin.readers import read_corpus


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus under the data folder.

    Attributes:
        places: Paths under the data folder, of which the first that exists is read.
        format: Name of the format; detected when None.
        lenient: Leave out what is wrong in the files.
        folds: Values of the option `splits`, one for each fold.
        form: The form of the corpus that is needed, for the message when it is missing.
    """

    places: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    format: str | None = None
    lenient: bool = False
    folds: tuple[str, ...] = ()
    form: str = ""

    def place(self, data: Path) -> Path | None:
        return next((data / place for place in self.places if (data / place).exists()), None)

    def missing(self, data: Path) -> str:
        form = f"; this table needs {self.form}" if self.form else ""
        return f"the corpus is not under {data}: looked for {', '.join(self.places)}{form}"

    def read(self, data: Path) -> dict[str, Corpus] | None:
        """Read the corpus, or one for each fold, by name; None when it is not under the data folder."""
        place = self.place(data)
        if place is None:
            return None
        variants = {f"fold{n}": {**self.options, "splits": fold} for n, fold in enumerate(self.folds, start=1)}
        return {
            name: read_corpus(place, self.format, lenient=self.lenient, options=options)
            for name, options in (variants or {"": dict(self.options)}).items()
        }


_ADE = ("ade/DRUG-AE.rel", "DRUG-AE.rel", "ade")
_ACE04, _ACE05 = ("ace04", "ace2004", "ACE2004"), ("ace05", "ace2005", "ACE2005")
SOURCES: Mapping[str, Source] = {
    "conll04": Source(("conll04/bekou", "conll04/spert_json", "conll04")),
    "conll04-all": Source(("conll04/tf_mtrnn", "conll04/corp.tsv", "corp.tsv"), {"relation-free": "yes"}, "tfmtrnn",
                          form="all 5,516 sentences, corp.tsv of the repository pgcool/TF-MTRNN"),
    "ade-crone": Source(_ADE, {"overlap": "keep-longer"}, "ade"),
    "ade-giorgi": Source(("ade/joint-ner-and-re.train.tsv", "joint-ner-and-re.train.tsv"), format="giorgi", lenient=True,
                         form="the authors' own file, of the repository bowang-lab/joint-ner-and-re"),
    "ace04": Source(_ACE04, folds=("cv0", "cv1", "cv2", "cv3", "cv4")),
    "ace04-all": Source(_ACE04),
    "ace05": Source(_ACE05, {"splits": "ace05"}),
    "i2b2": Source(("i2b2", "i2b2_2010", "i2b2-2010"), {"splits": "none", "overlap": "keep-longer"}, "i2b2", lenient=True),
}
