"""Graphs: which mentions are one node, every edge with its place, and the files as other programs read them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conjoin.document import Document, Entity, Relation
from conjoin.errors import DataError
from conjoin.graph import FORMATS, Mention, Nodes, export_graph, normal_form, read_records

STRANGE = "a & <b> \"c\"\n\x01"
NS = "{http://graphml.graphdrawing.org/xmlns}"


@pytest.mark.parametrize(("one", "other"), [
    ("Halden Steel", "HALDEN  STEEL"), ("the Halden Steel", "Halden Steel's"), ("“Halden Steel”,", "Halden Steel"),
    ("ﬁn", "fin"), ("A. B.", "a. b"), ("The White House", "White House"), ("Straße", "STRASSE"),
])
def test_variants_of_a_name_are_one(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(("one", "other"), [("Ann", "an"), ("The", "the a"), ("IL-2", "IL 2"), ("the", "a"), ("...", "!")])
def test_different_names_stay_apart(one: str, other: str) -> None:
    assert normal_form(one) != normal_form(other)


@given(st.text(min_size=1))
def test_a_normal_form_is_one_of_itself_and_never_empty_for_what_is_seen(text: str) -> None:
    assert bool(normal_form(text)) == bool(normal_form(text).strip()) == bool(text.split())


def test_a_node_is_called_as_it_is_most_often() -> None:
    nodes = Nodes()
    for text, score in (("the WHO", 0.5), ("WHO", None), ("WHO's", 0.9), ("WHO", 0.1)):
        nodes.add(Mention("Org", text, 0, 3, score))
    nodes.add(Mention("Peop", "Who", 0, 3))
    first, second = nodes
    assert (first.name, first.mentions, first.score) == ("WHO", 4, 0.9)
    assert (second.name, second.score) == ("Who", None)
    assert first.id != second.id


def documents() -> list[Document]:
    lee, ken, dal = Entity("Peop", 0, 2, 0.9), Entity("Peop", 3, 4, 0.8), Entity("Loc", 5, 6, 0.4)
    one = Document.from_words(["Lee", "Oswald", "shot", "Kennedy", "in", "Dallas"], [lee, ken, dal],
                              [Relation("Kill", lee, ken, 0.7), Relation("Live_In", ken, dal, 0.2)], id=STRANGE)
    osw, jfk = Entity("Peop", 0, 2, 0.95), Entity("Peop", 3, 4, 0.6)
    killed = [Relation("Kill", osw, jfk, 0.9)]
    two = Document.from_words(["LEE", "OSWALD", "killed", "Kennedy"], [osw, jfk], killed, id="zwei")
    return [one, two, Document.from_words(["Oslo"], [Entity("Loc", 0, 1)], id="three")]


@pytest.fixture
def found(tmp_path: Path) -> Path:
    path = tmp_path / "found.jsonl"
    path.write_text("".join(document.to_json_line(tokens=False) + "\n" for document in documents()), encoding="utf-8")
    return path


def graphml(folder: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    root = ElementTree.parse(folder / "graph.graphml").getroot()
    read = [
        [{data.attrib["key"].split("-", 1)[1]: data.text or "" for data in item} | dict(item.attrib)
         for item in root.iter(f"{NS}{kind}")] for kind in ("node", "edge")
    ]
    return read[0], read[1]


def test_graphml(found: Path, tmp_path: Path) -> None:
    made = export_graph(read_records([found]), tmp_path / "graph", "graphml")
    assert (made.documents, made.mentions, made.nodes, made.edges) == (3, 5, 3, 3)
    nodes, edges = graphml(tmp_path / "graph")
    names = {node["id"]: node["name"] for node in nodes}
    assert sorted(names.values()) == ["Dallas", "Kennedy", "LEE OSWALD"]
    assert [(names[e["source"]], e["relation"], names[e["target"]], e["document"], e["score"]) for e in edges] == [
        ("LEE OSWALD", "Kill", "Kennedy", 'a & <b> "c"\n\ufffd', "0.7"),
        ("Kennedy", "Live_In", "Dallas", 'a & <b> "c"\n\ufffd', "0.2"),
        ("LEE OSWALD", "Kill", "Kennedy", "zwei", "0.9"),
    ]
    assert (edges[0]["head_start"], edges[0]["head_end"], edges[0]["tail_start"]) == ("0", "10", "16")
    read = networkx.read_graphml(tmp_path / "graph/graph.graphml")
    assert (read.number_of_nodes(), read.number_of_edges(), read.is_multigraph()) == (3, 3, True)
    everything = export_graph(read_records([found]), tmp_path / "graph", "graphml", alone=True)  # the folder is replaced
    assert (everything.mentions, everything.nodes) == (6, 4)
    few = export_graph(read_records([found]), tmp_path / "graph", "graphml", entity_threshold=0.7, relation_threshold=0.3)
    assert (few.nodes, few.edges) == (2, 1)


def test_neo4j(found: Path, tmp_path: Path) -> None:
    export_graph(read_records([found]), tmp_path / "graph", "neo4j")
    with (tmp_path / "graph/nodes.csv").open(newline="", encoding="utf-8") as file:
        nodes = {row["id:ID"]: row for row in csv.DictReader(file)}
    with (tmp_path / "graph/edges.csv").open(newline="", encoding="utf-8") as file:
        edges = list(csv.DictReader(file))
    assert [nodes[edge[":START_ID"]]["name"] for edge in edges] == ["LEE OSWALD", "Kennedy", "LEE OSWALD"]
    assert {edge[":TYPE"] for edge in edges} == {"Kill", "Live_In"}
    assert edges[0]["document"] == documents()[0].id
    assert nodes[edges[0][":START_ID"]]["spellings:string[]"] == "LEE OSWALD|Lee Oswald"
    *_, command = (tmp_path / "graph/import.sh").read_text().splitlines()
    assert command.startswith("neo4j-admin database import") and "overwrite" not in command


def test_turtle(found: Path, tmp_path: Path) -> None:
    rdflib = pytest.importorskip("rdflib")
    export_graph(read_records([found]), tmp_path / "graph", "turtle")
    graph = rdflib.Graph().parse(tmp_path / "graph/graph.ttl")
    kill = rdflib.URIRef("urn:conjoin:relation:Kill")
    ((head, tail),) = set(graph.subject_objects(kill))
    assert str(graph.value(head, rdflib.RDFS.label)) == "LEE OSWALD"
    assert str(graph.value(tail, rdflib.RDFS.label)) == "Kennedy"
    said = rdflib.URIRef("urn:conjoin:property:document")
    assert {str(graph.value(s, said)) for s in graph.subjects(rdflib.RDF.predicate, kill)} == {documents()[0].id, "zwei"}


def test_parquet(found: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export_graph(read_records([found]), tmp_path / "graph", "parquet")
    nodes = {row["id"]: row for row in parquet.read_table(tmp_path / "graph/nodes.parquet").to_pylist()}
    edges = parquet.read_table(tmp_path / "graph/edges.parquet").to_pylist()
    names = [(nodes[edge["head"]]["name"], edge["type"], nodes[edge["tail"]]["name"]) for edge in edges]
    assert names[2] == ("LEE OSWALD", "Kill", "Kennedy")
    assert edges[2]["score"] == 0.9


def test_rows_of_bulk_give_the_same_graph(found: Path, tmp_path: Path) -> None:
    from conjoin.bulk.rows import RowFormat, error_row, row_of, write_rows

    rows = [row_of(document, keep_text=False) for document in documents()]
    rows.append(error_row("bad", None, "it failed", keep_text=False))
    export_graph(read_records([found]), tmp_path / "one", "graphml")
    for format in RowFormat:
        pytest.importorskip("pyarrow")
        write_rows(rows, tmp_path / f"rows-{format}/part-0.{format}", format, keep_text=False)
        made = export_graph(read_records([tmp_path / f"rows-{format}"]), tmp_path / "two", "graphml")
        assert made.documents == 4
        assert (tmp_path / "one/graph.graphml").read_bytes() == (tmp_path / "two/graph.graphml").read_bytes()


@pytest.mark.parametrize(("line", "told"), [
    ("{", r"bad.jsonl:2: not JSON"), ("[]", r"bad.jsonl:2: lacks something"),
    ('{"id": "a"}', r"lacks something .*entities"),
    ('{"id": "a", "entities": [], "relations": [{"type": "Kill", "head": "e1", "tail": "e2"}]}', r"lacks something .*e1"),
])
def test_bad_lines_are_named_and_leave_nothing(line: str, told: str, found: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text(found.read_text().splitlines()[0] + "\n" + line + "\n")
    for format in FORMATS:
        with pytest.raises(DataError, match=told):
            export_graph(read_records([tmp_path / "bad.jsonl"]), tmp_path / "graph", format)
        assert not (tmp_path / "graph").exists()


def test_what_is_not_there(tmp_path: Path) -> None:
    for path, told in ((tmp_path / "no", "no such file or folder"), (tmp_path, "holds no .jsonl or .parquet file")):
        with pytest.raises(DataError, match=told):
            next(read_records([path]))


def test_the_command(found: Path, tmp_path: Path) -> None:
    def call(*more: object) -> Any:
        command = [sys.executable, "-m", "conjoin", "graph", found, "--output", tmp_path / "graph", *more]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)

    done = call()
    assert done.returncode == 0, done.stderr
    assert "3 nodes of 5 mentions and 3 edges, from 3 documents" in done.stderr
    assert json.loads(json.dumps(graphml(tmp_path / "graph")[0]))
    assert "unknown format of a graph 'gexf'" in call("--format", "gexf").stderr
