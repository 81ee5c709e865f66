"""Sentences, words, windows and merging, by hand and over arbitrary Unicode."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError, SettingError
from conjoin.text.sentences import sentences
from conjoin.text.windows import Unit, merge, split
from conjoin.text.words import BYTE_ORDER_MARK, learn_hyphens, words

PIECES = st.sampled_from([
    "a", "A", "Mr.", "U.S.", "He left.", "'s", "n't", "1,234.5", "1. ", "www.", "https://", "x@y.z", "<b>", "p < 0.05.",
    " ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\n- ",
    "\u200b", "\u200d", "\ufeff", "\u0301", "\ud800", "é", "😀", "👩\u200d👩\u200d👧", "🇩🇪", "中文。", "हिन्दी",
    "-", "--", "_", "...", '"', "``", "''", "“", "(", ".", "?", "!", ";",
])  # fmt: skip
texts = st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join))


def visible(text: str) -> str:
    """What is left of a text without the white space at its ends; a byte-order mark counts as white space."""
    return text.replace(BYTE_ORDER_MARK, " ").strip()


def sentence_texts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


def word_texts(text: str) -> list[str]:
    return [word.text for word in words(text)]


class TestSentences:
    @pytest.mark.parametrize(
        "text",
        [
            "Gov. Smith met Sen. J. F. Kennedy on Jan. 5 in the U.S. Senate.",
            "No. 5 is alive, said Dr. W. E. B. Du Bois.",
            "In 1963 Ms. Toth was late.",
            "The talks began at 3 p.m. EDT and ended at 7 a.m. Tuesday.",
            "Rep. John Doe, R-S.C., spoke to Tim Valentine, D-N.C. , and left.",
            "Mr. and Mrs. O'Brien vs. Jones et al. was decided in Oct. 1999.",
            "See Fig. 3, Eq. 4 and Vol. 3, e.g. the first.",
            "She works for Acme Corp. in St. Louis, Mo.",
            "` ` I would walk out. ' '",
            "He was shot in Dallas. ;",
            "1. Open the box.",
            "What did he say?\" asked Tom.",
        ],
    )
    def test_one(self, text: str) -> None:
        assert sentence_texts(text) == [text]

    @pytest.mark.parametrize(
        "text",
        [
            "He lives in the U.S. | The president left.",
            "It was cold. | \"Then I slept.\" | She won. | Is it? | Yes! | It paid cash.",
            "She works for Acme Inc. | The firm was founded in 1990.",
            "p < 0.05. | H. pylori was found. | Treatment was started.",  # '<' is no markup
            "😀 Yes. | 𝔸 is a letter. | No.",
            "Title of the story\n\n | He left\n \t\n | and came",  # blank lines always end
            "He left\r\n\r\n | and came\f | and went\u2029 | away",
            "Shopping list\n | - eggs\n | - milk and\nhoney\n | 2) bread",
            "# Heading\n | and text",
            "BREAKING NEWS\n | The president of the country has left the capital in\na hurry, officials said.",
        ],
    )
    def test_several(self, text: str) -> None:
        parts = text.split(" | ")
        joined = "".join(part if part[-1] in "\n\f\u2029\t" else part + " " for part in parts)
        assert sentence_texts(joined) == [part.strip() for part in parts]

    def test_wrapped_prose_is_one_sentence(self) -> None:
        text = "The president of the United States met the mayor of New\r\nYork, who had come from\nBoston,\nSaturday"
        assert sentence_texts(text) == [text]

    def test_other_languages(self) -> None:
        text = "Das ist z. B. ein Satz. Das ist der zweite."
        assert [text[start:end] for start, end in sentences(text, language="de")] == [text[:23], text[24:]]

    @given(texts)
    def test_every_visible_character_is_in_exactly_one_sentence(self, text: str) -> None:
        position = 0
        for start, end in sentences(text):
            assert position <= start < end <= len(text)
            assert not visible(text[position:start])
            assert len(text[start:end]) == len(visible(text[start:end]))
            position = end
        assert not visible(text[position:])


class TestWords:
    @pytest.mark.parametrize(
        "expected",
        [
            "He works for Acme Corp. in St. Louis , Mo .",
            "J. F. Kennedy , O.J. Simpson and A.B. Jones live in the U.S.",
            "He said No .",
            "No. 5 costs $ 1,234.50 , or 3 % , at 11:30 p.m.",
            "Hepatitis C .",
            "Kennedy 's boys ' dog did n't see O'Brien",
            "it ’s Ca n't DO N'T I 'm we 'll",
            "Leeds - based 5-FU - induced IL-2 - induced alpha-2b 43-year - old",
            "( « x » ) [ `` Go '' ] -- ... \" a \" !",
            "mg / kg and AT&T",
            "http://a.b/c?d . me@x.org , www.x.org/y )",
            "D - N.C. U.S. - based Ph.D. student",
            "été हिन्दी 中 文 👩\u200d👩\u200d👧 🇩🇪 a \u200b b",
        ],
    )
    def test_by_hand(self, expected: str) -> None:
        """The words of the line without its blanks where words touch, and of the line itself, are the same."""
        assert word_texts(expected) == expected.split()

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Leeds-based (O'Brien's) 3%,", "Leeds - based ( O'Brien 's ) 3 % ,"),
            ("\"He didn't,\" she said.", "\" He did n't , \" she said ."),
            ("J.F.Kennedy's at Acme Inc.", "J.F. Kennedy 's at Acme Inc ."),
            ("left.Then $5...", "left . Then $ 5 ..."),
            ("He came to Dallas (Tex.)", "He came to Dallas ( Tex . )"),
            ("e\u0301te\u0301.", "e\u0301te\u0301 ."),
        ],
    )
    def test_touching(self, text: str, expected: str) -> None:
        assert word_texts(text) == expected.split()

    @given(texts)
    def test_every_visible_character_is_in_exactly_one_word(self, text: str) -> None:
        position = 0
        for word in words(text):
            assert visible(text[position : word.char_start]) == ""
            assert word.text == text[word.char_start : word.char_end]
            assert word.text
            assert not any(character.isspace() or character == BYTE_ORDER_MARK for character in word.text)
            position = word.char_end
        assert visible(text[position:]) == ""


class TestSplit:
    def test_offsets_and_names(self) -> None:
        text = " 😀 He left.\r\n\r\nShe came. "
        units = split(text, id="d")
        assert [unit.document.text for unit in units] == ["😀 He left.", "She came."]
        assert [unit.document.id for unit in units] == ["d#1", "d#2"]
        assert [(unit.char_offset, unit.word_offset) for unit in units] == [(1, 0), (15, 4)]
        assert [(unit.core_start, unit.core_end) for unit in units] == [(0, 4), (0, 3)]

    def test_windows_by_hand(self) -> None:
        # 10 words, windows of 6, 2 words around each core: 0-6 with core 0-5, then from 5 - 1 = 4 on to the end
        units = split("a b c d e f g h i j", max_words=6, overlap=2)
        assert [unit.document.text for unit in units] == ["a b c d e f", "e f g h i j"]
        assert [(unit.word_offset, unit.core_start, unit.core_end) for unit in units] == [(0, 0, 5), (4, 1, 6)]

    def test_windows_prefer_punctuation(self) -> None:
        first = split("a b c , e f g h i j", max_words=6, overlap=2)[0]
        assert first.core_end == 4

    def test_a_byte_order_mark_is_no_word(self) -> None:
        units = split("\ufeffHe left.\ufeff\n\n\ufeffShe\ufeffcame.")
        assert [unit.document.text for unit in units] == ["He left.", "She\ufeffcame."]
        assert [unit.document.words for unit in units] == [["He", "left", "."], ["She", "came", "."]]
        assert [unit.char_offset for unit in units] == [1, 13]

    def test_nothing_to_see(self) -> None:
        assert split("") == split(" \r\n\t\u2028 ") == split("\ufeff") == []
        assert merge(" \n", [], [], id="d") == Document(" \n", (), id="d")

    @pytest.mark.parametrize("overlap", [-1, 5, 6])
    def test_overlap_must_fit(self, overlap: int) -> None:
        with pytest.raises(SettingError, match=r"overlap is .*max_words 5"):
            split("a", max_words=5, overlap=overlap)

    @given(texts, st.integers(1, 8), st.data())
    def test_units_cover_the_text(self, text: str, max_words: int, data: st.DataObject) -> None:
        overlap = data.draw(st.integers(0, max_words - 1))
        units = split(text, max_words=max_words, overlap=overlap)
        position = 0
        for unit in units:
            assert text.startswith(unit.document.text, unit.char_offset)
            assert len(unit.document.tokens) <= max_words
            assert unit.word_offset + unit.core_start == position
            assert unit.core_start < unit.core_end <= len(unit.document.tokens)
            position = unit.word_offset + unit.core_end
        merged = merge(text, units, [unit.document for unit in units])
        whole = [
            (word.text, start + word.char_start) for start, end in sentences(text) for word in words(text[start:end])
        ]
        assert [(token.text, token.char_start) for token in merged.tokens] == whole


LONG = "a b c d e f g h i j"


class TestMerge:
    """Ten words in two windows: words 0-6 (core 0-5) and 4-10 (core 5-10); entities below are in words of the text."""

    units = split(LONG, max_words=6, overlap=2)

    def merged(self, left: list[Entity], right: list[Entity], *relations: tuple[int, Relation]) -> Document:
        def local(entity: Entity, unit: Unit) -> Entity:
            return Entity(entity.type, entity.start - unit.word_offset, entity.end - unit.word_offset, entity.score)

        annotated = []
        for number, (unit, entities) in enumerate(zip(self.units, (left, right), strict=True)):
            moved = [
                Relation(link.type, local(link.head, unit), local(link.tail, unit), link.score)
                for place, link in relations
                if place == number
            ]
            annotated.append(unit.document.annotated([local(entity, unit) for entity in entities], moved))
        return merge(LONG, self.units, annotated, id="d")

    def test_each_window_its_own(self) -> None:
        document = self.merged([Entity("A", 0, 2), Entity("B", 5, 6)], [Entity("C", 4, 5), Entity("D", 8, 9)])
        # B starts in the core of the right window, C in that of the left one; neither owner has it
        assert document.entities == (Entity("A", 0, 2), Entity("D", 8, 9))
        assert [entity.text for entity in document.entities] == ["a b", "i"]
        assert document.id == "d"

    def test_seen_by_both_counts_once_with_the_higher_score(self) -> None:
        document = self.merged([Entity("A", 4, 6, 0.5)], [Entity("A", 4, 6, 0.75)])
        assert document.entities == (Entity("A", 4, 6),)
        assert document.entities[0].score == 0.75

    def test_cut_at_the_right_edge_gives_way_to_the_whole(self) -> None:
        assert self.merged([Entity("A", 4, 6)], [Entity("A", 4, 8)]).entities == (Entity("A", 4, 8),)
        # another type, or nothing at all, mends nothing
        assert self.merged([Entity("A", 4, 6)], [Entity("B", 4, 8)]).entities == (Entity("A", 4, 6),)

    def test_cut_at_the_left_edge_is_dropped(self) -> None:
        assert self.merged([Entity("A", 2, 5)], [Entity("A", 4, 5)]).entities == (Entity("A", 2, 5),)

    def test_a_rest_behind_the_seam_is_dropped(self) -> None:
        # the left window saw 3-6 over the seam at 5, the right one only its last word
        assert self.merged([Entity("A", 3, 6)], [Entity("A", 5, 6)]).entities == (Entity("A", 3, 6),)

    def test_nested_entities_that_both_saw_stay(self) -> None:
        both = [Entity("A", 4, 6), Entity("B", 5, 6)]
        assert self.merged(both, both).entities == tuple(both)

    def test_relations_of_kept_entities_from_either_window(self) -> None:
        a, b, c, lost = Entity("A", 0, 1), Entity("B", 4, 5), Entity("C", 5, 6), Entity("L", 4, 6)
        document = self.merged(
            [a, b, c],
            [b, c, lost],
            (0, Relation("r", a, b, 0.5)),
            (0, Relation("s", b, c, 0.25)),
            (1, Relation("s", b, c, 0.75)),
            (1, Relation("t", lost, c)),
        )
        assert document.entities == (a, b, c)
        assert {(relation.type, relation.score) for relation in document.relations} == {("r", 0.5), ("s", 0.75)}

    def test_annotations_of_sentences_move_to_their_place(self) -> None:
        text = "Ruby left.\n\n😀 Oswald came."
        units = split(text)
        annotated = [
            units[0].document.annotated([Entity("Peop", 0, 1)], []),
            units[1].document.annotated([Entity("Peop", 1, 2)], []),
        ]
        merged = merge(text, units, annotated)
        assert [(entity.text, entity.start, entity.char_start) for entity in merged.entities] == [
            ("Ruby", 0, 0),
            ("Oswald", 4, 14),
        ]

    def test_units_must_fit(self) -> None:
        documents = [unit.document for unit in self.units]
        with pytest.raises(DataError, match=r"2 units.* 1 "):
            merge(LONG, self.units, documents[:1])
        with pytest.raises(DataError, match=r"unit 0: .*other words"):
            merge(LONG, self.units, documents[::-1])
        with pytest.raises(DataError, match=r"unit 0 .*text that was split"):
            merge("x" + LONG, self.units, documents)

    @given(st.lists(st.tuples(st.integers(0, 29), st.integers(1, 2)), max_size=12), st.integers(5, 12))
    def test_perfect_windows_give_the_perfect_text(self, places: list[tuple[int, int]], max_words: int) -> None:
        """Windows annotated by an oracle that sees what lies wholly inside them; overlap 4 holds two words."""
        text = " ".join(f"w{number}" for number in range(32))
        gold = {Entity("A", start, start + size) for start, size in places}
        units = split(text, max_words=max_words, overlap=4)
        annotated = []
        for unit in units:
            size = len(unit.document.tokens)
            seen = [Entity("A", one.start - unit.word_offset, one.end - unit.word_offset) for one in gold]
            annotated.append(unit.document.annotated([one for one in seen if one.start >= 0 and one.end <= size], []))
        assert set(merge(text, units, annotated).entities) == gold


@pytest.mark.long
@pytest.mark.parametrize(
    "piece", ["a", "word ", "\n", "1", "1.", "a.", "a'", "a\u0301", "_a", "www.", "a.b+", "\x00", "He left Acme Corp. "]
)
def test_a_megabyte_takes_seconds(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begin = time.perf_counter()
    units = split(text)
    merged = merge(text, units, [unit.document for unit in units])
    assert time.perf_counter() - begin < 20  # about 1 to 3 here; anything quadratic takes hours
    assert sum(len(token.text) for token in merged.tokens) == len("".join(text.split()))


def test_hyphens_whole_joins_what_a_hyphen_connects() -> None:
    text = "Leeds-based ITAR-TASS met Avihu Bin-Nun - a pre- and post-war, IL-2-like man -- yes-"
    assert [token.text for token in words(text, hyphens="whole")] \
        == ["Leeds-based", "ITAR-TASS", "met", "Avihu", "Bin-Nun", "-", "a", "pre-", "and", "post-war", ",", "IL-2-like",
            "man", "--", "yes-"]
    assert "based" in [token.text for token in words(text)]


@given(st.text())
def test_hyphens_whole_keeps_offsets_and_characters(text: str) -> None:
    whole, cut = words(text, hyphens="whole"), words(text)
    assert all(text[token.char_start : token.char_end] == token.text for token in whole)
    assert "".join(token.text for token in whole) == "".join(token.text for token in cut)


def test_hyphens_are_learnt_from_annotated_words() -> None:
    assert learn_hyphens([Document.from_words(["Leeds-based", "firm"])]) == "whole"
    assert learn_hyphens([Document.from_words(["Leeds", "-", "based", "firm"])]) == "cut"
    assert learn_hyphens([]) == "cut"
