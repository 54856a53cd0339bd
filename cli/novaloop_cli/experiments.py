"""Experiments of a stack beside each other: settings, metrics on the same rows, and cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from novaloop import reports
from novaloop.cloud.objects import Bucket
from novaloop.experiment.costs.budget import cost_usd
from novaloop.experiment.record import StageState
from novaloop.experiment.validation.changes import changes
from novaloop.metrics.comparison import HEADLINE_METRIC, DifferentRowsError, compare
from novaloop.metrics.registry import BY_NAME, GATED
from novaloop.metrics.results import Score, TaskScore, Verdict
from novaloop.metrics.rows import RowScores, RowsError
from novaloop.reports.schema import ComparedExperiment
from novaloop.usecases.ports import ObjectMissing
from novaloop_cli.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from novaloop.experiment.record import Record, ScoreItem, Snapshot
    from novaloop.metrics.results import Difference
    from novaloop.reports import ComparisonReport
    from novaloop.usecases.ports import Objects
    from novaloop_cli.stack import Stack


@dataclass(frozen=True)
class Compared:
    """What is compared: the report, the scores, and what a person calls each one's rows."""

    content: ComparisonReport
    read: Mapping[str, Score | TaskScore]
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Experiment:
    """An experiment with its last evaluation that has rows, if there is one."""

    record: Record
    item: ScoreItem | None
    score: Score | None
    rows: RowScores | None
    why_none: str = ""


def compare_experiments(
    stack: Stack, names: Sequence[str], metric: str | None, confidence: float
) -> Compared:
    """Compare experiments with the first of them. Raises Refused."""
    if repeated := [name for number, name in enumerate(names) if name in names[:number]]:
        raise Refused(f"{repeated[0]} is named twice; name different experiments")
    bucket, now = Bucket(stack.s3, stack.bucket), datetime.now(UTC)
    found = [_experiment(*stack.load(name), bucket) for name in names]
    first = found[0]
    gate = first.record.spec.gate
    decides = _decides(metric or (gate.metric if gate else ""))
    read: dict[str, Score | TaskScore] = {}
    told = []
    for each in found:
        name = each.record.experiment_id
        score, why = _against(first, each, decides, confidence)
        if score is not None:
            read[name] = score
        told.append(_told(first, each, decides, why, now))
    others = ", ".join(names[1:])
    title = f"{others} against {names[0]}"
    content = reports.comparison(title, read, BY_NAME[decides].title, experiments=told)
    return Compared(content, read)


def _decides(metric: str) -> str:
    """Return a metric's name, or exact match's for one that has no value for each row."""
    found = GATED.get(metric)
    return HEADLINE_METRIC if found is None or found.most != 1 else found.name


def _experiment(snapshot: Snapshot, record: Record, objects: Objects) -> _Experiment:
    items = (
        snapshot.scores.get((stage.name, stage.attempt.number))
        for stage in reversed(record.stages)
        if stage.state is StageState.SUCCEEDED
    )
    item = next((each for each in items if each and each.rows_key and not each.error), None)
    if item is None or item.rows_key is None:
        return _Experiment(record, None, None, None, "it has no evaluation whose rows are scored")
    score = Score.from_dict(item.score)
    try:
        with objects.get(item.rows_key) as body:
            return _Experiment(record, item, score, RowScores.from_lines(body))
    except (ObjectMissing, RowsError) as error:
        return _Experiment(record, item, score, None, f"its row scores can't be read: {error}")


def _against(
    first: _Experiment, other: _Experiment, metric: str, confidence: float
) -> tuple[Score | None, str]:
    """Return an experiment's score with its comparison with the first, or why there is none."""
    if other.score is None:
        return None, other.why_none
    score = replace(other.score, comparisons={})
    if other is first or first.rows is None:
        return score, other.why_none
    if other.rows is None:
        return score, other.why_none
    try:
        found = compare(first.rows, other.rows, metric, confidence)
    except DifferentRowsError as error:
        return score, f"its evaluation {error}"
    return replace(score, comparisons={first.record.experiment_id: found}), ""


def _told(
    first: _Experiment, each: _Experiment, metric: str, why: str, now: datetime
) -> ComparedExperiment:
    gained = _gain(each, metric)
    jobs = tuple(stage for stage in each.record.stages if not stage.kind.serves)
    usd, jobs_usd = (
        cost.spent if (cost := cost_usd(record, now)) else None
        for record in (each.record, replace(each.record, stages=jobs))
    )
    points = 100 * gained.difference if gained else 0.0
    is_better = gained is not None and gained.verdict is Verdict.BETTER
    return ComparedExperiment(
        name=each.record.experiment_id,
        evaluation=each.item.stage if each.item else None,
        usd=usd,
        jobs_usd=jobs_usd,
        gain=gained.difference if gained else None,
        verdict=str(gained.verdict) if gained else None,
        usd_per_point=jobs_usd / points if jobs_usd is not None and is_better else None,
        not_compared=why or None,
        settings=[] if each is first else list(changes(first.record.spec, each.record.spec)),
    )


def _gain(each: _Experiment, metric: str) -> Difference | None:
    """Return the change of the metric over the experiment's own first evaluation."""
    comparisons = each.score.comparisons if each.score else {}
    stages = (stage.name for stage in each.record.stages if stage.name in comparisons)
    earliest = next(stages, None)
    return comparisons[earliest].metrics.get(metric) if earliest else None
