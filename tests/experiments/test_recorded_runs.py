"""The recorded runs under benchmarks/quality/runs are those of today's settings and data, so that they can be continued."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conjoin.config.presets import load_config, parse_config
from conjoin.experiments.experiment import EXPERIMENT, Experiment
from conjoin.experiments.folds import Folding, parts
from conjoin.experiments.reproduce import TABLES, Options
from conjoin.experiments.reproduce.run import row_experiment
from conjoin.readers import read_corpus

RUNS = Path(__file__).parents[2] / "benchmarks/quality/runs"
DATA = os.environ.get("CONJOIN_DATA")
on_real_data = pytest.mark.skipif(not DATA, reason="set CONJOIN_DATA to the folder of the corpora")


@pytest.mark.parametrize("file", sorted(RUNS.rglob(EXPERIMENT)), ids=lambda file: str(file.parent.relative_to(RUNS)))
def test_recorded_settings_are_read_as_they_are(file: Path) -> None:
    settings = json.loads(file.read_text())["config"]
    assert Experiment(parse_config(settings, str(file)), {}, file.parent).settings() == settings


def recorded(experiment: Experiment) -> str:
    value: str = json.loads((experiment.folder / EXPERIMENT).read_text())["fingerprint"]
    return value


@on_real_data
@pytest.mark.parametrize(("table", "options"), [
    ("giorgi2019-table2", Options(encoder="minilm", seeds=1, folds=2)),
    ("crone2020-table3", Options(encoder="minilm", seeds=2)),
])
def test_recorded_tables_can_be_continued(table: str, options: Options) -> None:
    for row in TABLES[table].rows:
        experiment = row_experiment(row, Path(str(DATA)), RUNS / table, options)
        assert experiment is not None
        assert experiment.fingerprint() == recorded(experiment), row.name


@on_real_data
def test_the_recorded_folds_of_ade_can_be_continued() -> None:
    corpus = read_corpus(Path(str(DATA)) / "ade/joint-ner-and-re.train.tsv", lenient=True)
    config = load_config("conjoin-base", ["training.epochs=8"])
    experiment = Experiment(config, parts(corpus, Folding(folds=10)), RUNS / "ade-ten-folds", lenient=True)
    assert experiment.fingerprint() == recorded(experiment)
