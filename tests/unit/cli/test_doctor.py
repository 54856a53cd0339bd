"""What doctor makes of answers that the local cloud does not give."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from novaloop.experiment.planning import Quota
from novaloop_cli import stack as stacks
from novaloop_cli.doctor import account, command, of_account, of_stack
from novaloop_cli.doctor.account import DeployedStack
from novaloop_cli.doctor.findings import Finding, Severity, fine
from tests.unit.cli.conftest import novaloop

ENDPOINT = "ml.p5.48xlarge for endpoint usage"


def refused(code: str, operation: str = "ListThings") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


def stack(status: str = "CREATE_COMPLETE", **resources: dict[str, str]) -> DeployedStack:
    outputs = dict.fromkeys(("BucketName", "TopicArn", "ExecutionRoleArn"), "arn:topic")
    return DeployedStack("novaloop", status, {}, outputs, resources)


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        ("CREATE_COMPLETE", "fine"),
        ("UPDATE_COMPLETE", "fine"),
        ("UPDATE_IN_PROGRESS", "warns"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "warns"),
        ("UPDATE_ROLLBACK_COMPLETE", "warns"),
        ("ROLLBACK_COMPLETE", "stops"),
        ("UPDATE_ROLLBACK_FAILED", "stops"),
        ("DELETE_FAILED", "stops"),
    ],
)
def test_a_stack_is_what_cloudformation_says(status: str, severity: str) -> None:
    (found,) = of_stack.status(stack(status))
    assert found.severity == severity
    assert status in found.what


def test_of_a_stack_without_outputs_no_more_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "aws_client", lambda _: None)
    found = DeployedStack("other", "ROLLBACK_COMPLETE", {}, {}, {})
    status, outputs = of_stack.status(found)
    assert (status.severity, outputs.severity) == ("stops", "stops")
    assert "other has no outputs of Novaloop" in outputs.what
    assert [name for name, _ in command._checks(found, ())] == ["stack", "concurrency", "machines"]


class Pages:
    """A client whose every paginator gives the same pages."""

    def __init__(self, **pages: list[dict[str, Any]]) -> None:
        self._pages = pages

    def get_paginator(self, operation: str) -> Any:
        pages = self._pages.get(operation, [])
        return SimpleNamespace(paginate=lambda **_: iter(pages))


@pytest.mark.parametrize(
    ("arns", "severity", "told"),
    [
        ([], "warns", "nobody is told"),
        (["PendingConfirmation", "arn:aws:sns:a"], "warns", "1 of 2 subscriptions"),
        (["arn:aws:sns:a"], "fine", "1 subscribers"),
    ],
)
def test_somebody_is_told(arns: list[str], severity: str, told: str) -> None:
    page = {"Subscriptions": [{"SubscriptionArn": arn} for arn in arns]}
    (found,) = of_stack.notifications(stack(), Pages(list_subscriptions_by_topic=[page]))
    assert found.severity == severity
    assert told in found.what


def quota_pages(value: float, *asked: tuple[str, float]) -> Pages:
    quota = {"QuotaName": ENDPOINT, "QuotaCode": "L-1", "Value": value}
    asks = [{"QuotaCode": "L-1", "Status": status, "DesiredValue": to} for status, to in asked]
    return Pages(
        list_service_quotas=[{"Quotas": []}, {"Quotas": [quota]}],
        list_requested_service_quota_change_history=[{"RequestedQuotas": asks}],
    )


@pytest.mark.parametrize(
    ("value", "severity"), [(0, "stops"), (1, "warns"), (2, "fine"), (20.0, "fine")]
)
def test_an_endpoint_that_is_updated_needs_twice_as_many(value: float, severity: str) -> None:
    (found,) = of_account.machines((Quota(ENDPOINT, 1, 2),), quota_pages(value))
    assert found.severity == severity
    assert ("--desired-value 2" in found.do) == (severity != "fine")


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (("PENDING", 1), True),
        (("CASE_OPENED", 8), True),
        (("DENIED", 8), False),
        (("PENDING", 0), False),
    ],
)
def test_what_was_asked_for_is_waited_for(asked: tuple[str, float], waits: bool) -> None:
    (found,) = of_account.machines((Quota(ENDPOINT, 1),), quota_pages(0, asked))
    assert found.do.startswith("`aws service-quotas") != waits


def test_a_machine_without_a_quota_is_not_to_be_had() -> None:
    (found,) = of_account.machines((Quota("ml.x9.huge for endpoint usage", 1),), quota_pages(9))
    assert found.severity == "stops"
    assert "ml.x9.huge" in found.what


def failing(error: Exception) -> Iterator[Finding]:
    yield fine("the first")
    raise error


@pytest.mark.parametrize(
    ("error", "do"),
    [
        (refused("AccessDeniedException"), "allow yourself ListThings"),
        (refused("ThrottlingException"), ""),
        (EndpointConnectionError(endpoint_url="https://there"), ""),
    ],
)
def test_what_can_t_be_looked_at_is_a_finding_after_the_others(error: Exception, do: str) -> None:
    first, last = command._tried(lambda: failing(error))
    assert first == fine("the first")
    assert (last.severity, last.do) == (Severity.UNKNOWN, do)
    assert last.what


def test_before_the_stack_is_deployed_the_account_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fresh:
        meta = SimpleNamespace(region_name="us-east-1")

        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": "arn:aws:iam::000000000000:user/jane"}

        def describe_stacks(self, **_: str) -> None:
            raise ClientError(
                {"Error": {"Code": "ValidationError", "Message": "novaloop does not exist"}}, "D"
            )

        def get_account_settings(self) -> dict[str, Any]:
            return {"AccountLimit": {"ConcurrentExecutions": 10}}

    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for module in (account, stacks):
        monkeypatch.setattr(module, "aws_client", lambda _: Fresh())
    result = novaloop("doctor")
    assert result.exit_code == 1
    assert "stack: no stack is called novaloop in us-east-1" in result.output
    assert "concurrency: Lambda runs 10 functions at once, as for a new account" in result.output
