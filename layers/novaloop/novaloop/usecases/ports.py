"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, Protocol

from novaloop.experiment.record import Obstacle

if TYPE_CHECKING:
    from novaloop.datasets.reading.byte_range import ByteRange
    from novaloop.experiment.controller.observation import End, ResourceStatus, TaggedResource
    from novaloop.experiment.controller.queue import QueuePlace
    from novaloop.experiment.record import (
        Backstop,
        ChecksItem,
        CommandItem,
        DatasetItem,
        GateTry,
        HistoryEntry,
        Owner,
        Record,
        ScoreItem,
        Snapshot,
        SpecItem,
    )
    from novaloop.experiment.runtimes.jobs import PlannedRequest
    from novaloop.experiment.runtimes.serving import EndpointRef
    from novaloop.experiment.spec.stages import Target
    from novaloop.problem import Problem
    from novaloop.recipes.bedrock_serving import BedrockPlan
    from novaloop.recipes.endpoints import EndpointPlan
    from novaloop.training.lines import LogLine


class VersionConflict(Exception):  # noqa: N818
    """Another controller committed this record first."""


class LaunchRefused(Exception):  # noqa: N818
    """The service turned a launch down."""

    def __init__(self, reason: str, cause: Obstacle = Obstacle.INVALID) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause


class EndRefused(Exception):  # noqa: N818
    """The service refused to end something that is there and does not end by itself."""


class NotServing(Exception):  # noqa: N818
    """The endpoint did not answer; `for_now`: it may answer later."""

    def __init__(self, reason: str, *, for_now: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.for_now = for_now


class ObjectMissing(Exception):  # noqa: N818
    """There is no such object or version."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the time in UTC."""
        ...


@dataclass(frozen=True)
class Attempts:
    """How many attempts at a piece of work were begun, and when the first of them was."""

    version: str
    number: int
    since: datetime


class DatasetStore(Protocol):
    """The part of the experiments table that ingest works with."""

    def load(self, experiment_id: str) -> Snapshot:
        """Return the item collection of one experiment, history aside, strongly consistent."""
        ...

    def put_spec(self, experiment_id: str, item: SpecItem) -> None:
        """Write the spec item unless a later upload's is there."""
        ...

    def put_dataset(self, experiment_id: str, item: DatasetItem) -> bool:
        """Write the dataset item unless a later upload's is there; say whether it was written.

        Of one second, a result replaces only what is of its own version.
        """
        ...

    def put_alive(self, experiment_id: str, item: DatasetItem) -> None:
        """Write that a conversion went on at the item's `updated_at`, unless it has a result.

        It changes nothing either where the item that is there is of another version.
        """
        ...

    def put_stray(self, experiment_id: str, file: str) -> None:
        """Name a file that is none of the experiment's; once enough are named, count one more."""
        ...

    def put_checks(self, experiment_id: str, item: ChecksItem) -> None:
        """Write the checks item."""
        ...

    def begin(self, experiment_id: str, resource: str, version: str, now: datetime) -> Attempts:
        """Count an attempt at `work` on one version of its input; return all attempts on that.

        The item is none of the experiment's, so nobody looks because of it.
        """
        ...

    def take_back(self, experiment_id: str, resource: str, version: str) -> None:
        """Count one attempt less at `work` on this version of its input, if it was counted."""
        ...


@dataclass(frozen=True)
class Round:
    """How far the sweep has walked round the inbox.

    `after` is the key that it looked at last, empty between two rounds; `started` is when the
    present round began, and `since` when the one before it did. `searched` is when it last began to
    look for what bills and belongs to nobody, and `search_after` the experiment that this look has
    come to, if it has yet to go on. `told` identifies what it has told of, each with its end.
    """

    after: str
    started: datetime
    since: datetime
    searched: datetime | None = None
    search_after: str | None = None
    told: tuple[str, ...] = ()


class SweepStore(Protocol):
    """The part of the experiments table that the sweep works with."""

    def load_all(self, experiment_ids: Sequence[str]) -> Mapping[str, Snapshot | None]:
        """Return what tells of uploads in several experiments, without those that can't be read.

        That is their records, specs, datasets and strays. None stands for what a newer release
        wrote.
        """
        ...

    def load_records(self, experiment_ids: Sequence[str]) -> Mapping[str, Snapshot | None]:
        """Return the same of their records alone."""
        ...

    def due(self, now: datetime) -> Iterable[str]:
        """Return the experiments that a command waits for, then those whose `due_at` has passed.

        Each once, the longest overdue first.
        """
        ...

    def sweep_round(self) -> Round | None:
        """Return how far the sweep has come; None if there was none yet, or it can't be read."""
        ...

    def put_sweep_round(self, place: Round) -> None:
        """Remember how far the sweep has come."""
        ...


class Store(DatasetStore, Protocol):
    """The experiments table."""

    def load_record(self, experiment_id: str) -> Record | None:
        """Return an experiment's record alone. Raises NewerVersion and Damaged."""
        ...

    def drop(self, experiment_id: str, commands: Sequence[CommandItem]) -> None:
        """Delete commands of which nothing will ever come."""
        ...

    def commit(
        self,
        record: Record,
        history: Sequence[HistoryEntry],
        applied: Sequence[CommandItem] = (),
    ) -> Record:
        """Write the record and its history together and return it with its next version.

        The items of the commands that were applied are deleted in the same transaction. Raises
        VersionConflict if the stored version is not `record.version`, or if one of the commands
        is not there any more.
        """
        ...

    def history(self, experiment_id: str) -> Sequence[HistoryEntry]:
        """Return the history of one experiment, oldest first."""
        ...

    def queue(self, quota: str) -> Iterable[QueuePlace]:
        """Return the places held in the queue for a quota, the longest first.

        What was committed in the last few seconds may be missing.
        """
        ...

    def put_score(self, experiment_id: str, item: ScoreItem) -> None:
        """Write the score item."""
        ...

    def count_tries(self, evaluation_set: str, tried: GateTry) -> int:
        """Write down a try on these evaluation rows; return how many there are, with this one."""
        ...


class Jobs(Protocol):
    """SageMaker training jobs."""

    def describe(self, name: str, owner: Owner | None) -> ResourceStatus:
        """Say how the job stands; ABSENT if there is none of that name.

        With an `owner`, say too whether it is tagged as theirs.
        """
        ...

    def create(self, request: PlannedRequest) -> str | None:
        """Create a job or what it needs; do nothing if it exists. Raises LaunchRefused.

        Returns the ARN of the job, if it was created with this.
        """
        ...

    def stop(self, name: str) -> End:
        """Ask the job to stop; do nothing if it is over. Raises EndRefused."""
        ...


@dataclass(frozen=True)
class LogPage:
    """Lines of a job's log, the oldest first, and the cursor from which to read on."""

    lines: tuple[LogLine, ...]
    cursor: str | None


class JobLogs(Protocol):
    """What training jobs write to their logs."""

    def read(self, job_name: str, after: str | None) -> LogPage:
        """Return lines of all machines of a job since the cursor `after`, or from the start.

        Bounded: a long log takes several calls. A line may come again.
        """
        ...


class Endpoints(Protocol):
    """What serves a model: an endpoint and all that an attempt at a deployment makes for it."""

    def describe(self, ref: EndpointRef, owner: Owner | None) -> ResourceStatus:
        """Say how the endpoint stands; ABSENT only if its configuration and model are gone too.

        With an `owner`, say too whether it is tagged as theirs. If it is not, the
        phase is that of what else carries the tag: PARTIAL or ABSENT.
        """
        ...

    def launch(self, plan: EndpointPlan | BedrockPlan) -> str | None:
        """Create model, configuration and endpoint, whichever is missing. Raises LaunchRefused.

        Returns the ARN of the endpoint, or of what comes first, if it was created with this.
        """
        ...

    def proceed(self, plan: EndpointPlan | BedrockPlan, *, is_tried: bool = False) -> None:
        """Request what could not be requested before the launch was done. Raises LaunchRefused.

        `is_tried`: what serves under a lasting name is known to be on trial no more. Otherwise it
        is, if its tag names another experiment than its configuration.
        """
        ...

    def check_endpoint(self, endpoint: str, at: str) -> Iterator[Problem]:
        """Yield why nothing of this stack may serve under that name, if nothing may."""
        ...

    def set_owner(self, ref: EndpointRef, tags: Mapping[str, str]) -> str | None:
        """Let the endpoint belong to the experiment that it serves; return which it was before."""
        ...

    def delete(self, ref: EndpointRef, owner: Owner | None, *, gone: bool) -> End:
        """Delete the next of what the attempt made that can be deleted now. Raises EndRefused.

        Only if the endpoint is known to be `gone`, what was made for it goes too: with an
        `owner`, what is tagged as theirs.
        """
        ...

    def ask(self, ref: EndpointRef, body: Mapping[str, object]) -> str:
        """Send one chat request and return the answer's text. Raises NotServing."""
        ...


@dataclass(frozen=True)
class Standing:
    """How the schedule of something stands.

    `stands`: it is there, and will end it from when it `begins`; that is None if nothing is there.
    """

    stands: bool
    begins: datetime | None


class Schedules(Protocol):
    """What ends an endpoint without the controller, without its record, without the stack."""

    def put(self, backstop: Backstop, now: datetime, *, sooner: bool = False) -> bool:
        """Create its schedule, or move it; whether there was none. Raises LaunchRefused.

        That of a `lasting` endpoint is moved to `sooner` only if that is said: who serves may have
        been promised more than who is on trial.
        """
        ...

    def unset(self, backstop: Backstop, now: datetime) -> str | None:
        """Return None if its schedule stands as it was set; or what of it somebody changed.

        The text is empty where it does not show, or begins at another time: that may be stale.
        """
        ...

    def standing(self, backstop: Backstop) -> Standing:
        """Look at its schedule. What may not be looked at does not stand."""
        ...

    def remove(self, backstop: Backstop) -> None:
        """Delete its schedule, if that can be done: what is left has nothing to end."""
        ...


class TaggedResources(Protocol):
    """Everything in the account that carries an experiment's tag and can be deleted or stopped."""

    def find(self, experiment_id: str) -> tuple[TaggedResource, ...]:
        """Return what is there, in the order in which to delete it."""
        ...

    def delete(self, tagged: Sequence[TaggedResource]) -> None:
        """Delete those of the first kind that can be deleted now. Raises EndRefused."""
        ...


@dataclass(frozen=True)
class Billing:
    """What bills by the hour and carries an experiment's tag; `to` says where, if it serves.

    `component`: it is an endpoint with an inference component of its name.
    """

    kind: str
    name: str
    experiment_id: str
    to: Target | None = None
    component: bool = False


class BillingFinder(Protocol):
    """Everything of the stack's in the account that bills by the hour."""

    def billing(self) -> tuple[Sequence[Billing], Sequence[str]]:
        """Return what is tagged and serves, and the jobs that run; and what can't be looked at.

        What is gone may still be named: AWS's index of tags runs behind.
        """
        ...

    def serves(self, billing: Billing) -> str | None:
        """Return the configuration that an endpoint serves, which takes a call; None if it is gone.

        Of all else the text is empty: it was looked at when it was listed.
        """
        ...

    def end(self, billing: Billing) -> None:
        """Delete what serves, or what has to go before it. Raises EndRefused."""
        ...


class RunningResources(Protocol):
    """The same, without the tag index's delay, and with what can't be told."""

    def find(self, in_time: Callable[[], bool]) -> tuple[Sequence[Billing], Sequence[str]]:
        """Return what serves and the jobs that run; and what can't be looked at, with why.

        Looks at nothing more once `in_time` says that the time is up.
        """
        ...


class StackStatus(Protocol):
    """CloudFormation, as far as a stack may look at itself."""

    def status(self, stack_id: str) -> str:
        """Return a stack's status, such as `DELETE_IN_PROGRESS`. May raise anything."""
        ...


@dataclass(frozen=True)
class Upload:
    """The newest version of an uploaded file."""

    version_id: str
    uploaded_at: datetime
    size: int


class Objects(Protocol):
    """The application's bucket."""

    def newest(self, key: str) -> Upload | None:
        """Return the newest version of an object, or None if there is none."""
        ...

    def uploads(self, prefix: str, after: str = "") -> Iterable[tuple[str, Upload]]:
        """Return the objects under a prefix, in the order of their keys, from `after` on.

        They are listed a thousand at a time, as they are taken. Their `version_id` may be empty.
        """
        ...

    def writer(
        self, key: str, content_type: str
    ) -> AbstractContextManager[Callable[[bytes], object]]:
        """Open an object for streamed writing; an exception inside leaves no object."""
        ...

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Write a small object."""
        ...

    def get(
        self, key: str, version_id: str | None = None, span: ByteRange | None = None
    ) -> BinaryIO:
        """Open an object, or a span of its bytes, for streaming. Raises ObjectMissing."""
        ...

    def concatenate(self, keys: Sequence[str], target: str) -> None:
        """Write the contents of `keys`, one after the other, to `target`."""
        ...


class Scorer(Protocol):
    """The metrics function."""

    def request_score(self, experiment_id: str, stage: str, attempt: int) -> None:
        """Ask for the score of one attempt at an evaluation; it arrives as an item."""
        ...

    def request_report(self, experiment_id: str) -> None:
        """Ask for the experiment's report to be written anew."""
        ...


class Ingester(Protocol):
    """The ingest function."""

    def request_ingest(self, source_key: str) -> None:
        """Ask for an uploaded file to be looked at."""
        ...

    def request_checks(self, experiment_id: str) -> None:
        """Ask for the datasets of an experiment to be checked against each other."""
        ...


class BigFiles(Protocol):
    """The state machine that converts big files range by range."""

    @property
    def smallest(self) -> int:
        """Return the size from which on a file is big, in bytes."""
        ...

    def start(self, name: str, request: Mapping[str, object]) -> bool:
        """Start an execution unless one of that name and request runs; say whether it runs now.

        It does not if one of that name has ended, or has another request. A name stays taken for
        90 days.
        """
        ...

    def runs(self, name: str) -> bool | None:
        """Say whether the execution of that name runs; None if none has been started."""
        ...


class Hints(Protocol):
    """The queue of experiments to look at."""

    def look_at(self, experiment_id: str, delay: timedelta = timedelta(0), depth: int = 0) -> None:
        """Put a hint on the queue; `delay` is at most 15 minutes.

        `depth` counts the hints that led to this one: none to that of an event or of the sweep.
        """
        ...


class HintBatches(Protocol):
    """The same queue, for many hints at once."""

    def look_at_all(self, experiment_ids: Sequence[str]) -> Sequence[str]:
        """Put a hint for each on the queue, in batches; return those that were not taken."""
        ...


class Defects(Protocol):
    """Where faults of the program itself are reported, for whoever runs the stack."""

    def report(self, error: Exception) -> None:
        """Count a defect; the log tells where it is."""
        ...


class Notifier(Protocol):
    """The notifications topic."""

    def publish(self, subject: str, message: str, attributes: Mapping[str, str]) -> None:
        """Tell whoever subscribed."""
        ...
