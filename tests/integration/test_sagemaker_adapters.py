"""How SageMaker's answers read: requests and answers are checked by botocore's own model."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from novaloop.cloud.endpoints import SageMakerEndpoints
from novaloop.cloud.jobs import TrainingJobs, work_of_job
from novaloop.experiment.controller.observation import End, Phase, ResourceStatus
from novaloop.experiment.record import Obstacle, Owner, Progress
from novaloop.experiment.runtimes.jobs import PlannedRequest
from novaloop.experiment.runtimes.serving import EndpointRef
from novaloop.recipes import registry
from novaloop.recipes.endpoints import EndpointPlan, update_endpoint
from novaloop.usecases.ports import EndRefused, LaunchRefused, NotServing
from tests.template.stack import ACCOUNT, REGION
from tests.unit.cloud.test_failures import AFTER

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient

OWNER = Owner("questions")
JOB = "novaloop-questions--sft-1"
NAME = "novaloop-questions--deploy-1"
REF = EndpointRef(NAME, NAME)
WITH_COMPONENT = EndpointRef(NAME, NAME, component=NAME)
JOB_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{JOB}"
ENDPOINT_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{NAME}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/novaloop-ExecutionRole"
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
BASE = f"arn:aws:sagemaker:{REGION}:aws:hub-content/SageMakerPublicHub/Model/nova-lite"
BODY = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}

TAKEN = (
    "ResourceInUse",
    "Job name must be unique within an AWS account and region, and a job with it already exists",
)
NO_JOB = ("ValidationException", "Requested resource not found.")
NO_ENDPOINT = ("ValidationException", f'Could not find endpoint "{ENDPOINT_ARN}".')
NO_CONFIG = ("ValidationException", f'Could not find endpoint configuration "{NAME}".')
NO_MODEL = ("ValidationException", f'Could not find model "{NAME}".')
QUOTA = (
    "ResourceLimitExceeded",
    "The account-level service limit 'ml.p5.48xlarge for training job usage' is 0 Instances",
)
DENIED = ("AccessDeniedException", "not authorized to perform this action")


SESSION = boto3.Session("testing", "testing", region_name=REGION)


@pytest.fixture(scope="module")
def sagemaker_client() -> SageMakerClient:
    client: SageMakerClient = SESSION.client("sagemaker")
    return client


@pytest.fixture(scope="module")
def runtime_client() -> SageMakerRuntimeClient:
    client: SageMakerRuntimeClient = SESSION.client("sagemaker-runtime")
    return client


@pytest.fixture
def sagemaker(sagemaker_client: SageMakerClient) -> Iterator[Stubber]:
    with Stubber(sagemaker_client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def runtime(runtime_client: SageMakerRuntimeClient) -> Iterator[Stubber]:
    with Stubber(runtime_client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def jobs(sagemaker: Stubber, sagemaker_client: SageMakerClient) -> TrainingJobs:
    return TrainingJobs(sagemaker_client)


@pytest.fixture
def endpoints(
    sagemaker: Stubber,
    runtime: Stubber,
    sagemaker_client: SageMakerClient,
    runtime_client: SageMakerRuntimeClient,
) -> SageMakerEndpoints:
    return SageMakerEndpoints(sagemaker_client, runtime_client)


def fails(stubber: Stubber, operation: str, error: tuple[str, str]) -> None:
    code, message = error
    stubber.add_client_error(operation, code, message, http_status_code=400)


def described_job(status: str, secondary: str, **more: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": JOB,
        "TrainingJobArn": JOB_ARN,
        "ModelArtifacts": {"S3ModelArtifacts": ""},
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "CreationTime": NOW,
        **more,
    }


JOB_STANDS = [
    ("InProgress", "Pending", {}, Phase.ACTIVE, None),
    ("InProgress", "Training", {}, Phase.ACTIVE, None),
    ("Completed", "Completed", {}, Phase.READY, None),
    ("Stopping", "Stopping", {}, Phase.ENDING, None),
    ("Failed", "Failed", {"FailureReason": "AlgorithmError: exit\n1"}, Phase.FAILED,
     f"AlgorithmError{AFTER}"),
    ("Failed", "Failed", {"FailureReason": "CapacityError: no instances"}, Phase.LOST,
     "CapacityError: no instances"),
    ("Failed", "Failed", {"FailureReason": "InternalServerError: retry"}, Phase.LOST,
     "InternalServerError: retry"),
    ("Stopped", "Stopped", {"BillableTimeInSeconds": 12}, Phase.STOPPED, None),
    ("Failed", "Failed", {"FailureReason": "ClientError: CapacityError in your script"},
     Phase.FAILED, f"ClientError{AFTER}"),
    ("Stopped", "Stopped", {}, Phase.STOPPED, None),
    ("Stopped", "Stopped", {"FailureReason": "CapacityError: no instances"}, Phase.LOST,
     "CapacityError: no instances"),
    ("Stopped", "MaxWaitTimeExceeded", {}, Phase.LOST,
     "no capacity: it waited longer than it may"),
    ("Stopped", "Stopped",
     {"ServerlessJobConfig": {"BaseModelArn": BASE, "JobType": "FineTuning"}}, Phase.STOPPED, None),
    ("Stopped", "MaxRuntimeExceeded", {"BillableTimeInSeconds": 3600}, Phase.FAILED,
     "ran into its longest run time of 3600 seconds"),
    ("Stopped", "MaxRuntimeExceeded", {}, Phase.FAILED,
     "ran into its longest run time of 3600 seconds"),
    ("SomethingNew", "SomethingNew", {}, Phase.ACTIVE, None),
]  # fmt: skip


@pytest.mark.parametrize(("status", "secondary", "more", "phase", "reason"), JOB_STANDS)
def test_how_a_job_stands(  # noqa: PLR0917
    jobs: TrainingJobs,
    sagemaker: Stubber,
    status: str,
    secondary: str,
    more: dict[str, Any],
    phase: Phase,
    reason: str | None,
) -> None:
    answer = described_job(status, secondary, **more)
    sagemaker.add_response("describe_training_job", answer, {"TrainingJobName": JOB})
    resource = jobs.describe(JOB, owner=None)
    assert (resource.phase, resource.reason, resource.ours) == (phase, reason, True)


def test_what_is_reported_of_a_job(jobs: TrainingJobs, sagemaker: Stubber) -> None:
    answer = described_job(
        "Completed",
        "Completed",
        TrainingStartTime=NOW,
        TrainingEndTime=NOW.replace(hour=11),
        BillableTimeInSeconds=7200,
        ProgressInfo={"TotalStepCountPerEpoch": 100, "CurrentStep": 42},
    )
    sagemaker.add_response("describe_training_job", answer)
    assert jobs.describe(JOB, None) == ResourceStatus(
        Phase.READY,
        arn=JOB_ARN,
        progress=Progress("Completed", 42, 100),
        started_at=NOW,
        ended_at=NOW.replace(hour=11),
        billable_seconds=7200,
    )


def test_a_long_failure_reason_is_cut(jobs: TrainingJobs, sagemaker: Stubber) -> None:
    answer = described_job("Failed", "Failed", FailureReason="x" * 1024)
    sagemaker.add_response("describe_training_job", answer)
    assert len(jobs.describe(JOB, None).reason or "") == 500


@pytest.mark.parametrize("error", [NO_JOB, ("ResourceNotFound", "Requested resource not found.")])
def test_a_job_that_is_not_there(
    jobs: TrainingJobs, sagemaker: Stubber, error: tuple[str, str]
) -> None:
    fails(sagemaker, "describe_training_job", error)
    assert jobs.describe(JOB, OWNER) == ResourceStatus(Phase.ABSENT)


@pytest.mark.parametrize(
    "error", [DENIED, QUOTA, ("ValidationException", "1 validation error detected")]
)
def test_an_error_is_not_taken_for_an_absent_job(
    jobs: TrainingJobs, sagemaker: Stubber, error: tuple[str, str]
) -> None:
    fails(sagemaker, "describe_training_job", error)
    with pytest.raises(ClientError):
        jobs.describe(JOB, None)


@pytest.mark.parametrize(
    ("tags", "ours"),
    [
        ([{"Key": "novaloop:experiment", "Value": "questions"}], True),
        ([{"Key": "novaloop:experiment", "Value": "questions-2"}], False),
        ([{"Key": "experiment", "Value": "questions"}], False),
        ([], False),
    ],
)
def test_a_job_of_the_same_name_is_ours_by_its_tag(
    jobs: TrainingJobs, sagemaker: Stubber, tags: list[dict[str, str]], *, ours: bool
) -> None:
    sagemaker.add_response("describe_training_job", described_job("InProgress", "Training"))
    sagemaker.add_response("list_tags", {"Tags": tags}, {"ResourceArn": JOB_ARN})
    assert jobs.describe(JOB, OWNER).ours is ours


REQUEST = {
    "TrainingJobName": JOB,
    "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image"},
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/jobs/questions"},
    "ResourceConfig": {"InstanceType": "ml.p5.48xlarge", "InstanceCount": 4, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    "Tags": [{"Key": "novaloop:experiment", "Value": "questions"}],
}


LAUNCH = PlannedRequest("CreateTrainingJob", REQUEST)


def test_a_job_is_launched_as_it_was_planned(jobs: TrainingJobs, sagemaker: Stubber) -> None:
    sagemaker.add_response("create_training_job", {"TrainingJobArn": JOB_ARN}, REQUEST)
    assert jobs.create(LAUNCH) == JOB_ARN


def test_a_name_that_is_taken_is_no_error(jobs: TrainingJobs, sagemaker: Stubber) -> None:
    fails(sagemaker, "create_training_job", TAKEN)
    assert jobs.create(LAUNCH) is None


def quota_of_instances(limit: int, used: int, wanted: int) -> tuple[str, str]:
    """Return SageMaker's refusal as it is quoted in many public bug reports."""
    message = (
        f"The account-level service limit 'ml.p5.48xlarge for training job usage' is {limit}"
        f" Instances, with current utilization of {used} Instances and a request delta of {wanted}"
        " Instances. Please use AWS Service Quotas to request an increase for this quota."
    )
    return "ResourceLimitExceeded", message


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (quota_of_instances(limit=4, used=4, wanted=4), Obstacle.QUOTA),
        (quota_of_instances(limit=2, used=0, wanted=4), Obstacle.QUOTA_TOO_SMALL),
        (QUOTA, Obstacle.QUOTA),
        (("ThrottlingException", "Rate exceeded"), Obstacle.SERVICE_FAULT),
        (("InternalFailure", "try again"), Obstacle.SERVICE_FAULT),
        (("ValidationException", "InsufficientInstanceCapacity"), Obstacle.CAPACITY),
        (("ValidationException", "The image does not exist."), Obstacle.INVALID),
    ],
)
def test_why_a_launch_was_refused_is_told_apart(
    jobs: TrainingJobs, sagemaker: Stubber, error: tuple[str, str], cause: Obstacle
) -> None:
    fails(sagemaker, "create_training_job", error)
    with pytest.raises(LaunchRefused) as refused:
        jobs.create(LAUNCH)
    assert refused.value.cause is cause


REFUSALS = [
    (QUOTA, True),
    (("ThrottlingException", "Rate exceeded"), True),
    (("ServiceUnavailable", "try again"), True),
    (("ValidationException", "Unable to provision requested ML compute capacity."), True),
    (("ValidationException", "No S3 objects found under S3 URL"), False),
    (DENIED, False),
]


@pytest.mark.parametrize(("error", "for_now"), REFUSALS)
def test_a_refused_launch_says_why_and_whether_to_try_again(
    jobs: TrainingJobs, sagemaker: Stubber, error: tuple[str, str], *, for_now: bool
) -> None:
    fails(sagemaker, "create_training_job", error)
    with pytest.raises(LaunchRefused, match=error[1][:20]) as refused:
        jobs.create(LAUNCH)
    assert (refused.value.cause is not Obstacle.INVALID) is for_now
    assert refused.value.reason.startswith(f"{error[0]}: ")


def test_a_job_is_stopped(jobs: TrainingJobs, sagemaker: Stubber) -> None:
    sagemaker.add_response("stop_training_job", {}, {"TrainingJobName": JOB})
    assert jobs.stop(JOB) is End.REQUESTED


@pytest.mark.parametrize(
    "error", [NO_JOB, ("ValidationException", "The request was rejected: the job is Completed")]
)
def test_a_job_that_is_over_is_not_stopped(
    jobs: TrainingJobs, sagemaker: Stubber, error: tuple[str, str]
) -> None:
    fails(sagemaker, "stop_training_job", error)
    if error is not NO_JOB:
        sagemaker.add_response("describe_training_job", described_job("Completed", "Completed"))
    assert jobs.stop(JOB) is End.NOT_NOW


def test_a_job_that_is_there_and_may_not_be_stopped_is_told(
    jobs: TrainingJobs, sagemaker: Stubber
) -> None:
    fails(sagemaker, "stop_training_job", DENIED)
    sagemaker.add_response("describe_training_job", described_job("InProgress", "Training"))
    with pytest.raises(EndRefused, match="AccessDenied"):
        jobs.stop(JOB)


def test_a_job_that_is_not_there_has_no_tag_that_permits_to_stop_it(
    jobs: TrainingJobs, sagemaker: Stubber
) -> None:
    fails(sagemaker, "stop_training_job", DENIED)
    fails(sagemaker, "describe_training_job", NO_JOB)
    assert jobs.stop(JOB) is End.NOT_NOW


def described_endpoint(status: str, **more: Any) -> dict[str, Any]:
    names = {"EndpointName": NAME, "EndpointArn": ENDPOINT_ARN, "EndpointConfigName": NAME}
    return {
        **names,
        "EndpointStatus": status,
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **more,
    }


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("Creating", Phase.ACTIVE),
        ("Updating", Phase.ACTIVE),
        ("SystemUpdating", Phase.ACTIVE),
        ("RollingBack", Phase.ACTIVE),
        ("InService", Phase.READY),
        ("Failed", Phase.FAILED),
        ("OutOfService", Phase.FAILED),
        ("UpdateRollbackFailed", Phase.FAILED),
        ("Deleting", Phase.ENDING),
        ("SomethingNew", Phase.ACTIVE),
    ],
)
def test_how_an_endpoint_stands(
    endpoints: SageMakerEndpoints, sagemaker: Stubber, status: str, phase: Phase
) -> None:
    answer = described_endpoint(status, FailureReason="because")
    sagemaker.add_response("describe_endpoint", answer, {"EndpointName": NAME})
    # During a change, the reason is still why the one before failed.
    reason = None if phase is Phase.ACTIVE else "because"
    expected = ResourceStatus(
        phase, arn=ENDPOINT_ARN, progress=Progress(status), reason=reason, started_at=NOW
    )
    assert endpoints.describe(REF, None) == expected


def test_an_endpoint_of_another_owner_is_not_ours(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    sagemaker.add_response("describe_endpoint", described_endpoint("InService"))
    sagemaker.add_response("list_tags", {"Tags": []}, {"ResourceArn": ENDPOINT_ARN})
    fails(sagemaker, "describe_endpoint_config", NO_CONFIG)
    fails(sagemaker, "describe_model", NO_MODEL)
    resource = endpoints.describe(REF, OWNER)
    assert (resource.phase, resource.ours) == (Phase.ABSENT, False)


CONFIG = {
    "EndpointConfigName": NAME,
    "EndpointConfigArn": ENDPOINT_ARN.replace("endpoint/", "endpoint-config/"),
    "ProductionVariants": [{"VariantName": "primary", "ModelName": NAME}],
    "CreationTime": NOW,
}
MODEL = {
    "ModelName": NAME,
    "CreationTime": NOW,
    "ModelArn": ENDPOINT_ARN.replace("endpoint/", "model/"),
}


def test_an_endpoint_with_nothing_left(endpoints: SageMakerEndpoints, sagemaker: Stubber) -> None:
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    fails(sagemaker, "describe_endpoint_config", NO_CONFIG)
    fails(sagemaker, "describe_model", NO_MODEL)
    assert endpoints.describe(REF, OWNER) == ResourceStatus(Phase.ABSENT)


def test_a_configuration_that_is_left(endpoints: SageMakerEndpoints, sagemaker: Stubber) -> None:
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    sagemaker.add_response("describe_endpoint_config", CONFIG)
    assert endpoints.describe(REF, None).phase is Phase.PARTIAL


def test_a_model_that_is_left(endpoints: SageMakerEndpoints, sagemaker: Stubber) -> None:
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    fails(sagemaker, "describe_endpoint_config", NO_CONFIG)
    sagemaker.add_response("describe_model", MODEL)
    assert endpoints.describe(REF, None).phase is Phase.PARTIAL


@pytest.mark.parametrize(("owner", "phase"), [("questions", Phase.PARTIAL), ("x", Phase.ABSENT)])
def test_what_is_left_is_ours_by_its_tag_where_no_answer_tells(
    endpoints: SageMakerEndpoints, sagemaker: Stubber, owner: str, phase: Phase
) -> None:
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    fails(sagemaker, "describe_endpoint_config", NO_CONFIG)
    sagemaker.add_response("describe_model", MODEL)
    tagged_as(sagemaker, owner, str(MODEL["ModelArn"]))
    assert endpoints.describe(REF, OWNER).phase is phase


TAGS = [{"Key": "novaloop:experiment", "Value": "questions"}]
PLAN = EndpointPlan(
    create_model={"ModelName": NAME, "ExecutionRoleArn": ROLE, "Tags": TAGS},
    create_endpoint_config={
        "EndpointConfigName": NAME,
        "ProductionVariants": [{"VariantName": "primary", "ModelName": NAME}],
        "Tags": TAGS,
    },
    create_endpoint={"EndpointName": NAME, "EndpointConfigName": NAME, "Tags": TAGS},
)


def created(sagemaker: Stubber, *parts: str) -> None:
    answers: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
        "model": ("create_model", {"ModelArn": MODEL["ModelArn"]}, PLAN.create_model),
        "config": (
            "create_endpoint_config",
            {"EndpointConfigArn": CONFIG["EndpointConfigArn"]},
            PLAN.create_endpoint_config,
        ),
        "endpoint": ("create_endpoint", {"EndpointArn": ENDPOINT_ARN}, PLAN.create_endpoint),
    }
    for part in parts:
        sagemaker.add_response(*answers[part])


def test_an_endpoint_is_launched_in_order(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    created(sagemaker, "model", "config", "endpoint")
    assert endpoints.launch(PLAN) == ENDPOINT_ARN


def test_a_launch_that_was_cut_off_goes_on(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    exists = "Cannot create already existing {}"
    fails(sagemaker, "create_model", ("ValidationException", exists.format("model")))
    fails(
        sagemaker,
        "create_endpoint_config",
        ("ValidationException", exists.format("endpoint configuration")),
    )
    created(sagemaker, "endpoint")
    assert endpoints.launch(PLAN) == ENDPOINT_ARN


def test_an_endpoint_that_exists_is_not_told_as_created(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    created(sagemaker, "model", "config")
    taken = ("ValidationException", "Cannot create already existing endpoint")
    fails(sagemaker, "create_endpoint", taken)
    assert endpoints.launch(PLAN) is None


@pytest.mark.parametrize(("error", "for_now"), [*REFUSALS, (NO_CONFIG, True)])
def test_a_refused_endpoint_says_why_and_whether_to_try_again(
    endpoints: SageMakerEndpoints, sagemaker: Stubber, error: tuple[str, str], *, for_now: bool
) -> None:
    created(sagemaker, "model", "config")
    fails(sagemaker, "create_endpoint", error)
    with pytest.raises(LaunchRefused) as refused:
        endpoints.launch(PLAN)
    assert (refused.value.cause is not Obstacle.INVALID) is for_now


def test_the_endpoint_is_deleted_before_what_it_is_made_of(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    sagemaker.add_response("describe_endpoint", described_endpoint("InService"))
    sagemaker.add_response("delete_endpoint", {}, {"EndpointName": NAME})
    assert end(endpoints, REF) is End.REQUESTED


def test_an_endpoint_in_between_is_left_for_the_next_look(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    sagemaker.add_response("describe_endpoint", described_endpoint("Creating"))
    busy = ("ValidationException", f'Cannot update in-progress endpoint "{ENDPOINT_ARN}".')
    fails(sagemaker, "delete_endpoint", busy)
    sagemaker.add_response("describe_endpoint", described_endpoint("Creating"))
    assert end(endpoints, REF) is End.NOT_NOW


def test_an_endpoint_that_is_there_and_may_not_be_deleted_is_told(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    sagemaker.add_response("describe_endpoint", described_endpoint("InService"))
    fails(sagemaker, "delete_endpoint", DENIED)
    sagemaker.add_response("describe_endpoint", described_endpoint("InService"))
    with pytest.raises(EndRefused, match="AccessDenied"):
        end(endpoints, REF)


def test_an_endpoint_that_does_not_show_keeps_its_configuration(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    """It may be there and live of it; to delete it by its name does no harm if it is not."""
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    fails(sagemaker, "delete_endpoint", DENIED)
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    assert end(endpoints, REF) is End.NOT_NOW


def test_one_that_serves_one_after_the_other_is_not_deleted_unseen(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    assert end(endpoints, SHARED) is End.NOT_NOW


def test_nor_is_it_when_it_can_not_be_looked_at(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    """What serves there may be another experiment's."""
    fails(sagemaker, "describe_endpoint", ("ThrottlingException", "Rate exceeded"))
    with pytest.raises(ClientError, match="Rate exceeded"):
        end(endpoints, SHARED)


def test_leftovers_are_deleted_once_the_endpoint_is_gone(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    parts_go(sagemaker)
    assert end(endpoints, REF, gone=True) is End.DONE


@pytest.mark.parametrize("status", ["Creating", "InService", "Updating"])
def test_an_endpoint_that_shows_after_all_keeps_what_it_is_made_of(
    endpoints: SageMakerEndpoints, sagemaker: Stubber, status: str
) -> None:
    sagemaker.add_response("describe_endpoint", described_endpoint(status))
    assert end(endpoints, REF, gone=True) is End.NOT_NOW


def test_only_leftovers_with_our_tag_are_deleted_where_no_answer_tells(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    sagemaker.add_response("describe_endpoint_config", CONFIG)
    tagged_as(sagemaker, "another", str(CONFIG["EndpointConfigArn"]))
    sagemaker.add_response("describe_model", MODEL)
    tagged_as(sagemaker, "questions", str(MODEL["ModelArn"]))
    sagemaker.add_response("delete_model", {}, {"ModelName": NAME})
    assert endpoints.delete(REF, OWNER, gone=True) is End.REQUESTED


def test_what_was_never_made_is_not_asked_to_be_deleted(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    """IAM would deny it: what does not exist has no tag."""
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    fails(sagemaker, "describe_endpoint_config", NO_CONFIG)
    sagemaker.add_response("describe_model", MODEL)
    sagemaker.add_response("delete_model", {}, {"ModelName": NAME})
    assert end(endpoints, REF, gone=True) is End.REQUESTED


def test_deleting_twice_is_harmless(endpoints: SageMakerEndpoints, sagemaker: Stubber) -> None:
    fails(sagemaker, "describe_endpoint", NO_ENDPOINT)
    fails(sagemaker, "describe_endpoint_config", NO_CONFIG)
    fails(sagemaker, "describe_model", NO_MODEL)
    assert end(endpoints, REF, gone=True) is End.NOT_NOW


def end(endpoints: SageMakerEndpoints, ref: EndpointRef, *, gone: bool = False) -> End:
    """Ask for the end of what we know to be ours."""
    return endpoints.delete(ref, None, gone=gone)


def parts_go(sagemaker: Stubber) -> None:
    sagemaker.add_response("describe_endpoint_config", CONFIG)
    sagemaker.add_response("delete_endpoint_config", {}, {"EndpointConfigName": NAME})
    sagemaker.add_response("describe_model", MODEL)
    sagemaker.add_response("delete_model", {}, {"ModelName": NAME})


def tagged_as(sagemaker: Stubber, experiment: str, arn: str) -> None:
    tags = [{"Key": "novaloop:experiment", "Value": experiment}]
    sagemaker.add_response("list_tags", {"Tags": tags}, {"ResourceArn": arn})


def answers(runtime: Stubber, body: bytes) -> None:
    stream = StreamingBody(io.BytesIO(body), len(body))
    request = {
        "EndpointName": NAME,
        "ContentType": "application/json",
        "Accept": "application/json",
        "Body": json.dumps(BODY),
    }
    runtime.add_response("invoke_endpoint", {"Body": stream}, request)


def test_an_answer_is_the_text_of_the_chat(endpoints: SageMakerEndpoints, runtime: Stubber) -> None:
    message = {"role": "assistant", "content": "sorted(rows)"}
    answers(runtime, json.dumps({"choices": [{"message": message}]}).encode())
    assert endpoints.ask(REF, BODY) == "sorted(rows)"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("content", [None, ""])
def test_reasoning_that_used_up_all_tokens_is_an_answer(
    endpoints: SageMakerEndpoints, runtime: Stubber, field: str, content: str | None
) -> None:
    message = {"role": "assistant", "content": content, field: "The user wants to sort rows."}
    answers(runtime, json.dumps({"choices": [{"message": message}]}).encode())
    assert endpoints.ask(REF, BODY) == "The user wants to sort rows."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[]",
        b'"text"',
        b'{"choices": []}',
        b'{"choices": [{"message": {}}]}',
        b'{"choices": [{"message": "text"}]}',
        b'{"choices": [{"message": {"content": null, "reasoning_content": null}}]}',
        b'{"choices": [{"message": {"content": null}}]}',
        b'{"choices": [{"message": {"content": ["a"]}}]}',
        b'{"error": "model not found"}',
    ],
)
def test_an_answer_that_is_no_chat_is_refused(
    endpoints: SageMakerEndpoints, runtime: Stubber, body: bytes
) -> None:
    answers(runtime, body)
    with pytest.raises(NotServing, match="not a chat completion") as refused:
        endpoints.ask(REF, BODY)
    assert refused.value.for_now is False


@pytest.mark.parametrize(
    ("error", "for_now"),
    [
        (("ModelNotReadyException", "try again"), True),
        (("ThrottlingException", "Rate exceeded"), True),
        (("InternalDependencyException", "Contact customer support."), True),
        (("InternalFailure", "An internal failure occurred."), True),
        (("ServiceUnavailable", "Try your call again."), True),
        (("ValidationError", "Endpoint x of account 123456789012 not found."), True),
        (("ValidationException", "The provided model identifier is invalid."), True),
        (("ValidationError", "1 validation error detected"), False),
        (DENIED, False),
    ],
)
def test_an_endpoint_that_does_not_serve(
    endpoints: SageMakerEndpoints, runtime: Stubber, error: tuple[str, str], *, for_now: bool
) -> None:
    fails(runtime, "invoke_endpoint", error)
    with pytest.raises(NotServing) as refused:
        endpoints.ask(REF, BODY)
    assert refused.value.for_now is for_now


@pytest.mark.parametrize(
    ("status", "for_now"),
    [
        (None, True),
        (0, True),  # "Received server error (0)": the container has not answered at all
        (500, True),
        (503, True),
        (408, True),
        (425, True),
        (429, True),
        (400, False),
        (404, False),
        (422, False),
    ],
)
def test_what_the_container_answered_tells_whether_it_may_answer_later(
    endpoints: SageMakerEndpoints, runtime: Stubber, status: int | None, *, for_now: bool
) -> None:
    fields = {"OriginalStatusCode": status} if status is not None else {}
    runtime.add_client_error("invoke_endpoint", "ModelError", "no", 424, modeled_fields=fields)
    with pytest.raises(NotServing) as refused:
        endpoints.ask(REF, BODY)
    assert refused.value.for_now is for_now


def test_an_endpoint_that_does_not_answer_in_time_may_answer_later(
    endpoints: SageMakerEndpoints, runtime: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(**_: object) -> None:
        raise ReadTimeoutError(endpoint_url="https://runtime")

    monkeypatch.setattr(runtime.client, "invoke_endpoint", never)
    with pytest.raises(NotServing, match="ReadTimeoutError") as refused:
        endpoints.ask(REF, BODY)
    assert refused.value.for_now is True


COMPONENT_REQUEST = {
    "InferenceComponentName": NAME,
    "EndpointName": NAME,
    "VariantName": "primary",
    "Specification": {
        "ModelName": NAME,
        "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 100000},
    },
    "RuntimeConfig": {"CopyCount": 1},
    "Tags": TAGS,
}
COMPONENT_ARN = ENDPOINT_ARN.replace("endpoint/", "inference-component/")
NO_COMPONENT = ("ValidationException", f'Could not find inference component "{COMPONENT_ARN}".')
ONE_COMPONENT = {"InferenceComponentName": NAME}


def described_component(status: str, **more: Any) -> dict[str, Any]:
    names = {"InferenceComponentArn": COMPONENT_ARN, "EndpointArn": ENDPOINT_ARN}
    times = {"CreationTime": NOW, "LastModifiedTime": NOW}
    return {
        **ONE_COMPONENT,
        **names,
        **times,
        "EndpointName": NAME,
        "InferenceComponentStatus": status,
        **more,
    }


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("Creating", Phase.ACTIVE),
        ("Updating", Phase.ACTIVE),
        ("InService", Phase.READY),
        ("Failed", Phase.FAILED),
        ("Deleting", Phase.ACTIVE),  # the endpoint goes on billing
    ],
)
def test_a_component_counts_once_its_endpoint_is_in_service(
    endpoints: SageMakerEndpoints, sagemaker: Stubber, status: str, phase: Phase
) -> None:
    sagemaker.add_response("describe_endpoint", described_endpoint("InService"))
    answer = described_component(status, FailureReason="because")
    sagemaker.add_response("describe_inference_component", answer, ONE_COMPONENT)
    resource = endpoints.describe(WITH_COMPONENT, None)
    assert (resource.phase, resource.reason) == (phase, "because")


def test_an_endpoint_that_waits_for_its_component_is_halfway(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    sagemaker.add_response("describe_endpoint", described_endpoint("InService"))
    fails(sagemaker, "describe_inference_component", NO_COMPONENT)
    assert endpoints.describe(WITH_COMPONENT, None).phase is Phase.HALFWAY


def test_nobody_asks_for_a_component_before_the_endpoint_is_in_service(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    sagemaker.add_response("describe_endpoint", described_endpoint("Creating"))
    assert endpoints.describe(WITH_COMPONENT, None).phase is Phase.ACTIVE


def test_the_component_is_created_as_planned(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    answer = {"InferenceComponentArn": COMPONENT_ARN}
    sagemaker.add_response("create_inference_component", answer, COMPONENT_REQUEST)
    endpoints.proceed(replace(PLAN, create_inference_component=COMPONENT_REQUEST))


@pytest.mark.parametrize(
    ("error", "for_now"),
    [
        (("ThrottlingException", "Rate exceeded"), True),
        (QUOTA, False),
        (DENIED, False),
    ],
)
def test_a_refused_component_waits_for_no_quota(
    endpoints: SageMakerEndpoints, sagemaker: Stubber, error: tuple[str, str], *, for_now: bool
) -> None:
    """Its endpoint bills meanwhile."""
    fails(sagemaker, "create_inference_component", error)
    with pytest.raises(LaunchRefused) as refused:
        endpoints.proceed(replace(PLAN, create_inference_component=COMPONENT_REQUEST))
    assert (refused.value.cause is not Obstacle.INVALID) is for_now


def test_the_component_is_deleted_before_its_endpoint(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    sagemaker.add_response("describe_inference_component", described_component("InService"))
    sagemaker.add_response("delete_inference_component", {}, ONE_COMPONENT)
    end(endpoints, WITH_COMPONENT)
    fails(sagemaker, "describe_inference_component", NO_COMPONENT)
    fails(sagemaker, "delete_inference_component", NO_COMPONENT)
    sagemaker.add_response("describe_endpoint", described_endpoint("InService"))
    sagemaker.add_response("delete_endpoint", {}, {"EndpointName": NAME})
    end(endpoints, WITH_COMPONENT)


def test_a_component_that_does_not_show_is_asked_to_end_by_its_name(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    fails(sagemaker, "describe_inference_component", NO_COMPONENT)
    sagemaker.add_response("delete_inference_component", {}, ONE_COMPONENT)
    assert end(endpoints, WITH_COMPONENT) is End.REQUESTED


def test_a_component_is_asked_by_its_name(endpoints: SageMakerEndpoints, runtime: Stubber) -> None:
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": "yes"}}]}).encode()
    request = {
        "EndpointName": NAME,
        "InferenceComponentName": NAME,
        "ContentType": "application/json",
        "Accept": "application/json",
        "Body": json.dumps(BODY),
    }
    answer = {"Body": StreamingBody(io.BytesIO(body), len(body))}
    runtime.add_response("invoke_endpoint", answer, request)
    assert endpoints.ask(WITH_COMPONENT, BODY) == "yes"


GROUP = "novaloop-questions"
GROUP_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package-group/{GROUP}"
PACKAGE = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:model-package/{GROUP}/1"
HUB = "novaloop-evaluators"
EVALUATOR = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:hub-content/{HUB}/JsonDoc/reward-1/0.0.1"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:novaloop-SageMaker-reward"
NO_HUB = ("ResourceNotFound", f"Hub {HUB} does not exist")
NO_MODEL = ("ResourceNotFound", "Hub content does not exist")
CREATE_GROUP = PlannedRequest(
    "CreateModelPackageGroup", registry.create_group(GROUP, {"novaloop:experiment": "questions"})
)
CREATE_HUB = PlannedRequest("CreateHub", registry.create_hub(HUB))
IMPORT = PlannedRequest("ImportHubContent", registry.import_evaluator(HUB, FUNCTION))
SERVERLESS = {
    "TrainingJobName": JOB,
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/jobs/questions", "CompressionType": "NONE"},
    "ServerlessJobConfig": {
        "BaseModelArn": BASE,
        "AcceptEula": True,
        "JobType": "FineTuning",
        "CustomizationTechnique": "RLVR",
        "EvaluatorArn": EVALUATOR,
    },
    "ModelPackageConfig": {"ModelPackageGroupArn": GROUP_ARN},
}
LAUNCH_SERVERLESS = PlannedRequest("CreateTrainingJob", SERVERLESS)


def told_content(arn: str, status: str = "Available") -> dict[str, Any]:
    _, hub, kind, name, version = arn.split("/")
    return {
        "HubContentName": name,
        "HubContentArn": arn,
        "HubContentVersion": version,
        "HubContentType": kind,
        "DocumentSchemaVersion": "2.0.0",
        "HubName": hub,
        "HubArn": arn.partition(":hub-content/")[0] + f":hub/{hub}",
        "HubContentDocument": "{}",
        "HubContentStatus": status,
        "CreationTime": NOW,
    }


def told_hub(status: str) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:hub/{HUB}"
    times = {"CreationTime": NOW, "LastModifiedTime": NOW}
    return {"HubName": HUB, "HubArn": arn, "HubStatus": status, **times}


def asked(hub: str, kind: str, name: str, **version: str) -> dict[str, str]:
    return {"HubName": hub, "HubContentType": kind, "HubContentName": name, **version}


OF_BASE = asked("SageMakerPublicHub", "Model", "nova-lite")
OF_EVALUATOR = asked(HUB, "JsonDoc", "reward-1", HubContentVersion="0.0.1")


def test_a_serverless_job_names_what_the_hub_has_now(
    jobs: TrainingJobs, sagemaker: Stubber
) -> None:
    sagemaker.add_response("describe_hub_content", told_content(f"{BASE}/3.0.0"), OF_BASE)
    sagemaker.add_response("describe_hub_content", told_content(EVALUATOR), OF_EVALUATOR)
    resolved = {**SERVERLESS["ServerlessJobConfig"], "BaseModelArn": f"{BASE}/3.0.0"}  # type: ignore[dict-item]
    request = {**SERVERLESS, "ServerlessJobConfig": resolved}
    sagemaker.add_response("create_training_job", {"TrainingJobArn": JOB_ARN}, request)
    jobs.create(LAUNCH_SERVERLESS)
    sagemaker.assert_no_pending_responses()


@pytest.mark.parametrize(("status", "for_now"), [("Importing", True), ("ImportFailed", False)])
def test_a_job_waits_for_its_evaluator(
    jobs: TrainingJobs, sagemaker: Stubber, status: str, *, for_now: bool
) -> None:
    sagemaker.add_response("describe_hub_content", told_content(f"{BASE}/3.0.0"), OF_BASE)
    sagemaker.add_response("describe_hub_content", told_content(EVALUATOR, status), OF_EVALUATOR)
    with pytest.raises(LaunchRefused, match=f"reward-1 of {HUB} is {status}") as refused:
        jobs.create(LAUNCH_SERVERLESS)
    assert (refused.value.cause is not Obstacle.INVALID) is for_now


def test_a_base_model_that_is_not_in_the_region_is_refused_for_good(
    jobs: TrainingJobs, sagemaker: Stubber
) -> None:
    fails(sagemaker, "describe_hub_content", NO_MODEL)
    with pytest.raises(LaunchRefused, match="does not exist") as refused:
        jobs.create(LAUNCH_SERVERLESS)
    assert refused.value.cause is Obstacle.INVALID


def test_a_group_that_exists_is_used_if_it_is_the_experiments(
    jobs: TrainingJobs, sagemaker: Stubber
) -> None:
    for owner in ("questions", "others"):
        fails(
            sagemaker,
            "create_model_package_group",
            ("ValidationException", "Model Package Group already exists."),
        )
        group = {"ModelPackageGroupName": GROUP, "ModelPackageGroupArn": GROUP_ARN}
        rest = {"CreationTime": NOW, "CreatedBy": {}, "ModelPackageGroupStatus": "Completed"}
        sagemaker.add_response(
            "describe_model_package_group", group | rest, {"ModelPackageGroupName": GROUP}
        )
        tags = [{"Key": "novaloop:experiment", "Value": owner}]
        sagemaker.add_response("list_tags", {"Tags": tags}, {"ResourceArn": GROUP_ARN})
    jobs.create(CREATE_GROUP)
    with pytest.raises(LaunchRefused, match="belongs to somebody else") as refused:
        jobs.create(CREATE_GROUP)
    assert refused.value.cause is Obstacle.INVALID


@pytest.mark.parametrize("shows", [False, True], ids=["not at all", "without its tags"])
def test_a_group_that_shows_late_is_waited_for(
    jobs: TrainingJobs, sagemaker: Stubber, *, shows: bool
) -> None:
    exists = ("ValidationException", "Model Package Group already exists.")
    fails(sagemaker, "create_model_package_group", exists)
    if shows:
        group = {"ModelPackageGroupName": GROUP, "ModelPackageGroupArn": GROUP_ARN}
        rest = {"CreationTime": NOW, "CreatedBy": {}, "ModelPackageGroupStatus": "Completed"}
        sagemaker.add_response(
            "describe_model_package_group", group | rest, {"ModelPackageGroupName": GROUP}
        )
        sagemaker.add_response("list_tags", {"Tags": []}, {"ResourceArn": GROUP_ARN})
    else:
        missing = ("ValidationException", f"ModelPackageGroup {GROUP} does not exist.")
        fails(sagemaker, "describe_model_package_group", missing)
    with pytest.raises(LaunchRefused, match="does not show yet") as refused:
        jobs.create(CREATE_GROUP)
    assert refused.value.cause is Obstacle.NOT_FOUND


def test_a_hub_and_an_evaluator_that_exist_are_no_error(
    jobs: TrainingJobs, sagemaker: Stubber
) -> None:
    fails(sagemaker, "create_hub", ("ResourceInUse", "a hub of this name"))
    sagemaker.add_response("describe_hub", told_hub("InService"), {"HubName": HUB})
    fails(sagemaker, "import_hub_content", ("ResourceInUse", "such a version"))
    jobs.create(CREATE_HUB)
    jobs.create(IMPORT)
    sagemaker.assert_no_pending_responses()


def test_a_hub_that_is_not_there_yet_is_waited_for(jobs: TrainingJobs, sagemaker: Stubber) -> None:
    fails(sagemaker, "describe_hub", NO_HUB)
    sagemaker.add_response("describe_hub", told_hub("Creating"), {"HubName": HUB})
    refusals = {"does not exist": Obstacle.NOT_FOUND, "is Creating": Obstacle.BUSY}
    for said, cause in refusals.items():
        with pytest.raises(LaunchRefused, match=said) as refused:
            jobs.create(IMPORT)
        assert refused.value.cause is cause


def test_a_job_says_which_model_package_it_made() -> None:
    job = described_job("Completed", "Completed")
    assert work_of_job(job).model_arn is None
    assert work_of_job({**job, "OutputModelPackageArn": PACKAGE}).model_arn == PACKAGE


BOT = "novaloop-bot"
OLD = "novaloop-old--deploy-1"
BOT_ARN = ENDPOINT_ARN.replace(NAME, BOT)
SHARED = EndpointRef(NAME, BOT, former=OLD)
UPDATE = {"EndpointName": BOT, "EndpointConfigName": NAME}
IN_PLACE = replace(PLAN, update_endpoint=UPDATE, former=OLD)


def serves(sagemaker: Stubber, config: str, status: str = "InService") -> None:
    names = {"EndpointName": BOT, "EndpointArn": BOT_ARN, "EndpointConfigName": config}
    answer = {**described_endpoint(status), **names}
    sagemaker.add_response("describe_endpoint", answer, {"EndpointName": BOT})


def test_an_endpoint_is_updated_in_place(endpoints: SageMakerEndpoints, sagemaker: Stubber) -> None:
    serves(sagemaker, OLD)
    tagged_as(sagemaker, "old", BOT_ARN)
    sagemaker.add_response("update_endpoint", {"EndpointArn": BOT_ARN}, UPDATE)
    endpoints.proceed(IN_PLACE)


def test_an_update_that_is_done_is_not_sent_again(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    serves(sagemaker, NAME)
    endpoints.proceed(IN_PLACE)


@pytest.mark.parametrize(
    ("config", "status", "holder", "says"),
    [
        (
            "novaloop-rival--deploy-1",
            "InService",
            None,
            "serves novaloop-rival--deploy-1 meanwhile",
        ),
        (OLD, "Updating", None, "is Updating"),
        (OLD, "InService", "older", "is being deployed to by experiment old"),
    ],
    ids=["another was faster", "an update is under way", "another is being tried"],
)
def test_an_update_waits_for_its_turn(  # noqa: PLR0917
    endpoints: SageMakerEndpoints,
    sagemaker: Stubber,
    config: str,
    status: str,
    holder: str | None,
    says: str,
) -> None:
    serves(sagemaker, config, status)
    if holder is not None:
        tagged_as(sagemaker, holder, BOT_ARN)
    with pytest.raises(LaunchRefused, match=says) as refused:
        endpoints.proceed(IN_PLACE)
    assert refused.value.cause is Obstacle.BUSY


def test_what_did_not_answer_gives_way_to_what_served_before(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    serves(sagemaker, NAME)
    sagemaker.add_response("update_endpoint", {"EndpointArn": BOT_ARN}, update_endpoint(BOT, OLD))
    assert end(endpoints, SHARED) is End.REQUESTED


def test_without_anything_to_go_back_to_the_endpoint_is_deleted(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    """UpdateEndpoint tells that, not a look, which may only not find it yet."""
    serves(sagemaker, NAME)
    gone = f'Could not find endpoint configuration "arn:aws:sagemaker:::endpoint-config/{OLD}".'
    fails(sagemaker, "update_endpoint", ("ValidationException", gone))
    sagemaker.add_response("delete_endpoint", {}, {"EndpointName": BOT})
    assert end(endpoints, SHARED) is End.REQUESTED


def test_an_update_that_a_late_tag_denies_is_tried_again(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    serves(sagemaker, OLD)
    tagged_as(sagemaker, "old", BOT_ARN)
    fails(sagemaker, "update_endpoint", DENIED)
    with pytest.raises(LaunchRefused) as refused:
        endpoints.proceed(IN_PLACE)
    assert refused.value.cause is Obstacle.DENIED


def test_an_endpoint_that_serves_something_else_is_not_deleted(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    """Nor what was made for it, unless that is known to be in nobody's use."""
    serves(sagemaker, OLD)
    assert end(endpoints, SHARED) is End.NOT_NOW
    serves(sagemaker, OLD)
    parts_go(sagemaker)
    assert end(endpoints, SHARED, gone=True) is End.DONE
    serves(sagemaker, OLD, "Updating")
    assert end(endpoints, SHARED, gone=True) is End.NOT_NOW


def test_nothing_is_deleted_in_the_middle_of_an_update(
    endpoints: SageMakerEndpoints, sagemaker: Stubber
) -> None:
    """The configuration may be the one that the endpoint is updated to."""
    serves(sagemaker, OLD, "Updating")
    assert end(endpoints, SHARED) is End.NOT_NOW
