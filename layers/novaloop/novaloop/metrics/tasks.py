"""Scores of tasks whose jobs leave no rows to score anew: benchmarks, judges, the reward function.

Their numbers are the job's own, from `results_*.json`, with the standard errors that it gives.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from novaloop.metrics.archive import ArchiveError, newest_results
from novaloop.metrics.comparison import difference
from novaloop.metrics.defects import STDERR_SUFFIX
from novaloop.metrics.estimates import CONFIDENCE, normal_interval
from novaloop.metrics.paired import unpaired
from novaloop.metrics.results import Difference, Estimate, TaskScore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from novaloop.metrics.archive import Member

OVERALL = "all"
_AVERAGE = ":_average"


def score_task(
    members: Iterable[Member],
    task: str,
    subtask: str | None,
    earlier: Mapping[str, TaskScore],
    confidence: float = CONFIDENCE,
) -> TaskScore:
    """Read a job's results and compare them with earlier ones of the same task.

    Raises ArchiveError.
    """
    metrics = estimates(newest_results(members), confidence)
    if not metrics:
        raise ArchiveError("the results file holds no metrics")
    changes = {
        name: changes_of(before.metrics, metrics, confidence) for name, before in earlier.items()
    }
    return TaskScore(task, subtask, metrics, changes)


def estimates(
    results: Mapping[str, Mapping[str, float]], confidence: float = CONFIDENCE
) -> dict[str, Estimate]:
    """Return the metrics of a whole results file: of its one task, else of `all`."""
    parts = [
        metrics for name, metrics in results.items() if name != OVERALL and _AVERAGE not in name
    ]
    whole = parts[0] if len(parts) == 1 else results.get(OVERALL, {})
    return {
        name: of_job(value, _stderr(name, value, whole, parts), confidence)
        for name, value in whole.items()
        if not name.endswith(STDERR_SUFFIX)
    }


def _stderr(
    name: str, value: float, whole: Mapping[str, float], parts: list[Mapping[str, float]]
) -> float | None:
    """Return a metric's standard error.

    lighteval gives the mean of the parts' errors for the mean of the parts; the error of a mean of
    independent parts is smaller.
    """
    key = name + STDERR_SUFFIX
    if len(parts) > 1 and all(name in part and key in part for part in parts):
        mean = sum(part[name] for part in parts) / len(parts)
        if math.isclose(mean, value, rel_tol=1e-6, abs_tol=1e-9):
            return math.hypot(*(part[key] for part in parts)) / len(parts)
    return whole.get(key)


def of_job(value: float, stderr: float | None, confidence: float) -> Estimate:
    """Return what a job told, with the interval of its error if it gave one."""
    return Estimate(value, stderr, *normal_interval(value, stderr or None, confidence))


def changes_of(
    before: Mapping[str, Estimate], after: Mapping[str, Estimate], confidence: float
) -> dict[str, Difference]:
    """Return the changes of the metrics whose errors are known on both sides."""
    return {
        name: difference(
            before[name].value,
            later.value,
            unpaired(later.value - before[name].value, spread, confidence),
            confidence,
        )
        for name, later in after.items()
        if name in before and (spread := _spread(before[name], later))
    }


def _spread(earlier: Estimate, later: Estimate) -> float:
    """Return the standard error of the difference; 0 where it is unknown."""
    if earlier.stderr is None or later.stderr is None:
        return 0.0
    return math.hypot(earlier.stderr, later.stderr)
