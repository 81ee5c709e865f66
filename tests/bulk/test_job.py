"""Jobs on this machine: poisonous documents, restarts, what is refused."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

import doubles
from conjoin.annotator import Thresholds
from conjoin.bulk.job import Job, JobStarted, local_engine, run
from conjoin.bulk.partition import MAX_CRASHES, Partition, PartitionResult, extract_rows, from_json, to_json
from conjoin.bulk.rows import RowFormat
from conjoin.errors import DataError, ModelError, SettingError, WorkerError
from conjoin.text.sources import Columns, TextRecord


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """What looks like a model; the doubles do its work."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "schema.json"):
        (folder / name).write_text("{}")
    return folder


def write(path: Path, texts: list[Any]) -> Path:
    path.write_text("".join(json.dumps({"id": f"d{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
    return path


def done(job: Job, workers: int = 1) -> list[PartitionResult]:
    return [event for event in run(job, local_engine(workers)) if isinstance(event, PartitionResult)]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("part-*")) for row in doubles.read_rows(path)]


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


@pytest.mark.processes
def test_partitions_are_written_in_order_whatever_the_number_of_processes(model: Path, tmp_path: Path) -> None:
    texts = ["word " * random.Random(number).randint(0, 40) for number in range(95)]
    source = write(tmp_path / "in.jsonl", texts)
    written = []
    for workers in (1, 3):
        job = Job((source,), model, tmp_path / f"out{workers}", partition_size=10, load=doubles.load)
        assert [event.number for event in done(job, workers)] == list(range(10))
        assert [row["doc_id"] for row in rows(job.folder)] == [f"d{number}" for number in range(95)]
        written.append(parts(job.folder))
    assert written[0] == written[1]
    manifest = json.loads(written[0]["manifest.json"])
    assert (manifest["finished"], manifest["partitions"], manifest["documents"]) == (True, 10, 95)


def test_poisonous_documents_are_rows_with_errors(model: Path, tmp_path: Path) -> None:
    """One makes the model fail, two end the process, some are no text; the others come out as without them."""
    texts: list[Any] = [f"word {number}" for number in range(40)]
    for number, poison in ((3, "raise"), (13, "die here"), (14, "die there"), (20, 5), (21, None), (33, "raise")):
        texts[number] = poison
    job = Job((write(tmp_path / "in.jsonl", texts),), model, tmp_path / "out", keep_text=True, partition_size=10,
              load=doubles.load)
    events = done(job, 2)
    assert [event.errors for event in events] == [1, 2, 2, 1]
    told = {row["doc_id"]: row["error"] for row in rows(job.folder) if row["error"]}
    died = "the process ended when it read this document, and again when it read it alone"
    assert told == {"d3": "RuntimeError: the model stumbles", "d13": died, "d14": died,
                    "d20": "'text' is no string but of type int", "d21": "'text' is missing or null",
                    "d33": "RuntimeError: the model stumbles"}
    for row in rows(job.folder):
        assert (row["error"] is None) == (len(row["entities"]) == 2)
    assert rows(job.folder)[13]["text"] == "die here"


@pytest.mark.processes
def test_a_process_that_is_killed_from_outside_costs_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    texts = ["one", "once", "two"]
    job = Job((write(tmp_path / "in.jsonl", texts),), model, tmp_path / "out", load=doubles.load_late)
    assert done(job) == [PartitionResult(0, 3, 0, 3, 0, (tmp_path / "in.jsonl").stat().st_size)]
    assert (tmp_path / "mark").exists()


def test_too_many_crashes_are_not_the_fault_of_documents(model: Path, tmp_path: Path) -> None:
    partition = Partition(4, tuple(TextRecord(f"d{number}", "a") for number in range(50)))
    partition = partition.after_crash(("chunk", 0))
    for number in range(MAX_CRASHES - 1):
        partition = partition.after_crash(("document", number))
    assert (len(partition.split_chunks), len(partition.crashing)) == (1, MAX_CRASHES - 1)
    with pytest.raises(WorkerError, match=r"partition 4: 20 processes crashed over it, the last at document 'd30'"):
        partition.after_crash(("document", 30))
    job = Job((write(tmp_path / "in.jsonl", ["a"]),), model, tmp_path / "out", load=doubles.load_never)
    with pytest.raises(WorkerError, match="while it loaded the model"):
        done(job)


def test_who_is_read_with_whom_does_not_depend_on_crashing_documents() -> None:
    seen: list[int] = []

    class Counting(doubles.FirstWords):
        def extract(self, texts):  # type: ignore[no-untyped-def]
            seen.append(len(texts))
            return super().extract(texts)

    raws = tuple(TextRecord(str(number), "x" * 60_000) for number in range(10))
    places: list[object] = []
    extract_rows(Counting(), Partition(0, raws), places.append, keep_text=False)
    assert (seen, places) == ([4, 4, 2], [("chunk", 0), ("chunk", 1), ("chunk", 2)])
    seen.clear()
    partition = Partition(0, raws, split_chunks=frozenset({0}), crashing=frozenset({1}))
    told = extract_rows(Counting(), partition, places.append, keep_text=False)
    assert seen == [1, 1, 1, 4, 2]
    assert [row["doc_id"] for row in told if row["error"]] == ["1"]
    assert from_json(json.loads(json.dumps(to_json(partition)))) == Partition(0, raws)


def test_a_job_goes_on_where_it_was(model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [f"word {number}" for number in range(60)])
    whole = Job((source,), model, tmp_path / "whole", partition_size=7, load=doubles.load)
    done(whole)
    job = Job((source,), model, tmp_path / "out", partition_size=7, load=doubles.load)
    events = run(job, local_engine(2))
    assert isinstance(next(events), JobStarted)
    next(events)
    next(events)
    events.close()  # type: ignore[attr-defined]
    (job.folder / ".part-00000005.jsonl.99.part").write_text("of a process that was killed")
    before = {path.name for path in job.folder.glob("part-*")}
    again = done(job)
    assert {f"part-{event.number:08d}.jsonl" for event in again if event.skipped} == before
    assert sum(event.documents for event in again) == 60
    assert parts(job.folder) == parts(whole.folder)
    (started,) = run(job, local_engine())
    assert isinstance(started, JobStarted)
    assert started.finished


def test_another_job_is_refused_in_the_same_folder(model: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ["a b"])
    job = Job((source,), model, tmp_path / "out", load=doubles.load)
    done(job)
    for other, told in (
        (Job((source,), model, job.folder, keep_text=True, load=doubles.load), "keep text differ"),
        (Job((source,), model, job.folder, partition_size=3, load=doubles.load), "partition documents differ"),
        (Job((source,), model, job.folder, thresholds=Thresholds(relations=0.5), load=doubles.load),
         "relation threshold differ"),
    ):
        with pytest.raises(DataError, match=rf"out: holds another job \({told}\)"):
            done(other)
    os.utime(source, ns=(0, 0))
    with pytest.raises(DataError, match=r"another job \(input differ\)"):
        done(job)
    (model / "weights.safetensors").write_text("other")
    with pytest.raises(DataError, match=r"another job \(model and input differ\)"):
        done(job)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match="full: holds other files"):
        done(Job((source,), model, tmp_path / "full", load=doubles.load))
    with pytest.raises(ModelError, match="no such folder"):
        done(Job((source,), tmp_path / "no", tmp_path / "new", load=doubles.load))
    (tmp_path / "a.pdf").write_text("")
    for other in (tmp_path / "a.pdf", Path("-")):
        with pytest.raises(DataError, match=r"is no .txt, .jsonl, .csv or .parquet file"):
            done(Job((other,), model, tmp_path / "new", load=doubles.load))
    with pytest.raises(SettingError, match="partitions of 0 documents"):
        Job((source,), model, tmp_path / "new", partition_size=0)


def test_two_runs_do_not_write_into_one_folder(model: Path, tmp_path: Path) -> None:
    job = Job((write(tmp_path / "in.jsonl", ["a"]),), model, tmp_path / "out", load=doubles.load)
    events = run(job, local_engine())
    next(events)
    with pytest.raises(DataError, match="another run is writing there"):
        done(job)
    events.close()  # type: ignore[attr-defined]


def test_small_and_large(model: Path, tmp_path: Path) -> None:
    """An empty input, a document of millions of characters, ids that come twice, and output inside the input's folder."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text("")
    job = Job((folder,), model, folder / "out", load=doubles.load)
    assert done(job) == []
    assert json.loads((job.folder / "manifest.json").read_text())["documents"] == 0
    (folder / "b.txt").write_text("word " * 1_000_000)
    (folder / "c.jsonl").write_text('{"id": "b.txt", "text": "a"}\n{"id": "b.txt", "text": "c"}\n')
    job = Job((folder,), model, folder / "out2", load=doubles.load)
    done(job)
    assert [row["doc_id"] for row in rows(job.folder)] == ["b.txt", "b.txt", "b.txt"]


def test_parquet_holds_the_same_rows(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    source = write(tmp_path / "in.jsonl", ["a b", "raise", "", "\ud83d\ude00 b"])
    made = []
    for format in RowFormat:
        job = Job((source,), model, tmp_path / format.value, format, Columns(), keep_text=True, load=doubles.load)
        done(job)
        made.append(rows(job.folder))
    assert made[0] == made[1]
