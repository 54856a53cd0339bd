"""JSON to values and back without loss: what a double or a dict would swallow is kept or refused.

orjson reads a number as a double, and of two equal keys the last. So it reads first, and what may
hold one of these is read once more, by the standard library's reader.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import orjson

from novaloop.datasets.errors import RowRejected
from novaloop.datasets.reading.file_types import CONFLICT_MARKS, IS_CONFLICT

_MAX_DEPTH = 100
"""orjson writes 254 levels, and a row is written some levels deeper than it was read."""
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Every key ends in a quote, perhaps white space, and a colon. A text may hold that, too. Begun
# with one literal character, the pattern is searched at the speed of memchr.
_MAYBE_KEY_END = re.compile(r':(?<=[" \t\r\n]:)')
_NOT_EXACT = -1


class Number:
    """A number in the digits that it was written in, which no int or float of orjson's has.

    Not a dataclass and no kind of float: orjson would write either in its own way.
    """

    def __init__(self, text: str) -> None:
        self.text = text


def read_json(text: str, field: str | None = None) -> Any:
    r"""Return the value of JSON (RFC 8259), a number that would lose digits as Number.

    Raises RowRejected for what is no JSON, NaN and infinities included, for an object with two
    equal keys, for the character NUL (`\u0000`), and for more than _MAX_DEPTH levels. `field` is
    where the text stands if it is not the row.
    """
    try:
        value = _read(text)
    except RowRejected as reason:
        if field is None:
            raise
        raise RowRejected(reason.rule, reason.what, reason.do, field=field, where=field) from reason
    return value


def _read(text: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _invalid(text, error) from error
    if "\\u0000" in text and _NUL.search(text):
        raise RowRejected("nul", "a text holds \\u0000, the character NUL", "remove it")
    if len(_MAYBE_KEY_END.findall(text)) == _exact_keys(value, 1):
        return value
    return _EXACT.decode(text)


def _digits(value: object) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    raise TypeError


to_json = partial(orjson.dumps, default=_digits)
"""Returns JSON of what read_json gives, every number in its own digits."""


def _exact_keys(value: Any, depth: int) -> int:
    """Count the keys of all objects; negative if a number may have lost something.

    Where as many keys are left as there may be ends of keys, no two were one.
    """
    children: Iterable[Any]
    if isinstance(value, dict):
        keys, children = len(value), value.values()
    elif isinstance(value, list):
        keys, children = 0, value
    else:
        # Zero may have been -0.
        return _NOT_EXACT if isinstance(value, float) or value == 0 else 0
    if depth > _MAX_DEPTH:
        raise _too_deep()
    for child in children:
        if child.__class__ is not str:
            more = _exact_keys(child, depth + 1)
            keys = keys + more if more >= 0 <= keys else _NOT_EXACT
    return keys


def _too_deep() -> RowRejected:
    what, do = f"the JSON has more than {_MAX_DEPTH} levels", "flatten it, or write it as a text"
    return RowRejected("invalid-json", what, do)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        what, do = "an object has the same key twice", "remove or rename one of the two"
        raise RowRejected("duplicate-key", what, do)
    return read


def _number(text: str) -> int | float | Number:
    """Return a number as orjson would, unless it would write another one back."""
    read: int | float = orjson.loads(text)
    return read if orjson.dumps(read).decode() == text else Number(text)


_EXACT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_number, parse_float=_number)


def _refuse_constant(name: str) -> None:
    what, do = f"{name} is no number of JSON", "write null or a text, or leave it out"
    raise RowRejected("invalid-json", what, do)


_EXPLAINED = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=float)


def _invalid(text: str, error: orjson.JSONDecodeError) -> RowRejected:
    if "\0" in text:
        return RowRejected("nul", "holds the character NUL", "remove it")
    if text.startswith(CONFLICT_MARKS):
        what, do = IS_CONFLICT
        return RowRejected("invalid-json", what, do)
    if "depth" in error.msg:  # orjson reads some 1,000 levels
        return _too_deep()
    if "infinity" in error.msg:
        what = "a number is larger than a double can be"
        return RowRejected("invalid-json", what, "write it as a text")
    try:
        _EXPLAINED.decode(text)
    except RowRejected as rejected:
        return rejected
    except (ValueError, RecursionError):
        pass  # the reason is orjson's
    what = f"not valid JSON at character {error.colno}"
    return RowRejected("invalid-json", what, "correct it there")
