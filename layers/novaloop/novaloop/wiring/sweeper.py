"""What the sweeper works with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from novaloop.cloud.messages import HintQueue, IngestFunction, Topic, UtcClock
from novaloop.cloud.objects import Bucket
from novaloop.settings import SweeperSettings
from novaloop.store.table import ExperimentTable
from novaloop.usecases.sweep import SweepWorld
from novaloop.wiring.clients import HASTY, client

if TYPE_CHECKING:
    from novaloop.usecases.orphans import OrphanWorld


def sweep_world() -> SweepWorld:
    """Return the sweeper's world, as its environment describes it."""
    settings = SweeperSettings.from_environment(os.environ)
    store = ExperimentTable(settings.table_name, settings.aws_region)
    notifier = Topic(client("sns", HASTY), settings.topic_arn)

    def orphans() -> OrphanWorld:
        # Of hundreds of sweeps a day one searches: the others load none of its clients.
        from novaloop.wiring.orphans import orphan_world  # noqa: PLC0415

        return orphan_world(settings, store, notifier)

    return SweepWorld(
        store=store,
        objects=Bucket(client("s3", HASTY), settings.bucket_name),
        hints=HintQueue(client("sqs", HASTY), settings.hint_queue_url),
        ingester=IngestFunction(client("lambda", HASTY), settings.ingest_function_name),
        notifier=notifier,
        clock=UtcClock(),
        orphans=orphans,
    )
