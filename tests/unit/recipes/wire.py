"""Requests against botocore's own model of the API."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.session import get_session
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from botocore.model import Shape


def assert_valid(service: str, operation: str, request: dict[str, Any]) -> None:
    report = ParamValidator().validate(request, _input_shape(service, operation))
    assert not report.has_errors(), report.generate_report()


@cache
def _input_shape(service: str, operation: str) -> Shape:
    shape = get_session().get_service_model(service).operation_model(operation).input_shape
    assert shape is not None
    return shape
