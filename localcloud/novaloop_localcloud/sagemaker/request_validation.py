"""Requests against botocore's model, with the constraints that botocore leaves to the service."""

from __future__ import annotations

import re
from typing import Any

from botocore.validate import ParamValidator


def request_problems(request: dict[str, Any], shape: Any) -> list[str]:
    """Everything wrong with a request of the given input shape, in the service's words."""
    if shape is None:
        return []
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        return [str(report.generate_report())]
    return [f"1 validation error detected: {text}" for text in _constraint_problems(request, shape)]


def _constraint_problems(value: Any, shape: Any, path: str = "") -> list[str]:
    if shape.type_name == "structure":
        members = shape.members
        return [
            problem
            for key, item in value.items()
            for problem in _constraint_problems(item, members[key], f"{path}.{key}".lstrip("."))
        ]
    if shape.type_name == "list":
        return [
            problem
            for number, item in enumerate(value, start=1)
            for problem in _constraint_problems(item, shape.member, f"{path}.{number}.member")
        ]
    if shape.type_name == "map":
        return [
            problem
            for key, item in value.items()
            for problem in _constraint_problems(item, shape.value, f"{path}.{key}")
        ]
    return _string_problems(value, shape, path) if shape.type_name == "string" else []


def _string_problems(value: str, shape: Any, path: str) -> list[str]:
    metadata = shape.metadata
    failed = f"Value '{value}' at '{path}' failed to satisfy constraint: Member must"
    problems = []
    if "pattern" in metadata and not re.fullmatch(_python_pattern(metadata["pattern"]), value):
        problems.append(f"{failed} satisfy regular expression pattern: {metadata['pattern']}")
    if len(value) > metadata.get("max", len(value)):
        problems.append(f"{failed} have length less than or equal to {metadata['max']}")
    if shape.enum and value not in shape.enum:
        problems.append(f"{failed} satisfy enum value set: [{', '.join(shape.enum)}]")
    return problems


def _python_pattern(pattern: str) -> str:
    """Java's Unicode classes, which only patterns of tags use, in Python's nearest words."""
    for java, python in ((r"\p{L}", r"\w"), (r"\p{Z}", r"\s"), (r"\p{N}", r"\d")):
        pattern = pattern.replace(java, python)
    return pattern
