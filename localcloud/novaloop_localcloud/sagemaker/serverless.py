"""Serverless jobs: what CreateTrainingJob refuses, and what their references lead to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from novaloop_localcloud.sagemaker.errors import ServiceError, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from novaloop_localcloud.sagemaker.registry import Registry

_MACHINES = ("AlgorithmSpecification", "ResourceConfig")
_CHANNELS = {"SFT": "Converse", "RLVR": "S3Prefix", None: "S3Prefix"}


@dataclass(frozen=True)
class References:
    """Where a serverless job finds its model (None: the base model) and its reward function."""

    source_uri: str | None = None
    reward_function_arn: str | None = None


def is_serverless(request: Mapping[str, Any]) -> bool:
    """Whether a CreateTrainingJob request asks for a job without machines."""
    return "ServerlessJobConfig" in request


def trains(request: Mapping[str, Any]) -> bool:
    """Whether a serverless job ends with a model package."""
    return bool(request["ServerlessJobConfig"]["JobType"] == "FineTuning")


def require_runtime(request: Mapping[str, Any]) -> None:
    """Raise ValidationException unless a job has machines, or is a sound serverless one."""
    machines = [member for member in _MACHINES if member in request]
    if not is_serverless(request):
        if len(machines) < len(_MACHINES):
            raise invalid(f"{' and '.join(_MACHINES)} are required without ServerlessJobConfig")
        return
    if machines:
        raise invalid(f"{machines[0]} can't be given together with ServerlessJobConfig")
    problems = list(_problems(request))
    if problems:
        raise invalid("; ".join(problems))


def _problems(request: Mapping[str, Any]) -> Iterator[str]:
    config = request["ServerlessJobConfig"]
    technique, evaluation = config.get("CustomizationTechnique"), config.get("EvaluationType")
    if not config.get("AcceptEula"):
        yield "AcceptEula must be true for this model"
    if request["OutputDataConfig"].get("CompressionType") != "NONE":
        yield "the stand-in's serverless jobs write uncompressed: CompressionType must be NONE"
    if trains(request):
        if technique not in {"SFT", "RLVR"} or config.get("Peft") != "LORA":
            yield f"the stand-in does not do {technique} with Peft {config.get('Peft')}"
        if "ModelPackageConfig" not in request:
            yield "ModelPackageConfig is required for JobType FineTuning"
    elif evaluation != "CustomScorerEvaluation" or technique is not None:
        yield f"the stand-in does not do {evaluation} with technique {technique}"
    if technique == "RLVR" and "EvaluatorArn" not in config:
        yield "EvaluatorArn is required for CustomizationTechnique RLVR"
    for channel in request.get("InputDataConfig", []):
        told = channel["DataSource"]["S3DataSource"]["S3DataType"]
        if told != _CHANNELS.get(technique):
            yield f"channel {channel['ChannelName']}: S3DataType can't be {told}"


def resolved(request: Mapping[str, Any], registry: Registry) -> References:
    """Follow the references of a sound serverless request.

    Raises ServiceError for one that leads nowhere.
    """
    if not is_serverless(request):
        return References()
    config, packages = request["ServerlessJobConfig"], request.get("ModelPackageConfig", {})
    registry.content(config["BaseModelArn"])
    if packages:
        registry.groups.named(packages["ModelPackageGroupArn"].rpartition("/")[2])
    source, evaluator = packages.get("SourceModelPackageArn"), config.get("EvaluatorArn")
    return References(
        registry.package_uri(source) if source else None,
        _function(registry.content(evaluator).document) if evaluator else None,
    )


def _function(document: str) -> str:
    try:
        evaluator = json.loads(document)
        content = json.loads(evaluator["JsonContent"])
        if (evaluator["SubType"], content["EvaluatorType"]) == ("AWS/Evaluator", "RewardFunction"):
            return str(content["Reference"])
    except (ValueError, KeyError, TypeError) as error:
        raise invalid(f"the evaluator's document can't be read: {error!r}") from error
    raise ServiceError("ValidationException", "the evaluator is no reward function")
