"""RDF in Turtle: a triple for each relation of two nodes, and a statement about it for each place in a document."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from conjoin.graph.nodes import Node
from conjoin.graph.records import Assertion

PREFIXES = """\
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix c: <urn:conjoin:property:> .
"""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Turtle:
    """`graph.ttl`. Types are `urn:conjoin:type:…`, relations `urn:conjoin:relation:…`, nodes `urn:conjoin:node:…`."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "graph.ttl").open("w", encoding="utf-8", errors="replace", newline="\n")
        self._file.write(PREFIXES)
        self._number = 0

    def close(self) -> None:
        self._file.close()

    def edge(self, document: str, assertion: Assertion, head: Node, tail: Node) -> None:
        self._number += 1
        triple = _iri("node", head.id), _iri("relation", assertion.type), _iri("node", tail.id)
        facts = {"c:document": _literal(document),
                 "c:headStart": assertion.head.char_start, "c:headEnd": assertion.head.char_end,
                 "c:tailStart": assertion.tail.char_start, "c:tailEnd": assertion.tail.char_end}
        if assertion.score is not None:
            facts["c:score"] = f'"{assertion.score}"^^xsd:double'
        self._file.write(f"{' '.join(triple)} .\n")
        statement = " ; ".join(f"{name} {value}" for name, value in facts.items())
        subject, predicate, thing = triple
        self._file.write(f"_:a{self._number} a rdf:Statement ; rdf:subject {subject} ; rdf:predicate {predicate} ; "
                         f"rdf:object {thing} ; {statement} .\n")

    def nodes(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            others = "".join(f" ; skos:altLabel {_literal(spelling)}" for spelling in sorted(node.spellings)
                             if spelling != node.name)
            self._file.write(f"{_iri('node', node.id)} a {_iri('type', node.type)} ; rdfs:label {_literal(node.name)}"
                             f"{others} ; c:mentions {node.mentions} .\n")


def _iri(kind: str, name: str) -> str:
    return f"<urn:conjoin:{kind}:{quote(name.encode('utf-8', 'replace'), safe='')}>"


def _literal(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
