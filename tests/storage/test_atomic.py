"""Files and folders are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conjoin.errors import ModelError
from conjoin.storage.atomic import atomic_file, atomic_folder, make_folder, write_text


def test_a_file_appears_only_when_its_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(KeyError), atomic_file(path) as temporary:
        temporary.write_text("tw")
        raise KeyError
    assert path.read_text() == "one"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole_or_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.mkdir()
    for content in ("one", "two"):
        with atomic_folder(path, replaces=("mine",)) as temporary:
            (temporary / "mine").write_text(content)
    assert (path / "mine").read_text() == "two"
    with pytest.raises(KeyError), atomic_folder(path, replaces=("mine",)) as temporary:
        (temporary / "mine").write_text("three")
        raise KeyError
    assert (path / "mine").read_text() == "two"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("replaces", [(), ("a.json", "b.json")])
def test_only_a_folder_of_the_same_kind_is_replaced(replaces: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "work"
    path.mkdir()
    (path / "thesis.tex").write_text("years of work")
    (path / "a.json").write_text("{}")
    with pytest.raises(ModelError, match="not replaced; give a new name or an empty folder"), \
            atomic_folder(path, replaces=replaces):
        raise KeyError
    with pytest.raises(ModelError, match=r"thesis\.tex: is a file, where a folder"), atomic_folder(path / "thesis.tex"):
        raise KeyError
    assert (path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("name", [".", "..", "/", ""])
def test_the_working_folder_is_not_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="is the working folder or one above it"), atomic_folder(Path(name)):
        raise KeyError


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with atomic_folder(tmp_path / "link") as temporary:
        (temporary / "new").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "new").read_text() == "new"


def test_the_old_folder_is_put_back_when_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    with atomic_folder(path) as temporary:
        (temporary / "old").write_text("old")
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".part"):
            raise PermissionError(13, "no", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(PermissionError), atomic_folder(path, replaces=("old",)) as temporary:
        (temporary / "new").write_text("new")
    assert [file.name for file in path.iterdir()] == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_device_is_written_to_and_never_replaced() -> None:
    before = Path(os.devnull).stat().st_mode
    write_text(Path(os.devnull), "gone")
    assert Path(os.devnull).stat().st_mode == before


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("one")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    write_text(tmp_path / "link.txt", "two")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "two"


def test_what_stands_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as caught:
        make_folder(tmp_path / "file" / "a" / "b")
    assert caught.value.filename == str(tmp_path / "file")
    with pytest.raises(IsADirectoryError), atomic_file(tmp_path):
        raise KeyError
