"""Runtime `bedrock`: model customization jobs, which make custom models of Bedrock's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from novaloop.experiment.record import Record, Stage
from novaloop.experiment.runtimes.jobs import (
    JobRuntime,
    Launch,
    PlannedRequest,
    data_key,
    job_plan,
    joined_rows,
    listed_last,
    rows_of,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import JobStage, TrainStage
from novaloop.experiment.stack import StackConfig, client_token, jobs_prefix, tags_on_bedrock
from novaloop.problem import Problem
from novaloop.recipes import bedrock as recipes
from novaloop.recipes import facts
from novaloop.recipes.names import bedrock_name

ELSEWHERE = "use runtime training-job or serverless"
REMOVE = f"remove it or {ELSEWHERE}"
PLACEHOLDER_MODEL = "arn:aws:bedrock:{}:000000000000:custom-model/imported/placeholder0"
_CHOSEN_THERE = ("instance_type", "instances", "max_runtime_seconds", "image", "stop_on")


class BedrockRuntime(JobRuntime):
    """Jobs of Bedrock, each of which trains a base model; a checkpoint is a custom model."""

    def check_plan(self, spec: ExperimentSpec) -> Iterator[Problem]:
        """Yield that it trains once, from the base model, and serves by itself."""
        trained = False
        for at, plan in spec.places:
            if plan.kind.serves and not plan.on_bedrock:
                do = "use to: bedrock-on-demand or bedrock-provisioned"
                yield Problem(f"{at}.to", "what Bedrock trained, only Bedrock serves", do)
            if plan.kind.trains:
                if trained:
                    what = "Bedrock trains from the base model, so one training is all a plan has"
                    yield Problem(at, what, ELSEWHERE)
                trained = True
        if spec.checkpoint is not None:
            yield Problem("checkpoint", "Bedrock trains from the base model", REMOVE)

    def check_job(self, spec: ExperimentSpec, stage: JobStage, at: str) -> Iterator[Problem]:
        """Yield what it has not, or would ignore."""
        if not stage.kind.trains:
            yield Problem(at, "Bedrock has no evaluation of Nova models", REMOVE)
            return
        for name in _CHOSEN_THERE:
            if name in stage.model_fields_set and getattr(stage, name) not in {None, ()}:
                yield Problem(f"{at}.{name}", "runtime bedrock would ignore it", REMOVE)
        if stage.validation_input is not None:
            yield Problem(f"{at}.validation", "is not sent to Bedrock", REMOVE)
        where = f"{at}.peft" if "peft" in stage.model_fields_set else at
        problems = list(recipes.check_method(stage.method, spec.model, where))
        yield from problems or recipes.check_overrides(
            stage.method, stage.overrides, f"{at}.overrides"
        )

    def check_rows(
        self, spec: ExperimentSpec, stage: TrainStage, rows: int, at: str
    ) -> Iterator[Problem]:
        """Yield that they are fewer or more than Bedrock takes."""
        return recipes.check_rows(stage.method, spec.model, rows, at)

    def check_checkpoint(self, checkpoint: str, at: str) -> Iterator[Problem]:
        """Yield nothing: a plan for it may have no checkpoint at all."""
        yield from ()

    def check_region(self, method: str, region: str, at: str) -> Iterator[Problem]:
        """Yield that Bedrock does not train by that method there."""
        return recipes.check_training_region(method, region, at)

    def settings(self, spec: ExperimentSpec, stage: JobStage) -> Mapping[str, Any]:
        """Return the hyperparameters, by the names that recipes give them."""
        return recipes.settings_by_recipe(stage.method, stage.overrides)

    def launch(self, record: Record, stage: Stage, stack_config: StackConfig) -> Launch:
        """Return CreateModelCustomizationJob. Raises Invalid."""
        plan = job_plan(record, stage)
        name = stage.attempt.claimed_name
        job = recipes.CustomizationJob(
            method=plan.method,
            model=record.spec.model,
            name=name,
            data_uri=stack_config.uri(data_key(record, plan) or ""),
            rows=rows_of(record, plan),
            output_uri=stack_config.uri(f"{jobs_prefix(record.experiment_id)}/{name}/output"),
            overrides=plan.overrides,
            tags=tags_on_bedrock(record, stage, stack_config),
        )
        request = {
            **recipes.customization_job(job, stack_config.on_bedrock),
            "clientRequestToken": client_token(record, stage),
        }
        return Launch(
            uploads=tuple(joined_rows(record, plan, stack_config)),
            requests=(PlannedRequest("CreateModelCustomizationJob", request),),
            max_runtime_seconds=plan.max_runtime_seconds,
        )

    def placeholder(self, record: Record, name: str, stack_config: StackConfig) -> str:
        """Return a custom model of the base model."""
        base = facts.model(record.spec.model).bedrock_model
        return PLACEHOLDER_MODEL.format(stack_config.deployment.region).replace("imported", base)

    def whereabouts(self, record: Record, names: Sequence[str]) -> str:
        """Name the models."""
        shown = listed_last([bedrock_name(name) for name in names])
        return f"among Bedrock's custom models, under the names {shown}"
