"""Errors as SageMaker words them."""

from __future__ import annotations


class ServiceError(Exception):
    """An API call is refused with an AWS error code, a message, an HTTP status, more fields."""

    def __init__(self, code: str, message: str, status: int = 400, **fields: object) -> None:
        super().__init__(message)
        self.fields = fields
        self.code = code
        self.message = message
        self.status = status


def invalid(message: str) -> ServiceError:
    """The error that SageMaker uses for nearly everything, missing resources included."""
    return ServiceError("ValidationException", message)
