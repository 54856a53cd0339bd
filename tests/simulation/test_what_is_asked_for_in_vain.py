"""What the controller asks for and does not get is told: nothing waits for good in silence.

It asks other functions to convert, to check and to score, writes plans and takes endpoints over.
Any of it may be refused each time (a right that was taken away), or be accepted and come to nothing
(a function that is broken, throttled or switched off).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from novaloop.experiment.record import Status
from novaloop.usecases.conversion import IngestWorld
from tests.simulation.simulation import SPEC, Call, Crash, Simulation
from tests.simulation.test_slow_conversions import DRY, SlowMachine
from tests.simulation.test_what_cannot_be_read import told
from tests.simulation.twin_service import refusal
from tests.simulation.twins import questions_csv

DENIED = refusal("AccessDeniedException", "no")
ONE_TRAINING = SPEC + b"plan: [sft]\n"


class Interposing:
    """Lets the calls that `is_meant` says raise `error` as long as it `strikes`."""

    def __init__(
        self,
        simulation: Simulation,
        is_meant: Callable[[Call], bool],
        error: BaseException = DENIED,
    ) -> None:
        self.is_meant, self.error, self.times, self.strikes = is_meant, error, 0, True
        simulation.failures = (*simulation.failures, ClientError)
        simulation.interposed.append(self)

    def around(self, call: Call) -> Any:
        if self.strikes and self.is_meant(call):
            self.times += 1
            raise self.error
        return call()


def denied(simulation: Simulation, name: str, key: str = "") -> Interposing:
    return Interposing(simulation, lambda call: call.name == name and key in str(call.first))


def checks_denied(simulation: Simulation) -> Interposing:
    fault = denied(simulation, "ingester.request_checks")
    simulation.submit("demo", ONE_TRAINING)
    return fault


def plan_denied(simulation: Simulation) -> Interposing:
    fault = denied(simulation, "objects.put", "plan.json")
    simulation.submit("demo", SPEC + b"plan: [sft]\ndry_run: true\n")
    return fault


def settings_changed(simulation: Simulation) -> Interposing:
    """Have a file converted again, by an ingest that can't be invoked."""
    simulation.upload("demo", "experiment.yaml", SPEC + b"plan: [sft, rft]\n")
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    simulation.passes(timedelta(minutes=10))
    fault = denied(simulation, "ingester.request_ingest")
    simulation.upload("demo", "experiment.yaml", ONE_TRAINING + b"system_prompt: Sort.\n")
    return fault


def ingest_dies(simulation: Simulation) -> Interposing:
    """Let ingest claim a file, and come to run no more, though its invocations are accepted."""
    fault = Interposing(simulation, lambda call: call.name == "objects.writer", Crash())
    simulation.upload("demo", "experiment.yaml", ONE_TRAINING)
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    simulation.passes(timedelta(seconds=3))
    assert simulation.store.load("demo").datasets["sft"].status == "INGESTING"
    runs = simulation.asynchronously

    def accepted(*call: Any) -> None:
        if not fault.strikes:
            runs(*call)

    simulation.asynchronously = accepted  # type: ignore[assignment, method-assign]
    simulation.agenda = [each for each in simulation.agenda if "_invoke" not in str(each[2])]
    return fault


IN_VAIN = {
    "checks": (checks_denied, "the checks of the datasets", "AccessDeniedException"),
    "plan": (plan_denied, "the plan of the dry run", "AccessDeniedException"),
    "settings": (settings_changed, "the ingest of sft.csv", "AccessDeniedException"),
    "ingest": (ingest_dies, "the ingest of sft.csv", "log"),
}


@pytest.mark.parametrize("case", IN_VAIN)
def test_what_is_asked_for_and_does_not_come_is_told_once(case: str) -> None:
    begin, what, why = IN_VAIN[case]
    simulation = Simulation()
    fault = begin(simulation)
    simulation.passes(timedelta(hours=23))
    assert not simulation.notifier.messages, "it may yet come"
    simulation.passes(timedelta(hours=2))
    (message,) = told(simulation, what)
    assert why in message
    assert "nothing has come" in message
    assert any(what in remark for remark in simulation.record("demo").remarks)
    simulation.passes(timedelta(days=3))
    assert len(simulation.notifier.messages) == 1
    assert fault.times < 60
    fault.strikes = False
    assert simulation.reaches("demo", Status.COMPLETED)
    assert not simulation.record("demo").awaited


@pytest.mark.parametrize("is_silent", [False, True], ids=["told", "untold"])
def test_what_does_not_come_is_never_given_up_and_told_once(is_silent: bool) -> None:
    simulation = Simulation()
    fault = ingest_dies(simulation)
    silent = denied(simulation, "notifier.publish")
    silent.strikes = is_silent
    simulation.passes(timedelta(days=33))
    assert simulation.record("demo").status is Status.COLLECTING
    assert simulation.record("demo").due_at is not None
    silent.strikes = False
    simulation.passes(timedelta(days=2))
    assert len(told(simulation, "the ingest of sft.csv")) == 1
    fault.strikes = False
    assert simulation.run(
        lambda: simulation.is_in("demo", Status.COMPLETED), timedelta(days=1, hours=3)
    )


def test_what_the_controller_did_not_ask_for_while_it_was_away_is_nobodys_delay() -> None:
    """It asks once before, and not for two days; what it asks for then comes at once."""
    simulation = Simulation()
    fault = checks_denied(simulation)
    simulation.passes(timedelta(minutes=3))
    assert fault.times
    away = denied(simulation, "store.load", "demo")
    simulation.passes(timedelta(days=2))
    away.strikes = fault.strikes = False
    assert simulation.reaches("demo", Status.COMPLETED)
    assert not told(simulation, "the checks of the datasets")


def test_a_stopped_machine_that_can_not_be_looked_at_is_told_with_the_code() -> None:
    """Of a big file, ingest looks at its execution before it does anything else."""
    simulation = Simulation()
    simulation.failures = (*simulation.failures, ClientError)
    machine = SlowMachine(simulation, timedelta(seconds=100), dies=1)
    looks: list[str] = []

    def runs(name: str) -> bool | None:
        looks.append(name)
        raise refusal("AccessDeniedException", "no")

    can_look, machine.runs = machine.runs, runs  # type: ignore[method-assign]
    simulation._ingest_world = lambda: IngestWorld(  # type: ignore[method-assign]
        simulation.world.store, simulation.world.objects, simulation.host, machine
    )
    simulation.upload("demo", "experiment.yaml", DRY)
    simulation.passes(timedelta(seconds=30))
    simulation.upload("demo", "sft.csv", questions_csv(240, 0))
    simulation.passes(timedelta(hours=27))
    assert looks
    (message,) = told(simulation, "sft.csv")
    assert "AccessDeniedException" in message
    machine.runs = can_look  # type: ignore[method-assign]
    assert simulation.reaches("demo", Status.COMPLETED)


def score_denied() -> tuple[Simulation, Interposing]:
    """Return a stack whose first evaluation has ended, and the refusal to ask for its score."""
    simulation = Simulation()
    fault = denied(simulation, "scorer.request_score")
    simulation.submit("demo", SPEC + b"plan: [{evaluate: {name: base}}, sft]\n")
    assert simulation.run(lambda: fault.times > 0)
    return simulation, fault


def test_a_score_that_can_not_be_asked_for_is_told_so() -> None:
    simulation, fault = score_denied()
    simulation.passes(timedelta(hours=1))
    (message,) = told(simulation, "base")
    assert "AccessDeniedException" in message
    assert "log says why" not in message
    fault.strikes = False
    assert simulation.reaches("demo", Status.COMPLETED)


def test_a_score_that_was_asked_for_in_the_end_is_not_told_as_refused() -> None:
    """The first asking fails; then the metrics function is invoked, and dies each time."""
    simulation, fault = score_denied()
    fault.strikes = False
    simulation.asynchronously = lambda *_: None  # type: ignore[method-assign]
    simulation.passes(timedelta(hours=1))
    (message,) = told(simulation, "base")
    assert "AccessDeniedException" not in message
    assert "log says why" in message


def test_an_endpoint_that_can_not_be_taken_over_is_told() -> None:
    simulation = Simulation()
    fault = denied(simulation, "sagemaker.add_tags")
    for name in ("first", "demo"):
        plan = b"plan: [sft, deploy: {endpoint: bot, ttl_hours: 200}]\n"
        simulation.submit(name, SPEC + plan)
        assert simulation.reaches(name, Status.LIVE)
    simulation.passes(timedelta(hours=20))
    (message,) = told(simulation, "the taking over of novaloop-bot")
    assert "AccessDeniedException" in message
    assert fault.times
    fault.strikes = False
    simulation.passes(timedelta(hours=2))
    assert not simulation.record("demo").awaited


@pytest.mark.parametrize("status", [Status.AWAITING_APPROVAL, Status.COMPLETED])
def test_a_report_that_can_not_be_asked_for_is_told(status: Status) -> None:
    simulation = Simulation()
    fault = denied(simulation, "scorer.request_report")
    waits = status is Status.AWAITING_APPROVAL
    manual = SPEC + b"approval: manual\nplan: [sft, deploy]\n"
    simulation.submit("demo", manual if waits else ONE_TRAINING)
    assert simulation.reaches("demo", status)
    simulation.passes(timedelta(minutes=50))
    assert not told(simulation, "the report"), "it may be a moment's throttling"
    simulation.passes(timedelta(hours=2))
    (message,) = told(simulation, "the report")
    assert "AccessDeniedException" in message
    simulation.passes(timedelta(days=3))
    assert len(told(simulation, "the report")) == 1
    assert fault.times < 100
    fault.strikes = False
    simulation.passes(timedelta(days=1, hours=7))
    record = simulation.record("demo")
    assert record.reported
    assert not record.awaited
    assert not record.troubles
    simulation.check("demo")


def test_the_wait_for_a_report_goes_on_while_other_things_are_asked_for() -> None:
    """Of an endpoint that can't be taken over, say: each look notes that anew."""
    simulation = Simulation()
    refused = [denied(simulation, name) for name in ("sagemaker.add_tags", "scorer.request_report")]
    for name in ("first", "demo"):
        plan = b"plan: [sft, deploy: {endpoint: bot, ttl_hours: 200}]\n"
        simulation.submit(name, SPEC + plan)
        assert simulation.reaches(name, Status.LIVE)
    simulation.passes(timedelta(hours=20))
    awaited = simulation.record("demo").awaited
    assert set(awaited) == {"the report", "the taking over of novaloop-bot"}
    assert all(each.confirmed for each in awaited.values())
    for fault in refused:
        fault.strikes = False
    simulation.passes(timedelta(days=1, hours=7))
    assert not simulation.record("demo").awaited
