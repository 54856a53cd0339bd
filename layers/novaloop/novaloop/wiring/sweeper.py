"""What the sweeper works with."""

from __future__ import annotations

import os

import boto3

from novaloop.cloud.leftovers import TaggedResources
from novaloop.cloud.messages import HintQueue, IngestFunction, Topic, UtcClock
from novaloop.cloud.objects import Bucket
from novaloop.cloud.schedules import EndingSchedules
from novaloop.settings import SweeperSettings
from novaloop.store.table import ExperimentTable
from novaloop.usecases.orphans import OrphanWorld
from novaloop.usecases.sweep import SweepWorld
from novaloop.wiring.clients import HASTY


def sweep_world() -> SweepWorld:
    """Return the sweeper's world, as its environment describes it."""
    settings = SweeperSettings.from_environment(os.environ)
    functions = boto3.client("lambda", config=HASTY)
    store = ExperimentTable(settings.table_name, settings.aws_region)
    notifier = Topic(boto3.client("sns", config=HASTY), settings.topic_arn)
    orphans = OrphanWorld(
        store,
        TaggedResources(
            boto3.client("resourcegroupstaggingapi", config=HASTY),
            boto3.client("sagemaker", config=HASTY),
            boto3.client("bedrock", config=HASTY),
            settings.job_name_prefix,
            settings.stack_name,
        ),
        EndingSchedules(boto3.client("scheduler", config=HASTY), settings.ending_role_arn),
        notifier,
    )
    return SweepWorld(
        orphans=orphans,
        store=store,
        objects=Bucket(boto3.client("s3", config=HASTY), settings.bucket_name),
        hints=HintQueue(boto3.client("sqs", config=HASTY), settings.hint_queue_url),
        ingester=IngestFunction(functions, settings.ingest_function_name),
        notifier=notifier,
        clock=UtcClock(),
    )
