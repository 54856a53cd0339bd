"""The CreateTrainingJob request, and its agreement with the recipe beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from novaloop.recipes import facts
from novaloop.recipes.jobs import MODEL_PACKAGE_ARN, Deployment, TrainingJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.recipes.catalog import Blueprint

_RECIPE_MOUNT = "/opt/ml/input/data/recipe/recipe.yaml"
_VOLUME_GB = 30


def create_training_job(
    job: TrainingJob, chosen: Blueprint, deployment: Deployment
) -> dict[str, Any]:
    """Return the CreateTrainingJob request of a valid ``job``."""
    request = {
        "TrainingJobName": job.job_name,
        "RoleArn": deployment.execution_role_arn,
        "AlgorithmSpecification": {
            "TrainingInputMode": "File",
            "TrainingImage": job.image or facts.image_uri(chosen.family.image, deployment.region),
        },
        "HyperParameters": _hyperparameters(job, chosen, deployment),
        "InputDataConfig": _channels(job, chosen),
        "OutputDataConfig": without_none(
            S3OutputPath=job.output_uri, KmsKeyId=deployment.kms_key_arn
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
        "Tags": sagemaker_tags(job.tags),
    }
    return without_none(**request)


def vpc_config(deployment: Deployment) -> dict[str, list[str]] | None:
    """Return SageMaker's VpcConfig, or None for a deployment outside any VPC."""
    if not deployment.subnets and not deployment.security_group_ids:
        return None
    return {
        "SecurityGroupIds": list(deployment.security_group_ids),
        "Subnets": list(deployment.subnets),
    }


def _hyperparameters(job: TrainingJob, chosen: Blueprint, deployment: Deployment) -> dict[str, str]:
    inputs = {
        "reward_function_arn": deployment.reward_function_arn,
        "processor_function_arn": job.processor_function_arn,
    }
    extra = {name: inputs[source] for name, source in chosen.family.hyperparameters.items()}
    return without_none(
        base_model=None if job.checkpoint else facts.model(job.model).base_path,
        base_model_location=None if _model_package(job.checkpoint) else job.checkpoint,
        **extra,
        sagemaker_recipe_local_path=_RECIPE_MOUNT,
    )


def _model_package(checkpoint: str | None) -> dict[str, str] | None:
    match = MODEL_PACKAGE_ARN.fullmatch(checkpoint or "")
    if match is None:
        return None
    return {
        "ModelPackageGroupArn": f"{match[1]}-group/{match[2]}",
        "SourceModelPackageArn": match[0],
    }


def _channels(job: TrainingJob, chosen: Blueprint) -> list[dict[str, Any]]:
    data_type = chosen.family.channel
    data = {"train": job.data_uri, "validation": job.validation_uri}
    channels = [channel(name, data_type, uri) for name, uri in data.items() if data_type and uri]
    recipe = channel("recipe", "S3Prefix", job.recipe_uri) | {"InputMode": "File"}
    return [*channels, recipe]


def channel(name: str, data_type: str, uri: str) -> dict[str, Any]:
    """Return one entry of InputDataConfig."""
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


def sagemaker_tags(tags: Mapping[str, str]) -> list[dict[str, str]] | None:
    """Return ``tags`` as SageMaker lists them, or None if there are none."""
    return [{"Key": key, "Value": value} for key, value in tags.items()] or None


def without_none(**fields: Any) -> dict[str, Any]:
    """Return ``fields`` without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def inconsistencies(request: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    """Return the places where a CreateTrainingJob request and its recipe contradict each other."""
    return [
        f"{name}: {asked!r} in the request, {written!r} in the recipe"
        for name, (asked, written) in _told_twice(request, recipe).items()
        if asked != written
    ]


def _told_twice(
    request: Mapping[str, Any], recipe: Mapping[str, Any]
) -> dict[str, tuple[object, object]]:
    """Return what stands both in the request and in the recipe, by what it is."""
    run = recipe["run"]
    hyperparameters = request["HyperParameters"]
    output = request["OutputDataConfig"]["S3OutputPath"]
    rollout = recipe.get("training_config", {}).get("rollout", {}).get("rewards", {})
    reward = hyperparameters.get("reward_lambda_arn")
    return {
        "instance count": (request["ResourceConfig"]["InstanceCount"], run["replicas"]),
        "model": (_requested_model(request), run["model_name_or_path"]),
        "data": (_train_uri(request), run["data_s3_path"]),
        "output": (output, run.get("output_s3_path", output)),
        "reward": (reward, run.get("reward_lambda_arn")),
        "rollout reward": (reward, rollout.get("api_endpoint", {}).get("lambda_arn")),
        "processor": (
            hyperparameters.get("eval_lambda_arn", ""),
            recipe.get("processor", {}).get("lambda_arn", ""),
        ),
    }


def _requested_model(request: Mapping[str, Any]) -> str | None:
    hyperparameters = request["HyperParameters"]
    package = request.get("ModelPackageConfig", {}).get("SourceModelPackageArn")
    named: str | None = hyperparameters.get("base_model") or hyperparameters.get(
        "base_model_location", package
    )
    return named


def _train_uri(request: Mapping[str, Any]) -> str:
    uris: dict[str, str] = {
        one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"]
        for one in request["InputDataConfig"]
    }
    return uris.get("train", "")
