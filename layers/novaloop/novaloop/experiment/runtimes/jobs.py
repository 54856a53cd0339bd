"""What launches a job, whatever it runs on, and what each runtime has to answer."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from novaloop.experiment.record import Record, Stage
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Input, JobStage, TrainStage
from novaloop.experiment.stack import StackConfig, jobs_prefix
from novaloop.problem import Problem
from novaloop.recipes import checks


@dataclass(frozen=True)
class PlannedUpload:
    """One object to write before the requests: a text, or other objects joined together."""

    uri: str
    text: str | None = None
    joined: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedRequest:
    """One call, such as CreateTrainingJob, with its exact parameters."""

    operation: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Launch:
    """What launches one attempt at a training or an evaluation, in this order.

    Each upload and each request can be repeated: names are derived, what exists is left alone.
    """

    uploads: tuple[PlannedUpload, ...]
    requests: tuple[PlannedRequest, ...]
    max_runtime_seconds: int


class JobRuntime(ABC):
    """One runtime: what a spec may ask of it, what it is asked for, and what it leaves behind.

    What is known of it without any recipe, such as whether it has machines, `Runtime` answers.
    """

    note: ClassVar[str] = ""
    """What a plan for it leaves open, for whoever reads that."""

    def check_plan(self, spec: ExperimentSpec) -> Iterator[Problem]:
        """Yield what can't be asked of the plan as a whole."""
        yield from ()

    @abstractmethod
    def check_job(self, spec: ExperimentSpec, stage: JobStage, at: str) -> Iterator[Problem]:
        """Yield what it has not, or would ignore, of what a stage asks for."""

    def check_rows(
        self, spec: ExperimentSpec, stage: TrainStage, rows: int, at: str
    ) -> Iterator[Problem]:
        """Yield that a training can't have so many rows, if it can't."""
        yield from checks.check_rows(stage.method, spec.model, rows, stage.overrides, at)

    @abstractmethod
    def check_checkpoint(self, checkpoint: str, at: str) -> Iterator[Problem]:
        """Yield that it can't go on from what `checkpoint` says, if it can't."""

    def check_origin(self, checkpoint: str, experiment: str, stage: str) -> Iterator[Problem]:
        """Yield that it can't go on from what another experiment's stage left, if it can't."""
        yield from ()

    @abstractmethod
    def check_region(self, method: str, region: str, at: str) -> Iterator[Problem]:
        """Yield that a job can't run in a region, if it can't."""

    @abstractmethod
    def settings(self, spec: ExperimentSpec, stage: JobStage) -> Mapping[str, Any]:
        """Return the settings that a stage's job is told, by name."""

    @abstractmethod
    def launch(self, record: Record, stage: Stage, stack_config: StackConfig) -> Launch:
        """Return what launches a stage's attempt. Raises Invalid."""

    @abstractmethod
    def placeholder(self, record: Record, name: str, stack_config: StackConfig) -> str:
        """Return a checkpoint such as the job of that name may leave; only a run can tell."""

    def image(self, spec: ExperimentSpec, stage: JobStage) -> str | None:
        """Return the image that a stage's job runs, where one is named."""
        return None

    def recipe_key(self, record: Record, name: str) -> str | None:
        """Return the key of the recipe of the job of that name, where there is one."""
        return None

    @abstractmethod
    def whereabouts(self, record: Record, names: Sequence[str]) -> str:
        """Say where the models of these jobs are, if they wrote any: a cleanup keeps them."""


def job_plan(record: Record, stage: Stage) -> JobStage:
    """Return what the spec asks of a job. Raises TypeError for a stage that has none."""
    plan = record.plan_of(stage)
    if not isinstance(plan, JobStage):
        raise TypeError(f"stage {stage.name} has no job")
    return plan


def data_keys(record: Record, plan: JobStage) -> tuple[str, ...]:
    """Return the keys of the rows that a stage's job reads, in order; several are to be joined."""
    return tuple(key_of(record, each) for each in plan.inputs)


def data_key(record: Record, plan: JobStage) -> str | None:
    """Return the key of the one object that a job reads as its `train` channel, if it reads any.

    Joined rows are named after what they are joined from, not after the job: a job that is lost to
    capacity is launched hundreds of times, and each would leave its gigabytes behind.
    """
    keys = data_keys(record, plan)
    if len(keys) < 2:
        return keys[0] if keys else None
    joined_from = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    file = plan.inputs[0][1].file_name
    return f"{jobs_prefix(record.experiment_id)}/data/{joined_from}/{file}"


def key_of(record: Record, needed: Input) -> str:
    """Return the key of one dataset's rows in one format."""
    role, row_format = needed
    return record.datasets[role].outputs[row_format]


def joined_rows(
    record: Record, plan: JobStage, stack_config: StackConfig
) -> Iterator[PlannedUpload]:
    """Yield the upload of what a job reads, if several datasets are to be joined for that."""
    keys, target = data_keys(record, plan), data_key(record, plan)
    if target is not None and len(keys) > 1:
        yield PlannedUpload(stack_config.uri(target), joined=tuple(map(stack_config.uri, keys)))


def rows_of(record: Record, plan: JobStage) -> int:
    """Return how many rows a stage's job reads."""
    return sum(record.datasets[role].rows for role, _ in plan.inputs)


MOST_NAMES = 5


def listed_last(names: Sequence[str]) -> str:
    """List the last of many names."""
    more = f", and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{', '.join(names[-MOST_NAMES:])}{more}"
