"""What carries an experiment's tag, and how it is ended: requests as botocore's model has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from novaloop.cloud.tagged_resources import MOST_AT_ONCE, TaggedResources
from novaloop.experiment.controller.observation import TaggedResource
from novaloop.usecases.ports import EndRefused
from tests.unit.cloud.stubs import StubbedServices, requested_names

SAGEMAKER, BEDROCK = (f"arn:aws:{name}:us-east-1:123456789012" for name in ("sagemaker", "bedrock"))
NAMES = requested_names()
NAME, JOB_NAME = NAMES["sagemaker:training-job"], NAMES["bedrock:model-customization-job"]
ITS_JOBS = f"{JOB_NAME.partition('--')[0]}--"
"""How the names of all jobs of the experiment begin."""
AT = datetime(2026, 1, 5, tzinfo=UTC)
ROLE = "arn:aws:iam::123456789012:role/jobs"
BASE = f"{BEDROCK.replace(':123456789012', ':')}:foundation-model/amazon.nova-2-lite-v1:0"
JOB = f"{BEDROCK}:model-customization-job/amazon.nova-2-lite-v1:0:256k/0123456789ab"
DEPLOYMENT = f"{BEDROCK}:custom-model-deployment/cccccccccccc"
PROVISIONED = f"{BEDROCK}:provisioned-model/eeeeeeeeeeee"
IMPORTED = f"{BEDROCK}:custom-model/imported/aaaaaaaaaaaa"
TRAINED = f"{BEDROCK}:custom-model/amazon.nova-2-lite-v1:0:256k/bbbbbbbbbbbb"


@dataclass(frozen=True)
class Kind:
    """A resource of a kind, and the calls by which it is looked at and ended."""

    arn: str
    describe: str
    end: str
    parameter: str
    answer: dict[str, Any]

    @property
    def named(self) -> dict[str, str]:
        on_sagemaker = self.arn.startswith(SAGEMAKER)
        return {self.parameter: self.arn.rpartition("/")[2] if on_sagemaker else self.arn}


KINDS = [
    Kind(
        f"{SAGEMAKER}:training-job/{NAME}",
        "describe_training_job",
        "stop_training_job",
        "TrainingJobName",
        {
            "TrainingJobName": NAME,
            "TrainingJobArn": f"{SAGEMAKER}:training-job/{NAME}",
            "ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/output"},
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Training",
            "AlgorithmSpecification": {"TrainingInputMode": "File"},
            "ResourceConfig": {"VolumeSizeInGB": 1},
            "StoppingCondition": {},
            "CreationTime": AT,
        },
    ),
    Kind(
        f"{SAGEMAKER}:inference-component/{NAME}",
        "describe_inference_component",
        "delete_inference_component",
        "InferenceComponentName",
        {
            "InferenceComponentName": NAME,
            "InferenceComponentArn": f"{SAGEMAKER}:inference-component/{NAME}",
            "EndpointName": NAME,
            "EndpointArn": f"{SAGEMAKER}:endpoint/{NAME}",
            "CreationTime": AT,
            "LastModifiedTime": AT,
        },
    ),
    Kind(
        f"{SAGEMAKER}:endpoint/{NAME}",
        "describe_endpoint",
        "delete_endpoint",
        "EndpointName",
        {
            "EndpointName": NAME,
            "EndpointArn": f"{SAGEMAKER}:endpoint/{NAME}",
            "EndpointConfigName": NAME,
            "EndpointStatus": "InService",
            "CreationTime": AT,
            "LastModifiedTime": AT,
        },
    ),
    Kind(
        f"{SAGEMAKER}:endpoint-config/{NAME}",
        "describe_endpoint_config",
        "delete_endpoint_config",
        "EndpointConfigName",
        {
            "EndpointConfigName": NAME,
            "EndpointConfigArn": f"{SAGEMAKER}:endpoint-config/{NAME}",
            "ProductionVariants": [{"VariantName": "primary"}],
            "CreationTime": AT,
        },
    ),
    Kind(
        f"{SAGEMAKER}:model/{NAME}",
        "describe_model",
        "delete_model",
        "ModelName",
        {"ModelName": NAME, "ModelArn": f"{SAGEMAKER}:model/{NAME}", "CreationTime": AT},
    ),
    Kind(
        JOB,
        "get_model_customization_job",
        "stop_model_customization_job",
        "jobIdentifier",
        {
            "jobArn": JOB,
            "jobName": JOB_NAME,
            "outputModelName": NAMES["bedrock:custom-model"],
            "roleArn": ROLE,
            "status": "InProgress",
            "creationTime": AT,
            "baseModelArn": BASE,
            "trainingDataConfig": {},
            "validationDataConfig": {"validators": []},
            "outputDataConfig": {"s3Uri": "s3://bucket/output"},
        },
    ),
    Kind(
        DEPLOYMENT,
        "get_custom_model_deployment",
        "delete_custom_model_deployment",
        "customModelDeploymentIdentifier",
        {
            "customModelDeploymentArn": DEPLOYMENT,
            "modelDeploymentName": NAMES["bedrock:custom-model-deployment"],
            "modelArn": IMPORTED,
            "status": "Active",
            "createdAt": AT,
        },
    ),
    Kind(
        PROVISIONED,
        "get_provisioned_model_throughput",
        "delete_provisioned_model_throughput",
        "provisionedModelId",
        {
            "modelUnits": 1,
            "desiredModelUnits": 1,
            "provisionedModelName": NAMES["bedrock:provisioned-model"],
            "provisionedModelArn": PROVISIONED,
            "modelArn": IMPORTED,
            "desiredModelArn": IMPORTED,
            "foundationModelArn": BASE,
            "status": "InService",
            "creationTime": AT,
            "lastModifiedTime": AT,
        },
    ),
    Kind(
        IMPORTED,
        "get_custom_model",
        "delete_custom_model",
        "modelIdentifier",
        {
            "modelArn": IMPORTED,
            "modelName": NAMES["bedrock:custom-model"],
            "customizationType": "IMPORTED",
            "creationTime": AT,
        },
    ),
]
BY_ARN = {kind.arn: kind for kind in KINDS}
NOT_JOBS = [kind for kind in KINDS if "job" not in kind.describe]
JOB_LISTED = {"TrainingJobName": NAME, "TrainingJobArn": KINDS[0].arn}


class Account(StubbedServices):
    """What is there, as the services and the index of tags tell it."""

    def __init__(self, stack: ExitStack, region: str = "us-east-1") -> None:
        super().__init__(stack, region)
        self.resources = TaggedResources(*self.clients, "novaloop", "stack")

    def service_of(self, kind: Kind) -> Stubber:
        return self.sagemaker if kind.arn.startswith(SAGEMAKER) else self.bedrock

    def holds(self, *arns: str, prefix: str = "novaloop", stack_name: str | None = None) -> None:
        tags = [{"Key": "novaloop:prefix", "Value": prefix}]
        tags += [{"Key": "novaloop:experiment", "Value": "demo"}]
        tags += [{"Key": "novaloop:stack", "Value": stack_name}] if stack_name else []
        listed = [{"ResourceARN": arn, "Tags": tags} for arn in arns]
        self.tagging.add_response("get_resources", {"ResourceTagMappingList": listed})

    def describes(self, kind: Kind, **changes: Any) -> None:
        self.service_of(kind).add_response(kind.describe, {**kind.answer, **changes}, kind.named)

    def refuses(self, kind: Kind, operation: str, code: str) -> None:
        self.service_of(kind).add_client_error(operation, code, "no", expected_params=kind.named)

    def runs(self, *jobs: dict[str, Any], status: str = "InProgress") -> None:
        """Let SageMaker list these jobs with one of the statuses that are asked for, in order."""
        of = {"CreationTime": AT, "TrainingJobStatus": status}
        for asked in ("InProgress", "Stopping"):
            listed = [{**of, **job} for job in jobs if asked == status]
            wanted = {"StatusEquals": asked, "NameContains": ITS_JOBS}
            answer = {"TrainingJobSummaries": listed}
            self.sagemaker.add_response("list_training_jobs", answer, wanted)

    def runs_on_bedrock(self, *jobs: dict[str, Any], status: str = "InProgress") -> None:
        of = {
            "baseModelArn": BASE,
            "jobArn": JOB,
            "jobName": JOB_NAME,
            "creationTime": AT,
            "status": status,
        }
        for asked in ("InProgress", "Stopping"):
            listed = [{**of, **job} for job in jobs if asked == status]
            wanted = {"statusEquals": asked, "nameContains": ITS_JOBS}
            answer = {"modelCustomizationJobSummaries": listed}
            self.bedrock.add_response("list_model_customization_jobs", answer, wanted)

    def tags(self, arn: str, **tags: str) -> None:
        told = [{"Key": f"novaloop:{key}", "Value": value} for key, value in tags.items()]
        answer = {"ResourceTagMappingList": [{"ResourceARN": arn, "Tags": told}] if tags else []}
        self.tagging.add_response("get_resources", answer, {"ResourceARNList": [arn]})

    def find(self) -> list[str]:
        return [each.name for each in self.resources.find("demo")]


@pytest.fixture
def account() -> Iterator[Account]:
    with ExitStack() as stack:
        account = Account(stack)
        yield account
        for service in (account.tagging, account.sagemaker, account.bedrock):
            service.assert_no_pending_responses()


def tagged_resource(kind: Kind) -> TaggedResource:
    service, resource = kind.arn.split(":")[2], kind.arn.split(":", 5)[5]
    return TaggedResource(f"{service}:{resource.partition('/')[0]}", *kind.named.values())


def test_everything_is_found_in_the_order_in_which_to_end_it(account: Account) -> None:
    account.holds(*(arn for arn in reversed(BY_ARN) if "training-job" not in arn))
    account.runs(JOB_LISTED)
    account.runs_on_bedrock({})
    told = [
        {"ResourceARN": arn, "Tags": [{"Key": "novaloop:stack", "Value": "stack"}]}
        for arn in (KINDS[0].arn, JOB)
    ]
    account.tagging.add_response("get_resources", {"ResourceTagMappingList": told})
    for kind in KINDS:
        if kind.describe not in ("describe_training_job", "get_model_customization_job"):
            account.describes(kind)
    assert list(account.resources.find("demo")) == [tagged_resource(kind) for kind in KINDS]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.end)
def test_one_of_each_kind_is_ended_by_its_name(account: Account, kind: Kind) -> None:
    account.service_of(kind).add_response(kind.end, {}, kind.named)
    others = [tagged_resource(each) for each in KINDS[KINDS.index(kind) + 1 :]]
    account.resources.delete([tagged_resource(kind), *others])


@pytest.mark.parametrize("kind", NOT_JOBS, ids=lambda kind: kind.describe)
def test_what_the_tags_still_name_but_is_gone_is_not_left(account: Account, kind: Kind) -> None:
    account.holds(kind.arn)
    account.runs()
    account.refuses(kind, kind.describe, "ResourceNotFoundException")
    assert account.find() == []


@pytest.mark.parametrize(("name", "left"), [("bot", []), (NAME, [NAME])])
def test_what_another_experiment_serves_is_left_under_a_name_of_ones_own_alone(
    account: Account, name: str, left: list[str]
) -> None:
    """Under a lasting name it serves for the other one; what bears one's own name is one's own."""
    named = {"EndpointName": name, "EndpointArn": f"{SAGEMAKER}:endpoint/{name}"}
    kind = replace(KINDS[2], arn=named["EndpointArn"])
    account.holds(kind.arn)
    account.runs()
    account.describes(kind, **named, EndpointConfigName="novaloop-other--deploy-1")
    assert account.find() == left


def test_jobs_that_are_over_and_models_that_bedrock_trained_are_not_even_looked_at(
    account: Account,
) -> None:
    """They stay for ever: one for each attempt that there ever was."""
    account.holds(*(f"{JOB[:-3]}{number:03}" for number in range(300)), TRAINED)
    account.runs()
    account.runs_on_bedrock()
    assert account.find() == []


@pytest.mark.parametrize("status", ["InProgress", "Stopping"])
def test_a_job_is_left_until_it_has_stopped(account: Account, status: str) -> None:
    account.holds(JOB)
    account.runs(JOB_LISTED, status=status)
    account.runs_on_bedrock({}, status=status)
    account.tagging.add_response("get_resources", {"ResourceTagMappingList": []})
    assert account.find() == [NAME, JOB]


@pytest.mark.parametrize(
    ("tags", "is_left"),
    [({"stack": "second"}, False), ({"stack": "stack"}, True), ({}, True)],
    ids=["another stack's", "the stack's", "of no tags yet"],
)
def test_a_job_that_names_another_stack_is_left_alone(
    account: Account, tags: dict[str, str], is_left: bool
) -> None:
    account.holds()
    account.runs(JOB_LISTED)
    account.tags(KINDS[0].arn, **tags)
    assert bool(account.find()) == is_left


def test_a_job_of_an_experiment_whose_name_ends_alike_is_left_alone(account: Account) -> None:
    account.holds()
    name = f"novaloop-{NAME}"
    account.runs({"TrainingJobName": name, "TrainingJobArn": KINDS[0].arn.replace(NAME, name)})
    assert account.find() == []


def test_of_many_things_as_many_are_looked_at_as_can_be_deleted_in_a_look(
    account: Account,
) -> None:
    kind = BY_ARN[f"{SAGEMAKER}:model/{NAME}"]
    many = [replace(kind, arn=f"{kind.arn}{number:04}") for number in range(1_000)]
    account.holds(*(each.arn for each in many))
    account.runs()
    for each in many[:MOST_AT_ONCE]:
        account.describes(each)
    assert len(account.find()) == MOST_AT_ONCE


def test_what_another_stack_made_on_bedrock_is_not_looked_at(account: Account) -> None:
    account.holds(IMPORTED, DEPLOYMENT, prefix="second")
    account.runs()
    assert account.find() == []


FORMER = "former-demo--sft-1"
OF_FORMER_PREFIX = [
    replace(
        BY_ARN[f"{SAGEMAKER}:endpoint/{NAME}"],
        arn=f"{SAGEMAKER}:endpoint/{name}",
        answer={
            **BY_ARN[f"{SAGEMAKER}:endpoint/{NAME}"].answer,
            "EndpointName": name,
            "EndpointConfigName": FORMER,
        },
    )
    for name in (FORMER, "former-bot")
] + [BY_ARN[PROVISIONED]]


@pytest.mark.parametrize("kind", OF_FORMER_PREFIX, ids=["endpoint", "lasting", "throughput"])
def test_what_the_stack_made_under_a_former_prefix_is_its_own(account: Account, kind: Kind) -> None:
    account.holds(kind.arn, prefix="former", stack_name="stack")
    account.runs()
    account.describes(kind)
    assert account.find() == [tagged_resource(kind).name]


@pytest.mark.parametrize("kind", OF_FORMER_PREFIX, ids=["endpoint", "lasting", "throughput"])
def test_what_serves_under_a_former_prefix_bills(account: Account, kind: Kind) -> None:
    account.holds(kind.arn, prefix="former", stack_name="stack")
    looked_at_when_listed = ":endpoint/" not in kind.arn
    if looked_at_when_listed:
        account.describes(kind)
    account.sagemaker.add_response("list_training_jobs", {"TrainingJobSummaries": []})
    account.bedrock.add_response(
        "list_model_customization_jobs", {"modelCustomizationJobSummaries": []}
    )
    (billing,), unseen = account.resources.billing()
    assert unseen == []
    assert billing.experiment_id == "demo"
    if not looked_at_when_listed:
        account.describes(kind)
    assert account.resources.serves(billing) is not None


def test_a_service_that_is_denied_hides_nothing_that_the_other_has(account: Account) -> None:
    """As by a policy of the organization that denies `bedrock:*`."""
    endpoint, throughput = BY_ARN[f"{SAGEMAKER}:endpoint/{NAME}"], BY_ARN[PROVISIONED]
    account.holds(throughput.arn, endpoint.arn)
    account.bedrock.add_client_error(throughput.describe, "AccessDeniedException")
    job = {"TrainingJobName": NAME, "TrainingJobArn": KINDS[0].arn}
    job |= {"CreationTime": AT, "TrainingJobStatus": "InProgress"}  # type: ignore[dict-item]
    account.sagemaker.add_response("list_training_jobs", {"TrainingJobSummaries": [job]})
    account.bedrock.add_client_error("list_model_customization_jobs", "AccessDeniedException")
    billing, unseen = account.resources.billing()
    assert [each.kind for each in billing] == ["sagemaker:endpoint", "sagemaker:training-job"]
    assert [why.partition(" can't be looked at: ")[0] for why in unseen] == [
        PROVISIONED,
        "every bedrock:model-customization-job",
    ]


def test_a_region_without_nova_on_bedrock_is_not_asked_for_jobs_there() -> None:
    """No plan can be on Bedrock there, and it may not know the call: that would fail each day."""
    with ExitStack() as stack:
        account = Account(stack, "eu-south-2")
        account.holds()
        account.sagemaker.add_response("list_training_jobs", {"TrainingJobSummaries": []})
        account.bedrock.add_client_error(
            "list_model_customization_jobs", "UnknownOperationException"
        )
        assert account.resources.billing() == ([], [])


@pytest.mark.parametrize("kind", OF_FORMER_PREFIX, ids=["endpoint", "lasting", "throughput"])
def test_what_another_stack_made_under_a_former_prefix_is_not_looked_at(
    account: Account, kind: Kind
) -> None:
    account.holds(kind.arn, prefix="novaloop", stack_name="second")
    account.runs()
    assert account.find() == []


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "ConflictException"])
def test_what_is_gone_or_busy_is_left_to_the_next_look(account: Account, code: str) -> None:
    kind = BY_ARN[DEPLOYMENT]
    account.refuses(kind, kind.end, code)
    account.resources.delete([tagged_resource(kind)])


CHANGING = {
    "describe_training_job": {"TrainingJobStatus": "Stopping"},
    "describe_inference_component": {"InferenceComponentStatus": "Updating"},
    "describe_endpoint": {"EndpointStatus": "SystemUpdating"},
    "get_model_customization_job": {"status": "Completed"},
    "get_custom_model_deployment": {"status": "Creating"},
    "get_provisioned_model_throughput": {"status": "Creating"},
    "get_custom_model": {"modelStatus": "Creating"},
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.end)
def test_a_refusal_is_told_of_what_is_there_and_stays_as_it_is(
    account: Account, kind: Kind
) -> None:
    account.refuses(kind, kind.end, "ValidationException")
    account.describes(kind)
    with pytest.raises(EndRefused, match="ValidationException"):
        account.resources.delete([tagged_resource(kind)])
    if kind.describe in CHANGING:
        account.refuses(kind, kind.end, "ValidationException")
        account.describes(kind, **CHANGING[kind.describe])
        account.resources.delete([tagged_resource(kind)])


def test_what_is_throttled_keeps_nothing_else_of_its_kind_from_being_deleted(
    account: Account,
) -> None:
    kind = BY_ARN[DEPLOYMENT]
    other = replace(kind, arn=f"{DEPLOYMENT[:-1]}d")
    account.refuses(kind, kind.end, "ThrottlingException")
    account.service_of(other).add_response(other.end, {}, other.named)
    with pytest.raises(EndRefused, match="ThrottlingException"):
        account.resources.delete([tagged_resource(kind), tagged_resource(other)])


def test_what_went_with_its_tags_needs_no_permission(account: Account) -> None:
    kind = BY_ARN[DEPLOYMENT]
    account.refuses(kind, kind.end, "AccessDeniedException")
    account.refuses(kind, kind.describe, "ResourceNotFoundException")
    account.resources.delete([tagged_resource(kind)])
    account.refuses(kind, kind.end, "AccessDeniedException")
    account.describes(kind)
    with pytest.raises(EndRefused, match="AccessDenied"):
        account.resources.delete([tagged_resource(kind)])


def test_what_is_denied_keeps_nothing_else_of_its_kind_from_being_deleted(account: Account) -> None:
    kind = BY_ARN[DEPLOYMENT]
    other = replace(kind, arn=f"{DEPLOYMENT[:-1]}d")
    account.refuses(kind, kind.end, "AccessDeniedException")
    account.describes(kind)
    account.service_of(other).add_response(other.end, {}, other.named)
    with pytest.raises(EndRefused, match=DEPLOYMENT):
        account.resources.delete([tagged_resource(kind), tagged_resource(other)])


def test_what_another_stack_made_is_left_alone(account: Account) -> None:
    (kind,) = (each for each in KINDS if each.describe == "describe_model")
    account.holds(kind.arn, stack_name="another")
    account.runs()
    assert account.find() == []
    for own in ("stack", None):  # release 0.1.0 named none
        account.holds(kind.arn, stack_name=own)
        account.runs()
        account.describes(kind)
        assert len(account.find()) == 1
