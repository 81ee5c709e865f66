"""Stand-in until conjoin.text exists."""

import re

from conjoin.document import Token


def words(text: str) -> list[Token]:
    return [Token(m.group(), m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", text)]
