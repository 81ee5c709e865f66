"""The table of architectures. What config.json says of them: tests/test_extractor.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conjoin.annotator import Annotator
from conjoin.config.settings import Config
from conjoin.document import Document
from conjoin.errors import ModelError
from conjoin.modeling.architectures import ARCHITECTURES, DEFAULT, find_architecture
from conjoin.modeling.joint import JointModel
from conjoin.schema import Schema


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_builds_a_model_that_annotates(
    name: str, shrunk: Callable[..., Config], schema: Schema, documents: list[Document]
) -> None:
    architecture = find_architecture(name)
    config = shrunk("conjoin-base")
    assert isinstance(config, architecture.settings)
    model = architecture.build(config, schema, documents, None)
    assert isinstance(model, JointModel)
    annotator = Annotator(architecture.backend(model, "no"), model.decoder)
    assert [document.bare() for document in annotator.annotate(documents)] == [document.bare() for document in documents]


def test_an_unknown_name_is_one_sentence_with_the_near_name() -> None:
    assert DEFAULT in ARCHITECTURES
    with pytest.raises(ModelError, match=r"config\.json: .*'jiont'.*'joint'") as caught:
        find_architecture("jiont")
    assert "\n" not in str(caught.value)
