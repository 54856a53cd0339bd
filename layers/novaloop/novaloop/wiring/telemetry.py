"""What a function counts and logs beyond its own work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from novaloop.experiment.versions import Damaged, NewerVersion

logger = Logger()


class DefectMetric:
    """Counts defects in a metric with an alarm; implements the port `Defects`."""

    def report(self, error: Exception) -> None:
        """Count one; the log says where it is."""
        _count("Defects", type(error).__name__)


def _count(metric: str, what: str) -> None:
    service = {"service": str(logger.service)}
    with single_metric(metric, MetricUnit.Count, 1, default_dimensions=service) as counted:
        counted.add_metadata("what", what)


@contextmanager
def leaving_unread_alone() -> Iterator[None]:
    """End a call that meets what it can't read and can't do without, as a success; a decorator.

    That is what a newer release wrote, and what is damaged.

    A failure would come again until it lies among the dead letters, for each event anew. The log
    says what was left alone, and an alarm on the count tells people once, however often it is met.
    """
    try:
        yield
    except NewerVersion as newer:
        logger.warning("left alone: %s", newer)
        _count("NewerVersions", str(newer))
    except Damaged as damaged:
        logger.warning("left alone: %s", damaged)
        DefectMetric().report(damaged)
