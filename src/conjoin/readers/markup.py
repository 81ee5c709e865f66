"""XML as a tree of elements with line numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from conjoin.readers.lines import content
from conjoin.readers.problems import Problems


@dataclass(slots=True)
class Element:
    """An XML element; `characters` are the pieces of text directly inside it."""

    name: str
    line: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    characters: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text directly inside the element."""
        return "".join(self.characters)

    def each(self, *names: str) -> Iterator[Element]:
        """The children with one of these names."""
        return (child for child in self.children if child.name in names)


def parse_xml(path: Path, problems: Problems) -> Element | None:
    """The outermost element of an XML file, read without its DTD; None when it is malformed. Raises as `content` does."""
    outermost = Element("", 0)
    above = [outermost]
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        element = Element(name, parser.CurrentLineNumber, attributes)
        above[-1].children.append(element)
        above.append(element)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: above.pop()
    parser.CharacterDataHandler = lambda text: above[-1].characters.append(text)
    try:
        parser.Parse(content(path, problems).encode("utf-8"), True)
    except expat.ExpatError as error:
        problems.repair(path, error.lineno, "malformed-xml", f"malformed XML ({expat.ErrorString(error.code)})",
                        "leaves the document out")
        return None
    return outermost.children[0]
