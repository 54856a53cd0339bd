"""Scores an evaluation that has finished, and brings the experiment's report up to date."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

from novaloop.usecases.metrics_events import ScoreRequest, read_metrics_event
from novaloop.usecases.report import write_report
from novaloop.usecases.score import score
from novaloop.wiring.metrics import score_world
from novaloop.wiring.telemetry import leaving_unread_alone

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
world = cache(score_world)


@leaving_unread_alone()
def handler(event: object, _: LambdaContext) -> None:
    """Score the attempt that the event names, if it does, and write the report."""
    request = read_metrics_event(event)
    if isinstance(request, ScoreRequest):
        item = score(request.experiment_id, request.stage, request.attempt, world())
        usable = item is not None and not item.error
        logger.info("scored", extra={"hint": request.model_dump(), "usable": usable})
    write_report(request.experiment_id, world())
