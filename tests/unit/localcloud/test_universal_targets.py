"""What AWS refuses of a schedule, and how its target is called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from novaloop_localcloud import universal_targets
from novaloop_localcloud.credentials import Credentials

NOW = 1_767_603_600.0
DELETES: dict[str, Any] = {
    "Arn": "arn:aws:scheduler:::aws-sdk:sagemaker:deleteEndpoint",
    "RoleArn": "arn:aws:iam::123456789012:role/Ending",
    "Input": '{"EndpointName": "novaloop-a--deploy-1"}',
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"StartDate": NOW - 290}, None),
        ({"StartDate": NOW - 310}, "earlier than 5 minutes ago"),
        ({"EndDate": NOW + 60}, "EndDate"),
        ({"Target": {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:getQueueUrl"}}, "read-only"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], says: str | None) -> None:
    request = {"StartDate": NOW + 60, "EndDate": NOW + 120, "Target": DELETES} | changes
    refused = universal_targets.refusal(request, NOW)
    assert (refused is None) if says is None else (refused and says in refused.message)


@pytest.mark.parametrize(
    ("operation", "given", "member"),
    [
        ("sagemaker:deleteEndpoint", "EndpointName", "EndpointName"),
        ("bedrock:deleteProvisionedModelThroughput", "ProvisionedModelId", "provisionedModelId"),
    ],
)
def test_an_operation_is_called_with_the_roles_credentials(
    operation: str, given: str, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, Any]] = []

    def send(client: Any, operation_name: str, parameters: Any) -> None:
        key = client._request_signer._credentials.access_key
        sent.append((f"{key} {operation_name}", parameters))

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", send)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    target = {"Arn": f"arn:aws:scheduler:::aws-sdk:{operation}", "Input": json.dumps({given: "a"})}
    universal_targets.call(target, Credentials("role", "secret"))
    name = operation.partition(":")[2]
    assert sent == [(f"role {name[0].upper()}{name[1:]}", {member: "a"})]
