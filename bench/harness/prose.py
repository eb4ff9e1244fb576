"""Paragraphs of generated Markdown pages. Pure."""

import re
import textwrap

#: Maximum columns, as in `make lint`.
_WIDTH = 100


def wrapped(text):
    """Wraps each line of the text, a paragraph or an item of a list, at 100 columns. Code isn't split."""
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line):
    # A blank in code, at which no line may end.
    kept = re.sub(r"`[^`]+`", lambda code: code[0].replace(" ", "\0"), line)
    indent = "  " if line.startswith("- ") else ""
    lines = textwrap.wrap(kept, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")
