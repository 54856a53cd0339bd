"""Turns one uploaded file into validated JSONL and a dataset item."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from novaloop.usecases.big_files import run_step
from novaloop.usecases.dataset_checks import check_experiment
from novaloop.usecases.ingest import ingest
from novaloop.usecases.ingest_events import (
    ChecksRequest,
    FileRequest,
    UploadEvent,
    read_ingest_event,
)
from novaloop.wiring.ingest import ingest_world
from novaloop.wiring.telemetry import leaving_unread_alone

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
world = cache(ingest_world)


@leaving_unread_alone()
def handler(event: object, _: LambdaContext) -> Any:
    """Handle an upload, a request of another function's, or a step of a big file's conversion.

    Only a step returns anything.
    """
    match read_ingest_event(event):
        case ChecksRequest(experiment_id=experiment_id):
            check_experiment(experiment_id, world())
        case UploadEvent() | FileRequest() as file:
            logger.info("ingesting", extra={"key": file.key})
            ingest(file.key, world())
        case step:
            logger.info(step.step, extra=step.model_dump(include={"file", "range"}))
            return run_step(step, world())
    return None
