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
            raise refusal(code, "no")
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
