"""Each format on its invented samples in tests/data/<format>/."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from conjoin.document import Corpus, Document
from conjoin.errors import DataError
from conjoin.readers import Problems, load, read_corpus, read_documents

DATA = Path(__file__).parents[1] / "data"


def spans(document: Document) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in document.entities]


def triples(document: Document) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text) for relation in document.relations]


def kinds(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in corpus.problems))


def repaired(problems: Problems) -> Counter[str]:
    return Counter(problem.kind for problem in problems.entries if problem.repair)


def broken(path: str) -> tuple[Corpus, Problems]:
    """The file read leniently, after checking that strict reading refuses it."""
    with pytest.raises(DataError, match="--lenient"):
        read_corpus(DATA / path)
    problems = Problems(lenient=True)
    return load(DATA / path, problems), problems


def test_bekoulis_sample() -> None:
    corpus = read_corpus(DATA / "bekoulis" / "train.txt")
    assert corpus.format == "bekoulis"
    first, second, third = corpus.train
    assert first.id == "11"
    assert spans(first) == [("Peop", "Ada Quill"), ("Loc", "Port Onno"), ("Org", "Tarn")]
    assert triples(first) == [("Live_In", "Ada Quill", "Port Onno"), ("Work_For", "Ada Quill", "Tarn"),
                              ("OrgBased_In", "Tarn", "Port Onno")]
    assert spans(second) == [("Loc", "Vell"), ("Loc", "Marrow"), ("Peop", "Bea")]
    assert not third.entities
    assert not third.relations
    assert kinds(corpus) == {"opening-i-tag": 2}
    assert [problem.line for problem in corpus.problems] == [12, 15]
    assert not any(problem.loss for problem in corpus.problems)


def test_bekoulis_broken() -> None:
    corpus, problems = broken("bekoulis/broken.txt")
    assert [document.words for document in corpus] == [["Ada", "at", "Onno", "and", "so"], ["slowly"]]
    assert triples(corpus.documents[0]) == [("Live_In", "Ada", "Onno")]
    assert repaired(problems) == {"unknown-tag": 1, "word-number": 1, "duplicate-relation": 1, "relation-end": 1,
                                 "self-relation": 1, "empty-sentence": 1, "malformed-row": 2}
    assert problems.counts()["head-without-relation"] == 1


def test_strict_error_names_place_wrong_and_remedy() -> None:
    path = DATA / "bekoulis" / "broken.txt"
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    assert str(caught.value) == (f"{path}:5: tag 'Q-Loc' is no tag of the scheme BIO; correct it, or use "
                                 "--lenient (lenient=True), which reads the word as outside")


def test_tfmtrnn_folder() -> None:
    corpus = read_corpus(DATA / "tfmtrnn")
    assert corpus.format == "tfmtrnn"
    (train,), (test,) = corpus.train, corpus.test
    assert train.words == ["Ada", ",", "Jr.", "Quill", "left", "(", "Port", "Onno", ")", ",", "Tarn"]
    assert triples(train) == [("Live_In", "Ada , Jr. Quill", "Port Onno"), ("OrgBased_In", "Tarn", "Port Onno")]
    assert triples(test) == [("Kill", "Bea", "Cid")]
    assert list(corpus.splits) == ["train", "test"]
    assert kinds(corpus) == {"not-in-lists": 1}
    assert corpus.problems[0].loss
    assert "1 sentences with 2 entities" in corpus.problems[0].message


def test_tfmtrnn_keeps_relation_free_sentences_on_request() -> None:
    corpus = read_corpus(DATA / "tfmtrnn", options={"relation-free": "yes"})
    (extra,) = corpus.splits["extra"]
    assert spans(extra) == [("Loc", "Vell"), ("Other", "/")]
    assert corpus.problems == ()
    assert len(read_corpus(DATA / "tfmtrnn" / "corp.tsv").splits["all"]) == 3


def test_tfmtrnn_lists_that_disagree(tmp_path: Path) -> None:
    corpus_file = (DATA / "tfmtrnn" / "corp.tsv").read_text()
    (tmp_path / "corp.tsv").write_text(corpus_file + "\n" + corpus_file)
    (tmp_path / "training_indx_sentence.txt").write_text("1: a\n9: b\n")
    (tmp_path / "testing_indx_sentence.txt").write_text("1: a\n3: c\n")
    problems = Problems(lenient=True)
    corpus = load(tmp_path, problems)
    assert {split: len(documents) for split, documents in corpus.splits.items()} == {"train": 1, "test": 1}
    assert repaired(problems) == {"duplicate-id": 3, "unknown-id": 1, "listed-twice": 1}


def test_giorgi_sample() -> None:
    corpus = read_corpus(DATA / "giorgi" / "sample.tsv")
    assert corpus.format == "giorgi"
    assert corpus.problems == ()
    assert [triples(document) for document in corpus] == [
        [("ADE", "Velorin", "grey hand syndrome")],
        [("ADE", "Ossamine forte", "Rash"), ("ADE", "Ossamine forte", "hiccups")],
        [],
    ]
    turned = read_corpus(DATA / "giorgi" / "sample.tsv", options={"direction": "effect-drug"})
    assert triples(turned.documents[0]) == [("ADE", "grey hand syndrome", "Velorin")]


def test_giorgi_broken() -> None:
    corpus, problems = broken("giorgi/broken.tsv")
    first, second = corpus
    assert spans(first) == [("DRUG", "velorin"), ("AE", "poisoning")]
    assert triples(first) == [("ADE", "velorin", "poisoning")]
    assert triples(second) == [("ADE", "Velorin", "ossamine"), ("ADE", "rash", "ossamine")]
    assert repaired(problems) == {"illegal-tag": 2, "duplicate-relation": 1, "malformed-row": 1, "unknown-tag": 1,
                                 "relation-end": 1, "self-relation": 1}
    assert problems.counts()["signature"] == 3


def test_spert_sample() -> None:
    corpus = read_corpus(DATA / "spert" / "sample_train.json")
    assert corpus.format == "spert"
    assert [document.id for document in corpus.train] == ["31", "77_1", "33"]
    assert triples(corpus.train[1]) == [("Adverse-Effect", "velorin poisoning", "velorin"),
                                        ("Adverse-Effect", "strikes", "velorin")]
    assert kinds(corpus) == {"overlapping-entity": 1, "unread-field": 1}


@pytest.mark.parametrize(("rule", "entities", "relations"), [("keep", 3, 2), ("keep-longer", 2, 0),
                                                              ("drop-relations", 3, 1)])
def test_overlap_rules(rule: str, entities: int, relations: int) -> None:
    # velorin lies in velorin poisoning: two relations touch it, one of them connects the two
    corpus = read_corpus(DATA / "spert" / "sample_train.json", options={"overlap": rule})
    document = corpus.train[1]
    assert (len(document.entities), len(document.relations)) == (entities, relations)
    counted = kinds(corpus)
    assert counted.get("removed-entity", 0) == 3 - entities
    assert counted.get("removed-relation", 0) == 2 - relations
    assert counted.get("no-relation-left", 0) == (relations == 0)
    assert sum(problem.loss for problem in corpus.problems) == 5 - entities - relations


def test_spert_broken() -> None:
    corpus, problems = broken("spert/broken.json")
    assert [document.id for document in corpus] == ["1", "4"]
    assert repaired(problems) == {"span-out-of-range": 1, "duplicate-entity": 1, "malformed-entity": 1,
                                 "relation-out-of-range": 1, "self-relation": 1, "malformed-relation": 1,
                                 "empty-sentence": 1, "malformed-sentence": 1}


@pytest.mark.parametrize("text", ['[{"tokens": ["a"}]', '{"tokens": []}'])
def test_spert_that_is_no_json_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json"):
        read_corpus(tmp_path / "a.json", "spert", lenient=True)


def test_a_spert_id_that_is_null_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"tokens": ["a"], "orig_id": null}, {"tokens": ["b"], "orig_id": 0}]')
    assert [document.id for document in read_corpus(tmp_path / "a.json")] == ["", "0"]


def test_ade_sample() -> None:
    corpus = read_corpus(DATA / "ade" / "DRUG-AE.rel")
    assert corpus.format == "ade"
    first, second, third = corpus
    # 'Rash' and 'rash' share a line of the abstract with 'ossamine' twice; the offsets tell which is meant
    assert [(entity.text, entity.start) for entity in first.entities] == [("rash", 5), ("ossamine", 2), ("Rash", 0)]
    assert [document.id for document in corpus] == ["700001_1", "700001_2", "700002_1"]
    assert {"velorin", "osis"} < set(second.words)  # velorinosis is cut where the entities begin and end
    assert triples(second) == [("Adverse-Effect", "velorin poisoning", "velorin"),
                               ("Adverse-Effect", "osis", "velorin"), ("Adverse-Effect", "osis", "velorin")]
    assert third.text == "Hiccups | a note | followed keldane."
    assert kinds(corpus) == {"word-cut": 1, "overlapping-entity": 1}
    turned = read_corpus(DATA / "ade" / "DRUG-AE.rel", options={"direction": "drug-effect"})
    assert triples(turned.documents[2]) == [("Adverse-Effect", "keldane", "Hiccups")]


def test_ade_broken() -> None:
    corpus, problems = broken("ade/broken.rel")
    assert triples(corpus.documents[0]) == [("Adverse-Effect", "Rash", "keldane")]
    assert repaired(problems) == {"malformed-row": 1, "text-disagrees": 2}


def test_ade_with_two_possible_starts(tmp_path: Path) -> None:
    # the same distance between the two rashes and the two keldanes, so either pair is possible
    (tmp_path / "a.rel").write_text("7|rash keldane rash keldane|rash|20|24|keldane|25|32\n")
    corpus = read_corpus(tmp_path / "a.rel")
    assert kinds(corpus) == {"ambiguous-start": 1}
    assert spans(corpus.documents[0]) == [("Adverse-Effect", "rash"), ("Drug", "keldane")]


def test_jsonl_sample() -> None:
    documents, problems = read_documents(DATA / "jsonl" / "sample.jsonl")
    first, second, third = documents
    assert triples(first) == [("Live_In", "Ada Quill", "Port Onno")]
    assert (first.entities[0].score, first.relations[0].score) == (0.91, 0.5)
    assert spans(second) == [("Peop", "Željko"), ("Loc", "Ölm"), ("Peop", "Željko — née Øst")]
    assert third.words == ["Nothing", "happened", "."]
    assert [problem.kind for problem in problems] == ["overlapping-entity"]


def test_jsonl_broken() -> None:
    corpus, problems = broken("jsonl/broken.jsonl")
    first, empty, last = corpus
    # the entities Port and onno. of the one word Portonno are both there: it is cut between them
    assert first.words == ["Ada", "left", "Port", "onno", "."]
    assert spans(first) == [("Peop", "Ada"), ("Loc", "Port"), ("Loc", "onno."), ("Verb", "left")]
    assert triples(first) == [("Live_In", "Ada", "Port")]
    assert (empty.id, empty.words) == ("x5", [])
    assert spans(last) == [("Peop", "Ada"), ("Verb", "left")]
    assert repaired(problems) == {
        "text-disagrees": 1, "span-out-of-range": 1, "white-space-edge": 1, "inside-word": 2, "unknown-id": 1,
        "self-relation": 1, "duplicate-relation": 1, "malformed-relation": 1, "malformed-json": 1,
        "malformed-document": 1, "malformed-entities": 1, "malformed-tokens": 1, "malformed-entity": 1,
        "span-without-words": 1, "duplicate-id": 1,
    }
    lines = {problem.line for problem in problems.entries if problem.kind.startswith("malformed")}
    assert lines == {1, 2, 3, 5, 6}


def test_numbers_that_no_computer_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine"}\n{"text": "a", "n": ' + "1" * 5000 + "}\n")
    with pytest.raises(DataError, match=r"a\.jsonl:2: malformed JSON \(a number of thousands of digits\); correct it"):
        read_corpus(path)
    corpus = read_corpus(path, lenient=True)
    assert (len(corpus), kinds(corpus)) == (1, {"malformed-json": 1})
    path = tmp_path / "a.json"
    path.write_text('[{"tokens": ["a"], "n": ' + "1" * 5000 + "}]\n")
    with pytest.raises(DataError, match=r"a\.json: malformed JSON \(a number of thousands of digits\); correct the file"):
        read_corpus(path, lenient=True)


@pytest.mark.parametrize("score", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, '"0.9"'])
def test_scores_that_are_no_finite_numbers(score: str, tmp_path: Path) -> None:
    entities = ", ".join(f'{{"id": "{id}", "type": "X", "char_start": {start}, "char_end": {start + 1}, "score": {score}}}'
                         for id, start in (("a", 0), ("b", 2)))
    relation = f'{{"type": "R", "head": "a", "tail": "b", "score": {score}}}'
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "a b", "entities": [{entities}], "relations": [{relation}]}}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1: the score of entity 1 is no finite number; correct it"):
        read_corpus(path)
    corpus = read_corpus(path, lenient=True)
    assert kinds(corpus) == {"malformed-score": 3}
    (document,) = corpus
    assert [value.score for value in (*document.entities, *document.relations)] == [None] * 3


def test_a_written_id_goes_before_a_counted_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a b c", "entities": [{"type": "X", "char_start": 0, "char_end": 1}, '
                    '{"id": "e1", "type": "X", "char_start": 2, "char_end": 3}, '
                    '{"type": "X", "char_start": 4, "char_end": 5}], '
                    '"relations": [{"type": "R", "head": "e1", "tail": "e3"}]}\n')
    corpus = read_corpus(path)
    assert (triples(corpus.documents[0]), corpus.problems) == ([("R", "b", "c")], ())


def test_a_misspelt_field_is_a_repair_and_another_one_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a b", "relations": [], "note": 1, "relation_count": 0}\n{"text": "a b", "relation": []}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2: field 'relation' is not read; did you mean 'relations'\?; correct"):
        read_corpus(path)
    corpus = read_corpus(path, lenient=True)
    assert [(problem.kind, problem.repair, problem.line) for problem in corpus.problems] == [
        ("misspelt-field", True, 2), ("unread-field", False, None)]
    assert corpus.problems[1].message == "fields that are not read: note, relation_count"
    for field in ("Relations", "entity", "token", "enitites"):
        path.write_text(f'{{"text": "a", "{field}": []}}\n')
        with pytest.raises(DataError, match="did you mean"):
            read_corpus(path)
    path = tmp_path / "a.json"
    path.write_text('[{"tokens": ["a"], "entities": [], "relation": []}]')
    with pytest.raises(DataError, match=r"a\.json: sentence 0: field 'relation' is not read; did you mean 'relations'"):
        read_corpus(path)


@pytest.mark.parametrize(("entity", "told"), [
    ('{"type": "X", "char_start": "0", "char_end": 1}', """'char_start' is "0", which is no whole number"""),
    ('{"type": "X", "char_start": 0}', "'char_end' is missing;"),
    ('{"type": "X", "char_strat": 0, "char_end": 1}', "'char_start' is missing \\(is 'char_strat' meant to be it"),
    ('{"type": "", "char_start": 0, "char_end": 1}', "'type' is empty"),
    ('"X"', '"X" is no object'),
])
def test_what_an_entity_lacks_is_said(entity: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "a b", "entities": [{entity}]}}\n')
    with pytest.raises(DataError, match=rf"a\.jsonl:1: entity 1 needs type, char_start and char_end: {told}"):
        read_corpus(path)


def test_what_a_relation_lacks_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a b", "relations": [{"type": "X", "head": 1.5, "tail": "e1"}]}\n')
    with pytest.raises(DataError, match=r"relation 1 needs .*: 'head' is 1.5, which is no string or whole number"):
        read_corpus(path)
    path = tmp_path / "a.json"
    path.write_text('[{"tokens": ["a"], "entities": [{"type": "X", "start": 0}], "relations": []}]')
    with pytest.raises(DataError, match="entity 0 needs type, start and end: 'end' is missing"):
        read_corpus(path)
