"""What a report says, as plain JSON content: every page and table is made from it."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, TypedDict

from novaloop import __version__
from novaloop.experiment.budget import machines, usd
from novaloop.experiment.plan import (
    DeployStage,
    Runtime,
    ServingStage,
    StageKind,
    StagePlan,
    method_of,
)
from novaloop.experiment.spec import ExperimentSpec
from novaloop.metrics.estimates import Estimate, Share
from novaloop.metrics.names import LENIENT_ACCURACY
from novaloop.metrics.score import Score
from novaloop.metrics.tasks import TaskScore, read_score
from novaloop.recipes.catalog import blueprint
from novaloop.recipes.facts import facts
from novaloop.reports.trainings import TrainingReport, training_reports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from novaloop.experiment.record import (
        DatasetItem,
        GateVerdict,
        HistoryEntry,
        Record,
        ScoreItem,
        Stage,
    )
    from novaloop.metrics.flips import Flip, Flips
    from novaloop.training.curve import Curve

METRIC_TITLES: Mapping[str, str] = {
    "em": "Exact match",
    "qem": "Quasi exact match",
    "f1": "F1",
    "f1_score_quasi": "F1 (quasi)",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU (0-100)",
    "strict_accuracy": "Accuracy, strict",
    LENIENT_ACCURACY: "Accuracy, lenient",
    "no_valid_label": "No valid label",
}


class Measurement(TypedDict):
    """One metric at one evaluation. `delta`: change from the evaluation before; `verdict`: what
    the paired test says of that change (see `metrics.comparison.Verdict`)."""

    stage: str
    value: float
    stderr: float | None
    delta: float | None
    verdict: str | None


class MetricRow(TypedDict):
    """One metric at every evaluation that has it."""

    name: str
    title: str
    measurements: list[Measurement]


class TaskReport(TypedDict):
    """What the jobs of one task report, at each evaluation that ran it."""

    title: str
    stages: list[str]
    metrics: list[MetricRow]


class Evaluation(TypedDict):
    """One evaluation; `score` is `Score.to_dict()`.

    It is None with the `error` that prevented it, and for a task without rows (see `TaskReport`).
    """

    stage: str
    attempt: int
    error: str | None
    score: dict[str, Any] | None


class FlipLine(TypedDict):
    """A row whose exact match changed: excerpts of its texts."""

    row: str
    question: str
    gold: str
    before: str
    after: str


class Comparison(TypedDict):
    """An evaluation against the one before: counts of rows by exact match, and the verdict.

    improved_rows, regressed_rows: some of those rows; None where their texts are not kept.
    """

    stage: str
    against: str
    improved: int
    regressed: int
    same: int
    summary: str
    improved_rows: list[FlipLine] | None
    regressed_rows: list[FlipLine] | None


class StageLine(TypedDict):
    """One stage of the plan; times are ISO 8601, `seconds` is wall-clock time.

    instance_hours: billed time of all attempts on all instances; `usd` is None without a price.
    image: repository and tag of the container, the same in every region, or the one asked for.
    A serverless job has no instances, recipe and image.
    """

    name: str
    kind: str
    state: str
    attempt: int
    job_name: str | None
    job_arn: str | None
    started_at: str | None
    ended_at: str | None
    seconds: float | None
    billable_seconds: int
    instances: int
    instance_hours: float
    usd: float | None
    recipe_key: str | None
    image: str | None
    checkpoint: str | None
    reason: str | None


class DatasetLine(TypedDict):
    """One dataset, by the version that was used."""

    role: str
    source_key: str | None
    version_id: str
    sha256: str
    rows: int
    rejected_rows: int | None


class HistoryLine(TypedDict):
    """One line of the history."""

    at: str
    what: str
    why: str


class Gate(TypedDict):
    """The gate's verdict with each condition that it looked at."""

    verdict: str
    promotes: bool
    summary: str
    ledger: list[dict[str, Any]]


class Report(TypedDict):
    """A whole report."""

    experiment: str
    status: str
    reason: str
    model: str
    base_checkpoint: str | None
    code_version: str
    labels: list[str]
    created_at: str
    started_at: str | None
    ended_at: str | None
    gate: Gate | None
    approved_by: str | None
    endpoint: str | None
    endpoint_expires_at: str | None
    notices: list[str]
    metrics: list[MetricRow]
    tasks: list[TaskReport]
    comparisons: list[Comparison]
    evaluations: list[Evaluation]
    stages: list[StageLine]
    trainings: list[TrainingReport]
    datasets: list[DatasetLine]
    history: list[HistoryLine]


def report(
    record: Record,
    scores: Mapping[tuple[str, int], ScoreItem],
    history: Iterable[HistoryEntry] = (),
    datasets: Mapping[str, DatasetItem] | None = None,
    *,
    curves: Mapping[str, Curve] | None = None,
    flips: Mapping[str, Mapping[str, Flips]] | None = None,
) -> Report:
    """Put together what is known of an experiment.

    `curves` are its trainings' by stage, `flips` the changed rows by stage and earlier stage.
    Raises pydantic.ValidationError on a score that this version can't read.
    """
    items = list(_evaluations(record, scores))
    read = {i.stage: read_score(i.score) for i in items if i.error is None}
    measured = {stage: score for stage, score in read.items() if isinstance(score, Score)}
    endpoint = record.endpoint
    return Report(
        experiment=record.experiment_id,
        status=str(record.status),
        reason=record.reason,
        model=record.spec.model,
        base_checkpoint=record.base_checkpoint,
        code_version=__version__,
        labels=list(record.spec.labels),
        created_at=record.created_at.isoformat(),
        started_at=_iso(record.started_at),
        ended_at=_iso(record.ended_at),
        gate=_gate(record.gate) if record.gate else None,
        approved_by=record.approved_by,
        endpoint=endpoint.name if endpoint else None,
        endpoint_expires_at=_iso(endpoint.expires_at) if endpoint else None,
        notices=list(record.notices),
        metrics=list(_metric_rows(measured)),
        tasks=list(task_reports(read)),
        comparisons=list(_comparisons(measured, flips or {})),
        evaluations=[_evaluation(item, measured.get(item.stage)) for item in items],
        stages=[_stage_line(record, stage) for stage in record.stages],
        trainings=list(training_reports(record, curves or {})),
        datasets=list(_dataset_lines(record, datasets or {})),
        history=[
            HistoryLine(at=entry.at.isoformat(), what=entry.what, why=entry.why)
            for entry in history
        ],
    )


def _evaluations(
    record: Record, scores: Mapping[tuple[str, int], ScoreItem]
) -> Iterator[ScoreItem]:
    """Yield the scores of the stages' present attempts, in the plan's order."""
    for stage in record.stages:
        item = scores.get((stage.name, stage.attempt))
        if stage.kind is StageKind.EVALUATE and item is not None:
            yield item


def _evaluation(item: ScoreItem, score: Score | None) -> Evaluation:
    return Evaluation(
        stage=item.stage,
        attempt=item.attempt,
        error=item.error,
        score=score.to_dict() if score else None,
    )


def _metric_rows(measured: Mapping[str, Score]) -> Iterator[MetricRow]:
    estimates = {stage: _estimates(score) for stage, score in measured.items()}
    changes = {stage: _paired_verdicts(score) for stage, score in measured.items()}
    for name, title in METRIC_TITLES.items():
        row = _metric_row(name, title, estimates, changes)
        if row["measurements"]:
            yield row


def task_reports(read: Mapping[str, Score | TaskScore]) -> Iterator[TaskReport]:
    """Yield what the jobs themselves measured, by task: benchmarks, judges, processor functions."""
    by_title: dict[str, dict[str, Score | TaskScore]] = {}
    for stage, score in read.items():
        if _own_estimates(score):
            by_title.setdefault(_title(score), {})[stage] = score
    for title, scores in by_title.items():
        estimates = {stage: _own_estimates(score) for stage, score in scores.items()}
        changes = {stage: _task_verdicts(score) for stage, score in scores.items()}
        names = dict.fromkeys(name for each in estimates.values() for name in each)
        rows = [_metric_row(name, name, estimates, changes) for name in names]
        yield TaskReport(title=title, stages=list(scores), metrics=rows)


def _title(score: Score | TaskScore) -> str:
    if isinstance(score, Score):
        return "processor function"
    return " ".join(filter(None, (score.task, score.subtask)))


def _own_estimates(score: Score | TaskScore) -> dict[str, Estimate]:
    """Return what only the job measured."""
    if isinstance(score, TaskScore):
        return score.metrics
    return {name: each for name, each in score.metrics.items() if name not in METRIC_TITLES}


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
) -> MetricRow:
    measurements: list[Measurement] = []
    for stage, each in estimates.items():
        if estimate := each.get(name):
            before = measurements[-1] if measurements else None
            measurements.append(_measurement(stage, name, estimate, verdicts[stage], before))
    return MetricRow(name=name, title=title, measurements=measurements)


def _measurement(
    stage: str, name: str, estimate: Estimate, verdicts: _Verdicts, before: Measurement | None
) -> Measurement:
    return Measurement(
        stage=stage,
        value=estimate.value,
        stderr=estimate.stderr,
        delta=estimate.value - before["value"] if before else None,
        verdict=verdicts.get(before["stage"], {}).get(name) if before else None,
    )


def _estimates(score: Score) -> dict[str, Estimate]:
    if score.classification is None:
        return dict(score.metrics)
    strict, lenient = score.classification.strict, score.classification.lenient
    shares = {
        "strict_accuracy": strict.accuracy,
        LENIENT_ACCURACY: lenient.accuracy,
        "no_valid_label": strict.without_label,
    }
    return score.metrics | {name: _estimate(share) for name, share in shares.items()}


def _estimate(share: Share) -> Estimate:
    """Give a share the standard error of the mean of its rows, as the other metrics have it."""
    p = share.count / share.n
    return Estimate(p, math.sqrt(p * (1 - p) / (share.n - 1)) if share.n > 1 else None)


def _comparisons(
    measured: Mapping[str, Score], flips: Mapping[str, Mapping[str, Flips]]
) -> Iterator[Comparison]:
    stages = list(measured)
    for before, after in itertools.pairwise(stages):
        found = measured[after].comparisons.get(before)
        if found is not None:
            rows = flips.get(after, {}).get(before)
            yield Comparison(
                stage=after,
                against=before,
                improved=found.improved,
                regressed=found.regressed,
                same=found.same,
                summary=found.summary,
                improved_rows=_flip_lines(rows.improved) if rows else None,
                regressed_rows=_flip_lines(rows.regressed) if rows else None,
            )


def _flip_lines(flips: Iterable[Flip]) -> list[FlipLine]:
    return [
        FlipLine(
            row=flip.row,
            question=flip.question,
            gold=flip.gold,
            before=flip.before,
            after=flip.after,
        )
        for flip in flips
    ]


def _gate(gate: GateVerdict) -> Gate:
    return Gate(
        verdict=gate.verdict,
        promotes=gate.promotes,
        summary=gate.summary,
        ledger=[dict(entry) for entry in gate.ledger],
    )


def _stage_line(record: Record, stage: Stage) -> StageLine:
    begun, ended = stage.started_at or stage.claimed_at, stage.ended_at
    plan, billed = record.plan_of(stage), stage.billable_seconds + stage.earlier_seconds
    _, instances = machines(record.spec, plan) or (None, 0)
    return StageLine(
        name=stage.name,
        kind=str(stage.kind),
        state=str(stage.state),
        attempt=stage.attempt,
        job_name=stage.job_name,
        job_arn=stage.job_arn,
        started_at=_iso(begun),
        ended_at=_iso(ended),
        seconds=(ended - begun).total_seconds() if begun and ended else None,
        billable_seconds=stage.billable_seconds,
        instances=instances,
        instance_hours=billed * instances / 3600,
        usd=usd(record.spec, plan, billed),
        recipe_key=_recipe_key(record, stage),
        image=_image(record.spec, plan),
        checkpoint=stage.checkpoint,
        reason=stage.reason,
    )


def _image(spec: ExperimentSpec, plan: StagePlan) -> str | None:
    if isinstance(plan, DeployStage):
        return facts().inference_image
    if isinstance(plan, ServingStage) or spec.runtime is not Runtime.TRAINING_JOB:
        return None
    if plan.image is not None:
        return plan.image
    return blueprint(method_of(plan), spec.model, plan.instance_type).family.image


def _recipe_key(record: Record, stage: Stage) -> str | None:
    has_recipe = record.spec.runtime is Runtime.TRAINING_JOB and stage.kind is not StageKind.DEPLOY
    if stage.job_name is None or not has_recipe:
        return None
    return f"jobs/{record.experiment_id}/{stage.job_name}/recipe.yaml"


def _dataset_lines(record: Record, items: Mapping[str, DatasetItem]) -> Iterator[DatasetLine]:
    for role, used in record.datasets.items():
        item = items.get(role)
        is_used = item is not None and item.version_id == used.version_id
        yield DatasetLine(
            role=role,
            source_key=item.source_key if item and is_used else None,
            version_id=used.version_id,
            sha256=used.sha256,
            rows=used.rows,
            rejected_rows=item.rejected_rows if item and is_used else None,
        )


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
