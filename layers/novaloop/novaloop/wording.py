"""Errors of pydantic as Problems, in words for whoever wrote the settings or the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from novaloop.problem import Invalid, Problem

_LONGEST_COMPARED = 100
"""Characters; longer ones are no choice, and a cell may have millions."""
_WANTED = {
    "tuple_type": "a list, such as `[a, b]`",
    "dict_type": "keys with values, such as `{key: value}`",
    "model_type": "keys with values, such as `{key: value}`",
    "model_attributes_type": "keys with values, such as `{key: value}`",
    "list_type": "a list, such as `[a, b]`",
    "string_type": "a text",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "date_type": "a date, such as 2026-11-01",
    "date_from_datetime_parsing": "a date, such as 2026-11-01",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What a field must be, by pydantic's type of the error."""
_DECIMAL_COMMA = re.compile(
    r"(-?(?:\d{1,15}|\d{1,3}(?:\.\d{3}){1,4})),(\d{1,15}(?:[eE][-+]?\d{1,3})?)"
)


def problems_of(error: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Yield what is wrong with the field at `where`, by one of a ValidationError's errors."""
    kind, raised = error["type"], error.get("ctx", {}).get("error")
    if isinstance(raised, Invalid):
        yield from raised.under(where)
    elif kind == "extra_forbidden":
        yield Problem(where, "is not a known setting", "remove it")
    elif kind in {"enum", "literal_error"}:
        choices = re.findall(r"'([^']+)'", str(error["ctx"]["expected"]))
        given = error["input"] if isinstance(error["input"], str) else ""
        near = get_close_matches(given[:_LONGEST_COMPARED], choices, 1)
        do = f"did you mean {near[0]}?" if near else ""
        yield Problem(where, f"must be one of {', '.join(choices)}", do)
    elif kind == "missing":
        yield Problem(where, "is missing", "add it")
    elif kind in _WANTED and error["input"] is None:
        yield Problem(where, "has no value", "give it one, or leave it out")
    elif kind in _WANTED:
        do = "put it in quotes" if kind == "string_type" else ""
        if kind.startswith(("float", "int")) and isinstance(error["input"], str):
            do = _with_a_point(error["input"])
        yield Problem(where, f"must be {_WANTED[kind]}", do)
    else:
        # Pydantic's own text says what must be; that of a ValueError of ours, what to do as well.
        text = str(error["msg"]).removeprefix("Value error, ")
        text = re.sub(r"^(Input|String|Tuple) should", "must", text)
        yield Problem(where, text[:1].lower() + text[1:])


def _with_a_point(text: str) -> str:
    """Say how a number is written that has a comma before its decimals."""
    number = _DECIMAL_COMMA.fullmatch(text.strip())
    if number is None:
        return ""
    return f"decimals stand behind a point: {number[1].replace('.', '')}.{number[2]}"
