"""What the world says about an experiment, in the controller's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from novaloop.experiment.bounds import plausible, plausible_seconds
from novaloop.experiment.record import (
    Backstop,
    Measured,
    Obstacle,
    Owner,
    Progress,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
)
from novaloop.experiment.spec.stages import StageKind

if TYPE_CHECKING:
    from novaloop.experiment.controller.decision import Command
    from novaloop.experiment.lineage import Origin
    from novaloop.training.notes import HealthKind, HealthNote


class Phase(StrEnum):
    """How a training job or an endpoint stands.

    `LOST` is an end that is neither the job's fault nor ours: no capacity, or a service fault.
    `PARTIAL` is an endpoint that isn't there although its model or configuration is. `HALFWAY` is
    what is made in two steps, when the first is done and the second must be requested.
    """

    ABSENT = "ABSENT"
    PARTIAL = "PARTIAL"
    ACTIVE = "ACTIVE"
    HALFWAY = "HALFWAY"
    READY = "READY"
    FAILED = "FAILED"
    LOST = "LOST"
    STOPPED = "STOPPED"
    ENDING = "ENDING"


class Cause(StrEnum):
    """Why work came to nothing by no fault of its own."""

    CAPACITY = "CAPACITY"
    SERVICE_FAULT = "SERVICE_FAULT"


GONE = {Phase.ABSENT, Phase.PARTIAL}
"""The phases of what runs, serves and bills no more."""


class End(StrEnum):
    """What came of asking to end work. `DONE`: that was the last of it, and is gone with this."""

    NOT_NOW = "NOT_NOW"
    REQUESTED = "REQUESTED"
    DONE = "DONE"


@dataclass(frozen=True)
class ResourceStatus:
    """The training job or the endpoint of a stage's attempt. READY: completed, or in service.

    `model_arn` is the model that a serverless job or one of Bedrock trained. `cause` is why it was
    lost, or why the update of an endpoint came to nothing, if that was no fault of its own. If it
    is not `ours`, the name is somebody else's, or our tag does not show yet.

    Of an endpoint that serves one experiment after the other, `owner` is the experiment that it
    belongs to, and `serving` the configuration that it serves if that is not the attempt's own.
    Times and seconds that no service can mean count as not told.
    """

    phase: Phase = Phase.ABSENT
    ours: bool = True
    arn: str | None = None
    progress: Progress | None = None
    reason: str | None = None
    cause: Cause | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    billable_seconds: int = 0
    model_arn: str | None = None
    serving: str | None = None
    owner: Owner | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "started_at", plausible(self.started_at))
        object.__setattr__(self, "ended_at", plausible(self.ended_at))
        object.__setattr__(self, "billable_seconds", plausible_seconds(self.billable_seconds))

    @property
    def is_replaced(self) -> bool:
        """Whether the endpoint is at rest and serves another configuration than the attempt's.

        Or it only seems so: UpdateEndpoint may have been accepted, and not show yet.
        """
        return self.phase is Phase.HALFWAY and self.serving is not None

    def is_over(self, kind: StageKind) -> bool:
        """Whether nothing runs or bills any more: an endpoint does until it is deleted."""
        if kind.serves:
            return self.phase is Phase.ABSENT
        return self.phase not in {Phase.ACTIVE, Phase.ENDING}


@dataclass(frozen=True)
class Outcome:
    """What a stage that ended well is worth: `ok` is None as long as nobody can say."""

    ok: bool | None
    reason: str = ""
    checkpoint: str | None = None
    metrics: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingNews:
    """How a training goes by its log: steps done of how many, the expected end, all notes."""

    step: int | None = None
    max_steps: int | None = None
    finishes_at: datetime | None = None
    notes: tuple[HealthNote, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A launch that was turned down, and why."""

    reason: str
    cause: Obstacle = Obstacle.INVALID


@dataclass(frozen=True)
class Version:
    """A version of an uploaded file, by the bucket's id and time."""

    version_id: str
    uploaded_at: datetime


@dataclass(frozen=True)
class TaggedResource:
    """What carries an experiment's tag and bills, or stands in the way of a name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


PARTS_OF_ENDPOINTS = {"sagemaker:endpoint-config", "sagemaker:model"}
"""Kinds that cost nothing, and must not be deleted while an endpoint is made of them."""


class Sense(StrEnum):
    """What a look at an experiment looks at, in words for people."""

    RESOURCE = "its job or endpoint"
    TRAINING = "the log of its training"
    OUTCOME = "what it left or answers"
    TAGGED = "what carries its tag"
    ORIGIN = "the experiment that it starts from"
    ENDPOINT = "the endpoint that it asks for"
    SUCCESSOR = "the experiment that serves in its place"
    QUEUE = "the queue for its quota"
    UPLOADS = "the newest of its uploads"
    BACKSTOP = "the schedule that ends it"
    DECISION = "what is to be done"


@dataclass(frozen=True)
class Blind:
    """A look that failed, or the decision did, by a fault of the program.

    `code` is AWS's error code or the error's type, never its text.
    """

    of: Sense
    code: str

    def __str__(self) -> str:
        verb = "decided" if self.of is Sense.DECISION else "read"
        return f"{self.of} can't be {verb}: {self.code}"


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What acting taught that looking can't; None and empty where nothing was done.

    `notified` and `warned` are what people were just told: a status, and stages with their ills;
    `start_told`: what the experiment starts with.
    `reported` is what the report was just asked to be brought up to. `asked` are the commands that
    were just carried out, each with the code of the error that it failed with, empty if it did not:
    what failed, such as telling people, is tried again in the next look.
    `planned` sums up the plan of a dry run that was just written. `proceeded`: the second step of
    the work was just requested. `made` is the ARN that the service just answered to our Create.
    `end` and `denied` are what just came of asking to end work: why it was refused, if it was.
    `backstop` was just set and `removed` just removed; `exposed` says why the schedule could not
    be set, `was_gone` that it was set once, and was not there any more.
    """

    refusal: Refusal | None = None
    notified: str | None = None
    reported: str | None = None
    warned: tuple[tuple[str, HealthKind], ...] = ()
    start_told: bool = False
    asked: tuple[tuple[Command, str], ...] = ()
    planned: str | None = None
    proceeded: bool = False
    made: str | None = None
    end: End | None = None
    denied: str | None = None
    backstop: Backstop | None = None
    removed: Backstop | None = None
    exposed: str | None = None
    was_gone: bool = False


@dataclass(frozen=True)
class Unset:
    """A schedule that was set, and is not there as it was; what of it somebody `changed`, if so."""

    backstop: Backstop
    changed: str


@dataclass(frozen=True)
class Observation(Feedback):
    """Everything that a decision may look at; `resource` is None where nobody looked.

    `endpoint_problem` says why this stack can't do what the spec asks for. `origin` is the
    checkpoint of another experiment that the spec names. `tagged` stand in the order in which
    to delete them. `before` is the experiment that has waited longest for the quota which the
    next launch counts towards, if that is not this one. `blind` are the looks that failed; what
    they look for is None. `unset` is the schedule that is not there as it was set.
    `is_succeeded`: what serves in its place is another experiment's, whose record says that it
    is LIVE by it. `new_uid` is there for an experiment that has no record yet. `newest` are the
    versions that lie in the bucket now, by the keys that were looked at; None where there is
    none. `files_of_datasets` are the keys of all files that a dataset might be read from, once it
    is about to start.
    """

    snapshot: Snapshot
    resource: ResourceStatus | None = None
    outcome: Outcome | None = None
    training: TrainingNews | None = None
    endpoint_problem: str | None = None
    origin: Origin | None = None
    tagged: tuple[TaggedResource, ...] | None = None
    before: str | None = None
    blind: tuple[Blind, ...] = ()
    unset: Unset | None = None
    is_succeeded: bool = False
    new_uid: str | None = None
    newest: Mapping[str, Version | None] = field(default_factory=dict)
    files_of_datasets: tuple[str, ...] = ()

    def blind_to(self, *senses: Sense) -> Blind | None:
        """Return the first look at one of these that failed, if any did."""
        return next((each for each in self.blind if each.of in senses), None)


_WORKING = {StageState.CLAIMED, StageState.RUNNING, StageState.CLEARING}
_WORK_MATTERS = {Status.LIVE, Status.STOPPING}


def needs_resource(snapshot: Snapshot) -> bool:
    """Whether a decision needs to see the job or endpoint of the stage in focus."""
    record = snapshot.record
    if record is None or record.focus is None or record.focus.attempt.job_name is None:
        return False
    if record.status in _WORK_MATTERS:
        return True
    # A job that was refused may be there all the same, and use up the quota that it waits for.
    refused = record.focus.state is StageState.WAITING and not record.focus.kind.serves
    return not record.status.is_final and (record.focus.state in _WORKING or refused)


def needs_tagged(snapshot: Snapshot) -> bool:
    """Whether a decision needs to see everything that carries the experiment's tag."""
    return snapshot.record is not None and snapshot.record.cleanup is not None


def needs_training(snapshot: Snapshot) -> bool:
    """Whether a decision needs to see how the training of the stage in focus goes."""
    record = snapshot.record
    focus = record.focus if record else None
    if record is None or focus is None or record.status is not Status.RUNNING:
        return False
    return focus.state is StageState.RUNNING and keeps_log(record, focus)


def keeps_log(record: Record, stage: Stage) -> bool:
    """Whether a stage is a training whose log can be followed."""
    return stage.kind.trains and record.spec.runtime.keeps_log


def needs_outcome(snapshot: Snapshot) -> bool:
    """Whether a decision needs to see what the stage in focus came to."""
    record = snapshot.record
    in_progress = record is not None and record.status in {Status.RUNNING, Status.DEPLOYING}
    focus = record.focus if record else None
    return in_progress and focus is not None and focus.state is StageState.SCORING
