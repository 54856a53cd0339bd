"""SageMaker training jobs, with machines or serverless, and what serverless ones refer to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from novaloop.cloud.errors import (
    end_if_possible,
    found,
    obstacle_of,
    text_of,
    unless_there,
)
from novaloop.cloud.failures import cause_of, judged, told
from novaloop.experiment.controller.observation import Cause, End, Phase, ResourceStatus
from novaloop.experiment.record import Obstacle, Owner, Progress
from novaloop.experiment.runtimes.jobs import PlannedRequest
from novaloop.experiment.stack import EXPERIMENT_TAG, owner_of
from novaloop.usecases.ports import LaunchRefused

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient

T = TypeVar("T")
_PHASES: Mapping[str, Phase] = {
    "InProgress": Phase.ACTIVE,
    "Completed": Phase.READY,
    "Failed": Phase.FAILED,
    "Stopping": Phase.ENDING,
    "Stopped": Phase.STOPPED,
    "Deleting": Phase.ENDING,
}
_ON_THE_HUB = {"DescribeHub", "ImportHubContent"}
"""Calls which may not see yet the hub that was created a moment ago."""


class TrainingJobs:
    """Training jobs of the account; implements the port `Jobs`."""

    def __init__(self, sagemaker: SageMakerClient) -> None:
        self._sagemaker = sagemaker

    def describe(self, name: str, owner: Owner | None) -> ResourceStatus:
        """Say how the job stands; ABSENT if there is none of that name."""
        job = found(lambda: self._sagemaker.describe_training_job(TrainingJobName=name))
        if job is None:
            return ResourceStatus()
        ours = owner is None or owner.owns(owner_by_tags(self._sagemaker, job["TrainingJobArn"]))
        return work_of_job(job, ours=ours)

    def create(self, request: PlannedRequest) -> str | None:
        """Create a job or what it needs; do nothing if it exists. Raises LaunchRefused.

        Returns the ARN of the job, if it was created with this.
        """
        create: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
            "CreateTrainingJob": self._create_job,
            "CreateModelPackageGroup": self._create_group,
            "CreateHub": self._create_hub,
            "ImportHubContent": self._import_content,
        }
        try:
            return create[request.operation](request.parameters)
        except ClientError as error:
            cause = obstacle_of(error)
            # What a serverless job refers to was created a moment ago; a job's own machines, images
            # and data were not, nor was a base model.
            serverless = "ServerlessJobConfig" in request.parameters
            fresh = serverless and error.operation_name == "CreateTrainingJob"
            fresh = fresh or error.operation_name in _ON_THE_HUB
            if cause is Obstacle.NOT_FOUND and not fresh:
                cause = Obstacle.INVALID
            raise LaunchRefused(text_of(error), cause) from error

    def _create_job(self, request: Mapping[str, Any]) -> str | None:
        serverless = request.get("ServerlessJobConfig")
        if serverless is not None:
            resolved = {
                member: self._available(serverless[member])
                for member in ("BaseModelArn", "EvaluatorArn")
                if member in serverless
            }
            request = {**request, "ServerlessJobConfig": {**serverless, **resolved}}
        made = unless_there(lambda: self._sagemaker.create_training_job(**request))
        return made["TrainingJobArn"] if made else None

    def _create_group(self, request: Mapping[str, Any]) -> None:
        if unless_there(lambda: self._sagemaker.create_model_package_group(**request)):
            return
        name = request["ModelPackageGroupName"]
        group = found(
            lambda: self._sagemaker.describe_model_package_group(ModelPackageGroupName=name)
        )
        owner = next(tag["Value"] for tag in request["Tags"] if tag["Key"] == EXPERIMENT_TAG)
        told = owner_by_tags(self._sagemaker, group["ModelPackageGroupArn"]) if group else None
        if told is None:  # our own shows late, and so do its tags: aws/sagemaker-python-sdk#3662
            reason = f"the model package group {name} does not show yet whose it is"
            raise LaunchRefused(reason, Obstacle.NOT_FOUND)
        if told.experiment_id != owner:  # one experiment of a name after the other adds to it
            reason = f"the model package group {name} belongs to somebody else"
            raise LaunchRefused(reason)

    def _create_hub(self, request: Mapping[str, Any]) -> None:
        unless_there(lambda: self._sagemaker.create_hub(**request))

    def _import_content(self, request: Mapping[str, Any]) -> None:
        hub = self._sagemaker.describe_hub(HubName=request["HubName"])
        _require(hub["HubStatus"], "InService", "Creating", f"hub {hub['HubName']}")
        unless_there(lambda: self._sagemaker.import_hub_content(**request))

    def _available(self, arn: str) -> str:
        """Return a hub content's ARN with its version. Raises LaunchRefused if it isn't usable."""
        _, hub, kind, name, *version = arn.split("/")
        content = self._sagemaker.describe_hub_content(
            HubName=hub,
            HubContentType=kind,  # type: ignore[arg-type]
            HubContentName=name,
            **({"HubContentVersion": version[0]} if version else {}),
        )
        _require(content["HubContentStatus"], "Available", "Importing", f"{kind} {name} of {hub}")
        return content["HubContentArn"]

    def stop(self, name: str) -> End:
        """Ask the job to stop; do nothing if it is over. Raises EndRefused."""
        return end_if_possible(
            lambda: self._sagemaker.stop_training_job(TrainingJobName=name),
            lambda: self._running(name),
        )

    def _running(self, name: str) -> object | None:
        """Return the job if it runs and nobody has stopped it yet."""
        job = found(lambda: self._sagemaker.describe_training_job(TrainingJobName=name))
        return job if job and job["TrainingJobStatus"] == "InProgress" else None


def _require(status: str, ready: str, on_its_way: str, what: str) -> None:
    if status != ready:
        cause = Obstacle.BUSY if status == on_its_way else Obstacle.INVALID
        raise LaunchRefused(f"the {what} is {status}", cause)


def owner_by_tags(sagemaker: SageMakerClient, arn: str) -> Owner | None:
    """Return whose a resource is by its tags; None if it is no experiment's."""
    tags = sagemaker.list_tags(ResourceArn=arn).get("Tags", ())
    return owner_of({tag["Key"]: tag["Value"] for tag in tags})


def work_of_job(job: Mapping[str, Any], *, ours: bool = True) -> ResourceStatus:
    """Translate the answer of DescribeTrainingJob."""
    status, steps = job["TrainingJobStatus"], job.get("ProgressInfo", {})
    resource = ResourceStatus(
        phase=_PHASES.get(status, Phase.ACTIVE),
        ours=ours,
        arn=job["TrainingJobArn"],
        progress=Progress(
            phase=job.get("SecondaryStatus", status),
            step=steps.get("CurrentStep"),
            max_steps=steps.get("TotalStepCountPerEpoch"),
        ),
        reason=told(job.get("FailureReason")),
        started_at=job.get("TrainingStartTime"),
        ended_at=job.get("TrainingEndTime"),
        billable_seconds=job.get("BillableTimeInSeconds", 0),
        model_arn=job.get("OutputModelPackageArn"),
    )
    return _stopped(resource, job) if resource.phase is Phase.STOPPED else judged(resource)


def _stopped(resource: ResourceStatus, job: Mapping[str, Any]) -> ResourceStatus:
    """Say what stopped a job: its time, want of capacity, or somebody.

    A job that never got a billable second tells nothing by that: a person may have stopped it while
    it waited, and what a person stopped is not launched again. Only what SageMaker names as a wait
    that took too long, or as want of capacity, is lost.
    """
    match job.get("SecondaryStatus"):
        case "MaxRuntimeExceeded":
            longest = job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
            reason = f"ran into its longest run time of {longest} seconds"
            return replace(resource, phase=Phase.FAILED, reason=reason)
        case "MaxWaitTimeExceeded":
            reason = resource.reason or "no capacity: it waited longer than it may"
            return replace(resource, phase=Phase.LOST, reason=reason, cause=Cause.CAPACITY)
        case _:
            cause = cause_of(resource.reason)
            return replace(resource, phase=Phase.LOST, cause=cause) if cause else resource
