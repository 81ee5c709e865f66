from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conjoin.features.characters import MAX_CHARACTERS, UNKNOWN, saved_alphabet
from conjoin.modeling.embedders.characters import CharacterEmbedder, alphabet_of
from conjoin.modeling.nn.recurrent import Cell

TEXTS = [["Maria", "in", "Oslo", "in"], [], ["Acme"]]


def embedder_of(cell: Cell = "gru", *, masking: float = 0.0) -> CharacterEmbedder:
    torch.manual_seed(0)
    return CharacterEmbedder(alphabet_of(TEXTS), embedding_size=5, size=4, cell=cell, masking=masking)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_word_has_one_vector_wherever_it_stands(cell: Cell) -> None:
    embedder = embedder_of(cell)
    vectors = embedder(embedder.features(TEXTS))
    assert vectors.shape == (3, 4, 8)
    assert not vectors[1].any() and not vectors[2, 1:].any()
    torch.testing.assert_close(vectors[0, 1], vectors[0, 3])
    for text, row in ((["Oslo"], vectors[0, 2]), (["Acme"], vectors[2, 0])):
        torch.testing.assert_close(embedder(embedder.features([text]))[0, 0], row)


def test_it_is_the_rnn_read_from_both_ends() -> None:
    embedder = embedder_of()
    letters = torch.tensor([[embedder.featuriser.index[c] for c in "Oslo"]])
    output, _ = embedder.layer(embedder.table(letters))
    expected = torch.cat([output[0, -1, :4], output[0, 0, 4:]])
    torch.testing.assert_close(embedder(embedder.features([["Oslo"]]))[0, 0], expected)


def test_unknown_characters_share_a_vector_that_training_meets() -> None:
    embedder = embedder_of()
    features = embedder.features([["M\u00e5", "M\u4e2d"]])
    assert features["characters"].tolist()[0][1] == features["characters"].tolist()[1][1] == UNKNOWN
    hidden = embedder_of(masking=0.5).train()
    hidden(hidden.features(TEXTS)).sum().backward()
    assert hidden.table.weight.grad is not None
    assert hidden.table.weight.grad[UNKNOWN].any() and not hidden.table.weight.grad[0].any()


def test_long_words_are_read_at_both_ends() -> None:
    embedder = embedder_of()
    long = "a" * 40 + "s" * 500 + "i" * 40
    spelt = embedder.features([[long]])["characters"][0].tolist()
    assert len(spelt) == MAX_CHARACTERS
    assert spelt[0] == embedder.featuriser.index["a"] and spelt[-1] == embedder.featuriser.index["i"]


def test_odd_input() -> None:
    embedder = embedder_of()
    assert embedder(embedder.features([[]])).shape == (1, 0, 8)
    assert embedder(embedder.features([["", "\ud83d"]])).shape == (1, 2, 8)


def test_the_alphabet_is_saved(tmp_path: Path) -> None:
    odd = CharacterEmbedder(alphabet_of([["a\"\\\n\u4e2d\U0001f600\ud83d"]]), embedding_size=2, size=2, cell="gru")
    odd.save(tmp_path)
    assert saved_alphabet(tmp_path) == odd.featuriser.alphabet
    assert alphabet_of(TEXTS) == "AMOaceilmnors"
