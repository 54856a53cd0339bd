"""Messages for a terminal, broken between words."""

from __future__ import annotations

import shutil
from textwrap import TextWrapper


def wrapped(text: str) -> str:
    """Break a message between words; what stands in backticks can be pasted, and stays whole.

    An indented line is an item of a list: what goes on of it is indented more than the next item.
    """
    width = max(20, shutil.get_terminal_size().columns)
    wrapper = TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    lines = []
    for line in text.splitlines():
        quoted = line.split("`")
        quoted[1::2] = (each.replace(" ", "\0") for each in quoted[1::2])
        indent = line[: -len(line.lstrip())]
        wrapper.initial_indent, wrapper.subsequent_indent = indent, 2 * indent
        lines.append(wrapper.fill("`".join(quoted).lstrip()).replace("\0", " "))
    return "\n".join(lines)
