"""The page as markup (pure Python), and in a browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Document, Entity, Relation, Token
from conjoin.render import document_to_html, entity_rows, relation_rows, to_html, type_colours

VOID = {"meta", "link"}
NASTY = "<script>alert(\"x\")</script> & 'Zoë' 👩‍🔬\nמרים  lives </mark> here"


class Page(HTMLParser):
    """Checks that every element is closed in order; collects the words, marks, rows and data of the documents."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.labels: list[str] = []
        self.marks: list[dict[str, str | None]] = []
        self.marked: dict[str, str] = {}
        self.rows = 0
        self.data: list[object] = []
        self.scripts = 0
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert not any(name.startswith("on") or name in ("src", "style") for name in values)
        if tag == "mark":
            self.marks.append(values)
        self.rows += tag == "tr" and "data-relation" in values
        self.scripts += tag == "script" and "type" not in values
        if tag not in VOID:
            self.stack.append((tag, values))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        classes = [str(values.get("class", "")).split() for _, values in self.stack]
        if self.stack and "cj-data" in classes[-1]:
            self.data.append(json.loads(data))
        elif self.stack and "cj-type" in classes[-1]:
            self.labels.append(data)
        elif any("cj-text" in names for names in classes):
            self.words += data
            for tag, values in self.stack:
                if tag == "mark":
                    number = str(values["data-entity"])
                    self.marked[number] = self.marked.get(number, "") + data


def crossing() -> Document:
    """Nested, crossing and identical spans, an entity related to itself, several relations per entity."""
    text = "the University of California in Los Angeles hired Mary Shaw of New York City Hall"
    whole, inner, place = Entity("Org", 0, 7, 0.9), Entity("Org", 1, 4), Entity("Loc", 3, 4)
    across, person = Entity("Event", 6, 9), Entity("Peop", 8, 10, 0.876)
    city, same, hall = Entity("Loc", 11, 14), Entity("GPE", 11, 14), Entity("Fac", 11, 15)
    relations = [
        Relation("Work_For", person, whole, 0.91),
        Relation("Part_Of", place, inner),
        Relation("Same", city, same),
        Relation("Self", hall, hall),
        Relation("In", hall, city),
        Relation("At", across, whole),
    ]
    entities = [whole, inner, place, across, person, city, same, hall]
    return Document.from_words(text.split(), entities, relations, id="crossing")


def nasty() -> Document:
    tokens = [Token(match.group(), match.start(), match.end()) for match in re.finditer(r"\S+", NASTY)]
    person, end = Entity("<b>&\"'", 2, 3), Entity("Loc", 6, 7)
    return Document(NASTY, tuple(tokens), (person, end), (Relation("</script>", person, end, 0.5),), "<!--")


def wrapped() -> Document:
    """A paragraph of many lines and 14 relations, near and far."""
    words: list[str] = []
    entities: list[Entity] = []
    for number in range(24):
        words += ["before"] * (1 + number % 3)
        words += ["Entity", f"number{number}"]
        entities.append(Entity(("Peop", "Org", "Loc")[number % 3], len(words) - 2, len(words), 0.5))
    pairs = [*pairwise(range(0, 20, 2)), (9, 1), (2, 3), (23, 14), (5, 20), (20, 5)]
    relations = [Relation(f"relation_{head}", entities[head], entities[tail], 0.25) for head, tail in pairs]
    return Document.from_words(words, entities, relations, id="wrapped")


@st.composite
def documents(draw: st.DrawFn) -> Document:
    words = draw(st.lists(st.text("ab<&\"'é👍ש", min_size=1, max_size=4), min_size=1, max_size=12))
    spans = st.tuples(st.integers(0, len(words) - 1), st.integers(1, len(words)), st.sampled_from("XY<"))
    entities = [Entity(type, start, end) for start, end, type in draw(st.lists(spans, max_size=8)) if start < end]
    return Document.from_words(words, entities)


@given(documents())
def test_any_mixture_of_spans_keeps_the_text_and_marks_every_entity(document: Document) -> None:
    page = Page(document_to_html(document))
    assert page.words == document.text
    assert page.marked == {f"e{number}": entity.text for number, entity in enumerate(document.entities, start=1)}
    assert sorted(label.strip() for label in page.labels) == sorted(entity.type for entity in document.entities)


def test_a_crossing_entity_is_cut_and_labelled_once() -> None:
    page = Page(document_to_html(crossing()))
    pieces = [mark for mark in page.marks if mark["data-entity"] == "e4"]
    assert len(pieces) == 2
    assert "cj-continues" in str(pieces[0]["class"]) and "cj-continued" in str(pieces[1]["class"])
    assert len(page.labels) == len(crossing().entities)


def test_relations_stand_in_a_table_with_scores() -> None:
    html = document_to_html(crossing())
    assert Page(html).rows == 6
    assert '<td class="cj-score">0.91</td>' in html
    assert "score 0.88" in html
    bare = Document.from_words(["a", "b"], [Entity("X", 0, 1), Entity("X", 1, 2)],
                               [Relation("r", Entity("X", 0, 1), Entity("X", 1, 2))])
    assert "Score" not in document_to_html(bare)


def test_nothing_of_a_text_becomes_markup() -> None:
    html = to_html([nasty()], title=NASTY, notice="<img src=x onerror=alert(1)>")
    page = Page(html)
    assert page.words == NASTY
    assert page.scripts == 1
    assert "<img" not in html
    assert page.data == [nasty().to_json(tokens=False)]


def test_a_page_is_self_contained_and_deterministic() -> None:
    everything = [crossing(), nasty(), wrapped(), Document.from_words(["alone"])]
    html = to_html(iter(everything))
    page = Page(html)
    assert html == to_html(everything)
    assert page.rows == sum(len(document.relations) for document in everything)
    assert page.data == [document.to_json(tokens=False) for document in everything]
    assert re.findall(r"https?://[^\"'\s<]+", html) == ["http://www.w3.org/2000/svg"]
    assert "default-src 'none'" in unescape(html)
    assert ">Document 4</h2>" in html


def test_no_documents_is_a_page_too() -> None:
    assert "No documents." in to_html([])


def test_types_keep_their_colours() -> None:
    assert type_colours(["Peop", "Loc"])["Peop"] == type_colours(["Org", "Peop", "Zebra"])["Peop"]
    many = type_colours(f"type {number}" for number in range(24))
    assert sorted(many.values()) == list(range(24))
    assert set(type_colours(f"type {number}" for number in range(40)).values()) == set(range(24))
    shared = ["A", "B", "C"]
    one = Document.from_words(["b"], [Entity("B", 0, 1)])
    assert f"cj-c{type_colours(shared)['B']}" in to_html([one], types=shared)


def test_rows_for_a_terminal() -> None:
    tokens = (Token("New", 0, 3), Token("York\x1b[31m", 5, 14))
    city, state = Entity("Loc", 0, 2, 0.987), Entity("Loc", 0, 1)
    document = Document("New\n\tYork\x1b[31m", tokens, (city, state),
                        (Relation("In", city, state, 0.5),), "d")
    assert entity_rows([document]) == [("d", "Loc", "New York [31m", "0-14", "0.99"), ("d", "Loc", "New", "0-3", "")]
    assert relation_rows([document]) == [("d", "New York [31m", "In", "New", "0.50")]


def _luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_notebook_shows_the_page_of_a_document() -> None:
    for document in (crossing(), nasty(), Document("", ())):
        frame = document._repr_html_()
        assert re.fullmatch(r'<iframe srcdoc="[^"<>]*" [^<>]*></iframe>', frame, re.DOTALL)
        page = Page(unescape(frame.partition('srcdoc="')[2].partition('"')[0]))
        assert page.words == document.text
        assert page.rows == len(document.relations)
        assert page.data == [document.to_json(tokens=False)]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_meet_wcag_aa(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", to_html([]), re.DOTALL)
    colour = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[scheme]))
    for text in ("ink", "quiet", "link", "accent"):
        assert _contrast(colour[text], colour["paper"]) >= 4.5, text
    assert _contrast(colour["ink"], colour["note"]) >= 4.5
    assert _contrast(colour["arc"], colour["paper"]) >= 3
    for hue in ("blue", "orange", "green", "red", "purple", "cyan", "yellow", "grey"):
        assert _contrast(colour["ink"], colour[f"{hue}-bg"]) >= 4.5, hue
        assert _contrast(colour[f"{hue}-ink"], colour[f"{hue}-bg"]) >= 4.5, hue
        assert _contrast(colour[f"{hue}-ink"], colour["paper"]) >= 4.5, hue
        assert _contrast(colour[f"{hue}-line"], colour["paper"]) >= 3, hue


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
BROWSER_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=2000", "--dump-dom",
)  # fmt: skip

# Counts the places where a label lies over a word or over another label, or leaves the window.
OVERLAPS = """<script>
document.fonts.ready.then(() => {
  const plates = [...document.querySelectorAll(".cj-plate")].map((plate) => plate.getBoundingClientRect());
  const words = [...document.querySelectorAll(".cj-text")].flatMap((text) => {
    const range = document.createRange();
    range.selectNodeContents(text);
    return [...range.getClientRects()];
  });
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const hits = plates.filter((plate, index) => words.some((word) => over(plate, word))
    || plates.slice(index + 1).some((other) => over(plate, other)) || plate.left < 0 || plate.right > innerWidth);
  document.documentElement.dataset.overlaps = hits.length;
  document.documentElement.dataset.wide = document.documentElement.scrollWidth > innerWidth;
});
</script>"""


def _rendered(html: str, folder: Path, *options: str) -> str:
    assert BROWSER is not None
    page = folder / "page.html"
    page.write_text(html, "utf-8")
    command = [BROWSER, *BROWSER_OPTIONS, *options, f"--user-data-dir={folder / 'profile'}", page.as_uri()]
    return subprocess.run(command, capture_output=True, check=True, timeout=120, encoding="utf-8").stdout


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_browser_draws_one_arc_per_relation(tmp_path: Path) -> None:
    everything = [crossing(), nasty(), wrapped(), Document.from_words(["alone"])]
    dom = _rendered(to_html(everything), tmp_path)  # as it is, with its content security policy
    assert dom.count('<path class="cj-curve"') == sum(len(document.relations) for document in everything)
    assert "NaN" not in dom


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [1200, 500])
def test_labels_cover_neither_words_nor_one_another(tmp_path: Path, width: int) -> None:
    html = re.sub(r"<meta http-equiv[^>]*>", "", to_html([crossing(), wrapped()]))
    dom = _rendered(html.replace("</body>", OVERLAPS + "</body>"), tmp_path, f"--window-size={width},900")
    assert 'data-overlaps="0"' in dom
    assert 'data-wide="false"' in dom
