"""What the sweeper's daily search works with."""

from __future__ import annotations

import boto3

from novaloop.cloud.leftovers import TaggedResources
from novaloop.cloud.schedules import EndingSchedules
from novaloop.settings import SweeperSettings
from novaloop.usecases.orphans import OrphanWorld
from novaloop.usecases.ports import Notifier, SweepStore
from novaloop.wiring.clients import HASTY


def orphan_world(settings: SweeperSettings, store: SweepStore, notifier: Notifier) -> OrphanWorld:
    """Return the search's world, as the sweeper's settings describe it."""
    return OrphanWorld(
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
