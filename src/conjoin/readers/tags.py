"""Checks of the tags in a file: unknown tags and illegal sequences."""

from __future__ import annotations

import re
from collections.abc import Iterable

from conjoin.readers.problems import Place
from conjoin.tagging import OUTSIDE, Scheme, may_follow

NO_LAST_WORD = ("relation-end", "word {}, which is no entity's last word")  # for relations between last words


def check_tags(tags: Iterable[tuple[str, int | None]], scheme: Scheme, place: Place) -> list[str]:
    """The tags of a sentence, given with their lines, unknown ones as `O`.

    An `I-` that opens an entity is noted in BIO; an illegal step is a repair in BIOES.
    """
    pattern = re.compile(r"[BIES]-.+" if scheme == "bioes" else r"[BI]-.+")
    result: list[str] = []
    line: int | None = None
    for tag, line in tags:
        if tag != OUTSIDE and not pattern.fullmatch(tag):
            place.at(line).repair("unknown-tag", f"tag '{tag}' is no tag of the scheme {scheme.upper()}",
                                  "reads the word as outside")
            tag = OUTSIDE
        previous = result[-1] if result else None
        if not may_follow(previous, tag, scheme):
            if scheme == "bio":
                place.at(line).note("opening-i-tag", f"{tag} continues no {tag[2:]}; it opens an entity")
            else:
                place.at(line).repair("illegal-tag", f"{tag} may not follow {previous or 'the start'} in BIOES",
                                      "ends an open entity before it" + ("" if tag == OUTSIDE else " and opens one there"),
                                      loss=False)
        result.append(tag)
    if result and not may_follow(result[-1], None, scheme):
        place.at(line).repair("illegal-tag", f"the sentence ends inside an entity ({result[-1]})",
                              "ends the entity there", loss=False)
    return result
