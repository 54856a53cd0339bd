"""From a stage of a record to the requests that launch it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from novaloop.experiment.budget import runtime_limit
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.spec import DeployStage, EvaluateStage, RftStage, Role, SftStage
from novaloop.experiment.spec_file import method_of
from novaloop.recipes.endpoints import Endpoint, EndpointPlan, plan_endpoint
from novaloop.recipes.jobs import Deployment, TrainingJob
from novaloop.recipes.plans import JobPlan, plan_training_job

EXPERIMENT_TAG = "novaloop:experiment"
STAGE_TAG = "novaloop:stage"


@dataclass(frozen=True)
class Site:
    """Where a stack keeps its objects and what its jobs run with."""

    bucket: str
    deployment: Deployment
    extra_tags: Mapping[str, str] = field(default_factory=dict)

    def uri(self, key: str) -> str:
        """Return the S3 URI of a key in the application's bucket."""
        return f"s3://{self.bucket}/{key}"


@dataclass(frozen=True)
class EndpointRef:
    """What an attempt at a deployment goes by: `name` names all that it creates for itself."""

    name: str
    endpoint: str
    component: str | None = None


def endpoint_ref(stage: Stage, plan: DeployStage) -> EndpointRef:
    """Return what an attempt at a deployment goes by."""
    name = _name(stage)
    return EndpointRef(name, name, name if plan.inference_component else None)


def jobs_prefix(experiment_id: str) -> str:
    """Return the key prefix under which the jobs of an experiment write."""
    return f"jobs/{experiment_id}"


def output_prefix(experiment_id: str, stage: Stage) -> str:
    """Return the key prefix under which the service puts what a stage's job leaves."""
    return f"{jobs_prefix(experiment_id)}/{_name(stage)}/"


def rft_data_keys(record: Record, plan: RftStage) -> tuple[str, ...]:
    """Return the keys of the rows that a reinforcement stage trains on, in order."""
    own = record.datasets[Role.RFT].outputs["rft"]
    return (own, record.datasets[Role.SFT].outputs["rft"]) if plan.include_sft_rows else (own,)


def data_key(record: Record, plan: EvaluateStage | SftStage | RftStage, job_name: str) -> str:
    """Return the key of the one object that a job reads as its `train` channel."""
    if isinstance(plan, EvaluateStage):
        return record.datasets[Role.EVAL].outputs["evaluation"]
    if isinstance(plan, SftStage):
        return record.datasets[Role.SFT].outputs["sft"]
    keys = rft_data_keys(record, plan)
    prefix = jobs_prefix(record.experiment_id)
    return keys[0] if len(keys) == 1 else f"{prefix}/{job_name}/data/rft.jsonl"


def tags(record: Record, stage: Stage, site: Site) -> dict[str, str]:
    """Return the tags by which everything that an attempt creates is found again."""
    return {
        **site.extra_tags,
        EXPERIMENT_TAG: record.experiment_id,
        STAGE_TAG: f"{stage.name}-{stage.attempt}",
    }


def plan_job(
    record: Record, stage: Stage, plan: EvaluateStage | SftStage | RftStage, site: Site
) -> JobPlan:
    """Return the recipe and request of a stage's attempt. Raises RecipeError."""
    name = _name(stage)
    prefix = jobs_prefix(record.experiment_id)
    job = TrainingJob(
        method=method_of(plan),
        model=record.spec.model,
        run_name=name,
        job_name=name,
        data_uri=site.uri(data_key(record, plan, name)),
        output_uri=site.uri(prefix),
        recipe_uri=site.uri(f"{prefix}/{name}/recipe.yaml"),
        instance_type=plan.instance_type,
        instance_count=plan.instances,
        checkpoint=record.checkpoint_before(stage),
        overrides=plan.overrides,
        max_runtime_seconds=runtime_limit(record, plan, plan.max_runtime_seconds),
        tags=tags(record, stage, site),
    )
    return plan_training_job(job, site.deployment)


def plan_deployment(record: Record, stage: Stage, plan: DeployStage, site: Site) -> EndpointPlan:
    """Return the requests that deploy the newest checkpoint. Raises RecipeError."""
    checkpoint = record.checkpoint_before(stage)
    if checkpoint is None:
        raise ValueError(f"stage {stage.name} has no checkpoint to deploy")
    endpoint = Endpoint(
        name=_name(stage),
        model=record.spec.model,
        checkpoint=checkpoint,
        instance_type=plan.instance_type,
        instance_count=plan.instances,
        context_length=plan.context_length,
        max_concurrency=plan.max_concurrency,
        environment=plan.environment,
        inference_component=plan.inference_component,
        tags=tags(record, stage, site),
    )
    return plan_endpoint(endpoint, site.deployment)


def _name(stage: Stage) -> str:
    if stage.job_name is None:
        raise ValueError(f"stage {stage.name} was never claimed")
    return stage.job_name
