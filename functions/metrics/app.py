"""Scores an evaluation that has finished, and brings the experiment's report up to date."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from novaloop.experiment.versions import Shape, current
from novaloop.usecases.report import write_report
from novaloop.usecases.score import score
from novaloop.wiring.metrics import score_world
from novaloop.wiring.telemetry import leaving_unread_alone

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
world = cache(score_world)


@leaving_unread_alone()
def handler(event: dict[str, Any], _: LambdaContext) -> None:
    """Handle `{experiment_id, stage, attempt}`, or `{experiment_id}` for the report alone."""
    request = current(Shape.REQUEST, event)
    experiment_id = str(request["experiment_id"])
    if "stage" in request:
        item = score(experiment_id, str(request["stage"]), int(request["attempt"]), world())
        logger.info("scored", extra={"hint": event, "usable": item is not None and not item.error})
    write_report(experiment_id, world())
