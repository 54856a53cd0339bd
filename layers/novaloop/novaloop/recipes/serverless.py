"""Serverless customization: CreateTrainingJob without machines, image or recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from novaloop.problem import Invalid, Problem, joined, shown
from novaloop.recipes.catalog import Blueprint, blueprint
from novaloop.recipes.checks import (
    check_function,
    check_name,
    check_object,
    check_validation,
)
from novaloop.recipes.jobs import DEFAULT_MAX_RUNTIME_SECONDS, MODEL_PACKAGE_ARN, Deployment
from novaloop.recipes.overrides import find, resolve
from novaloop.recipes.packaged import packaged_yaml
from novaloop.recipes.requests import channel, sagemaker_tags, vpc_config, without_none
from novaloop.recipes.settings import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ServerlessMethod(BaseModel):
    """What one method is called here; ``hyperparameters`` maps setting to hyperparameter."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    technique: Literal["SFT", "RLVR"] | None = None
    evaluation: Literal["CustomScorerEvaluation"] | None = None
    hyperparameters: dict[str, str]


class Serverless(BaseModel):
    """Everything in ``serverless.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    regions: tuple[str, ...]
    methods: dict[str, ServerlessMethod]
    models: tuple[str, ...]


@dataclass(frozen=True)
class ServerlessJob:
    """One job without machines.

    ``base_model_arn`` is the hub content ARN of the model, with its version.
    ``checkpoint`` is the model package ARN of the stage before.
    ``evaluator_arn`` is the registered reward function, which reinforcement fine-tuning needs.
    """

    method: str
    model: str
    run_name: str
    job_name: str
    output_uri: str
    base_model_arn: str
    model_package_group_arn: str
    data_uri: str | None = None
    validation_uri: str | None = None
    checkpoint: str | None = None
    evaluator_arn: str | None = None
    processor_function_arn: str | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    max_runtime_seconds: int = DEFAULT_MAX_RUNTIME_SECONDS
    tags: Mapping[str, str] = field(default_factory=dict)


@cache
def serverless() -> Serverless:
    """Return the packaged facts about the serverless runtime."""
    return Serverless.model_validate(packaged_yaml("novaloop.recipes", "serverless.yaml"))


def check_region(region: str, at: str) -> Iterator[Problem]:
    """Yield that SageMaker runs no serverless job of Nova in ``region``, if it doesn't."""
    regions = serverless().regions
    if region not in regions:
        what = f"SageMaker customizes Nova serverless in {listed(regions)}, not in {region}"
        yield Problem(at, what, "deploy the stack there, or use runtime training-job")


def serverless_job(job: ServerlessJob, deployment: Deployment, at: str = "") -> dict[str, Any]:
    """Return the CreateTrainingJob request of ``job``.

    Raises:
        Invalid: with everything that is wrong; ``at`` is put before each field's name.
    """
    if problems := list(check_method(job.method, job.model, joined(at, "method"))):
        raise Invalid(*problems)
    method, chosen = serverless().methods[job.method], blueprint(job.method, job.model)
    values, problems = sent_settings(job.method, job.model, job.overrides, joined(at, "overrides"))
    problems += _check(job, method, chosen, at)
    if problems:
        raise Invalid(*problems)
    data = {"train": job.data_uri, "validation": job.validation_uri}
    data_type = chosen.family.channel
    return without_none(
        TrainingJobName=job.job_name,
        RoleArn=deployment.execution_role_arn,
        HyperParameters=_hyperparameters(job, method, values),
        InputDataConfig=[channel(name, data_type, uri) for name, uri in data.items() if uri]
        if data_type
        else None,
        OutputDataConfig=without_none(
            S3OutputPath=job.output_uri,
            KmsKeyId=deployment.kms_key_arn,
            CompressionType="NONE",
        ),
        StoppingCondition={"MaxRuntimeInSeconds": job.max_runtime_seconds},
        ServerlessJobConfig=without_none(
            BaseModelArn=job.base_model_arn,
            AcceptEula=True,
            JobType="FineTuning" if method.technique else "Evaluation",
            CustomizationTechnique=method.technique,
            Peft="LORA" if method.technique else None,
            EvaluationType=method.evaluation,
            EvaluatorArn=job.evaluator_arn if method.technique == "RLVR" else None,
        ),
        # Only an evaluation of the base model itself has no package to start from or to make.
        ModelPackageConfig=without_none(
            ModelPackageGroupArn=job.model_package_group_arn, SourceModelPackageArn=job.checkpoint
        )
        if job.checkpoint or not method.evaluation
        else None,
        VpcConfig=vpc_config(deployment),
        Tags=sagemaker_tags(job.tags),
    )


def check_method(method: str, model: str, at: str) -> Iterator[Problem]:
    """Yield that this runtime has no such method or model, if it hasn't."""
    if method not in serverless().methods or model not in serverless().models:
        offered = f"{listed(tuple(serverless().methods))} on {listed(serverless().models)}"
        yield Problem(at, f"runtime serverless has no {method} on {model}", f"it has {offered}")


def carried(method: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``overrides`` that reach a job of ``method``."""
    sent = serverless().methods[method].hyperparameters
    return {name: value for name, value in overrides.items() if name in sent}


def sent_settings(
    method: str, model: str, overrides: Mapping[str, object], at: str = "overrides"
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the settings that reach a job, by name, and everything wrong with ``overrides``.

    Raises:
        KeyError: if this runtime has no such method.
    """
    chosen, offered = blueprint(method, model), serverless().methods[method]
    values, problems = resolve(chosen, overrides, at)
    by_name = {path.rpartition(".")[2]: value for path, value in values.items()}
    sent = {name: by_name[name] for name in offered.hyperparameters}
    return sent, [*problems, *_check_dropped(chosen, offered, overrides, at)]


def _check_dropped(
    chosen: Blueprint, method: ServerlessMethod, overrides: Mapping[str, object], at: str
) -> Iterator[Problem]:
    for name in map(str, overrides):
        try:
            leaf_name = find(chosen, name)[0].rpartition(".")[2]
        except Invalid:
            continue  # told already
        if leaf_name not in method.hyperparameters:
            do = "remove it or use runtime training-job"
            yield Problem(joined(at, name), "runtime serverless would drop it", do)


def _check(
    job: ServerlessJob, method: ServerlessMethod, chosen: Blueprint, at: str
) -> Iterator[Problem]:
    yield from check_name(job.job_name, joined(at, "job_name"))
    if job.data_uri:
        yield from check_object(job.data_uri, joined(at, "data_uri"))
    else:
        yield Problem(joined(at, "data_uri"), f"{job.method} needs a data set", "give one")
    yield from check_validation(job.validation_uri, chosen, joined(at, "validation_uri"))
    yield from check_package(job.checkpoint, joined(at, "checkpoint"))
    if method.technique == "RLVR" and not job.evaluator_arn:
        what = "is needed for reinforcement fine-tuning"
        yield Problem(joined(at, "evaluator_arn"), what, "register the reward function")
    processor, where = job.processor_function_arn, joined(at, "processor_function_arn")
    if processor is not None and method.evaluation is None:
        what = f"{job.method} takes no processor function and would ignore it"
        yield Problem(where, what, "leave it out")
    elif processor is not None:
        yield from check_function(processor, where)


def check_package(checkpoint: str | None, at: str) -> Iterator[Problem]:
    """Yield that no serverless job can start from ``checkpoint``, if none can."""
    if checkpoint is not None and not MODEL_PACKAGE_ARN.fullmatch(checkpoint):
        rule = "must be a model package ARN: this runtime takes no escrow URI"
        yield Problem(at, f"{shown(checkpoint)} {rule}")


def _hyperparameters(
    job: ServerlessJob, method: ServerlessMethod, values: Mapping[str, Any]
) -> dict[str, str]:
    settings = {
        hyperparameter: str(values[name])
        for name, hyperparameter in method.hyperparameters.items()
        if values[name] is not None
    }
    function = job.processor_function_arn
    scorer = {"lambda_arn": function, "lambda_type": "rft"} if function else {}
    return {"name": job.run_name, **settings, **scorer}
