"""Turns one uploaded file into validated JSONL and a dataset item."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from novaloop.experiment.versions import Shape, current
from novaloop.usecases.big_files import run_step
from novaloop.usecases.dataset_checks import check_experiment
from novaloop.usecases.ingest import ingest
from novaloop.wiring.ingest import ingest_world
from novaloop.wiring.telemetry import leaving_unread_alone

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
world = cache(ingest_world)


@leaving_unread_alone()
def handler(event: dict[str, Any], _: LambdaContext) -> Any:
    """Handle an S3 event from EventBridge, `{"key": ...}` to look at a file once more,
    `{"experiment_id": ...}` to check an experiment's datasets against each other, or
    `{"step": ...}` of a big file's conversion; only the last returns anything."""
    if "step" in event:
        logger.info(event["step"], extra={"file": event["file"], "range": event.get("range")})
        return run_step(event, world())
    if "detail" not in event:
        event = current(Shape.REQUEST, event)
    if "experiment_id" in event:
        check_experiment(str(event["experiment_id"]), world())
        return None
    key = str(event["detail"]["object"]["key"] if "detail" in event else event["key"])
    logger.info("ingesting", extra={"key": key})
    ingest(key, world())
    return None
