"""SageMaker endpoints: checked against the published tiers, then three or four requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from novaloop.problem import Invalid, Problem, joined, shown
from novaloop.recipes import facts
from novaloop.recipes.checks import check_name
from novaloop.recipes.jobs import MODEL_PACKAGE_ARN
from novaloop.recipes.requests import sagemaker_tags, without_none
from novaloop.recipes.settings import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from novaloop.recipes.jobs import Deployment

COMPONENT_TAG = "sagemaker:nova-inference-component"
ESCROW_TAG = "sagemaker.amazonaws.com/forge/escrow-uri"
_MODEL_FOLDER = re.compile(r"s3://[a-zA-Z0-9.-]+(?:/[a-zA-Z0-9_.-]+)*/")
_TAG_VALUE_LIMIT = 256
_VARIANT = "primary"
_UPDATE_SECONDS = 5400
"""When SageMaker gives up an update: before the controller calls it overdue."""


@dataclass(frozen=True)
class Endpoint:
    """One endpoint for one checkpoint; all that is made for it carries the same ``name``.

    With ``served_as``, an endpoint of that name serves it, in the place of the configuration
    ``former`` if that was seen to serve there.

    ``environment`` holds further settings of the inference container, as a person wrote them.
    """

    name: str
    model: str
    checkpoint: str
    instance_type: str
    context_length: int
    max_concurrency: int
    instance_count: int = 1
    served_as: str | None = None
    former: str | None = None
    environment: Mapping[str, object] = field(default_factory=dict)
    inference_component: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EndpointPlan:
    """The requests that create an endpoint, in the order in which to send them.

    ``create_inference_component`` is for when the endpoint is in service, ``update_endpoint`` for
    when there is one of that name already, as long as it serves ``former``.
    """

    create_model: dict[str, Any]
    create_endpoint_config: dict[str, Any]
    create_endpoint: dict[str, Any]
    create_inference_component: dict[str, Any] | None = None
    update_endpoint: dict[str, Any] | None = None
    former: str | None = None


def plan_endpoint(endpoint: Endpoint, deployment: Deployment, at: str = "") -> EndpointPlan:
    """Return the requests that deploy ``endpoint``.

    Raises:
        Invalid: with everything that is wrong; ``at`` is put before each field's name.
    """
    problems = check_endpoint(
        endpoint.model,
        endpoint.instance_type,
        endpoint.context_length,
        endpoint.max_concurrency,
        endpoint.environment,
        inference_component=endpoint.inference_component,
        at=at,
    )
    problems += _check(endpoint, deployment, at)
    if problems:
        raise Invalid(*problems)
    return EndpointPlan(
        create_model=_create_model(endpoint, deployment),
        create_endpoint_config=_create_endpoint_config(endpoint, deployment),
        create_endpoint=without_none(
            EndpointName=endpoint.served_as or endpoint.name,
            EndpointConfigName=endpoint.name,
            Tags=sagemaker_tags(endpoint.tags),
        ),
        create_inference_component=(
            _create_inference_component(endpoint) if endpoint.inference_component else None
        ),
        update_endpoint=(
            update_endpoint(endpoint.served_as, endpoint.name) if endpoint.served_as else None
        ),
        former=endpoint.former,
    )


def update_endpoint(endpoint: str, config: str) -> dict[str, Any]:
    """Return the request that lets an endpoint serve another configuration.

    New machines are started beside the old ones, which serve until the new ones are in service and
    go on serving if those never are.
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DeploymentConfig.html
    """
    blue_green = {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": 0,
        "MaximumExecutionTimeoutInSeconds": _UPDATE_SECONDS,
    }
    return {
        "EndpointName": endpoint,
        "EndpointConfigName": config,
        "DeploymentConfig": {"BlueGreenUpdatePolicy": blue_green},
    }


def check_endpoint(
    model: str,
    instance_type: str,
    context_length: int,
    max_concurrency: int,
    environment: Mapping[str, object],
    *,
    inference_component: bool = False,
    at: str = "",
) -> list[Problem]:
    """Return everything that is wrong with an endpoint's size and container settings."""
    tiers = facts.facts().endpoint_tiers.get(model)
    if tiers is None:
        known = listed(tuple(facts.facts().endpoint_tiers))
        return [Problem(joined(at, "model"), "can't be hosted", f"choose one of {known}")]
    if instance_type not in tiers:
        what = f"{model} is not hosted on {shown(instance_type)}"
        do = f"choose one of {listed(tuple(tiers))}"
        problems = [Problem(joined(at, "instance_type"), what, do)]
    else:
        problems = _check_size(tiers[instance_type], context_length, max_concurrency, at)
        if inference_component:
            where = joined(at, "inference_component")
            problems += _check_component(model, instance_type, where)
    return [*problems, *_check_environment(environment, at)]


def _check_size(
    tiers: tuple[tuple[int, int], ...], context_length: int, max_concurrency: int, at: str
) -> list[Problem]:
    sizes = {"context_length": context_length, "max_concurrency": max_concurrency}
    problems = [
        Problem(joined(at, name), f"must be a whole number from 1, not {shown(size)}")
        for name, size in sizes.items()
        if isinstance(size, bool) or not isinstance(size, int) or size < 1
    ]
    if problems or any(context_length <= most and max_concurrency <= many for most, many in tiers):
        return problems
    offered = ", ".join(f"{most} tokens with {many} requests at once" for most, many in tiers)
    asked = f"{context_length} tokens with max_concurrency {max_concurrency}"
    what = f"{asked} is too much for this instance type"
    return [Problem(joined(at, "context_length"), what, f"it offers up to {offered}")]


def _check_component(model: str, instance_type: str, at: str) -> Iterator[Problem]:
    sizes = facts.facts().inference_components
    if model not in sizes:
        yield Problem(at, f"no size of a component is published for {model}", "leave it out")
        return
    needed, has = sizes[model].accelerators, facts.facts().accelerators[instance_type]
    if has < needed:
        what = f"{model} needs {needed} accelerators for a component, and {instance_type} has {has}"
        yield Problem(at, what, "leave it out, or choose a bigger instance_type")


def _check_environment(environment: Mapping[str, object], at: str) -> Iterator[Problem]:
    for name, value in environment.items():
        try:
            _environment_value(name, value)
        except Invalid as invalid:
            yield from invalid.under(joined(at, f"environment.{name}"))


def _environment_value(name: str, value: object) -> str:
    known = facts.facts().endpoint_environment
    if name in ("CONTEXT_LENGTH", "MAX_CONCURRENCY"):
        raise Invalid(Problem("", f"is set by {name.lower()}", "write it there"))
    if name not in known:
        do = f"it has {listed(tuple(known))}"
        raise Invalid(Problem("", "is no variable of the inference container", do))
    parsed = known[name].parse(value)
    return str(parsed).lower() if isinstance(parsed, bool) else str(parsed)


def _check(endpoint: Endpoint, deployment: Deployment, at: str) -> Iterator[Problem]:
    yield from check_name(endpoint.name, joined(at, "name"))
    if endpoint.served_as:
        yield from check_name(endpoint.served_as, joined(at, "endpoint"))
    source = _source(endpoint.checkpoint)
    if not (MODEL_PACKAGE_ARN.fullmatch(source) or _MODEL_FOLDER.fullmatch(source)):
        rule = "must be s3://bucket/folder or a model package ARN"
        yield Problem(joined(at, "checkpoint"), f"{shown(endpoint.checkpoint)} {rule}")
    if endpoint.instance_count < 1:
        yield Problem(joined(at, "instances"), "must be at least 1")
    yield from facts.check_region(deployment.region, joined(at, "region"))


def escrow_tag_value(uri: str) -> str:
    """Return ``uri`` as a tag value: shortened with a hash where it exceeds 256 characters."""
    if len(uri) <= _TAG_VALUE_LIMIT:
        return uri
    return f"{uri[:224]}-{sha256(uri.encode()).hexdigest()[:31]}"


def _create_model(endpoint: Endpoint, deployment: Deployment) -> dict[str, Any]:
    environment = {
        "CONTEXT_LENGTH": str(endpoint.context_length),
        "MAX_CONCURRENCY": str(endpoint.max_concurrency),
    } | {name: _environment_value(name, value) for name, value in endpoint.environment.items()}
    source = _source(endpoint.checkpoint)
    return {
        "ModelName": endpoint.name,
        "PrimaryContainer": {**_container(source, deployment), "Environment": environment},
        "ExecutionRoleArn": deployment.execution_role_arn,
        "EnableNetworkIsolation": True,
        "Tags": sagemaker_tags({ESCROW_TAG: escrow_tag_value(source), **endpoint.tags}),
    }


def _source(checkpoint: str) -> str:
    """Return a model package's ARN as it is, and an escrow URI as a folder."""
    is_package = MODEL_PACKAGE_ARN.fullmatch(checkpoint)
    return checkpoint if is_package else checkpoint.rstrip("/") + "/"


def _container(source: str, deployment: Deployment) -> dict[str, Any]:
    if MODEL_PACKAGE_ARN.fullmatch(source):
        return {"ModelPackageName": source}
    folder = {"S3Uri": source, "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {
        "Image": facts.image_uri(facts.facts().inference_image, deployment.region),
        "ModelDataSource": {"S3DataSource": folder},
    }


def _create_endpoint_config(endpoint: Endpoint, deployment: Deployment) -> dict[str, Any]:
    variant = {
        "VariantName": _VARIANT,
        "InitialInstanceCount": endpoint.instance_count,
        "InstanceType": endpoint.instance_type,
    }
    if not endpoint.inference_component:
        return without_none(
            EndpointConfigName=endpoint.name,
            ProductionVariants=[{"ModelName": endpoint.name, **variant}],
            Tags=sagemaker_tags(endpoint.tags),
        )
    routing = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    return {
        "EndpointConfigName": endpoint.name,
        "ExecutionRoleArn": deployment.execution_role_arn,
        "ProductionVariants": [{**variant, "RoutingConfig": routing}],
        "Tags": sagemaker_tags({COMPONENT_TAG: "true", **endpoint.tags}),
    }


def _create_inference_component(endpoint: Endpoint) -> dict[str, Any]:
    """Return the request for one copy of the model on each instance."""
    size = facts.facts().inference_components[endpoint.model]
    return without_none(
        InferenceComponentName=endpoint.name,
        EndpointName=endpoint.name,
        VariantName=_VARIANT,
        Specification={
            "ModelName": endpoint.name,
            "ComputeResourceRequirements": {
                "NumberOfCpuCoresRequired": size.cpu_cores,
                "MinMemoryRequiredInMb": size.memory_mb,
                "NumberOfAcceleratorDevicesRequired": size.accelerators,
            },
        },
        RuntimeConfig={"CopyCount": endpoint.instance_count},
        Tags=sagemaker_tags(endpoint.tags),
    )


def chat_text(message: Mapping[str, Any]) -> str:
    """Return the text of a chat message, or of a piece of one: its content, or else its reasoning.

    A model that reasons may spend all its tokens on that, and `content` is null then. vLLM calls
    the reasoning `reasoning_content`, later releases `reasoning`.

    Raises:
        TypeError: if the message has neither.
    """
    texts = [message.get(name) for name in ("content", "reasoning_content", "reasoning")]
    text = next(filter(None, texts), texts[0])
    if not isinstance(text, str):
        raise TypeError("the message has no text")
    return text
