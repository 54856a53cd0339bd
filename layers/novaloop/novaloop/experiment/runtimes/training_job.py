"""Runtime `training-job`: SageMaker training jobs that run a recipe in AWS's own images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from novaloop.experiment.costs.budget import runtime_limit
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.runtimes.jobs import (
    JobRuntime,
    Launch,
    PlannedRequest,
    PlannedUpload,
    data_key,
    job_plan,
    joined_rows,
    key_of,
    listed_last,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import EvaluateStage, JobStage
from novaloop.experiment.stack import StackConfig, jobs_prefix, tags
from novaloop.problem import Problem
from novaloop.recipes import checks, facts
from novaloop.recipes.catalog import blueprint
from novaloop.recipes.jobs import TrainingJob
from novaloop.recipes.overrides import resolve
from novaloop.recipes.plans import plan_training_job

PLACEHOLDER_ESCROW = "s3://customer-escrow-000000000000-smtj-placeholder"
ESCROW = "customer-escrow-<account>-*"


class TrainingJobRuntime(JobRuntime):
    """Jobs on machines that the plan chooses; a checkpoint lies in a bucket of AWS's."""

    def check_job(self, spec: ExperimentSpec, stage: JobStage, at: str) -> Iterator[Problem]:
        """Yield what is wrong with image, machines, overrides and validation."""
        method, model = stage.method, spec.model
        machine, overrides = stage.instance_type, stage.overrides
        yield from checks.check_image(stage.image, f"{at}.image")
        yield from checks.check_infrastructure(method, model, machine, stage.instances, at)
        yield from checks.check_overrides(
            method, model, overrides, instance_type=machine, at=f"{at}.overrides"
        )
        if stage.validation_input is not None:
            yield from checks.check_holdout(method, model, overrides, instance_type=machine, at=at)

    def check_checkpoint(self, checkpoint: str, at: str) -> Iterator[Problem]:
        """Yield that it is neither a checkpoint nor a model package."""
        return checks.check_checkpoint(checkpoint, at)

    def check_region(self, method: str, region: str, at: str) -> Iterator[Problem]:
        """Yield that AWS has no images there."""
        return facts.check_region(region, at)

    def settings(self, spec: ExperimentSpec, stage: JobStage) -> Mapping[str, Any]:
        """Return the settings of the recipe."""
        chosen = blueprint(stage.method, spec.model, stage.instance_type)
        values, _ = resolve(chosen, stage.overrides, "overrides")
        return {path.rpartition(".")[2]: value for path, value in values.items()}

    def launch(self, record: Record, stage: Stage, stack_config: StackConfig) -> Launch:
        """Return the upload of a recipe and CreateTrainingJob. Raises Invalid."""
        plan = job_plan(record, stage)
        name = stage.attempt.claimed_name
        data, validation = data_key(record, plan), plan.validation_input
        job = TrainingJob(
            method=plan.method,
            model=record.spec.model,
            run_name=name,
            job_name=name,
            data_uri=stack_config.uri(data) if data else None,
            validation_uri=stack_config.uri(key_of(record, validation)) if validation else None,
            output_uri=stack_config.uri(jobs_prefix(record.experiment_id)),
            recipe_uri=stack_config.uri(self.recipe_key(record, name)),
            instance_type=plan.instance_type,
            instance_count=plan.instances,
            checkpoint=record.checkpoint_before(stage),
            subtask=plan.subtask if isinstance(plan, EvaluateStage) else None,
            processor_function_arn=plan.processor_function,
            image=plan.image,
            overrides=plan.overrides,
            max_runtime_seconds=runtime_limit(record, plan, plan.max_runtime_seconds),
            tags=tags(record, stage, stack_config),
        )
        planned = plan_training_job(job, stack_config.deployment)
        recipe = PlannedUpload(planned.recipe_uri, text=planned.recipe_text)
        return Launch(
            uploads=(*joined_rows(record, plan, stack_config), recipe),
            requests=(PlannedRequest("CreateTrainingJob", planned.request),),
            max_runtime_seconds=job.max_runtime_seconds,
        )

    def placeholder(self, record: Record, name: str, stack_config: StackConfig) -> str:
        """Return a checkpoint in a bucket of AWS's."""
        return f"{PLACEHOLDER_ESCROW}/{name}/outputs/checkpoints/last"

    def image(self, spec: ExperimentSpec, stage: JobStage) -> str | None:
        """Return the stage's image, or that of its recipe."""
        chosen = blueprint(stage.method, spec.model, stage.instance_type)
        return stage.image or chosen.family.image

    def recipe_key(self, record: Record, name: str) -> str:
        """Return where the launch writes the recipe."""
        return f"{jobs_prefix(record.experiment_id)}/{name}/recipe.yaml"

    def whereabouts(self, record: Record, names: Sequence[str]) -> str:
        """Name the buckets of AWS's."""
        return f"in the buckets {ESCROW}, under the names {listed_last(names)}"
