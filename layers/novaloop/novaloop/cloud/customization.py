"""Bedrock's model customization jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from novaloop.cloud.errors import create_unless_taken, end_if_possible, found
from novaloop.cloud.failures import judged, told
from novaloop.experiment.controller.observation import End, Phase, ResourceStatus
from novaloop.experiment.record import Owner, Progress
from novaloop.experiment.stack import owner_of

if TYPE_CHECKING:
    from mypy_boto3_bedrock.client import BedrockClient

    from novaloop.experiment.runtimes.jobs import PlannedRequest

_PHASES: Mapping[str, Phase] = {
    "InProgress": Phase.ACTIVE,
    "Completed": Phase.READY,
    "Failed": Phase.FAILED,
    "Stopping": Phase.ENDING,
    "Stopped": Phase.STOPPED,
}
_STEPS = ("trainingDetails", "dataProcessingDetails", "validationDetails")


class CustomizationJobs:
    """Customization jobs of the account; implements the port `Jobs`."""

    def __init__(self, bedrock: BedrockClient) -> None:
        self._bedrock = bedrock

    def describe(self, name: str, owner: Owner | None) -> ResourceStatus:
        """Say how the job stands; ABSENT if there is none of that name."""
        job: Any = found(lambda: self._bedrock.get_model_customization_job(jobIdentifier=name))
        if job is None:
            return ResourceStatus()
        return judged(
            ResourceStatus(
                phase=_PHASES.get(job.get("status", ""), Phase.ACTIVE),
                ours=owner is None or owner.owns(self._owner(job["jobArn"])),
                arn=job["jobArn"],
                progress=Progress(_step(job)),
                reason=told(job.get("failureMessage")),
                started_at=job["creationTime"],
                ended_at=job.get("endTime"),
                model_arn=job.get("outputModelArn"),
            )
        )

    def _owner(self, arn: str) -> Owner | None:
        told = found(lambda: self._bedrock.list_tags_for_resource(resourceARN=arn))
        tags = told.get("tags", []) if told else []
        return owner_of({tag["key"]: tag["value"] for tag in tags})

    def create(self, request: PlannedRequest) -> str | None:
        """Create the job; do nothing if one of that name exists. Raises LaunchRefused."""
        create: Callable[..., Any] = self._bedrock.create_model_customization_job
        made = create_unless_taken(create, request.parameters)
        return made["jobArn"] if made else None

    def stop(self, name: str) -> End:
        """Ask the job to stop; do nothing if it is over. Raises EndRefused."""
        return end_if_possible(
            lambda: self._bedrock.stop_model_customization_job(jobIdentifier=name),
            lambda: self._running(name),
        )

    def _running(self, name: str) -> object | None:
        """Return the job if it runs and nobody has stopped it yet."""
        job = found(lambda: self._bedrock.get_model_customization_job(jobIdentifier=name))
        return job if job and job.get("status") == "InProgress" else None


def _step(job: Mapping[str, Any]) -> str:
    """Return the last step that has begun, such as `training InProgress`, else the job's status."""
    details = job.get("statusDetails", {})
    for step in _STEPS:
        status = details.get(step, {}).get("status", "NotStarted")
        if status != "NotStarted":
            return f"{step.removesuffix('Details')} {status}"
    return str(job.get("status", "of no status yet"))
