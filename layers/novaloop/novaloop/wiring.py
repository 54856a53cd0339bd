"""Puts the use cases together with the adapters, once for each cold start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from botocore.config import Config

from novaloop.cloud.bedrock import OnDemandDeployments, ProvisionedThroughputs
from novaloop.cloud.big_files import BigFileMachine
from novaloop.cloud.customization import CustomizationJobs
from novaloop.cloud.deployments import Deployments
from novaloop.cloud.endpoints import SageMakerEndpoints
from novaloop.cloud.job_logs import TrainingJobLogs
from novaloop.cloud.jobs import TrainingJobs
from novaloop.cloud.leftovers import TaggedResources
from novaloop.cloud.messages import HintQueue, IngestFunction, MetricsFunction, Topic, UtcClock
from novaloop.cloud.objects import Bucket
from novaloop.cloud.running import RunningInAccount
from novaloop.cloud.schedules import EndingSchedules
from novaloop.cloud.stacks import Stacks
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.stack import Site
from novaloop.experiment.versions import Damaged, NewerVersion
from novaloop.recipes.jobs import Deployment
from novaloop.settings import (
    BucketSettings,
    ControllerSettings,
    IngestSettings,
    StackSettings,
    SweeperSettings,
)
from novaloop.store.table import ExperimentTable
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.guard import GuardWorld
from novaloop.usecases.orphans import OrphanWorld
from novaloop.usecases.reconcile import World
from novaloop.usecases.score import ScoreWorld
from novaloop.usecases.sweep import SweepWorld

if TYPE_CHECKING:
    from mypy_boto3_bedrock.client import BedrockClient
    from mypy_boto3_sagemaker.client import SageMakerClient

_CONFIG = Config(
    # A call that is never answered takes 2 x (4 + 15) seconds: less than half of the controller's
    # 120, so that a look which meets one goes on.
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=4,
    read_timeout=15,
    user_agent_extra="novaloop",
)
"""Of every client but those below. What fails is tried again by the next look, hint or sweep."""
_SMOKE_CONFIG = _CONFIG.merge(
    Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=50)
)
"""The model's first answer may take long; the next look asks again."""
_HASTY_CONFIG = _CONFIG.merge(Config(connect_timeout=2, read_timeout=8))
"""For what is worth no long wait: stages go on without logs, the next sweep without the last."""
_COPYING_CONFIG = _CONFIG.merge(Config(read_timeout=50))
"""For joining rows: S3 copies 256 MiB by itself before it answers."""
_PATIENT_CONFIG = _CONFIG.merge(
    Config(retries={"mode": "standard", "total_max_attempts": 5}, read_timeout=50)
)
"""For ingest and metrics, which have ten minutes and more, and move much at once."""
logger = Logger()


class DefectMetric:
    """Counts defects in a metric with an alarm; implements the port `Defects`."""

    def report(self, error: Exception) -> None:
        """Count one; the log says where it is."""
        _count("Defects", type(error).__name__)


def _count(metric: str, what: str) -> None:
    service = {"service": str(logger.service)}
    with single_metric(metric, MetricUnit.Count, 1, default_dimensions=service) as counted:
        counted.add_metadata("what", what)


def controller_world() -> World:
    """Return the controller's world, as its environment describes it."""
    settings = ControllerSettings.from_environment(os.environ)
    sagemaker = boto3.client("sagemaker", config=_CONFIG)
    bedrock = boto3.client("bedrock", config=_CONFIG)
    functions = boto3.client("lambda", config=_CONFIG)
    return World(
        store=ExperimentTable(settings.table_name, settings.aws_region),
        jobs=TrainingJobs(sagemaker),
        logs=TrainingJobLogs(boto3.client("logs", config=_HASTY_CONFIG)),
        customizations=CustomizationJobs(bedrock),
        endpoints=_deployments(sagemaker, bedrock),
        schedules=EndingSchedules(
            boto3.client("scheduler", config=_CONFIG), settings.ending_role_arn
        ),
        leftovers=TaggedResources(
            boto3.client("resourcegroupstaggingapi", config=_CONFIG),
            sagemaker,
            bedrock,
            settings.job_name_prefix,
            settings.stack_name,
        ),
        objects=Bucket(boto3.client("s3", config=_COPYING_CONFIG), settings.bucket_name),
        scorer=MetricsFunction(functions, settings.metrics_function_name),
        ingester=IngestFunction(functions, settings.ingest_function_name),
        hints=HintQueue(boto3.client("sqs", config=_CONFIG), settings.hint_queue_url),
        notifier=Topic(boto3.client("sns", config=_CONFIG), settings.topic_arn),
        defects=DefectMetric(),
        clock=UtcClock(),
        new_uid=lambda: str(uuid4()),
        site=Site(
            settings.bucket_name,
            _deployment(settings),
            settings.bedrock_role_arn,
            settings.stack_name,
        ),
        policy=Policy(
            settings.job_name_prefix, settings.start_delay, settings.look_every, settings.lag
        ),
    )


def _deployments(sagemaker: SageMakerClient, bedrock: BedrockClient) -> Deployments:
    runtime = boto3.client("bedrock-runtime", config=_SMOKE_CONFIG)
    return Deployments(
        SageMakerEndpoints(sagemaker, boto3.client("sagemaker-runtime", config=_SMOKE_CONFIG)),
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
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def sweep_world() -> SweepWorld:
    """Return the sweeper's world, as its environment describes it."""
    settings = SweeperSettings.from_environment(os.environ)
    functions = boto3.client("lambda", config=_HASTY_CONFIG)
    store = ExperimentTable(settings.table_name, settings.aws_region)
    orphans = OrphanWorld(
        store,
        TaggedResources(
            boto3.client("resourcegroupstaggingapi", config=_HASTY_CONFIG),
            boto3.client("sagemaker", config=_HASTY_CONFIG),
            boto3.client("bedrock", config=_HASTY_CONFIG),
            settings.job_name_prefix,
            settings.stack_name,
        ),
        EndingSchedules(boto3.client("scheduler", config=_HASTY_CONFIG), settings.ending_role_arn),
        Topic(boto3.client("sns", config=_HASTY_CONFIG), settings.topic_arn),
    )
    return SweepWorld(
        orphans=orphans,
        store=store,
        objects=Bucket(boto3.client("s3", config=_HASTY_CONFIG), settings.bucket_name),
        hints=HintQueue(boto3.client("sqs", config=_HASTY_CONFIG), settings.hint_queue_url),
        ingester=IngestFunction(functions, settings.ingest_function_name),
        clock=UtcClock(),
    )


def guard_world() -> GuardWorld:
    """Return the guard's world, as its environment describes it."""
    settings = StackSettings.from_environment(os.environ)
    return GuardWorld(
        Stacks(boto3.client("cloudformation", config=_HASTY_CONFIG)),
        RunningInAccount(
            boto3.client("resourcegroupstaggingapi", config=_HASTY_CONFIG),
            boto3.client("sagemaker", config=_HASTY_CONFIG),
            boto3.client("bedrock", config=_HASTY_CONFIG),
            settings.job_name_prefix,
            settings.stack_name,
        ),
    )


def ingest_world() -> IngestWorld:
    """Return ingest's world, as its environment describes it."""
    settings = IngestSettings.from_environment(os.environ)
    return IngestWorld(
        store=ExperimentTable(settings.table_name, settings.aws_region),
        objects=Bucket(boto3.client("s3", config=_PATIENT_CONFIG), settings.bucket_name),
        clock=UtcClock(),
        big_files=BigFileMachine(
            boto3.client("stepfunctions", config=_PATIENT_CONFIG),
            settings.big_files_arn,
            settings.big_file_bytes,
        ),
    )


def score_world() -> ScoreWorld:
    """Return the metrics function's world, as its environment describes it."""
    settings = BucketSettings.from_environment(os.environ)
    return ScoreWorld(
        store=ExperimentTable(settings.table_name, settings.aws_region),
        objects=Bucket(boto3.client("s3", config=_PATIENT_CONFIG), settings.bucket_name),
        clock=UtcClock(),
    )


@contextmanager
def leaving_unread_alone() -> Iterator[None]:
    """End a call that meets what it can't read and can't do without, as a success; a decorator.

    That is what a newer release wrote, and what is damaged.

    A failure would come again until it lies among the dead letters, for each event anew. The log
    says what was left alone, and an alarm on the count tells people once, however often it is met.
    """
    try:
        yield
    except NewerVersion as newer:
        logger.warning("left alone: %s", newer)
        _count("NewerVersions", str(newer))
    except Damaged as damaged:
        logger.warning("left alone: %s", damaged)
        DefectMetric().report(damaged)
