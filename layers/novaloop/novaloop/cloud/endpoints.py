"""SageMaker endpoints, each with a model and an endpoint configuration of the same name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, HTTPClientError

from novaloop.cloud.errors import FOR_NOW, code_of, exists_already, is_missing, text_of
from novaloop.cloud.jobs import is_tagged
from novaloop.experiment.observation import Phase, Work
from novaloop.experiment.record import Progress
from novaloop.recipes.endpoints import EndpointPlan
from novaloop.usecases.ports import LaunchRefused, NotServing

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient

_PHASES: Mapping[str, Phase] = {
    "InService": Phase.READY,
    "Failed": Phase.FAILED,
    "OutOfService": Phase.FAILED,
    "UpdateRollbackFailed": Phase.FAILED,
    "Deleting": Phase.ENDING,
}


class SageMakerEndpoints:
    """Endpoints of the account; implements the port `Endpoints`."""

    def __init__(self, sagemaker: SageMakerClient, runtime: SageMakerRuntimeClient) -> None:
        self._sagemaker = sagemaker
        self._runtime = runtime

    def describe(self, name: str, owner: str | None) -> Work:
        """Say how the endpoint stands; ABSENT only if its configuration and model are gone too."""
        endpoint = _found(lambda: self._sagemaker.describe_endpoint(EndpointName=name))
        if endpoint is None:
            return Work(Phase.PARTIAL if self._has_leftovers(name) else Phase.ABSENT)
        ours = owner is None or is_tagged(self._sagemaker, endpoint["EndpointArn"], owner)
        status = endpoint["EndpointStatus"]
        return Work(
            phase=_PHASES.get(status, Phase.ACTIVE),
            ours=ours,
            arn=endpoint["EndpointArn"],
            progress=Progress(status),
            reason=endpoint.get("FailureReason"),
            started_at=endpoint.get("CreationTime"),
        )

    def _has_leftovers(self, name: str) -> bool:
        sagemaker = self._sagemaker
        config = _found(lambda: sagemaker.describe_endpoint_config(EndpointConfigName=name))
        return bool(config or _found(lambda: sagemaker.describe_model(ModelName=name)))

    def launch(self, plan: EndpointPlan) -> None:
        """Create model, configuration and endpoint, whichever is missing. Raises LaunchRefused."""
        steps: tuple[tuple[Callable[..., object], dict[str, Any]], ...] = (
            (self._sagemaker.create_model, plan.create_model),
            (self._sagemaker.create_endpoint_config, plan.create_endpoint_config),
            (self._sagemaker.create_endpoint, plan.create_endpoint),
        )
        for create, request in steps:
            try:
                create(**request)
            except ClientError as error:
                if not exists_already(error):
                    # CreateEndpoint may not see yet what was created a moment ago.
                    for_now = code_of(error) in FOR_NOW or is_missing(error)
                    raise LaunchRefused(text_of(error), for_now=for_now) from error

    def delete(self, name: str) -> None:
        """Delete the endpoint or, once it is gone, its configuration and model."""
        if _found(lambda: self._sagemaker.describe_endpoint(EndpointName=name)) is not None:
            try:
                self._sagemaker.delete_endpoint(EndpointName=name)
            except ClientError as error:
                # While it is being created or deleted it can't be deleted: the next look does it.
                if code_of(error) != "ValidationException":
                    raise
            return
        _found(lambda: self._sagemaker.delete_endpoint_config(EndpointConfigName=name))
        _found(lambda: self._sagemaker.delete_model(ModelName=name))

    def ask(self, name: str, body: Mapping[str, object]) -> str:
        """Send one chat request and return the answer's text. Raises NotServing."""
        try:
            response = self._runtime.invoke_endpoint(
                EndpointName=name,
                ContentType="application/json",
                Accept="application/json",
                Body=json.dumps(body),
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


def _found(call: Callable[[], Any]) -> Any | None:
    try:
        return call()
    except ClientError as error:
        if is_missing(error):
            return None
        raise
