"""The metrics of all evaluations, each with its change and what a test says of that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from novaloop.metrics.registry import BY_NAME, METRICS
from novaloop.metrics.results import Estimate, Score, TaskScore
from novaloop.reports.schema import Measurement, MetricRow, TaskReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def metric_rows(
    measured: Mapping[str, Score], *, against_first: bool = False
) -> Iterator[MetricRow]:
    """Yield what was measured by the rows, one metric after the other, at each evaluation.

    against_first: whether each is compared with the first, and not with the one before.
    """
    estimates = {stage: score.metrics for stage, score in measured.items()}
    changes = {stage: _paired_verdicts(score) for stage, score in measured.items()}
    for metric in METRICS:
        row = _metric_row(
            metric.name, metric.title, estimates, changes, against_first=against_first
        )
        if row["measurements"]:
            yield row


def task_reports(
    read: Mapping[str, Score | TaskScore], *, against_first: bool = False
) -> Iterator[TaskReport]:
    """Yield what the jobs themselves measured, by task: benchmarks, judges, processor functions."""
    by_title: dict[str, dict[str, Score | TaskScore]] = {}
    for stage, score in read.items():
        if _own_estimates(score):
            by_title.setdefault(_title(score), {})[stage] = score
    for title, scores in by_title.items():
        estimates = {stage: _own_estimates(score) for stage, score in scores.items()}
        changes = {stage: _task_verdicts(score) for stage, score in scores.items()}
        names = dict.fromkeys(name for each in estimates.values() for name in each)
        rows = [
            _metric_row(name, name, estimates, changes, against_first=against_first)
            for name in names
        ]
        yield TaskReport(title=title, stages=list(scores), metrics=rows)


def _title(score: Score | TaskScore) -> str:
    if isinstance(score, Score):
        return "processor function"
    return " ".join(filter(None, (score.task, score.subtask)))


def _own_estimates(score: Score | TaskScore) -> dict[str, Estimate]:
    """Return what only the job measured."""
    if isinstance(score, TaskScore):
        return score.metrics
    return {name: each for name, each in score.metrics.items() if name not in BY_NAME}


_Verdicts = dict[str, dict[str, str]]
"""What a test says of each metric's change, by the earlier evaluation and the metric."""


def _paired_verdicts(score: Score) -> _Verdicts:
    return {
        stage: {name: str(each.verdict) for name, each in compared.metrics.items()}
        for stage, compared in score.comparisons.items()
    }


def _task_verdicts(score: Score | TaskScore) -> _Verdicts:
    if isinstance(score, Score):
        return {}
    return {
        stage: {name: str(each.verdict) for name, each in changes.items()}
        for stage, changes in score.changes.items()
    }


def _metric_row(
    name: str,
    title: str,
    estimates: Mapping[str, Mapping[str, Estimate]],
    verdicts: Mapping[str, _Verdicts],
    *,
    against_first: bool,
) -> MetricRow:
    measurements: list[Measurement] = []
    for stage, each in estimates.items():
        if estimate := each.get(name):
            before = measurements[0 if against_first else -1] if measurements else None
            if against_first and before and before["stage"] not in verdicts[stage]:
                before = None  # on other rows, there is no change to be told
            measurements.append(_measurement(stage, name, estimate, verdicts[stage], before))
    total = total_verdict = None
    if (
        len(measurements) > 2 and not against_first
    ):  # otherwise it is the change beside the last one
        first, last = measurements[0], measurements[-1]
        total = last["value"] - first["value"]
        total_verdict = verdicts[last["stage"]].get(first["stage"], {}).get(name)
    return MetricRow(
        name=name,
        title=title,
        measurements=measurements,
        total=total,
        total_verdict=total_verdict,
    )


def _measurement(
    stage: str, name: str, estimate: Estimate, verdicts: _Verdicts, before: Measurement | None
) -> Measurement:
    return Measurement(
        stage=stage,
        value=estimate.value,
        stderr=estimate.stderr,
        low=estimate.low,
        high=estimate.high,
        delta=estimate.value - before["value"] if before else None,
        verdict=verdicts.get(before["stage"], {}).get(name) if before else None,
    )
