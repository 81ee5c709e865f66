"""What all tests share: one thread, no network, a tiny random encoder, three documents to learn by heart."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
import torch

from conjoin.config.presets import load_config
from conjoin.config.settings import Config
from conjoin.document import Document, Entity, Relation
from conjoin.schema import Schema

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell: processes begun here must hear it
    signal.signal(signal.SIGINT, signal.default_int_handler)

KNOWN_WORDS = """a the of in and by was with who from for at on to is lives works leads joined shot killed mayor maria
ortiz halden steel leeds england oslo norway lee oswald kennedy dallas texas acme corp . , ' " -- ( )"""
SENTENCES = (
    "Maria Ortiz leads the Halden Steel of Leeds .",
    "Lee Oswald shot Kennedy in Dallas .",
    "The mayor joined Acme Corp in Oslo .",
)


def build_encoder(folder: Path) -> Path:
    """Write a BERT of two layers of width 32 with random weights, and a WordPiece tokenizer of letters and some words."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    whole = dict.fromkeys([*letters, *KNOWN_WORDS.split()])
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *whole, *(f"##{letter}" for letter in letters)]
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
def data_folder() -> Path:
    """The folder of published corpora and fixtures that $CONJOIN_DATA names; tests that need it are skipped without."""
    folder = Path(os.environ.get("CONJOIN_DATA", "/nowhere"))
    if not folder.is_dir():
        pytest.skip("CONJOIN_DATA names no folder")
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Results do not depend on which test ran before: threads of batches leave as many of torch as their model names."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Nothing is kept in the user's own cache."""
    os.environ["CONJOIN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny random encoder."""
    return str(build_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    """Three documents with entities, relations, a relation-free one among them."""
    ortiz, halden, leeds = Entity("Peop", 0, 2), Entity("Org", 4, 6), Entity("Loc", 7, 8)
    oswald, kennedy, dallas = Entity("Peop", 0, 2), Entity("Peop", 3, 4), Entity("Loc", 5, 6)
    first, second, third = (text.split() for text in SENTENCES)
    return [
        Document.from_words(
            first, [ortiz, halden, leeds],
            [Relation("Work_For", ortiz, halden), Relation("OrgBased_In", halden, leeds)], id="d1",
        ),
        Document.from_words(second, [oswald, kennedy, dallas], [Relation("Kill", oswald, kennedy)], id="d2"),
        Document.from_words(third, [Entity("Org", 3, 5), Entity("Loc", 6, 7)], id="d3"),
    ]


@pytest.fixture(scope="session")
def schema(documents: list[Document]) -> Schema:
    """What the three documents show."""
    return Schema.from_documents(documents)


@pytest.fixture(scope="session")
def shrunk(encoder: str) -> Callable[..., Config]:
    """A preset on the tiny encoder, with further overrides: `shrunk("conjoin-base", "training.epochs=2")`."""

    def load(preset: str, *overrides: str) -> Config:
        return load_config(preset, [f"encoder.name={encoder}", *overrides])

    return load


SMALL = ("encoder.dropout=0.0", "encoder.train_word_table=true", "entities.dropout=0.0", "relations.dropout=0.0",
         "relations.size=32", "relations.label_size=8", "relations.distance=8", "training.batch_size=3",
         "training.learning_rate=3e-3", "training.head_learning_rate=3e-3", "training.averaging=0",
         "training.warmup=0.0", "training.schedule=constant")


@pytest.fixture(scope="session")
def small(encoder: str) -> list[str]:
    """Overrides of `conjoin-base` with which the tiny encoder learns the three documents by heart in 20 epochs."""
    return [f"encoder.name='{encoder}'", *SMALL, "training.epochs=20"]


@pytest.fixture(scope="session")
def trained_run(small: list[str], documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has learnt the three documents by heart. Not to be changed: copy it."""
    from conjoin import Corpus, load_config, train

    folder = tmp_path_factory.mktemp("run")
    splits = {split: tuple(documents) for split in ("train", "dev", "test")}
    train(load_config("conjoin-base", small), Corpus(splits), output=folder)
    return folder
