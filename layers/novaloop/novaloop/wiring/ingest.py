"""What ingest works with."""

from __future__ import annotations

import os

from novaloop.cloud.big_files import BigFileMachine
from novaloop.cloud.messages import UtcClock
from novaloop.cloud.objects import Bucket
from novaloop.settings import IngestSettings
from novaloop.store.table import ExperimentTable
from novaloop.usecases.conversion import IngestWorld
from novaloop.wiring.clients import PATIENT, client


def ingest_world() -> IngestWorld:
    """Return ingest's world, as its environment describes it."""
    settings = IngestSettings.from_environment(os.environ)
    return IngestWorld(
        store=ExperimentTable(settings.table_name, settings.aws_region),
        objects=Bucket(client("s3", PATIENT), settings.bucket_name),
        clock=UtcClock(),
        big_files=BigFileMachine(
            client("stepfunctions", PATIENT),
            settings.big_files_arn,
            settings.big_file_bytes,
        ),
    )
