"""Annotated files in and out: open, detect, read and write; the `FORMATS` table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

from conjoin.document import SPLITS, Corpus, Document, Problem
from conjoin.errors import DataError, SettingError, unknown_name
from conjoin.readers.format import Format
from conjoin.readers.formats import (
    ace,
    ade,
    bekoulis,
    brat,
    crossre,
    docbin,
    doccano,
    dygie,
    giorgi,
    huggingface,
    i2b2,
    jsonl,
    labelstudio,
    prodigy,
    pubtator,
    spert,
    tfmtrnn,
)
from conjoin.readers.lines import first_characters
from conjoin.readers.problems import Problems
from conjoin.readers.splits import ALL, split_of, split_order
from conjoin.readers.writing import write_files

# What is asked first whether a file is its own stands first.
FORMATS: Mapping[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (prodigy, labelstudio, doccano, jsonl, bekoulis, spert, tfmtrnn, giorgi, ade, ace, i2b2, brat,
                   dygie, crossre, pubtator, docbin, huggingface)
}

SAMPLE = "sample"  # the name of the built-in corpus, unless there is a file or folder of that name
SAMPLE_FOLDER = Path(str(resources.files("conjoin"))) / "corpora" / "sample"

# Endings that no other file has: what is wrong with such a file is best said by the reader of its format.
_TELLING = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "spert", ".rel": "ade", ".sgm": "ace", ".con": "i2b2",
            ".ann": "brat", ".spacy": "docbin", ".parquet": "huggingface"}


def read_corpus(
    path: str | Path,
    format: str | None = None,
    *,
    lenient: bool = False,
    options: Mapping[str, str] | None = None,
) -> Corpus:
    """Read a file or a folder of files into splits.

    A file named train, dev (or valid, validation) or test becomes that split, any other becomes `all`.

    Args:
        path: A file or folder; or "sample", the corpus that comes with conjoin.
        format: Name of the format (a key of `FORMATS`); without it the format is detected from the content.
        lenient: Repair what is wrong and list it in `Corpus.problems`.
        options: Values for options of the format (`FORMATS[name].options`).

    Raises:
        DataError: At the first error in the files, unless `lenient`.
        SettingError: For an unknown format or option.

    Example:
        >>> read_corpus("sample")
        Corpus(train=435, dev=75, test=140, format='jsonl')
    """
    return load(path, Problems(lenient=lenient), format, options=options)


def load(
    path: str | Path,
    problems: Problems,
    format: str | None = None,
    *,
    options: Mapping[str, str] | None = None,
) -> Corpus:
    """`read_corpus` with a collector of one's own."""
    chosen, streams = open_corpus(path, problems, format, options=options)
    splits = {split: tuple(documents) for split, documents in streams.items()}
    return Corpus(splits, tuple(problems.entries), chosen.name)


def open_corpus(
    path: str | Path,
    problems: Problems,
    format: str | None = None,
    *,
    options: Mapping[str, str] | None = None,
) -> tuple[Format, dict[str, Iterable[Document]]]:
    """The format of a file or folder, and for each split an iterator that reads its documents.

    Arguments and errors are those of `read_corpus`.
    """
    path = SAMPLE_FOLDER if str(path) == SAMPLE and not Path(path).exists() else Path(path)
    chosen = _format(path, format)
    settled = _settled(chosen, options or {})
    if path.is_dir():
        _note_others(path, chosen, problems)
    if path.is_dir() and chosen.read_folder and (chosen.claims is None or chosen.claims(path)):
        found: Mapping[str, Iterable[Document]] = chosen.read_folder(path, problems, settled)
    elif path.is_dir():
        found = {
            split: chain.from_iterable(chosen.read(file, problems, settled) for file in files)
            for split, files in _split_files(path, chosen, problems).items()
        }
    else:
        found = {split_of(path) or ALL: chosen.read(path, problems, settled)}
    return chosen, {split: found[split] for split in sorted(found, key=split_order)}


def from_datasets(data: Any, *, lenient: bool = False, options: Mapping[str, str] | None = None) -> Corpus:
    """The corpus in a `Dataset` or `DatasetDict` of Hugging Face's `datasets`, or in rows (dictionaries) by split.

    Layouts, options and errors are those of the format `huggingface`; a split `validation` becomes dev.
    """
    chosen, problems = FORMATS[huggingface.FORMAT.name], Problems(lenient=lenient)
    found = huggingface.splits_of(data, Path("dataset"), problems, _settled(chosen, options or {}))
    splits = {split: tuple(found[split]) for split in sorted(found, key=split_order)}
    return Corpus(splits, tuple(problems.entries), chosen.name)


def stream_documents(
    path: str | Path,
    problems: Problems,
    format: str | None = None,
    *,
    options: Mapping[str, str] | None = None,
) -> Iterator[Document]:
    """The documents of one file, one after the other; errors as in `read_corpus`."""
    path = Path(path)
    chosen = _format(path, format)
    return chosen.read(path, problems, _settled(chosen, options or {}))


def read_documents(
    path: str | Path,
    format: str | None = None,
    *,
    lenient: bool = False,
    options: Mapping[str, str] | None = None,
) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """The documents of one file and what was wrong or worth knowing; errors as in `read_corpus`."""
    problems = Problems(lenient=lenient)
    documents = tuple(stream_documents(path, problems, format, options=options))
    return documents, tuple(problems.entries)


def write_documents(
    documents: Iterable[Document], path: str | Path, format: str, *, lenient: bool = False
) -> tuple[Problem, ...]:
    """Write one file (or folder, in a format of many files), whole or not at all; returns what the format could not hold.

    Raises `DataError` when an annotation cannot be held (lenient: it is left out and listed).
    """
    problems = Problems(lenient=lenient, activity="writing")
    write_files({Path(path): documents}, _writer(format), problems)
    return tuple(problems.entries)


def write_corpus(corpus: Corpus, folder: str | Path, format: str, *, lenient: bool = False) -> tuple[Problem, ...]:
    """Write one file or folder per split (`train.jsonl`), all or none; otherwise as `write_documents`."""
    problems = Problems(lenient=lenient, activity="writing")
    chosen = _writer(format)
    files = {target_of(Path(folder), split, chosen): documents for split, documents in corpus.splits.items()}
    write_files(files, chosen, problems)
    return tuple(problems.entries)


def target_of(folder: Path, split: str, format: Format) -> Path:
    """Where a split is written inside a folder."""
    return folder / (split if format.write_folder else f"{split}{format.endings[0]}")


def detect(path: str | Path) -> str:
    """The name of the format that a file, or the files of a folder, are written in, judged by their content.

    Raises `DataError` naming the known formats when none fits.
    """
    path = Path(path)
    if not path.is_dir():
        return _detect_file(path)
    forms = _forms(path)
    if len(forms) > 1:
        examples = ", ".join(f"{name}: {forms[name].relative_to(path)}" for name in sorted(forms))
        raise DataError(f"{path}: the folder holds several formats ({examples}); name one with --format (format=), or a "
                        "folder in it")
    if not forms:
        raise DataError(f"{path}: no file in the folder has a known format; {_inner(path) or _known()}")
    return next(iter(forms))


def _forms(folder: Path) -> dict[str, Path]:
    """The formats of a folder: those that claim it with the folders in it, and those of its files, each with one file."""
    claiming = _claiming(folder)
    forms = dict(claiming)
    for file in _files(folder):
        name = _sniffed(file)
        if name and not any(_paired(file, FORMATS[other]) for other in claiming):
            forms.setdefault(name, file)
    if not forms:
        named = [file for file in _files(folder) if split_of(file) and file.suffix.lower() in _TELLING]
        forms = {_TELLING[file.suffix.lower()]: file for file in reversed(named)}
    return forms


def _claiming(folder: Path) -> dict[str, Path]:
    """The formats that claim a folder, each with one file of it."""
    return {
        format.name: next((file for ending in format.endings for file in sorted(folder.rglob(f"*{ending}"))), folder)
        for format in FORMATS.values() if format.claims and format.claims(folder)
    }


def _paired(file: Path, format: Format) -> bool:
    """Whether the file belongs to one of this format, by its name."""
    return any(file.with_suffix(ending).is_file() for ending in format.endings)


def _detect_file(path: Path) -> str:
    head = first_characters(path)
    if not head.strip():
        raise DataError(f"{path}: the file is empty")
    if re.fullmatch(r"\s*\[\s*\]\s*", head):
        raise DataError(f"{path}: holds no documents; see that it is the right file, an empty list may be of any format")
    name = _sniffed(path) or _TELLING.get(path.suffix.lower())
    if path.suffix.lower() == ".txt" and path.with_suffix(".ann").is_file():
        name = brat.FORMAT.name
    if name is None:
        raise DataError(f"{path}: the format is not recognised; {_known()}")
    return name


def _sniffed(path: Path) -> str | None:
    head = first_characters(path)
    return next((format.name for format in FORMATS.values() if format.sniff(head)), None)


def _inner(folder: Path) -> str:
    """The folders in a folder that hold files of annotations, as a remedy; empty when there are none."""
    inner = [str(inside) for inside in sorted(folder.iterdir()) if inside.is_dir() and _files(inside)]
    return f"name one of the folders in it: {', '.join(inner)}" if inner else ""


def _known() -> str:
    return f"name it with --format (format=), one of {', '.join(FORMATS)}"


def _format(path: Path, name: str | None) -> Format:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if name is not None and name not in FORMATS:
        raise SettingError(unknown_name("format", name, FORMATS))
    return FORMATS[detect(path) if name is None else name]


def _writer(name: str) -> Format:
    writable = [format.name for format in FORMATS.values() if format.writable]
    if name not in FORMATS:
        raise SettingError(unknown_name("format", name, writable))
    if not FORMATS[name].writable:
        raise SettingError(f"format '{name}' is read only; choose {', '.join(writable)}")
    return FORMATS[name]


def _settled(format: Format, options: Mapping[str, str]) -> dict[str, str]:
    """The options with the defaults filled in."""
    for name, value in options.items():
        if name not in format.options:
            raise SettingError(unknown_name(f"option of format {format.name}", name, format.options))
        if value not in format.options[name]:
            raise SettingError(unknown_name(f"value of option {name}", value, format.options[name]))
    return {name: values[0] for name, values in format.options.items()} | dict(options)


def _files(folder: Path) -> list[Path]:
    endings = {ending for format in FORMATS.values() for ending in format.endings}
    return [file for file in sorted(folder.iterdir())
            if file.is_file() and file.suffix.lower() in endings and not file.name.startswith((".", "README"))]


def _note_others(folder: Path, chosen: Format, problems: Problems) -> None:
    """Note the files and folders of other formats, which stay unread; files that could be of the format are left to it."""
    for file in _files(folder):
        name = None if file.suffix.lower() in chosen.endings or chosen.sniff(first_characters(file)) else _sniffed(file)
        if name and not _paired(file, chosen):
            problems.note(file, None, "file-not-read", f"the file is {name}, not {chosen.name}, and is left out", loss=True)
    deep = chosen.claims is not None and chosen.claims(folder)
    for inside in sorted(folder.iterdir()):
        if inside.is_dir() and not inside.name.startswith("."):
            names = _names_inside(inside)
            if names and not (deep and chosen.name in names):
                problems.note(inside, None, "file-not-read", f"the folder holds {' and '.join(sorted(names))} and is "
                              "left out: only the files beside it are read; give it on its own to read it", loss=True)


def _names_inside(folder: Path) -> set[str]:
    """The formats of a folder in a folder. Texts are looked at only where their names say a split: they may be many."""
    files = [file for file in _files(folder) if file.suffix.lower() != ".txt" or split_of(file)]
    return set(_claiming(folder)) | {name for name in map(_sniffed, files) if name}


def _split_files(folder: Path, format: Format, problems: Problems) -> dict[str, list[Path]]:
    """Split → its files. What does not look like the format, or says no split where others do, is left out with a note."""
    alike = [file for file in _files(folder)
             if file.suffix.lower() in format.endings or format.sniff(first_characters(file))]
    files = [file for file in alike if split_of(file) or format.sniff(first_characters(file))]
    if not files:
        raise DataError(f"{folder}: no file in the folder is of format {format.name} ({format.description})")
    for file in alike:
        if file not in files:
            problems.note(file, None, "file-not-read", f"its content does not look like {format.name}; the file is left "
                          "out", loss=True)
    splits: dict[str, list[Path]] = {}
    for file in files:
        splits.setdefault(split_of(file) or ALL, []).append(file)
    for split in SPLITS:
        if len(splits.get(split, ())) > 1:
            raise DataError(f"{folder}: {splits[split][0].name} and {splits[split][1].name} both say {split}; "
                            "give one file, or put them into folders of their own")
    if len(splits) > 1:
        for file in splits.pop(ALL, ()):
            problems.note(file, None, "file-not-read", "the name says no split while others in the folder do; "
                          "the file is left out", loss=True)
    return splits
