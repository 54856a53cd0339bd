"""Every row of the table that moves stages, each by a look at the world that leads to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Policy, StageCommand
from novaloop.experiment.controller.observation import (
    Blind,
    Cause,
    Observation,
    Outcome,
    Phase,
    Refusal,
    ResourceStatus,
    Sense,
)
from novaloop.experiment.controller.transitions import TABLE, Action, Condition
from novaloop.experiment.record import (
    Obstacle,
    Record,
    Snapshot,
    Stage,
    StageState,
    Status,
    Suspect,
    Suspicion,
    Unread,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import (
    DeployStage,
    RecordedStage,
    SftStage,
    StageKind,
    StagePlan,
)
from novaloop.training.notes import HealthKind, HealthNote
from tests.stages import changed

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
S, A = StageState, Action
SFT, DEPLOY = SftStage(), DeployStage()
BLIND_TO_WORK = (Blind(Sense.RESOURCE, "ThrottlingException"),)
DIVERGES = HealthNote(HealthKind.LOSS_DIVERGENCE, 10, "the loss goes up")


@dataclass(frozen=True)
class Case:
    """How a stage stands, what is seen of it, and what must become of it."""

    state: StageState
    condition: Condition
    stage: dict[str, Any]
    seen: dict[str, Any]
    to: StageState
    asks: tuple[Action, ...] = ()
    """In order. A stage that fails also has its work ended, unless that is over."""
    plan: StagePlan = SFT
    budget: float | None = None
    attempt: int = 1
    """Afterwards."""
    unread: tuple[Unread, ...] = ()


def confirmed(of: Suspect) -> Suspicion:
    return Suspicion(of, NOW - HOUR, NOW - MINUTE, looks=3, confirmed=True)


def resource(phase: Phase, **fields: Any) -> dict[str, Any]:
    return {"resource": ResourceStatus(phase, **fields)}


def refusal(cause: Obstacle) -> dict[str, Any]:
    return {"refusal": Refusal("no", cause), **resource(Phase.ABSENT)}


COMPONENT = DeployStage(inference_component=True)
RECORDED = RecordedStage(name="old", recorded="old.jsonl")
STOPS = SftStage(stop_on=("loss_divergence",))
SERVED = {"started_at": NOW - HOUR, "claimed_at": NOW - HOUR}
"""For less time than a start may take, and for more money than there is."""
MADE = {"job_arn": "arn:job", "claimed_at": NOW - HOUR, "started_at": NOW - HOUR}
LAST_CHECK = {"checks": 5, "checked_at": NOW - 6 * MINUTE}
PAST_DEADLINE = {"scoring_since": NOW - 2 * DAY, "overdue": confirmed(Suspect.OVERDUE)}
CASES = (
    Case(S.PENDING, Condition.TURN, {}, {}, S.CLAIMED, (A.LAUNCH,)),
    Case(S.PENDING, Condition.RECORDED, {}, {}, S.SCORING, (A.CHECK,), plan=RECORDED),
    Case(S.PENDING, Condition.BEHIND, {}, {"before": "other"}, S.WAITING),
    Case(S.CLAIMED, Condition.LAUNCHING, {}, resource(Phase.ABSENT), S.CLAIMED),
    Case(
        S.CLAIMED,
        Condition.ABSENT,
        {"claimed_at": NOW - 6 * MINUTE},
        resource(Phase.ABSENT),
        S.CLAIMED,
        (A.LAUNCH,),
    ),
    Case(S.CLAIMED, Condition.OURS, {}, resource(Phase.ACTIVE), S.RUNNING),
    Case(S.CLAIMED, Condition.SUSPECT, {}, resource(Phase.ACTIVE, ours=False), S.CLAIMED),
    Case(S.CLAIMED, Condition.UNSEEN, {}, {"blind": BLIND_TO_WORK}, S.CLAIMED),
    Case(
        S.CLAIMED,
        Condition.OVERDUE,
        {"claimed_at": NOW - 10 * DAY, "overdue": confirmed(Suspect.OVERDUE)},
        {"blind": BLIND_TO_WORK},
        S.FAILED,
        (A.END,),
    ),
    Case(
        S.CLAIMED,
        Condition.FOREIGN,
        {"suspicion": confirmed(Suspect.FOREIGN)},
        resource(Phase.ACTIVE, ours=False),
        S.FAILED,
    ),
    Case(S.CLAIMED, Condition.REFUSED_FOR_NOW, {}, refusal(Obstacle.QUOTA), S.WAITING),
    Case(S.CLAIMED, Condition.REFUSED, {}, refusal(Obstacle.INVALID), S.FAILED),
    Case(S.WAITING, Condition.NOT_DUE, {"next_try_at": NOW + HOUR}, {}, S.WAITING),
    Case(S.WAITING, Condition.BEHIND, {"next_try_at": NOW}, {"before": "other"}, S.WAITING),
    Case(S.WAITING, Condition.DUE, {"next_try_at": NOW}, {}, S.CLAIMED, (A.LAUNCH,)),
    Case(S.WAITING, Condition.OURS, {"next_try_at": NOW + HOUR}, resource(Phase.ACTIVE), S.RUNNING),
    Case(
        S.WAITING,
        Condition.UNAFFORDABLE,
        SERVED,
        resource(Phase.HALFWAY),
        S.FAILED,
        (A.END,),
        plan=COMPONENT,
        budget=10,
    ),
    Case(S.RUNNING, Condition.ACTIVE, MADE, resource(Phase.ACTIVE), S.RUNNING),
    Case(S.RUNNING, Condition.SUSPECT, MADE, resource(Phase.ABSENT), S.RUNNING),
    Case(S.RUNNING, Condition.UNSEEN, MADE, {"blind": BLIND_TO_WORK}, S.RUNNING),
    Case(
        S.RUNNING,
        Condition.HALFWAY,
        MADE,
        resource(Phase.HALFWAY),
        S.RUNNING,
        (A.PROCEED,),
        plan=COMPONENT,
    ),
    Case(
        S.RUNNING,
        Condition.UNDONE,
        {**MADE, "second_step_at": NOW - HOUR, "suspicion": confirmed(Suspect.ABSENT)},
        resource(Phase.HALFWAY),
        S.FAILED,
        (A.END,),
        plan=COMPONENT,
    ),
    Case(
        S.RUNNING,
        Condition.REFUSED_FOR_NOW,
        MADE,
        {"refusal": Refusal("no", Obstacle.CAPACITY), **resource(Phase.HALFWAY)},
        S.WAITING,
        plan=COMPONENT,
    ),
    Case(
        S.RUNNING,
        Condition.REFUSED,
        MADE,
        {"refusal": Refusal("no", Obstacle.INVALID), **resource(Phase.HALFWAY)},
        S.FAILED,
        (A.END,),
        plan=COMPONENT,
    ),
    Case(S.RUNNING, Condition.READY, MADE, resource(Phase.READY), S.SCORING, (A.CHECK,)),
    Case(S.RUNNING, Condition.FAILED, MADE, resource(Phase.FAILED), S.FAILED),
    Case(
        S.RUNNING,
        Condition.LOST,
        MADE,
        resource(Phase.LOST, cause=Cause.CAPACITY),
        S.WAITING,
        attempt=2,
    ),
    Case(
        S.RUNNING,
        Condition.LOST_WITH_REMAINS,
        MADE,
        resource(Phase.LOST, cause=Cause.CAPACITY),
        S.CLEARING,
        (A.END,),
        plan=DEPLOY,
    ),
    Case(
        S.RUNNING,
        Condition.LOST_TOO_OFTEN,
        {**MADE, "losses": 5},
        resource(Phase.LOST, cause=Cause.SERVICE_FAULT),
        S.FAILED,
    ),
    Case(S.RUNNING, Condition.STOPPED, MADE, resource(Phase.STOPPED), S.FAILED),
    Case(
        S.RUNNING,
        Condition.VANISHED,
        {**MADE, "suspicion": confirmed(Suspect.ABSENT)},
        resource(Phase.ABSENT),
        S.FAILED,
        (A.END,),
    ),
    Case(
        S.RUNNING,
        Condition.UNTAKEN,
        {**MADE, "previous_config": "former", "suspicion": confirmed(Suspect.ABSENT)},
        resource(Phase.ABSENT),
        S.WAITING,
        plan=DEPLOY,
    ),
    Case(
        S.RUNNING,
        Condition.OVERDUE,
        {**MADE, "started_at": NOW - 10 * DAY},
        resource(Phase.ACTIVE),
        S.FAILED,
        (A.END,),
    ),
    Case(
        S.RUNNING,
        Condition.UNAFFORDABLE,
        {**MADE, **SERVED},
        resource(Phase.ACTIVE),
        S.FAILED,
        (A.END,),
        plan=DEPLOY,
        budget=10,
    ),
    Case(
        S.RUNNING,
        Condition.UNHEALTHY,
        {**MADE, "health": (DIVERGES,)},
        resource(Phase.ACTIVE),
        S.FAILED,
        (A.END,),
        plan=STOPS,
    ),
    Case(
        S.CLEARING,
        Condition.REMAINS,
        MADE,
        resource(Phase.FAILED),
        S.CLEARING,
        (A.END,),
        plan=DEPLOY,
    ),
    Case(
        S.CLEARING,
        Condition.PARTS,
        {**MADE, "suspicion": confirmed(Suspect.PARTIAL)},
        resource(Phase.PARTIAL),
        S.CLEARING,
        (A.CLEAR,),
        plan=DEPLOY,
    ),
    Case(S.CLEARING, Condition.SUSPECT, MADE, resource(Phase.ABSENT), S.CLEARING, plan=DEPLOY),
    Case(
        S.CLEARING,
        Condition.UNSEEN,
        MADE,
        {"blind": BLIND_TO_WORK},
        S.CLEARING,
        (A.END,),
        plan=DEPLOY,
    ),
    Case(
        S.CLEARING,
        Condition.CLEARED,
        {**MADE, "suspicion": confirmed(Suspect.ABSENT)},
        resource(Phase.ABSENT),
        S.WAITING,
        plan=DEPLOY,
        attempt=2,
    ),
    Case(S.SCORING, Condition.CONFIRMED, MADE, {"outcome": Outcome(ok=True)}, S.SUCCEEDED),
    Case(
        S.SCORING,
        Condition.REFUTED,
        MADE,
        {"outcome": Outcome(ok=False), **resource(Phase.READY)},
        S.FAILED,
    ),
    Case(
        S.SCORING,
        Condition.UNCONFIRMED,
        {**MADE, "checks": 1, "checked_at": NOW - MINUTE},
        {"outcome": Outcome(ok=None)},
        S.SCORING,
    ),
    Case(
        S.SCORING,
        Condition.UNSEEN,
        {**MADE, **LAST_CHECK},
        {},
        S.SCORING,
        unread=(Unread("SCORE#sft#1", "a newer release wrote it", is_newer=True),),
    ),
    Case(
        S.SCORING,
        Condition.UNCONFIRMED_LATE,
        {**MADE, "checks": 4, "checked_at": NOW - HOUR},
        {"outcome": Outcome(ok=None)},
        S.SCORING,
        (A.CHECK,),
    ),
    Case(
        S.SCORING,
        Condition.UNCONFIRMED_FOR_GOOD,
        {**MADE, **LAST_CHECK, **PAST_DEADLINE},
        {"outcome": Outcome(ok=None), **resource(Phase.READY)},
        S.FAILED,
    ),
    Case(
        S.SCORING,
        Condition.UNAFFORDABLE,
        {**MADE, **SERVED},
        {"outcome": Outcome(ok=None), **resource(Phase.READY)},
        S.FAILED,
        (A.END,),
        plan=DEPLOY,
        budget=10,
    ),
)


def test_every_row_has_one_case() -> None:
    assert sorted((case.state, case.condition) for case in CASES) == sorted(TABLE)


def record_of(case: Case) -> Record:
    """Return a record whose last stage stands as the case says."""
    stage = Stage(case.plan.kind, case.plan.name, case.state)
    if case.state is not S.PENDING:
        name = f"novaloop-demo--{case.plan.name}-1"
        stage = changed(stage, job_name=name, claimed_at=NOW - MINUTE)
    trained = Stage(StageKind.SFT, "sft", S.SUCCEEDED, checkpoint="s3://bucket/checkpoint")
    serves = case.plan.kind is StageKind.DEPLOY
    return Record(
        "demo",
        ExperimentSpec(plan=(SFT, case.plan) if serves else (case.plan,), budget_usd=case.budget),
        NOW - DAY,
        status=Status.DEPLOYING if serves else Status.RUNNING,
        stages=(*((trained,) if serves else ()), changed(stage, **case.stage)),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.state}-{case.condition.name}")
def test_every_row(case: Case) -> None:
    snapshot = Snapshot("demo", record_of(case), unread=case.unread)
    decision = decide(Observation(snapshot, **case.seen), NOW, Policy())
    stage = decision.record.stages[-1]
    asks = [each.action for each in decision.commands if isinstance(each, StageCommand)]
    assert (stage.state, stage.attempt.number, asks) == (case.to, case.attempt, [*case.asks])
    is_over = case.to is S.FAILED and not case.asks
    is_ending = case.to is S.FAILED and bool(case.asks)
    assert (decision.record.status is Status.FAILED) == is_over
    assert (decision.record.status is Status.STOPPING) == is_ending
    told = [line.what for line in decision.history if line.what.startswith(case.plan.name)]
    moves = case.to is not case.state or case.attempt > 1
    retries = case.state is S.WAITING and case.to is S.CLAIMED
    assert told == ([f"{stage.name} {case.to}"] if moves and not retries else [])


@pytest.mark.parametrize(
    "case", [each for each in CASES if each.to is S.CLAIMED], ids=lambda case: case.condition.name
)
def test_a_claim_is_of_now_if_it_is_launched_and_as_old_as_it_was_if_not(case: Case) -> None:
    """Deadlines and schedules count from it: a look that moved it would put them off for ever."""
    before = record_of(case).stages[-1].attempt.claimed_at
    decision = decide(Observation(Snapshot("demo", record_of(case)), **case.seen), NOW, Policy())
    claimed_at = decision.record.stages[-1].attempt.claimed_at
    assert claimed_at == (NOW if A.LAUNCH in case.asks else before)


def test_what_was_acknowledged_is_ours_though_no_look_shows_it() -> None:
    """Else it would be launched once more when its lease is over."""
    claimed = next(each for each in CASES if each.condition is Condition.ABSENT)
    record = record_of(replace(claimed, stage={**claimed.stage, "job_arn": "arn:job"}))
    decision = decide(Observation(Snapshot("demo", record), ResourceStatus()), NOW, Policy())
    assert decision.record.stages[-1].state is S.RUNNING
    assert decision.commands == ()
