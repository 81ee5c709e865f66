"""Vectors on disk: whole, shared, bounded, and never wrong."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from conjoin.modeling.embedders.feature_cache import RECORD, FeatureCache, FeatureFile, _readable
from conjoin.storage.cache import cache_folder

SHAPE = (2, 3)
WORD_BYTES = 2 * 3 * 2


def text(number: int) -> list[str]:
    return [f"w{number}"] * (1 + number % 4)


def rows(number: int) -> np.ndarray:
    return np.full((1 + number % 4, *SHAPE), number, dtype=np.float16)


def opened(folder: Path, *, limit: int = 10**9, name: str = "a") -> FeatureFile:
    return FeatureCache(folder, limit=limit).open(name, SHAPE)


def fill(file: FeatureFile, numbers: range) -> None:
    file.add([text(n) for n in numbers], [rows(n) for n in numbers])


def holds(file: FeatureFile, number: int) -> bool:
    found = file.get(text(number))
    if found is None:
        return False
    np.testing.assert_array_equal(found, rows(number))
    return True


def test_what_was_added_is_found_by_this_and_by_later_files(tmp_path: Path) -> None:
    file = opened(tmp_path)
    assert not holds(file, 1)
    fill(file, range(10))
    fill(file, range(5, 12))
    for reader in (file, opened(tmp_path)):
        assert all(holds(reader, n) for n in range(12))
        assert not holds(reader, 12)
    size = (tmp_path / "features/a/vectors.bin").stat().st_size
    assert size == sum(len(text(n)) for n in range(12)) * WORD_BYTES, "nothing is kept twice"
    assert not holds(opened(tmp_path, name="b"), 1), "another encoder's vectors are others"


def test_words_are_told_apart_from_joined_words(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.add([["a b"]], [rows(0)])
    assert file.get(["a", "b"]) is None
    nothing = file.get([])
    assert nothing is not None and nothing.shape == (0, *SHAPE)


def test_two_open_files_see_what_the_other_writes(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    fill(first, range(3))
    fill(second, range(3, 6))
    fill(first, range(6, 9))
    assert all(holds(file, n) for file in (first, second) for n in range(9))


def test_bytes_that_a_killed_writer_left_are_overwritten(tmp_path: Path) -> None:
    fill(opened(tmp_path), range(3))
    folder = tmp_path / "features/a"
    with (folder / "vectors.bin").open("ab") as data, (folder / "index.bin").open("ab") as index:
        data.write(b"garbage" * 50)
        index.write(b"x" * (RECORD - 5))
    file = opened(tmp_path)
    assert all(holds(file, n) for n in range(3))
    fill(file, range(3, 6))
    again = opened(tmp_path)
    assert all(holds(again, n) for n in range(6))
    assert (folder / "index.bin").stat().st_size == 6 * RECORD


@pytest.mark.parametrize("part", ["vectors.bin", "index.bin"])
def test_damaged_bytes_count_as_absent(tmp_path: Path, part: str) -> None:
    fill(opened(tmp_path), range(4))
    path = tmp_path / "features/a" / part
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)
    file = opened(tmp_path)
    found = [holds(file, n) for n in range(4)]
    assert not all(found)
    fill(file, range(4))
    assert all(holds(file, n) for n in range(4))
    assert all(holds(opened(tmp_path), n) for n in range(4))


def test_a_truncated_file_of_vectors_counts_as_absent(tmp_path: Path) -> None:
    fill(opened(tmp_path), range(4))
    path = tmp_path / "features/a/vectors.bin"
    path.write_bytes(path.read_bytes()[:-1])
    file = opened(tmp_path)
    assert [holds(file, n) for n in range(4)] == [True, True, True, False]


def test_an_emptied_cache_is_begun_anew(tmp_path: Path) -> None:
    file = opened(tmp_path)
    fill(file, range(4))
    assert holds(file, 1)
    shutil.rmtree(tmp_path / "features/a")
    fill(opened(tmp_path), range(10, 14))
    fill(file, range(20, 23))
    for reader in (file, opened(tmp_path)):
        assert all(holds(reader, n) for n in (*range(10, 14), *range(20, 23)))
    assert not holds(opened(tmp_path), 1)


def test_a_new_index_under_the_old_inode_is_read_anew(tmp_path: Path) -> None:
    """A file system may give a new file the number of the one that was removed."""
    file, other = opened(tmp_path), opened(tmp_path, name="b")
    fill(file, range(4))
    fill(other, range(10, 20))
    for name in ("index.bin", "vectors.bin"):
        raw = (tmp_path / "features/b" / name).read_bytes()
        with (tmp_path / "features/a" / name).open("r+b") as old:
            old.write(raw)  # the inode stays
    fill(file, range(20, 23))
    for reader in (file, opened(tmp_path)):
        assert all(holds(reader, n) for n in (*range(10, 20), *range(20, 23)))


def test_the_limit_holds_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = opened(tmp_path, limit=200)
    with caplog.at_level(logging.WARNING, "conjoin"):
        for number in range(50):
            fill(file, range(number, number + 1))
    assert FeatureCache(tmp_path, limit=0).size() <= 200
    assert holds(file, 0) and not holds(file, 49)
    (record,) = caplog.records
    assert "is full (its limit of 0.0 MB is reached)" in record.getMessage()


def test_encoders_not_used_for_longest_make_room(tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        fill(opened(tmp_path, name=name), range(4))
        os.utime(tmp_path / "features" / name, (number, number))
    used = FeatureCache(tmp_path, limit=0).size()
    last = opened(tmp_path, name="d", limit=used + 10)
    fill(last, range(4))
    assert sorted(folder.name for folder in (tmp_path / "features").iterdir()) == ["b", "c", "d"]
    assert all(holds(last, n) for n in range(4))


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = opened(tmp_path)
    (tmp_path / "features/a/vectors.bin").mkdir()
    with caplog.at_level(logging.WARNING, "conjoin"):
        fill(file, range(3))
    assert not holds(file, 1)
    assert "is full" in caplog.text


def work(folder: Path, start: int) -> None:
    file = opened(folder)
    for number in range(start, start + 60, 3):
        fill(file, range(number, number + 3))
        assert holds(file, number)


@pytest.mark.processes
def test_processes_write_side_by_side(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(tmp_path, start)) for start in (0, 30, 45)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    file = opened(tmp_path)
    assert all(holds(file, n) for n in range(105))
    size = (tmp_path / "features/a/vectors.bin").stat().st_size
    assert size == sum(len(text(n)) for n in range(105)) * WORD_BYTES


WRITER = """
import sys
from pathlib import Path
import numpy as np
from conjoin.modeling.embedders.feature_cache import FeatureCache
file = FeatureCache(Path(sys.argv[1]), limit=10**9).open("a", (2, 3))
print("ready", flush=True)
for n in range(10**6):
    file.add([[f"w{n}"] * (1 + n % 4)], [np.full((1 + n % 4, 2, 3), n % 2000, dtype=np.float16)])
"""


@pytest.mark.processes
def test_a_writer_killed_at_any_moment_leaves_nothing_wrong(tmp_path: Path) -> None:
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.2)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        file = opened(tmp_path)
        found = 0
        while (vectors := file.get([f"w{found}"] * (1 + found % 4))) is not None:
            assert (vectors == np.float16(found % 2000)).all()
            found += 1
        assert found
        file.add([["after", "the", "kill"]], [rows(2)])
        again = opened(tmp_path).get(["after", "the", "kill"])
        assert again is not None and (again == 2).all()


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONJOIN_CACHE", "~/there")
    assert cache_folder() == Path.home() / "there"
    monkeypatch.delenv("CONJOIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/conjoin")


@pytest.mark.parametrize(("size", "said"), [(20 * 10**9, "20.0 GB"), (10**8, "0.1 GB"), (10**6, "1.0 MB")])
def test_a_limit_is_said_in_units_that_show_it(size: int, said: str) -> None:
    assert _readable(size) == said
