"""What a person who sees only the record's item in the table's console wants to know of it.

Where it stands, what it cost and what to do follow from the rest of the record: they are written
with each commit, and read by nobody but people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from novaloop.experiment.bounds import cut
from novaloop.experiment.controller.notifications import present_troubles
from novaloop.experiment.costs.budget import usd
from novaloop.experiment.names import report_prefix
from novaloop.experiment.record import Record, Stage, StageState, Status
from novaloop.experiment.spec.stages import StageKind


@dataclass(frozen=True)
class NextStep:
    """Something that a person may do: in words, the command, and what follows it.

    `NAME` stands for the experiment's name.
    """

    words: str
    verb: str
    arguments: tuple[str, ...] = ("NAME",)

    def command(self, experiment_id: str) -> tuple[str, ...]:
        """Return what follows the command's own name."""
        return (self.verb, *(experiment_id if a == "NAME" else a for a in self.arguments))


_RESULTS = NextStep("Results", "report")
_WHY = NextStep("Why", "show")
_RETRY = NextStep("Go on", "retry")
_AFRESH = NextStep("Begin anew, under a new name", "submit", ("DIR", "--name", "NEW"))
_NEXT_STEPS: Mapping[Status, tuple[NextStep, ...]] = {
    Status.LIVE: (NextStep("Ask it", "invoke", ("NAME", "a question")), _RESULTS),
    Status.COMPLETED: (_RESULTS,),
    Status.EXPIRED: (_RESULTS,),
    Status.HELD: (
        _RESULTS,
        NextStep("Deploy it nevertheless", "approve"),
        NextStep("Leave it", "reject"),
        NextStep("Try again", "retry", ("NAME", "--from", "STAGE")),
    ),
    Status.AWAITING_APPROVAL: (
        _RESULTS,
        NextStep("Deploy it", "approve"),
        NextStep("Leave it", "reject"),
    ),
    Status.STOPPED: (_WHY, _RETRY),
    Status.FAILED: (_WHY, NextStep("Its log", "logs"), _RETRY),
}


def next_steps(record: Record) -> tuple[NextStep, ...]:
    """Return what a person may do with an experiment at rest."""
    if record.status is Status.STOPPED and record.started_at is None:
        return (_WHY, _AFRESH)
    return _NEXT_STEPS.get(record.status, ())


_NOTHING = "nothing: it goes on by itself"
_GOES_ON: Mapping[Status, str] = {
    Status.COLLECTING: "upload what the reason waits for, if it names a file",
    Status.REJECTED: "correct the files and upload them again",
    Status.RUNNING: _NOTHING,
    Status.DEPLOYING: _NOTHING,
    Status.STOPPING: "nothing: it ends by itself",
}


@dataclass(frozen=True)
class Summary:
    """The attributes of a record's item that only people read; what is not known is None.

    `cost_usd` is what jobs were billed so far, and an endpoint for its time: until it was gone, or
    as long as it serves, until it is to go. `report` is a key of the stack's bucket.
    """

    stage: str | None
    progress: str | None
    cost_usd: float | None
    next_step: str
    report: str | None


def summary_of(record: Record) -> Summary:
    """Sum up a record."""
    return Summary(
        stage=record.focus.name if record.focus else None,
        progress=_progress(record),
        cost_usd=cost_usd(record),
        next_step=cut(_next_step(record)),
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
    progress = stage.progress
    if stage.state is not StageState.RUNNING or progress is None:
        return
    yield f"step {progress.step} of {progress.max_steps}" if progress.step else progress.phase
    if progress.finishes_at:
        yield f"done at about {_at(progress.finishes_at)}"


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def cost_usd(record: Record) -> float | None:
    """Return US dollars, as in `Summary`; None if no price of something billed is known."""
    total = 0.0
    for stage in record.stages:
        seconds = _billed_seconds(record, stage)
        price = usd(record.spec, record.plan_of(stage), seconds)
        if price is None and stage.started_at is not None:
            return None
        total += price or 0
    return round(total, 2)


def _billed_seconds(record: Record, stage: Stage) -> float:
    billed = float(stage.billable_seconds + stage.earlier_seconds)
    endpoint = record.endpoint
    if stage.kind is not StageKind.DEPLOY or stage.started_at is None or endpoint is None:
        return billed
    until = record.ended_at or endpoint.expires_at or endpoint.live_at
    return billed + max(0.0, (until - stage.started_at).total_seconds())


def _next_step(record: Record) -> str:
    """Say what helps where something is wrong, else what the status allows, as commands."""
    if troubles := present_troubles(record):
        return "; ".join(trouble.text for trouble in troubles)
    name = record.experiment_id
    steps = [
        f"{step.words}: {' '.join(('novaloop', *map(_quoted, step.command(name))))}"
        for step in next_steps(record)
    ]
    expires_at = record.endpoint.expires_at if record.endpoint else None
    if record.status is Status.LIVE and expires_at is not None:
        steps.append(f"Serve longer than {_at(expires_at)}: novaloop keep {name} --hours N")
        steps.append(f"End it: novaloop stop {name}")
    return "; ".join(steps) or _GOES_ON[record.status]


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word
