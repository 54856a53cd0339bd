"""SageMaker endpoints, each with a model and an endpoint configuration of the same name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, HTTPClientError

from novaloop.cloud.errors import FOR_NOW, code_of, exists_already, is_missing, text_of
from novaloop.cloud.errors import found as _found
from novaloop.cloud.jobs import is_tagged
from novaloop.experiment.observation import Phase, Work
from novaloop.experiment.record import Progress
from novaloop.usecases.ports import LaunchRefused, NotServing

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient

    from novaloop.experiment.launching import EndpointRef
    from novaloop.recipes.endpoints import EndpointPlan

_PHASES: Mapping[str, Phase] = {
    "InService": Phase.READY,
    "Failed": Phase.FAILED,
    "OutOfService": Phase.FAILED,
    "UpdateRollbackFailed": Phase.FAILED,
    "Deleting": Phase.ENDING,
}
"""Of endpoints and of inference components."""


class SageMakerEndpoints:
    """Endpoints of the account; implements the port `Endpoints`."""

    def __init__(self, sagemaker: SageMakerClient, runtime: SageMakerRuntimeClient) -> None:
        self._sagemaker = sagemaker
        self._runtime = runtime

    def describe(self, ref: EndpointRef, owner: str | None) -> Work:
        """Say how the endpoint stands; ABSENT only if its configuration and model are gone too."""
        endpoint = self._endpoint(ref)
        if endpoint is None:
            return Work(Phase.PARTIAL if self._has_leftovers(ref.name) else Phase.ABSENT)
        ours = owner is None or is_tagged(self._sagemaker, endpoint["EndpointArn"], owner)
        status = endpoint["EndpointStatus"]
        work = Work(
            phase=_PHASES.get(status, Phase.ACTIVE),
            ours=ours,
            arn=endpoint["EndpointArn"],
            progress=Progress(status),
            reason=endpoint.get("FailureReason"),
            started_at=endpoint.get("CreationTime"),
        )
        return self._with_component(ref, work) if work.phase is Phase.READY else work

    def _with_component(self, ref: EndpointRef, endpoint: Work) -> Work:
        """Say how the component stands, if there must be one, of an endpoint that is in service."""
        if ref.component is None:
            return endpoint
        component = self._component(ref)
        if component is None:
            return replace(endpoint, phase=Phase.HALFWAY)
        status = component["InferenceComponentStatus"]
        return replace(
            endpoint,
            phase=_PHASES.get(status, Phase.ACTIVE),
            progress=Progress(f"component {status}"),
            reason=component.get("FailureReason"),
        )

    def _endpoint(self, ref: EndpointRef) -> Any | None:
        return _found(lambda: self._sagemaker.describe_endpoint(EndpointName=ref.endpoint))

    def _component(self, ref: EndpointRef) -> Any | None:
        if ref.component is None:
            return None
        name = ref.component
        return _found(
            lambda: self._sagemaker.describe_inference_component(InferenceComponentName=name)
        )

    def _has_leftovers(self, name: str) -> bool:
        sagemaker = self._sagemaker
        config = _found(lambda: sagemaker.describe_endpoint_config(EndpointConfigName=name))
        return bool(config or _found(lambda: sagemaker.describe_model(ModelName=name)))

    def launch(self, plan: EndpointPlan) -> None:
        """Create model, configuration and endpoint, whichever is missing. Raises LaunchRefused."""
        _create(self._sagemaker.create_model, plan.create_model)
        _create(self._sagemaker.create_endpoint_config, plan.create_endpoint_config)
        _create(self._sagemaker.create_endpoint, plan.create_endpoint)

    def proceed(self, plan: EndpointPlan) -> None:
        """Create the inference component on the endpoint in service. Raises LaunchRefused."""
        if plan.create_inference_component is not None:
            _create(
                self._sagemaker.create_inference_component,
                plan.create_inference_component,
                # The endpoint bills while its component waits for a quota.
                never={"ResourceLimitExceeded"},
            )

    def delete(self, ref: EndpointRef) -> None:
        """Delete what comes first: component, then endpoint, then configuration and model."""
        sagemaker = self._sagemaker
        if component := self._component(ref):
            name = component["InferenceComponentName"]
            _deleted(lambda: sagemaker.delete_inference_component(InferenceComponentName=name))
        elif self._endpoint(ref) is not None:
            _deleted(lambda: sagemaker.delete_endpoint(EndpointName=ref.endpoint))
        else:
            _found(lambda: sagemaker.delete_endpoint_config(EndpointConfigName=ref.name))
            _found(lambda: sagemaker.delete_model(ModelName=ref.name))

    def ask(self, ref: EndpointRef, body: Mapping[str, object]) -> str:
        """Send one chat request and return the answer's text. Raises NotServing."""
        component = {"InferenceComponentName": ref.component} if ref.component else {}
        try:
            response = self._runtime.invoke_endpoint(
                EndpointName=ref.endpoint,
                ContentType="application/json",
                Accept="application/json",
                Body=json.dumps(body),
                **component,
            )
            return _text(json.loads(response["Body"].read()))
        except HTTPClientError as error:
            raise NotServing(type(error).__name__, for_now=True) from error
        except ClientError as error:
            for_now = code_of(error) in {*FOR_NOW, "ModelError"}
            raise NotServing(text_of(error), for_now=for_now) from error
        except (ValueError, LookupError, TypeError) as error:
            reason = "the endpoint's answer is not a chat completion"
            raise NotServing(reason, for_now=False) from error


def _text(answer: Any) -> str:
    """Return the text of a chat completion. Raises LookupError or TypeError if it is none."""
    text = answer["choices"][0]["message"]["content"]
    if not isinstance(text, str):
        raise TypeError("content is not a text")
    return text


def _create(
    create: Callable[..., object],
    request: Mapping[str, Any],
    never: Set[str] = frozenset(),
) -> None:
    """Send a request unless its name is taken. Raises LaunchRefused, for good with `never`."""
    try:
        create(**request)
    except ClientError as error:
        if not exists_already(error):
            # What was created a moment ago may not be seen yet.
            for_now = code_of(error) in FOR_NOW - never or is_missing(error)
            raise LaunchRefused(text_of(error), for_now=for_now) from error


def _deleted(delete: Callable[[], object]) -> None:
    """Delete; what is being created or deleted refuses, and the next look does it."""
    try:
        delete()
    except ClientError as error:
        if code_of(error) != "ValidationException":
            raise
