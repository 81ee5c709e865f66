"""The description of an annotation format: its name, detection, reader, options and writer."""

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
    """A format, one entry of `corpus.FORMATS`. Readers build documents with `DocumentBuilder` (words) or `Standoff`
    (characters).

    Args:
        name: The name for `--format`.
        description: One line for users.
        endings: Usual endings of its files, the one to write first.
        sniff: True for the first characters of a file in this format.
        read: Reads the documents of a file.
        write: Writes documents to an open file.
        options: Option → allowed values, the default first.
        claims: True for a folder that makes its own splits, which `read_folder` reads.
        read_folder: Reads such a folder: split → documents.
        write_folder: Writes documents to files of their own in a new folder, in place of `write`; it gets the temporary
            folder and the final path, which problems name.
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
        """True for a format that conjoin can write."""
        return self.write is not None or self.write_folder is not None
