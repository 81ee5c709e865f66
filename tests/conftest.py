"""What all tests share: one thread, no network, a tiny random encoder, three documents to learn by heart."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch

from conjoin.document import Document, Entity, Relation

torch.set_num_threads(1)

WORDS = ["a", "the", "of", "in", "and", "by", "was", "with", "who", "from", "for", "at", "on", "to", "is", "lives", "works", "leads", "joined", "shot", "killed", "mayor", "maria", "ortiz", "halden", "steel", "leeds", "england", "oslo", "norway", "lee", "oswald", "kennedy", "dallas", "texas", "acme", "corp", ".", ",", "'", '""', "--", "(", ")"]


def build_encoder(folder: Path) -> Path:
    """Write a BERT of two layers of width 32 with random weights, and a WordPiece tokenizer of letters and some words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*letters, *WORDS]), *(f"##{c}" for c in letters)]
    tokenizer = Tokenizer(WordPiece({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=128,
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(names), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128, pad_token_id=0,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random encoder."""
    return str(build_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """Three documents with entities, relations, a relation-free one among them."""
    ortiz, halden, leeds = Entity("Peop", 0, 2), Entity("Org", 4, 6), Entity("Loc", 7, 8)
    oswald, kennedy, dallas = Entity("Peop", 0, 2), Entity("Peop", 3, 4), Entity("Loc", 5, 6)
    return [
        Document.from_words(
            ["Maria", "Ortiz", "leads", "the", "Halden", "Steel", "of", "Leeds", "."], [ortiz, halden, leeds],
            [Relation("Work_For", ortiz, halden), Relation("OrgBased_In", halden, leeds)], id="d1",
        ),
        Document.from_words(
            ["Lee", "Oswald", "shot", "Kennedy", "in", "Dallas", "."], [oswald, kennedy, dallas],
            [Relation("Kill", oswald, kennedy)], id="d2",
        ),
        Document.from_words(["The", "mayor", "joined", "Acme", "Corp", "in", "Oslo", "."], [Entity("Org", 3, 5), Entity("Loc", 6, 7)],
                            id="d3"),
    ]
