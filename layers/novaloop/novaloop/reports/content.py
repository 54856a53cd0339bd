"""Puts a report together from what is known of an experiment."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from typing import TYPE_CHECKING

from novaloop import __version__
from novaloop.experiment.costs.budget import machines, usd
from novaloop.experiment.runtimes.jobs import job_plan
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.metrics.results import Score, TaskScore, read_score
from novaloop.recipes.facts import facts
from novaloop.reports.measurements import metric_rows, task_reports
from novaloop.reports.schema import (
    ComparedExperiment,
    Comparison,
    ComparisonReport,
    DatasetLine,
    Evaluation,
    FlipLine,
    Gate,
    HistoryLine,
    Report,
    StageLine,
)
from novaloop.reports.trainings import training_reports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from novaloop.experiment.record import (
        DatasetItem,
        HistoryEntry,
        Record,
        ScoreItem,
        Stage,
    )
    from novaloop.metrics.flips import Flip, Flips
    from novaloop.training.curve import Curve


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
        gate=Gate(
            verdict=record.gate.verdict,
            promotes=record.gate.promotes,
            summary=record.gate.why,
            ledger=[dict(entry) for entry in record.gate.ledger],
        )
        if record.gate
        else None,
        approved_by=record.approved_by,
        endpoint=endpoint.name if endpoint else None,
        endpoint_expires_at=_iso(endpoint.expires_at) if endpoint else None,
        notices=list(record.remarks),
        metrics=list(metric_rows(measured)),
        tasks=list(task_reports(read)),
        comparisons=list(_comparisons(measured, flips or {})),
        evaluations=[_evaluation(item, measured.get(item.stage)) for item in items],
        stages=[_stage_line(record, stage) for stage in record.stages],
        trainings=list(training_reports(record, curves or {}, measured)),
        datasets=list(_dataset_lines(record, datasets or {})),
        history=[
            HistoryLine(at=entry.at.isoformat(), what=entry.what, why=entry.why)
            for entry in history
        ],
    )


def comparison(
    title: str,
    read: Mapping[str, Score | TaskScore],
    metric: str,
    *,
    flips: Mapping[str, Mapping[str, Flips]] | None = None,
    experiments: Iterable[ComparedExperiment] = (),
) -> ComparisonReport:
    """Put together how evaluations differ from the first of them.

    metric: the one that decides. `flips` are the changed rows by evaluation and the first.
    """
    measured = {name: score for name, score in read.items() if isinstance(score, Score)}
    first, *others = measured or ("",)
    labels = (score.classification.labels for score in measured.values() if score.classification)
    return ComparisonReport(
        title=title,
        metric=metric,
        notes=list(_notes(measured)),
        code_version=__version__,
        labels=list(next(labels, ())),
        metrics=list(metric_rows(measured, against_first=True)),
        tasks=list(task_reports(read, against_first=True)),
        comparisons=list(_pairs(measured, flips or {}, [(first, each) for each in others])),
        evaluations=[
            Evaluation(
                stage=name,
                attempt=1,
                error=None,
                score=score.to_dict() if isinstance(score, Score) else None,
            )
            for name, score in read.items()
        ],
        experiments=list(experiments),
    )


def _notes(measured: Mapping[str, Score]) -> Iterator[str]:
    """Yield what is to be known of the scores, once, with the names of those it is true of."""
    for note in dict.fromkeys(note for score in measured.values() for note in score.notes):
        names = (name for name, score in measured.items() if note in score.notes)
        yield f"{', '.join(names)}: {note}"


def _evaluations(
    record: Record, scores: Mapping[tuple[str, int], ScoreItem]
) -> Iterator[ScoreItem]:
    """Yield the scores of the stages' present attempts, in the plan's order."""
    for stage in record.stages:
        item = scores.get((stage.name, stage.attempt.number))
        if stage.kind.is_scored and item is not None:
            yield item


def _evaluation(item: ScoreItem, score: Score | None) -> Evaluation:
    return Evaluation(
        stage=item.stage,
        attempt=item.attempt,
        error=item.error,
        score=score.to_dict() if score else None,
    )


def _comparisons(
    measured: Mapping[str, Score], flips: Mapping[str, Mapping[str, Flips]]
) -> Iterator[Comparison]:
    stages = list(measured)
    pairs = [*itertools.pairwise(stages), *([(stages[0], stages[-1])] if len(stages) > 2 else [])]
    return _pairs(measured, flips, pairs)


def _pairs(
    measured: Mapping[str, Score],
    flips: Mapping[str, Mapping[str, Flips]],
    pairs: Iterable[tuple[str, str]],
) -> Iterator[Comparison]:
    for before, after in pairs:
        found = measured[after].comparisons.get(before)
        if found is not None:
            rows = flips.get(after, {}).get(before)
            yield Comparison(
                stage=after,
                against=before,
                counted=found.counted,
                improved=found.improved,
                regressed=found.regressed,
                same=found.same,
                summary=found.summary,
                method=found.metrics[found.metric].method,
                classes={label: asdict(each) for label, each in found.classes.items()},
                moves=[asdict(each) for each in found.moves],
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
            system=flip.system,
        )
        for flip in flips
    ]


def _stage_line(record: Record, stage: Stage) -> StageLine:
    begun, ended = stage.attempt.started_at or stage.attempt.claimed_at, stage.attempt.ended_at
    plan, billed = record.plan_of(stage), stage.attempt.billable_seconds + stage.earlier_seconds
    price = usd(record.spec, plan, billed)
    _, instances = machines(record.spec, plan) or (None, 0)
    return StageLine(
        name=stage.name,
        kind=str(stage.kind),
        state=str(stage.state),
        attempt=stage.attempt.number,
        job_name=stage.attempt.job_name,
        job_arn=stage.attempt.job_arn,
        started_at=_iso(begun),
        ended_at=_iso(ended),
        seconds=(ended - begun).total_seconds() if begun and ended else None,
        billable_seconds=stage.attempt.billable_seconds,
        instances=instances,
        instance_hours=billed * instances / 3600,
        usd=None if price is None else price + stage.earlier_usd,
        recipe_key=_recipe_key(record, stage),
        image=_image(record, stage),
        checkpoint=stage.checkpoint,
        reason=stage.reason,
    )


def _image(record: Record, stage: Stage) -> str | None:
    if stage.kind.serves:
        return None if record.plan_of(stage).on_bedrock else facts().inference_image
    if record.plan_of(stage).recorded_as is not None:
        return None
    return runtime_of(record.spec).image(record.spec, job_plan(record, stage))


def _recipe_key(record: Record, stage: Stage) -> str | None:
    if stage.attempt.job_name is None or stage.kind.serves:
        return None
    return runtime_of(record.spec).recipe_key(record, stage.attempt.job_name)


def _dataset_lines(record: Record, items: Mapping[str, DatasetItem]) -> Iterator[DatasetLine]:
    for role, used in record.datasets.items():
        item = items.get(role)
        if item is not None and not record.uses(item):
            item = None
        yield DatasetLine(
            role=role,
            source_key=item.source_key if item else None,
            version_id=used.version_id,
            sha256=used.sha256,
            rows=used.rows,
            rejected_rows=item.rejected_rows if item else None,
        )


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
