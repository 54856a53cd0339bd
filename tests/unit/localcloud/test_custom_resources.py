"""What the local cloud refuses of a custom resource's answer, as CloudFormation does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from novaloop_localcloud.custom_resources import problem

SAME = {"StackId": "arn:aws:cloudformation:stack/a", "RequestId": "1", "LogicalResourceId": "Guard"}
REQUEST = {**SAME, "RequestType": "Delete", "PhysicalResourceId": "id"}
ANSWER: dict[str, Any] = {**SAME, "Status": "SUCCESS", "PhysicalResourceId": "id"}


def said(**changes: Any) -> str | None:
    return problem(REQUEST, json.dumps({**ANSWER, **changes}).encode())


def test_an_answer_may_have_4096_bytes() -> None:
    room = 4_096 - len(json.dumps({**ANSWER, "Reason": ""}))
    assert said(Reason="r" * room) is None
    assert said(Reason="r" * (room + 1)) == "Response object is too long."


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"RequestId": "2"}, "RequestId"),
        ({"StackId": None}, "StackId"),
        ({"Status": "OK"}, "Status"),
        ({"Status": "FAILED"}, "Reason is required"),
        ({"Status": "FAILED", "Reason": "\x1b[1mno"}, "control characters"),
        ({"PhysicalResourceId": ""}, "Invalid PhysicalResourceId"),
        ({"PhysicalResourceId": None}, "Invalid PhysicalResourceId"),
        ({"PhysicalResourceId": "i" * 1_025}, "Invalid PhysicalResourceId"),
        ({"PhysicalResourceId": "another"}, "Invalid PhysicalResourceId"),
    ],
)
def test_what_is_refused_is_said(changes: dict[str, Any], says: str) -> None:
    assert says in (said(**changes) or "")


@pytest.mark.parametrize("body", [b"", b"[]", b"no json"])
def test_an_answer_is_an_object(body: bytes) -> None:
    assert "not a JSON object" in (problem(REQUEST, body) or "")


def test_an_update_may_answer_with_another_id_which_replaces_the_resource() -> None:
    updated = json.dumps({**ANSWER, "PhysicalResourceId": "another"}).encode()
    assert problem({**REQUEST, "RequestType": "Update"}, updated) is None
