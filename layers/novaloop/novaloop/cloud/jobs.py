"""SageMaker training jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from novaloop.cloud.errors import FOR_NOW, code_of, exists_already, is_missing, text_of
from novaloop.experiment.launching import EXPERIMENT_TAG
from novaloop.experiment.observation import Phase, Work
from novaloop.experiment.record import Progress
from novaloop.usecases.ports import LaunchRefused

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient

_PHASES: Mapping[str, Phase] = {
    "InProgress": Phase.ACTIVE,
    "Completed": Phase.READY,
    "Failed": Phase.FAILED,
    "Stopping": Phase.ENDING,
    "Stopped": Phase.STOPPED,
    "Deleting": Phase.ENDING,
}
LOST_PREFIXES = ("CapacityError", "InternalServerError")
"""How FailureReason starts when a job failed for want of capacity or by a service fault."""
_LONGEST_REASON = 500


class TrainingJobs:
    """Training jobs of the account; implements the port `Jobs`."""

    def __init__(self, sagemaker: SageMakerClient) -> None:
        self._sagemaker = sagemaker

    def describe(self, name: str, owner: str | None) -> Work:
        """Say how the job stands; ABSENT if there is none of that name."""
        try:
            job = self._sagemaker.describe_training_job(TrainingJobName=name)
        except ClientError as error:
            if is_missing(error):
                return Work()
            raise
        ours = owner is None or is_tagged(self._sagemaker, job["TrainingJobArn"], owner)
        return work_of_job(job, ours=ours)

    def launch(self, request: Mapping[str, object]) -> None:
        """Create the job; do nothing if one of that name exists. Raises LaunchRefused."""
        try:
            self._sagemaker.create_training_job(**request)  # type: ignore[arg-type]
        except ClientError as error:
            if not exists_already(error):
                for_now = code_of(error) in FOR_NOW
                raise LaunchRefused(text_of(error), for_now=for_now) from error

    def stop(self, name: str) -> None:
        """Ask the job to stop; do nothing if it is over."""
        try:
            self._sagemaker.stop_training_job(TrainingJobName=name)
        except ClientError as error:
            if code_of(error) not in {"ValidationException", "ResourceNotFound"}:
                raise


def is_tagged(sagemaker: SageMakerClient, arn: str, owner: str) -> bool:
    """Whether the resource carries the experiment's tag."""
    tags = sagemaker.list_tags(ResourceArn=arn)["Tags"]
    return any(tag["Key"] == EXPERIMENT_TAG and tag["Value"] == owner for tag in tags)


def work_of_job(job: Mapping[str, Any], *, ours: bool = True) -> Work:
    """Translate the answer of DescribeTrainingJob."""
    reason = " ".join(str(job.get("FailureReason", "")).split())[:_LONGEST_REASON]
    phase, reason = _phase(job, reason)
    return Work(
        phase=phase,
        ours=ours,
        arn=job["TrainingJobArn"],
        progress=_progress(job),
        reason=reason or None,
        started_at=job.get("TrainingStartTime"),
        ended_at=job.get("TrainingEndTime"),
        billable_seconds=job.get("BillableTimeInSeconds", 0),
    )


def _phase(job: Mapping[str, Any], reason: str) -> tuple[Phase, str]:
    phase = _PHASES.get(job["TrainingJobStatus"], Phase.ACTIVE)
    if phase is Phase.FAILED and reason.startswith(LOST_PREFIXES):
        return Phase.LOST, reason
    if phase is not Phase.STOPPED:
        return phase, reason
    if job.get("SecondaryStatus") == "MaxRuntimeExceeded":
        longest = job.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
        return Phase.FAILED, f"ran into its longest run time of {longest} seconds"
    if not job.get("BillableTimeInSeconds"):
        return Phase.LOST, reason or "no capacity: stopped without a billable second"
    return phase, reason


def _progress(job: Mapping[str, Any]) -> Progress:
    info = job.get("ProgressInfo", {})
    return Progress(
        phase=job.get("SecondaryStatus", job["TrainingJobStatus"]),
        step=info.get("CurrentStep"),
        max_steps=info.get("TotalStepCountPerEpoch"),
    )
