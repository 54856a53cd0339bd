"""SageMaker endpoints, each with a model and an endpoint configuration of the same name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from novaloop.cloud.errors import (
    asking,
    create_unless_taken,
    end_if_possible,
    found,
    is_in_progress,
    is_missing,
    may_pass_later,
    text_of,
)
from novaloop.cloud.failures import cause_of, judged
from novaloop.experiment.names import experiment_of_job
from novaloop.experiment.observation import Phase, Work
from novaloop.experiment.record import Progress
from novaloop.experiment.site import EXPERIMENT_TAG
from novaloop.recipes.endpoints import chat_text, update_endpoint
from novaloop.recipes.requests import sagemaker_tags
from novaloop.usecases.ports import LaunchRefused

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient

    from novaloop.experiment.deploying import EndpointRef
    from novaloop.recipes.endpoints import EndpointPlan

_PHASES: Mapping[str, Phase] = {
    "InService": Phase.READY,
    "Failed": Phase.FAILED,
    "OutOfService": Phase.FAILED,
    "UpdateRollbackFailed": Phase.FAILED,
    "Deleting": Phase.ENDING,
}
"""Of endpoints and of inference components. Every other status is that of a change."""
_UPDATABLE = {"InService", "UpdateRollbackFailed"}


class SageMakerEndpoints:
    """Endpoints of the account; implements the port `Endpoints`."""

    def __init__(self, sagemaker: SageMakerClient, runtime: SageMakerRuntimeClient) -> None:
        self._sagemaker = sagemaker
        self._runtime = runtime

    def describe(self, ref: EndpointRef, owner: str | None) -> Work:
        """Say how the endpoint stands; ABSENT only if its configuration and model are gone too."""
        endpoint = self._endpoint(ref.endpoint)
        if endpoint is None:
            return Work(Phase.PARTIAL if self._has_leftovers(ref.name) else Phase.ABSENT)
        serving = endpoint["EndpointConfigName"]
        if serving != ref.name and self._config(ref.name) is None:
            return Work(Phase.PARTIAL if self._model(ref.name) else Phase.ABSENT)
        holder = self._holder(endpoint) if owner or ref.is_shared else None
        work = Work(
            phase=_PHASES.get(endpoint["EndpointStatus"], Phase.ACTIVE),
            ours=owner is None or (holder is not None if ref.is_shared else holder == owner),
            arn=endpoint["EndpointArn"],
            progress=Progress(endpoint["EndpointStatus"]),
            reason=endpoint.get("FailureReason"),
            started_at=None if ref.is_shared else endpoint.get("CreationTime"),
            holder=holder,
        )
        if serving != ref.name:
            return _beside(work, serving)
        if work.phase is Phase.READY:
            return self._with_component(ref, work)
        # Rolling back came to nothing: what serves now is for a person to see.
        return work if endpoint["EndpointStatus"] == "UpdateRollbackFailed" else judged(work)

    def _with_component(self, ref: EndpointRef, endpoint: Work) -> Work:
        """Say how the component stands, if there must be one, of an endpoint that is in service."""
        if ref.component is None:
            return endpoint
        component = self._component(ref)
        if component is None:
            return replace(endpoint, phase=Phase.HALFWAY)
        status = component["InferenceComponentStatus"]
        return judged(
            replace(
                endpoint,
                phase=_PHASES.get(status, Phase.ACTIVE),
                progress=Progress(f"component {status}"),
                reason=component.get("FailureReason"),
            )
        )

    def _endpoint(self, name: str) -> Any | None:
        return found(lambda: self._sagemaker.describe_endpoint(EndpointName=name))

    def _config(self, name: str) -> Any | None:
        return found(lambda: self._sagemaker.describe_endpoint_config(EndpointConfigName=name))

    def _model(self, name: str) -> Any | None:
        return found(lambda: self._sagemaker.describe_model(ModelName=name))

    def _has_leftovers(self, name: str) -> bool:
        return bool(self._config(name) or self._model(name))

    def _component(self, ref: EndpointRef) -> Any | None:
        if ref.component is None:
            return None
        name = ref.component
        return found(
            lambda: self._sagemaker.describe_inference_component(InferenceComponentName=name)
        )

    def _holder(self, endpoint: Mapping[str, Any]) -> str | None:
        """Return the experiment that the endpoint is tagged as."""
        tags = self._sagemaker.list_tags(ResourceArn=endpoint["EndpointArn"])["Tags"]
        return next((tag["Value"] for tag in tags if tag["Key"] == EXPERIMENT_TAG), None)

    def problem_with(self, endpoint: str) -> str | None:
        """Say why nothing of this stack may serve under that name, or None if it may."""
        there = self._endpoint(endpoint)
        if there is None or self._holder(there) is not None:
            return None
        return (
            f"an endpoint {endpoint} exists and is not Novaloop's: it has no tag {EXPERIMENT_TAG}; "
            "choose another name, or delete it"
        )

    def launch(self, plan: EndpointPlan) -> None:
        """Create model, configuration and endpoint, whichever is missing. Raises LaunchRefused."""
        if plan.update_endpoint is not None:
            problem = self.problem_with(plan.update_endpoint["EndpointName"])
            if problem is not None:
                raise LaunchRefused(problem, for_now=False)
        create_unless_taken(self._sagemaker.create_model, plan.create_model)
        create_unless_taken(self._sagemaker.create_endpoint_config, plan.create_endpoint_config)
        create_unless_taken(self._sagemaker.create_endpoint, plan.create_endpoint)

    def proceed(self, plan: EndpointPlan) -> None:
        """Create the component on the endpoint, or update the endpoint. Raises LaunchRefused."""
        if plan.create_inference_component is not None:
            create_unless_taken(
                self._sagemaker.create_inference_component,
                plan.create_inference_component,
                # The endpoint bills while its component waits for a quota.
                never={"ResourceLimitExceeded"},
            )
        if plan.update_endpoint is not None:
            self._update(plan.update_endpoint, plan.former)

    def _update(self, request: Mapping[str, Any], former: str | None) -> None:
        name = request["EndpointName"]
        endpoint = self._endpoint(name)
        if endpoint and endpoint["EndpointConfigName"] == request["EndpointConfigName"]:
            return
        problem = self._why_not_now(endpoint, former)
        if problem is not None:
            raise LaunchRefused(f"{name} {problem}", for_now=True)
        try:
            self._sagemaker.update_endpoint(**request)
        except ClientError as error:
            for_now = may_pass_later(error) or is_missing(error) or is_in_progress(error)
            raise LaunchRefused(text_of(error), for_now=for_now) from error

    def _why_not_now(self, endpoint: Mapping[str, Any] | None, former: str | None) -> str | None:
        """Say why this is no time to update an endpoint; another experiment may be at it."""
        if endpoint is None:
            return "was deleted meanwhile"
        serving, status = endpoint["EndpointConfigName"], endpoint["EndpointStatus"]
        if serving != former:
            return f"serves {serving} meanwhile"
        if status not in _UPDATABLE:
            return f"is {status}"
        tried = experiment_of_job(endpoint["EndpointName"].partition("-")[0], serving)
        if tried not in {None, self._holder(endpoint)}:
            return f"is being deployed to by experiment {tried}"
        return None

    def hold(self, ref: EndpointRef, tags: Mapping[str, str]) -> str | None:
        """Tag the endpoint as the experiment's that it serves; return whose it was before."""
        endpoint = self._endpoint(ref.endpoint)
        if endpoint is None or endpoint["EndpointConfigName"] != ref.name:
            return None
        before, listed = self._holder(endpoint), cast("Any", sagemaker_tags(tags))
        self._sagemaker.add_tags(ResourceArn=endpoint["EndpointArn"], Tags=listed)
        return before

    def delete(self, ref: EndpointRef) -> None:
        """Delete what comes first: component, then endpoint, then configuration and model.

        An endpoint that serves something else stays; one with a `former` goes back to that.
        """
        sagemaker = self._sagemaker
        if component := self._component(ref):
            name = component["InferenceComponentName"]
            end_if_possible(
                lambda: sagemaker.delete_inference_component(InferenceComponentName=name)
            )
            return
        endpoint = self._endpoint(ref.endpoint)
        if endpoint is not None and endpoint["EndpointConfigName"] == ref.name:
            self._take_out_of_service(ref)
        elif endpoint is None or endpoint["EndpointStatus"] in _PHASES:
            end_if_possible(lambda: sagemaker.delete_endpoint_config(EndpointConfigName=ref.name))
            end_if_possible(lambda: sagemaker.delete_model(ModelName=ref.name))

    def _take_out_of_service(self, ref: EndpointRef) -> None:
        sagemaker = self._sagemaker
        if ref.former is not None and self._config(ref.former) is not None:
            request = update_endpoint(ref.endpoint, ref.former)
            end_if_possible(lambda: sagemaker.update_endpoint(**request))
        else:
            end_if_possible(lambda: sagemaker.delete_endpoint(EndpointName=ref.endpoint))

    def ask(self, ref: EndpointRef, body: Mapping[str, object]) -> str:
        """Send one chat request and return the answer's text. Raises NotServing."""
        component = {"InferenceComponentName": ref.component} if ref.component else {}
        with asking("a chat completion"):
            response = self._runtime.invoke_endpoint(
                EndpointName=ref.endpoint,
                ContentType="application/json",
                Accept="application/json",
                Body=json.dumps(body),
                **component,
            )
            answer = json.loads(response["Body"].read())
            return chat_text(answer["choices"][0]["message"])


def _beside(work: Work, serving: str) -> Work:
    """Say how an attempt stands whose endpoint serves another configuration.

    An endpoint that went back to what served before says why, and is in service all the while:
    hashicorp/terraform-provider-aws#39099.
    """
    phase = Phase.ACTIVE if work.phase in {Phase.ACTIVE, Phase.ENDING} else Phase.HALFWAY
    cause = cause_of(work.reason) if work.phase is Phase.READY else None
    reason = work.reason or f"the endpoint serves {serving}"
    return replace(work, phase=phase, reason=reason, cause=cause, serving=serving)
