"""What the controller works with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

from novaloop.cloud.bedrock import OnDemandDeployments, ProvisionedThroughputs
from novaloop.cloud.customization import CustomizationJobs
from novaloop.cloud.deployments import Deployments
from novaloop.cloud.endpoints import SageMakerEndpoints
from novaloop.cloud.job_logs import TrainingJobLogs
from novaloop.cloud.jobs import TrainingJobs
from novaloop.cloud.messages import HintQueue, IngestFunction, MetricsFunction, Topic, UtcClock
from novaloop.cloud.objects import Bucket
from novaloop.cloud.schedules import EndingSchedules
from novaloop.cloud.tagged_resources import TaggedResources
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.spec.stages import Runtime
from novaloop.experiment.stack import StackConfig
from novaloop.recipes.jobs import Deployment
from novaloop.settings import ControllerSettings
from novaloop.store.table import ExperimentTable
from novaloop.usecases.reconcile import World
from novaloop.wiring.clients import COPYING, HASTY, ONCE, USUAL, client
from novaloop.wiring.telemetry import DefectMetric

if TYPE_CHECKING:
    from mypy_boto3_bedrock.client import BedrockClient
    from mypy_boto3_sagemaker.client import SageMakerClient


def controller_world() -> World:
    """Return the controller's world, as its environment describes it."""
    settings = ControllerSettings.from_environment(os.environ)
    sagemaker = client("sagemaker", USUAL)
    bedrock = client("bedrock", USUAL)
    functions = client("lambda", USUAL)
    return World(
        store=ExperimentTable(settings.table_name, settings.aws_region),
        jobs={
            Runtime.TRAINING_JOB: TrainingJobs(sagemaker),
            Runtime.SERVERLESS: TrainingJobs(sagemaker),
            Runtime.BEDROCK: CustomizationJobs(bedrock),
        },
        logs=TrainingJobLogs(client("logs", HASTY)),
        endpoints=_deployments(sagemaker, bedrock),
        schedules=EndingSchedules(client("scheduler", USUAL), settings.ending_role_arn),
        tagged=TaggedResources(
            client("resourcegroupstaggingapi", USUAL),
            sagemaker,
            bedrock,
            settings.job_name_prefix,
            settings.stack_name,
        ),
        objects=Bucket(client("s3", COPYING), settings.bucket_name),
        scorer=MetricsFunction(functions, settings.metrics_function_name),
        ingester=IngestFunction(functions, settings.ingest_function_name),
        hints=HintQueue(client("sqs", USUAL), settings.hint_queue_url),
        notifier=Topic(client("sns", USUAL), settings.topic_arn),
        defects=DefectMetric(),
        clock=UtcClock(),
        new_uid=lambda: str(uuid4()),
        stack_config=StackConfig(
            settings.bucket_name,
            _deployment(settings),
            settings.bedrock_role_arn,
            settings.stack_name,
        ),
        policy=Policy(
            settings.job_name_prefix,
            settings.start_delay,
            settings.look_every,
            settings.lag,
            settings.defaults,
        ),
    )


def _deployments(sagemaker: SageMakerClient, bedrock: BedrockClient) -> Deployments:
    runtime = client("bedrock-runtime", ONCE)
    return Deployments(
        SageMakerEndpoints(sagemaker, client("sagemaker-runtime", ONCE)),
        OnDemandDeployments(bedrock, runtime),
        ProvisionedThroughputs(bedrock, runtime),
    )


def _deployment(settings: ControllerSettings) -> Deployment:
    return Deployment(
        region=settings.aws_region,
        execution_role_arn=settings.execution_role_arn,
        reward_function_arn=settings.reward_function_arn,
        kms_key_arn=settings.output_kms_key_arn or None,
        subnets=_listed(settings.subnet_ids),
        security_group_ids=_listed(settings.security_group_ids),
        image_repositories=_listed(settings.image_repository_arns),
        processor_functions=_listed(settings.processor_function_arns),
        reward_functions=_listed(settings.reward_function_arns),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
