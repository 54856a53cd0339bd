"""What Bedrock says of jobs and deployments, in the controller's words."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from novaloop.cloud.bedrock import OnDemandDeployments
from novaloop.cloud.customization import CustomizationJobs
from novaloop.experiment.controller.observation import End, Phase
from novaloop.experiment.record import Obstacle, Owner
from novaloop.experiment.runtimes.jobs import PlannedRequest
from novaloop.experiment.runtimes.serving import EndpointRef
from novaloop.usecases.ports import EndRefused, LaunchRefused, NotServing

ARN = "arn:aws:bedrock:us-east-1:123456789012"
JOB = f"{ARN}:model-customization-job/amazon.nova-2-lite-v1:0:256k/0123456789ab"
TRAINED = f"{ARN}:custom-model/amazon.nova-2-lite-v1:0:256k/bbbbbbbbbbbb"
DEPLOYMENT = f"{ARN}:custom-model-deployment/cccccccccccc"


def refusal(code: str, operation: str = "Operation") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, operation)


class Bedrock:
    """Answers as prepared, and remembers what it was asked to end."""

    def __init__(self, **job: Any) -> None:
        self.job = {"jobArn": JOB, "creationTime": datetime(2026, 1, 5, tzinfo=UTC), **job}
        self.ended: list[str] = []
        self.refuses: str | None = None

    def _perform(self, what: str) -> None:
        if self.refuses:
            raise refusal(self.refuses)
        self.ended.append(what)

    def get_model_customization_job(self, jobIdentifier: str) -> dict[str, Any]:  # noqa: N803
        if jobIdentifier == "none":
            raise refusal("ResourceNotFoundException")
        return self.job

    def list_tags_for_resource(self, resourceARN: str) -> dict[str, Any]:  # noqa: N803
        assert resourceARN == JOB
        return {"tags": [{"key": "novaloop:experiment", "value": "demo"}]}

    def create_model_customization_job(self, **request: str) -> None:
        self._perform(request["jobName"])

    def stop_model_customization_job(self, jobIdentifier: str) -> None:  # noqa: N803
        self._perform(jobIdentifier)


def jobs(bedrock: Any) -> CustomizationJobs:
    return CustomizationJobs(bedrock)


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("InProgress", Phase.ACTIVE),
        ("Completed", Phase.READY),
        ("Failed", Phase.FAILED),
        ("Stopping", Phase.ENDING),
        ("Stopped", Phase.STOPPED),
    ],
)
def test_a_job_stands_as_bedrock_says(status: str, phase: Phase) -> None:
    resource = jobs(Bedrock(status=status, outputModelArn=TRAINED)).describe("job", Owner("demo"))
    assert (resource.phase, resource.ours, resource.arn, resource.model_arn) == (
        phase,
        True,
        JOB,
        TRAINED,
    )
    assert not jobs(Bedrock(status=status)).describe("job", Owner("another")).ours
    assert jobs(Bedrock()).describe("none", Owner("demo")).phase is Phase.ABSENT


def test_the_step_that_a_job_is_at_is_shown() -> None:
    details = {
        "validationDetails": {"status": "Completed"},
        "dataProcessingDetails": {"status": "InProgress"},
        "trainingDetails": {"status": "NotStarted"},
    }
    resource = jobs(Bedrock(status="InProgress", statusDetails=details)).describe("job", None)
    assert resource.progress is not None
    assert resource.progress.phase == "dataProcessing InProgress"


@pytest.mark.parametrize(
    ("code", "for_now"),
    [
        ("ConflictException", None),
        ("ServiceQuotaExceededException", True),
        ("ThrottlingException", True),
        ("AccessDeniedException", False),
    ],
)
def test_a_job_is_refused_for_now_or_for_good(code: str, for_now: bool | None) -> None:
    bedrock = Bedrock()
    bedrock.refuses = code
    request = PlannedRequest("CreateModelCustomizationJob", {"jobName": "job"})
    if for_now is None:
        jobs(bedrock).create(request)
        return
    with pytest.raises(LaunchRefused) as caught:
        jobs(bedrock).create(request)
    assert (caught.value.cause is not Obstacle.INVALID) is for_now


@pytest.mark.parametrize("code", ["ConflictException", "ResourceNotFoundException"])
def test_what_is_over_needs_no_stop(code: str) -> None:
    bedrock = Bedrock()
    bedrock.refuses = code
    assert jobs(bedrock).stop("job") is End.NOT_NOW


def test_what_is_not_there_has_no_tag_that_permits_to_stop_it() -> None:
    bedrock = Bedrock(status="InProgress")
    bedrock.refuses = "AccessDeniedException"
    assert jobs(bedrock).stop("none") is End.NOT_NOW
    with pytest.raises(EndRefused, match="AccessDenied"):
        jobs(bedrock).stop("job")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ResourceNotFoundException", "no"),
        ("ValidationException", "The provided model identifier is invalid."),
    ],
)
def test_an_unknown_name_is_nobodys(code: str, message: str) -> None:
    """Which of the two Bedrock says of a custom model's name is not known."""

    class Unknown:
        def __getattr__(self, _: str) -> Any:
            def call(**_: str) -> None:
                raise ClientError({"Error": {"Code": code, "Message": message}}, "Operation")

            return call

    unknown: Any = Unknown()
    ref = EndpointRef("demo", "demo", to="bedrock-on-demand")
    assert OnDemandDeployments(unknown, unknown).describe(ref, Owner("demo")).phase is Phase.ABSENT
    assert jobs(unknown).describe("demo", Owner("demo")).phase is Phase.ABSENT


class Vanishing:
    """A deployment that may be gone by the time that it is to be deleted."""

    def __init__(self, *, goes: bool) -> None:
        self.goes, self.there = goes, True

    def get_custom_model_deployment(
        self,
        customModelDeploymentIdentifier: str,  # noqa: N803
    ) -> dict[str, Any]:
        if not self.there:
            raise refusal("ResourceNotFoundException")
        at = datetime(2026, 1, 5, tzinfo=UTC)
        return {"customModelDeploymentArn": DEPLOYMENT, "status": "Active", "createdAt": at}

    def list_tags_for_resource(self, resourceARN: str) -> dict[str, Any]:  # noqa: N803
        assert resourceARN == DEPLOYMENT
        return {"tags": [{"key": "novaloop:experiment", "value": "demo"}]}

    def delete_custom_model_deployment(self, **_: str) -> None:
        self.there = not self.goes
        raise refusal("AccessDeniedException")


def test_what_goes_before_it_is_deleted_needs_no_permission() -> None:
    ref = EndpointRef("demo", "demo", to="bedrock-on-demand")
    gone: Any = Vanishing(goes=True)
    assert OnDemandDeployments(gone, gone).delete(ref) is End.NOT_NOW
    stays: Any = Vanishing(goes=False)
    with pytest.raises(EndRefused, match="AccessDenied"):
        OnDemandDeployments(stays, stays).delete(ref)


class Runtime:
    """A runtime that refuses, or answers with a message of these blocks."""

    def __init__(self, blocks: list[dict[str, Any]], refusal: ClientError | None = None) -> None:
        self.blocks, self.refusal = blocks, refusal

    def invoke_model(self, modelId: str, body: str) -> dict[str, Any]:  # noqa: N803
        assert (modelId, body) == (DEPLOYMENT, "{}")
        if self.refusal:
            raise self.refusal
        answer = {"output": {"message": {"role": "assistant", "content": self.blocks}}}
        return {"body": io.BytesIO(json.dumps(answer).encode())}


class Deployed:
    """One deployment, or none."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there

    def get_custom_model_deployment(self, **_: str) -> dict[str, Any]:
        if not self.there:
            raise refusal("ResourceNotFoundException")
        created_at = datetime(2026, 1, 5, tzinfo=UTC)
        told = {"customModelDeploymentArn": DEPLOYMENT, "status": "Active"}
        return {**told, "createdAt": created_at}

    def list_tags_for_resource(self, **_: str) -> dict[str, Any]:
        return {"tags": []}


def asked(runtime: Runtime, bedrock: Deployed | None = None) -> str:
    endpoints = OnDemandDeployments(bedrock or Deployed(), runtime)  # type: ignore[arg-type]
    return endpoints.ask(EndpointRef("demo", "demo", to="bedrock-on-demand"), {})


REASONING = {"reasoningContent": {"reasoningText": {"text": "The user wants"}}}


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([{"text": "Sor"}, {"text": "ted"}], "Sorted"),
        ([REASONING, {"text": "Sorted"}], "Sorted"),
        ([REASONING], "The user wants"),
        ([REASONING, {"text": ""}], "The user wants"),
        ([{"reasoningContent": {"redactedContent": "eHg="}}], ""),
        ([], ""),
    ],
)
def test_the_answer_is_its_text_or_else_its_reasoning(
    blocks: list[dict[str, Any]], text: str
) -> None:
    assert asked(Runtime(blocks)) == text


@pytest.mark.parametrize(
    ("code", "fields", "for_now"),
    [
        ("ModelNotReadyException", {}, True),
        ("ModelTimeoutException", {}, True),
        ("InternalServerException", {}, True),
        ("ServiceUnavailableException", {}, True),
        ("ThrottlingException", {}, True),
        ("ResourceNotFoundException", {}, True),
        ("ModelErrorException", {"originalStatusCode": 500}, True),
        ("ModelErrorException", {"originalStatusCode": 400}, False),
        ("ValidationException", {}, False),
        ("AccessDeniedException", {}, True),
    ],
)
def test_a_model_that_does_not_answer(code: str, fields: dict[str, int], *, for_now: bool) -> None:
    error = refusal(code, "InvokeModel")
    error.response.update(fields)  # type: ignore[typeddict-item]
    with pytest.raises(NotServing) as refused:
        asked(Runtime([], error))
    assert refused.value.for_now is for_now


def test_a_deployment_that_one_look_did_not_find_may_answer_later() -> None:
    with pytest.raises(NotServing, match="does not exist") as refused:
        asked(Runtime([]), Deployed(there=False))
    assert refused.value.for_now
