"""Data sets of Hugging Face's `datasets`: objects, folders of `save_to_disk`, and Parquet files. Needs `datasets`.

Three layouts of columns are known:
- conjoin's own, as in its JSONL: `text`, and `tokens`, `entities` and `relations` in characters;
- that of SpERT: `tokens`, and `entities` and `relations` by index (huggingface.co/datasets/DFKI-SLT/conll04);
- `tokens` and `ner_tags`, BIO or BIOES, named by `ClassLabel` (huggingface.co/datasets/eriktks/conll2003); no relations.

Parquet is written, in conjoin's own layout: a folder of such files is what `load_dataset` and the Hub take as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from conjoin.document import Corpus, Document
from conjoin.errors import DataError, needs_extra
from conjoin.readers.document_builder import DocumentBuilder
from conjoin.readers.fields import Fields
from conjoin.readers.format import Format, Options
from conjoin.readers.formats import jsonl, spert
from conjoin.readers.overlap import RULES
from conjoin.readers.problems import Place, Problems
from conjoin.readers.splits import ALL, split_of
from conjoin.readers.tags import check_tags
from conjoin.tagging import Scheme, decode

if TYPE_CHECKING:
    import datasets

_ANNOTATION = ("tokens", "entities", "relations")
_KNOWN = {"id", "orig_id", "text", "ner_tags", *_ANNOTATION}
_BATCH = 1000  # rows that are in memory at a time
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_HUB_SPLITS = {"dev": "validation"}  # the Hub's word


def documents_of(rows: Iterable[Mapping[str, Any]], features: Any, path: Path, problems: Problems,
                 options: Options) -> Iterator[Document]:
    """The documents of a data set's rows. `features` are those of the data set, if it has any; rows count from 1."""
    columns = Fields(Place(path, problems), _KNOWN, noun="column")
    for number, row in enumerate(_readable(rows, path), start=1):
        if number == 1:
            _check_columns(row, columns)
        value = {column: _plain(cell, _inner(features, column)) for column, cell in row.items() if cell is not None}
        names = getattr(_inner(_inner(features, "ner_tags"), None), "names", None)
        document = _document(value, names, Place(path, problems, number), options["overlap"])
        if document is not None:
            yield document
    columns.note_unread()


def _readable(rows: Iterable[Mapping[str, Any]], path: Path) -> Iterator[Mapping[str, Any]]:
    with _data_errors(path):
        yield from rows


@contextmanager
def _data_errors(path: Path) -> Iterator[None]:
    """Turns the errors of pyarrow and `datasets` into `DataError`."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [""])[0][:100]
        raise DataError(f"{path}: cannot be read ({type(error).__name__}: {reason}); write it again") from error


def _check_columns(row: Mapping[str, Any], columns: Fields) -> None:
    columns.check(row, () if "ner_tags" in row else _ANNOTATION)
    if not {"entities", "ner_tags"} & row.keys():
        columns.place.note("no-entities", "there is neither a column 'entities' nor 'ner_tags'; the documents have no "
                           "entities")


def _inner(feature: Any, key: str | None) -> Any:
    """The feature of a column or of the items of a list, in any version of `datasets`; None when unknown."""
    if isinstance(feature, Mapping):
        return feature.get(key)
    if isinstance(feature, list):
        return feature[0] if feature else None
    return getattr(feature, "feature", None)


def _plain(value: Any, feature: Any) -> Any:
    """A cell with the names of its ClassLabels, without nulls.

    A dictionary of lists, in which `datasets` returns a sequence of dictionaries, becomes a list of dictionaries.
    """
    if isinstance(value, list):
        return [_plain(item, _inner(feature, None)) for item in value]
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        keys, inner = list(value), _inner(feature, None) if not isinstance(feature, Mapping) else feature
        return [_plain(dict(zip(keys, items, strict=True)), inner) for items in zip(*value.values(), strict=False)]
    if isinstance(value, dict):
        return {key: _plain(item, _inner(feature, key)) for key, item in value.items() if item is not None}
    names = getattr(feature, "names", None)
    return names[value] if names and isinstance(value, int) and 0 <= value < len(names) else value


def _document(value: dict[str, Any], names: list[str] | None, place: Place, overlap: str) -> Document | None:
    tokens, text, entities = value.get("tokens"), value.get("text"), value.get("entities")
    in_characters = isinstance(entities, list) and any(isinstance(item, dict) and "char_start" in item for item in entities)
    if isinstance(text, str) and (in_characters or not _are_words(tokens)):
        return jsonl.document_of(value, place, overlap)
    if tokens == []:
        place.repair("empty-sentence", "the row has no words", "leaves it out", loss=False)
        return None
    if not _are_words(tokens):
        place.repair("malformed-row", "the row has neither words under 'tokens' nor a 'text'", "leaves it out")
        return None
    value.setdefault("orig_id", value.get("id", ""))
    if entities is None and "ner_tags" in value:
        return _document_of_tags(value, names, place)
    return spert.document_of(value, place, overlap)


def _are_words(tokens: Any) -> bool:
    return isinstance(tokens, list) and bool(tokens) and all(isinstance(token, str) for token in tokens)


def _document_of_tags(value: Mapping[str, Any], names: list[str] | None, place: Place) -> Document | None:
    words, tags = value["tokens"], value["ner_tags"]
    if not (isinstance(tags, list) and len(tags) == len(words) and all(isinstance(tag, str) for tag in tags)):
        place.repair("malformed-row", f"'ner_tags' needs a name for each of the {len(words)} words (numbers get names by "
                     "casting the column to ClassLabel)", "leaves the row out")
        return None
    builder = DocumentBuilder.from_words(words, place, id=str(value["orig_id"]), missing=("", ""))
    scheme: Scheme = "bioes" if any(tag[:2] in ("E-", "S-") for tag in names or tags) else "bio"
    for entity in decode(check_tags(((tag, None) for tag in tags), scheme, place)):
        builder.entity((entity.start, entity.end), entity.type, entity.start, entity.end)
    return builder.build()


def read(path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    with needs_extra("datasets", "datasets"):
        from datasets import Features
        from pyarrow import parquet
    with _data_errors(path):
        file = parquet.ParquetFile(path)
        features = Features.from_arrow_schema(file.schema_arrow)
    with file:
        rows = (row for batch in file.iter_batches(_BATCH) for row in batch.to_pylist())
        yield from documents_of(rows, features, path, problems, options)


def claims(folder: Path) -> bool:
    """True for a folder of `save_to_disk`, or one with Parquet files in numbered parts."""
    layouts = ("dataset_dict.json",), ("dataset_info.json", "state.json")
    return (any(all((folder / name).is_file() for name in names) for names in layouts) or any(_parts(folder)))


def read_folder(folder: Path, problems: Problems, options: Options) -> Mapping[str, Iterable[Document]]:
    if any(_parts(folder)):
        splits: dict[str, list[Path]] = {}
        for file in _parquet_files(folder):
            splits.setdefault(split_of(file) or ALL, []).append(file)
        return {split: (document for file in files for document in read(file, problems, options))
                for split, files in splits.items()}
    return splits_of(_loaded(folder), folder, problems, options)


def _parquet_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))


def _parts(folder: Path) -> Iterator[Path]:
    """The Parquet files that are numbered parts of a split."""
    return (file for file in _parquet_files(folder) if _SHARD.search(file.stem))


def _loaded(folder: Path) -> Any:
    with needs_extra("datasets", "datasets"):
        from datasets import load_from_disk
    with _data_errors(folder):
        return load_from_disk(str(folder))


def splits_of(data: Any, path: Path, problems: Problems, options: Options) -> Mapping[str, Iterable[Document]]:
    """The splits of a `Dataset`, or of a `DatasetDict` or another mapping of names to rows; `path` is for messages.

    Raises `DataError` when two names mean one split.
    """
    if not isinstance(data, Mapping):
        return {split_of(path) or ALL: _rows(data, path, problems, options)}
    splits: dict[str, Iterable[Document]] = {}
    for name, rows in data.items():
        split = split_of(Path(str(name))) or str(name)
        if split in splits:
            raise DataError(f"{path}: two splits are called {split} ({', '.join(map(str, data))}); give one of them")
        splits[split] = _rows(rows, path / str(name), problems, options)
    return splits


def _rows(data: Any, path: Path, problems: Problems, options: Options) -> Iterator[Document]:
    plain = data.with_format(None) if hasattr(data, "with_format") else data  # rows of Python values, no tensors
    return documents_of(plain, getattr(data, "features", None), path, problems, options)


def write(documents: Iterable[Document], file: TextIO, path: Path, problems: Problems) -> None:
    with needs_extra("datasets", "datasets"):
        import pyarrow
        from pyarrow import parquet
    schema = _features().arrow_schema
    rows = (document.to_json() for document in documents)
    with parquet.ParquetWriter(file.buffer, schema) as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema))


def to_datasets(corpus: Corpus) -> datasets.DatasetDict:
    """The corpus as a `DatasetDict` in the layout of conjoin's JSONL, to be saved or pushed; dev is called validation.

    Raises `MissingExtraError` when `datasets` is not installed.
    """
    with needs_extra("datasets", "datasets"):
        from datasets import Dataset, DatasetDict
    features, data = _features(), DatasetDict()
    for split, documents in corpus.splits.items():
        rows = [document.to_json() for document in documents]
        columns = {column: [row[column] for row in rows] for column in features}
        data[_HUB_SPLITS.get(split, split)] = Dataset.from_dict(columns, features=features)
    return data


def _features() -> datasets.Features:
    """The columns to write: those of `Document.to_json`, with null for an absent score."""
    with needs_extra("datasets", "datasets"):
        from datasets import Features, Value
    text, number, score = Value("string"), Value("int64"), Value("float64")
    entity = {"id": text, "type": text, "char_start": number, "char_end": number, "text": text, "score": score}
    relation = {"type": text, "head": text, "tail": text, "score": score}
    return Features({"id": text, "text": text, "tokens": [[number]], "entities": [entity], "relations": [relation]})


def sniff(beginning: str) -> bool:
    return beginning.startswith("PAR1")


FORMAT = Format("huggingface", "Hugging Face data sets: Parquet, or a folder of save_to_disk (needs datasets)",
                (".parquet",), sniff, read, write, options={"overlap": tuple(RULES)}, claims=claims,
                read_folder=read_folder)
