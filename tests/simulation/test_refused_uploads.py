"""Each upload that is refused is told once, whatever the reason; none twice, and no flood of them.

Whoever uploads a second try and hears nothing believes that it is fine.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from novaloop.experiment.record import CommandKind, Status
from novaloop.usecases.reconcile import MOST_REFUSED
from tests.simulation.faults import Calls, Profiles, Scenario, at_any_call, second_controller
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.twins import questions_csv

PLAN = SPEC + b"plan: [sft]\n"
BAD = b"Id,Body,Z\n1,a question,HQ\n"
INVALID = b"plan: [nothing]\n"
FEW = questions_csv(3, 0)
SOON = timedelta(minutes=3)


def told_of(simulation: Simulation, experiment_id: str) -> list[str]:
    """Return the mails of an experiment's refusals since this was asked last."""
    texts = [
        text
        for subject, text in simulation.notifier.messages
        if subject == f"Novaloop: {experiment_id} is REJECTED"
    ]
    simulation.notifier.messages.clear()
    return texts


def told(simulation: Simulation) -> list[str]:
    """Return the mails of refusals since this was asked last, and soon from now."""
    simulation.passes(SOON)
    return told_of(simulation, "demo")


def submitted(**files: bytes) -> Simulation:
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", files.pop("spec", PLAN))
    for role, body in files.items():
        simulation.upload("demo", f"{role}.csv", body)
    return simulation


@pytest.mark.parametrize(
    ("file", "body"),
    [("sft.csv", BAD), ("experiment.yaml", INVALID), ("sft.csv", FEW), ("experiment.YML", PLAN)],
)
def test_each_try_is_told_once_also_for_the_same_reason(file: str, body: bytes) -> None:
    simulation = submitted()
    simulation.passes(SOON)
    texts: list[str] = []
    for _ in range(3):
        simulation.upload("demo", file, body)
        (text,) = told(simulation)
        texts.append(text)
        assert simulation.is_in("demo", Status.REJECTED)
        simulation.passes(timedelta(days=1))
        simulation.emit("demo")
        assert told(simulation) == []
    assert len(set(texts)) == 1
    simulation.upload("demo", "experiment.yaml", PLAN)
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    assert simulation.reaches("demo", Status.COMPLETED)
    assert not simulation.record("demo").refused


def test_what_was_told_of_one_file_is_not_told_again_with_another_one() -> None:
    simulation = submitted(spec=SPEC, sft=BAD, rft=questions_csv(20, 1), eval=BAD)
    assert len(told(simulation)) <= 2  # the one, and both
    assert told(simulation) == []
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))  # accepted
    assert told(simulation) == []
    assert simulation.is_in("demo", Status.REJECTED)
    simulation.upload("demo", "eval.csv", BAD)
    assert len(told(simulation)) == 1


def test_a_second_try_by_other_settings_is_told() -> None:
    simulation = submitted(sft=BAD)
    assert len(told(simulation)) == 1
    simulation.upload("demo", "experiment.yaml", PLAN + b"system_prompt: Sort it.\n")
    assert len(told(simulation)) == 1
    assert simulation.is_in("demo", Status.REJECTED)


def test_tries_without_end_are_told_a_few_times_an_hour() -> None:
    simulation = submitted()
    simulation.passes(timedelta(minutes=62))
    for _ in range(20):
        simulation.upload("demo", "sft.csv", BAD)
        simulation.passes(timedelta(minutes=2))
    texts = told(simulation)
    assert len(texts) == MOST_REFUSED
    assert "not told one by one" in texts[-1]
    simulation.passes(timedelta(hours=1))
    simulation.upload("demo", "sft.csv", BAD)
    assert len(told(simulation)) == 1


REFUSED = Scenario(
    lambda: submitted(sft=BAD), lambda simulation: simulation.is_in("demo", Status.REJECTED)
)


@at_any_call
def test_another_controller_beside_it_tells_no_second_time(calls: Calls) -> None:
    for call, simulation in REFUSED.struck(second_controller, calls):
        assert len(told(simulation)) <= 2, call
        simulation.upload("demo", "sft.csv", BAD)
        assert len(told(simulation)) == 1, call


def test_a_refusal_by_checks_that_could_not_be_made_before_is_told() -> None:
    refusing = PLAN.replace(b"sft", b"{evaluate: {name: base}}, sft")
    refusing += b"checks: {shared-questions: refuse}\n"
    simulation = submitted(spec=refusing, sft=questions_csv(70, 0), eval=questions_csv(24, 0))
    denied = Profiles(("objects.get",))
    simulation.failures += (ClientError,)
    simulation.interposed.append(denied)
    simulation.passes(timedelta(days=2))
    (text,) = told_of(simulation, "demo")
    assert "could not be checked against each other" in text
    simulation.passes(timedelta(days=2))
    assert told_of(simulation, "demo") == []
    denied.on = False
    simulation.passes(timedelta(days=3))
    (text,) = told_of(simulation, "demo")
    assert "also stand in" in text


def waits_again(simulation: Simulation) -> None:
    """Let somebody try the first again, which the second waits for once it looks."""
    simulation.command("first", CommandKind.RETRY)
    assert simulation.reaches("first", Status.RUNNING)
    simulation.emit("second")
    assert simulation.reaches("second", Status.COLLECTING)


def test_each_end_of_an_origin_that_keeps_another_from_starting_is_told_once() -> None:
    """Whoever tries the first again waits for the second."""
    simulation = Simulation(fate=lambda name: "fails" if "first" in name else "completes")
    simulation.submit("first", PLAN)
    assert simulation.reaches("first", Status.FAILED)
    simulation.submit("second", SPEC + b"checkpoint: first/sft\nplan: [rft]\n")
    for tries in range(3):
        if tries:
            waits_again(simulation)
            assert simulation.reaches("first", Status.FAILED)
        simulation.emit("second")
        simulation.passes(timedelta(minutes=3))
        (text,) = told_of(simulation, "second")
        assert "first is FAILED and sft has no checkpoint" in text
        simulation.passes(timedelta(days=1))
        assert told_of(simulation, "second") == []
    waits_again(simulation)
    simulation.command("first", CommandKind.STOP)
    assert simulation.reaches("first", Status.STOPPED)
    simulation.emit("second")
    simulation.passes(timedelta(minutes=3))
    (text,) = told_of(simulation, "second")
    assert "first is STOPPED" in text


NO_MACHINES = "experiment.yaml: plan[0].sft: this region has no machines"


def test_a_refusal_of_the_stacks_is_told_again_after_another_one_was_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = submitted(sft=FEW)
    assert len(told(simulation)) == 1
    for _ in range(2):
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("novaloop.usecases.reconcile._why_not_here", lambda *_: NO_MACHINES)
            simulation.emit("demo")
            (text,) = told(simulation)
            assert "has no machines" in text
            simulation.emit("demo")
            assert told(simulation) == []
        simulation.emit("demo")
        (text,) = told(simulation)
        assert "rows" in text
