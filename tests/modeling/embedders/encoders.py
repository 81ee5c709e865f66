"""Tiny random encoders of several families, with tokenizers trained on a few words: no hub, no download."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    DebertaConfig,
    DebertaModel,
    DebertaV2Config,
    DebertaV2Model,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    XLNetConfig,
    XLNetModel,
)

TEXT = "maria ortiz leads the halden steel of leeds and lee oswald shot kennedy in dallas Maria Ortiz"
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
ROBERTA_PIECES = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
                  "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
XLNET_PIECES = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<cls>", "sep_token": "<sep>",
                "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
BERT_PIECES = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]",
               "mask_token": "[MASK]"}


def byte_level() -> Tokenizer:
    """Byte-level BPE as RoBERTa's, which puts no blank before the first word."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=330, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    ))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def unigram(special: list[str], unknown: str) -> Tokenizer:
    """A Unigram vocabulary over words with a meta space, as SentencePiece makes them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator([*TEXT.split() * 3, *"abcdefghijklmnopqrstuvwxyz"], trainers.UnigramTrainer(
        vocab_size=90, special_tokens=special, unk_token=unknown, show_progress=False
    ))
    return tokenizer


def write(folder: Path, tokenizer: Tokenizer, pieces: dict[str, str], model: torch.nn.Module) -> str:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **pieces).save_pretrained(folder)
    model.save_pretrained(folder)  # type: ignore[operator]
    return str(folder)


def roberta(folder: Path) -> str:
    tokenizer = byte_level()
    config = RobertaConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=100, pad_token_id=1, **SIZES)
    return write(folder, tokenizer, ROBERTA_PIECES, RobertaModel(config))


def deberta(folder: Path) -> str:
    tokenizer = byte_level()
    config = DebertaConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=100, pad_token_id=1,
                           relative_attention=True, pos_att_type=["p2c", "c2p"], **SIZES)
    return write(folder, tokenizer, ROBERTA_PIECES, DebertaModel(config))


def xlnet(folder: Path) -> str:
    tokenizer = unigram(["<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>"], "<unk>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A:0 <sep>:0 <cls>:2", special_tokens=[("<sep>", 4), ("<cls>", 3)]
    )
    config = XLNetConfig(vocab_size=tokenizer.get_vocab_size(), d_model=32, n_layer=2, n_head=2, d_inner=64, pad_token_id=5)
    return write(folder, tokenizer, XLNET_PIECES, XLNetModel(config))


def deberta_v2(folder: Path) -> str:
    tokenizer = unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    config = DebertaV2Config(
        vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=100, pad_token_id=0, relative_attention=True,
        position_buckets=16, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm", share_att_key=True,
        position_biased_input=False, **SIZES,
    )
    return write(folder, tokenizer, BERT_PIECES, DebertaV2Model(config))


FAMILIES = {"roberta": roberta, "deberta": deberta, "xlnet": xlnet, "deberta-v2": deberta_v2}
