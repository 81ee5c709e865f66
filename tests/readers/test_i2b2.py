"""i2b2/VA 2010: the invented records of tests/data/i2b2, which hold the traps of the format, and broken ones."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjoin.document import Corpus, Document
from conjoin.errors import DataError
from conjoin.readers import Problems, detect, load, read_corpus

FOLDER = Path(__file__).parents[1] / "data" / "i2b2"
LINES = {document.id: document for document in read_corpus(FOLDER)}


def spans(document: Document) -> list[tuple[str, str]]:
    return [(entity.type, entity.text) for entity in document.entities]


def triples(documents: Iterable[Document]) -> list[tuple[str, str, str]]:
    return [(relation.type, relation.head.text, relation.tail.text)
            for document in documents for relation in document.relations]


def kinds(corpus: Corpus) -> dict[str, int]:
    return dict(Counter(problem.kind for problem in corpus.problems))


def write(folder: Path, text: str, concepts: str = "", relations: str | None = "", name: str = "a") -> Path:
    """A record; its concepts and relations are written without the `c=` that each text has."""
    (folder / f"{name}.txt").write_text(text, newline="")
    (folder / f"{name}.con").write_text(marked(concepts))
    if relations is not None:
        (folder / f"{name}.rel").write_text(marked(relations))
    return folder / f"{name}.con"


def marked(lines: str) -> str:
    return "".join(f'c={line.strip().replace("||#", "||c=")}\n' for line in lines.split("\n") if line.strip())


# --- the sample ------------------------------------------------------------------------------------------------------


def test_sample() -> None:
    corpus = read_corpus(FOLDER)
    assert corpus.format == "i2b2"
    assert list(corpus.splits) == ["all"]
    assert [document.id for document in corpus] == [
        "record-1#1", "record-1#3", "record-1#4", "record-1#5", "record-1#6", "record-1#7", "record-1#8", "record-2#1",
        "record-3#1"]
    assert Counter(entity.type for document in corpus for entity in document.entities) == {
        "problem": 6, "treatment": 4, "test": 3}
    assert Counter(triple[0] for triple in triples(corpus)) == {"TrAP": 1, "TeRP": 3, "TrCP": 1, "TrWP": 1}
    assert kinds(corpus) == {"duplicate-entity": 1, "concept-over-lines": 2, "duplicate-relation": 1,
                             "relation-across-sentences": 1, "overlapping-entity": 2, "no-relation-file": 1,
                             "unread-annotation": 1}
    assert not any(problem.repair for problem in corpus.problems)
    assert {problem.kind for problem in corpus.problems if problem.loss} == {
        "concept-over-lines", "relation-across-sentences", "unread-annotation"}


@pytest.mark.parametrize("ending", [".con", ".rel"])
def test_content_tells_the_format(ending: str, tmp_path: Path) -> None:
    shutil.copy(FOLDER / f"record-1{ending}", tmp_path / "anything.dat")
    assert detect(tmp_path / "anything.dat") == "i2b2"
    assert detect(FOLDER) == "i2b2"
    with pytest.raises(DataError, match=r"anything\.dat: there is no anything\.con beside it or in one of"):
        read_corpus(tmp_path / "anything.dat")
    assert kinds(read_corpus(tmp_path / "anything.dat", lenient=True)) == {"missing-partner": 2}


@pytest.mark.parametrize("ending", [".con", ".rel", ".txt"])
def test_any_file_names_the_record(ending: str) -> None:
    corpus = read_corpus(FOLDER / f"record-1{ending}", "i2b2")
    assert corpus.documents == tuple(document for id, document in LINES.items() if id.startswith("record-1"))
    assert kinds(corpus)["unread-annotation"] == 1


# --- the traps of the format, one by one -----------------------------------------------------------------------------


def test_lines_count_from_1_and_words_from_0_and_empty_lines_count() -> None:
    assert "record-1#2" not in LINES
    assert spans(LINES["record-1#3"]) == [("treatment", "Velorin"), ("problem", "grey hand syndrome")]


def test_two_blanks_make_no_empty_word() -> None:
    assert "Velorin  for" in LINES["record-1#3"].text
    assert LINES["record-1#3"].words[4:6] == ["Velorin", "for"]


def test_the_quoted_text_is_in_lower_case_and_any_case_will_do(tmp_path: Path) -> None:
    assert triples([LINES["record-1#3"]]) == [("TrAP", "Velorin", "grey hand syndrome")]
    assert read_corpus(write(tmp_path, "no Pain\n", '"PAIN" 1:1 1:1||t="problem"')).problems == ()


def test_a_leading_blank_has_an_empty_word_before_it_where_the_text_says_so(tmp_path: Path) -> None:
    assert LINES["record-1#4"].text.startswith(" CT")
    assert spans(LINES["record-1#4"]) == [("test", "CT of the neck"), ("problem", "mild swelling")]
    plain = read_corpus(write(tmp_path, " CT of it\n", '"ct" 1:0 1:0||t="test"'))
    assert spans(plain.documents[0]) == [("test", "CT")]
    both = read_corpus(write(tmp_path, " no no\n", '"no" 1:1 1:1||t="test"'))
    assert both.documents[0].entities[0].start == 0  # either fits; in the corpus the empty word counts
    path = write(tmp_path, " CT of it\n", '"ct" 1:1 1:1||t="test"\n"x" 1:0 1:0||t="test"')
    with pytest.raises(DataError, match=r"a\.con:2: test 'x' has words 1:0 1:0, line 1 has 3"):
        read_corpus(path)


def test_only_plain_blanks_part_words(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, "five\u00a0mg\tof it\r\n", '"it" 1:2 1:2||t="test"'))
    assert corpus.documents[0].words == ["five\u00a0mg", "of", "it"]


def test_quotes_inside_the_quotes() -> None:
    assert spans(LINES["record-1#5"])[0] == ("treatment", '" pin placement " in left foot')
    assert ("TrCP", '" pin placement " in left foot', "pain") in triples([LINES["record-1#5"]])


def test_bars_inside_the_quotes(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, 'a||t="x" 1:0 caused pain\n', '"a||t="x" 1:0" 1:0 1:1||t="treatment"\n'
                               '"pain" 1:3 1:3||t="problem"', '"a||t="x" 1:0" 1:0 1:1||r="TrCP"||#"pain" 1:3 1:3'))
    assert triples(corpus) == [("TrCP", 'a||t="x" 1:0', "pain")]


def test_a_concept_over_the_end_of_a_line_goes_with_its_relations() -> None:
    assert not LINES["record-1#6"].entities
    notes = [problem for problem in read_corpus(FOLDER).problems if problem.kind == "concept-over-lines"]
    assert [(Path(note.path).name, note.line) for note in notes] == [("record-1.con", 9), ("record-1.rel", 6)]


def test_a_concept_written_twice_is_one() -> None:
    assert spans(LINES["record-1#5"]).count(("problem", "pain")) == 1


def test_nested_concepts_stay_and_are_noted() -> None:
    assert spans(LINES["record-1#8"]) == [("problem", "Elevated BUN"), ("test", "BUN")]
    corpus = read_corpus(FOLDER / "record-1.con", options={"overlap": "keep-longer"})
    assert spans(corpus.documents[-1]) == [("problem", "Elevated BUN")]


def test_of_two_types_on_one_span_the_relation_takes_its_own() -> None:
    (relation,) = LINES["record-2#1"].relations
    assert {entity.type for entity in LINES["record-2#1"].entities} == {"treatment", "test", "problem"}
    assert (relation.head.type, relation.tail.type) == ("test", "problem")


def test_a_relation_across_lines_is_left_out() -> None:
    assert "PIP" not in {triple[0] for triple in triples(LINES.values())}


@pytest.mark.parametrize("relations", ["", None])
def test_no_relations(relations: str | None, tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, "No pain .\n", '"pain" 1:1 1:1||t="problem"', relations))
    assert [spans(document) for document in corpus] == [[("problem", "pain")]]
    assert kinds(corpus) == ({} if relations == "" else {"no-relation-file": 1})


def test_arguments_of_unusual_types_are_noted(tmp_path: Path) -> None:
    concepts = '"it" 1:0 1:0||t="problem"\n"pain" 1:2 1:2||t="problem"'
    corpus = read_corpus(write(tmp_path, "it causes pain\n", concepts, '"it" 1:0 1:0||r="TrCP"||#"pain" 1:2 1:2'))
    assert (triples(corpus), kinds(corpus)) == ([("TrCP", "it", "pain")], {"signature": 1})


# --- folders ---------------------------------------------------------------------------------------------------------


def release(folder: Path) -> Path:
    """A folder in the layout of the release: two training parts, and a test part whose texts lie elsewhere."""
    training, reference = folder / "concept_assertion_relation_training_data", folder / "reference_standard_for_test_data"
    for name, part in (("record-1", training / "beth"), ("record-2", training / "partners"), ("record-3", reference)):
        places = {".con": part / ("concepts" if part == reference else "concept"), ".rel": part / "rel",
                  ".ast": part / "ast", ".txt": folder / "test_data" if part == reference else part / "txt"}
        for ending, place in places.items():
            place.mkdir(parents=True, exist_ok=True)
            if (FOLDER / f"{name}{ending}").exists():
                shutil.copy(FOLDER / f"{name}{ending}", place)
    return folder


def test_the_release(tmp_path: Path) -> None:
    corpus = read_corpus(release(tmp_path))
    assert corpus.format == "i2b2"
    assert {split: {document.id.partition("#")[0] for document in documents}
            for split, documents in corpus.splits.items()} == {"train": {"record-1", "record-2"}, "test": {"record-3"}}
    assert set(corpus.documents) == set(read_corpus(FOLDER).documents)
    merged = read_corpus(tmp_path, options={"splits": "none"})
    assert list(merged.splits) == ["all"]
    assert merged.documents == corpus.documents


def test_parts_that_name_no_split_are_merged(tmp_path: Path) -> None:
    corpus = read_corpus(release(tmp_path) / "concept_assertion_relation_training_data" / "beth")
    assert {split: len(documents) for split, documents in corpus.splits.items()} == {"all": 7}
    (tmp_path / "concept_assertion_relation_training_data").rename(tmp_path / "parts")
    assert list(read_corpus(tmp_path / "parts").splits) == ["all"]
    assert {document.id.partition("#")[0] for document in read_corpus(tmp_path / "parts")} == {"record-1", "record-2"}


def test_one_record_of_the_release(tmp_path: Path) -> None:
    root = release(tmp_path)
    beth = root / "concept_assertion_relation_training_data" / "beth"
    expected = read_corpus(FOLDER / "record-1.con").documents
    assert read_corpus(beth / "concept" / "record-1.con").documents == expected
    assert read_corpus(beth / "txt" / "record-1.txt", "i2b2").documents == expected
    reference = root / "reference_standard_for_test_data" / "concepts" / "record-3.con"
    assert [spans(document) for document in read_corpus(reference)] == [[("problem", "complaints")]]


def test_records_of_one_name_in_two_parts_are_two(tmp_path: Path) -> None:
    for part, said in (("beth", "pain"), ("partners", "fever")):
        (tmp_path / part).mkdir()
        write(tmp_path / part, f"No {said} .\n", f'"{said}" 1:1 1:1||t="problem"')
    corpus = read_corpus(tmp_path)
    assert [spans(document) for document in corpus] == [[("problem", "pain")], [("problem", "fever")]]
    assert corpus.problems == ()


def test_the_nearest_text_is_read(tmp_path: Path) -> None:
    for folder, text in (("a_draft", "No gain .\n"), ("final", "No pain .\n")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, text, '"pain" 1:1 1:1||t="problem"')
    (tmp_path / "a_draft" / "a.con").unlink()
    (tmp_path / "a_draft" / "a.rel").unlink()
    corpus = read_corpus(tmp_path)
    assert [document.text for document in corpus] == ["No pain ."]
    assert [problem.message for problem in corpus.problems] == [
        f"1 .txt files have no .con file of their own and are left out, the first of them {tmp_path}/a_draft/a.txt"]


def test_partners_that_are_missing(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path, "No pain .\n", '"pain" 1:1 1:1||t="problem"', name=name)
    (tmp_path / "a.txt").unlink()
    (tmp_path / "b.con").unlink()
    with pytest.raises(DataError, match=r"b\.rel: 1 \.rel files such as this one have no \.con file of their own; correct"):
        read_corpus(tmp_path)
    with pytest.raises(DataError, match=r"a\.con: there is no a\.txt for it; give the folder that holds both; correct it"):
        (tmp_path / "b.rel").rename(tmp_path / "rel.b")
        read_corpus(tmp_path)
    (tmp_path / "rel.b").rename(tmp_path / "b.rel")
    problems = Problems(lenient=True)
    assert len(load(tmp_path, problems)) == 1
    assert [(problem.kind, Path(problem.path).name) for problem in problems.entries] == [
        ("file-not-read", tmp_path.name), ("missing-partner", "b.rel"), ("missing-partner", "a.con")]


def test_two_annotations_of_one_text(tmp_path: Path) -> None:
    for folder in ("gold", "guess"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, "No pain .\n", '"pain" 1:1 1:1||t="problem"')
    (tmp_path / "gold" / "a.txt").rename(tmp_path / "a.txt")
    (tmp_path / "guess" / "a.txt").unlink()
    with pytest.raises(DataError, match=r"guess/a\.con: there is no a\.txt for it"):
        read_corpus(tmp_path)
    assert len(read_corpus(tmp_path, lenient=True)) == 1


def test_relations_are_not_borrowed_from_a_record_of_the_same_name(tmp_path: Path) -> None:
    for part, relations in (("beth", None), ("partners", '"pain" 1:1 1:1||r="PIP"||#"fever" 1:3 1:3')):
        (tmp_path / part).mkdir()
        write(tmp_path / part, "No pain or fever .\n", PAIN + FEVER, relations)
    assert [len(document.relations) for document in read_corpus(tmp_path)] == [0, 1]
    assert not triples(read_corpus(tmp_path / "beth" / "a.con"))


# --- what is wrong ---------------------------------------------------------------------------------------------------

PAIN, FEVER = '"pain" 1:1 1:1||t="problem"\n', '"fever" 1:3 1:3||t="problem"\n'
BROKEN = {
    "malformed-row": ("pain 1:1 1:1\n", "", r"a\.con:1: 'c=pain 1:1 1:1' is not c="),
    "span-out-of-range": ('"pain" 1:1 1:9||t="problem"', "", r"a\.con:1: problem 'pain' has words 1:1 1:9, line 1 has 5"),
    "text-disagrees": ('"gain" 1:1 1:1||t="problem"', "", r"a\.con:1: 'gain' is said to be at 1:1 1:1, where the text has "
                       "'Pain'"),
    "relation-end": (PAIN, '"pain" 1:1 1:1||r="PIP"||#"fever" 1:3 1:3', r"a\.rel:1: PIP points at 1:3 1:3 \('fever'\), "
                     "which is no concept that could be read"),
    "self-relation": (PAIN, '"pain" 1:1 1:1||r="PIP"||#"pain" 1:1 1:1', r"a\.rel:1: PIP connects 'pain' with itself"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_repaired(kind: str, tmp_path: Path) -> None:
    concepts, relations, told = BROKEN[kind]
    path = write(tmp_path, "No Pain or fever .\n", concepts, relations)
    with pytest.raises(DataError, match=f"{told}.*; correct it, or use --lenient"):
        read_corpus(path)
    problems = Problems(lenient=True)
    corpus = load(path, problems)
    assert [problem.kind for problem in problems.entries if problem.repair] == [kind]
    assert (len(corpus), triples(corpus)) == (1, [])


@pytest.mark.parametrize(("concepts", "relations", "told"), [
    ('"x" 0:0 0:0||t="test"', "", r"a\.con:1: 'x' is in line 0, the text has 1"),
    ('"x" 3:0 3:0||t="test"', "", r"a\.con:1: 'x' is in line 3, the text has 1"),
    ('"x" 1:3 1:1||t="test"', "", r"a\.con:1: test 'x' has words 1:3 1:1"),
    (PAIN, '"x" 7:0 7:0||r="PIP"||#"x" 7:1 7:1', r"a\.rel:1: PIP points at 7:0 7:0"),
    (PAIN + FEVER, '"pain" 1:1 1:1||r="PIP"||#"aches" 1:3 1:3', r"a\.rel:1: 'aches' is said to be at 1:3 1:3"),
    (PAIN, '"pain" 1:1 1:1||r="PIP"', r"""a\.rel:1: 'c="pain" 1:1 1:1..r="PIP"' is not c="text" line"""),
    ('"x" ' + "9" * 5000 + ':0 1:0||t="test"', "", r"a\.con:1: '.*' is not c="),
])
def test_what_is_lacking_is_said(concepts: str, relations: str, told: str, tmp_path: Path) -> None:
    path = write(tmp_path, "No Pain or fever .\n", concepts, relations)
    with pytest.raises(DataError, match=told):
        read_corpus(path)
    assert len(read_corpus(path, lenient=True)) == 1


def test_a_concept_on_an_empty_line(tmp_path: Path) -> None:
    path = write(tmp_path, "\nNo pain\n", '"x" 1:0 1:0||t="test"')
    with pytest.raises(DataError, match=r"test 'x' has words 1:0 1:0, line 1 has 0"):
        read_corpus(path)
    assert [document.id for document in read_corpus(path, lenient=True)] == ["a#2"]


def test_files_that_are_empty_or_not_utf8(tmp_path: Path) -> None:
    corpus = read_corpus(write(tmp_path, "", ""), "i2b2")
    assert (len(corpus), corpus.problems) == (0, ())
    with pytest.raises(DataError, match=r"a\.con: the file is empty"):
        read_corpus(tmp_path / "a.con")
    (tmp_path / "a.txt").write_bytes(b"sch\xf6n\n")
    with pytest.raises(DataError, match=r"a\.txt:1: byte 0xf6 at position 3 is not UTF-8"):
        read_corpus(tmp_path)
    assert read_corpus(tmp_path, lenient=True).documents[0].text == "schön"


# --- whatever the words ----------------------------------------------------------------------------------------------

WORDS = st.lists(st.text(st.sampled_from('aBÖß"|:=1 ').filter(str.strip), min_size=1, max_size=4), max_size=6)


@settings(deadline=None, max_examples=40)
@given(st.lists(WORDS, max_size=4), st.data())
def test_what_is_written_is_read(text: list[list[str]], data: Any) -> None:
    documents = []
    for number, words in enumerate(text, start=1):
        spans = st.tuples(st.integers(0, len(words)), st.integers(0, len(words))).filter(lambda span: span[0] < span[1])
        held = sorted(data.draw(st.sets(spans, max_size=4))) if words else []
        pairs = st.tuples(st.sampled_from(held), st.sampled_from(held)).filter(lambda pair: pair[0] != pair[1])
        related = sorted(data.draw(st.sets(pairs, max_size=3))) if len(held) > 1 else []
        documents.append((number, words, held, related))
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), documents)
        corpus = read_corpus(path, "i2b2")
    found = {document.id: document for document in corpus}
    assert set(found) == {f"a#{number}" for number, words, _, _ in documents if words}
    for number, words, held, related in documents:
        if words:
            document = found[f"a#{number}"]
            assert document.words == words
            assert [(entity.start, entity.end) for entity in document.entities] == held
            assert [((r.head.start, r.head.end), (r.tail.start, r.tail.end)) for r in document.relations] == related


Span = tuple[int, int]


def written(folder: Path, documents: Sequence[tuple[int, list[str], list[Span], list[tuple[Span, Span]]]]) -> Path:
    def mark(number: int, words: list[str], span: Span) -> str:
        said = " ".join(words[span[0] : span[1]]).lower()
        return f'c="{said}" {number}:{span[0]} {number}:{span[1] - 1}'

    lines = "".join(" ".join(words) + "\n" for _, words, _, _ in documents)
    (folder / "a.txt").write_text(lines)
    (folder / "a.con").write_text("".join(f'{mark(number, words, span)}||t="problem"\n'
                                          for number, words, held, _ in documents for span in held))
    (folder / "a.rel").write_text("".join(f'{mark(number, words, head)}||r="PIP"||{mark(number, words, tail)}\n'
                                          for number, words, _, related in documents for head, tail in related))
    return folder / "a.con"


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([".txt", ".con", ".rel"]), st.integers(0, 5000), st.binary(max_size=3), st.integers(0, 40))
def test_damage_is_never_more_than_an_error_in_the_data(ending: str, place: int, put: bytes, gone: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for file in FOLDER.glob("record-1.*"):
            shutil.copy(file, folder)
        path = Path(folder) / f"record-1{ending}"
        raw = path.read_bytes()
        place %= len(raw)
        path.write_bytes(raw[:place] + put + raw[place + gone :])
        try:
            read_corpus(folder, "i2b2", lenient=True)
        except DataError as error:
            assert folder in str(error)


# --- the sample of the shared folder ---------------------------------------------------------------------------------


def test_format_sample(data_folder: Path) -> None:
    folder = data_folder / "format_samples" / "i2b2_2010"
    if not folder.is_dir():
        pytest.skip("no format_samples")
    corpus = read_corpus(folder, "i2b2")
    assert len(corpus) == 6
    assert triples(corpus) == [
        ("TrAP", "Lisinopril", "high blood pressure"), ("TeRP", "A chest x-ray", "mild pneumonia"),
        ("TrWP", "amoxicillin", "the cough"), ("PIP", "mild pneumonia", "the cough")]
    assert kinds(corpus) == {"unread-annotation": 1}
