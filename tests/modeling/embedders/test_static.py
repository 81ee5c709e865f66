"""Word vectors and casing: what words alone tell."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
import torch

from conjoin.errors import ModelError
from conjoin.features.casing import CASINGS
from conjoin.features.vector_table import VectorTable
from conjoin.modeling.embedders.static import CasingEmbedder, WordVectors, saved_words

LINES = ["the 1 2 3", "oslo 4 5 6", "US 7 8 9", "us -7 -8 -9", "maria 0.5 -1e-3 2.5"]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path: Path) -> VectorTable:
    return VectorTable.open(write(tmp_path / "v.txt", LINES), cache=tmp_path / "cache")


def found(table: VectorTable, word: str) -> list[float] | None:
    vector = table.find(word)
    return None if vector is None else vector.tolist()


def test_words_are_found_as_spelt(table: VectorTable) -> None:
    assert (len(table), table.width) == (5, 3)
    assert found(table, "oslo") == [4, 5, 6]
    assert found(table, "US") == [7, 8, 9]
    assert found(table, "Oslo") is None
    assert found(table, "") is None


@pytest.mark.parametrize(("head", "packed"), [([], True), (["5 3"], False), (["5 3"], True)])
def test_word2vec_header_and_gzip(tmp_path: Path, head: list[str], packed: bool) -> None:
    text = "\n".join([*head, *LINES]) + "\n"
    path = tmp_path / ("v.gz" if packed else "v.txt")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    table = VectorTable.open(path, cache=tmp_path / "cache")
    assert len(table) == 5
    assert found(table, "the") == [1, 2, 3]


def test_a_word_given_twice_and_words_with_blanks(tmp_path: Path) -> None:
    path = write(tmp_path / "v.txt", ["a 1 2", "b 3 4", "a 5 6", ". . . 7 8", "é 9 1"])
    table = VectorTable.open(path, cache=tmp_path)
    assert found(table, "a") == [1, 2]
    assert found(table, ". . .") == [7, 8]
    assert found(table, "é") == [9, 1]


def test_the_arrays_are_made_once_and_again_when_the_file_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "v.txt", LINES)
    cache = tmp_path / "cache"
    VectorTable.open(path, cache=cache)
    made = {file: file.stat().st_mtime_ns for file in cache.rglob("*.npy")}
    VectorTable.open(path, cache=cache)
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*.npy")} == made
    write(path, ["oslo 9 9"])
    assert found(VectorTable.open(path, cache=cache), "oslo") == [9, 9]


@pytest.mark.parametrize(("lines", "wrong"), [
    (["a 1 2", "b 3"], r"v.txt:2: .* 2 numbers"),
    (["a 1 2", "b 3 x"], r"v.txt:2: .* 2 numbers"),
    (["a 1 2", "b 3 nan"], r"v.txt:2: .* 2 numbers"),
    (["a 1 2", "", "b 3 4 5", "c 1 2"], r"v.txt:3: .* 2 numbers"),
    (["3 2", "a 1 2"], r"v.txt: .*3 words.* 1; it is cut off"),
    (["1 2", "a 1 2", "b 3 4"], r"v.txt: .*1 words.* 2; it is damaged"),
    ([""], r"v.txt:1: "),
    (["root:x:0"], r"v.txt:1: "),
    (["a line of text"], r"v.txt:1: "),
    (["0 0"], r"v.txt:1: "),
    (["3 2"], r"v.txt: .*3 words.* 0"),
])
def test_broken_files(tmp_path: Path, lines: list[str], wrong: str) -> None:
    path = write(tmp_path / "v.txt", lines)
    with pytest.raises(ModelError, match=wrong):
        VectorTable.open(path, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npy")), "nothing is left half written"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "v.txt").touch()
    with pytest.raises(ModelError, match=r"v.txt: .*no word vectors"):
        VectorTable.open(tmp_path / "v.txt", cache=tmp_path / "cache")


def test_missing_and_truncated_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone.txt: .* words.vectors="):
        VectorTable.open(tmp_path / "gone.txt", cache=tmp_path)
    whole = gzip.compress(("\n".join(f"w{n} {n} {n * 3.7}" for n in range(5000)) + "\n").encode())
    (tmp_path / "v.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"v.gz: .*cut off.* download"):
        VectorTable.open(tmp_path / "v.gz", cache=tmp_path / "cache")


TEXTS = [["Maria", "in", "Oslo"], [], ["US"]]


def test_vectors_of_words_lower_case_and_unknown(table: VectorTable) -> None:
    words = WordVectors.from_table(table, TEXTS)
    vectors = words(words.features(TEXTS))
    assert vectors.shape == (3, 3, 3)
    torch.testing.assert_close(vectors[0], torch.tensor([[0.5, -1e-3, 2.5], [0, 0, 0], [4, 5, 6]]))
    assert vectors[2].tolist() == [[7, 8, 9], [0, 0, 0], [0, 0, 0]]
    assert words.sizes(TEXTS) == [3, 0, 1]
    assert set(words.featuriser.index) == {"maria", "oslo", "US", "us"}, "of the table the corpus' words only"


def vectors_of(words: WordVectors, texts: list[list[str]]) -> list[list[list[float]]]:
    result: list[list[list[float]]] = words(words.features(texts)).tolist()
    return result


def test_unseen_words_come_from_the_table_while_it_is_there(
    table: VectorTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = WordVectors.from_table(table, [["Oslo"]])
    words.save(tmp_path)
    path, cache = tmp_path / "v.txt", tmp_path / "cache"

    def read_again() -> list[list[list[float]]]:
        caplog.clear()
        again = saved_words(tmp_path, source=str(path), cache=cache)
        again.load_state_dict(words.state_dict())
        return vectors_of(again, [["The", "OSLO", "xyz", "US"], ["The"]])

    assert read_again() == [[[1, 2, 3], [4, 5, 6], [0, 0, 0], [7, 8, 9]], [[1, 2, 3], [0, 0, 0], [0, 0, 0], [0, 0, 0]]]
    assert caplog.messages == []
    without = [[[0, 0, 0], [4, 5, 6], [0, 0, 0], [0, 0, 0]], [[0, 0, 0]] * 4]
    trained_with = "put the file that the model was trained with there"
    others = r"\(it has other vectors"
    for lines, said in (
        (["the 1 2"], rf"{path} .*\(its vectors have 2 values, the model's 3\)"),
        (["the 1 2 3", "oslo 4 5 7"], rf"{others}.*; {trained_with}"),
        (["the 1 2 3"], others),
        (["the 1 2 3", "oslo 1"], r"v.txt:2: a word and 3 numbers are.*the file is there but damaged: download it"),
        ([], r"\(no such file\).*; put the file back"),
    ):
        write(path, lines)
        if not lines:
            path.unlink()
        assert read_again() == without
        assert len(caplog.messages) == 1
        assert re.search(said, caplog.messages[0])
    path.mkdir()
    assert read_again() == without
    assert "make the file readable" in caplog.text


def test_a_model_without_a_digest_takes_a_file_of_its_width(
    table: VectorTable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = WordVectors.from_table(table, [["Oslo"]])
    words.save(tmp_path)
    value = json.loads((tmp_path / "words.json").read_text())
    del value["digest"]
    (tmp_path / "words.json").write_text(json.dumps(value))
    write(tmp_path / "v.txt", ["the 9 9 9"])
    again = saved_words(tmp_path, source=str(tmp_path / "v.txt"), cache=tmp_path / "cache")
    assert vectors_of(again, [["the"]]) == [[[9, 9, 9]]]
    assert caplog.messages == []


def test_the_same_vectors_in_another_order_or_packing_are_the_same(table: VectorTable, tmp_path: Path) -> None:
    WordVectors.from_table(table, TEXTS).save(tmp_path)
    packed = tmp_path / "other.gz"
    packed.write_bytes(gzip.compress(("\n".join(reversed(LINES)) + "\n").encode()))
    again = saved_words(tmp_path, source=str(packed), cache=tmp_path / "cache")
    assert vectors_of(again, [["the"]]) == [[[1, 2, 3]]]


def test_how_many_words_have_a_vector(table: VectorTable) -> None:
    assert WordVectors.from_table(table, [["Maria", "in", "Oslo"], ["US", "Oslo"]]).coverage == (3, 4)


def test_no_word_of_the_corpus_has_a_vector(table: VectorTable) -> None:
    words = WordVectors.from_table(table, [["xyz"]])
    assert words.vectors.shape == (0, 3)
    assert vectors_of(words, [["xyz"], []]) == [[[0, 0, 0]], [[0, 0, 0]]]
    assert vectors_of(words, [["xyz", "the"]]) == [[[0, 0, 0], [1, 2, 3]]]
    assert vectors_of(words, [[], []]) == [[], []]


def test_the_models_own_words_are_numbers_until_they_are_on_the_device(table: VectorTable) -> None:
    """Nothing is fetched from the device word by word."""
    features = WordVectors.from_table(table, TEXTS).features(TEXTS)
    assert {name: value.dtype for name, value in features.items()} == {"words": torch.long, "others": torch.float}
    assert len(features["others"]) == 0


@pytest.mark.parametrize("text", [
    "a\t1\t2\nb\t3\t4\n", "a  1  2\nb 3 4 \n", "\ufeffa 1 2\r\nb 3 4\r\n", "\ufeff2 2\na 1 2\nb 3\t4\n",
])
def test_tabs_double_blanks_and_byte_order_marks(text: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(text.encode())
    table = VectorTable.open(tmp_path / "v.txt", cache=tmp_path)
    assert (found(table, "a"), found(table, "b")) == ([1, 2], [3, 4])


@pytest.mark.parametrize("text", ["2 2\na 1.5 2.5\nb 3.5 4", "a 1.5 2.5\nb 3.5 4"])
def test_a_file_cut_inside_its_last_number(text: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(text)
    with pytest.raises(ModelError, match=r"v.txt:\d: .*last line.* download"):
        VectorTable.open(tmp_path / "v.txt", cache=tmp_path)


def test_word_vectors_are_not_trained(table: VectorTable) -> None:
    assert list(WordVectors.from_table(table, TEXTS).parameters()) == []


def test_casing_is_one_hot() -> None:
    embedder = CasingEmbedder()
    words = ["1988", "acme", "NATO", "Oslo", "12a", "a1b", "McX"]
    vectors = embedder(embedder.features([words, ["x"], []]))
    assert vectors.shape == (3, 7, len(CASINGS))
    assert vectors[0].argmax(1).tolist() == [CASINGS.index(name) for name in (
        "numeric", "lower", "upper", "initial upper", "mainly numeric", "contains digit", "initial upper")]
    assert vectors[0].sum(1).tolist() == [1] * 7
    assert not vectors[1, 1:].any() and not vectors[2].any()


def test_real_glove_vectors(data_folder: Path, tmp_path: Path) -> None:
    table = VectorTable.open(data_folder / "glove" / "glove.6B.50d.subset.txt.gz", cache=tmp_path)
    assert (len(table), table.width) == (10_244, 50)
    found = [table.find(word) for word in ("monday", "tuesday", "boston")]
    monday, tuesday, boston = (torch.from_numpy(vector) for vector in found if vector is not None)
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(monday, tuesday, dim=0) > 0.9 > cosine(monday, boston, dim=0)
