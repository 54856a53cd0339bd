"""What the sweeper's daily search works with."""

from __future__ import annotations

from novaloop.cloud.schedules import EndingSchedules
from novaloop.cloud.tagged_resources import TaggedResources
from novaloop.settings import SweeperSettings
from novaloop.usecases.orphans import OrphanWorld
from novaloop.usecases.ports import Notifier, SweepStore
from novaloop.wiring.clients import HASTY, client


def orphan_world(settings: SweeperSettings, store: SweepStore, notifier: Notifier) -> OrphanWorld:
    """Return the search's world, as the sweeper's settings describe it."""
    return OrphanWorld(
        store,
        TaggedResources(
            client("resourcegroupstaggingapi", HASTY),
            client("sagemaker", HASTY),
            client("bedrock", HASTY),
            settings.job_name_prefix,
            settings.stack_name,
        ),
        EndingSchedules(client("scheduler", HASTY), settings.ending_role_arn),
        notifier,
    )
