"""Nodes of a graph: mentions with one type and one normal form."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from conjoin.graph.records import Mention

_ARTICLE = re.compile(r"(?:the|a|an)\s+(?=\S)")
_POSSESSIVE = re.compile(r"['’]s?$")
_EDGES = " \t\n.,;:!?\"“”„‘’'`()[]{}"


def normal_form(text: str) -> str:
    """The common form of variants of a name: NFKC, case folded, single blanks, without article, possessive and
    punctuation at the ends; just folded if nothing else is left."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    stripped = _POSSESSIVE.sub("", plain.strip(_EDGES))
    stripped = _ARTICLE.sub("", stripped, count=1).strip(_EDGES) if _ARTICLE.match(stripped) else stripped.strip(_EDGES)
    return stripped or plain


@dataclass(slots=True)
class Node:
    """All mentions with one type and normal form.

    The id derives from both, so that graphs of several runs can be joined. `spellings` counts the texts of the mentions,
    `score` is their highest score, or None when none has one.
    """

    id: str
    type: str
    spellings: Counter[str] = field(default_factory=Counter)
    score: float | None = None

    @property
    def name(self) -> str:
        """The most frequent spelling, of equal ones the first in the alphabet."""
        return min(self.spellings, key=lambda spelling: (-self.spellings[spelling], spelling))

    @property
    def mentions(self) -> int:
        """The number of mentions."""
        return self.spellings.total()


class Nodes:
    """Collects nodes; memory grows with distinct names, not with documents."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], Node] = {}

    def add(self, mention: Mention) -> Node:
        """Count a mention and return its node."""
        key = (mention.type, normal_form(mention.text))
        if key not in self._nodes:
            digest = hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()
            self._nodes[key] = Node(f"n{digest[:16]}", mention.type)
        node = self._nodes[key]
        node.spellings[" ".join(mention.text.split())] += 1
        if mention.score is not None:
            node.score = mention.score if node.score is None else max(node.score, mention.score)
        return node

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)
