"""The experiment record, and the items that others write beside it.

Every item has a single writer: the controller writes `Record` and `HistoryEntry`, ingest writes
`SpecItem` and `DatasetItem`, metrics writes `ScoreItem`, a person writes `CommandItem`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from novaloop.experiment.bounds import Bounded, First, Prose, cut
from novaloop.experiment.names import SPEC_FILE, SPLIT_STEM, file_of, stem_of
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Role, StageKind, StagePlan, Target
from novaloop.training.notes import HealthKind, HealthNote

MAX_METRICS = 10
MAX_NOTICES = 10
MAX_ERRORS = 51
MAX_STRAYS, MAX_STRAYS_LIKE_DATASETS = 10, 20
MAX_AWAITED = 10


class Status(StrEnum):
    """Where an experiment stands."""

    COLLECTING = "COLLECTING"
    REJECTED = "REJECTED"
    RUNNING = "RUNNING"
    HELD = "HELD"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    DEPLOYING = "DEPLOYING"
    LIVE = "LIVE"
    STOPPING = "STOPPING"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Nothing runs and nothing will, unless a person retries."""
        return self in {Status.COMPLETED, Status.EXPIRED, Status.STOPPED, Status.FAILED}

    @property
    def takes_uploads(self) -> bool:
        """Nothing was launched yet, so datasets and the spec may still change."""
        return self in {Status.COLLECTING, Status.REJECTED}


class StageState(StrEnum):
    """Where a stage stands.

    CLEARING: what was lost is being deleted before the next try. SCORING: its job ended well, and
    its outcome is checked.
    """

    PENDING = "PENDING"
    CLAIMED = "CLAIMED"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    CLEARING = "CLEARING"
    SCORING = "SCORING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"

    @property
    def has_deadline(self) -> bool:
        """Its present attempt may be launched, and is to end well by a time that is known."""
        return self in {StageState.CLAIMED, StageState.RUNNING, StageState.SCORING}


@dataclass(frozen=True)
class Measured:
    """A metric's value and its standard error, of `n` rows; what a job does not tell is None."""

    value: float
    error: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Progress:
    """How far a job has come: SageMaker's secondary status, and training steps if logged.

    `finishes_at` is when the last step is to be expected, by the time of the newest steps.
    """

    phase: str
    step: int | None = None
    max_steps: int | None = None
    finishes_at: datetime | None = None


class Suspect(StrEnum):
    """What a look can say wrongly of a stage's work, or of its end.

    `PARTIAL` is an endpoint that seems gone while what was made for it is there. `REPLACED` is one
    that seems to serve another configuration. `UNREADABLE` is what nobody could look at. `DENIED`
    is an end that the service refuses, for want of a right or for whatever reason; `LINGERING` one
    that was accepted, or has to wait for a change, and takes long. `OVERDUE` is what is past its
    deadline and can't be seen. `UNANSWERED` is what was asked for and does not come.
    """

    ABSENT = "ABSENT"
    PARTIAL = "PARTIAL"
    REPLACED = "REPLACED"
    FOREIGN = "FOREIGN"
    DENIED = "DENIED"
    LINGERING = "LINGERING"
    UNREADABLE = "UNREADABLE"
    OVERDUE = "OVERDUE"
    UNANSWERED = "UNANSWERED"


@dataclass(frozen=True)
class Suspicion(Bounded):
    """What looks in a row say since `since`, which may be stale: acted upon once `confirmed`.

    `looks` counts those that were far enough apart, and from `look_at` on the next one counts.
    `why` is what the service said, if it said more.
    """

    of: Suspect
    since: datetime
    look_at: datetime
    looks: int = 1
    confirmed: bool = False
    why: Prose = ""


class Obstacle(StrEnum):
    """Why a launch was turned down, or what was launched was lost.

    `BUSY`: something else is at it, such as another deployment. `NOT_FOUND`: what it refers to
    does not show yet, or does not exist. `DENIED`: a right that hangs on a tag was denied, and the
    tag may show late. `UNCLEAR`: nobody knows whether it was launched.
    """

    INVALID = "INVALID"
    QUOTA = "QUOTA"
    QUOTA_TOO_SMALL = "QUOTA_TOO_SMALL"
    CAPACITY = "CAPACITY"
    BUSY = "BUSY"
    SERVICE_FAULT = "SERVICE_FAULT"
    UNCLEAR = "UNCLEAR"
    NOT_FOUND = "NOT_FOUND"
    DENIED = "DENIED"


@dataclass(frozen=True)
class Waited:
    """How often a stage met an obstacle, and since when; `long`: so long that people are told."""

    of: Obstacle
    since: datetime
    times: int = 1
    long: bool = False


@dataclass(frozen=True)
class Backstop:
    """A schedule that deletes what an attempt serves with, from `at` on, if nobody else does.

    `name` is that of the endpoint, or of what serves on Bedrock. `component`: it serves by an
    inference component of that name. `lasting`: it serves one experiment after the other. `is_set`:
    the service said so; before that, the schedule may be there or not. `was_gone`: somebody else
    deleted it once, and it was created anew. `changed`: what of it somebody else changed last, by
    the names of GetSchedule's answer. `touched_at`: when that was noticed which people are told of.
    `refused`: what keeps it from being set.
    """

    name: str
    to: Target
    attempt: int
    at: datetime
    component: bool = False
    lasting: bool = False
    is_set: bool = False
    was_gone: bool = False
    changed: str = ""
    touched_at: datetime | None = None
    refused: Suspicion | None = None


@dataclass(frozen=True)
class Attempt(Bounded):
    """One attempt at a stage: its work, which is a job or an endpoint, and what looks say of it.

    A new attempt takes the place of the former one as a whole (`Stage.with_new_attempt`): nothing
    here outlives it. What does is the stage's: what counts over attempts, and the schedule that has
    to be removed yet. In the table, these fields stand among the stage's, `number` as `attempt`
    (`store.serialisation`).

    Times are UTC. `job_name` is there once it is claimed. `job_arn` is what the service answered to
    our Create, or the ARN of what our tag was seen on: with it, the work is ours whatever tags say.
    `second_step_at` is when the second step of work that takes two was requested, `refusals` how
    often that was refused, `previous_config` the endpoint configuration that served before it.
    `ending`: its work was seen to end. `suspicion` is of being gone or somebody else's, `denied` of
    an end that does not come, `overdue` of having missed its deadline, of which only looks after
    that say something. `scoring_since` is when its work was first seen to have ended well: from
    then on its outcome is waited for, and was asked for `checks` times, last at `checked_at`.
    `health` is what went wrong in its training, `warned` of what kinds of that people were told.
    Once it has succeeded, `previous_config`, `checked_at`, `checks`, `scoring_since` and, but for
    an endpoint's, `claimed_at` are no more.
    """

    number: int = 1
    job_name: str | None = None
    job_arn: str | None = None
    claimed_at: datetime | None = None
    second_step_at: datetime | None = None
    previous_config: str | None = None
    refusals: int = 0
    ending: bool = False
    suspicion: Suspicion | None = None
    denied: Suspicion | None = None
    overdue: Suspicion | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    scoring_since: datetime | None = None
    checked_at: datetime | None = None
    checks: int = 0
    progress: Progress | None = None
    health: tuple[HealthNote, ...] = ()
    warned: tuple[HealthKind, ...] = ()
    billable_seconds: int = 0

    @property
    def claimed_name(self) -> str:
        """The name of its work. Raises ValueError if it was never claimed."""
        if self.job_name is None:
            raise ValueError(f"attempt {self.number} was never claimed")
        return self.job_name


@dataclass(frozen=True)
class Stage(Bounded):
    """One stage of the plan, its present attempt, and what is remembered of all of them.

    `backstop` is the schedule that ends what an attempt serves with, by its own `attempt`: that of
    a former one stays until it is removed. Times are UTC; `queued_at` is since when it waits for a
    quota, if it does. `tries` counts launches that came to nothing in a row, `losses` those of
    them that were launched and lost where that costs or fails. `waits` are the obstacles met, the
    present one last, until its work has begun; one met 0 `times` is over. `checkpoint` and
    `metrics`, by their full names, are what it came to. `earlier_seconds` is what the attempts
    before the present one were billed, and `earlier_usd` what those before them cost that had other
    machines; `unpriced`: some of these were billed at a price that is not known. `reason` is why it
    stands where it does.
    """

    kind: StageKind
    name: str
    state: StageState = StageState.PENDING
    attempt: Attempt = Attempt()
    backstop: Backstop | None = None
    next_try_at: datetime | None = None
    queued_at: datetime | None = None
    tries: int = 0
    losses: int = 0
    waits: tuple[Waited, ...] = ()
    checkpoint: str | None = None
    metrics: Annotated[Mapping[str, Measured], First(MAX_METRICS)] = field(default_factory=dict)
    earlier_seconds: int = 0
    earlier_usd: float = 0
    unpriced: bool = False
    reason: Prose | None = None

    def billed_seconds(self, until: datetime) -> int:
        """Return what its attempt was billed: an endpoint from its start until it was gone."""
        if not self.kind.serves or self.attempt.started_at is None:
            return self.attempt.billable_seconds
        return int((until - self.attempt.started_at).total_seconds())

    def with_new_attempt(self, now: datetime) -> Stage:
        """Return the stage with a new attempt in the place of the present one.

        All of it is new but for what people were `warned` of: the same ill of the same training is
        no news. The former was billed until `now`, and may have used its name, if it has one, or
        has been scored: then the new one has the next number.
        """
        was_used = self.attempt.job_name is not None or self.attempt.ended_at is not None
        number = self.attempt.number + was_used
        earlier = self.earlier_seconds + self.billed_seconds(now)
        return replace(
            self, attempt=Attempt(number, warned=self.attempt.warned), earlier_seconds=earlier
        )

    def waits_until_later(self, now: datetime) -> bool:
        """Whether it has a next try, which lies ahead."""
        return self.next_try_at is not None and now < self.next_try_at


@dataclass(frozen=True)
class DatasetRef:
    """The dataset version that an experiment was started with."""

    version_id: str
    sha256: str
    rows: int
    outputs: Mapping[str, str]


NO_GATE = "no gate is set"
"""Why all is promoted of which no gate judges."""


@dataclass(frozen=True)
class GateVerdict(Bounded):
    """What the gate said, whether that allows a deployment, and each condition it looked at.

    `summary` says why where there is no condition that does.
    """

    verdict: str
    promotes: bool
    summary: Prose = ""
    ledger: tuple[Mapping[str, Any], ...] = ()

    @property
    def why(self) -> str:
        """What the verdict is for, in one sentence: of several conditions those that decide it."""
        open_ones = [each for each in self.ledger if each["outcome"] != "met"]
        told = open_ones or self.ledger[:1]
        lines = ["{condition}: {observed}, {outcome}".format(**each) for each in told]
        if others := len(self.ledger) - len(told):
            lines.append(f"{others} other condition{'s' if others > 1 else ''} met")
        return self.summary or "; ".join(lines)

    def __str__(self) -> str:
        return self.why if self.summary == NO_GATE else f"{self.verdict}: {self.why}"


@dataclass(frozen=True)
class Ailment(Bounded):
    """Since when a live endpoint is not in service, and why, once people are to be told.

    `said` is what the service calls it, and its first words for it.
    """

    since: datetime
    why: Prose = ""
    said: Prose = ""


@dataclass(frozen=True)
class Endpoint:
    """The endpoint, or the inference component on it, that serves the final checkpoint.

    `kept_until` is asked for and no promise yet: it becomes `expires_at` once its schedule is set.
    `unkept` is the `kept_until` that could not be promised so far, which people are told of.
    `ailment` is there while it is not in service.
    """

    name: str
    live_at: datetime
    expires_at: datetime | None = None
    component: str | None = None
    kept_until: datetime | None = None
    unkept: datetime | None = None
    ailment: Ailment | None = None


@dataclass(frozen=True)
class Cleanup(Bounded):
    """Everything that carries the experiment's tag is being deleted: who asked, what is left.

    `denied` is what the service said when it last refused to delete some of it, `held` the
    suspicion that it does not come to an end. `empty` is the suspicion that nothing is left
    (ABSENT), or only what an endpoint is made of (PARTIAL).
    """

    by: Prose
    left: Prose = ""
    denied: Prose = ""
    held: Suspicion | None = None
    empty: Suspicion | None = None


@dataclass(frozen=True)
class Trouble(Bounded):
    """What people are told of beside the status, since `since`; by its `name` it is known again.

    `gone_at`: since when it is away. It may come back: only in a while it is over.
    """

    name: Prose
    since: datetime
    gone_at: datetime | None = None


@dataclass(frozen=True)
class Owner:
    """Whose something is, as its tags tell: an experiment's, by its name and its uid.

    There is no uid on what an experiment of release 0.1.0 made.
    """

    experiment_id: str
    uid: str | None = None

    def owns(self, told: Owner | None) -> bool:
        """Whether what is tagged as `told` says is this one's; by its name, if it has no uid."""
        same = told is not None and told.experiment_id == self.experiment_id
        return same and (self.uid is None or (told is not None and told.uid == self.uid))


CHECKPOINT = "the checkpoint "
"""How, in what is awaited, the checkpoint of another experiment begins."""
INGEST = "the ingest of "
"""How, in what is awaited, that of a file begins."""


@dataclass(frozen=True)
class Record(Bounded):
    """What was decided so far about one experiment. `version` counts commits.

    `uid` is the experiment's alone, where its name may be used again after its record was deleted:
    what it launches, scores and is told carries it. Release 0.1.0 gave none.
    `base_checkpoint` is what the first stages start from, if not from the base model.
    `unused_uploads` says what came too late to be used. `handled_commands` are ids that release
    0.1.0 remembered; the next commit lets go of them. `notified` is what people were told last,
    `reported` what the report was last brought up to. `unreadable` is what could not be looked at,
    `unread` the items beside the record that can't be read. `awaited` is what was asked for and has
    not come yet, by what that is, each with the code of the error where the asking itself fails.
    `troubles` are what people are told of beside the status. `refused` identifies the uploads that
    were refused last, by role and the like: of each people are told once.
    `untold_start` is what people are still to be told of its start.
    `spec_upload` is the version of the `experiment.yaml` that `spec` comes from, empty if none was
    uploaded; releases before 0.2.0 did not remember it. `spec_digest` is the store's: of the spec
    and datasets as they are stored, in an item beside the record's own. `updated_at` is when it was
    last committed, which is no change by itself.
    """

    experiment_id: str
    spec: ExperimentSpec
    created_at: datetime
    version: int = 0
    status: Status = Status.COLLECTING
    reason: Prose = ""
    stages: tuple[Stage, ...] = ()
    datasets: Mapping[str, DatasetRef] = field(default_factory=dict)
    gate: GateVerdict | None = None
    approved_by: Prose | None = None
    budget_lifted_by: Prose | None = None
    endpoint: Endpoint | None = None
    stopping_to: Status | None = None
    cleanup: Cleanup | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    due_at: datetime | None = None
    untold_start: Prose = ""
    notified: Prose = ""
    reported: Prose = ""
    notices: Annotated[tuple[str, ...], First(MAX_NOTICES)] = ()
    unused_uploads: Prose = ""
    handled_commands: tuple[str, ...] = ()
    base_checkpoint: str | None = None
    unreadable: Suspicion | None = None
    unread: Prose = ""
    awaited: Annotated[Mapping[str, Suspicion], First(MAX_AWAITED)] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    prefix: str = "novaloop"
    uid: str | None = None
    spec_upload: str | None = None
    spec_digest: str = field(default="", compare=False)
    updated_at: datetime | None = field(default=None, compare=False)

    @property
    def owner(self) -> Owner:
        """Whose tags its jobs and endpoints carry."""
        return Owner(self.experiment_id, self.uid)

    @property
    def active(self) -> Stage | None:
        """The first stage that has not succeeded."""
        return next((s for s in self.stages if s.state is not StageState.SUCCEEDED), None)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of it: notices, uploads not used, what can't be read."""
        unreadable = self.unreadable.why if self.unreadable else ""
        schedule = self.lost_backstop, self.refused_backstop
        told = (self.unused_uploads, self.unread, unreadable, *schedule, *self.unanswered)
        return (*self.notices, *filter(None, told))

    @property
    def is_settled(self) -> bool:
        """Whether it has started, or its dry run is over: no upload changes what it runs by."""
        begun = self.started_at is not None or bool(self.datasets)
        return begun and not self.status.takes_uploads

    def uses(self, item: DatasetItem) -> bool:
        """Whether it runs by a dataset's item, as long as none is settled: a later one is not."""
        used = self.datasets.get(item.role)
        return not self.is_settled or (used is not None and used.version_id == item.version_id)

    @property
    def awaited_checkpoint(self) -> str | None:
        """The other experiment's checkpoint, as `first/sft`, if that is all that it waits for."""
        found = (what for what in self.awaited if what.startswith(CHECKPOINT))
        return next((what.removeprefix(CHECKPOINT) for what in found), None)

    @property
    def unanswered(self) -> tuple[str, ...]:
        """What people should know of what was asked for, and does not come."""
        return tuple(
            f"{what} has been asked for since {each.since:%Y-%m-%d %H:%M} UTC, and nothing has "
            "come: "
            + (
                f"the asking fails ({each.why}); give the controller's role the right if that is "
                "what it lacks"
                if each.why
                else "whoever is to do it may be broken, throttled or switched off, which the "
                "function's log tells"
            )
            + "; it is tried again"
            for what, each in self.awaited.items()
            if each.confirmed and not what.startswith(CHECKPOINT)
        )

    @property
    def lost_backstop(self) -> str:
        """What people should know of the schedule that was to end what is live."""
        backstop = self.focus.backstop if self.focus and self.status is Status.LIVE else None
        if backstop is None:
            return ""
        name = f"the schedule that ends {backstop.name} if nothing else does"
        touched_at = backstop.touched_at
        at = f"; it was noticed at {touched_at:%Y-%m-%d %H:%M} UTC" if touched_at else ""
        if backstop.was_gone:
            return (
                f"{name} was deleted by somebody, and was created anew{at}; CloudTrail knows who "
                "called DeleteSchedule"
            )
        if backstop.changed and backstop.is_set:
            return (
                f"{name} was changed by somebody in its {backstop.changed}, and was set as it has "
                f"to be again{at}; CloudTrail knows who called UpdateSchedule"
            )
        return ""

    @property
    def refused_backstop(self) -> str:
        """What people should know of a schedule that is not as it has to be, and can't be set.

        Of one that is to be moved for what is to be kept, the status's reason tells.
        """
        backstop = self.focus.backstop if self.focus and not self.status.is_final else None
        refused = backstop.refused if backstop is not None else None
        is_kept = self.endpoint is not None and self.endpoint.kept_until is not None
        if refused is None or not refused.confirmed or is_kept:
            return ""
        return (
            f"{refused.why}; until it can be set, nothing but the controller ends what serves; it "
            "is tried again every few minutes; give the controller's role the right if that is "
            "what it lacks"
        )

    @property
    def focus(self) -> Stage | None:
        """The stage whose job or endpoint may exist now: the active one, else the last."""
        return self.active or (self.stages[-1] if self.stages else None)

    @property
    def is_ending(self) -> bool:
        """Whether the job or endpoint of the stage in focus is being ended."""
        clearing = self.focus is not None and self.focus.state is StageState.CLEARING
        return self.status is Status.STOPPING or clearing

    def stage(self, name: str) -> Stage:
        """Return the stage called `name`; KeyError if the plan has none."""
        try:
            return next(stage for stage in self.stages if stage.name == name)
        except StopIteration:
            raise KeyError(name) from None

    def plan_of(self, stage: Stage) -> StagePlan:
        """Return what the spec asks of `stage`."""
        return next(plan for plan in self.spec.plan if plan.name == stage.name)

    def checkpoint_before(self, stage: Stage) -> str | None:
        """Return the newest checkpoint before `stage`: another stage's, or the first one."""
        before = self.stages[: self.stages.index(stage)]
        newest = next((s.checkpoint for s in reversed(before) if s.checkpoint), None)
        return newest or self.base_checkpoint


@dataclass(frozen=True)
class SpecItem(Bounded):
    """`experiment.yaml` as uploaded: the valid spec, or why it isn't one.

    The `version_id` is empty while errors of a service keep any from being read. `not_used` says
    why it is not, where it came after the start. `left_out` are settings that the file does not
    have, and for which the stack's defaults hold.
    """

    version_id: str
    uploaded_at: datetime
    spec: ExperimentSpec | None = None
    errors: Annotated[tuple[str, ...], First(MAX_ERRORS)] = ()
    not_used: Prose = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class ResolvedSpec:
    """What an experiment runs by, with every default resolved: settings and dataset versions.

    The part of a record that is settled at its start, and large: in the table an item of its own.
    `digest` identifies it, and is the record's `spec_digest`: so a reader knows whether the two
    items that it read belong together. `upload` is the record's `spec_upload`.
    """

    spec: ExperimentSpec
    digest: str
    upload: str | None = None
    datasets: Mapping[str, DatasetRef] = field(default_factory=dict)


CONVERTING = "converting"
"""How a record's reason begins that waits for nothing but conversions."""


class DatasetStatus(StrEnum):
    """Where a dataset stands."""

    INGESTING = "INGESTING"
    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"


@dataclass(frozen=True)
class DatasetItem(Bounded):
    """One dataset of an experiment, as ingest left it.

    `fingerprint` identifies the settings that it was converted with, `settings_at` is when they
    were uploaded, if they were; `outputs` maps each row format to the S3 key of its JSONL. The
    `version_id` is empty while errors of a service keep any from being converted.
    """

    role: str
    status: DatasetStatus
    source_key: str
    version_id: str
    uploaded_at: datetime
    fingerprint: str
    updated_at: datetime
    settings_at: datetime | None = None
    ingest_attempts: int = 1
    reason: Prose = ""
    rows: int = 0
    rejected_rows: int = 0
    sha256: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    rejects_key: str | None = None
    card_key: str | None = None
    profile_key: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """What the upload is called, without its folder."""
        return file_of(self.source_key)


_LIKE_DATA = re.compile(
    r"\.(csv|tsv|txt|json|jsonl|ndjson|parquet|arrow|feather|avro|orc|xls|xlsx|xlsb|ods|ya?ml"
    r"|gz|tgz|bz2|xz|zst|zip|tar|7z|rar)\Z",
    re.IGNORECASE,
)
_LIKE_DATASETS = {*Role, SPLIT_STEM, stem_of(SPEC_FILE)}


def looks_like_data(file: str) -> bool:
    """Whether a file looks like one of data or settings.

    One that is called like a dataset may be meant as that, in whatever format it is.
    """
    return _LIKE_DATA.search(file) is not None or stem_of(file).lower() in _LIKE_DATASETS


def most_strays(file: str) -> int:
    """Return how many strays there may be with this one, if it is to be named.

    One that is called like a dataset has a place also where others came before: settings that come
    later may need it.
    """
    is_like_dataset = stem_of(file).lower() in _LIKE_DATASETS
    return MAX_STRAYS_LIKE_DATASETS if is_like_dataset else MAX_STRAYS


@dataclass(frozen=True)
class Strays:
    """What lies in an experiment's folder and is none of its files.

    Any number may be dropped there, so only the first ones are named, as many as `most_strays`
    says, and `more` counts what came after, by its events: one that comes twice counts twice.
    """

    names: tuple[str, ...] = ()
    more: int = 0

    def has_told_of(self, file: str) -> bool:
        """Whether nothing is to be added for a file: it is named, or there are names enough."""
        return file in self.names or len(self.names) >= most_strays(file)

    @property
    def may_be_mistaken(self) -> bool:
        """Whether one may be meant as a file of an experiment: one not named here may be."""
        return bool(self.more or self.like_data)

    @property
    def like_data(self) -> tuple[str, ...]:
        """Those that look like files of data or settings, but for more than are named."""
        return tuple(filter(looks_like_data, self.names))

    def __str__(self) -> str:
        told = ", ".join(cut(name, 100) for name in self.names)
        return f"{told}, and {self.more:,} more" if self.more else told


@dataclass(frozen=True)
class ChecksItem(Bounded):
    """What the checks across the datasets found; `versions` identifies what they looked at.

    A finding holds its check, policy, roles, rows and message. `versions` is empty while errors of
    a service keep any from being checked.
    """

    versions: str
    checked_at: datetime
    refusal: Prose | None = None
    findings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class GateTry:
    """One evaluation that a gate judges: another try to pass on the same evaluation rows."""

    experiment_id: str
    stage: str
    attempt: int
    at: datetime
    uid: str | None = None


@dataclass(frozen=True)
class ScoreItem(Bounded):
    """What metrics measured at one attempt at an evaluation; `error` if it could not.

    `uid` is that of the experiment's record.
    """

    stage: str
    attempt: int
    scored_at: datetime
    error: Prose | None = None
    score: Mapping[str, Any] = field(default_factory=dict)
    rows_key: str | None = None
    uid: str | None = None


class CommandKind(StrEnum):
    """What a person can ask of a running experiment."""

    APPROVE = "approve"
    REJECT = "reject"
    STOP = "stop"
    RETRY = "retry"
    KEEP = "keep"
    CLEANUP = "cleanup"


@dataclass(frozen=True)
class CommandItem(Bounded):
    """A person's command. `stage` and `spec` belong to retry, `hours` to keep.

    `spec` is the text of an experiment.yaml, for the stages that run again; whoever reads it bounds
    it as any such file.
    `uid` is that of the record which the person saw, if it had one. `answers` is the mark of what
    that waited for (`controller.commands.wait_of`); releases before 0.2.0 gave none.
    """

    command_id: str
    kind: CommandKind
    by: Prose
    at: datetime
    stage: Prose | None = None
    hours: float | None = None
    note: Prose | None = None
    uid: str | None = None
    spec: str | None = None
    answers: str | None = None


class CommandOutcome(StrEnum):
    """What became of a command."""

    APPLIED = "obeyed"  # as it is stored since there is a history
    IGNORED = "ignored"


@dataclass(frozen=True)
class HistoryEntry(Bounded):
    """One line of an experiment's history.

    The line that answers a command has its id and outcome: whoever gave it looks for these, and
    reads nothing into words, which may be a person's own.
    """

    at: datetime
    what: Prose
    why: Prose = ""
    command_id: str | None = None
    outcome: CommandOutcome | None = None


@dataclass(frozen=True)
class Unread:
    """An item that this release can't read, by its sort key, and why: it is left alone."""

    key: str
    why: str
    is_newer: bool

    def __str__(self) -> str:
        return f"{self.key} is left alone: {self.why}"


@dataclass(frozen=True)
class Snapshot:
    """The item collection of one experiment, history aside.

    `unread` are items that this release can't read, none of them the record.
    `score_items` may hold those of a former experiment of the same name. A record without a uid
    takes them all: after a way back to release 0.1.0, which drops it, its own have one.
    """

    experiment_id: str
    record: Record | None = None
    spec: SpecItem | None = None
    datasets: Mapping[str, DatasetItem] = field(default_factory=dict)
    strays: Strays = Strays()
    checks: ChecksItem | None = None
    score_items: tuple[ScoreItem, ...] = ()
    commands: tuple[CommandItem, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def has_uploads(self) -> bool:
        """Whether ingest has seen an upload that may be meant as an experiment's.

        A folder of photos is no experiment, and nobody is told of it.
        """
        return (
            self.spec is not None
            or bool(self.datasets)
            or self.strays.may_be_mistaken
            or any(
                each.key.partition("#")[0] in {"SPEC", "DATASET", "STRAYS"} for each in self.unread
            )
        )

    def unread_item(self, key: str) -> Unread | None:
        """Return the item of this sort key if it is there and can't be read."""
        return next((each for each in self.unread if each.key == key), None)

    def unread_score(self, stage: Stage) -> Unread | None:
        """Return the score of a stage's present attempt if it is there and can't be read."""
        return self.unread_item(f"SCORE#{stage.name}#{stage.attempt.number}")

    @property
    def scores(self) -> dict[tuple[str, int], ScoreItem]:
        """The scores of the record's own evaluations, by stage and attempt."""
        uid = self.record.uid if self.record else None
        own = (each for each in self.score_items if uid in {None, each.uid})
        return {(each.stage, each.attempt): each for each in own}
