"""Finds what events should have brought up and did not."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from novaloop.usecases.sweep import sweep
from novaloop.wiring.sweeper import sweep_world

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
metrics = Metrics()
world = cache(sweep_world)
SHOWN = 20
"""How many of a kind stand in one line of the log."""


def handler(_: dict[str, Any], __: LambdaContext) -> None:
    """Handle the schedule. Raises RuntimeError, when all is done, if some of it could not be."""
    swept = sweep(world())
    for name, number in swept.counts.items():
        metrics.add_metric(name, MetricUnit.Count, number)
    if swept.counts:  # to flush nothing is a warning in the log, each time
        metrics.flush_metrics()
    told = {
        "due": swept.due,
        "uploads": swept.uploads,
        "orphans": swept.orphans,
        "unusable": swept.unusable[:SHOWN],
    }
    logger.info("swept", extra=told)
    if swept.failures:
        raise RuntimeError(f"{len(swept.failures)} failures: {'; '.join(swept.failures[:SHOWN])}")
