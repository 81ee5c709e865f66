"""Annotated files as verbs read them: the options, and the splits that they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from conjoin.cli.messages import message
from conjoin.document import SPLITS, Corpus, Document
from conjoin.errors import DataError, SettingError
from conjoin.readers import FORMATS, read_corpus
from conjoin.readers.splits import split_order

FORMAT_HELP = f"Format of the files ({', '.join(FORMATS)}); detected by default."
FormatName = Annotated[str | None, typer.Option("--format", "-f", help=FORMAT_HELP)]
FormatOption = Annotated[list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Format option; repeatable.")]
TestFile = Annotated[Path | None, typer.Option("--test", help="File of the test split.")]


def parse_options(options: Sequence[str] | None) -> dict[str, str]:
    """`["key=value"]` → `{"key": "value"}`. Raises `SettingError` where the `=` is missing."""
    for option in options or ():
        if "=" not in option:
            raise SettingError(f"option '{option}' has no '='; write it as key=value, such as overlap=keep-longer")
    return {key.strip(): value.strip() for key, _, value in (option.partition("=") for option in options or ())}


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatOptions:
    """How annotated files are read."""

    format: FormatName = None
    option: FormatOption = None
    lenient: Annotated[bool, typer.Option("--lenient", help="Repair errors in the data where possible.")] = False

    def read(self, path: Path) -> Corpus:
        return read_corpus(path, self.format, lenient=self.lenient, options=parse_options(self.option))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedData:
    """One split of annotated text."""

    data: Annotated[Path, typer.Option(help="Annotated file or folder, or sample.")]
    split: Annotated[str | None, typer.Option(help="Split of the data, where it has several.")] = None
    files: FormatOptions

    def read(self, *, default: str) -> tuple[str, tuple[Document, ...]]:
        """The name and the documents, at least one, of the split that is asked for, the only one, or the default."""
        corpus = self.files.read(self.data)
        split = self.split or (next(iter(corpus.splits)) if len(corpus.splits) == 1 else default)
        if split not in corpus.splits:
            names = ", ".join(corpus.splits) or "its files"
            raise DataError(f"{self.data}: no {split} split among {names}; name another with --split")
        if not corpus.splits[split]:
            raise DataError(f"{self.data}: the {split} split holds no documents; see it with conjoin check")
        _mention_problems(corpus)
        return split, corpus.splits[split]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """The splits to train on."""

    data: Annotated[Path | None, typer.Option(help="Annotated file or folder with splits, or sample.")] = None
    train_file: Annotated[Path | None, typer.Option("--train", help="File of the train split.")] = None
    dev_file: Annotated[Path | None, typer.Option("--dev", help="File of the dev split.")] = None
    files: FormatOptions

    def read(self, *, test: Path | None = None, needed: str | None = "train") -> Corpus:
        """Read all splits of `--data`, with the files of single splits in their place; `needed` must be there."""
        paths = {"train": self.train_file, "dev": self.dev_file, "test": test}
        singles = {split: path for split, path in paths.items() if path is not None}
        for split, path in singles.items():
            if path.is_dir():
                raise DataError(f"{path}: is a folder, and --{split} takes one file; give a folder with --data")
        if self.data is None and (needed or "train") not in singles:
            raise typer.BadParameter(f"give --data with a folder, or --{needed or 'train'} with a file")
        corpus = self.files.read(self.data) if self.data is not None else Corpus({})
        others = {split: self.files.read(path) for split, path in singles.items()}
        splits = {**corpus.splits, **{split: other.documents for split, other in others.items()}}
        if needed is not None and needed not in splits:
            names = ", ".join(splits) or "its files"
            raise DataError(f"{self.data}: no {needed} split among {names}; name the file with --{needed}")
        problems = [*corpus.problems, *(problem for other in others.values() for problem in other.problems)]
        order = sorted(splits, key=split_order)
        corpus = Corpus({split: splits[split] for split in order}, tuple(problems), corpus.format)
        _mention_problems(corpus)
        return corpus

    def read_splits(self, *, test: Path | None = None, needed: str = "train") -> Corpus:
        """Read train, dev and test, and say which other splits are left out."""
        corpus = self.read(test=test, needed=needed)
        others = [f"'{split}' ({len(corpus.splits[split]):,} documents)" for split in sorted(corpus.splits.keys() - SPLITS)]
        if others:
            message(f"splits other than train, dev and test are not used: {', '.join(others)}")
        return replace(corpus, splits={split: corpus.splits[split] for split in SPLITS if split in corpus.splits})


def _mention_problems(corpus: Corpus) -> None:
    """Say that the data were repaired or have notes."""
    if corpus.problems:
        count = len(corpus.problems)
        message("1 repair or note on the data; conjoin check lists it" if count == 1 else
                f"{count:,} repairs and notes on the data; conjoin check lists them")
