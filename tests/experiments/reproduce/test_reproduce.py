from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conjoin.config.presets import load_config
from conjoin.document import Document
from conjoin.errors import DataError, SettingError
from conjoin.experiments.reproduce import TABLES, Options, reproduce
from conjoin.experiments.reproduce.render import latex, markdown
from conjoin.experiments.reproduce.run import same_size, settings_of
from conjoin.experiments.reproduce.sources import SOURCES
from conjoin.readers import write_documents

DATA = Path(__file__).parents[2] / "data"
SMALL = ("stack.size=8", "characters.size=4", "entities.size=8", "relations.scorer_size=8", "relations.size=16")


@pytest.fixture
def corpora(documents: list[Document], tmp_path: Path) -> Path:
    for split in ("train", "dev", "test"):
        write_documents(documents, tmp_path / f"corpora/conll04/{split}.jsonl", "jsonl")
    return tmp_path / "corpora"


def options_of(encoder: str, **more: Any) -> Options:
    return Options(encoder=encoder, settings=SMALL, quick=True, cache_limit=0, samples=50, **more)


def test_layers_are_added_until_the_size_is_that_of_the_full_model(
    encoder: str, documents: list[Document], corpora: Path, tmp_path: Path
) -> None:
    rows: list[str] = []
    made = reproduce("crone2020-table3", corpora, tmp_path / "out", options_of(encoder),
                     listen=lambda row, result: rows.append(row))
    assert rows == [row["name"] for row in made["rows"]]
    assert [row["layers"] for row in made["rows"]] == [
        {"shared": 1, "entities": 1, "relations": 2}, {"shared": 2, "entities": 0, "relations": 2},
        {"shared": 3, "entities": 1, "relations": 0}, {"shared": 4, "entities": 0, "relations": 0},
    ]
    assert len({row["trained_parameters"] for row in made["rows"]}) == 1
    assert {(item["second"], item["task"]) for item in made["significance"]} == {
        (row["name"], task) for row in made["rows"][1:] for task in ("entities", "relations")
    }
    text = markdown(made)
    assert "| full | 87.00 | " in text
    assert "- encoder.frozen = True (paper: False)" in text
    assert "stack.shared" not in text
    again = reproduce("crone2020-table3", corpora, tmp_path / "out", options_of(encoder))
    assert again == made


def test_equal_size_is_computed(encoder: str, documents: list[Document]) -> None:
    row = TABLES["crone2020-table3"].rows[3]
    full = settings_of(TABLES["crone2020-table3"].rows[0], options_of(encoder))
    deeper = full.model_copy(update={"stack": full.stack.model_copy(update={"relations": 4})})
    assert same_size(settings_of(row, options_of(encoder)), deeper, documents).stack.shared == 6


def test_folds_are_cut_down_and_a_missing_corpus_leaves_its_row_empty(encoder: str, corpora: Path, tmp_path: Path) -> None:
    made = reproduce("giorgi2019-table1", corpora, tmp_path / "out", options_of(encoder))
    by_name = {row["name"]: row for row in made["rows"]}
    for name in ("ACE04", "ACE05", "ADE", "i2b2"):
        assert by_name[name]["ours"] == {}
        assert "the corpus is not under" in by_name[name]["missing"]
    assert set(by_name["CoNLL04"]["ours"]) == set(made["columns"])
    assert "1 of 3 seeds" in by_name["CoNLL04"]["deviations"]
    assert f"- ACE05: empty; the corpus is not under {corpora}: looked for ace05" in markdown(made)

    asked = options_of(encoder, rows=("full", "(e) no bilinear term"))
    table2 = reproduce("giorgi2019-table2", corpora, tmp_path / "out", asked)
    assert [bool(row["ours"]) for row in table2["rows"]] == [True, False, False, False, False, True]
    assert table2["rows"][0]["runs"] == {"folds": 2, "seeds": 1}
    assert "2 of 5 folds" in table2["rows"][0]["deviations"]
    assert "(a) no entity pre-training: empty; not asked for" in markdown(table2)


def test_statistics(corpora: Path, tmp_path: Path) -> None:
    made = reproduce("giorgi2019-a1", corpora, tmp_path)
    assert "this table needs all 5,516 sentences, corp.tsv" in str(made["rows"])
    assert all(row["missing"] for row in made["rows"])  # conll04 in another form than the whole corpus is not counted
    assert "| CoNLL04 |" in markdown(made)
    shutil.copytree(DATA / "tfmtrnn", corpora / "conll04/tf_mtrnn")
    (row,) = [row for row in reproduce("giorgi2019-a1", corpora, tmp_path)["rows"] if not row["missing"]]
    assert (row["name"], sum(item["ours"] for item in row["types"]) > 0) == ("CoNLL04", True)


def test_latex_has_a_cell_for_every_column(encoder: str, corpora: Path, tmp_path: Path) -> None:
    made = reproduce("giorgi2019-table2", corpora, tmp_path, options_of(encoder, rows=("full",)))
    lines = latex(made).splitlines()
    (columns,) = [line.removeprefix(r"\begin{tabular}{").removesuffix("}") for line in lines if r"\begin" in line]
    cells = [line.count(" & ") + 1 for line in lines if line.endswith(r"\\")]
    assert set(cells) == {len(columns)}
    assert r"86.32 $\pm$ 0.20" in latex(made)


@pytest.mark.parametrize(("name", "options", "wrong"), [
    ("crone2020-table4", Options(), r"unknown table 'crone2020-table4'"),
    ("giorgi2019-table2", Options(rows=("(f)",)), r"unknown row '\(f\)'"),
])
def test_what_is_no_table_or_row(corpora: Path, tmp_path: Path, name: str, options: Options, wrong: str) -> None:
    with pytest.raises(SettingError, match=wrong):
        reproduce(name, corpora, tmp_path, options)


def test_a_data_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone: is no folder; name the one that holds the corpora"):
        reproduce("giorgi2019-a1", tmp_path / "gone", tmp_path)


def test_the_tables_agree_with_the_presets() -> None:
    """The figures of a paper stand in its tables here and in the presets."""
    for table in TABLES.values():
        for row in table.rows:
            assert row.corpus in SOURCES
            config = load_config(row.preset, row.overrides)
            assert config.paper is not None
            if row.overrides or table.name == "giorgi2019-table2":
                continue
            for key, figure in config.paper.reported.items():
                columns = (key, f"{key} micro", f"{key} macro", "gold relations micro")
                column = next(column for column in columns if column in row.reported)
                assert row.reported[column] == figure, (row.name, key)


def test_json_holds_it_all(encoder: str, corpora: Path, tmp_path: Path) -> None:
    made = reproduce("giorgi2019-table2", corpora, tmp_path, options_of(encoder, rows=("full",)))
    assert json.loads(json.dumps(made)) == made
