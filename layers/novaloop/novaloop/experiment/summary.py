"""What a person who sees only the record's item in the table's console wants to know of it.

Where it stands, what it cost and what to do follow from the rest of the record: they are written
with each commit, and read by nobody but people.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from novaloop.experiment.bounds import cut
from novaloop.experiment.controller.intake import is_misnamed
from novaloop.experiment.controller.notifications import present_troubles
from novaloop.experiment.costs.budget import Cost, commitment, cost_usd, shortfall
from novaloop.experiment.names import plan_key, report_prefix
from novaloop.experiment.record import Record, Stage, StageState, Status


@dataclass(frozen=True)
class NextStep:
    """Something that a person may do: in words, and as a command.

    `NAME` stands for the experiment's name.
    """

    words: str
    verb: str
    arguments: tuple[str, ...] = ("NAME",)


_RESULTS = NextStep("Results", "report")
_WHY = NextStep("Why", "show")
_RETRY = NextStep("Go on", "retry")
_LEAVE = NextStep("Leave it", "reject")
_AFRESH = NextStep("Begin anew, under a new name", "submit", ("DIR", "--name", "NEW"))
_RUN_IT = NextStep("Run it, without `dry_run`, under a new name", "submit", _AFRESH.arguments)
_NEXT_STEPS: Mapping[Status, tuple[NextStep, ...]] = {
    Status.REJECTED: (
        NextStep("Correct the files, then submit them again", "submit", ("DIR", "--name", "NAME")),
    ),
    Status.COMPLETED: (_RESULTS,),
    Status.EXPIRED: (_RESULTS,),
    Status.STOPPED: (_WHY, _RETRY),
    Status.FAILED: (_WHY, NextStep("Its log", "logs"), _RETRY),
}
_NOTHING = "nothing: it goes on by itself"
_GOES_ON: Mapping[Status, str] = {
    Status.COLLECTING: "upload what the reason waits for, if it names a file",
    Status.RUNNING: _NOTHING,
    Status.DEPLOYING: _NOTHING,
    Status.STOPPING: "nothing: it ends by itself",
}


def as_command(*words: str) -> str:
    """Return a command that can be pasted into a shell, without the options that choose a stack."""
    return shlex.join(("novaloop", *words))


def next_steps(
    record: Record, command: Callable[..., str] = as_command, bucket: str | None = None
) -> list[str]:
    """Say what helps where something is wrong, else what the status allows, each in a line.

    `command` writes a command of these words: whoever knows the stack adds what chooses it.
    `bucket` is the stack's, where that is known.
    """
    if troubles := present_troubles(record):
        return [trouble.text for trouble in troubles]
    name = record.experiment_id
    steps = [
        f"{step.words}: {command(step.verb, *(name if a == 'NAME' else a for a in step.arguments))}"
        for step in _steps(record)
    ]
    if record.status is Status.COMPLETED and record.started_at is None:
        key = plan_key(name)
        where = f"s3://{bucket}/{key}" if bucket else f"{key} in the stack's bucket"
        steps.insert(0, f"What it would launch: {where}")
    if (origin := record.awaited_checkpoint) is not None:
        steps.append(f"It starts once {origin} is there: {command('show', origin.split('/')[0])}")
    return steps or [_GOES_ON[record.status]]


def _steps(record: Record) -> tuple[NextStep, ...]:
    """Return what a person may do with an experiment at rest."""
    match record.status:
        case Status.STOPPED | Status.FAILED | Status.COMPLETED if record.started_at is None:
            # Only a dry run is complete without a start: it has a plan, and no results.
            return (_RUN_IT,) if record.status is Status.COMPLETED else (_WHY, _AFRESH)
        case Status.REJECTED if is_misnamed(record):
            return (_AFRESH,)
        case Status.LIVE:
            expires_at = record.endpoint.expires_at if record.endpoint else None
            until = f" than {_at(expires_at)}" if expires_at else ""
            return (
                NextStep("Ask it", "invoke", ("NAME", "a question")),
                _RESULTS,
                NextStep(f"Serve longer{until}", "keep", ("NAME", "--hours", "N")),
                NextStep("End it", "stop"),
            )
        case Status.AWAITING_APPROVAL:
            return (_RESULTS, NextStep(f"Deploy it ({commitment(record)})", "approve"), _LEAVE)
        case Status.HELD:
            words = f"Deploy it nevertheless ({commitment(record)})"
            if record.active is not None and shortfall(record, record.active):
                words = "Go on without a budget"
            again = NextStep("Try again", "retry", ("NAME", "--from", "STAGE"))
            return (_RESULTS, NextStep(words, "approve"), _LEAVE, again)
    return _NEXT_STEPS.get(record.status, ())


@dataclass(frozen=True)
class Summary:
    """The attributes of a record's item that only people read; what is not known is None.

    `cost_usd` is of the time of the record's commit. `report` is a key of the stack's bucket.
    """

    stage: str | None
    progress: str | None
    cost_usd: Cost | None
    next_step: str
    report: str | None


def summary_of(record: Record) -> Summary:
    """Sum up a record."""
    return Summary(
        stage=record.focus.name if record.focus else None,
        progress=_progress(record),
        cost_usd=cost_usd(record, record.updated_at or record.created_at),
        next_step=cut("; ".join(next_steps(record))),
        report=f"{report_prefix(record.experiment_id)}.html" if record.reported else None,
    )


def _progress(record: Record) -> str | None:
    stage = record.focus
    if stage is None:
        return None
    done = sum(each.state is StageState.SUCCEEDED for each in record.stages)
    parts = [f"{done} of {len(record.stages)} stages done", *_of_stage(stage)]
    return ", ".join(parts)


def _of_stage(stage: Stage) -> Iterable[str]:
    """Yield what an active stage does, as closely as it is known."""
    if stage.state is StageState.SUCCEEDED:
        return
    yield f"{stage.name} is {stage.state}"
    progress = stage.attempt.progress
    if stage.state is not StageState.RUNNING or progress is None:
        return
    yield f"step {progress.step} of {progress.max_steps}" if progress.step else progress.phase
    if progress.finishes_at:
        yield f"done at about {_at(progress.finishes_at)}"


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
