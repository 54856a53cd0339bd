"""From a stage of a record to the requests that launch it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from novaloop.experiment.budget import runtime_limit
from novaloop.experiment.inputs import Input, inputs_of, validation_input_of
from novaloop.experiment.names import endpoint_name, evaluator_hub, model_package_group
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.spec import (
    DeployStage,
    EvaluateStage,
    ExperimentSpec,
    JobStage,
    ProvisionedStage,
    RftStage,
    Runtime,
    ServingPlan,
    Target,
)
from novaloop.experiment.spec_file import method_of
from novaloop.recipes import registry
from novaloop.recipes.bedrock import CustomizationJob, customization_job, settings_by_recipe
from novaloop.recipes.bedrock_serving import BedrockPlan, BedrockServing, plan_bedrock_serving
from novaloop.recipes.catalog import blueprint
from novaloop.recipes.endpoints import Endpoint, EndpointPlan, plan_endpoint
from novaloop.recipes.jobs import Deployment, TrainingJob
from novaloop.recipes.names import bedrock_name
from novaloop.recipes.overrides import resolve
from novaloop.recipes.plans import plan_training_job
from novaloop.recipes.serverless import ServerlessJob, sent_settings, serverless_job
from novaloop.recipes.steps import optimizer_steps

EXPERIMENT_TAG = "novaloop:experiment"
STAGE_TAG = "novaloop:stage"
PREFIX_TAG = "novaloop:prefix"
"""Which stack's something is, where its name does not tell: Bedrock's ARNs are not ours."""


@dataclass(frozen=True)
class Site:
    """Where a stack keeps its objects and what its jobs run with."""

    bucket: str
    deployment: Deployment
    bedrock_role_arn: str = ""
    extra_tags: Mapping[str, str] = field(default_factory=dict)

    def uri(self, key: str) -> str:
        """Return the S3 URI of a key in the application's bucket."""
        return f"s3://{self.bucket}/{key}"

    def key(self, uri: str) -> str:
        """Return the key of an S3 URI in the application's bucket."""
        return uri.removeprefix(self.uri(""))


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


@dataclass(frozen=True)
class EndpointRef:
    """What an attempt at a deployment goes by: `name` names all that it creates for itself.

    `endpoint` differs from it if it serves one experiment after the other; `former` is then the
    configuration that it goes back to if this one does not answer.
    """

    name: str
    endpoint: str
    component: str | None = None
    former: str | None = None
    to: Target = "sagemaker"

    @property
    def is_shared(self) -> bool:
        """Whether the endpoint serves one experiment after the other."""
        return self.endpoint != self.name


def endpoint_ref(record: Record, stage: Stage, plan: ServingPlan) -> EndpointRef:
    """Return what an attempt at a deployment goes by."""
    name = _name(stage)
    if not isinstance(plan, DeployStage):
        return EndpointRef(bedrock_name(name), bedrock_name(name), to=plan.to)
    return EndpointRef(
        name=name,
        endpoint=shared_endpoint(record, plan) or name,
        component=name if plan.inference_component else None,
        former=stage.former,
    )


def shared_endpoint(record: Record, plan: DeployStage) -> str | None:
    """Return the name of the endpoint that serves one experiment after the other, if any."""
    return endpoint_name(record.prefix, plan.endpoint) if plan.endpoint else None


def jobs_prefix(experiment_id: str) -> str:
    """Return the key prefix under which the jobs of an experiment write."""
    return f"jobs/{experiment_id}"


def output_prefix(experiment_id: str, stage: Stage) -> str:
    """Return the key prefix under which the service puts what a stage's job leaves."""
    return f"{jobs_prefix(experiment_id)}/{_name(stage)}/"


def data_keys(record: Record, plan: JobStage) -> tuple[str, ...]:
    """Return the keys of the rows that a stage's job reads, in order; several are to be joined."""
    return tuple(_key(record, each) for each in inputs_of(plan))


def data_key(record: Record, plan: JobStage, job_name: str) -> str | None:
    """Return the key of the one object that a job reads as its `train` channel, if it reads any."""
    keys = data_keys(record, plan)
    if len(keys) < 2:
        return keys[0] if keys else None
    file = inputs_of(plan)[0][1].file_name
    return f"{jobs_prefix(record.experiment_id)}/{job_name}/data/{file}"


def _key(record: Record, needed: Input) -> str:
    role, row_format = needed
    return record.datasets[role].outputs[row_format]


def experiment_tags(record: Record, site: Site) -> dict[str, str]:
    """Return the tags by which everything that an experiment creates is found again."""
    return {**site.extra_tags, EXPERIMENT_TAG: record.experiment_id}


def tags(record: Record, stage: Stage, site: Site) -> dict[str, str]:
    """Return the tags by which everything that an attempt creates is found again."""
    return {**experiment_tags(record, site), STAGE_TAG: f"{stage.name}-{stage.attempt}"}


def plan_job(record: Record, stage: Stage, plan: JobStage, site: Site) -> Launch:
    """Return what launches a stage's attempt. Raises RecipeError."""
    if record.spec.runtime is Runtime.SERVERLESS:
        return _plan_serverless(record, stage, plan, site)
    if record.spec.runtime is Runtime.BEDROCK:
        return _plan_customization(record, stage, plan, site)
    return _plan_training_job(record, stage, plan, site)


def _plan_training_job(record: Record, stage: Stage, plan: JobStage, site: Site) -> Launch:
    name, prefix = _name(stage), jobs_prefix(record.experiment_id)
    data, validation = data_key(record, plan, name), validation_input_of(plan)
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
        uploads=(*_joined_rows(record, plan, name, site), recipe),
        requests=(PlannedRequest("CreateTrainingJob", planned.request),),
        max_runtime_seconds=job.max_runtime_seconds,
    )


def _plan_serverless(record: Record, stage: Stage, plan: JobStage, site: Site) -> Launch:
    job = _serverless_job(record, stage, plan, site)
    request = serverless_job(job, site.deployment)
    return Launch(
        uploads=tuple(_joined_rows(record, plan, job.job_name, site)),
        requests=(
            *_registrations(record, request, site),
            PlannedRequest("CreateTrainingJob", request),
        ),
        max_runtime_seconds=job.max_runtime_seconds,
    )


def _serverless_job(record: Record, stage: Stage, plan: JobStage, site: Site) -> ServerlessJob:
    name, deployment = _name(stage), site.deployment
    data, validation = data_key(record, plan, name), validation_input_of(plan)
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
    name = _name(stage)
    job = CustomizationJob(
        method=method_of(plan),
        model=record.spec.model,
        name=name,
        data_uri=site.uri(data_key(record, plan, name) or ""),
        rows=sum(record.datasets[role].rows for role, _ in inputs_of(plan)),
        output_uri=site.uri(f"{jobs_prefix(record.experiment_id)}/{name}/output"),
        overrides=plan.overrides,
        tags=_tags_on_bedrock(record, stage, site),
    )
    request = {**customization_job(job, _on_bedrock(site)), "clientRequestToken": name}
    return Launch(
        uploads=tuple(_joined_rows(record, plan, name, site)),
        requests=(PlannedRequest("CreateModelCustomizationJob", request),),
        max_runtime_seconds=plan.max_runtime_seconds,
    )


def _tags_on_bedrock(record: Record, stage: Stage, site: Site) -> dict[str, str]:
    return {**tags(record, stage, site), PREFIX_TAG: record.prefix}


def _joined_rows(
    record: Record, plan: JobStage, job_name: str, site: Site
) -> Iterator[PlannedUpload]:
    keys, target = data_keys(record, plan), data_key(record, plan, job_name)
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


def plan_deployment(
    record: Record, stage: Stage, plan: ServingPlan, site: Site
) -> EndpointPlan | BedrockPlan:
    """Return the requests that deploy the newest checkpoint. Raises RecipeError."""
    checkpoint = record.checkpoint_before(stage)
    if checkpoint is None:
        raise ValueError(f"stage {stage.name} has no checkpoint to deploy")
    if isinstance(plan, DeployStage):
        return _plan_endpoint(record, stage, plan, site, checkpoint)
    serving = BedrockServing(
        name=bedrock_name(_name(stage)),
        checkpoint=checkpoint,
        model_units=plan.model_units if isinstance(plan, ProvisionedStage) else None,
        tags=_tags_on_bedrock(record, stage, site),
    )
    return plan_bedrock_serving(serving, _on_bedrock(site))


def _on_bedrock(site: Site) -> Deployment:
    return replace(site.deployment, execution_role_arn=site.bedrock_role_arn)


def _plan_endpoint(
    record: Record, stage: Stage, plan: DeployStage, site: Site, checkpoint: str
) -> EndpointPlan:
    endpoint = Endpoint(
        name=_name(stage),
        served_as=shared_endpoint(record, plan),
        former=stage.former,
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
