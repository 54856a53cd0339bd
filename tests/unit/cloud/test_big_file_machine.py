"""Executions are started once, as Step Functions has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from novaloop.cloud.big_files import BigFileMachine

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient

ROLE = "arn:aws:iam::123456789012:role/r"
WAIT = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}}


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> Iterator[SFNClient]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("stepfunctions", region_name="us-east-1")


def gives_a_name_once(states: SFNClient, role: str) -> None:
    """Assert of any Step Functions that a name is taken, also by an execution that has ended."""
    arn = states.create_state_machine(name="names", definition=json.dumps(WAIT), roleArn=role)[
        "stateMachineArn"
    ]
    machine = BigFileMachine(states, arn, 1)
    assert machine.runs("one") is None
    assert machine.start("one", {"file": 1})
    assert machine.runs("one")
    assert machine.start("one", {"file": 1})
    assert not machine.start("one", {"file": 2})
    (running,) = states.list_executions(stateMachineArn=arn)["executions"]
    states.stop_execution(executionArn=running["executionArn"])
    assert machine.runs("one") is False
    assert not machine.start("one", {"file": 1})
    assert machine.start("two", {"file": 1})


def test_what_runs_is_started_once_and_what_has_ended_says_so(states: SFNClient) -> None:
    gives_a_name_once(states, ROLE)
