"""Bedrock: model customization jobs, and the import and deployment of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from novaloop.problem import Invalid, Problem, joined, shown
from novaloop.recipes import facts
from novaloop.recipes.checks import check_function, check_object
from novaloop.recipes.endpoints import ESCROW_TAG, escrow_tag_value
from novaloop.recipes.names import LEGAL_BEDROCK_NAME, LEGAL_NAME, bedrock_name
from novaloop.recipes.overrides import unknown_setting
from novaloop.recipes.packaged import packaged_yaml
from novaloop.recipes.settings import RecipeSetting, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from novaloop.recipes.jobs import Deployment
_REINFORCED = "REINFORCEMENT_FINE_TUNING"


class BedrockMethod(BaseModel):
    """One way to customize on Bedrock; ``rows`` are the least and the most rows by model."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    customization_type: str
    regions: tuple[str, ...]
    rows: dict[str, tuple[int, int]]
    settings: dict[str, RecipeSetting]


class ServingTarget(BaseModel):
    """One way to serve on Bedrock: where, and with which ``peft`` SageMaker must have trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    regions: tuple[str, ...]
    peft: tuple[str, ...]


class Bedrock(BaseModel):
    """Everything in ``bedrock.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    targets: dict[str, ServingTarget]
    methods: dict[str, BedrockMethod]


@dataclass(frozen=True)
class CustomizationJob:
    """One fine-tuning job on Bedrock; ``name`` names the job and, made legal, its model."""

    method: str
    model: str
    name: str
    data_uri: str
    rows: int
    output_uri: str
    validation_uri: str | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@cache
def bedrock() -> Bedrock:
    """Return the packaged facts about Bedrock."""
    return Bedrock.model_validate(packaged_yaml("novaloop.recipes", "bedrock.yaml"))


def customization_job(
    job: CustomizationJob, deployment: Deployment, at: str = ""
) -> dict[str, Any]:
    """Return the CreateModelCustomizationJob request of ``job``.

    Raises:
        Invalid: with everything that is wrong; ``at`` is put before each field's name.
    """
    if problems := list(check_method(job.method, job.model, joined(at, "method"))):
        raise Invalid(*problems)
    method = bedrock().methods[job.method]
    settings, problems = _settings(method, job.overrides, joined(at, "overrides"))
    problems += _check(job, method, deployment, at)
    if problems:
        raise Invalid(*problems)
    return _request(job, method, settings, deployment)


def check_method(method: str, model: str, at: str) -> Iterator[Problem]:
    """Yield that Bedrock has no such method for ``model``, if it has none."""
    methods = bedrock().methods
    if method not in methods or model not in methods[method].rows:
        offered = [f"{name} on {model}" for name, one in methods.items() for model in one.rows]
        what = f"Bedrock has no {method} on {model}"
        yield Problem(at, what, f"it has {listed(tuple(offered))}")


def check_overrides(
    method: str, overrides: Mapping[str, object], at: str = "overrides"
) -> list[Problem]:
    """Return everything that is wrong with ``overrides`` of a method that Bedrock has."""
    return _settings(bedrock().methods[method], overrides, at)[1]


def settings_by_recipe(method: str, overrides: Mapping[str, object]) -> dict[str, Any]:
    """Return the settings that reach a job, by what a training job's recipe calls them."""
    one = bedrock().methods[method]
    values, _ = _settings(one, overrides, "")
    return {str(one.settings[name].parameter): value for name, value in values.items()}


def check_rows(method: str, model: str, rows: int, at: str) -> Iterator[Problem]:
    """Yield that a dataset is too small or too big for a method that Bedrock has, if it is."""
    least, most = bedrock().methods[method].rows[model]
    if not least <= rows <= most:
        do = f"{method} on Bedrock takes {least} to {most} for {model}"
        yield Problem(at, f"has {rows} rows", do)


def _settings(
    method: BedrockMethod, overrides: Mapping[str, object], at: str
) -> tuple[dict[str, Any], list[Problem]]:
    values = {name: setting.default for name, setting in method.settings.items()}
    problems: list[Problem] = []
    for name, value in ((str(key), value) for key, value in overrides.items()):
        where = joined(at, name)
        if name not in method.settings:
            problems.append(replace(unknown_setting(method.settings, name), where=where))
            continue
        try:
            values[name] = method.settings[name].parse(value)
        except Invalid as invalid:
            problems += invalid.under(where)
    return values, problems


def _check(
    job: CustomizationJob, method: BedrockMethod, deployment: Deployment, at: str
) -> Iterator[Problem]:
    if not LEGAL_NAME.fullmatch(job.name):  # unlike its models', names of jobs hold no `_`
        rule = "must be at most 63 letters and digits, with hyphens between"
        yield Problem(joined(at, "name"), f"{shown(job.name)} {rule}")
    yield from check_object(job.data_uri, joined(at, "data_uri"))
    yield from check_rows(job.method, job.model, job.rows, joined(at, "data"))
    uri, where = job.validation_uri, joined(at, "validation_uri")
    if uri is not None and job.model == "nova-lite-2":
        yield Problem(where, "Bedrock takes no validation data for nova-lite-2", "leave it out")
    elif uri is not None:
        yield from check_object(uri, where)
    function, where = deployment.reward_function_arn, joined(at, "reward_function_arn")
    if method.customization_type == _REINFORCED and function:
        yield from check_function(function, where)
    elif method.customization_type == _REINFORCED:
        yield Problem(where, "is needed for reinforcement fine-tuning", "name a function")
    yield from check_training_region(job.method, deployment.region, joined(at, "region"))


def check_name(name: str, at: str) -> Iterator[Problem]:
    """Yield that Bedrock would refuse ``name`` for a model, if it would."""
    if not LEGAL_BEDROCK_NAME.fullmatch(name):
        rule = "must be at most 63 letters and digits, with single hyphens between"
        yield Problem(at, f"{shown(name)} {rule}")


def check_training_region(method: str, region: str, at: str) -> Iterator[Problem]:
    """Yield that Bedrock can't train in ``region`` by a method that it has, if it can't."""
    regions = bedrock().methods[method].regions
    if region not in regions:
        what = f"Bedrock customizes Nova in {listed(regions)}, not in {region}"
        yield Problem(at, what, "deploy the stack there, or use runtime training-job")


def check_serving_region(to: str, region: str, at: str) -> Iterator[Problem]:
    """Yield that Bedrock can't serve a custom Nova in ``region``, if it can't."""
    regions = bedrock().targets[to].regions
    if region not in regions:
        what = f"{to} serves Nova in {listed(regions)}, not in {region}"
        yield Problem(at, what, "use to: sagemaker there")


def check_peft(to: str, peft: str, at: str) -> Iterator[Problem]:
    """Yield that Bedrock can't serve what SageMaker trained with ``peft``, if it can't."""
    targets = bedrock().targets
    if peft not in targets[to].peft:
        others = [name for name, target in targets.items() if peft in target.peft]
        what = f"takes models trained with peft {listed(targets[to].peft)}, not {peft}"
        do = f"use to: {' or '.join((*others, 'sagemaker'))}"
        yield Problem(at, what, f"{do}, or train with peft: {targets[to].peft[0]}")


def _request(
    job: CustomizationJob, method: BedrockMethod, settings: dict[str, Any], deployment: Deployment
) -> dict[str, Any]:
    model = facts.model(job.model).bedrock_model
    request: dict[str, Any] = {
        "jobName": job.name,
        "customModelName": bedrock_name(job.name),
        "roleArn": deployment.execution_role_arn,
        "baseModelIdentifier": f"arn:aws:bedrock:{deployment.region}::foundation-model/{model}",
        "customizationType": method.customization_type,
        "trainingDataConfig": {"s3Uri": job.data_uri},
        "outputDataConfig": {"s3Uri": job.output_uri},
    }
    if method.customization_type == _REINFORCED:
        grader = {"lambdaGrader": {"lambdaArn": deployment.reward_function_arn}}
        rft = {"graderConfig": grader, "hyperParameters": settings}
        request["customizationConfig"] = {"rftConfig": rft}
    else:
        request["hyperParameters"] = {name: str(value) for name, value in settings.items()}
    if job.validation_uri:
        request["validationDataConfig"] = {"validators": [{"s3Uri": job.validation_uri}]}
    if deployment.kms_key_arn:
        request["customModelKmsKeyId"] = deployment.kms_key_arn
    if deployment.subnets or deployment.security_group_ids:
        request["vpcConfig"] = {
            "subnetIds": list(deployment.subnets),
            "securityGroupIds": list(deployment.security_group_ids),
        }
    if job.tags:
        request["jobTags"] = request["customModelTags"] = _tags(job.tags)
    return request


def custom_model(
    name: str, checkpoint: str, deployment: Deployment, tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the CreateCustomModel request that imports ``checkpoint``.

    ``checkpoint`` is an escrow URI or a model package ARN.

    Raises:
        Invalid: if Bedrock would refuse the name or can't read such a checkpoint.
    """
    checkpoint = checkpoint.rstrip("/")
    source = _source(checkpoint)
    problems = list(check_name(name, "name"))
    if source is None:
        problems.append(
            Problem("checkpoint", f"{shown(checkpoint)} must be s3:// or a model package")
        )
    if problems or source is None:
        raise Invalid(*problems)
    return {
        "modelName": name,
        "roleArn": deployment.execution_role_arn,
        **source,
        **({"modelKmsKeyArn": deployment.kms_key_arn} if deployment.kms_key_arn else {}),
        "modelTags": _tags({ESCROW_TAG: escrow_tag_value(checkpoint), **(tags or {})}),
    }


def _source(checkpoint: str) -> dict[str, Any] | None:
    if checkpoint.startswith("s3://"):
        return {"modelSourceConfig": {"s3DataSource": {"s3Uri": checkpoint}}}
    if ":model-package/" in checkpoint:
        package = {"modelPackageArnDataSource": {"modelPackageArn": checkpoint}}
        return {"customModelDataSource": package}
    return None


def on_demand_deployment(
    name: str, model_arn: str, tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the CreateCustomModelDeployment request, paid by the token."""
    request: dict[str, Any] = {"modelDeploymentName": name, "modelArn": model_arn}
    return request | ({"tags": _tags(tags)} if tags else {})


def provisioned_throughput(
    name: str, model_arn: str, model_units: int, tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the CreateProvisionedModelThroughput request, paid by the hour and unit."""
    request: dict[str, Any] = {
        "modelUnits": model_units,
        "provisionedModelName": name,
        "modelId": model_arn,
    }
    return request | ({"tags": _tags(tags)} if tags else {})


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
