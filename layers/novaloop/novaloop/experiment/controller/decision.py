"""What a decision is made of: the next record, the commands, and lines for the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from novaloop.experiment.controller.observation import TaggedResource
from novaloop.experiment.controller.transitions import Action
from novaloop.experiment.record import (
    Backstop,
    CommandItem,
    HistoryEntry,
    Record,
    Stage,
    Status,
)
from novaloop.experiment.spec.defaults import SpecDefaults
from novaloop.training.notes import HealthNote

MAX_LINES = 40
"""Of history in one commit: with the record and 50 commands, fewer than 100 actions."""


@dataclass(frozen=True)
class Policy:
    """What a deployment decides for all of its experiments.

    `look_every` is how long a running training's log, a deployment to Bedrock, or a deletion may
    go without a look, as no event tells of them: a little less than the sweep's period, so that
    every sweep finds it due. A deletion is never left for longer than half a minute. `lag` is how
    far AWS's answers may be behind, with a wide margin: tags show up to a minute late
    (aws/sagemaker-python-sdk#3662). `defaults` hold for what settings leave out.
    """

    prefix: str = "novaloop"
    start_delay: timedelta = timedelta(seconds=30)
    look_every: timedelta = timedelta(seconds=270)
    lag: timedelta = timedelta(minutes=5)
    defaults: SpecDefaults | None = None

    @property
    def looks_apart(self) -> timedelta:
        """How far apart looks at what is suspect are, at the most a minute."""
        return min(timedelta(minutes=1), self.lag / 5)


@dataclass(frozen=True)
class StageCommand:
    """Launch, check or end the work of the stage called `stage`."""

    action: Action
    stage: str


@dataclass(frozen=True)
class SetBackstop:
    """Set the schedule that ends what the stage called `stage` serves with.

    `again`: it was set for this attempt before, so that it must be there. `sooner`: that of a
    lasting endpoint may be moved to an earlier time than it has.
    """

    stage: str
    again: bool = False
    sooner: bool = False


@dataclass(frozen=True)
class RemoveBackstop:
    """Remove a schedule that has nothing left to end."""

    backstop: Backstop


@dataclass(frozen=True)
class DeleteTagged:
    """Delete the first kind of these; the next look sees to the rest."""

    tagged: tuple[TaggedResource, ...]


@dataclass(frozen=True)
class IngestCommand:
    """Convert the uploaded file again: the settings changed since it was."""

    source_key: str


@dataclass(frozen=True)
class CheckDatasets:
    """Check the accepted datasets against each other."""


@dataclass(frozen=True)
class WritePlan:
    """Write what a dry run would launch beside the experiment's reports."""


@dataclass(frozen=True)
class Announce:
    """Tell people that the experiment reached this status."""

    mark: str


@dataclass(frozen=True)
class AnnounceStart:
    """Tell people what the experiment has begun to run, and what that costs."""

    text: str


@dataclass(frozen=True)
class UpdateReport:
    """Bring the experiment's report up to what people were told of."""

    mark: str


@dataclass(frozen=True)
class Warn:
    """Tell people what goes wrong in the training of the stage called `stage`."""

    stage: str
    note: HealthNote


Command = (
    StageCommand
    | SetBackstop
    | RemoveBackstop
    | DeleteTagged
    | IngestCommand
    | CheckDatasets
    | WritePlan
    | Announce
    | AnnounceStart
    | UpdateReport
    | Warn
)


@dataclass(frozen=True)
class AwaitedCheckpoint:
    """The checkpoint of another experiment, by its name there, and why it is not there yet.

    Nobody can be asked for it: it comes when that one goes on.
    """

    name: str
    why: str


@dataclass(frozen=True)
class Decision:
    """One step: commit `record` and `history` together, then carry out `commands`.

    `applied` are people's commands, whose items are deleted by the same commit. `look_at` calls for
    a look sooner than the status alone would. `awaits` has not come, and was asked for by an
    earlier look, which is not long ago, or can't be asked for. `faults` are what parts of the
    decision raised, which were left out of it.
    """

    record: Record
    commands: tuple[Command, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    look_at: datetime | None = None
    applied: tuple[CommandItem, ...] = ()
    awaits: tuple[Command | AwaitedCheckpoint, ...] = ()
    faults: tuple[Exception, ...] = ()


def stay(record: Record) -> Decision:
    """Decide that nothing changes."""
    return Decision(record)


def enter(
    record: Record, status: Status, reason: str, now: datetime, *commands: Command
) -> Decision:
    """Decide on a new status, or on a new reason for the present one."""
    entered = replace(record, status=status, reason=reason)
    if entered == record:
        return Decision(record, commands)
    entered = replace(entered, ended_at=now if status.is_final else None)
    return Decision(entered, commands, (HistoryEntry(now, str(status), reason),))


def condensed(lines: Sequence[HistoryEntry]) -> tuple[HistoryEntry, ...]:
    """Return as many lines as one commit may hold, the last of which says how many more."""
    if len(lines) <= MAX_LINES:
        return tuple(lines)
    more = f"and {len(lines) - MAX_LINES + 1:,} more lines"
    return (*lines[: MAX_LINES - 1], HistoryEntry(lines[-1].at, "more", more))


def put_stage(record: Record, stage: Stage) -> Record:
    """Return the record with the stage of that name replaced."""
    stages = tuple(stage if old.name == stage.name else old for old in record.stages)
    return replace(record, stages=stages)
