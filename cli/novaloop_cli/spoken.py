"""What is shown of an answer that comes in pieces of content and of reasoning."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Piece = tuple[str, str]
"""Content and reasoning, either of which may be empty."""


def spoken(pieces: Iterable[Piece]) -> Iterator[str]:
    """Yield the content as it arrives; the reasoning only where no content follows it.

    A model that reasons may spend all the tokens that it is given on that.
    """
    thoughts, answered = [], False
    for content, reasoning in pieces:
        thoughts.append(reasoning)
        answered = answered or bool(content)
        yield content
    if not answered:
        yield "".join(thoughts)
