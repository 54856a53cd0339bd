"""Bedrock's API: parse, validate against botocore's model, authorize, answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from novaloop_localcloud import service_acts
from novaloop_localcloud.bedrock import runtime
from novaloop_localcloud.bedrock.resources import SERVICE, Catalogue, CustomModels, arn_of, tags_of
from novaloop_localcloud.bedrock.rest import Call, RestApi
from novaloop_localcloud.host import Response, emulator
from novaloop_localcloud.sagemaker.errors import ServiceError
from novaloop_localcloud.sagemaker.request_validation import request_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from novaloop_localcloud.bedrock.jobs import CustomizationJobs
    from novaloop_localcloud.lag import Lag
    from novaloop_localcloud.sagemaker.faults import Fault, Faults

_JSON = "application/json"
_EVENT_STREAM = "application/vnd.amazon.eventstream"
_KEY_ACTIONS = ("CreateGrant", "Decrypt", "GenerateDataKey")
"""What who asks for a model under a key has to be allowed with the key.

Source: https://docs.aws.amazon.com/bedrock/latest/userguide/encryption-custom-job.html
"""
_INVOCATIONS = {"InvokeModel", "InvokeModelWithResponseStream"}

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One API operation: done how, authorized on what, and what it creates.

    `on` is the field that names the resource, in `catalogue` if it may be a name.
    """

    perform: Callable[[Parameters], Any]
    on: str = ""
    catalogue: Catalogue | None = None
    creates: Catalogue | None = None


class Bedrock:
    """The service as the emulator sees it: one handler for control plane and runtime."""

    def __init__(
        self, models: CustomModels, jobs: CustomizationJobs, faults: Faults, lag: Lag
    ) -> None:
        self._lag = lag
        self._models, self._jobs, self._faults = models, jobs, faults
        self._control, self._runtime = RestApi("bedrock"), RestApi("bedrock-runtime")
        self._operations = self._table()

    def _table(self) -> dict[str, Operation]:
        all_of = self._models
        models, deployments, throughputs = all_of.models, all_of.deployments, all_of.throughputs
        deployment, throughput = "customModelDeploymentIdentifier", "provisionedModelId"
        return {
            "CreateCustomModel": Operation(all_of.create_model, creates=models),
            "GetCustomModel": Operation(all_of.get_model, "modelIdentifier", models),
            "ListCustomModels": Operation(all_of.list_models),
            "ListCustomModelDeployments": Operation(all_of.list_deployments),
            "ListProvisionedModelThroughputs": Operation(all_of.list_throughputs),
            "DeleteCustomModel": Operation(all_of.delete_model, "modelIdentifier", models),
            "CreateCustomModelDeployment": Operation(
                all_of.create_deployment, "modelArn", models, deployments
            ),
            "GetCustomModelDeployment": Operation(all_of.get_deployment, deployment, deployments),
            "DeleteCustomModelDeployment": Operation(
                all_of.delete_deployment, deployment, deployments
            ),
            "CreateProvisionedModelThroughput": Operation(
                all_of.provision, "modelId", models, throughputs
            ),
            "GetProvisionedModelThroughput": Operation(
                all_of.get_throughput, throughput, throughputs
            ),
            "DeleteProvisionedModelThroughput": Operation(
                all_of.delete_throughput, throughput, throughputs
            ),
            "CreateModelCustomizationJob": Operation(
                self._jobs.create, "baseModelIdentifier", creates=self._jobs.catalogue
            ),
            "GetModelCustomizationJob": Operation(
                self._jobs.describe, "jobIdentifier", self._jobs.catalogue
            ),
            "ListModelCustomizationJobs": Operation(self._jobs.list),
            "StopModelCustomizationJob": Operation(
                self._jobs.stop, "jobIdentifier", self._jobs.catalogue
            ),
            "ListTagsForResource": Operation(self._list_tags, "resourceARN"),
        }

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer one HTTP request; blocking work runs in a thread."""
        try:
            return await asyncio.to_thread(self._answer, method, path, headers, body, query)
        except ServiceError as error:
            told = json.dumps({"message": error.message}).encode()
            return error.status, {"Content-Type": _JSON, "x-amzn-errortype": error.code}, told

    def _answer(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        query: dict[str, Any],
    ) -> Response:
        api = self._runtime if path.startswith("/model/") else self._control
        call = api.call(method, path, query, body)
        if call is None or call.operation not in {*self._operations, *_INVOCATIONS}:
            raise ServiceError("UnknownOperationException", f"The stand-in has no {method} {path}.")
        problems = request_problems(call.parameters, call.shape)
        if problems:
            raise ServiceError("ValidationException", "; ".join(problems))
        if call.operation in _INVOCATIONS:
            return self._invoke(call, headers, query)
        operation = self._operations[call.operation]
        for action, resource, keys in self._checks(call, operation):
            _require(emulator.denial(headers, query, action, resource, **keys))
        fault = self._fault(call, operation)
        if fault is not None and not fault.took_effect:
            raise ServiceError(fault.code, fault.reason)
        resource, _ = self._resource(call, operation)
        if call.operation.startswith("Get") and operation.catalogue and self._lag.hides(resource):
            raise operation.catalogue.missing(resource)
        if call.operation.startswith("Get"):
            asked = f"{call.operation} {call.parameters[operation.on]}"
            told = self._lag.told(asked, lambda: operation.perform(call.parameters))
            return 200, {"Content-Type": _JSON}, told.encode()
        answer = operation.perform(call.parameters)
        if operation.creates:
            (arn,) = answer.values()
            self._lag.created(arn)
        if fault is not None:
            raise ServiceError(fault.code, fault.reason)
        return 200, {"Content-Type": _JSON}, json.dumps(answer).encode()

    def _checks(
        self, call: Call, operation: Operation
    ) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield what the caller has to be allowed: actions on resources, with condition keys."""
        tags = tags_of(call.parameters)
        keys: dict[str, Any] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        keys |= {"aws:TagKeys": list(tags)} if tags else {}
        resource, present = self._resource(call, operation)
        present_keys = {f"aws:ResourceTag/{key}": value for key, value in present.items()}
        yield f"bedrock:{call.operation}", resource, keys | present_keys
        if tags and operation.creates:
            yield "bedrock:TagResource", arn_of(operation.creates.kind, "new"), keys
        for key in ("customModelKmsKeyId", "modelKmsKeyArn"):
            for action in _KEY_ACTIONS if key in call.parameters else ():
                through = {"kms:ViaService": f"bedrock.{emulator.region()}.amazonaws.com"}
                granted = {"kms:GrantIsForAWSResource": "true"} if action == "CreateGrant" else {}
                yield f"kms:{action}", call.parameters[key], through | granted
        source = call.parameters.get("customModelDataSource", {})
        package = source.get("modelPackageArnDataSource", {}).get("modelPackageArn")
        for action in service_acts.PACKAGE_RIGHTS if package else ():
            yield action, package, {}
        if "roleArn" in call.parameters:
            passed = {"iam:PassedToService": SERVICE}
            yield "iam:PassRole", call.parameters["roleArn"], passed

    def _resource(self, call: Call, operation: Operation) -> tuple[str, Mapping[str, str]]:
        """The ARN that a call is authorized on, with the tags of what is there."""
        if not operation.on:
            return "*", {}
        identifier = str(call.parameters[operation.on])
        if operation.catalogue is None:
            return identifier, self._tags(identifier) or {}
        found = operation.catalogue.find(identifier)
        if found is not None:
            return found.arn, self._tags(found.arn) or {}
        is_arn = identifier.startswith("arn:")
        return identifier if is_arn else arn_of(operation.catalogue.kind, identifier), {}

    def _fault(self, call: Call, operation: Operation) -> Fault | None:
        named = [value for key, value in call.parameters.items() if key.endswith("Name")]
        name = named[0] if named else call.parameters.get(operation.on, "")
        return self._faults.strike(call.operation, name)

    def _invoke(self, call: Call, headers: Mapping[str, str], query: dict[str, Any]) -> Response:
        arn = call.parameters["modelId"]
        tags = self._tags(arn) or {}
        keys = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
        _require(emulator.denial(headers, query, f"bedrock:{call.operation}", arn, **keys))
        resource = self._models.serving(arn)
        fault = self._faults.strike(call.operation, resource.name)
        if fault is not None:
            raise ServiceError(fault.code, fault.reason)
        completion = runtime.complete(resource.model, call.parameters["body"])
        if call.operation == "InvokeModel":
            return 200, {"Content-Type": _JSON}, runtime.message(completion)
        told = {"Content-Type": _EVENT_STREAM, "x-amzn-bedrock-content-type": _JSON}
        return 200, told, runtime.stream(completion)

    def _list_tags(self, request: Parameters) -> dict[str, Any]:
        tags = self._tags(request["resourceARN"])
        if tags is None:
            message = f"There is no resource {request['resourceARN']}."
            raise ServiceError("ResourceNotFoundException", message, 404)
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    def _tags(self, arn: str) -> dict[str, str] | None:
        tags = dict(self.tagged()).get(arn)
        return {} if tags and self._lag.hides_tags(arn) else tags

    def tagged(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the ARN and the tags of everything there is."""
        all_of = self._models
        kinds = (all_of.models, all_of.deployments, all_of.throughputs, self._jobs.catalogue)
        for catalogue in kinds:
            for resource in catalogue:
                yield resource.arn, resource.tags


def _require(denial: str | None) -> None:
    if denial is not None:
        raise ServiceError("AccessDeniedException", denial, 403)
