"""Training jobs: a recipe and the CreateTrainingJob request that belongs to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import yaml

from novaloop.recipes import facts
from novaloop.recipes.catalog import Blueprint, blueprint, variants
from novaloop.recipes.errors import FieldError, RecipeError, joined, shown
from novaloop.recipes.names import LEGAL_NAME
from novaloop.recipes.overrides import resolve
from novaloop.recipes.settings import Fixed, Given, listed

RECIPE_MOUNT = "/opt/ml/input/data/recipe/recipe.yaml"
DEFAULT_MAX_RUNTIME_SECONDS = 86400
_VOLUME_GB = 30

_LAMBDA_ARN = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9-_]+")
_MODEL_PACKAGE_ARN = re.compile(
    r"(arn:aws:sagemaker:[a-z0-9-]+:\d{12}:model-package)/([A-Za-z0-9-]+)/\d+"
)
_S3_OBJECT = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/\S+")
# Escrow buckets are named customer-escrow-<account>-<platform>-<id>; `hp` is HyperPod.
_HYPERPOD_ESCROW = re.compile(r"s3://customer-escrow-\d+-hp-")


@dataclass(frozen=True)
class Deployment:
    """Where jobs run and with which rights: the same for all jobs of one stack."""

    region: str
    execution_role_arn: str
    kms_key_id: str | None = None
    subnets: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingJob:
    """One fine-tuning or evaluation job, in the words of an experiment.

    ``method`` is one of ``catalog.methods(model)``; ``overrides`` are as a person wrote them.
    ``run_name`` becomes the top folder of an evaluation's archive.
    ``checkpoint`` is the escrow URI or model package ARN to start from; without it, the base model.
    """

    method: str
    model: str
    run_name: str
    job_name: str
    output_uri: str
    recipe_uri: str
    instance_type: str
    instance_count: int
    data_uri: str | None = None
    validation_uri: str | None = None
    checkpoint: str | None = None
    reward_function_arn: str | None = None
    processor_function_arn: str | None = None
    subtask: str | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    max_runtime_seconds: int = DEFAULT_MAX_RUNTIME_SECONDS
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobPlan:
    """What to upload (``recipe_text`` to ``recipe_uri``), then what to request."""

    request: dict[str, Any]
    recipe: dict[str, Any]
    recipe_text: str
    recipe_uri: str


def plan_training_job(job: TrainingJob, deployment: Deployment, at: str = "") -> JobPlan:
    """Return the recipe and the CreateTrainingJob request of ``job``.

    ``at`` is the path of the stage in ``experiment.yaml``, put before each field's name.

    Raises:
        RecipeError: with everything that is wrong.
    """
    try:
        chosen = blueprint(job.method, job.model, job.instance_type)
    except ValueError as problem:
        raise RecipeError([FieldError(joined(at, "method"), str(problem))]) from None
    values, errors = resolve(chosen, job.overrides, joined(at, "overrides"))
    errors += validate_infrastructure(
        job.method, job.model, job.instance_type, job.instance_count, at
    )
    errors += _problems(job, chosen, deployment, at)
    if errors:
        raise RecipeError(errors)
    recipe = _recipe(chosen, values | _inputs(job, chosen))
    request = _request(job, chosen, deployment)
    _assert_consistent(request, recipe)
    return JobPlan(request, recipe, yaml.safe_dump(recipe, sort_keys=False), job.recipe_uri)


def validate_overrides(
    method: str,
    model: str,
    overrides: Mapping[str, object],
    *,
    instance_type: str | None = None,
    at: str = "overrides",
) -> list[FieldError]:
    """Return everything that is wrong with ``overrides``.

    Raises:
        ValueError: if ``model`` has no such ``method``.
    """
    return resolve(blueprint(method, model, instance_type), overrides, at)[1]


def validate_infrastructure(
    method: str, model: str, instance_type: str, instance_count: int, at: str = ""
) -> list[FieldError]:
    """Return what is wrong with the choice of machines.

    Raises:
        ValueError: if ``model`` has no such ``method``.
    """
    offered = [one.variant for one in variants(method, model)]
    types = tuple(chain.from_iterable(variant.instance_types for variant in offered))
    if instance_type not in types:
        message = f"{method} on {model} runs on {listed(types)}, not on {shown(instance_type)}"
        return [FieldError(joined(at, "instance_type"), message)]
    counts = blueprint(method, model, instance_type).variant.instance_counts
    if isinstance(instance_count, bool) or instance_count not in counts:
        message = f"{method} on {model} takes {listed(counts)} of {instance_type}"
        return [FieldError(joined(at, "instances"), f"{message}, not {shown(instance_count)}")]
    return []


def validate_rows(
    method: str, model: str, rows: int, overrides: Mapping[str, object], at: str = ""
) -> list[FieldError]:
    """Return an error if a data set of ``rows`` rows can't fill one optimizer step.

    Raises:
        ValueError: if ``model`` has no such ``method``.
    """
    chosen = blueprint(method, model)
    setting = chosen.family.rows_at_least
    if setting is None:
        return []
    needed = resolve(chosen, overrides, at)[0][setting]
    if rows >= needed:
        return []
    message = f"has {rows} rows, fewer than global_batch_size ({needed}): add rows or lower it"
    return [FieldError(joined(at, "data"), message)]


def _problems(
    job: TrainingJob, chosen: Blueprint, deployment: Deployment, at: str
) -> list[FieldError]:
    checks = {
        "region": _problem_with_region(deployment.region, chosen.family.image),
        "job_name": _problem_with_name(job.job_name),
        "data_uri": _problem_with_data(job, chosen),
        "validation_uri": _problem_with_validation(job, chosen),
        "recipe_uri": None
        if job.recipe_uri.endswith("/recipe.yaml")
        else "must end in recipe.yaml",
        "checkpoint": _problem_with_checkpoint(job.checkpoint),
        "reward_function_arn": _problem_with_function(job.reward_function_arn, chosen, "reward"),
        "processor_function_arn": _problem_with_function(
            job.processor_function_arn, chosen, "processor"
        ),
        "subtask": _problem_with_subtask(job, chosen),
        "max_runtime_seconds": None if job.max_runtime_seconds > 0 else "must be positive",
    }
    return [FieldError(joined(at, name), problem) for name, problem in checks.items() if problem]


def _problem_with_region(region: str, image: str) -> str | None:
    try:
        facts.image_uri(image, region)
    except ValueError as problem:
        return str(problem)
    return None


def _problem_with_name(name: str) -> str | None:
    if LEGAL_NAME.fullmatch(name):
        return None
    return f"{shown(name)} must be at most 63 letters, digits and hyphens, and end in no hyphen"


def _problem_with_data(job: TrainingJob, chosen: Blueprint) -> str | None:
    if chosen.family.channel is None:
        return (
            f"{job.method} brings its own questions and would ignore it" if job.data_uri else None
        )
    if job.data_uri is None:
        return f"{job.method} needs a data set"
    return _problem_with_object(job.data_uri)


def _problem_with_validation(job: TrainingJob, chosen: Blueprint) -> str | None:
    if job.validation_uri is None:
        return None
    if not chosen.family.holdout:
        return f"{job.method} takes no validation data and would ignore it"
    return _problem_with_object(job.validation_uri)


def _problem_with_object(uri: str) -> str | None:
    return None if _S3_OBJECT.fullmatch(uri) else f"{shown(uri)} must be s3://bucket/key"


def _problem_with_checkpoint(checkpoint: str | None) -> str | None:
    if checkpoint is None or _MODEL_PACKAGE_ARN.fullmatch(checkpoint):
        return None
    if _HYPERPOD_ESCROW.match(checkpoint):
        return "was trained on HyperPod; a training job can't start from it"
    return _problem_with_object(checkpoint)


def _problem_with_function(arn: str | None, chosen: Blueprint, role: str) -> str | None:
    source = f"{role}_function_arn"
    leaves = [
        leaf for leaf in chosen.leaves.values() if isinstance(leaf, Given) and leaf.source == source
    ]
    if arn is None:
        needed = any(leaf.default is None for leaf in leaves)
        return f"{chosen.method} needs the ARN of a {role} function" if needed else None
    if not leaves:
        return None if role == "reward" else f"{chosen.method} takes no {role} function"
    if not _LAMBDA_ARN.fullmatch(arn):
        return f"{shown(arn)} must be a Lambda function's ARN without version or alias"
    return None


def _problem_with_subtask(job: TrainingJob, chosen: Blueprint) -> str | None:
    known = chosen.facts.subtasks
    if job.subtask is None or job.subtask in known:
        return None
    if not known:
        return f"{job.method} has no subtasks"
    return f"{job.method} has no subtask {shown(job.subtask)}; it has {listed(known)}"


def _inputs(job: TrainingJob, chosen: Blueprint) -> dict[str, Any]:
    model = facts.model(job.model)
    given = {
        "run_name": job.run_name,
        "model_type": model.model_type,
        "model_path": job.checkpoint or model.base_path,
        "data_uri": job.data_uri,
        "output_uri": job.output_uri,
        "instance_count": job.instance_count,
        "reward_function_arn": job.reward_function_arn,
        "processor_function_arn": job.processor_function_arn,
        "task": job.method,
        "strategy": chosen.facts.strategy,
        "metric": chosen.facts.metric,
        "subtask": job.subtask,
    }
    values: dict[str, Any] = {}
    for path, leaf in chosen.leaves.items():
        if isinstance(leaf, Fixed):
            values[path] = leaf.fixed
        elif isinstance(leaf, Given):
            value = given[leaf.source]
            values[path] = leaf.default if value is None else value
    return values


def _recipe(chosen: Blueprint, values: Mapping[str, Any]) -> dict[str, Any]:
    recipe: dict[str, Any] = {}
    for path in chosen.leaves:
        if path in values:
            *sections, name = path.split(".")
            section = recipe
            for part in sections:
                section = section.setdefault(part, {})
            section[name] = values[path]
    return recipe


def _request(job: TrainingJob, chosen: Blueprint, deployment: Deployment) -> dict[str, Any]:
    request = {
        "TrainingJobName": job.job_name,
        "RoleArn": deployment.execution_role_arn,
        "AlgorithmSpecification": {
            "TrainingInputMode": "File",
            "TrainingImage": facts.image_uri(chosen.family.image, deployment.region),
        },
        "HyperParameters": _hyperparameters(job, chosen),
        "InputDataConfig": _channels(job, chosen),
        "OutputDataConfig": _without_none(
            S3OutputPath=job.output_uri, KmsKeyId=deployment.kms_key_id
        ),
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": job.instance_count,
            "VolumeSizeInGB": _VOLUME_GB,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": job.max_runtime_seconds},
        "TensorBoardOutputConfig": {"S3OutputPath": job.output_uri},
        "VpcConfig": vpc_config(deployment),
        "ModelPackageConfig": _model_package(job.checkpoint),
        "Tags": [{"Key": key, "Value": value} for key, value in job.tags.items()] or None,
    }
    return _without_none(**request)


def vpc_config(deployment: Deployment) -> dict[str, list[str]] | None:
    """Return SageMaker's VpcConfig, or None for a deployment outside any VPC."""
    if not deployment.subnets and not deployment.security_group_ids:
        return None
    return {
        "SecurityGroupIds": list(deployment.security_group_ids),
        "Subnets": list(deployment.subnets),
    }


def _hyperparameters(job: TrainingJob, chosen: Blueprint) -> dict[str, str]:
    inputs = {
        "reward_function_arn": job.reward_function_arn,
        "processor_function_arn": job.processor_function_arn,
    }
    extra = {name: inputs[source] for name, source in chosen.family.hyperparameters.items()}
    return _without_none(
        base_model=None if job.checkpoint else facts.model(job.model).base_path,
        base_model_location=None if _model_package(job.checkpoint) else job.checkpoint,
        **extra,
        sagemaker_recipe_local_path=RECIPE_MOUNT,
    )


def _model_package(checkpoint: str | None) -> dict[str, str] | None:
    match = _MODEL_PACKAGE_ARN.fullmatch(checkpoint or "")
    if match is None:
        return None
    return {
        "ModelPackageGroupArn": f"{match[1]}-group/{match[2]}",
        "SourceModelPackageArn": match[0],
    }


def _channels(job: TrainingJob, chosen: Blueprint) -> list[dict[str, Any]]:
    data_type = chosen.family.channel
    data = {"train": job.data_uri, "validation": job.validation_uri}
    channels = [_channel(name, data_type, uri) for name, uri in data.items() if data_type and uri]
    recipe = _channel("recipe", "S3Prefix", job.recipe_uri) | {"InputMode": "File"}
    return [*channels, recipe]


def _channel(name: str, data_type: str, uri: str) -> dict[str, Any]:
    return {
        "ChannelName": name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": data_type,
                "S3Uri": uri,
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def inconsistencies(request: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    """Return the places where a CreateTrainingJob request and its recipe contradict each other."""
    run = recipe["run"]
    hyperparameters = request["HyperParameters"]
    channels = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in request["InputDataConfig"]
    }
    package = request.get("ModelPackageConfig", {}).get("SourceModelPackageArn")
    location = hyperparameters.get("base_model_location", package)
    endpoint = recipe.get("training_config", {}).get("rollout", {}).get("rewards", {})
    pairs = {
        "instance count": (request["ResourceConfig"]["InstanceCount"], run["replicas"]),
        "model": (hyperparameters.get("base_model", location), run["model_name_or_path"]),
        "data": (channels.get("train", ""), run.get("data_s3_path", "")),
        "output": (request["OutputDataConfig"]["S3OutputPath"], run.get("output_s3_path")),
        "reward": (hyperparameters.get("reward_lambda_arn"), run.get("reward_lambda_arn")),
        "rollout reward": (
            run.get("reward_lambda_arn"),
            endpoint.get("api_endpoint", {}).get("lambda_arn"),
        ),
    }
    if "output_s3_path" not in run:
        del pairs["output"]
    return [
        f"{name}: {ours!r} is not {theirs!r}"
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    ]


def _assert_consistent(request: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    contradictions = inconsistencies(request, recipe)
    if contradictions:
        raise AssertionError("; ".join(contradictions))
