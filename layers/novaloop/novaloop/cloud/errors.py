"""What AWS's errors mean to the controller."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotocoreConnectionError

from novaloop.cloud.failures import cause_of
from novaloop.usecases.ports import LaunchRefused, NotServing

T = TypeVar("T")
_QUOTA = {"ResourceLimitExceeded", "ServiceQuotaExceededException"}
_NUMBERS = re.compile(r"is (?P<limit>\d+) .* request delta of (?P<wanted>\d+)")
"""How SageMaker tells of a quota: '... is 4 Instances, with current utilization of 4 Instances and
a request delta of 1 Instances. ...'"""
FOR_NOW = _QUOTA | {
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "InternalFailure",
    "InternalServerException",
    "ModelNotReadyException",
}
_NOT_NOW = {"ValidationException", "ConflictException"}
_NOT_YET = FOR_NOW | {"InternalDependencyException", "ModelTimeoutException"}
"""Errors of InvokeEndpoint and of Bedrock's InvokeModel, after which a model may answer later."""
_OF_THE_CONTAINER = {"ModelError", "ModelErrorException"}
_LATER_STATUS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


def code_of(error: ClientError) -> str:
    """Return AWS's code for an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def text_of(error: ClientError) -> str:
    """Return code and message in one line of at most 500 characters."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    return f"{code_of(error)}: {' '.join(message.split())}"[:500]


def may_pass_later(error: ClientError) -> bool:
    """Whether the same request may be taken later, by AWS's code or by what it says."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    return code_of(error) in FOR_NOW or cause_of(message) is not None


def is_used_up(error: ClientError) -> bool:
    """Whether a quota is used up; one that is too small for this request alone is not."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    told = _NUMBERS.search(message)
    too_small = told is not None and int(told["wanted"]) > int(told["limit"])
    return code_of(error) in _QUOTA and not too_small


def is_missing(error: ClientError) -> bool:
    """Whether SageMaker or Bedrock says that there is no such thing."""
    if code_of(error) == "ResourceNotFoundException":
        return True
    message = str(error.response.get("Error", {}).get("Message", "")).lower()
    told = "not found" in message or "could not find" in message or "does not exist" in message
    return code_of(error) in {"ResourceNotFound", "ValidationException"} and told


def exists_already(error: ClientError) -> bool:
    """Whether SageMaker or Bedrock refuses a name because it is taken."""
    message = str(error.response.get("Error", {}).get("Message", "")).lower()
    taken = "already exist" in message
    in_use = code_of(error) in {"ResourceInUse", "ConflictException"}
    return in_use or (code_of(error) == "ValidationException" and taken)


def found(call: Callable[[], T]) -> T | None:
    """Return what `call` returns, or None if there is no such thing."""
    try:
        return call()
    except ClientError as error:
        if is_missing(error):
            return None
        raise


def is_in_progress(error: ClientError) -> bool:
    """Whether SageMaker refuses to change what it is changing already."""
    message = str(error.response.get("Error", {}).get("Message", "")).lower()
    return code_of(error) == "ValidationException" and "in-progress" in message


def may_answer_later(error: ClientError) -> bool:
    """Whether the same question may be answered later.

    A container that answers 4xx refuses the question for good; while it starts or is overloaded,
    it answers 5xx, or not at all, of which SageMaker says "Received server error (0)". What was
    created a moment ago may not be found yet.
    """
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    if code not in _OF_THE_CONTAINER:
        not_found = code == "ValidationError" and "not found" in message.lower()
        return code in _NOT_YET or not_found or is_missing(error)
    told: Mapping[str, Any] = error.response
    status = told.get("OriginalStatusCode", told.get("originalStatusCode", 0))
    return status // 100 != HTTPStatus.BAD_REQUEST // 100 or status in _LATER_STATUS


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Raise NotServing for whatever keeps a model from answering with `what`."""
    try:
        yield
    except (HTTPClientError, BotocoreConnectionError) as error:
        raise NotServing(type(error).__name__, for_now=True) from error
    except ClientError as error:
        raise NotServing(text_of(error), for_now=may_answer_later(error)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotServing(f"the answer is not {what}", for_now=False) from error


def end_if_possible(end: Callable[[], object], look: Callable[[], object] | None = None) -> None:
    """Stop or delete something, or put it out of service; what is gone or over needs no end.

    What is being created, changed or deleted can't be ended now; the next look sees to it. `look`
    returns None if it is gone: its tags went along, and with them the permission to delete it.
    """
    try:
        end()
    except ClientError as error:
        if is_missing(error) or code_of(error) in _NOT_NOW:
            return
        if code_of(error) != "AccessDeniedException" or look is None or look() is not None:
            raise


def create_unless_taken(
    create: Callable[..., object],
    request: Mapping[str, Any],
    never: Set[str] = frozenset(),
) -> None:
    """Send a request unless its name is taken. Raises LaunchRefused, for good with `never`."""
    try:
        create(**request)
    except ClientError as error:
        if not exists_already(error):
            # What was created a moment ago may not be seen yet.
            for_good = code_of(error) in never
            for_now = not for_good and (may_pass_later(error) or is_missing(error))
            quota = is_used_up(error)
            raise LaunchRefused(text_of(error), for_now=for_now, quota=quota) from error
