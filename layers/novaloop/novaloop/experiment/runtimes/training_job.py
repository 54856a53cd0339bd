"""From a stage of a record to what launches its training or evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from novaloop.experiment.costs.budget import runtime_limit
from novaloop.experiment.names import evaluator_hub, model_package_group
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import Input, inputs_of, validation_input_of
from novaloop.experiment.spec.stages import (
    DeployStage,
    EvaluateStage,
    JobStage,
    OnBedrock,
    RftStage,
    Runtime,
    StagePlan,
    method_of,
)
from novaloop.experiment.stack import (
    Site,
    client_token,
    experiment_tags,
    jobs_prefix,
    tags,
    tags_on_bedrock,
)
from novaloop.problem import Problem
from novaloop.recipes import bedrock, facts, registry, serverless
from novaloop.recipes.bedrock import CustomizationJob, customization_job, settings_by_recipe
from novaloop.recipes.catalog import blueprint
from novaloop.recipes.checks import check_callable, check_repository
from novaloop.recipes.jobs import TrainingJob
from novaloop.recipes.overrides import resolve
from novaloop.recipes.plans import plan_training_job
from novaloop.recipes.serverless import ServerlessJob, sent_settings, serverless_job
from novaloop.recipes.steps import optimizer_steps


@dataclass(frozen=True)
class PlannedUpload:
    """One object to write before the requests: a text, or other objects joined together."""

    uri: str
    text: str | None = None
    joined: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedRequest:
    """One call, such as CreateTrainingJob, with its exact parameters."""

    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Launch:
    """What launches one attempt at a training or an evaluation, in this order.

    Each upload and each request can be repeated: names are derived, what exists is left alone.
    """

    uploads: tuple[PlannedUpload, ...]
    requests: tuple[PlannedRequest, ...]
    max_runtime_seconds: int


def check_region(spec: ExperimentSpec, plan: StagePlan, region: str, at: str) -> Iterator[Problem]:
    """Give the reason why a stage can't run in the stack's region, if it can't."""
    if isinstance(plan, OnBedrock):
        return bedrock.check_serving_region(plan.to, region, at)
    if isinstance(plan, DeployStage) or spec.runtime is Runtime.TRAINING_JOB:
        return facts.check_region(region, at)
    if spec.runtime is Runtime.BEDROCK:
        return bedrock.check_training_region(method_of(plan), region, at)
    return serverless.check_region(region, at)


def check_image(plan: StagePlan, site: Site, at: str) -> Iterator[Problem]:
    """Give the reason why the image of a stage may not run in the stack, if it may not."""
    return check_repository(getattr(plan, "image", None), site.deployment, f"{at}.image")


def check_processor(plan: StagePlan, site: Site, at: str) -> Iterator[Problem]:
    """Give the reason why the stack's jobs can't call a stage's processor, if they can't."""
    return check_callable(getattr(plan, "processor", None), site.deployment, f"{at}.processor")


def data_keys(record: Record, plan: JobStage) -> tuple[str, ...]:
    """Return the keys of the rows that a stage's job reads, in order; several are to be joined."""
    return tuple(_key(record, each) for each in inputs_of(plan))


def data_key(record: Record, plan: JobStage) -> str | None:
    """Return the key of the one object that a job reads as its `train` channel, if it reads any.

    Joined rows are named after what they are joined from, not after the job: a job that is lost to
    capacity is launched hundreds of times, and each would leave its gigabytes behind.
    """
    keys = data_keys(record, plan)
    if len(keys) < 2:
        return keys[0] if keys else None
    joined_from = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    file = inputs_of(plan)[0][1].file_name
    return f"{jobs_prefix(record.experiment_id)}/data/{joined_from}/{file}"


def _key(record: Record, needed: Input) -> str:
    role, row_format = needed
    return record.datasets[role].outputs[row_format]


def plan_job(record: Record, stage: Stage, plan: JobStage, site: Site) -> Launch:
    """Return what launches a stage's attempt. Raises Invalid."""
    if record.spec.runtime is Runtime.SERVERLESS:
        return _plan_serverless(record, stage, plan, site)
    if record.spec.runtime is Runtime.BEDROCK:
        return _plan_customization(record, stage, plan, site)
    return _plan_training_job(record, stage, plan, site)


def _plan_training_job(record: Record, stage: Stage, plan: JobStage, site: Site) -> Launch:
    name, prefix = stage.claimed_name, jobs_prefix(record.experiment_id)
    data, validation = data_key(record, plan), validation_input_of(plan)
    job = TrainingJob(
        method=method_of(plan),
        model=record.spec.model,
        run_name=name,
        job_name=name,
        data_uri=site.uri(data) if data else None,
        validation_uri=site.uri(_key(record, validation)) if validation else None,
        output_uri=site.uri(prefix),
        recipe_uri=site.uri(f"{prefix}/{name}/recipe.yaml"),
        instance_type=plan.instance_type,
        instance_count=plan.instances,
        checkpoint=record.checkpoint_before(stage),
        subtask=plan.subtask if isinstance(plan, EvaluateStage) else None,
        processor_function_arn=plan.processor if isinstance(plan, EvaluateStage) else None,
        image=plan.image,
        overrides=plan.overrides,
        max_runtime_seconds=runtime_limit(record, plan, plan.max_runtime_seconds),
        tags=tags(record, stage, site),
    )
    planned = plan_training_job(job, site.deployment)
    recipe = PlannedUpload(planned.recipe_uri, text=planned.recipe_text)
    return Launch(
        uploads=(*_joined_rows(record, plan, site), recipe),
        requests=(PlannedRequest("CreateTrainingJob", planned.request),),
        max_runtime_seconds=job.max_runtime_seconds,
    )


def _plan_serverless(record: Record, stage: Stage, plan: JobStage, site: Site) -> Launch:
    job = _serverless_job(record, stage, plan, site)
    request = serverless_job(job, site.deployment)
    return Launch(
        uploads=tuple(_joined_rows(record, plan, site)),
        requests=(
            *_registrations(record, request, site),
            PlannedRequest("CreateTrainingJob", request),
        ),
        max_runtime_seconds=job.max_runtime_seconds,
    )


def _serverless_job(record: Record, stage: Stage, plan: JobStage, site: Site) -> ServerlessJob:
    name, deployment = stage.claimed_name, site.deployment
    data, validation = data_key(record, plan), validation_input_of(plan)
    group = model_package_group(record.prefix, record.experiment_id)
    hub = evaluator_hub(record.prefix)
    reward = deployment.reward_function_arn if isinstance(plan, RftStage) else None
    return ServerlessJob(
        method=method_of(plan),
        model=record.spec.model,
        run_name=name,
        job_name=name,
        data_uri=site.uri(data) if data else None,
        validation_uri=site.uri(_key(record, validation)) if validation else None,
        output_uri=site.uri(jobs_prefix(record.experiment_id)),
        base_model_arn=registry.base_model_arn(record.spec.model, deployment.region),
        model_package_group_arn=registry.group_arn(group, deployment),
        checkpoint=record.checkpoint_before(stage),
        evaluator_arn=registry.evaluator_arn(hub, reward, deployment) if reward else None,
        processor_function_arn=plan.processor if isinstance(plan, EvaluateStage) else None,
        overrides=plan.overrides,
        max_runtime_seconds=plan.max_runtime_seconds,
        tags=tags(record, stage, site),
    )


def _registrations(
    record: Record, request: Mapping[str, Any], site: Site
) -> Iterator[PlannedRequest]:
    """Yield the requests for what a serverless job's request refers to."""
    if "ModelPackageConfig" in request:
        group = model_package_group(record.prefix, record.experiment_id)
        created = registry.create_group(group, experiment_tags(record, site))
        yield PlannedRequest("CreateModelPackageGroup", created)
    reward = site.deployment.reward_function_arn
    if reward is not None and "EvaluatorArn" in request["ServerlessJobConfig"]:
        hub = evaluator_hub(record.prefix)
        yield PlannedRequest("CreateHub", registry.create_hub(hub))
        yield PlannedRequest("ImportHubContent", registry.import_evaluator(hub, reward))


def _plan_customization(record: Record, stage: Stage, plan: JobStage, site: Site) -> Launch:
    name = stage.claimed_name
    job = CustomizationJob(
        method=method_of(plan),
        model=record.spec.model,
        name=name,
        data_uri=site.uri(data_key(record, plan) or ""),
        rows=sum(record.datasets[role].rows for role, _ in inputs_of(plan)),
        output_uri=site.uri(f"{jobs_prefix(record.experiment_id)}/{name}/output"),
        overrides=plan.overrides,
        tags=tags_on_bedrock(record, stage, site),
    )
    request = {
        **customization_job(job, site.on_bedrock),
        "clientRequestToken": client_token(record, stage),
    }
    return Launch(
        uploads=tuple(_joined_rows(record, plan, site)),
        requests=(PlannedRequest("CreateModelCustomizationJob", request),),
        max_runtime_seconds=plan.max_runtime_seconds,
    )


def _joined_rows(record: Record, plan: JobStage, site: Site) -> Iterator[PlannedUpload]:
    keys, target = data_keys(record, plan), data_key(record, plan)
    if target is not None and len(keys) > 1:
        yield PlannedUpload(site.uri(target), joined=tuple(map(site.uri, keys)))


def steps_of(record: Record, plan: JobStage) -> int | None:
    """Return how many steps a stage's training takes; None for an evaluation."""
    rows = sum(record.datasets[role].rows for role, _ in inputs_of(plan))
    return optimizer_steps(settings_of(record.spec, plan), rows)


def settings_of(spec: ExperimentSpec, plan: JobStage) -> Mapping[str, Any]:
    """Return the settings that a stage's job is told, by name."""
    method = method_of(plan)
    if spec.runtime is Runtime.SERVERLESS:
        return sent_settings(method, spec.model, plan.overrides)[0]
    if spec.runtime is Runtime.BEDROCK:
        return settings_by_recipe(method, plan.overrides)
    chosen = blueprint(method, spec.model, plan.instance_type)
    values, _ = resolve(chosen, plan.overrides, "overrides")
    return {path.rpartition(".")[2]: value for path, value in values.items()}
