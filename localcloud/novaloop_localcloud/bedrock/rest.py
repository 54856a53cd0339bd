"""Requests of a REST-JSON service by botocore's model: which operation, with which parameters.

Source: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import botocore.session

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETER = re.compile(r"\\{(\w+)\\}")


@dataclass(frozen=True)
class Call:
    """One call: the operation's name, the shape of its input, and the parameters."""

    operation: str
    shape: Any
    parameters: dict[str, Any]


class RestApi:
    """The operations of a service by method and path."""

    def __init__(self, service: str) -> None:
        model = botocore.session.get_session().get_service_model(service)
        operations = [model.operation_model(name) for name in model.operation_names]
        # A path without parameters comes before one whose parameter would take its last word.
        operations.sort(key=lambda operation: operation.http["requestUri"].count("{"))
        self._routes = [
            (each.http["method"], _pattern(each.http["requestUri"]), each) for each in operations
        ]

    def call(self, method: str, path: str, query: Mapping[str, Any], body: bytes) -> Call | None:
        """Return the call that a request makes, or None if it makes none."""
        for known, pattern, operation in self._routes:
            found = pattern.fullmatch(path) if known == method else None
            if found is not None:
                shape: Any = operation.input_shape
                told = {**_from_query(query, shape), **_from_body(body, shape)}
                names = {
                    str(member.serialization.get("name", member.name)): key
                    for key, member in shape.members.items()
                }
                told |= {names[key]: value for key, value in found.groupdict().items()}
                return Call(operation.name, shape, told)
        return None


def _pattern(uri: str) -> re.Pattern[str]:
    """An identifier may be an ARN, whose slashes come decoded."""
    return re.compile(_PARAMETER.sub(r"(?P<\1>.+)", re.escape(uri.partition("?")[0])))


def _from_query(query: Mapping[str, Any], shape: Any) -> dict[str, Any]:
    told = {}
    for key, member in shape.members.items():
        values = query.get(member.serialization.get("name", key))
        if member.serialization.get("location") == "querystring" and values:
            text = values[0] if isinstance(values, list) else values
            told[key] = int(text) if member.type_name == "integer" else text
    return told


def _from_body(body: bytes, shape: Any) -> dict[str, Any]:
    payload = shape.serialization.get("payload")
    if payload is not None:
        return {payload: body}
    told: dict[str, Any] = json.loads(body) if body else {}
    return told
