"""Reading and writing of annotated files: a module for each format in `formats`, the table of formats in `corpus`."""

from conjoin.readers.corpus import (
                                    FORMATS,
                                    detect,
                                    from_datasets,
                                    load,
                                    open_corpus,
                                    read_corpus,
                                    read_documents,
                                    stream_documents,
                                    target_of,
                                    write_corpus,
                                    write_documents,
)
from conjoin.readers.format import Format
from conjoin.readers.formats.huggingface import to_datasets
from conjoin.readers.problems import Problems

__all__ = [
    "FORMATS", "Format", "Problems", "detect", "from_datasets", "load", "open_corpus", "read_corpus", "read_documents",
    "stream_documents", "target_of", "to_datasets", "write_corpus", "write_documents",
]
