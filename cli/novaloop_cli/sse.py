"""Server-sent events: from bytes in pieces of any size to the `data` of each event.

Wire format: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r")
DONE = "[DONE]"


def events(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield each event's data up to `[DONE]`. Pieces may split lines and characters anywhere."""
    data: list[str] = []
    for line in _lines(pieces):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" ").decode("utf-8", "replace"))
        elif not line and data:
            text, data = "\n".join(data), []
            if text.strip() == DONE:
                return
            yield text
    if data and data != [DONE]:
        yield "\n".join(data)


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        rest += piece
        # A carriage return at the end may be the first half of a line end.
        whole, held = (rest[:-1], b"\r") if rest.endswith(b"\r") else (rest, b"")
        *lines, last = _LINE_END.split(whole)
        yield from lines
        rest = last + held
    yield from _LINE_END.split(rest) if rest else ()
