"""Bedrock: model customization jobs, and the import and deployment of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from novaloop.recipes import facts
from novaloop.recipes.checks import problem_with_function, problem_with_object
from novaloop.recipes.endpoints import ESCROW_TAG, escrow_tag_value
from novaloop.recipes.errors import FieldError, RecipeError, UnacceptableError, joined, shown
from novaloop.recipes.names import LEGAL_BEDROCK_NAME, LEGAL_NAME, bedrock_name
from novaloop.recipes.overrides import unknown_setting
from novaloop.recipes.packaged import packaged_yaml
from novaloop.recipes.settings import Setting, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.recipes.jobs import Deployment


class Method(BaseModel):
    """One way to customize on Bedrock; ``rows`` are the least and the most rows by model."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    customization_type: str
    regions: tuple[str, ...]
    rows: dict[str, tuple[int, int]]
    settings: dict[str, Setting]


class ServingTarget(BaseModel):
    """One way to serve on Bedrock: where, and with which ``peft`` SageMaker must have trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    regions: tuple[str, ...]
    peft: tuple[str, ...]


class Bedrock(BaseModel):
    """Everything in ``bedrock.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    targets: dict[str, ServingTarget]
    methods: dict[str, Method]


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
        RecipeError: with everything that is wrong; ``at`` is put before each field's name.
    """
    problem = problem_with_method(job.method, job.model)
    if problem is not None:
        raise RecipeError([FieldError(joined(at, "method"), problem)])
    method = bedrock().methods[job.method]
    settings, errors = _settings(method, job.overrides, joined(at, "overrides"))
    errors += _problems(job, method, deployment, at)
    if errors:
        raise RecipeError(errors)
    return _request(job, method, settings, deployment)


def problem_with_method(method: str, model: str) -> str | None:
    """Return that Bedrock has no such method for ``model``, if it has none."""
    methods = bedrock().methods
    if method in methods and model in methods[method].rows:
        return None
    offered = [f"{name} on {model}" for name, one in methods.items() for model in one.rows]
    return f"Bedrock has no {method} on {model}; it has {listed(tuple(offered))}"


def validate_overrides(
    method: str, overrides: Mapping[str, object], at: str = "overrides"
) -> list[FieldError]:
    """Return everything that is wrong with ``overrides``. KeyError if there is no ``method``."""
    return _settings(bedrock().methods[method], overrides, at)[1]


def settings_by_recipe(method: str, overrides: Mapping[str, object]) -> dict[str, Any]:
    """Return the settings that reach a job, by what a training job's recipe calls them."""
    one = bedrock().methods[method]
    values, _ = _settings(one, overrides, "")
    return {str(one.settings[name].parameter): value for name, value in values.items()}


def problem_with_rows(method: str, model: str, rows: int) -> str | None:
    """Return that a dataset is too small or too big, if it is. KeyError if there is no method."""
    least, most = bedrock().methods[method].rows[model]
    if least <= rows <= most:
        return None
    return f"has {rows} rows; {method} on Bedrock takes {least} to {most} for {model}"


def _settings(
    method: Method, overrides: Mapping[str, object], at: str
) -> tuple[dict[str, Any], list[FieldError]]:
    values = {name: setting.default for name, setting in method.settings.items()}
    errors = []
    for name, value in ((str(key), value) for key, value in overrides.items()):
        try:
            values[name] = _parse(method, name, value)
        except UnacceptableError as problem:
            errors.append(FieldError(joined(at, name), str(problem)))
    return values, errors


def _parse(method: Method, name: str, value: object) -> Any:
    if name not in method.settings:
        raise UnacceptableError(unknown_setting(method.settings, name))
    return method.settings[name].parse(value)


def _problems(
    job: CustomizationJob, method: Method, deployment: Deployment, at: str
) -> list[FieldError]:
    checks = {
        "name": _problem_with_job_name(job.name),
        "data_uri": problem_with_object(job.data_uri),
        "data": problem_with_rows(job.method, job.model, job.rows),
        "validation_uri": _problem_with_validation(job),
        "reward_function_arn": _problem_with_reward(method, deployment),
        "region": problem_with_training_region(job.method, deployment.region),
    }
    return [FieldError(joined(at, name), problem) for name, problem in checks.items() if problem]


def problem_with_name(name: str) -> str | None:
    """Return why Bedrock would refuse ``name`` for a model, if it would."""
    if LEGAL_BEDROCK_NAME.fullmatch(name):
        return None
    return f"{shown(name)} must be at most 63 letters and digits, with single hyphens between"


def _problem_with_job_name(name: str) -> str | None:
    """Bedrock's jobs are named as SageMaker's: unlike its models', their names hold no ``_``."""
    if LEGAL_NAME.fullmatch(name):
        return None
    return f"{shown(name)} must be at most 63 letters and digits, with hyphens between"


def _problem_with_validation(job: CustomizationJob) -> str | None:
    if job.validation_uri is None:
        return None
    if job.model == "nova-lite-2":
        return "Bedrock takes no validation data for nova-lite-2"
    return problem_with_object(job.validation_uri)


def _problem_with_reward(method: Method, deployment: Deployment) -> str | None:
    if not _is_reinforced(method):
        return None
    arn = deployment.reward_function_arn
    return problem_with_function(arn) if arn else "is needed for reinforcement fine-tuning"


def problem_with_training_region(method: str, region: str) -> str | None:
    """Return why Bedrock can't train in ``region``, if it can't. KeyError if there is no method."""
    regions = bedrock().methods[method].regions
    if region in regions:
        return None
    return f"Bedrock customizes Nova in {listed(regions)}, not in {region}"


def problem_with_serving_region(to: str, region: str) -> str | None:
    """Return why Bedrock can't serve a custom Nova in ``region``, if it can't."""
    regions = bedrock().targets[to].regions
    if region in regions:
        return None
    return f"{to} serves Nova in {listed(regions)}, not in {region}; use to: sagemaker there"


def problem_with_peft(to: str, peft: str) -> str | None:
    """Return why Bedrock can't serve what SageMaker trained with ``peft``, if it can't."""
    targets = bedrock().targets
    if peft in targets[to].peft:
        return None
    others = [name for name, target in targets.items() if peft in target.peft]
    return (
        f"takes models trained with peft {listed(targets[to].peft)}, not {peft}; "
        f"use to: {' or '.join((*others, 'sagemaker'))}, or train with peft: {targets[to].peft[0]}"
    )


def _is_reinforced(method: Method) -> bool:
    return method.customization_type == "REINFORCEMENT_FINE_TUNING"


def _request(
    job: CustomizationJob, method: Method, settings: dict[str, Any], deployment: Deployment
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
    if _is_reinforced(method):
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
        RecipeError: if Bedrock would refuse the name or can't read such a checkpoint.
    """
    checkpoint = checkpoint.rstrip("/")
    source = _source(checkpoint)
    checks = {
        "name": problem_with_name(name),
        "checkpoint": None if source else f"{shown(checkpoint)} must be s3:// or a model package",
    }
    errors = [FieldError(field, problem) for field, problem in checks.items() if problem]
    if errors or source is None:
        raise RecipeError(errors)
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
