"""What the metrics function works with."""

from __future__ import annotations

import os

from novaloop.cloud.messages import UtcClock
from novaloop.cloud.objects import Bucket
from novaloop.settings import BucketSettings
from novaloop.store.table import ExperimentTable
from novaloop.usecases.score import ScoreWorld
from novaloop.wiring.clients import PATIENT, client


def score_world() -> ScoreWorld:
    """Return the metrics function's world, as its environment describes it."""
    settings = BucketSettings.from_environment(os.environ)
    return ScoreWorld(
        store=ExperimentTable(settings.table_name, settings.aws_region),
        objects=Bucket(client("s3", PATIENT), settings.bucket_name),
        clock=UtcClock(),
    )
