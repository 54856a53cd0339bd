"""What a stage waits for in turn: no cause is held against it for longer than it lasts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from novaloop.experiment.record import StageState, Status
from tests.simulation.simulation import SPEC, Call, Simulation
from tests.simulation.twin_service import refusal

SFT = SPEC + b"plan: [sft]\n"


class Refusing:
    """Refuses calls of one name by the codes that `code_of` gives for their number, if any."""

    def __init__(
        self, simulation: Simulation, name: str, code_of: Callable[[int], str | None], of: str = ""
    ) -> None:
        self.name, self.code_of, self.of, self.asked = name, code_of, of, 0
        simulation.interposed.append(self)

    def around(self, call: Call) -> Any:
        if call.name != self.name or self.of not in str(call.kwargs):
            return call()
        self.asked += 1
        code = self.code_of(self.asked)
        if code is not None:
            raise refusal(code, code)
        return call()


@pytest.mark.parametrize("code", ["ResourceLimitExceeded", "ThrottlingException"])
@pytest.mark.parametrize("fate", ["service fault", "no capacity"])
def test_waits_are_no_losses(code: str, fate: str) -> None:
    """Five tries after a fault of the service: not one, where it waited before."""
    simulation = Simulation(
        fate=lambda name: fate if name.endswith(("sft-1", "sft-2", "sft-3")) else "completes"
    )
    simulation.submit("demo", SFT)
    Refusing(simulation, "jobs.create_training_job", lambda number: code if number < 8 else None)
    assert simulation.settles("demo") is Status.COMPLETED
    assert simulation.record("demo").stages[0].attempt.number == 4


@pytest.mark.parametrize("plan", [b"sft", b"sft, deploy", b"sft, deploy: {to: bedrock-on-demand}"])
def test_attempts_that_were_lost_for_want_of_capacity_are_no_faults(plan: bytes) -> None:
    last = "sft" if plan == b"sft" else "deploy"

    def fate(name: str) -> str:
        number = int(name.rpartition("-")[2])
        if last not in name or number > 9:
            return "completes"
        step = "custom-model-deployment " if b"bedrock" in plan else ""
        return step + ("no capacity" if number < 9 else "service fault")

    simulation = Simulation(fate=fate)
    simulation.submit("demo", SPEC + b"plan: [" + plan + b"]\n")
    assert simulation.settles("demo") in {Status.COMPLETED, Status.LIVE}
    assert simulation.record("demo").stages[-1].attempt.number == 10


def test_six_faults_among_other_losses_fail_the_stage() -> None:
    simulation = Simulation(
        fate=lambda name: "service fault" if int(name.rpartition("-")[2]) % 2 else "no capacity"
    )
    simulation.submit("demo", SFT)
    assert simulation.settles("demo") is Status.FAILED
    assert simulation.record("demo").stages[0].attempt.number == 11


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure"])
def test_who_could_not_ask_keeps_its_place_in_the_queue(code: str) -> None:
    simulation = Simulation()
    simulation.jobs.limit = 0
    simulation.submit("first", SFT)
    simulation.passes(timedelta(hours=1))
    simulation.submit("second", SFT)
    simulation.passes(timedelta(hours=1))
    place = simulation.record("first").stages[0].queued_at
    assert place is not None
    Refusing(
        simulation,
        "jobs.create_training_job",
        lambda number: code if number == 1 else None,
        of="-first--",
    )
    simulation.passes(timedelta(hours=2))
    assert simulation.record("first").stages[0].queued_at == place
    assert "waits behind first" in (simulation.record("second").stages[0].reason or "")
    simulation.jobs.limit = 1
    simulation.passes(timedelta(minutes=20))
    assert simulation.record("first").stages[0].state is not StageState.WAITING
    assert simulation.record("second").stages[0].state is StageState.WAITING


def test_who_is_kept_by_something_else_leaves_the_queue() -> None:
    """What it waits for has nothing to do with the quota, which others may use."""
    simulation = Simulation()
    simulation.jobs.limit = 0
    simulation.submit("first", SFT)
    simulation.passes(timedelta(hours=1))
    Refusing(simulation, "jobs.create_training_job", lambda _: "InsufficientInstanceCapacity")
    simulation.passes(timedelta(hours=1))
    assert simulation.record("first").stages[0].queued_at is None


@pytest.mark.parametrize("every", [2, 7])
@pytest.mark.parametrize(
    ("plan", "call", "throttled"),
    [
        (b"sft", "jobs.create_training_job", "jobs.create_training_job"),
        (b"sft, deploy", "sagemaker.create_endpoint", "scheduler.create_schedule"),
    ],
)
def test_a_quota_is_waited_for_whatever_else_is_met_now_and_then(
    plan: bytes, call: str, throttled: str, every: int
) -> None:
    simulation = Simulation()
    quota, calls = "ResourceLimitExceeded", []

    def code(number: int) -> str | None:
        calls.append(number)
        if throttled == call and number % every == 0:
            return "ThrottlingException"
        return quota if simulation.clock.now() < until else None

    until = simulation.clock.now() + timedelta(days=2)
    Refusing(simulation, call, code)
    if throttled != call:
        Refusing(simulation, throttled, lambda n: None if n % every else "ThrottlingException")
    simulation.submit("demo", SPEC + b"plan: [" + plan + b"]\n")
    assert simulation.settles("demo") in {Status.COMPLETED, Status.LIVE}
    assert len(calls) > 50


def test_what_is_throttled_all_the_time_fails_after_its_six_hours() -> None:
    """Also where it had waited for a quota before."""
    simulation = Simulation()
    Refusing(
        simulation,
        "jobs.create_training_job",
        lambda number: "ResourceLimitExceeded" if number < 30 else "ThrottlingException",
    )
    simulation.submit("demo", SFT)
    assert simulation.settles("demo") is Status.FAILED


@pytest.mark.parametrize(
    ("plan", "call", "code"),
    [
        (b"plan: [sft]\n", "jobs.create_training_job", "ResourceInUse"),
        (
            b"runtime: bedrock\nplan: [sft]\n",
            "bedrock.create_model_customization_job",
            "ConflictException",
        ),
    ],
)
def test_a_name_that_is_taken_by_what_never_shows_is_told_and_given_up(
    plan: bytes, call: str, code: str
) -> None:
    simulation = Simulation()
    refusing = Refusing(simulation, call, lambda _: code)
    simulation.submit("demo", SPEC + plan, sft_rows=200)
    simulation.passes(timedelta(hours=3))
    told = [body for _, body in simulation.notifier.messages]
    assert any("nothing of that name shows" in body for body in told)
    assert simulation.reaches("demo", Status.FAILED)
    assert "nothing of that name shows" in simulation.record("demo").reason
    assert 12 <= refusing.asked < 100
    simulation.passes(timedelta(days=1))
    assert refusing.asked < 100
