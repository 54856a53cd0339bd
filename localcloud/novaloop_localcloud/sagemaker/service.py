"""SageMaker's API: parse, validate against botocore's model, authorize, answer."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import botocore.session

from novaloop_localcloud.host import Response, emulator
from novaloop_localcloud.sagemaker.errors import ServiceError, invalid
from novaloop_localcloud.sagemaker.inference import chat_completion, event_stream, parsed
from novaloop_localcloud.sagemaker.registry import content_arn, content_key, hub_arn
from novaloop_localcloud.sagemaker.request_validation import request_problems
from novaloop_localcloud.sagemaker.training_jobs import TrainingJobs, arn_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from novaloop_localcloud.lag import Lag
    from novaloop_localcloud.sagemaker.faults import Faults
    from novaloop_localcloud.sagemaker.hosting import Catalogue, Hosting
    from novaloop_localcloud.sagemaker.registry import Registry

_INVOCATION = re.compile(r"^/endpoints/(?P<name>[^/]+)/invocations(?P<stream>-response-stream)?$")
_JSON = "application/x-amz-json-1.1"
_EVENT_STREAM = "application/vnd.amazon.eventstream"

Request = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One API operation: on which kind of resource, named by which field, done how."""

    kind: str
    name_field: str
    perform: Callable[[Request], dict[str, Any]]
    resources: Callable[[Request], list[str]] | None = None
    """The ARNs that it acts on, where they aren't simply `<kind>/<name>`."""


class SageMaker:
    """The service as the emulator sees it: one handler for control plane and runtime."""

    def __init__(
        self,
        jobs: TrainingJobs,
        hosting: Hosting,
        registry: Registry,
        faults: Faults,
        lag: Lag,
    ) -> None:
        self._lag = lag
        self._registry = registry
        self._jobs = jobs
        self._hosting = hosting
        self._faults = faults
        self._model = botocore.session.get_session().get_service_model("sagemaker")
        self._operations = self._table()

    def _table(self) -> dict[str, Operation]:
        jobs, hosting = self._jobs, self._hosting
        table = {
            "CreateTrainingJob": Operation("training-job", "TrainingJobName", jobs.create),
            "DescribeTrainingJob": Operation("training-job", "TrainingJobName", jobs.describe),
            "StopTrainingJob": Operation("training-job", "TrainingJobName", jobs.stop),
            "ListTrainingJobs": Operation("training-job", "", jobs.list),
            "CreateModel": Operation("model", "ModelName", hosting.create_model),
            "CreateEndpointConfig": Operation(
                "endpoint-config", "EndpointConfigName", hosting.create_configuration
            ),
            "CreateEndpoint": Operation("endpoint", "EndpointName", hosting.create_endpoint),
            "UpdateEndpoint": Operation(
                "endpoint", "EndpointName", hosting.update_endpoint, _updated
            ),
            "DescribeEndpoint": Operation("endpoint", "EndpointName", hosting.describe_endpoint),
            "DeleteEndpoint": Operation("endpoint", "EndpointName", hosting.delete_endpoint),
            "CreateInferenceComponent": Operation(
                "inference-component", "InferenceComponentName", hosting.create_component
            ),
            "DescribeInferenceComponent": Operation(
                "inference-component", "InferenceComponentName", hosting.describe_component
            ),
            "DeleteInferenceComponent": Operation(
                "inference-component", "InferenceComponentName", hosting.delete_component
            ),
            "AddTags": Operation("", "ResourceArn", self._add_tags),
            "ListTags": Operation("", "ResourceArn", self._list_tags),
        }
        table |= self._registry_table() | _reads("Model", "ModelName", hosting.models)
        table |= _reads("EndpointConfig", "EndpointConfigName", hosting.configurations)
        return table | {
            "ListEndpoints": Operation("endpoint", "", self._list_endpoints),
            "ListInferenceComponents": Operation(
                "inference-component", "", self._list_inference_components
            ),
        }

    def _registry_table(self) -> dict[str, Operation]:
        registry = self._registry
        groups = _reads("ModelPackageGroup", "ModelPackageGroupName", registry.groups)
        return groups | {
            "CreateModelPackageGroup": Operation(
                "model-package-group", "ModelPackageGroupName", registry.create_group
            ),
            "DescribeModelPackage": Operation("", "ModelPackageName", registry.describe_package),
            "CreateHub": Operation("hub", "HubName", registry.create_hub),
            "DescribeHub": _reads("Hub", "HubName", registry.hubs)["DescribeHub"],
            "ImportHubContent": Operation("", "HubContentName", registry.import_content, _content),
            "DescribeHubContent": Operation(
                "", "HubContentName", registry.describe_content, _content
            ),
        }

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer one HTTP request; blocking work runs in a thread."""
        del method
        try:
            return await asyncio.to_thread(self._answer, path, headers, body, query)
        except ServiceError as error:
            said = {"__type": error.code, "message": error.message, **error.fields}
            told = json.dumps(said).encode()
            return error.status, {"Content-Type": _JSON, "x-amzn-errortype": error.code}, told

    def _answer(
        self, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Response:
        invocation = _INVOCATION.match(path)
        if invocation is not None:
            return self._invoke(
                invocation["name"], bool(invocation["stream"]), headers, body, query
            )
        name = headers.get("x-amz-target", "").rpartition(".")[2]
        operation = self._operations.get(name)
        if operation is None:
            raise ServiceError("UnknownOperationException", f"The stand-in does not do {name}.")
        request = self._validated(name, body)
        self._authorize(name, operation, request, headers, query)
        resource = request.get(operation.name_field, "")
        fault = self._faults.strike(name, resource)
        if fault is not None and not fault.took_effect:
            raise ServiceError(fault.code, fault.reason)
        arn = arn_of(operation.kind, resource)
        if name.startswith("Describe") and self._lag.hides(arn):
            raise self._missing(operation.kind, resource)
        if name.startswith("Describe") and operation.kind:
            told = self._lag.told(arn, lambda: operation.perform(request))
            return 200, {"Content-Type": _JSON}, told.encode()
        answer = operation.perform(request)
        if name.startswith("Create"):
            self._lag.created(arn)
        if fault is not None:
            raise ServiceError(fault.code, fault.reason)
        return 200, {"Content-Type": _JSON}, json.dumps(answer).encode()

    def _validated(self, operation: str, body: bytes) -> Request:
        request: Request = json.loads(body or b"{}")
        problems = request_problems(request, self._model.operation_model(operation).input_shape)
        if problems:
            raise invalid("; ".join(problems))
        return request

    def _authorize(
        self,
        name: str,
        operation: Operation,
        request: Request,
        headers: Mapping[str, str],
        query: Mapping[str, Any],
    ) -> None:
        resource = request.get(operation.name_field, "")
        arn = arn_of(operation.kind, resource) if operation.kind and resource else resource or "*"
        keys = self._condition_keys(operation, request)
        arns = operation.resources(request) if operation.resources else [arn]
        checks = [(f"sagemaker:{name}", each, keys) for each in arns]
        if name.startswith("Create") and request.get("Tags"):
            checks.append(("sagemaker:AddTags", arn, keys))
        role = request.get("RoleArn") or request.get("ExecutionRoleArn")
        if role:
            passed = {"iam:PassedToService": "sagemaker.amazonaws.com"}
            checks.append(("iam:PassRole", role, passed))
        for action, on, with_keys in checks:
            _require(emulator.denial(headers, query, action, on, **with_keys))

    def _condition_keys(self, operation: Operation, request: Request) -> dict[str, Any]:
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        keys: dict[str, Any] = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        if tags:
            keys["aws:TagKeys"] = list(tags)
        if "ResourceConfig" in request:
            keys["sagemaker:InstanceTypes"] = [request["ResourceConfig"].get("InstanceType", "")]
        name = request.get(operation.name_field, "")
        present = self._tags_at(operation.kind, name)
        if self._lag.hides_tags(arn_of(operation.kind, name)):
            present = None
        return keys | {f"aws:ResourceTag/{key}": value for key, value in (present or {}).items()}

    def _invoke(
        self,
        name: str,
        stream: bool,
        headers: Mapping[str, str],
        body: bytes,
        query: Mapping[str, Any],
    ) -> Response:
        action = "InvokeEndpointWithResponseStream" if stream else "InvokeEndpoint"
        arn = arn_of("endpoint", name)
        _require(emulator.denial(headers, query, f"sagemaker:{action}", arn))
        fault = self._faults.strike(action, name)
        if fault is not None:
            raise ServiceError(fault.code, fault.reason)
        component = headers.get("x-amzn-sagemaker-inference-component")
        server, request = self._hosting.serving(name, component), parsed(body)
        completion = server.complete(request)
        told = {"x-amzn-invoked-production-variant": server.variant}
        if not stream:
            return 200, told | {"Content-Type": "application/json"}, chat_completion(completion)
        usage = bool((request.get("stream_options") or {}).get("include_usage"))
        told |= {
            "Content-Type": _EVENT_STREAM,
            "x-amzn-sagemaker-content-type": "text/event-stream",
        }
        return 200, told, event_stream(completion, include_usage=usage)

    def _add_tags(self, request: Request) -> dict[str, Any]:
        tags = self._tags_of_arn(request["ResourceArn"])
        tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})
        return {"Tags": _listed(tags)}

    def _list_tags(self, request: Request) -> dict[str, Any]:
        arn = request["ResourceArn"]
        tags = self._tags_of_arn(arn)
        return {"Tags": [] if self._lag.hides_tags(arn) else _listed(tags)}

    def _tags_of_arn(self, arn: str) -> dict[str, str]:
        kind, _, name = arn.rpartition(":")[2].partition("/")
        tags = self._tags_at(kind, name)
        if tags is None:
            raise invalid(f"Resource {arn} does not exist.")
        return tags

    def _missing(self, kind: str, name: str) -> ServiceError:
        for catalogue in (*self._hosting.catalogues, self._registry.groups, self._registry.hubs):
            if catalogue.kind == kind:
                return catalogue.missing(name)
        return self._jobs.missing()

    def _tags_at(self, kind: str, name: str) -> dict[str, str] | None:
        try:
            if kind == "training-job":
                return self._jobs.named(name).tags
            registry = (self._registry.groups, self._registry.hubs)
            for catalogue in (*self._hosting.catalogues, *registry):
                if catalogue.kind == kind:
                    return catalogue.named(name).tags
        except ServiceError:
            return None
        return None

    def _list_endpoints(self, request: Request) -> dict[str, Any]:
        names = [n for n in self._hosting.endpoints.names() if request.get("NameContains", "") in n]
        described = [self._hosting.describe_endpoint({"EndpointName": name}) for name in names]
        keys = ("EndpointName", "EndpointArn", "EndpointStatus", "CreationTime", "LastModifiedTime")
        return {"Endpoints": [{key: each[key] for key in keys} for each in described]}

    def _list_inference_components(self, request: Request) -> dict[str, Any]:
        names = self._hosting.components.names()
        described = [
            self._hosting.describe_component({"InferenceComponentName": name})
            for name in names
            if request.get("NameContains", "") in name
        ]
        own = tuple(f"InferenceComponent{word}" for word in ("Arn", "Name", "Status"))
        keys = (
            *own,
            "CreationTime",
            "EndpointArn",
            "EndpointName",
            "VariantName",
            "LastModifiedTime",
        )
        listed = [{key: each[key] for key in keys if key in each} for each in described]
        return {"InferenceComponents": listed}


def _reads(noun: str, name_field: str, catalogue: Catalogue) -> dict[str, Operation]:
    def describe(request: Request) -> dict[str, Any]:
        return catalogue.named(request[name_field]).described

    def delete(request: Request) -> dict[str, Any]:
        catalogue.remove(request[name_field])
        return {}

    return {
        f"Describe{noun}": Operation(catalogue.kind, name_field, describe),
        f"Delete{noun}": Operation(catalogue.kind, name_field, delete),
    }


def _updated(request: Request) -> list[str]:
    """UpdateEndpoint needs a right to both: Service Authorization Reference of SageMaker."""
    configuration = arn_of("endpoint-config", request["EndpointConfigName"])
    return [arn_of("endpoint", request["EndpointName"]), configuration]


def _content(request: Request) -> list[str]:
    hub, kind, name = content_key(request)
    return [hub_arn(hub), content_arn(hub, kind, name)]


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _require(denial: str | None) -> None:
    if denial is not None:
        raise ServiceError("AccessDeniedException", denial)
