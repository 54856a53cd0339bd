"""What of a stack's still bills, by the services' own lists: requests as botocore has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from novaloop.cloud.running import ARNS_AT_ONCE, RunningInAccount
from novaloop.usecases.ports import Billing
from tests.unit.cloud.stubs import StubbedServices, requested_names

AT = datetime(2026, 1, 5, tzinfo=UTC)
NAMES = requested_names()
ATTEMPT = NAMES["sagemaker:endpoint"]


@dataclass(frozen=True)
class Kind:
    """How a service lists resources of a kind."""

    kind: str
    operation: str
    summaries: str
    name: str
    arn: str
    status: str
    runs: str
    rest: Mapping[str, Any]
    only: Mapping[str, str]

    @property
    def service(self) -> str:
        return self.kind.partition(":")[0]

    def arn_of(self, name: str) -> str:
        noun = self.kind.partition(":")[2]
        last = name if self.service == "sagemaker" else f"{abs(hash(name)) % 10**12:012}"
        noun += "/amazon.nova-lite-v1:0:300k" if noun == "model-customization-job" else ""
        return f"arn:aws:{self.service}:us-east-1:123456789012:{noun}/{last}"

    def summary(self, name: str, status: str) -> dict[str, Any]:
        return {self.name: name, self.arn: self.arn_of(name), self.status: status, **self.rest}


ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e"
MODEL = "arn:aws:bedrock:us-east-1:123456789012:custom-model/imported/aaaaaaaaaaaa"
TIMES = {"CreationTime": AT, "LastModifiedTime": AT}
KINDS = [
    Kind(
        "sagemaker:endpoint",
        "list_endpoints",
        "Endpoints",
        "EndpointName",
        "EndpointArn",
        "EndpointStatus",
        "InService",
        TIMES,
        {},
    ),
    Kind(
        "sagemaker:inference-component",
        "list_inference_components",
        "InferenceComponents",
        "InferenceComponentName",
        "InferenceComponentArn",
        "InferenceComponentStatus",
        "InService",
        {**TIMES, "EndpointArn": ARN, "EndpointName": "e", "VariantName": "v"},
        {},
    ),
    Kind(
        "sagemaker:training-job",
        "list_training_jobs",
        "TrainingJobSummaries",
        "TrainingJobName",
        "TrainingJobArn",
        "TrainingJobStatus",
        "InProgress",
        {"CreationTime": AT},
        {"StatusEquals": "InProgress"},
    ),
    Kind(
        "bedrock:provisioned-model",
        "list_provisioned_model_throughputs",
        "provisionedModelSummaries",
        "provisionedModelName",
        "provisionedModelArn",
        "status",
        "InService",
        {
            "modelArn": MODEL,
            "desiredModelArn": MODEL,
            "foundationModelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova",
            "modelUnits": 1,
            "desiredModelUnits": 1,
            "creationTime": AT,
            "lastModifiedTime": AT,
        },
        {},
    ),
    Kind(
        "bedrock:custom-model-deployment",
        "list_custom_model_deployments",
        "modelDeploymentSummaries",
        "customModelDeploymentName",
        "customModelDeploymentArn",
        "status",
        "Active",
        {"modelArn": MODEL, "createdAt": AT},
        {},
    ),
    Kind(
        "bedrock:model-customization-job",
        "list_model_customization_jobs",
        "modelCustomizationJobSummaries",
        "jobName",
        "jobArn",
        "status",
        "InProgress",
        {"baseModelArn": MODEL, "creationTime": AT},
        {"statusEquals": "InProgress"},
    ),
]
ENDPOINTS = KINDS[0]


class Account(StubbedServices):
    """What is there, as the services and the index of tags tell it."""

    def __init__(self, stack: ExitStack, region: str = "us-east-1") -> None:
        super().__init__(stack, region)
        self.resources = RunningInAccount(*self.clients, "novaloop", "mine")

    def service(self, kind: Kind) -> Stubber:
        return self.sagemaker if kind.service == "sagemaker" else self.bedrock

    def lists(self, names: Mapping[str, Sequence[str]], status: str | None = None) -> None:
        """Let each service list these names of each kind, and nothing of the others."""
        for kind in KINDS:
            listed = [kind.summary(n, status or kind.runs) for n in names.get(kind.kind, [])]
            self.service(kind).add_response(
                kind.operation, {kind.summaries: listed}, dict(kind.only)
            )

    def knows(self, tags: Mapping[str, Mapping[str, str]], asked: Sequence[str]) -> None:
        """Let the index of tags answer with these, to a question about exactly those ARNs."""
        listed = [
            {"ResourceARN": arn, "Tags": [{"Key": k, "Value": v} for k, v in told.items()]}
            for arn, told in tags.items()
        ]
        self.tagging.add_response(
            "get_resources", {"ResourceTagMappingList": listed}, {"ResourceARNList": list(asked)}
        )

    def serves(self, endpoint: str, configuration: str) -> None:
        answer = {
            "EndpointName": endpoint,
            "EndpointArn": ENDPOINTS.arn_of(endpoint),
            "EndpointConfigName": configuration,
            "EndpointStatus": "InService",
            **TIMES,
        }
        asked = {"EndpointName": endpoint}
        self.sagemaker.add_response("describe_endpoint", answer, asked)

    def find(self) -> tuple[list[Billing], list[str]]:
        found, unseen = self.resources.find(lambda: True)
        return list(found), list(unseen)


@pytest.fixture
def account() -> Iterator[Account]:
    with ExitStack() as stack:
        account = Account(stack)
        yield account
        for service in (account.tagging, account.sagemaker, account.bedrock):
            service.assert_no_pending_responses()


def tagged(stack: str | None = "mine", **more: str) -> dict[str, str]:
    named = {"novaloop:stack": stack} if stack else {}
    return {"novaloop:experiment": "demo", **named, **more}


def test_an_account_where_nothing_runs_is_empty(account: Account) -> None:
    account.lists({})
    assert account.find() == ([], [])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_each_kind_is_found_by_its_name_before_its_tags_show(account: Account, kind: Kind) -> None:
    name = NAMES[kind.kind]
    names = [name, "other-demo--a1b2-deploy-1", "novaloop2-demo--deploy-1", "novaloop-mine"]
    account.lists({kind.kind: names})
    if kind is ENDPOINTS:
        account.serves("novaloop-mine", "anything")
    account.knows({}, [kind.arn_of(each) for each in names])
    assert account.find() == ([Billing(kind.kind, name, "demo")], [])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_each_kind_is_found_by_its_tags_under_a_prefix_of_before(
    account: Account, kind: Kind
) -> None:
    account.lists({kind.kind: ["before-demo--a1b2-deploy-1"]})
    arn = kind.arn_of("before-demo--a1b2-deploy-1")
    account.knows({arn: tagged()}, [arn])
    assert account.find() == ([Billing(kind.kind, "before-demo--a1b2-deploy-1", "demo")], [])


@pytest.mark.parametrize(
    ("name", "tags", "is_own"),
    [
        (ATTEMPT, tagged(), True),
        (ATTEMPT, tagged("another"), False),
        (ATTEMPT, tagged(None), True),  # as release 0.1.0 tagged
        ("other-bot", tagged(None), False),
        ("other-bot", tagged(None, **{"novaloop:prefix": "novaloop"}), True),
        ("other-bot", tagged("another", **{"novaloop:prefix": "novaloop"}), False),
        (ATTEMPT, {"novaloop:stack": "mine"}, False),  # its owner took the experiment's tag away
        ("novaloop-bot", tagged(), True),
        ("novaloop-bot", {"owner": "jane"}, False),
    ],
)
def test_tags_that_are_known_decide(
    account: Account, name: str, tags: dict[str, str], is_own: bool
) -> None:
    account.lists({"sagemaker:endpoint": [name]})
    arn = ENDPOINTS.arn_of(name)
    account.knows({arn: tags}, [arn])
    found = [Billing("sagemaker:endpoint", name, "demo")] if is_own else []
    assert account.find() == (found, [])


def test_an_endpoint_of_a_lasting_name_is_told_by_what_it_serves(account: Account) -> None:
    account.lists({"sagemaker:endpoint": ["novaloop-bot"]})
    account.knows({}, [ENDPOINTS.arn_of("novaloop-bot")])
    account.serves("novaloop-bot", ATTEMPT)
    assert account.find() == ([Billing("sagemaker:endpoint", "novaloop-bot", "demo")], [])


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.kind)
def test_what_is_being_deleted_ends_by_itself(account: Account, kind: Kind) -> None:
    account.lists({kind.kind: [ATTEMPT]}, status="Deleting")
    assert account.find() == ([], [])


@pytest.mark.parametrize(
    "status", ["Creating", "Updating", "RollingBack", "Failed", "OutOfService"]
)
def test_what_is_in_any_other_state_may_bill(account: Account, status: str) -> None:
    account.lists({"sagemaker:endpoint": [ATTEMPT]}, status=status)
    account.knows({}, [ENDPOINTS.arn_of(ATTEMPT)])
    assert len(account.find()[0]) == 1


def test_all_pages_are_read_and_tags_are_asked_for_by_the_hundred(account: Account) -> None:
    names = [f"novaloop-demo--a1b2-deploy-{n}" for n in range(1, 2 * ARNS_AT_ONCE + 2)]
    for start, token in ((0, "more"), (ARNS_AT_ONCE, None)):
        some = names[start : start + ARNS_AT_ONCE] if token else names[start:]
        page = {"Endpoints": [ENDPOINTS.summary(name, "InService") for name in some]}
        asked = {"NextToken": "more"} if start else {}
        account.sagemaker.add_response(
            "list_endpoints", {**page, **({"NextToken": token} if token else {})}, asked
        )
    for kind in KINDS[1:]:
        account.service(kind).add_response(kind.operation, {kind.summaries: []}, dict(kind.only))
    for start in range(0, len(names), ARNS_AT_ONCE):
        account.knows({}, [ENDPOINTS.arn_of(n) for n in names[start : start + ARNS_AT_ONCE]])
    assert len(account.find()[0]) == len(names)


@pytest.mark.parametrize("denied", KINDS, ids=lambda kind: kind.kind)
def test_a_list_that_is_denied_is_told_and_the_others_are_read(
    account: Account, denied: Kind
) -> None:
    for kind in KINDS:
        service = account.service(kind)
        if kind is denied:
            service.add_client_error(kind.operation, "AccessDeniedException", "not authorized")
        else:
            listed = [kind.summary(NAMES[kind.kind], kind.runs)]
            service.add_response(kind.operation, {kind.summaries: listed}, dict(kind.only))
    account.tagging.add_client_error("get_resources", "AccessDeniedException", "nor tags")
    found, unseen = account.find()
    assert [each.kind for each in found] == [k.kind for k in KINDS if k is not denied]
    why = "can't be looked at: AccessDeniedException"
    assert unseen == [f"every {denied.kind} {why}: not authorized", f"tags {why}: nor tags"]


def test_when_the_time_is_up_the_rest_counts_as_unseen(account: Account) -> None:
    account.sagemaker.add_response(
        "list_endpoints", {"Endpoints": [ENDPOINTS.summary(ATTEMPT, "InService")]}, {}
    )
    asked = iter([True, True])
    found, unseen = account.resources.find(lambda: next(asked, False))
    assert [each.name for each in found] == [ATTEMPT]
    assert len(unseen) == len(KINDS) - 1 + 1
    assert "time is up" in unseen[0]


def test_bedrock_is_not_asked_where_nothing_of_nova_can_be_on_it() -> None:
    with ExitStack() as stack:
        account = Account(stack, "ap-northeast-1")
        for kind in KINDS[:3]:
            account.sagemaker.add_response(kind.operation, {kind.summaries: []}, dict(kind.only))
        assert account.find() == ([], [])
