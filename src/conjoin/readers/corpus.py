"""Reading and writing of annotated files: the table of formats, detection, corpora and single files."""

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

# Detection takes the first format whose `sniff` recognises a file: strict ones stand before loose ones.
FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (prodigy, labelstudio, doccano, jsonl, bekoulis, spert, tfmtrnn, giorgi, ade, ace, i2b2, brat,
                   dygie, crossre, pubtator, docbin, huggingface)
}

SAMPLE = "sample"  # the name of the built-in corpus, unless there is a file or folder of that name
SAMPLE_FOLDER = Path(str(resources.files("conjoin"))) / "corpora" / "sample"

# The formats assumed when no `sniff` recognises a file: their readers report what is wrong with it.
_FORMAT_OF_ENDING = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "spert", ".rel": "ade", ".sgm": "ace", ".con": "i2b2",
                     ".ann": "brat", ".spacy": "docbin", ".parquet": "huggingface"}


def read_corpus(path: str | Path, format: str | None = None, *, lenient: bool = False,
                options: Mapping[str, str] | None = None) -> Corpus:
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

    Examples:
        >>> read_corpus("sample")
        Corpus(train=435, dev=75, test=140, format='jsonl')
    """
    return load(path, Problems(lenient=lenient), format, options=options)


def load(path: str | Path, problems: Problems, format: str | None = None, *,
         options: Mapping[str, str] | None = None) -> Corpus:
    """As `read_corpus`, with a collector of problems instead of `lenient`."""
    file_format, streams = open_corpus(path, problems, format, options=options)
    splits = {split: tuple(documents) for split, documents in streams.items()}
    return Corpus(splits, tuple(problems.entries), file_format.name)


def open_corpus(path: str | Path, problems: Problems, format: str | None = None, *,
                options: Mapping[str, str] | None = None) -> tuple[Format, dict[str, Iterable[Document]]]:
    """The format of a file or folder, and for each split an iterator that reads its documents.

    Arguments and errors are those of `read_corpus`.
    """
    path = SAMPLE_FOLDER if str(path) == SAMPLE and not Path(path).exists() else Path(path)
    file_format = _format(path, format)
    values = _option_values(file_format, options or {})
    if path.is_dir():
        _note_others(path, file_format, problems)
    if path.is_dir() and file_format.read_folder and (file_format.claims is None or file_format.claims(path)):
        streams: Mapping[str, Iterable[Document]] = file_format.read_folder(path, problems, values)
    elif path.is_dir():
        streams = {split: chain.from_iterable(file_format.read(file, problems, values) for file in files)
                   for split, files in _split_files(path, file_format, problems).items()}
    else:
        streams = {split_of(path) or ALL: file_format.read(path, problems, values)}
    return file_format, {split: streams[split] for split in sorted(streams, key=split_order)}


def from_datasets(data: Any, *, lenient: bool = False, options: Mapping[str, str] | None = None) -> Corpus:
    """The corpus in a `Dataset` or `DatasetDict` of Hugging Face's `datasets`, or in rows (dictionaries) by split.

    Layouts, options and errors are those of the format `huggingface`; a split `validation` becomes dev.
    """
    problems = Problems(lenient=lenient)
    streams = huggingface.splits_of(data, Path("dataset"), problems, _option_values(huggingface.FORMAT, options or {}))
    splits = {split: tuple(streams[split]) for split in sorted(streams, key=split_order)}
    return Corpus(splits, tuple(problems.entries), huggingface.FORMAT.name)


def stream_documents(path: str | Path, problems: Problems, format: str | None = None, *,
                     options: Mapping[str, str] | None = None) -> Iterator[Document]:
    """An iterator that reads the documents of one file; arguments and errors are those of `read_corpus`."""
    path = Path(path)
    file_format = _format(path, format)
    return file_format.read(path, problems, _option_values(file_format, options or {}))


def read_documents(path: str | Path, format: str | None = None, *, lenient: bool = False,
                   options: Mapping[str, str] | None = None) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """The documents of one file and the problems in it; arguments and errors are those of `read_corpus`."""
    problems = Problems(lenient=lenient)
    documents = tuple(stream_documents(path, problems, format, options=options))
    return documents, tuple(problems.entries)


def write_documents(documents: Iterable[Document], path: str | Path, format: str, *,
                    lenient: bool = False) -> tuple[Problem, ...]:
    """Write one file, or a folder in a format with a file for each document, atomically.

    Args:
        documents: The documents.
        path: The file or folder.
        format: Name of a format that can be written.
        lenient: Leave out what the format cannot hold, and list it.

    Returns:
        What the format cannot hold.

    Raises:
        DataError: When the format cannot hold an annotation, unless `lenient`, or the file cannot be written.
        SettingError: For an unknown format or one that is read only.
    """
    problems = Problems(lenient=lenient, activity="writing")
    write_files({Path(path): documents}, _writable_format(format), problems)
    return tuple(problems.entries)


def write_corpus(corpus: Corpus, folder: str | Path, format: str, *, lenient: bool = False) -> tuple[Problem, ...]:
    """Write a file or folder for each split (`train.jsonl`), all or none; otherwise as `write_documents`."""
    problems = Problems(lenient=lenient, activity="writing")
    file_format = _writable_format(format)
    files = {target_of(Path(folder), split, file_format): documents for split, documents in corpus.splits.items()}
    write_files(files, file_format, problems)
    return tuple(problems.entries)


def target_of(folder: Path, split: str, format: Format) -> Path:
    """The file or folder of a split inside a folder."""
    return folder / (split if format.write_folder else f"{split}{format.endings[0]}")


def detect(path: str | Path) -> str:
    """The name of the format of a file, or of the files in a folder, detected from their content.

    Raises `DataError` when no format fits, or a folder holds several formats.
    """
    path = Path(path)
    if not path.is_dir():
        return _detect_file(path)
    files = _formats_in(path)
    if len(files) > 1:
        examples = ", ".join(f"{name}: {files[name].relative_to(path)}" for name in sorted(files))
        raise DataError(f"{path}: the folder holds several formats ({examples}); name one with --format (format=), or a "
                        "folder in it")
    if not files:
        raise DataError(f"{path}: no file in the folder has a known format; {_folder_remedy(path) or _format_remedy()}")
    return next(iter(files))


def _formats_in(folder: Path) -> dict[str, Path]:
    """Format → one file of it: the formats that claim the folder, and those of its files."""
    claiming = _claimed(folder)
    files = dict(claiming)
    for file in _files(folder):
        name = _sniff(file)
        if name and not any(_has_partner(file, FORMATS[other]) for other in claiming):
            files.setdefault(name, file)
    if not files:
        candidates = [file for file in _files(folder) if split_of(file) and file.suffix.lower() in _FORMAT_OF_ENDING]
        files = {_FORMAT_OF_ENDING[file.suffix.lower()]: file for file in reversed(candidates)}
    return files


def _claimed(folder: Path) -> dict[str, Path]:
    """Format → one file of it, for the formats that claim the folder."""
    return {format.name: next((file for ending in format.endings for file in sorted(folder.rglob(f"*{ending}"))), folder)
            for format in FORMATS.values() if format.claims and format.claims(folder)}


def _has_partner(file: Path, format: Format) -> bool:
    """True when a file of this format with the same stem is beside the file."""
    return any(file.with_suffix(ending).is_file() for ending in format.endings)


def _detect_file(path: Path) -> str:
    beginning = first_characters(path)
    if not beginning.strip():
        raise DataError(f"{path}: the file is empty")
    if re.fullmatch(r"\s*\[\s*\]\s*", beginning):
        raise DataError(f"{path}: holds no documents; see that it is the right file, an empty list may be of any format")
    name = _sniff(path) or _FORMAT_OF_ENDING.get(path.suffix.lower())
    if path.suffix.lower() == ".txt" and path.with_suffix(".ann").is_file():
        name = brat.FORMAT.name
    if name is None:
        raise DataError(f"{path}: the format is not recognised; {_format_remedy()}")
    return name


def _sniff(path: Path) -> str | None:
    beginning = first_characters(path)
    return next((format.name for format in FORMATS.values() if format.sniff(beginning)), None)


def _folder_remedy(folder: Path) -> str:
    """A remedy that names the folders in a folder that hold annotated files; empty when there are none."""
    folders = [str(inner) for inner in sorted(folder.iterdir()) if inner.is_dir() and _files(inner)]
    return f"name one of the folders in it: {', '.join(folders)}" if folders else ""


def _format_remedy() -> str:
    return f"name it with --format (format=), one of {', '.join(FORMATS)}"


def _format(path: Path, name: str | None) -> Format:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if name is not None and name not in FORMATS:
        raise SettingError(unknown_name("format", name, FORMATS))
    return FORMATS[detect(path) if name is None else name]


def _writable_format(name: str) -> Format:
    writable = [format.name for format in FORMATS.values() if format.writable]
    if name not in FORMATS:
        raise SettingError(unknown_name("format", name, writable))
    if not FORMATS[name].writable:
        raise SettingError(f"format '{name}' is read only; choose {', '.join(writable)}")
    return FORMATS[name]


def _option_values(format: Format, options: Mapping[str, str]) -> dict[str, str]:
    """Option → value, the default for options that are absent."""
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


def _note_others(folder: Path, format: Format, problems: Problems) -> None:
    """Note the files of other formats, and the folders in the folder that are not read."""
    for file in _files(folder):
        name = None if _may_be(file, format) else _sniff(file)
        if name and not _has_partner(file, format):
            problems.note(file, None, "file-not-read", f"the file is {name}, not {format.name}, and is left out", loss=True)
    reads_inner = format.claims is not None and format.claims(folder)
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and not inner.name.startswith("."):
            names = _inner_formats(inner)
            if names and not (reads_inner and format.name in names):
                problems.note(inner, None, "file-not-read", f"the folder holds {' and '.join(sorted(names))} and is left "
                              "out: only the files beside it are read; name it on its own to read it", loss=True)


def _may_be(file: Path, format: Format) -> bool:
    return file.suffix.lower() in format.endings or format.sniff(first_characters(file))


def _inner_formats(folder: Path) -> set[str]:
    """The formats of a folder in a folder; of texts, which may be many, only those named for a split are opened."""
    files = [file for file in _files(folder) if file.suffix.lower() != ".txt" or split_of(file)]
    return set(_claimed(folder)) | {name for name in map(_sniff, files) if name}


def _split_files(folder: Path, format: Format, problems: Problems) -> dict[str, list[Path]]:
    """Split → its files; files of other content, or without a split where others have one, are left out with a note."""
    candidates = [file for file in _files(folder) if _may_be(file, format)]
    files = [file for file in candidates if split_of(file) or format.sniff(first_characters(file))]
    if not files:
        raise DataError(f"{folder}: no file in the folder is of format {format.name} ({format.description})")
    for file in candidates:
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
