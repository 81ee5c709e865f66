"""What a file format is to conjoin: a name, how to recognise it, how to read it and perhaps how to write it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from conjoin.document import Document
from conjoin.readers.problems import Problems

Options = Mapping[str, str]
Read = Callable[[Path, Problems, Options], Iterator[Document]]
ReadFolder = Callable[[Path, Problems, Options], Mapping[str, Iterable[Document]]]
Write = Callable[[Iterable[Document], TextIO, Path, Problems], None]
WriteFolder = Callable[[Iterable[Document], Path, Path, Problems], None]


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the `FORMATS` table.

    `sniff` sees the first characters of a file. `options` names each option's allowed values, the default first.
    A format whose folder makes its own splits has `claims` (is this folder mine?) and `read_folder`. One that keeps
    documents in files of their own has `write_folder`, which fills a new folder (then the path that problems are
    reported under), in place of `write`, which fills an open file.
    """

    name: str
    description: str
    endings: tuple[str, ...]
    sniff: Callable[[str], bool]
    read: Read
    write: Write | None = None
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    claims: Callable[[Path], bool] | None = None
    read_folder: ReadFolder | None = None
    write_folder: WriteFolder | None = None

    @property
    def writable(self) -> bool:
        return self.write is not None or self.write_folder is not None
