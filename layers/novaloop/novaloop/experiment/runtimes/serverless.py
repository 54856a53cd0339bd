"""Runtime `serverless`: SageMaker's own machines, which make versions of a model package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from novaloop.experiment.names import evaluator_hub, model_package_group
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.runtimes.jobs import (
    JobRuntime,
    Launch,
    PlannedRequest,
    data_key,
    job_plan,
    joined_rows,
    key_of,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import JobStage, StageKind, Task
from novaloop.experiment.stack import StackConfig, experiment_tags, jobs_prefix, tags
from novaloop.problem import Problem
from novaloop.recipes import registry
from novaloop.recipes import serverless as recipes
from novaloop.recipes.checks import check_holdout
from novaloop.recipes.jobs import MODEL_PACKAGE_ARN
from novaloop.recipes.settings import listed

_ELSEWHERE = "remove it or use runtime training-job"


class ServerlessRuntime(JobRuntime):
    """Jobs on machines that SageMaker chooses; a checkpoint is a version of a model package."""

    note: ClassVar[str] = "The base model's ARN gets its version from SageMaker's hub at launch."

    def check_plan(self, spec: ExperimentSpec) -> Iterator[Problem]:
        """Yield that it has not the model."""
        models = recipes.serverless().models
        if spec.model not in models:
            what = f"runtime serverless has {listed(models)}, not {spec.model}"
            yield Problem("model", what, "choose one of them or use runtime training-job")

    def check_job(self, spec: ExperimentSpec, stage: JobStage, at: str) -> Iterator[Problem]:
        """Yield what it has not, or would ignore."""
        method, model = stage.method, spec.model
        for machines in ("instance_type", "instances"):
            if machines in stage.model_fields_set:
                what = "runtime serverless chooses the machines"
                yield Problem(f"{at}.{machines}", what, _ELSEWHERE)
        for name in ("image", "subtask"):
            if getattr(stage, name, None):
                yield Problem(f"{at}.{name}", "runtime serverless would ignore it", _ELSEWHERE)
        if stage.kind.is_scored and method != Task.GEN_QA:
            what = f"no request is known that tells runtime serverless to run {method}"
            yield Problem(f"{at}.task", what, "use runtime training-job")
            return
        if model not in recipes.serverless().models:
            return  # told once, for the whole plan
        where = f"{at}.peft" if "peft" in stage.model_fields_set else at
        if problems := list(recipes.check_method(method, model, where)):
            yield from problems
            return
        yield from recipes.sent_settings(method, model, stage.overrides, f"{at}.overrides")[1]
        if stage.validation_input is not None:
            yield from check_holdout(method, model, stage.overrides, at=at)

    def check_checkpoint(self, checkpoint: str, at: str) -> Iterator[Problem]:
        """Yield that it is no model package."""
        return recipes.check_package(checkpoint, at)

    def check_origin(self, checkpoint: str, experiment: str, stage: str) -> Iterator[Problem]:
        """Yield that the other experiment made no model package."""
        if not MODEL_PACKAGE_ARN.fullmatch(checkpoint):
            what = f"{experiment} did not run serverless, so {stage} left no package"
            yield Problem("checkpoint", what, "use runtime training-job")

    def check_region(self, method: str, region: str, at: str) -> Iterator[Problem]:
        """Yield that SageMaker does not offer it there."""
        return recipes.check_region(region, at)

    def settings(self, spec: ExperimentSpec, stage: JobStage) -> Mapping[str, Any]:
        """Return the settings that are sent; the others are SageMaker's own."""
        return recipes.sent_settings(stage.method, spec.model, stage.overrides)[0]

    def launch(self, record: Record, stage: Stage, stack_config: StackConfig) -> Launch:
        """Return CreateTrainingJob, and what registers what it refers to. Raises Invalid."""
        plan = job_plan(record, stage)
        name, deployment = stage.attempt.claimed_name, stack_config.deployment
        data, validation = data_key(record, plan), plan.validation_input
        group = model_package_group(record.prefix, record.experiment_id)
        hub = evaluator_hub(record.prefix)
        reward = deployment.reward_function_arn if plan.kind is StageKind.RFT else None
        job = recipes.ServerlessJob(
            method=plan.method,
            model=record.spec.model,
            run_name=name,
            job_name=name,
            data_uri=stack_config.uri(data) if data else None,
            validation_uri=stack_config.uri(key_of(record, validation)) if validation else None,
            output_uri=stack_config.uri(jobs_prefix(record.experiment_id)),
            base_model_arn=registry.base_model_arn(record.spec.model, deployment.region),
            model_package_group_arn=registry.group_arn(group, deployment),
            checkpoint=record.checkpoint_before(stage),
            evaluator_arn=registry.evaluator_arn(hub, reward, deployment) if reward else None,
            processor_function_arn=plan.processor_function,
            overrides=plan.overrides,
            max_runtime_seconds=plan.max_runtime_seconds,
            tags=tags(record, stage, stack_config),
        )
        request = recipes.serverless_job(job, deployment)
        return Launch(
            uploads=tuple(joined_rows(record, plan, stack_config)),
            requests=(
                *_registrations(record, request, stack_config),
                PlannedRequest("CreateTrainingJob", request),
            ),
            max_runtime_seconds=job.max_runtime_seconds,
        )

    def placeholder(self, record: Record, name: str, stack_config: StackConfig) -> str:
        """Return the next version of the experiment's model package."""
        trained = sum(stage.checkpoint is not None for stage in record.stages)
        group = model_package_group(record.prefix, record.experiment_id)
        arn = registry.group_arn(group, stack_config.deployment)
        return f"{arn.replace('-group/', '/')}/{trained + 1}"

    def whereabouts(self, record: Record, names: Sequence[str]) -> str:
        """Name the group of the versions; they carry no job's name."""
        group = model_package_group(record.prefix, record.experiment_id)
        return f"a version of the model package group {group}"


def _registrations(
    record: Record, request: Mapping[str, Any], stack_config: StackConfig
) -> Iterator[PlannedRequest]:
    """Yield the requests for what a serverless job's request refers to."""
    if "ModelPackageConfig" in request:
        group = model_package_group(record.prefix, record.experiment_id)
        created = registry.create_group(group, experiment_tags(record, stack_config))
        yield PlannedRequest("CreateModelPackageGroup", created)
    reward = stack_config.deployment.reward_function_arn
    if reward is not None and "EvaluatorArn" in request["ServerlessJobConfig"]:
        hub = evaluator_hub(record.prefix)
        yield PlannedRequest("CreateHub", registry.create_hub(hub))
        yield PlannedRequest("ImportHubContent", registry.import_evaluator(hub, reward))
