"""What the local cloud's services refuse for its size or shape."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from novaloop_localcloud import limits
from novaloop_localcloud.limits import MESSAGE_BYTES, PART_BYTES, REQUEST_BYTES, RESPONSE_BYTES


def _code(service: str, target: str, request: dict[str, Any]) -> str | None:
    headers, body = {"x-amz-target": f"{service}.{target}"}, json.dumps(request).encode()
    if service == "sns":
        body = urlencode({"Action": target, **request}).encode()
    problem = limits.refusal(service, "/", headers, body)
    return problem.code if problem else None


@pytest.mark.parametrize("subject", ["s" * 101, "two\nlines", "é", "", " led by space", "a\tb"])
def test_sns_refuses_a_subject(subject: str) -> None:
    assert _code("sns", "Publish", {"Message": "m", "Subject": subject}) == "InvalidParameter"


def test_sns_takes_what_is_sound() -> None:
    assert _code("sns", "Publish", {"Message": "m", "Subject": "s" * 100}) is None
    assert _code("sns", "Publish", {"Message": "two\nlines: é"}) is None
    assert _code("sns", "Subscribe", {"Subject": ""}) is None
    assert _code("sns", "Publish", {"Message": ""}) == "InvalidParameter"


@pytest.mark.parametrize("seconds", [-1, 901])
def test_sqs_refuses_a_delay(seconds: int) -> None:
    problem = limits.delay_problem(seconds)
    assert problem is not None
    assert problem.code == "InvalidParameterValue"
    assert str(seconds) in problem.message


def test_sqs_takes_a_delay() -> None:
    assert limits.delay_problem(0) is limits.delay_problem(900) is None


def test_eventbridge_refuses_a_large_entry() -> None:
    entry = {"Source": "s", "DetailType": "d", "Detail": "x" * (MESSAGE_BYTES - 2)}
    assert _code("events", "PutEvents", {"Entries": [entry]}) is None
    entry["Detail"] += "x"
    assert _code("events", "PutEvents", {"Entries": [entry]}) == "ValidationException"


@pytest.mark.parametrize(("kind", "longest"), [("Event", MESSAGE_BYTES), ("", REQUEST_BYTES)])
def test_lambda_refuses_a_large_payload(kind: str, longest: int) -> None:
    path = "/2015-03-31/functions/f/invocations"
    headers = {"x-amz-invocation-type": kind} if kind else {}
    assert limits.refusal("lambda", path, headers, b"x" * longest) is None
    problem = limits.refusal("lambda", path, headers, b"x" * (longest + 1))
    assert problem is not None
    assert (problem.code, problem.status) == ("RequestEntityTooLargeException", 413)
    assert limits.refusal("lambda", "/2015-03-31/functions", headers, b"x" * (longest + 1)) is None


def test_lambda_replaces_a_large_answer() -> None:
    assert limits.too_large(b"x" * RESPONSE_BYTES) is None
    replaced = json.loads(limits.too_large(b"x" * (RESPONSE_BYTES + 1)) or b"")
    assert replaced["errorType"] == "Function.ResponseSizeTooLarge"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"name": "n" * 80, "input": "x" * MESSAGE_BYTES}, None),
        ({"input": "x" * (MESSAGE_BYTES + 1)}, "ValidationException"),
        ({"name": "n" * 81}, "InvalidName"),
        ({"name": "two words"}, "InvalidName"),
        ({"name": "a:b"}, "InvalidName"),
    ],
)
def test_step_functions_refuse_an_execution(request_: dict[str, Any], code: str | None) -> None:
    assert _code("states", "StartExecution", request_) == code


def test_s3_refuses_a_long_key_and_large_metadata() -> None:
    assert limits.object_problem("k" * 1_024, {"x-amz-meta-a": "v" * 2_047}) is None
    problem = limits.object_problem("é" * 513, {})
    assert problem is not None
    assert problem.code == "KeyTooLongError"
    problem = limits.object_problem("k", {"x-amz-meta-a": "v" * 2_048, "accept": "*/*"})
    assert problem is not None
    assert problem.code == "MetadataTooLarge"


def test_s3_refuses_small_parts_but_the_last() -> None:
    assert limits.parts_problem([PART_BYTES, PART_BYTES, 1]) is limits.parts_problem([1]) is None
    assert limits.parts_problem([]) is None
    problem = limits.parts_problem([PART_BYTES, PART_BYTES - 1, PART_BYTES])
    assert problem is not None
    assert problem.code == "EntityTooSmall"


@pytest.mark.parametrize(
    ("expression", "refused"),
    [
        ("#0 IN (:0, :1)", True),
        ("attribute_exists(due_at) AND #1 = :0", True),
        ("#1 = :0", False),
        ("begins_with(#1, :kind)", False),
        (None, False),
    ],
)
def test_dynamodb_refuses_a_filter_on_a_key_of_what_is_queried(
    expression: str | None, refused: bool
) -> None:
    names = {"#0": "kind", "#1": "status"}
    request = {"FilterExpression": expression, "ExpressionAttributeNames": names}
    assert bool(limits.query_problem({"kind", "due_at"}, request)) is refused
