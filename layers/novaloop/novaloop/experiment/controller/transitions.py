"""One table moves every stage: (state, what is seen) -> (next state, what to do, why).

The state diagram in `docs/states.md` is generated from it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from novaloop.experiment.controller.observation import (
    GONE,
    Cause,
    End,
    Observation,
    Outcome,
    Phase,
    Refusal,
    ResourceStatus,
    Sense,
)
from novaloop.experiment.names import MAX_ATTEMPT
from novaloop.experiment.record import Attempt, Obstacle, Progress, Stage, StageState, Waited
from novaloop.experiment.spec.stages import DAY_SECONDS, JobStage, StageSpec
from novaloop.training.health import unknown

LAUNCH_LEASE = timedelta(minutes=5)
"""How long only the controller that committed a claim launches. Longer than the controller's
timeout, so its holder has ended by then, whatever held it up. Whoever repeats the launch commits a
claim of its own first: so at any time one process at most can launch, and once its refusal is
committed, none."""
OVERDUE_MARGIN = timedelta(hours=1)
"""What a job may take beyond its longest run time: waiting for instances, start, upload."""
ENDPOINT_START = timedelta(hours=2)
SETTLING = timedelta(seconds=30)
"""How long the service may take to show that a second step was requested."""
CHECK_AGAIN, LEAST_OFTEN = timedelta(minutes=5), timedelta(days=1)
"""When to try again what failed or has not come: at first, and in the end."""
MAX_CHECKS = 5
"""How often at least what does not come is asked for, whatever time has passed: the controller may
have been away for all of it."""
LATE_AFTER = 3
"""After so many of them, at 15 minutes, people are told: the metrics function takes ten at most."""
UNREADABLE_FOR = timedelta(days=1)
"""How long what a job left may be unreadable, or its score may not come, before its stage fails.
The job is paid for, and people are told after minutes: time to give the right back. Lambda keeps
an asynchronous event whose function is throttled for six hours (AWS Lambda API Reference,
`MaximumEventAgeInSeconds`). An endpoint bills meanwhile, and gets MAX_CHECKS."""
MAX_LOST = 5
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(minutes=30)
LONGEST_WAIT_AS_FIRST = timedelta(minutes=10)
"""For a quota, where only the first in the queue asks."""
BUSY_FOR = timedelta(days=1)
PATIENCE: Mapping[Obstacle, timedelta | None] = {
    Obstacle.INVALID: timedelta(0),
    Obstacle.QUOTA: None,
    Obstacle.QUOTA_TOO_SMALL: None,
    Obstacle.CAPACITY: None,
    Obstacle.BUSY: BUSY_FOR,
    Obstacle.SERVICE_FAULT: timedelta(hours=6),
    Obstacle.UNCLEAR: timedelta(hours=6),
    Obstacle.NOT_FOUND: timedelta(minutes=15),
    Obstacle.DENIED: timedelta(minutes=15),
}
"""How long a launch is tried again after it first met an obstacle; None: as long as it takes, since
only time or a person removes it. What may be caused by lag alone is waited for as long as lag may
last: minutes, of which no source knows more than one (aws/sagemaker-python-sdk#3662)."""
UNCLEAR = {Obstacle.SERVICE_FAULT, Obstacle.UNCLEAR}
"""Refusals after which the launch may have taken effect all the same: a call that was accepted can
answer a fault of the service (an error 500 or 503, throttling, a time-out). So what does not show
is looked for, as if it were launched. All others say that it was not."""
FEWEST_TRIES = 3
"""How often an obstacle must be met before it is one for good, whatever time has passed. Where it
is waited for longer, one try for each LONGEST_WAIT: nobody has tried while the controller was
away."""
LONG_WAIT = timedelta(hours=1)
"""After this people are told that a stage waits, and for what."""


class Condition(StrEnum):
    """What the table's second column can say of a stage."""

    TURN = "it is this stage's turn"
    RECORDED = "it is this stage's turn, and its answers are there already"
    LAUNCHING = "nothing has that name yet; its launch may be under way"
    ABSENT = "nothing has that name, and whoever launched it has ended"
    OURS = "it was launched"
    FOREIGN = "the name belongs to somebody else's job or endpoint"
    SUSPECT = "it seems gone or somebody else's; more looks will tell"
    REFUSED_FOR_NOW = "the service can't take it now"
    REFUSED = "the service refused it"
    DUE = "the wait is over"
    BEHIND = "another experiment has waited longer for the same quota"
    NOT_DUE = "the wait goes on"
    ACTIVE = "it is in progress"
    HALFWAY = "its first step is done"
    UNDONE = "its second step came to nothing"
    READY = "it ended well"
    FAILED = "it failed"
    LOST = "it was lost to capacity or a service fault"
    LOST_WITH_REMAINS = "it was lost likewise, and something is left of it"
    LOST_TOO_OFTEN = "it was lost too often"
    REMAINS = "something is left of it"
    PARTS = "only what was made for it is left"
    CLEARED = "nothing is left of it"
    STOPPED = "it was stopped from outside"
    VANISHED = "it does not exist any more"
    UNTAKEN = "the endpoint went before its turn to serve there came"
    OVERDUE = "it is overdue"
    UNHEALTHY = "its training goes wrong in a way to stop on"
    CONFIRMED = "its result is there"
    REFUTED = "its outcome is not usable"
    UNCONFIRMED = "its outcome is not known yet"
    UNCONFIRMED_LATE = "its outcome is late"
    UNCONFIRMED_FOR_GOOD = "its outcome never came"
    UNAFFORDABLE = "what it serves with has used up the budget"
    UNSEEN = "it can't be read now"


class Action(StrEnum):
    """What the controller may do for a stage."""

    LAUNCH = "launch"
    SET_OWNER = "set the owner"
    PROCEED = "request the second step"
    CHECK = "check"
    END = "end"
    CLEAR = "delete what is left of it"


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    to: StageState
    action: Action | None = None


_S = StageState
TABLE: Mapping[tuple[StageState, Condition], Rule] = {
    (_S.PENDING, Condition.TURN): Rule(_S.CLAIMED, Action.LAUNCH),
    (_S.PENDING, Condition.RECORDED): Rule(_S.SCORING, Action.CHECK),
    (_S.PENDING, Condition.BEHIND): Rule(_S.WAITING),
    (_S.CLAIMED, Condition.LAUNCHING): Rule(_S.CLAIMED),
    (_S.CLAIMED, Condition.ABSENT): Rule(_S.CLAIMED, Action.LAUNCH),
    (_S.CLAIMED, Condition.OURS): Rule(_S.RUNNING),
    (_S.CLAIMED, Condition.SUSPECT): Rule(_S.CLAIMED),
    (_S.CLAIMED, Condition.UNSEEN): Rule(_S.CLAIMED),
    (_S.CLAIMED, Condition.OVERDUE): Rule(_S.FAILED),
    (_S.CLAIMED, Condition.FOREIGN): Rule(_S.FAILED),
    (_S.CLAIMED, Condition.REFUSED_FOR_NOW): Rule(_S.WAITING),
    (_S.CLAIMED, Condition.REFUSED): Rule(_S.FAILED),
    (_S.WAITING, Condition.NOT_DUE): Rule(_S.WAITING),
    (_S.WAITING, Condition.BEHIND): Rule(_S.WAITING),
    (_S.WAITING, Condition.DUE): Rule(_S.CLAIMED, Action.LAUNCH),
    (_S.WAITING, Condition.OURS): Rule(_S.RUNNING),
    (_S.WAITING, Condition.UNAFFORDABLE): Rule(_S.FAILED),
    (_S.RUNNING, Condition.ACTIVE): Rule(_S.RUNNING),
    (_S.RUNNING, Condition.SUSPECT): Rule(_S.RUNNING),
    (_S.RUNNING, Condition.UNSEEN): Rule(_S.RUNNING),
    (_S.RUNNING, Condition.HALFWAY): Rule(_S.RUNNING, Action.PROCEED),
    (_S.RUNNING, Condition.UNDONE): Rule(_S.FAILED),
    (_S.RUNNING, Condition.REFUSED_FOR_NOW): Rule(_S.WAITING),
    (_S.RUNNING, Condition.REFUSED): Rule(_S.FAILED),
    (_S.RUNNING, Condition.READY): Rule(_S.SCORING, Action.CHECK),
    (_S.RUNNING, Condition.FAILED): Rule(_S.FAILED),
    (_S.RUNNING, Condition.LOST): Rule(_S.WAITING),
    (_S.RUNNING, Condition.LOST_WITH_REMAINS): Rule(_S.CLEARING, Action.END),
    (_S.RUNNING, Condition.LOST_TOO_OFTEN): Rule(_S.FAILED),
    (_S.RUNNING, Condition.STOPPED): Rule(_S.FAILED),
    (_S.RUNNING, Condition.VANISHED): Rule(_S.FAILED),
    (_S.RUNNING, Condition.UNTAKEN): Rule(_S.WAITING),
    (_S.RUNNING, Condition.OVERDUE): Rule(_S.FAILED),
    (_S.RUNNING, Condition.UNAFFORDABLE): Rule(_S.FAILED),
    (_S.RUNNING, Condition.UNHEALTHY): Rule(_S.FAILED),
    (_S.CLEARING, Condition.REMAINS): Rule(_S.CLEARING, Action.END),
    (_S.CLEARING, Condition.PARTS): Rule(_S.CLEARING, Action.CLEAR),
    (_S.CLEARING, Condition.SUSPECT): Rule(_S.CLEARING),
    (_S.CLEARING, Condition.UNSEEN): Rule(_S.CLEARING, Action.END),
    (_S.CLEARING, Condition.CLEARED): Rule(_S.WAITING),
    (_S.SCORING, Condition.CONFIRMED): Rule(_S.SUCCEEDED),
    (_S.SCORING, Condition.REFUTED): Rule(_S.FAILED),
    (_S.SCORING, Condition.UNCONFIRMED): Rule(_S.SCORING),
    (_S.SCORING, Condition.UNSEEN): Rule(_S.SCORING),
    (_S.SCORING, Condition.UNCONFIRMED_LATE): Rule(_S.SCORING, Action.CHECK),
    (_S.SCORING, Condition.UNCONFIRMED_FOR_GOOD): Rule(_S.FAILED),
    (_S.SCORING, Condition.UNAFFORDABLE): Rule(_S.FAILED),
}

_RUNNING_CONDITIONS: Mapping[Phase, Condition] = {
    Phase.READY: Condition.READY,
    Phase.FAILED: Condition.FAILED,
    Phase.STOPPED: Condition.STOPPED,
    Phase.ENDING: Condition.ACTIVE,
}


def condition_of(stage: Stage, plan: StageSpec, seen: Observation, now: datetime) -> Condition:
    """Say in the table's words what is seen of `stage`."""
    match stage.state:
        case StageState.PENDING:
            turn = Condition.TURN if plan.recorded_as is None else Condition.RECORDED
            return Condition.BEHIND if seen.before else turn
        case StageState.CLAIMED:
            return _look_at_claim(stage, plan, seen, now)
        case StageState.WAITING:
            return _look_while_waiting(stage, seen, now)
        case StageState.RUNNING:
            refused = _look_at_refusal(stage, plan, seen, now)
            return (
                refused
                or _unseen(stage, seen)
                or _look_at_resource(stage, plan, seen.resource or ResourceStatus(), now)
            )
        case StageState.CLEARING:
            return _look_at_remains(stage, seen, now)
        case StageState.SCORING:
            return _look_at_outcome(stage, seen, now)
        case _:
            raise ValueError(f"a stage that is {stage.state} moves no more")


def _look_while_waiting(stage: Stage, seen: Observation, now: datetime) -> Condition:
    if _was_launched(seen.resource):
        return Condition.OURS
    due = Condition.BEHIND if seen.before else Condition.DUE
    return Condition.NOT_DUE if stage.waits_until_later(now) else due


def _look_at_claim(stage: Stage, plan: StageSpec, seen: Observation, now: datetime) -> Condition:
    resource = seen.resource or ResourceStatus()
    if refused := _look_at_refusal(stage, plan, seen, now):
        return refused
    if stage.attempt.job_arn is not None:
        return Condition.OURS  # it was acknowledged, so ours, whether or not a look shows it yet
    if unseen := _unseen(stage, seen):  # it may have been launched
        return unseen
    if not resource.ours:
        return Condition.FOREIGN if is_confirmed(stage) else Condition.SUSPECT
    if resource.phase not in GONE:
        return Condition.OURS
    absent = Condition.OVERDUE if _lasts(stage.waits, Obstacle.UNCLEAR, now) else Condition.ABSENT
    return Condition.LAUNCHING if _is_leased(stage, now) else absent


def _is_leased(stage: Stage, now: datetime) -> bool:
    claimed_at = stage.attempt.claimed_at
    return claimed_at is not None and now < claimed_at + LAUNCH_LEASE


def _look_at_refusal(
    stage: Stage, plan: StageSpec, seen: Observation, now: datetime
) -> Condition | None:
    if seen.refusal is None:
        return None
    if stage.state is StageState.RUNNING and plan.has_component:
        # Its endpoint is in service and bills, whatever the component waits for.
        given_up = stage.attempt.refusals + 1 >= MAX_LOST
        if given_up or PATIENCE[seen.refusal.cause] == timedelta(0):
            return Condition.REFUSED
        return Condition.REFUSED_FOR_NOW
    cause = seen.refusal.cause
    return Condition.REFUSED if _lasts(stage.waits, cause, now) else Condition.REFUSED_FOR_NOW


def _lasts(waits: tuple[Waited, ...], cause: Obstacle, now: datetime) -> bool:
    """Whether an obstacle that is met once more is one for good."""
    patience = PATIENCE[cause]
    if patience is None:
        return False
    waited = _met(waits, cause, now)[-1]
    fewest = max(FEWEST_TRIES, patience // LONGEST_WAIT)
    return not patience or (waited.times >= fewest and now >= waited.since + patience)


def _met(
    waits: tuple[Waited, ...], cause: Obstacle, now: datetime, times: int = 1
) -> tuple[Waited, ...]:
    """Return the obstacles with one more meeting with `cause`, which becomes the last of them."""
    known = next((each for each in waits if each.of is cause), None)
    if known is None or (not known.times and PATIENCE[cause] is not None):
        known = Waited(cause, now, times=0)
    long = known.long or now >= known.since + LONG_WAIT
    others = (
        replace(each, times=0, long=False) if times and _is_over(each.of, cause) else each
        for each in waits
        if each.of is not cause
    )
    return (*others, replace(known, times=known.times + times, long=long))


def _is_over(former: Obstacle, cause: Obstacle) -> bool:
    """Whether it shows by what a launch met now that a former obstacle is not there any more.

    Who is refused for a quota has got past all that is waited for with patience, and whoever gets
    an answer has got past throttling. It stays in mind, as its launch may have taken effect, and
    begins anew when it is met again: single throttled calls, days apart, are no fault of six hours.
    """
    if PATIENCE[former] is None:
        return False
    return PATIENCE[cause] is None or (former in UNCLEAR and cause not in UNCLEAR)


def is_confirmed(stage: Stage) -> bool:
    """Whether it is believed that a stage's work is gone or somebody else's."""
    suspicion = stage.attempt.suspicion
    return suspicion is not None and suspicion.confirmed


def _unseen(stage: Stage, seen: Observation) -> Condition | None:
    """Say so if the stage's work can't be read; it is overdue all the same when its time is up."""
    if seen.blind_to(Sense.RESOURCE) is None:
        return None
    return Condition.OVERDUE if _is_overdue(stage) else Condition.UNSEEN


def _is_overdue(stage: Stage) -> bool:
    """Whether it is believed that a stage has missed its deadline, though nobody can see it."""
    overdue = stage.attempt.overdue
    return overdue is not None and overdue.confirmed


def _look_at_resource(
    stage: Stage, plan: StageSpec, resource: ResourceStatus, now: datetime
) -> Condition:
    attempt, is_halfway = (
        stage.attempt,
        resource.phase is Phase.HALFWAY and not _settles(stage, now),
    )
    if is_halfway and attempt.second_step_at is None:
        # The first step is done, however late that is seen. The second bills: it is requested only
        # if the schedule leaves it all the time that it may take.
        own = stage.backstop is not None and stage.backstop.attempt == attempt.number
        ends = stage.backstop.at if stage.backstop and own else None
        in_time = ends is None or now + ENDPOINT_START <= ends
        return Condition.HALFWAY if in_time else Condition.OVERDUE
    if is_halfway or resource.phase in GONE:
        # It may only not show, also why an update came to nothing: that may be an earlier one's.
        if is_confirmed(stage) and resource.cause:
            return _look_at_loss(stage, plan, resource)
        # Who had it has ended it, such as for want of capacity: now it can be made.
        untaken = attempt.second_step_at is None and attempt.previous_config is not None
        vanished = Condition.UNTAKEN if untaken else Condition.VANISHED
        gone = Condition.UNDONE if is_halfway else vanished
        return gone if is_confirmed(stage) else Condition.SUSPECT
    if resource.phase in {Phase.ACTIVE, Phase.HALFWAY}:
        # Another experiment's change of a lasting endpoint: this one's turn has not come.
        is_theirs = resource.serving is not None and attempt.second_step_at is None
        if now > deadline(stage, plan) + is_theirs * BUSY_FOR:
            return Condition.OVERDUE
        return Condition.UNHEALTHY if _must_stop(stage, plan) else Condition.ACTIVE
    condition = _RUNNING_CONDITIONS.get(resource.phase)
    return condition or _look_at_loss(stage, plan, resource)


def is_sure(stage: Stage, resource: ResourceStatus, seen: Observation, now: datetime) -> bool:
    """Whether a look at work that is to end can be believed: what seems gone may be there."""
    if not resource.ours:
        return is_confirmed(stage)
    if resource.is_replaced:
        return is_confirmed(stage)
    if resource.phase not in GONE:
        return True
    if stage.attempt.job_arn is None:
        refused = seen.refusal is not None or stage.state is StageState.WAITING
        # A refused job was not made, and nobody launches it. A deployment takes several calls: what
        # the ones before the refused one made may only not show.
        if refused and not _is_unclear(stage, seen.refusal) and not stage.kind.serves:
            return True
        if _is_leased(stage, now):
            return False  # another controller may still be launching it
    ended = (
        stage.attempt.ending and resource.phase is Phase.PARTIAL
    )  # the endpoint, before our eyes
    return ended or is_confirmed(stage) or seen.end is End.DONE


def _is_unclear(stage: Stage, refusal: Refusal | None) -> bool:
    """Whether one of the stage's launches may have taken effect though it was refused."""
    met = {each.of for each in stage.waits} | ({refusal.cause} if refusal else set())
    return not met.isdisjoint(UNCLEAR)


def _was_launched(resource: ResourceStatus | None) -> bool:
    """Whether a job whose launch was refused is there all the same; a lost one is none."""
    return (
        resource is not None
        and resource.ours
        and resource.phase not in {*GONE, Phase.LOST, Phase.FAILED}
    )


def _look_at_remains(stage: Stage, seen: Observation, now: datetime) -> Condition:
    resource = seen.resource or ResourceStatus()
    if seen.blind_to(Sense.RESOURCE):
        return Condition.UNSEEN
    if seen.denied is not None or not is_sure(stage, resource, seen, now):
        return Condition.SUSPECT
    if resource.phase is Phase.PARTIAL or resource.is_replaced:
        return Condition.PARTS
    return (
        Condition.CLEARED
        if not resource.ours or resource.is_over(stage.kind)
        else Condition.REMAINS
    )


def _look_at_loss(stage: Stage, plan: StageSpec, resource: ResourceStatus) -> Condition:
    """Try again without end where a try costs nothing, a few times where it costs or fails."""
    goes_on = stage.losses < MAX_LOST or _is_free(stage, plan, resource)
    if not goes_on or stage.attempt.number >= MAX_ATTEMPT:
        return Condition.LOST_TOO_OFTEN
    return Condition.LOST_WITH_REMAINS if stage.kind.serves else Condition.LOST


def _is_free(stage: Stage, plan: StageSpec, resource: ResourceStatus) -> bool:
    """Whether an attempt was lost for want of capacity, before it had its machines.

    A component's endpoint is in service, and bills, by the time that the component is asked for.
    """
    attempt = stage.attempt
    has_endpoint = attempt.second_step_at is not None or attempt.refusals > 0
    return resource.cause is Cause.CAPACITY and not (plan.has_component and has_endpoint)


def _settles(stage: Stage, now: datetime) -> bool:
    requested_at = stage.attempt.second_step_at
    return requested_at is not None and now < requested_at + SETTLING


def _must_stop(stage: Stage, plan: StageSpec) -> bool:
    return any(note.kind in plan.stops_on for note in stage.attempt.health)


def _look_at_outcome(stage: Stage, seen: Observation, now: datetime) -> Condition:
    attempt, outcome = stage.attempt, seen.outcome
    score = seen.snapshot.unread_score(stage)
    # One that is damaged is asked for again, and written anew.
    if score is not None and score.is_newer:
        return Condition.UNCONFIRMED_FOR_GOOD if _is_overdue(stage) else Condition.UNSEEN
    if outcome is not None and outcome.ok is not None:
        return Condition.CONFIRMED if outcome.ok else Condition.REFUTED
    if attempt.checked_at is not None and now < attempt.checked_at + CHECK_AGAIN:
        return Condition.UNCONFIRMED
    if attempt.checks >= MAX_CHECKS and (stage.kind.serves or _is_overdue(stage)):
        return Condition.UNCONFIRMED_FOR_GOOD
    again = next_check(stage)
    return Condition.UNCONFIRMED_LATE if again is None or now >= again else Condition.UNCONFIRMED


def try_again_at(since: datetime, now: datetime) -> datetime:
    """Return when to try again what has failed, or has not come, since then: less and less often.

    That may last: of a topic without the right to publish, say, until somebody mends it.
    """
    return now + max(CHECK_AGAIN, min((now - since) / 4, LEAST_OFTEN))


def next_check(stage: Stage) -> datetime | None:
    """Return when a stage's outcome is asked for again; None if it never was.

    Of an endpoint, which bills, every few minutes; of a job, which does not, after twice the time.
    """
    attempt = stage.attempt
    if attempt.checked_at is None:
        return None
    doubled = 0 if stage.kind.serves else min(attempt.checks - 1, 10)
    return attempt.checked_at + CHECK_AGAIN * (1 << max(0, doubled))


def deadline(stage: Stage, plan: StageSpec) -> datetime:
    """Return when a stage is overdue. A job can wait a day for its instances.

    Each step of what is made in two has its own time, and so has an outcome: from when it could
    first be looked for.
    """
    attempt = stage.attempt
    ready = attempt.scoring_since or attempt.ended_at
    if stage.state is StageState.SCORING and ready and not stage.kind.serves:
        return ready + UNREADABLE_FOR
    begun = attempt.started_at or attempt.claimed_at
    if begun is None:
        raise ValueError(f"stage {stage.name} was never claimed")
    if isinstance(plan, JobStage):  # which alone has a longest time of its own
        return begun + timedelta(seconds=plan.max_runtime_seconds + DAY_SECONDS) + OVERDUE_MARGIN
    return (attempt.second_step_at or begun) + ENDPOINT_START


def wait(stage: Stage, longest: timedelta = LONGEST_WAIT) -> timedelta:
    """Return how long to wait before the next try: doubling, capped, with a derived jitter.

    The jitter keeps experiments that were refused together from coming back together; it comes
    from the job's name, so that a decision stays a function of what it looks at.
    """
    at_most = min(FIRST_WAIT * (1 << min(stage.tries, 10)), longest)
    share = zlib.crc32(f"{stage.attempt.job_name}/{stage.tries}".encode()) / 2**32
    return at_most * (0.5 + share / 2)


@dataclass(frozen=True)
class _Step:
    """A stage, the state that the table moves it to, and what the move goes by."""

    stage: Stage
    moved: Stage
    condition: Condition
    action: Action | None
    seen: Observation
    resource: ResourceStatus
    now: datetime
    name: str
    is_free: bool


def proceeded(stage: Stage, seen: Observation, now: datetime) -> Stage:
    """Return `stage` with the request for its second step, if that was just sent."""
    if not seen.proceeded:
        return stage
    return replace(stage, attempt=replace(stage.attempt, second_step_at=now))


def with_health(stage: Stage, seen: Observation) -> Stage:
    """Return `stage` with what its log says of its training's health."""
    notes, known = seen.training.notes if seen.training else (), stage.attempt.health
    health = (*known, *unknown(known, notes))
    return replace(stage, attempt=replace(stage.attempt, health=health))


def move(
    stage: Stage,
    plan: StageSpec,
    condition: Condition,
    seen: Observation,
    *,
    now: datetime,
    name: str,
) -> Stage:
    """Return `stage` as the table's row for what is seen leaves it.

    `name` is that of its present attempt's job or endpoint.
    """
    rule = TABLE[stage.state, condition]
    moved = replace(stage, state=rule.to)
    resource = seen.resource or ResourceStatus()
    is_free = _is_free(stage, plan, resource)
    step = _Step(stage, moved, condition, rule.action, seen, resource, now, name, is_free)
    return _MOVES[rule.to](step)


def _claim(step: _Step) -> Stage:
    moved = step.moved
    if step.action is not Action.LAUNCH:
        # The claim stays as old as it is: the lease, the deadline and the schedule count from it.
        return moved
    if step.condition is Condition.ABSENT:
        # Its launch came to nothing, and is repeated: by a claim of its own. Not for ever: to a
        # name that is taken by what no look ever shows, each launch seems to have been accepted.
        waits = _met(moved.waits, Obstacle.UNCLEAR, step.now)
        claimed = replace(moved.attempt, claimed_at=step.now)
        return replace(moved, attempt=claimed, waits=waits, reason=_NOT_SHOWN)
    # In a record of release 0.1.0 what waits for its next attempt holds the former one's work yet.
    known = moved.attempt
    if known.job_name != step.name:
        known = Attempt(known.number, warned=known.warned)
    attempt = replace(known, job_name=step.name, claimed_at=step.now)
    return replace(moved, attempt=attempt, next_try_at=None)


_NOT_SHOWN = "it was launched, or its name is taken, and nothing of that name shows"


def _put_off(step: _Step) -> Stage:
    stage, refusal = step.stage, step.seen.refusal
    if step.condition is Condition.NOT_DUE:
        return stage
    if step.condition is Condition.BEHIND:
        return _queue_up(step)
    cause = refusal.cause if refusal else _OBSTACLES.get(step.resource.cause)
    # Who could not ask for the quota, since a call was throttled, say, keeps its place.
    unheard = stage.queued_at is not None and cause in UNCLEAR
    is_queued = refusal is not None and (cause is Obstacle.QUOTA or unheard)
    moved = replace(
        step.moved,
        tries=stage.tries + 1,
        waits=_met(stage.waits, cause, step.now) if cause else stage.waits,
        next_try_at=step.now + wait(stage, LONGEST_WAIT_AS_FIRST if is_queued else LONGEST_WAIT),
        queued_at=(stage.queued_at or step.now) if is_queued else None,
        reason=stage.reason
        if step.condition is Condition.CLEARED
        else _why(step.condition, step.seen),
    )
    known, resource = stage.attempt, step.resource
    if step.condition in {Condition.LOST, Condition.CLEARED}:
        lost = replace(known, billable_seconds=resource.billable_seconds)
        losses = stage.losses + (step.condition is Condition.LOST and not step.is_free)
        return replace(moved, attempt=lost, losses=losses).with_new_attempt(step.now)
    # It goes on with the same attempt. If that runs, its second step was refused, and the first one
    # is done.
    is_second = stage.state is StageState.RUNNING and refusal is not None
    # An endpoint that serves one experiment after the other tells no start: it bills for the former
    # one meanwhile.
    bills = resource.phase in GONE or resource.started_at is not None
    attempt = replace(
        known,
        previous_config=None if step.condition is Condition.UNTAKEN else known.previous_config,
        refusals=known.refusals + is_second,
        suspicion=None,
        started_at=known.started_at if bills else None,
        progress=None,
    )
    return replace(moved, attempt=attempt)


def _clear(step: _Step) -> Stage:
    if step.stage.state is StageState.CLEARING:
        return step.stage
    cause = _OBSTACLES.get(step.resource.cause)
    waits = _met(step.stage.waits, cause, step.now) if cause else step.stage.waits
    return replace(
        step.moved,
        attempt=_billed(step),
        losses=step.stage.losses + (not step.is_free),
        waits=waits,
        reason=_why(step.condition, step.seen),
    )


def _billed(step: _Step) -> Attempt:
    """Return the attempt; without its start, if nothing of it was billed.

    What was lost for want of capacity while it was created, or while an endpoint was updated to it,
    never had its machines. From when on SageMaker bills an endpoint, no source of AWS's says; so
    what was lost to a fault of the service counts from its creation.
    """
    attempt = step.moved.attempt
    was_billed = not (step.stage.kind.serves and step.is_free)
    return attempt if was_billed else replace(attempt, started_at=None)


def _queue_up(step: _Step) -> Stage:
    queued_at = step.stage.queued_at or step.now
    reason = f"waits behind {step.seen.before}, which has waited longer for the same quota"
    waits = _met(step.stage.waits, Obstacle.QUOTA, step.now, times=0)
    return replace(step.moved, queued_at=queued_at, next_try_at=None, waits=waits, reason=reason)


def _follow(step: _Step) -> Stage:
    moved, resource = step.moved, step.resource
    if step.condition in {Condition.SUSPECT, Condition.UNSEEN}:
        return moved
    if step.condition is Condition.OURS:
        attempt = moved.attempt
        known = attempt.started_at if resource.phase in GONE else None  # which may only not show
        # Asked again with the same token, Bedrock answers as it did the first time.
        record = step.seen.snapshot.record
        is_new = record is None or record.stage(moved.name).attempt.job_arn is None
        moved = replace(
            moved,
            attempt=replace(
                attempt,
                job_arn=attempt.job_arn or resource.arn,
                started_at=resource.started_at or known or step.now,
                previous_config=resource.serving or attempt.previous_config,
            ),
            waits=_for_good(moved.waits) if is_new else moved.waits,
            next_try_at=None,
            queued_at=None,
            reason=None,
        )
    progress, billable = _progress(step), resource.billable_seconds
    attempt = replace(moved.attempt, progress=progress, billable_seconds=billable)
    return replace(moved, attempt=attempt)


def _for_good(waits: tuple[Waited, ...]) -> tuple[Waited, ...]:
    """Return the obstacles that stay in mind when a launch has got past the others.

    What is lost to capacity, launch after launch, waits for capacity all the while.
    """
    return tuple(each for each in waits if PATIENCE[each.of] is None)


def _progress(step: _Step) -> Progress | None:
    """Return the phase as described, with the steps as logged, else described, else known."""
    described, known, logged = (
        step.resource.progress,
        step.stage.attempt.progress,
        step.seen.training,
    )
    if described is None:
        return known
    if logged is not None and logged.step is not None:
        most = logged.max_steps or described.max_steps
        return Progress(described.phase, logged.step, most, logged.finishes_at)
    return replace(known, phase=described.phase) if known and known.step else described


def _check(step: _Step) -> Stage:
    moved, resource = step.moved, step.resource
    if step.condition in {Condition.READY, Condition.RECORDED}:
        ended = replace(
            moved.attempt,
            ended_at=resource.ended_at or step.now,
            scoring_since=step.now,
            billable_seconds=resource.billable_seconds,
            progress=_progress(step),
        )
        moved = replace(moved, attempt=ended, tries=0, losses=0, waits=())
    if step.action is Action.CHECK:
        # In its words of now: a service may say it in others each time, and no look come to rest.
        reason = step.seen.outcome.reason if step.seen.outcome else moved.reason
        checks = moved.attempt.checks + 1
        checked = replace(moved.attempt, checked_at=step.now, checks=checks)
        return replace(moved, attempt=checked, reason=reason)
    return moved


def _succeed(step: _Step) -> Stage:
    outcome, known = step.seen.outcome or Outcome(ok=True), step.moved.attempt
    progress = known.progress
    # Of its work, the report asks later for the steps of a training, and the schedule that ends an
    # endpoint goes by its claim. All else would be stored, and paid for, with each commit of the
    # stages that follow.
    attempt = replace(
        known,
        previous_config=None,
        progress=replace(progress, finishes_at=None) if progress and progress.step else None,
        claimed_at=known.claimed_at if step.moved.kind.serves else None,
        scoring_since=None,
        checked_at=None,
        checks=0,
    )
    return replace(
        step.moved,
        attempt=attempt,
        checkpoint=outcome.checkpoint,
        metrics=outcome.metrics,
        reason=outcome.reason or None,
    )


def _fail(step: _Step) -> Stage:
    billable = step.resource.billable_seconds or step.stage.attempt.billable_seconds
    return replace(
        step.moved,
        attempt=replace(_billed(step), ended_at=step.now, billable_seconds=billable),
        reason=_why_failed(step),
    )


_OBSTACLES: Mapping[Cause | None, Obstacle] = {
    Cause.CAPACITY: Obstacle.CAPACITY,
    Cause.SERVICE_FAULT: Obstacle.SERVICE_FAULT,
}
_MOVES: Mapping[StageState, Callable[[_Step], Stage]] = {
    StageState.CLAIMED: _claim,
    StageState.WAITING: _put_off,
    StageState.RUNNING: _follow,
    StageState.CLEARING: _clear,
    StageState.SCORING: _check,
    StageState.SUCCEEDED: _succeed,
    StageState.FAILED: _fail,
}


def _why_failed(step: _Step) -> str | None:
    if step.condition is Condition.UNHEALTHY:
        return _health_reason(step.stage)
    was_repeated = step.stage.state is StageState.CLAIMED and step.condition is Condition.OVERDUE
    if was_repeated and not step.seen.blind_to(Sense.RESOURCE):
        return step.stage.reason
    return _why(step.condition, step.seen)


def _health_reason(stage: Stage) -> str:
    return "stopped for its health: " + "; ".join(
        f"{note.kind}, {note.message}" for note in stage.attempt.health
    )


def _why(condition: Condition, seen: Observation) -> str:
    if seen.refusal is not None and condition in {Condition.REFUSED, Condition.REFUSED_FOR_NOW}:
        return seen.refusal.reason
    if (
        condition in {Condition.REFUTED, Condition.UNCONFIRMED_FOR_GOOD}
        and seen.outcome is not None
    ):
        return seen.outcome.reason or condition.value
    blind = seen.blind_to(Sense.RESOURCE, Sense.OUTCOME)
    if blind is not None:
        return f"{condition.value}, and {blind}"
    return (seen.resource and seen.resource.reason) or condition.value
