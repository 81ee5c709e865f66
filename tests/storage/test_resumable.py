"""Files that grow: kept when a block fails, gone on with after the last whole line, refused where something differs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conjoin.errors import DataError
from conjoin.storage.resumable import known_lines, resumable_file

PLAN = {"model": "a"}


def test_it_takes_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    with resumable_file(path, plan=PLAN, resume=False) as file:
        file.write('{"é": "\ud83d"}')
        assert not path.exists()
        assert (path.parent / "a.jsonl.part").read_bytes() == '{"é": "\\ud83d"}\n'.encode()
    assert [file.name for file in path.parent.iterdir()] == ["a.jsonl"]
    with resumable_file(path, plan=PLAN, resume=True) as file:  # nothing is left of it: from the beginning
        assert file.known == 0
    assert path.read_bytes() == b""


def test_it_goes_on_after_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(KeyError), resumable_file(path, plan=PLAN, resume=False) as file:
        file.write("1")
        file.write("2")
        raise KeyError
    with (tmp_path / "a.jsonl.part").open("a") as part:
        part.write("[3, ")  # the process was killed while it wrote
    with pytest.raises(DataError, match=r"a.jsonl.part: holds 2 results of a run that was stopped; add --resume"), \
            resumable_file(path, plan=PLAN, resume=False):
        pass
    with pytest.raises(DataError, match=r"a\.jsonl\.part: was started with other values of model"), \
            resumable_file(path, plan={"model": "b"}, resume=True):
        pass
    with resumable_file(path, plan=PLAN, resume=True) as file:
        assert file.known == 2
        assert list(known_lines(path, 2)) == [1, 2]
        file.write("3")
    assert path.read_text() == "1\n2\n3\n"
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_what_finds_no_room_is_an_error_and_keeps_its_name(tmp_path: Path) -> None:
    code = ("import resource, signal, sys; from pathlib import Path; from conjoin.storage.resumable import resumable_file\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "with resumable_file(Path(sys.argv[1]), plan={}, resume=False) as file:\n"
            "    for _ in range(10): file.write('x' * 104)")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.jsonl")], capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert not (tmp_path / "a.jsonl").exists()
    assert len((tmp_path / "a.jsonl.part").read_bytes()) <= 1000


def test_two_runs_do_not_write_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with resumable_file(path, plan=PLAN, resume=False) as file:
        file.write("1")
        again = resumable_file(path, plan=PLAN, resume=True)
        with pytest.raises(DataError, match="another run"), again:
            pass
    assert path.read_text() == "1\n"


def test_nothing_stays_where_nothing_was_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError), resumable_file(tmp_path / "a.jsonl", plan=PLAN, resume=False):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
