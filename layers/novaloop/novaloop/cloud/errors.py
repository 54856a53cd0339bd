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
from novaloop.experiment.controller.observation import Cause, End
from novaloop.experiment.record import Obstacle
from novaloop.usecases.errors import code_of
from novaloop.usecases.ports import EndRefused, LaunchRefused, NotServing

T = TypeVar("T")
_QUOTA = {"ResourceLimitExceeded", "ServiceQuotaExceededException"}
_NUMBERS = re.compile(r"is (?P<limit>\d{1,9}) .{0,200} request delta of (?P<wanted>\d+)")
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
CHANGING = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}
"""The statuses of endpoints, inference components, and Bedrock's models, deployments and
throughput that change by themselves (botocore's models; RollingBack: UpdateEndpoint's guide)."""
_STATUSES = (
    "TrainingJobStatus",
    "InferenceComponentStatus",
    "EndpointStatus",
    "modelStatus",
    "status",
)
"""Where the answers that describe a resource tell its status; models and configurations have none.
"""
_NOT_YET = FOR_NOW | {"InternalDependencyException", "ModelTimeoutException"}
"""Errors of InvokeEndpoint and of Bedrock's InvokeModel, after which a model may answer later."""
_OF_THE_CONTAINER = {"ModelError", "ModelErrorException"}
_LATER_STATUS = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_DENIED = {"AccessDenied", "AccessDeniedException"}


def _is_server_fault(error: ClientError) -> bool:
    """Whether the answer's HTTP status is 5xx, whatever its code.

    A load balancer before the service answers with a bare status; botocore makes its code of it.
    """
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _message_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


def text_of(error: ClientError) -> str:
    """Return code and message in one line of at most 500 characters."""
    return f"{code_of(error)}: {' '.join(_message_of(error).split())}"[:500]


def obstacle_of(error: ClientError) -> Obstacle:
    """Return why a launch was refused, by AWS's code, or by what it says.

    A quota that is too small for this request alone is not used up by others. One that a repeated
    request met may be filled by what the first request of the call launched, its answer lost.
    """
    message = _message_of(error)
    code, cause = code_of(error), cause_of(message)
    if code in _QUOTA and error.response.get("ResponseMetadata", {}).get("RetryAttempts"):
        return Obstacle.UNCLEAR
    if code in _QUOTA:
        told = _NUMBERS.search(message)
        too_small = told is not None and int(told["wanted"]) > int(told["limit"])
        return Obstacle.QUOTA_TOO_SMALL if too_small else Obstacle.QUOTA
    if cause is Cause.CAPACITY:
        return Obstacle.CAPACITY
    if code in FOR_NOW or cause is Cause.SERVICE_FAULT or _is_server_fault(error):
        return Obstacle.SERVICE_FAULT
    return Obstacle.NOT_FOUND if is_missing(error) else Obstacle.INVALID


def is_missing(error: ClientError) -> bool:
    """Whether SageMaker or Bedrock says that there is no such thing."""
    if code_of(error) == "ResourceNotFoundException":
        return True
    message = _message_of(error).lower()
    told = "not found" in message or "could not find" in message or "does not exist" in message
    codes = {"ResourceNotFound", "ValidationException", "ValidationError"}
    return code_of(error) in codes and told


def is_denied(error: ClientError) -> bool:
    """Whether IAM denies a call.

    A right on condition of a resource's tag is denied too for what does not exist, and for what
    exists as long as its tag does not show: neither has the tag. Sources: the condition operator
    `Null` in the IAM User Guide; aws/sagemaker-python-sdk#3662 for tags that show late.
    """
    return code_of(error) in _DENIED


def _names_nothing(error: ClientError) -> bool:
    """Whether Bedrock calls an identifier invalid, as its runtime does of a model there is not.

    That its control plane says so of a name is not known: the reference has
    ResourceNotFoundException (aws-samples/amazon-bedrock-workshop#315 shows the runtime's).
    """
    message = _message_of(error).lower()
    return code_of(error) == "ValidationException" and "identifier is invalid" in message


def exists_already(error: ClientError) -> bool:
    """Whether SageMaker or Bedrock refuses a name because it is taken."""
    message = _message_of(error).lower()
    taken = "already exist" in message
    in_use = code_of(error) in {"ResourceInUse", "ConflictException"}
    return in_use or (code_of(error) == "ValidationException" and taken)


def found(call: Callable[[], T]) -> T | None:
    """Return what `call`, a look by name or ARN, returns; None if there is no such thing."""
    try:
        return call()
    except ClientError as error:
        if is_missing(error) or _names_nothing(error):
            return None
        raise


def is_in_progress(error: ClientError) -> bool:
    """Whether SageMaker refuses to change what it is changing already."""
    message = _message_of(error).lower()
    return code_of(error) == "ValidationException" and "in-progress" in message


def may_answer_later(error: ClientError) -> bool:
    """Whether the same question may be answered later.

    A container that answers 4xx refuses the question for good; while it starts or is overloaded,
    it answers 5xx, or not at all, of which SageMaker says "Received server error (0)". What was
    created a moment ago may not be found yet.
    """
    code, message = code_of(error), _message_of(error)
    if code not in _OF_THE_CONTAINER:
        not_found = code == "ValidationError" and "not found" in message.lower()
        not_found = not_found or is_missing(error) or _names_nothing(error)
        # The right to ask Bedrock hangs on a tag, which may show later than what carries it.
        hidden = is_denied(error) and error.operation_name.startswith("InvokeModel")
        return code in _NOT_YET or not_found or hidden or _is_server_fault(error)
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


def status_of(described: Mapping[str, Any]) -> str:
    """Return a resource's status from the answer that describes it; empty if it has none."""
    return next((str(described[name]) for name in _STATUSES if name in described), "")


def serving_of(endpoint: Mapping[str, Any]) -> str:
    """Return the name of the configuration that an endpoint serves, from its description.

    SageMaker need not tell it (botocore's model of DescribeEndpoint). That of an attempt's endpoint
    has the endpoint's name, and no attempt's has that of an endpoint that outlives its attempts.
    """
    return str(endpoint.get("EndpointConfigName") or endpoint["EndpointName"])


def settled(described: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what there is if it stays as it is until it is ended; None while it changes."""
    return None if described and status_of(described) in CHANGING else described


def end_if_possible(end: Callable[[], object], look: Callable[[], object]) -> End:
    """Stop or delete something, or put it out of service: REQUESTED, if that was accepted.

    Whatever the service says: where `look` finds nothing that has yet to be asked to end, since it
    is gone, over, or being created, changed or deleted, it is NOT_NOW, and the next look sees to
    it. Raises EndRefused if there is something: no text of a refusal is known to pass by itself.

    ConflictException is NOT_NOW without a look: of what Bedrock is about to delete, such as
    throughput, the status says nothing (botocore, ProvisionedModelStatus).
    """
    try:
        end()
    except ClientError as error:
        if is_missing(error) or code_of(error) == "ConflictException":
            return End.NOT_NOW
        if code_of(error) in FOR_NOW or _is_server_fault(error):
            raise
        if look() is not None:
            raise EndRefused(text_of(error)) from error
        return End.NOT_NOW
    return End.REQUESTED


def unless_there(create: Callable[[], T]) -> T | None:
    """Return the answer if something was created; None if it was there already."""
    try:
        return create()
    except ClientError as error:
        if exists_already(error):
            return None
        raise


def create_unless_taken(
    create: Callable[..., Mapping[str, Any]],
    request: Mapping[str, Any],
    never: Set[str] = frozenset(),
    *,
    by_tag: bool = False,
) -> Mapping[str, Any] | None:
    """Send a request unless its name is taken, and return the answer, if it created something.

    Raises LaunchRefused, for good with `never`. The right to send it may hang on the tag of what it
    refers to: `by_tag`.
    """
    try:
        return unless_there(lambda: create(**request))
    except ClientError as error:
        cause = Obstacle.DENIED if by_tag and is_denied(error) else obstacle_of(error)
        if code_of(error) in never:
            cause = Obstacle.INVALID
        raise LaunchRefused(text_of(error), cause) from error
