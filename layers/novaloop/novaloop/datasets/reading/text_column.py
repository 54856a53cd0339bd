"""The cells of one CSV column of many records: most of them are never decoded one by one."""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import orjson

from novaloop.datasets.reading.json_text import to_json
from novaloop.rewards.answers import normalized

_ESCAPES = (
    (b"\\", b"\\\\"),
    (b'""', b'\\"'),
    (b"\n", b"\\n"),
    (b"\r", b"\\r"),
    (b"\t", b"\\t"),
)
_FIRST_PRINTABLE = 32
# What Unicode lists as Default_Ignorable_Code_Point (DerivedCoreProperties.txt: zero-width
# characters, marks of direction, Hangul fillers, variation selectors, tags).
_IGNORABLE = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_IGNORED = re.compile(f"[{_IGNORABLE}]+")
# Accents without a letter, and what stands for a picture that was not copied.
_SHOWS_NO_LETTER = r"\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\ufffc"
# What shows nothing: these, white space, controls, colours of a terminal, and the Braille pattern
# without dots.
_BLANK = re.compile(
    r"(?:\x1b\[[\d;]{0,20}m"
    rf"|[\s\x00-\x1f\x7f-\xa0\u2028\u2029\u2800{_SHOWS_NO_LETTER}{_IGNORABLE}])*"
)


class TextColumn(Sequence[str]):
    """Texts from what stands between the outer quotes of CSV cells, in valid UTF-8 without NUL.

    A quote inside of a text is still written twice in `cells`.
    """

    def __init__(self, cells: list[bytes]) -> None:
        self._cells = cells

    @cached_property
    def joined(self) -> bytes:
        """The cells with a NUL, which no text holds, between them."""
        return b"\0".join(self._cells)

    def json(self) -> list[bytes]:
        """Return the texts as JSON strings (RFC 8259, section 7)."""
        escaped = self.joined
        for text, escape in _ESCAPES:
            escaped = escaped.replace(text, escape)
        controls = np.count_nonzero(np.frombuffer(escaped, np.uint8) < _FIRST_PRINTABLE)
        if controls > len(self) - 1:
            return list(map(orjson.dumps, self))
        return (b'"%b"' % escaped.replace(b"\0", b'"\0"')).split(b"\0")

    @cached_property
    def utf8(self) -> list[bytes]:
        """The texts in UTF-8."""
        if b'""' not in self.joined:
            return self._cells
        return self.joined.replace(b'""', b'"').split(b"\0")

    def utf8_at(self, index: int) -> bytes:
        """Return one of the texts in UTF-8."""
        return self._cells[index].replace(b'""', b'"')

    def has_blank(self) -> bool:
        """Tell whether one of the texts is_blank."""
        suspects = [cell for cell in self._cells if not b"!" <= cell[:1] <= b"~"]
        return any(map(is_blank, map(bytes.decode, suspects)))

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and text.encode().replace(b'"', b'""') in self._cells

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return TextColumn(self._cells[index])
        return self.utf8_at(index).decode()

    @cached_property
    def _texts(self) -> list[str]:
        return [text.decode() for text in self.utf8]


def json_column(values: Sequence[Any]) -> list[bytes]:
    """Return JSON values, or texts, encoded."""
    return values.json() if isinstance(values, TextColumn) else list(map(to_json, values))


def utf8_column(texts: Sequence[str]) -> list[bytes]:
    """Return texts in UTF-8."""
    return texts.utf8 if isinstance(texts, TextColumn) else [text.encode() for text in texts]


def utf8_at(texts: Sequence[str], index: int) -> bytes:
    """Return one text in UTF-8."""
    return texts.utf8_at(index) if isinstance(texts, TextColumn) else texts[index].encode()


def searchable(texts: Sequence[str]) -> bytes:
    """Return all of the texts in UTF-8, to search them for what has no quotes in it."""
    return texts.joined if isinstance(texts, TextColumn) else "\n".join(texts).encode()


def as_seen(utf8: bytes) -> bytes:
    """Return a text in UTF-8 without what no reader sees: invisible characters, its normal form."""
    if utf8.isascii():
        return utf8
    return normalized(_IGNORED.sub("", utf8.decode()), "NFC").encode()


def is_blank(text: str) -> bool:
    """Tell whether a text shows nothing: it is empty, white space or invisible characters only."""
    return _BLANK.fullmatch(text) is not None


def has_blank(texts: Sequence[str]) -> bool:
    """Tell whether one of the texts is_blank."""
    return texts.has_blank() if isinstance(texts, TextColumn) else any(map(is_blank, texts))
