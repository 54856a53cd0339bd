"""Errors of pydantic in words for whoever wrote the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

_NO_VALUE = "has no value; give it one, or remove the line"
_WANTED = {
    "tuple_type": "a list, such as `[a, b]`",
    "dict_type": "settings, such as `{key: value}`",
    "model_type": "settings, such as `{key: value}`",
    "model_attributes_type": "settings, such as `{key: value}`",
    "string_type": "a text; put it in quotes",
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


def in_words(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a field, and what it must be."""
    if error["type"] == "extra_forbidden":
        return "is not a known setting; remove it"
    if error["type"] in {"enum", "literal_error"}:
        return _no_choice(error)
    if error["type"] == "missing":
        return "is missing; add it"
    if error["type"] in _WANTED:
        return f"must be {_WANTED[error['type']]}" if error["input"] is not None else _NO_VALUE
    text = str(error["msg"]).removeprefix("Value error, ")
    text = re.sub(r"^(Input|String|Tuple) should", "must", text)
    return text[:1].lower() + text[1:]


def _no_choice(error: Mapping[str, Any]) -> str:
    choices = re.findall(r"'([^']+)'", str(error["ctx"]["expected"]))
    near = get_close_matches(str(error["input"]), choices, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"must be one of {', '.join(choices)}{hint}"
