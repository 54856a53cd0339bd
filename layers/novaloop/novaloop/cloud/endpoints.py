"""SageMaker endpoints, each with a model and an endpoint configuration of the same name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from novaloop.cloud.errors import (
    asking,
    create_unless_taken,
    end_if_possible,
    found,
    is_denied,
    is_in_progress,
    is_missing,
    obstacle_of,
    serving_of,
    settled,
    text_of,
)
from novaloop.cloud.failures import cause_of, judged, told
from novaloop.cloud.jobs import owner_by_tags
from novaloop.experiment.controller.observation import End, Phase, ResourceStatus
from novaloop.experiment.names import experiment_at
from novaloop.experiment.record import Obstacle, Owner, Progress
from novaloop.experiment.stack import EXPERIMENT_TAG
from novaloop.problem import Problem
from novaloop.recipes.endpoints import chat_text, update_endpoint
from novaloop.recipes.requests import sagemaker_tags
from novaloop.usecases.ports import EndRefused, LaunchRefused

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient

    from novaloop.experiment.runtimes.serving import EndpointRef
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

    def describe(self, ref: EndpointRef, owner: Owner | None) -> ResourceStatus:
        """Say how the endpoint stands; ABSENT only if its configuration and model are gone too."""
        endpoint = self._endpoint(ref.endpoint)
        if endpoint is None:
            return ResourceStatus(self._parts(ref.name, owner))
        tagged_owner = self._tagged_owner(endpoint) if owner else None
        foreign = owner is not None and not owner.owns(tagged_owner)
        taken = _taken(endpoint, tagged_owner) if ref.is_shared and owner else None
        if taken or (foreign and not ref.is_shared):
            reason = str(taken or _foreign(ref.endpoint))
            return ResourceStatus(self._parts(ref.name, owner), ours=False, reason=reason)
        serving = serving_of(endpoint)
        if ref.is_shared and serving != ref.name and self._config(ref.name) is None:
            return ResourceStatus(self._parts(ref.name, owner), serving=serving)
        if ref.is_shared and not owner:
            tagged_owner = self._tagged_owner(endpoint)
        phase = _PHASES.get(endpoint["EndpointStatus"], Phase.ACTIVE)
        resource = ResourceStatus(
            phase=phase,
            arn=endpoint["EndpointArn"],
            progress=Progress(endpoint["EndpointStatus"]),
            # During a change it is still that of the change before.
            reason=told(endpoint.get("FailureReason")) if phase is not Phase.ACTIVE else None,
            started_at=None if ref.is_shared else endpoint.get("CreationTime"),
            owner=tagged_owner,
        )
        if serving != ref.name:
            return _beside(resource, serving) if ref.is_shared else _changed(resource, serving)
        if resource.phase is Phase.READY:
            return self._with_component(ref, resource)
        # Rolling back came to nothing: what serves now is for a person to see.
        return (
            resource if endpoint["EndpointStatus"] == "UpdateRollbackFailed" else judged(resource)
        )

    def _with_component(self, ref: EndpointRef, endpoint: ResourceStatus) -> ResourceStatus:
        """Say how the component stands, if there must be one, of an endpoint that is in service."""
        if ref.component is None:
            return endpoint
        component = self._component(ref)
        if component is None:
            return replace(endpoint, phase=Phase.HALFWAY)
        status = component.get("InferenceComponentStatus", "of no status yet")
        # Its end is not that of the endpoint, which goes on billing.
        phase = Phase.ACTIVE if status == "Deleting" else _PHASES.get(status, Phase.ACTIVE)
        return judged(
            replace(
                endpoint,
                phase=phase,
                progress=Progress(f"component {status}"),
                reason=told(component.get("FailureReason")),
            )
        )

    def _endpoint(self, name: str) -> Any | None:
        return found(lambda: self._sagemaker.describe_endpoint(EndpointName=name))

    def _config(self, name: str) -> Any | None:
        return found(lambda: self._sagemaker.describe_endpoint_config(EndpointConfigName=name))

    def _model(self, name: str) -> Any | None:
        return found(lambda: self._sagemaker.describe_model(ModelName=name))

    def _parts(self, name: str, owner: Owner | None) -> Phase:
        """Say whether configuration or model are there, and with an `owner`, tagged as theirs."""
        for look, arn in ((self._config, "EndpointConfigArn"), (self._model, "ModelArn")):
            part = look(name)
            if part is not None and (owner is None or owner.owns(self._owner(part[arn]))):
                return Phase.PARTIAL
        return Phase.ABSENT

    def _component(self, ref: EndpointRef) -> Any | None:
        if ref.component is None:
            return None
        name = ref.component
        return found(
            lambda: self._sagemaker.describe_inference_component(InferenceComponentName=name)
        )

    def _tagged_owner(self, endpoint: Mapping[str, Any]) -> Owner | None:
        """Return whose the endpoint is by its tags."""
        return self._owner(endpoint["EndpointArn"])

    def _is_own(self, ref: EndpointRef, owner: Owner | None, endpoint: Mapping[str, Any]) -> bool:
        """Whether an endpoint is the attempt's own, whatever configuration it serves by now."""
        return not ref.is_shared and (owner is None or owner.owns(self._tagged_owner(endpoint)))

    def _owner(self, arn: str) -> Owner | None:
        """Return whose something is by its tags."""
        return found(lambda: owner_by_tags(self._sagemaker, arn))

    def check_endpoint(self, endpoint: str, at: str) -> Iterator[Problem]:
        """Yield why nothing of this stack may serve under that name, if nothing may."""
        there = self._endpoint(endpoint)
        if there is not None and (taken := _taken(there, self._tagged_owner(there))):
            yield replace(taken, where=at)

    def launch(self, plan: EndpointPlan) -> str | None:
        """Create model, configuration and endpoint, whichever is missing. Raises LaunchRefused.

        Returns the ARN of the endpoint, if it was created with this.
        """
        sagemaker: Any = self._sagemaker
        create_unless_taken(sagemaker.create_model, plan.create_model)
        create_unless_taken(sagemaker.create_endpoint_config, plan.create_endpoint_config)
        made = create_unless_taken(sagemaker.create_endpoint, plan.create_endpoint)
        return made["EndpointArn"] if made else None

    def proceed(self, plan: EndpointPlan, *, is_tried: bool = False) -> None:
        """Create the component on the endpoint, or update the endpoint. Raises LaunchRefused."""
        if plan.create_inference_component is not None:
            create: Callable[..., Any] = self._sagemaker.create_inference_component
            create_unless_taken(
                create,
                plan.create_inference_component,
                # The endpoint bills while its component waits for a quota.
                never={"ResourceLimitExceeded"},
            )
        if plan.update_endpoint is not None:
            self._update(plan.update_endpoint, plan.former, is_tried=is_tried)

    def _update(self, request: Mapping[str, Any], former: str | None, *, is_tried: bool) -> None:
        name = request["EndpointName"]
        endpoint = self._endpoint(name)
        if endpoint and serving_of(endpoint) == request["EndpointConfigName"]:
            return
        problem = self._why_not_now(endpoint, former, is_tried=is_tried)
        if problem is not None:
            raise LaunchRefused(f"{name} {problem}", Obstacle.BUSY)
        try:
            self._sagemaker.update_endpoint(**request)
        except ClientError as error:
            cause = obstacle_of(error)
            if is_in_progress(error):
                cause = Obstacle.BUSY
            elif is_denied(error):  # the right hangs on the endpoint's tag
                cause = Obstacle.DENIED
            raise LaunchRefused(text_of(error), cause) from error

    def _why_not_now(
        self, endpoint: Mapping[str, Any] | None, former: str | None, *, is_tried: bool
    ) -> str | None:
        """Say why this is no time to update an endpoint; another experiment may be at it."""
        if endpoint is None:
            return "was deleted meanwhile"
        serving, status = serving_of(endpoint), endpoint["EndpointStatus"]
        if serving != former:
            return f"serves {serving} meanwhile"
        if status not in _UPDATABLE:
            return f"is {status}"
        tried = _experiment_at(endpoint)
        if tried is None:
            return str(_by_hand(f"the configuration {serving}, which"))
        tagged_owner = None if is_tried else self._tagged_owner(endpoint)
        if not is_tried and (tagged_owner is None or tried != tagged_owner.experiment_id):
            return f"is being deployed to by experiment {tried}"
        return None

    def set_owner(self, ref: EndpointRef, tags: Mapping[str, str]) -> str | None:
        """Tag the endpoint as the experiment's that it serves; return whose it was before."""
        endpoint = self._endpoint(ref.endpoint)
        if endpoint is None or serving_of(endpoint) != ref.name:
            return None
        before, listed = self._tagged_owner(endpoint), cast("Any", sagemaker_tags(tags))
        self._sagemaker.add_tags(ResourceArn=endpoint["EndpointArn"], Tags=listed)
        return before.experiment_id if before else None

    def delete(self, ref: EndpointRef, owner: Owner | None, *, gone: bool) -> End:
        """Delete what comes first: component, then endpoint, then configuration and model.

        A lasting endpoint that serves something else stays; one with a `former` goes back to that.
        One that does not show may be there, and one that serves something else may be about to
        serve this: what was made for it goes only if it is known to be `gone`. Raises EndRefused.
        """
        if gone:
            endpoint = self._endpoint(ref.endpoint)
            # Looks that went before may all have been stale: what is rolled out keeps its parts.
            stays = endpoint is not None and (
                serving_of(endpoint) == ref.name
                or endpoint["EndpointStatus"] not in _PHASES
                or self._is_own(ref, owner, endpoint)
            )
            return End.NOT_NOW if stays else self._delete_parts(ref.name, owner)
        try:
            return self._end_seen(ref)
        except ClientError:
            if ref.is_shared:  # what serves there may be another experiment's
                raise
            return self._end_unseen(ref)

    def _end_unseen(self, ref: EndpointRef) -> End:
        """End an endpoint that can't be described: it may bill all the same.

        The right to delete goes by the attempt's name, so nobody else's is deleted.
        """
        sagemaker = self._sagemaker
        with suppress(EndRefused):  # IAM may deny it, too, if the component is gone
            self._end_component(ref, lambda: ref.component)
        return end_if_possible(
            lambda: sagemaker.delete_endpoint(EndpointName=ref.endpoint), lambda: ref.endpoint
        )

    def _end_seen(self, ref: EndpointRef) -> End:
        component = self._component(ref)
        # Also one that a look does not find: it may bill and only not show.
        end = self._end_component(ref, lambda: settled(self._component(ref)))
        if component or end is End.REQUESTED:
            return end
        endpoint = self._endpoint(ref.endpoint)
        if endpoint is None and ref.is_shared:
            # What serves there may be another experiment's. The endpoint's schedule is behind it.
            return End.NOT_NOW
        if endpoint is None or not ref.is_shared or serving_of(endpoint) == ref.name:
            return self._take_out_of_service(ref)
        return End.NOT_NOW

    def _end_component(self, ref: EndpointRef, look: Callable[[], object]) -> End:
        if (name := ref.component) is None:
            return End.NOT_NOW
        delete = self._sagemaker.delete_inference_component
        return end_if_possible(lambda: delete(InferenceComponentName=name), look)

    def _take_out_of_service(self, ref: EndpointRef) -> End:
        sagemaker = self._sagemaker

        def end() -> object:
            if ref.former is not None:
                # Without a look for the former configuration: if it only did not show, that would
                # cost the endpoint. UpdateEndpoint itself says if there is none to go back to.
                try:
                    return sagemaker.update_endpoint(**update_endpoint(ref.endpoint, ref.former))
                except ClientError as error:
                    # What else is missing, such as a role, is no reason to delete the endpoint.
                    if not is_missing(error) or ref.former not in text_of(error):
                        raise
            return sagemaker.delete_endpoint(EndpointName=ref.endpoint)

        return end_if_possible(end, lambda: settled(self._endpoint(ref.endpoint)))

    def _delete_parts(self, name: str, owner: Owner | None) -> End:
        """Delete configuration and model, each if a look finds it. DONE if both were there.

        Without the look, IAM would deny to delete what was never made, by its tag.
        """
        sagemaker = self._sagemaker
        ends: list[End] = []
        for look, arn, end in (
            (
                self._config,
                "EndpointConfigArn",
                lambda: sagemaker.delete_endpoint_config(EndpointConfigName=name),
            ),
            (self._model, "ModelArn", lambda: sagemaker.delete_model(ModelName=name)),
        ):
            part = look(name)
            own = part is not None and (owner is None or owner.owns(self._owner(part[arn])))
            ends.append(end_if_possible(end, partial(look, name)) if own else End.NOT_NOW)
        if End.NOT_NOW not in ends:
            return End.DONE
        return End.REQUESTED if End.REQUESTED in ends else End.NOT_NOW

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


def _experiment_at(endpoint: Mapping[str, Any]) -> str | None:
    """Return which of the stack's experiments serves there, by the configuration's name."""
    return experiment_at(endpoint["EndpointName"], serving_of(endpoint))


def _taken(endpoint: Mapping[str, Any], tagged_owner: Owner | None) -> Problem | None:
    """Return why no experiment may take the place of what serves there, or None if one may.

    There must be a way back: the right to update goes by the stack's names of configurations, so
    what a person has put there can't be put back, and is left alone.
    """
    if _experiment_at(endpoint) is not None:
        return None
    name = endpoint["EndpointName"]
    if tagged_owner is None:
        return _foreign(name)
    # Without the configuration's name: whoever puts it there may do so again and again, and what is
    # refused for the same is told once, by its words.
    by_hand = _by_hand("a configuration that")
    return replace(by_hand, what=f"the endpoint {name} {by_hand.what}")


def _by_hand(configuration: str) -> Problem:
    what = f"serves {configuration} is not Novaloop's"
    do = "choose another name, or delete the endpoint"
    return Problem("", f"{what}, so there would be no way back to it", do)


def _foreign(endpoint: str) -> Problem:
    what = f"an endpoint {endpoint} exists and is not Novaloop's: it has no tag {EXPERIMENT_TAG}"
    return Problem("", what, "choose another name, or delete it")


def _changed(resource: ResourceStatus, serving: str) -> ResourceStatus:
    """Say how an attempt stands whose own endpoint somebody has pointed at another configuration.

    It bills as before, and nobody else's stands behind its name: it is the attempt's to end.
    """
    if resource.phase in {Phase.ACTIVE, Phase.ENDING}:
        return resource
    reason = f"it serves the configuration {serving} now"
    return replace(
        resource, phase=Phase.FAILED, progress=Progress("updated from outside"), reason=reason
    )


def _beside(resource: ResourceStatus, serving: str) -> ResourceStatus:
    """Say how an attempt stands whose endpoint serves another configuration.

    An endpoint that went back to what served before says why, and is in service all the while:
    hashicorp/terraform-provider-aws#39099.
    """
    phase = Phase.ACTIVE if resource.phase in {Phase.ACTIVE, Phase.ENDING} else Phase.HALFWAY
    cause = cause_of(resource.reason) if resource.phase is Phase.READY else None
    reason = resource.reason or f"the endpoint serves {serving}"
    return replace(resource, phase=phase, reason=reason, cause=cause, serving=serving)
