"""Follow a training by its log: what is new joins the curve that lies beside the job's output."""

from __future__ import annotations

from dataclasses import dataclass, field

from novaloop.experiment.controller.observation import Phase, ResourceStatus, TrainingNews
from novaloop.experiment.record import Record, Stage
from novaloop.experiment.runtimes.jobs import job_plan
from novaloop.experiment.runtimes.registry import runtime_of, steps_of
from novaloop.experiment.stack import jobs_prefix
from novaloop.training.curve import Curve
from novaloop.training.health import Limits, Training, follow, stalled, unknown
from novaloop.training.lines import points
from novaloop.typed import adapter
from novaloop.usecases.ports import Clock, JobLogs, ObjectMissing, Objects

TRAINS = "Training"
"""SageMaker's secondary status of a job whose container runs."""


@dataclass(frozen=True)
class FollowedTraining:
    """What a job's log told so far, and the cursor from which to read on."""

    training: Training = field(default_factory=Training)
    cursor: str | None = None


def curve_key(experiment_id: str, job_name: str) -> str:
    """Return the key of a training job's curve."""
    return f"{jobs_prefix(experiment_id)}/{job_name}/training-curve.json"


def load_training(experiment_id: str, job_name: str, objects: Objects) -> FollowedTraining:
    """Return what is known of a training; nothing if that was written by another version."""
    try:
        with objects.get(curve_key(experiment_id, job_name)) as body:
            return adapter(FollowedTraining).validate_json(body.read())
    except (ObjectMissing, ValueError):
        return FollowedTraining()


def load_curves(record: Record, objects: Objects) -> dict[str, Curve]:
    """Return the curves of the trainings that have begun, by stage."""
    return {
        stage.name: load_training(record.experiment_id, name, objects).training.curve
        for stage in record.stages
        if stage.kind.trains and (name := stage.attempt.job_name)
    }


def training_news(
    record: Record,
    stage: Stage,
    resource: ResourceStatus,
    *,
    logs: JobLogs,
    objects: Objects,
    clock: Clock,
) -> TrainingNews:
    """Read on in the log of a stage's job and say how its training goes."""
    limits = _limits(record, stage)
    training = _read_on(record.experiment_id, stage.attempt.job_name or "", limits, logs, objects)
    curve, notes = training.curve, training.notes
    if resource.phase is Phase.ACTIVE and resource.progress and resource.progress.phase == TRAINS:
        halt = stalled(curve, resource.started_at or clock.now(), clock.now())
        notes = (*notes, *unknown(notes, [halt] if halt else []))
    done, end = curve.steps_done, curve.finishes_at(limits.max_steps)
    return TrainingNews(done, limits.max_steps, end, notes)


def _read_on(
    experiment_id: str, job_name: str, limits: Limits, logs: JobLogs, objects: Objects
) -> Training:
    before = load_training(experiment_id, job_name, objects)
    page = logs.read(job_name, before.cursor)
    training = follow(before.training, points(page.lines), limits)
    after = FollowedTraining(training, page.cursor)
    if after != before:
        key = curve_key(experiment_id, job_name)
        objects.put(key, adapter(FollowedTraining).dump_json(after), "application/json")
    return training


def _limits(record: Record, stage: Stage) -> Limits:
    """Return what the job was told."""
    plan = job_plan(record, stage)
    settings = runtime_of(record.spec).settings(record.spec, plan)
    return Limits(steps_of(record, plan), settings.get("max_new_tokens"))
