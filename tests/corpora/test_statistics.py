from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path

import pytest

from conjoin.corpora.statistics import corpus_statistics, limits, unknown_types
from conjoin.document import Document, Entity, Relation
from conjoin.readers import write_documents
from conjoin.render.statistics import remarks, statistics_to_html
from conjoin.schema import Schema

WORDS = ["Maria", "Ortiz", "leads", "Halden", "Steel", "of", "Leeds", "."]
MARIA, STEEL, LEEDS = Entity("Peop", 0, 2), Entity("Org", 3, 5), Entity("Loc", 6, 7)


def document(entities: list[Entity], relations: Sequence[Relation] = (), *, more: str = "") -> Document:
    return Document.from_words([*WORDS, *more.split()], entities, relations)


def test_counts_by_hand() -> None:
    work, back = Relation("Work_For", MARIA, STEEL), Relation("Knows", MARIA, STEEL)
    forth = Relation("Knows", STEEL, MARIA)
    documents = [document([MARIA, STEEL, LEEDS], [work, back, forth]), document([LEEDS], more="a b")]
    found = corpus_statistics({"train": documents})
    train = found.splits["train"]
    assert (train.documents, train.words) == (2, 18)
    assert train.entities == {"Peop": 1, "Org": 1, "Loc": 2}
    assert train.relations == {"Work_For": 1, "Knows": 2}
    assert train.document_lengths == {8: 1, 10: 1}
    assert train.entity_lengths == {2: 2, 1: 2}
    assert train.entities_per_document == {3: 1, 1: 1}
    assert train.relations_per_document == {3: 1, 0: 1}
    assert train.distances == {1: 3}
    assert train.signatures == {
        ("Work_For", "Peop", "Org"): 1, ("Knows", "Peop", "Org"): 1, ("Knows", "Org", "Peop"): 1
    }
    assert train.several_types == 1
    assert found.symmetric_candidates() == {"Knows": 1.0}


@pytest.mark.parametrize(("second", "expected"), [
    (Entity("Loc", 3, 5), (1, 0, 0)), (Entity("Org", 3, 4), (0, 1, 0)), (Entity("Org", 4, 5), (0, 1, 0)),
    (Entity("Org", 2, 6), (0, 1, 0)), (Entity("Org", 4, 6), (0, 0, 1)), (Entity("Org", 5, 6), (0, 0, 0)),
])
def test_overlaps(second: Entity, expected: tuple[int, int, int]) -> None:
    for entities in ([STEEL, second], [second, STEEL]):
        counts = corpus_statistics({"all": [document(entities)]}).splits["all"]
        assert (counts.same_words, counts.nested, counts.crossing) == expected
        assert counts.overlapping_documents == int(any(expected))


def test_texts_in_several_splits_are_found_whatever_their_spacing() -> None:
    one, two = document([LEEDS]), Document.from_words(["".join(WORDS[:2]), *WORDS[2:]])
    found = corpus_statistics({"train": [one, one, document([], more="x")], "dev": [document([], more="x")], "test": [two]})
    assert found.texts_in_several_splits == {("train", "test"): 1, ("train", "dev"): 1}
    assert found.repeated_texts == 1
    assert remarks(found, [])[0].startswith("1 texts occur in train and ")


def test_many_repeats_of_one_text_take_no_room() -> None:
    def peak(times: int) -> int:
        tracemalloc.start()
        found = corpus_statistics({"train": repeat(document([LEEDS]), times), "test": repeat(document([]), 3)})
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (found.texts_in_several_splits, found.repeated_texts) == ({("train", "test"): 1}, 1)
        return most

    peak(2)
    assert peak(4000) < peak(2) + 4000  # a list of them, copied each time, would take 32,000 bytes and more


def test_types_of_entities_and_relations_are_told_apart() -> None:
    effect, drug = Entity("Effect", 0, 2), Entity("Drug", 3, 5)
    related = document([effect, drug], [Relation("Effect", drug, effect)])
    found = corpus_statistics({"train": [document([effect])], "test": [related]})
    assert found.unseen_types() == {"test": ["Drug", "Effect"]}


def test_limits() -> None:
    knows = [Relation("Knows", MARIA, STEEL), Relation("Likes", MARIA, STEEL)]
    held = document([MARIA, STEEL, Entity("Org", 4, 5)], knows)
    found = corpus_statistics({"train": [document([MARIA, STEEL], [Relation("Knows", STEEL, MARIA)])], "test": [held]})
    said = list(limits(found, decision="softmax", constrain=True))
    assert [sentence.split(" ", 1)[0] for sentence in said] == ["1", "1", "2", "test"]
    assert said[-1] == "test has types that train lacks, which no model can learn: Likes"
    assert len(list(limits(found, decision="sigmoid", constrain=False))) == 2
    schema = Schema(("Peop",), ("Knows",), signatures={"Knows": frozenset({("Peop", "Peop")})})
    assert list(unknown_types(found, schema)) == [
        "3 annotations are of the entity type Org, which the model does not know",
        "1 annotations are of the relation type Likes, which the model does not know",
        "2 relations connect types that their type does not connect in the model",
    ]
    assert not list(limits(corpus_statistics({"train": [document([MARIA])]}), decision="softmax", constrain=True))


def test_the_sum_is_of_all_splits_and_json_is_plain() -> None:
    found = corpus_statistics({"train": [document([MARIA])], "dev": [document([LEEDS], more="b")], "test": []})
    assert found.total.entities == {"Peop": 1, "Loc": 1}
    assert found.total.documents == 2
    assert found.splits["train"].documents == 1  # summing changes no part
    value = found.to_json()
    assert json.loads(json.dumps(value)) == value
    assert value["types_that_train_lacks"] == {"dev": ["Loc"]}


def test_the_page_has_a_chart_for_every_length_and_escapes() -> None:
    long = Document.from_words(["w"] * 900, [Entity("<b>", 0, 1)])
    short = [document([MARIA, STEEL], [Relation("R", MARIA, STEEL)]) for _ in range(99)]
    found = corpus_statistics({"train": [*short, long]})
    page = statistics_to_html(found, title="<title>", problems={"kind": 2}, limits=["a <limit>"])
    assert page.count('<svg class="cj-chart"') == 5
    assert "&lt;b&gt;" in page
    assert "a &lt;limit&gt;" in page
    assert "<b>" not in page.replace("<body", "")
    assert "mean 16.9, at most 900" in page
    assert ">8+: 100</title>" in page  # the long one has no bar of its own: the last is open
    assert page.count("cj-bar") < 60


def test_an_empty_corpus_has_a_page(tmp_path: Path) -> None:
    assert "Counts" in statistics_to_html(corpus_statistics({"all": []}), title="t", problems={}, limits=[])


def test_check_neither_loads_torch_nor_keeps_documents(tmp_path: Path) -> None:
    write_documents([document([MARIA, STEEL], more=str(number)) for number in range(50)], tmp_path / "a.jsonl", "jsonl")
    code = (
        "import sys, gc\n"
        "from conjoin.document import Document\n"
        "from conjoin.corpora.statistics import corpus_statistics\n"
        "from conjoin.readers import Problems, open_corpus\n"
        "_, streams = open_corpus(sys.argv[1], Problems())\n"
        "most = 0\n"
        "def watched(documents):\n"
        "    global most\n"
        "    for document in documents:\n"
        "        most = max(most, sum(isinstance(o, Document) for o in gc.get_objects()))\n"
        "        yield document\n"
        "corpus_statistics({name: watched(documents) for name, documents in streams.items()})\n"
        "print(most, 'torch' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    most, torch = done.stdout.split()
    assert int(most) <= 3
    assert torch == "False"
