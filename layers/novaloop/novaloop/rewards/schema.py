"""The subset of JSON Schema that a JSON reward can ask for.

Supported: type, enum, const, required, properties, additionalProperties (a boolean), items,
minItems, maxItems, minLength, maxLength, minimum, maximum. An unsupported keyword is an error, not
ignored: a schema that is only half checked would reward wrong answers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

MAX_DEPTH = 32
_ANNOTATIONS = {"$schema", "$id", "title", "description", "default", "examples"}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0


def _is_integer(value: object) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value == int(value)


JSON_TYPES: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": _is_integer,
}
_LIMITS: dict[str, tuple[Callable[[object], bool], Callable[[Any, Any], bool]]] = {
    "minItems": (JSON_TYPES["array"], lambda value, limit: len(value) >= limit),
    "maxItems": (JSON_TYPES["array"], lambda value, limit: len(value) <= limit),
    "minLength": (JSON_TYPES["string"], lambda value, limit: len(value) >= limit),
    "maxLength": (JSON_TYPES["string"], lambda value, limit: len(value) <= limit),
    "minimum": (JSON_TYPES["number"], lambda value, limit: value >= limit),
    "maximum": (JSON_TYPES["number"], lambda value, limit: value <= limit),
}
_KEYWORDS = {
    *_ANNOTATIONS,
    *_LIMITS,
    *("type", "enum", "const", "required", "properties", "additionalProperties", "items"),
}


def violations(value: object, schema: object) -> list[str]:
    """The keywords that `value` breaks, with their place; raises ValueError for a bad schema."""
    return list(_violations(value, schema, "$", 0))


def require_schema(schema: object, where: str = "$", depth: int = 0) -> None:
    """Raise ValueError, with the place, for any part that `violations` can't check."""
    for _ in _violations(None, schema, where, depth):
        pass
    if not isinstance(schema, dict):
        return
    for kind in _as_list(schema.get("type", [])):
        _is_type(None, kind)
    if not all(isinstance(key, str) for key in _as_list(schema.get("required", []))):
        raise ValueError(f"{where}: required must be a list of names")
    if not isinstance(schema.get("additionalProperties", True), bool):
        raise ValueError(f"{where}: additionalProperties must be true or false")  # noqa: TRY004
    if not isinstance(schema.get("properties", {}), dict):
        raise ValueError(f"{where}: properties must be an object")  # noqa: TRY004
    for key, part in schema.get("properties", {}).items():
        require_schema(part, f"{where}.{key}", depth + 1)
    if "items" in schema:
        require_schema(schema["items"], f"{where}[]", depth + 1)


def _violations(value: object, schema: object, where: str, depth: int) -> Iterator[str]:
    if not isinstance(schema, dict) or not schema.keys() <= _KEYWORDS:
        raise ValueError(f"{where} must be an object of {', '.join(sorted(_KEYWORDS))}")
    if depth > MAX_DEPTH:
        raise ValueError(f"deeper than {MAX_DEPTH} levels; use fewer")
    if "type" in schema and not any(_is_type(value, kind) for kind in _as_list(schema["type"])):
        yield f"{where}: type"
    if "enum" in schema and not any(_equal(value, one) for one in _as_list(schema["enum"])):
        yield f"{where}: enum"
    if "const" in schema and not _equal(value, schema["const"]):
        yield f"{where}: const"
    yield from _limit_violations(value, schema, where)
    if isinstance(value, dict):
        yield from _object_violations(value, schema, where, depth)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _violations(item, schema["items"], f"{where}[{index}]", depth + 1)


def _limit_violations(value: object, schema: dict[str, Any], where: str) -> Iterator[str]:
    for keyword, (applies, holds) in _LIMITS.items():
        if keyword not in schema:
            continue
        if not _is_number(schema[keyword]):
            raise ValueError(f"{where}: {keyword} must be a number")
        if applies(value) and not holds(value, schema[keyword]):
            yield f"{where}: {keyword}"


def _object_violations(
    value: dict[str, object], schema: dict[str, Any], where: str, depth: int
) -> Iterator[str]:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise ValueError(f"{where}: properties must be an object")  # noqa: TRY004
    if any(key not in value for key in _as_list(schema.get("required", []))):
        yield f"{where}: required"
    if schema.get("additionalProperties") is False and not value.keys() <= properties.keys():
        yield f"{where}: additionalProperties"
    for key in properties.keys() & value.keys():
        yield from _violations(value[key], properties[key], f"{where}.{key}", depth + 1)


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_type(value: object, kind: object) -> bool:
    check = JSON_TYPES.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise ValueError(f"type must be one of {', '.join(JSON_TYPES)}")
    return check(value)


def _equal(one: object, other: object) -> bool:
    """JSON equality: True is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and one == other
