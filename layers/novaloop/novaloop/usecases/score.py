"""Score: from an evaluation job's archive to the score item and the experiment's report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from novaloop.experiment.record import GateTry, Record, ScoreItem, Snapshot, Stage, StageState
from novaloop.experiment.runtimes.jobs import job_plan
from novaloop.experiment.runtimes.registry import runtime_of
from novaloop.experiment.spec.experiment import Gate
from novaloop.experiment.spec.inputs import recorded_files
from novaloop.experiment.spec.stages import EvaluateStage, Role, Task
from novaloop.experiment.stack import output_prefix
from novaloop.experiment.versions import Damaged
from novaloop.metrics.archive import INFERENCES, ArchiveError, EvaluationOutput, Member
from novaloop.metrics.comparison import HEADLINE_METRIC, DifferentRowsError
from novaloop.metrics.flips import (
    Answer,
    Flips,
    from_json,
    listed_rows,
    pair_up,
    read_answers,
    to_json,
)
from novaloop.metrics.inferences import InferenceError, read_inferences
from novaloop.metrics.registry import GATED
from novaloop.metrics.results import Score, TaskScore
from novaloop.metrics.rows import RowScores, RowsError
from novaloop.metrics.score import score_output
from novaloop.metrics.tasks import score_task
from novaloop.usecases.outputs import find_output
from novaloop.usecases.ports import Clock, ObjectMissing, Objects, Store

MAX_SCORE_BYTES = 390_000
"""As JSON in UTF-8, which takes no less than an item of the table, of which each has 400 KB."""
_UNUSABLE = (ArchiveError, InferenceError, DifferentRowsError, RowsError)


@dataclass(frozen=True)
class ScoreWorld:
    """Everything that scoring works with."""

    store: Store
    objects: Objects
    clock: Clock


@dataclass(frozen=True)
class _Scored:
    """What an archive tells, as the score item holds it."""

    score: Mapping[str, Any] = field(default_factory=dict)
    rows_key: str | None = None
    error: str | None = None


def score(experiment_id: str, stage_name: str, attempt: int, world: ScoreWorld) -> ScoreItem | None:
    """Score one attempt at an evaluation and write its item; None if the attempt is outdated.

    Raises Damaged if the score of an evaluation before it can't be read.
    """
    snapshot = world.store.load(experiment_id)
    stages = snapshot.record.stages if snapshot.record else ()
    stage = next((s for s in stages if (s.name, s.attempt.number) == (stage_name, attempt)), None)
    if snapshot.record is None or stage is None:
        return None
    known = snapshot.scores.get((stage_name, attempt))
    if known is not None:
        return known
    for past in snapshot.record.stages[: snapshot.record.stages.index(stage)]:
        if unread := snapshot.unread_score(past):
            # Compared with fewer evaluations than there are, it would be wrong for good.
            raise Damaged(f"the score before {stage_name}", str(unread))
    scored = _fitting(_score(snapshot.record, stage, snapshot, world.objects))
    scored_at = world.clock.now()
    rows, record = scored.score.get("evaluation_set"), snapshot.record
    if rows and not scored.error and record.spec.metrics_of(stage.name):
        tried = GateTry(experiment_id, stage.name, attempt, scored_at, record.uid)
        tries = world.store.count_tries(rows, tried)
        scored = replace(scored, score={**scored.score, "tries": tries})
    item = ScoreItem(
        stage.name,
        attempt,
        scored_at,
        scored.error,
        scored.score,
        scored.rows_key,
        snapshot.record.uid,
    )
    world.store.put_score(experiment_id, item)
    return item


def _fitting(scored: _Scored) -> _Scored:
    size = len(json.dumps(scored.score, ensure_ascii=False).encode())
    if size <= MAX_SCORE_BYTES:
        return scored
    numbers = len(scored.score["metrics"])
    return _Scored(
        error=f"the score has {size:,} bytes, and at most {MAX_SCORE_BYTES:,} are kept; the "
        f"evaluation reports {numbers:,} metrics"
    )


def _score(record: Record, stage: Stage, snapshot: Snapshot, objects: Objects) -> _Scored:
    plan = record.plan_of(stage)
    try:
        # Which alone has a task; of any but one, the job leaves no rows.
        if isinstance(plan, EvaluateStage) and plan.task is not Task.GEN_QA:
            return _score_task(record, stage, plan, snapshot, objects)
        return _score_rows(record, stage, snapshot, objects)
    except ObjectMissing as missing:
        return _Scored(error=str(missing))
    except _UNUSABLE as error:
        file = recorded_files(record.spec).get(plan.recorded_as or "")
        return _Scored(error=f"{file or output_prefix(record.experiment_id, stage)}: {error}")


def _score_task(
    record: Record, stage: Stage, plan: EvaluateStage, snapshot: Snapshot, objects: Objects
) -> _Scored:
    """Take the job's own numbers, and compare them with those of the same task before."""
    earlier = {
        past.name: TaskScore.from_dict(item.score)
        for past, item in _earlier_scores(record, stage, snapshot)
        if (item.score.get("task"), item.score.get("subtask")) == (plan.task, plan.subtask)
    }
    members = find_output(objects, output_prefix(record.experiment_id, stage))
    confidence = (record.spec.gate or Gate()).level
    return _Scored(score_task(members, plan.task, plan.subtask, earlier, confidence).to_dict())


def _score_rows(record: Record, stage: Stage, snapshot: Snapshot, objects: Objects) -> _Scored:
    is_recorded = record.plan_of(stage).recorded_as is not None
    limit = None if is_recorded else _most_tokens(record, stage)
    members, unasked = _members(record, stage, objects)
    gate = record.spec.gate or Gate()
    decides = next(iter(record.spec.metrics_of(stage.name)), gate.metric)
    result, rows = score_output(
        members,
        labels=record.spec.labels,
        max_new_tokens=limit,
        earlier=_earlier_rows(record, stage, snapshot, objects),
        metric=GATED[decides].name if decides in GATED else HEADLINE_METRIC,
        confidence=gate.level,
        by_class=record.spec.compared_by_class(stage.name),
        however_written=_however_written(record),
        of_job=not is_recorded,
    )
    if unasked:
        told = "1 answer is" if unasked == 1 else f"{unasked:,} answers are"
        note = f"{told} to no evaluation row, and left out"
        result = replace(result, notes=(*result.notes, note))
    rows_key = f"scores/{record.experiment_id}/{stage.name}-{stage.attempt.number}.jsonl"
    objects.put(rows_key, b"".join(rows.to_lines()), "application/jsonl")
    if record.spec.report_rows and result.comparisons:
        with suppress(ObjectMissing, *_UNUSABLE):  # an archive that has gone since costs no score
            _keep_flips(record, stage, result, objects)
    asked = record.datasets["eval"].rows
    told = f"the archive answers {result.n:,} rows, but the evaluation set has {asked:,}"
    return _Scored(result.to_dict(), rows_key, None if result.n == asked else told)


def flips_key(experiment_id: str, stage: Stage) -> str:
    """Return where the texts of the rows that changed are kept; nowhere else, and in no log."""
    return f"scores/{experiment_id}/{stage.name}-{stage.attempt.number}-flips.json"


def _keep_flips(record: Record, stage: Stage, result: Score, objects: Objects) -> None:
    wanted = {name: listed_rows(compared) for name, compared in result.comparisons.items()}
    after = _answers(record, stage, frozenset().union(*wanted.values()), objects)
    flips = {
        past.name: pair_up(
            result.comparisons[past.name],
            _answers(record, past, wanted[past.name], objects),
            after,
        )
        for past in record.stages
        if past.name in wanted
    }
    objects.put(flips_key(record.experiment_id, stage), to_json(flips), "application/json")


def _answers(
    record: Record, stage: Stage, wanted: frozenset[str], objects: Objects
) -> dict[str, Answer]:
    """Read the wanted rows again, from the output that was scored."""
    members, _ = _members(record, stage, objects)
    lines = EvaluationOutput(members).inference_lines()
    inferences = read_inferences(lines, however_written=_however_written(record))
    return read_answers(inferences, wanted)


def _most_tokens(record: Record, stage: Stage) -> int | None:
    """Return how many tokens the answers of a job may have."""
    settings = runtime_of(record.spec).settings(record.spec, job_plan(record, stage))
    return settings.get("max_new_tokens")


def _however_written(record: Record) -> bool:
    """Whether prompts are told apart by what they say: with recorded answers, no job wrote some."""
    return bool(recorded_files(record.spec))


def _members(record: Record, stage: Stage, objects: Objects) -> tuple[Iterable[Member], int]:
    """Return what an evaluation left, or was recorded instead, and how many answers are not used.

    Raises InferenceError, ObjectMissing.
    """
    recorded = record.plan_of(stage).recorded_as
    if recorded is None:
        return find_output(objects, output_prefix(record.experiment_id, stage)), 0
    # Few plans have such answers, and reading them loads what conversions are.
    from novaloop.usecases.recorded import laid_beside  # noqa: PLC0415

    datasets = record.datasets
    lines, unasked = laid_beside(datasets[Role.EVAL].outputs, datasets[recorded].outputs, objects)
    content = b"".join(lines)
    return [Member(INFERENCES, len(content), BytesIO(content))], unasked


def load_flips(record: Record, objects: Objects) -> dict[str, dict[str, Flips]]:
    """Read the rows that changed, by stage and the earlier stage; none where none were kept."""
    found = {}
    for stage in record.stages if record.spec.report_rows else ():
        if stage.kind.is_scored:
            with (
                suppress(ObjectMissing),
                objects.get(flips_key(record.experiment_id, stage)) as body,
            ):
                found[stage.name] = from_json(body.read())
    return found


def _earlier_rows(
    record: Record, stage: Stage, snapshot: Snapshot, objects: Objects
) -> Mapping[str, RowScores]:
    """Read the row scores of the evaluations before this one."""
    earlier: dict[str, RowScores] = {}
    for past, item in _earlier_scores(record, stage, snapshot):
        if item.rows_key is not None:
            with objects.get(item.rows_key) as body:
                earlier[past.name] = RowScores.from_lines(body)
    return earlier


def _earlier_scores(
    record: Record, stage: Stage, snapshot: Snapshot
) -> Iterator[tuple[Stage, ScoreItem]]:
    """Yield the evaluations before this one with their scores."""
    for past in record.stages[: record.stages.index(stage)]:
        item = snapshot.scores.get((past.name, past.attempt.number))
        if past.kind.is_scored and past.state is StageState.SUCCEEDED and item:
            yield past, item
