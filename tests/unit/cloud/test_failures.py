"""AWS's own words for failures, as public threads quote them, and whose fault each is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from novaloop.cloud.bedrock import OnDemandDeployments, ProvisionedThroughputs
from novaloop.cloud.customization import CustomizationJobs
from novaloop.cloud.endpoints import SageMakerEndpoints
from novaloop.cloud.failures import LONGEST_REASON, SAYINGS, cause_of, judged, told
from novaloop.cloud.jobs import TrainingJobs
from novaloop.experiment.controller.observation import Cause, Phase, ResourceStatus
from novaloop.experiment.runtimes.serving import EndpointRef

CAPACITY, FAULT, OWN = Cause.CAPACITY, Cause.SERVICE_FAULT, None
QUOTED = [
    # DIAGNijmegen/rse-grand-challenge#2631
    (
        (
            "CapacityError: Unable to provision requested ML compute capacity. Please retry"
            " using a different ML instance type."
        ),
        CAPACITY,
    ),
    # aws/deep-learning-containers#6673, of an endpoint
    (
        (
            "Unable to provision requested ML compute capacity due to "
            "InsufficientInstanceCapacity error. Please retry using a different ML instance"
            " type or after some time."
        ),
        CAPACITY,
    ),
    # botocore's documentation of SecondaryStatusTransition
    (
        ("Insufficient capacity error from EC2 while launching instances, retrying!"),
        CAPACITY,
    ),
    # EC2's own: aws/aws-parallelcluster-node#603
    (
        (
            "We currently do not have sufficient ml.p5.48xlarge capacity in the Availability Zone "
            "you requested (us-east-1a). Our system will be working on provisioning additional "
            "capacity."
        ),
        CAPACITY,
    ),
    # aws/amazon-sagemaker-feedback#99
    (
        (
            "EC2InsufficientCapacityError: Instance type 'ml.g5.48xlarge' is temporarily "
            "unavailable in supported availability zones [euw1-az1]. Try again in a few "
            "minutes, or try a different instance type."
        ),
        CAPACITY,
    ),
    # aws/amazon-sagemaker-examples#307
    (
        (
            "ResourceLimitExceeded: The account-level service limit 'ml.m4.xlarge for "
            "endpoint usage' is 0 Instances, with current utilization of 0 Instances and a "
            "request delta of 1 Instances."
        ),
        CAPACITY,
    ),
    # aws/sagemaker-python-sdk#70, and #2496 of a processing job
    (
        ("InternalServerError: We encountered an internal error. Please try again."),
        FAULT,
    ),
    # aws/amazon-sagemaker-examples#1316
    (
        (
            "InternalServerError: We encountered an internal error - Platform Error: "
            "SageMaker pipe channel timed out"
        ),
        FAULT,
    ),
    # philschmid/cdk-samples#6
    (
        ("Request to service failed. If failure persists after retry, contact customer support."),
        FAULT,
    ),
    # Bedrock's API, InternalServerException and ServiceUnavailableException
    ("An internal server error occurred. Retry your request.", FAULT),
    ("The service isn't currently available. Try again later.", FAULT),
    # aws/deep-learning-containers#1018
    ("ThrottlingException: Rate exceeded", FAULT),
    # What the job, the model or the request is at fault for, and would be again.
    (
        ("AlgorithmError: ExecuteUserScriptError: InternalServerError of my own service"),
        OWN,
    ),
    (
        (
            "ClientError: Please use an instance type with more memory, or reduce the size "
            "of job data processed on an instance."
        ),
        OWN,
    ),
    ("ClientError: Insufficient capacity on the disk", OWN),
    (
        (
            "The primary container for production variant AllTraffic did not pass the ping "
            "health check. Please check CloudWatch logs for this endpoint."
        ),
        OWN,
    ),
    (
        (
            'Received server error (0) from model with message "An internal error occurred '
            'while the model process exited."'
        ),
        OWN,
    ),
    (
        (
            "There is not enough hardware resources on the instances for this endpoint to "
            "create a copy of the inference component."
        ),
        OWN,
    ),
    ("The training data can't be read.", OWN),
    ("", OWN),
    (None, OWN),
]


@pytest.mark.parametrize(("reason", "cause"), QUOTED)
def test_whose_fault_it_is(reason: str | None, cause: Cause | None) -> None:
    assert cause_of(reason) is cause
    failed = ResourceStatus(Phase.FAILED, reason=reason)
    assert judged(failed) == (
        ResourceStatus(Phase.LOST, reason=reason, cause=cause) if cause else failed
    )


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.FAILED])
def test_only_a_failure_is_judged(phase: Phase) -> None:
    resource = ResourceStatus(phase, reason="CapacityError: no instances")
    assert judged(resource) == resource


def test_every_saying_is_quoted_and_names_its_source() -> None:
    for saying in SAYINGS:
        assert any(saying.pattern.search(reason or "") for reason, _ in QUOTED), saying.pattern
        assert saying.source


class Failed:
    """A service of which everything is there, and has failed for this reason."""

    def __init__(self, reason: str | None) -> None:
        self.reason = reason

    def _told(self, field: str, **told: Any) -> dict[str, Any]:
        return told | ({} if self.reason is None else {field: self.reason})

    def describe_training_job(self, **_: str) -> dict[str, Any]:
        return self._told("FailureReason", TrainingJobStatus="Failed", TrainingJobArn="arn")

    def describe_endpoint(self, **_: str) -> dict[str, Any]:
        told = {"EndpointConfigName": "x", "EndpointArn": "arn"}
        return self._told("FailureReason", EndpointStatus=self.endpoint, **told)

    endpoint = "Failed"

    def describe_inference_component(self, **_: str) -> dict[str, Any]:
        return self._told("FailureReason", InferenceComponentStatus="Failed")

    def _on_bedrock(self, arn: str) -> dict[str, Any]:
        at = {"creationTime": datetime(2026, 1, 5, tzinfo=UTC)}
        return self._told("failureMessage", status="Failed", **{arn: "arn"}, **at)

    def get_model_customization_job(self, **_: str) -> dict[str, Any]:
        return self._on_bedrock("jobArn")

    def get_custom_model_deployment(self, **_: str) -> dict[str, Any]:
        return self._on_bedrock("customModelDeploymentArn")

    def get_provisioned_model_throughput(self, **_: str) -> dict[str, Any]:
        return self._on_bedrock("provisionedModelArn")

    def get_custom_model(self, **_: str) -> dict[str, Any]:
        return {**self._on_bedrock("modelArn"), "modelStatus": "Failed"}

    def list_tags_for_resource(self, **_: str) -> dict[str, Any]:
        return {"tags": [{"key": "novaloop:experiment", "value": "demo"}]}


class InService(Failed):
    """The same, but for the endpoint that has the component."""

    endpoint = "InService"


class Undeployed(Failed):
    """The same, but for what would serve the model: it is not there."""

    def get_custom_model_deployment(self, **_: str) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Get")


FAILED: dict[str, Callable[[Any], ResourceStatus]] = {
    "job": lambda reason: TrainingJobs(cast("Any", Failed(reason))).describe("x", None),
    "endpoint": lambda reason: SageMakerEndpoints(
        cast("Any", Failed(reason)), cast("Any", None)
    ).describe(EndpointRef("x", "x"), None),
    "component": lambda reason: SageMakerEndpoints(
        cast("Any", InService(reason)), cast("Any", None)
    ).describe(EndpointRef("x", "x", "x"), None),
    "Bedrock's job": lambda reason: CustomizationJobs(cast("Any", Failed(reason))).describe(
        "x", None
    ),
    "deployment": lambda reason: OnDemandDeployments(
        cast("Any", Failed(reason)), cast("Any", None)
    ).describe(EndpointRef("x", "x", to="bedrock-on-demand"), None),
    "imported model": lambda reason: OnDemandDeployments(
        cast("Any", Undeployed(reason)), cast("Any", None)
    ).describe(EndpointRef("x", "x", to="bedrock-on-demand"), None),
    "throughput": lambda reason: ProvisionedThroughputs(
        cast("Any", Failed(reason)), cast("Any", None)
    ).describe(EndpointRef("x", "x", to="bedrock-provisioned"), None),
}
UNKNOWN = [None, "", "E4711: the flux compensator is out of alignment."]


@pytest.mark.parametrize("reason", UNKNOWN)
@pytest.mark.parametrize("kind", FAILED)
def test_a_reason_that_nobody_knows_is_a_failure_for_good(kind: str, reason: str | None) -> None:
    resource = FAILED[kind](reason)
    assert (resource.phase, resource.cause) == (Phase.FAILED, None)
    assert (resource.reason or "") == (reason or "")


AFTER = (
    "; what the container wrote may quote data: `novaloop logs` shows it, and the job's "
    "FailureReason"
)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        # aws/amazon-sagemaker-examples#372, aws/sagemaker-python-sdk#357
        ("AlgorithmError: Exit Code: 1", f"AlgorithmError, exit code 1{AFTER}"),
        ("AlgorithmError: , exit code: 137", f"AlgorithmError, exit code 137{AFTER}"),
        (
            (
                'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "ValueError: '
                "row {'question': 'ROW'}\nSystemExit: 1\"\nCommand \"python3 ROW\", exit code: 2"
            ),
            "AlgorithmError: ExecuteUserScriptError, ValueError, SystemExit, exit code 2" + AFTER,
        ),
        ("ClientError: line 3: ROW is no label", f"ClientError{AFTER}"),
        (
            "AlgorithmError: ROWError: CUDA out of memory. ROW",
            "AlgorithmError: CUDA out of memory" + AFTER,
        ),
        ("AlgorithmError", f"AlgorithmError{AFTER}"),
    ],
)
def test_what_a_container_wrote_is_cut_to_words_that_quote_nothing(reason: str, shown: str) -> None:
    assert told(reason) == shown
    assert cause_of(shown) == cause_of(reason)
    assert told(shown) == shown


@pytest.mark.parametrize(
    "reason",
    [
        "ClientError: Data download failed: Failed to download s3://bucket/key: 403",
        "ClientError: Artifact upload failed: Error 7: the role may not write",
        "ClientError: Please use an instance type with more memory, or reduce the size of data",
        "CapacityError: Unable to provision requested ML compute capacity.",
        "InternalServerError: We encountered an internal error. Please try again.",
        "The primary container did not pass the ping health check.",
    ],
)
def test_what_a_service_wrote_is_told_whole(reason: str) -> None:
    assert told(reason) == reason


def test_a_reason_is_one_line_of_bounded_length() -> None:
    assert told(None) is None
    assert told(" \n") is None
    assert told("a\n b" + "c" * 999) == "a b" + "c" * (LONGEST_REASON - 3)
