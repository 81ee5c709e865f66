"""A file that is damaged anywhere is read with repairs or refused in one sentence, whatever its format."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.errors import DataError
from conjoin.readers import read_corpus

DATA = Path(__file__).parents[1] / "data"
SAMPLES = {"brat": "harbour.ann", "dygie": "sample.json", "crossre": "sample-train.json", "pubtator": "sample.txt",
           "doccano": "sample.jsonl", "prodigy": "sample.jsonl", "labelstudio": "sample.json", "docbin": "sample.spacy"}
WHOLE = ("labelstudio", "docbin")  # what is no JSON at all, and no DocBin, cannot be repaired
PIECES = st.sampled_from([b"", b"\t", b"\n", b"\r\n", b" ", b";", b"|", b"[", b"]", b"{", b"\"", b",", b"-1", b"9", b"T1",
                          b"null", b"true", b"1e9", b"\xff", b"\x00", "\u2028".encode()])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_file(name: str) -> None:
    if name == "docbin":
        pytest.importorskip("spacy")
    source = DATA / name / SAMPLES[name]
    whole = source.read_bytes()
    places = st.lists(st.tuples(st.integers(0, len(whole)), st.integers(0, 9), PIECES), min_size=1, max_size=4)

    @settings(deadline=None, max_examples=50)
    @given(places, st.booleans())
    def damaged(changes: list[tuple[int, int, bytes]], lenient: bool) -> None:
        raw = whole
        for start, length, piece in changes:
            raw = raw[:start] + piece + raw[start + length :]
        with tempfile.TemporaryDirectory() as folder:
            for beside in source.parent.glob(f"{source.stem}.*"):
                shutil.copy(beside, folder)
            path = Path(folder) / source.name
            path.write_bytes(raw)
            try:
                corpus = read_corpus(path, name, lenient=lenient)
            except DataError as error:
                assert "\n" not in str(error)
                assert str(error).startswith(str(path.parent))
                assert not lenient or name in WHOLE
            else:
                assert not any(problem.repair for problem in corpus.problems) or lenient

    damaged()
