"""Requests that AWS refuses for their size or shape, and the emulator takes.

What is not here the emulator refuses itself: DynamoDB's limits of transactions, items, numbers and
keys, SQS' and SNS' of a message's size, the number of a batch's entries. The tests of the running
emulator go through those, too.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from novaloop_localcloud.sagemaker.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

MESSAGE_BYTES = 262_144
"""EventBridge's entry, Lambda's asynchronous payload, a state's input and output.

AWS has since raised the first two to 1 MiB: what fits into the older limit fits into both.
Sources: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html,
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html,
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
"""
REQUEST_BYTES, RESPONSE_BYTES = 6_291_456, 6_291_556
"""A synchronous invocation's payload and what a function may answer.

Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""
DELAY_SECONDS = 900
PART_BYTES = 5 << 20
"""Every part of a multipart upload but the last.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""
_SUBJECT = re.compile(r"[!-~][ -~]{0,99}")
_INVOCATION = re.compile(r"/2015-03-31/functions/[^/]+/invocations")
_KEY_BYTES, _METADATA_BYTES, _METADATA = 1_024, 2_048, "x-amz-meta-"
_STATES_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\s<>{}\[\]?*\"#%\\^|~`$&,;:/]{1,80}")


def refusal(
    service: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
) -> ServiceError | None:
    """Return the error that AWS answers to a request, or None where it finds no fault."""
    find = _RULES.get(service)
    return next(find(path, headers, body), None) if find else None


def _operation(headers: Mapping[str, str]) -> str:
    return headers.get("x-amz-target", "").rpartition(".")[2]


def _of_sns(_: str, __: Mapping[str, str], body: bytes) -> Iterator[ServiceError]:
    """Subject and message: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html."""
    request = parse_qs(body.decode(), keep_blank_values=True)
    if request.get("Action") != ["Publish"]:
        return
    (message,), subject = request.get("Message", [""]), request.get("Subject")
    if not message:
        yield ServiceError("InvalidParameter", "Invalid parameter: Empty message")
    if subject is not None and not _SUBJECT.fullmatch(subject[0]):
        yield ServiceError("InvalidParameter", "Invalid parameter: Subject")


def _of_events(_: str, headers: Mapping[str, str], body: bytes) -> Iterator[ServiceError]:
    """Size: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html."""
    if _operation(headers) != "PutEvents":
        return
    for entry in json.loads(body)["Entries"]:
        size = sum(len(str(entry.get(key, "")).encode()) for key in ("Source", "DetailType"))
        if size + len(entry.get("Detail", "").encode()) > MESSAGE_BYTES:
            yield ServiceError(
                "ValidationException",
                "Total size of the entries in the request is over the limit.",
            )


def _of_lambda(path: str, headers: Mapping[str, str], body: bytes) -> Iterator[ServiceError]:
    if not _INVOCATION.fullmatch(path):
        return
    kind = headers.get("x-amz-invocation-type", "RequestResponse")
    limit = MESSAGE_BYTES if kind == "Event" else REQUEST_BYTES
    if len(body) > limit:
        yield ServiceError(
            "RequestEntityTooLargeException",
            f"{len(body)} byte payload is too large for the {kind} invocation type "
            f"(limit {limit} bytes)",
            413,
        )


def _of_states(_: str, headers: Mapping[str, str], body: bytes) -> Iterator[ServiceError]:
    """Names and input: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html."""
    if _operation(headers) != "StartExecution":
        return
    request = json.loads(body)
    if "name" in request and not _STATES_NAME.fullmatch(request["name"]):
        yield ServiceError("InvalidName", f"Invalid Name: '{request['name']}'")
    if len(request.get("input", "").encode()) > MESSAGE_BYTES:
        yield ServiceError(
            "ValidationException",
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MESSAGE_BYTES}",
        )


_RULES = {
    "sns": _of_sns,
    "events": _of_events,
    "lambda": _of_lambda,
    "states": _of_states,
}


def query_problem(keys: Collection[str], request: Mapping[str, Any]) -> ServiceError | None:
    """Return what DynamoDB says of a Query of a table or index with these key attributes.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.FilterExpression.html
    """
    names = request.get("ExpressionAttributeNames") or {}
    words = re.findall(r"[#:]\w+|[A-Za-z_]\w*", request.get("FilterExpression") or "")
    for name in (names.get(word, word) for word in words):
        if name in keys:
            return ServiceError(
                "ValidationException",
                "Filter Expression can only contain non-primary key attributes: "
                f"Primary key attribute: {name}",
            )
    return None


def delay_problem(seconds: int) -> ServiceError | None:
    """Return what SQS says of a message's DelaySeconds.

    Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    if 0 <= seconds <= DELAY_SECONDS:
        return None
    return ServiceError(
        "InvalidParameterValue",
        f"Value {seconds} for parameter DelaySeconds is invalid. "
        f"Reason: DelaySeconds must be >= 0 and <= {DELAY_SECONDS}.",
    )


def object_problem(key: str, headers: Mapping[str, str]) -> ServiceError | None:
    """Return what S3 answers to a request about an object, or None where it finds no fault.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    if len(key.encode()) > _KEY_BYTES:
        return ServiceError("KeyTooLongError", "Your key is too long")
    told = {k: v for k, v in headers.items() if k.startswith(_METADATA)}
    if sum(len(k) - len(_METADATA) + len(v.encode()) for k, v in told.items()) > _METADATA_BYTES:
        return ServiceError(
            "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size"
        )
    return None


def parts_problem(sizes: Sequence[int]) -> ServiceError | None:
    """Return what S3 answers when an upload of parts of these sizes is completed."""
    if any(size < PART_BYTES for size in sizes[:-1]):
        return ServiceError(
            "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"
        )
    return None


def too_large(answer: bytes) -> bytes | None:
    """Return what Lambda answers in place of a function's answer that is too large for it."""
    if len(answer) <= RESPONSE_BYTES:
        return None
    message = (
        f"Response payload size ({len(answer)} bytes) exceeded maximum allowed payload size "
        f"({RESPONSE_BYTES} bytes)."
    )
    told = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}
    return json.dumps(told).encode()
