"""A strict in-memory twin of SageMaker's hosting API, under a virtual clock.

The production adapter runs over it unmodified, so every call of SageMaker may be the last one of a
process. It is strict where SageMaker is, and where a mistake would take an endpoint down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from novaloop.cloud.endpoints import SageMakerEndpoints
from novaloop.experiment.names import experiment_of_job
from tests.simulation.twin_service import LOSSES, Fate, Lag, Later, TwinService, refusal
from tests.simulation.twin_training import TwinJobs
from tests.simulation.twins import VirtualClock

CREATING = timedelta(minutes=20)
UPDATING = timedelta(minutes=12)
COMPONENT = timedelta(minutes=10)
_ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
DELETING = timedelta(minutes=5)
STACK = "simulated"
UNHEALTHY = (
    "The primary container for production variant primary did not pass the ping health check."
)
TOO_BIG = (
    "There is not enough hardware resources on the instances for this endpoint to create a copy of "
    "the inference component."
)
"""Faults of the container and of the request: trying again changes nothing."""
_BUSY = "ThrottlingException"
_WORDS = {"endpoint-config": "endpoint configuration", "inference-component": "inference component"}
"""What an ARN calls a kind, and what SageMaker's messages call it, where that differs."""


@dataclass
class Resource:
    """A model, configuration, endpoint or component: its answer when described, and its tags."""

    described: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    target: str | None = None


class TwinSageMaker(TwinService):
    """SageMaker's hosting. A fate belongs to a configuration's name."""

    missing = "ValidationException"

    def __init__(
        self,
        clock: VirtualClock,
        fate: Fate,
        later: Later,
        on_change: Callable[[str], None],
        lag: Lag | None = None,
        *,
        jobs: TwinJobs,
    ) -> None:
        super().__init__(clock, fate, later, on_change, lag)
        self.jobs = jobs
        self.models: dict[str, Resource] = {}
        self.configs: dict[str, Resource] = {}
        self.endpoints: dict[str, Resource] = {}
        self.components: dict[str, Resource] = {}
        self.updates: list[tuple[str, str]] = []
        self.deleted: dict[str, dict[str, Resource]] = {}

    def adapter(self, port: Callable[[object, str], Any]) -> SageMakerEndpoints:
        """Return the production adapter over this twin, every call through `port`."""
        return SageMakerEndpoints(port(self, "sagemaker"), port(self, "runtime"))

    def indexed(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Yield the ARNs and tags of what the index of tags names, also of what is gone."""
        for kind, resources in self._kinds().items():
            word = next((word for word, called in _WORDS.items() if called == kind), kind)
            for name, resource in {**self.deleted.get(kind, {}), **resources}.items():
                if name not in resources or not self.is_left_out(kind, name):
                    yield f"{_ARN}{word}/{name}", resource.tags

    def list_training_jobs(self, **request: Any) -> list[dict[str, Any]]:
        return list(self.jobs.list_training_jobs(**request))

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        return self.jobs.describe_training_job(TrainingJobName)

    def stop_training_job(self, TrainingJobName: str) -> None:  # noqa: N803
        self.jobs.stop_training_job(TrainingJobName)

    # ------------------------------------------------------------------ what there is
    def _kinds(self) -> Mapping[str, dict[str, Resource]]:
        return {
            "model": self.models,
            "endpoint configuration": self.configs,
            "endpoint": self.endpoints,
            "inference component": self.components,
        }

    def _add(self, kind: str, name: str, request: Mapping[str, Any], **told: Any) -> Resource:
        if name in self._kinds()[kind]:
            raise refusal("ValidationException", f'Cannot create already existing {kind} "{name}".')
        tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        described = {**request, "CreationTime": self._clock.now(), **told}
        resource = Resource(described, tags)
        self._kinds()[kind][name] = resource
        self._tag(kind, name)
        return resource

    def serving(self, endpoint: str) -> str:
        return str(self.endpoints[endpoint].described["EndpointConfigName"])

    # ------------------------------------------------------------------ create
    def create_model(self, **request: Any) -> dict[str, str]:
        self._strike("model", request["ModelName"], always={"model not found": self.missing})
        arn = f"{_ARN}model/{request['ModelName']}"
        self._add("model", request["ModelName"], request, ModelArn=arn)
        return {"ModelArn": arn}

    def create_endpoint_config(self, **request: Any) -> dict[str, str]:
        for variant in request["ProductionVariants"]:
            if "ModelName" in variant:
                self._named("model", variant["ModelName"])
        name = request["EndpointConfigName"]
        self._strike("config", name, always={"config invalid": "ValidationException"})
        arn = f"{_ARN}endpoint-config/{name}"
        self._add("endpoint configuration", name, request, EndpointConfigArn=arn)
        return {"EndpointConfigArn": arn}

    def create_endpoint(self, **request: Any) -> dict[str, str]:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        self._named("endpoint configuration", config)
        assert self.is_bounded(name), f"no schedule would end {name}"
        if name not in self.endpoints:
            full, denied = "ResourceLimitExceeded", "AccessDenied"
            once = {"quota": full, "endpoint quota": full}
            self._strike("endpoint", config, once, {"invalid": denied, "endpoint invalid": denied})
            self.launches.append(config)
        arn = f"{_ARN}endpoint/{name}"
        endpoint = self._add("endpoint", name, request, EndpointArn=arn, EndpointStatus="Creating")
        reason = self._failure(config, "endpoint", UNHEALTHY)
        self._later(CREATING, partial(self._settle, "endpoint", endpoint, reason, config))
        return {"EndpointArn": arn}

    def create_inference_component(self, **request: Any) -> dict[str, str]:
        name = request["InferenceComponentName"]
        endpoint = self._named("endpoint", request["EndpointName"])
        if endpoint.described["EndpointStatus"] != "InService":
            raise refusal("ValidationException", "The endpoint must be InService.")
        if name not in self.components:
            once = {
                "component throttled": "ThrottlingException",
                "component quota": "ResourceLimitExceeded",
            }
            never = {"component invalid": "Invalid", "component throttled again and again": _BUSY}
            never[f"component {LOSSES['no capacity']}"] = "ValidationException"
            self._strike("component", name, once, never)
            self.launches.append(f"component {name}")
        status = "InferenceComponentStatus"
        component = self._add("inference component", name, request, **{status: "Creating"})
        reason = self._failure(name, "component", TOO_BIG)
        settle = partial(self._settle, "inference component", component, reason, name)
        self._later(COMPONENT, settle)
        return {"InferenceComponentArn": f"{_ARN}inference-component/{name}"}

    def _settle(self, kind: str, resource: Resource, reason: str | None, name: str) -> None:
        word = "".join(word.capitalize() for word in kind.split())
        status = f"{word}Status"
        if resource.described[status] != "Creating":
            return
        self._before_change(kind, resource.described[f"{word}Name"])
        resource.described[status] = "Failed" if reason else "InService"
        if reason:
            resource.described["FailureReason"] = reason
        self._on_change(name)

    def add_tags(self, ResourceArn: str, Tags: list[dict[str, str]]) -> None:  # noqa: N803
        endpoint = self._named("endpoint", ResourceArn.rpartition("/")[2])
        endpoint.tags.update({tag["Key"]: tag["Value"] for tag in Tags})

    # ------------------------------------------------------------------ update
    def update_endpoint(self, **request: Any) -> None:
        """Update as the controller: its right goes by the tag, and the configuration's name.

        UpdateEndpoint needs a right to both (Service Authorization Reference); the template's.
        """
        self._permitted("endpoint", request["EndpointName"])
        if experiment_of_job("novaloop", target := request["EndpointConfigName"]) is None:
            self.denied.append(f"endpoint configuration {target}")
            raise refusal("AccessDeniedException", f"not authorized to update to {target}")
        self.updated(**request)

    def updated(self, **request: Any) -> None:
        """Update as a person who may."""
        name, target = request["EndpointName"], request["EndpointConfigName"]
        endpoint = self._named("endpoint", name)
        self._named("endpoint configuration", target)
        if endpoint.described["EndpointStatus"] in {"Creating", "Updating", "Deleting"}:
            raise refusal("ValidationException", f'Cannot update in-progress endpoint "{name}".')
        # "DeleteEndpoint is the only operation that can be performed on a failed endpoint": the
        # API's reference of EndpointSummary.
        assert endpoint.described["EndpointStatus"] != "Failed", f"{name} can only be deleted"
        # SageMaker takes it (hashicorp/terraform-provider-aws#42843) and rolls the same out once
        # more; only who can't know what serves may ask for that.
        knows = f"endpoint {name}" not in self._former
        assert not knows or self.serving(name) != target, f"{name} serves {target} already"
        self._before_change("endpoint", name)
        self.updates.append((name, target))
        endpoint.described["EndpointStatus"] = "Updating"
        endpoint.target = target
        self._later(UPDATING, partial(self._updated, name, target))

    def _updated(self, name: str, target: str) -> None:
        endpoint = self.endpoints.get(name)
        if endpoint is None or endpoint.target != target:
            return
        self._before_change("endpoint", name)
        breaks = {"update breaks": UNHEALTHY, "update breaks for capacity": LOSSES["no capacity"]}
        fate = self._fate(target)
        reason = breaks.get(fate) or self._failure(target, "update", UNHEALTHY)
        if fate in breaks:
            self._count("update", fate)
        if reason:
            endpoint.described["FailureReason"] = reason
        else:
            endpoint.described["EndpointConfigName"] = target
            endpoint.described.pop("FailureReason", None)
        endpoint.target = None
        broken = fate in breaks
        endpoint.described["EndpointStatus"] = "UpdateRollbackFailed" if broken else "InService"
        self._on_change(self.serving(name))

    # ------------------------------------------------------------------ describe
    def describe_model(self, ModelName: str) -> dict[str, Any]:  # noqa: N803
        return dict(self._looked_up("model", ModelName).described)

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803
        return dict(self._looked_up("endpoint configuration", EndpointConfigName).described)

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:  # noqa: N803
        return dict(self._looked_up("endpoint", EndpointName).described)

    def describe_inference_component(
        self,
        InferenceComponentName: str,  # noqa: N803
    ) -> dict[str, Any]:
        return dict(self._looked_up("inference component", InferenceComponentName).described)

    def list_tags(self, ResourceArn: str) -> dict[str, Any]:  # noqa: N803
        kind, name = ResourceArn.removeprefix(_ARN).split("/")
        tags = self._shown_tags(_WORDS.get(kind, kind), name)
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    # ------------------------------------------------------------------ delete
    def delete_model(self, ModelName: str) -> None:  # noqa: N803
        self._permitted("model", ModelName)
        assert ModelName not in self._in_use(), f"the model {ModelName} is in use"
        self._before_change("model", ModelName)
        self.deleted.setdefault("model", {})[ModelName] = self.models.pop(ModelName)

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:  # noqa: N803
        self._permitted("endpoint configuration", EndpointConfigName)
        assert EndpointConfigName not in self._in_use(), f"{EndpointConfigName} is in use"
        self._before_change("endpoint configuration", EndpointConfigName)
        del self.configs[EndpointConfigName]

    def _in_use(self) -> set[str | None]:
        """Return the names of the configurations, and their models, that endpoints are made of.

        DeleteEndpointConfig's reference forbids to delete that of an endpoint which is live, or is
        being created or updated; of one that is being deleted it says nothing.
        """
        there = self.endpoints.values()
        live = [each for each in there if each.described["EndpointStatus"] != "Deleting"]
        serving = {str(each.described["EndpointConfigName"]) for each in live}
        return serving | {each.target for each in live}

    def delete_endpoint(self, EndpointName: str) -> None:  # noqa: N803
        endpoint = self._permitted("endpoint", EndpointName)
        if endpoint.described["EndpointStatus"] in {"Creating", "Updating", "Deleting"}:
            raise refusal("ValidationException", "Cannot update in-progress endpoint")
        parts = [c.described["EndpointName"] for c in self.components.values()]
        if EndpointName in parts:
            raise refusal("ValidationException", "The endpoint has inference components.")
        self._before_change("endpoint", EndpointName)
        endpoint.described["EndpointStatus"] = "Deleting"
        self._later(DELETING, partial(self._gone, "endpoint", EndpointName))

    def delete_inference_component(self, InferenceComponentName: str) -> None:  # noqa: N803
        component = self._permitted("inference component", InferenceComponentName)
        if component.described["InferenceComponentStatus"] in {"Creating", "Deleting"}:
            raise refusal("ValidationException", "The component is being changed.")
        self._before_change("inference component", InferenceComponentName)
        component.described["InferenceComponentStatus"] = "Deleting"
        self._later(DELETING, partial(self._gone, "inference component", InferenceComponentName))

    def _gone(self, kind: str, name: str) -> None:
        if name in self._kinds()[kind]:
            self._before_change(kind, name)
            resource = self._kinds()[kind].pop(name)
            self._on_change(resource.described.get("EndpointConfigName", name))

    # ------------------------------------------------------------------ runtime
    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        assert json.loads(request["Body"])["messages"]
        endpoint = self.endpoints.get(request["EndpointName"])
        if endpoint is None or endpoint.described["EndpointStatus"] not in {
            "InService",
            "Updating",
        }:
            raise refusal("ValidationError", "Endpoint not found.")
        component = request.get("InferenceComponentName")
        if component is not None:
            self._named("inference component", component)
        answer = {"choices": [{"message": {"role": "assistant", "content": "HQ"}}]}
        config = self.serving(request["EndpointName"])
        return {"Body": self._answered(config, "ModelError", answer)}
