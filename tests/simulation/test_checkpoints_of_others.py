"""Whoever goes on from another experiment's checkpoint waits for it, and never in silence.

What can never come is told at once, what may still come after an hour. It costs next to nothing
meanwhile, and ends soon after the checkpoint is there.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from novaloop.experiment.controller.transitions import LONG_WAIT
from novaloop.experiment.record import CommandKind, CommandOutcome, Status
from novaloop.experiment.summary import next_steps
from tests.simulation.simulation import SPEC, Chaos, Simulation
from tests.simulation.twins import questions_csv

PLAN = SPEC + b"plan: [sft]\n"
BAD = b"Id,Body,Z\n1,a question,HQ\n"
HELD = SPEC + b"plan: [evaluate: base, sft]\nbudget_usd: 1\n"
"""The budget holds it before its first job, until somebody lifts it."""
JUDGED = b"plan: [evaluate: {name: judged, task: rubric_llm_judge}]\n"
SOON, HOUR, DAY = timedelta(minutes=3), timedelta(hours=1), timedelta(days=1)


def from_(origin: str) -> bytes:
    return PLAN + f"checkpoint: {origin}\n".encode()


def told_of(simulation: Simulation, name: str) -> list[str]:
    """Return the mails of an experiment since this was asked last."""
    own = [text for subject, text in simulation.notifier.messages if f" {name} is " in subject]
    simulation.notifier.messages.clear()
    return own


def waiting(first: bytes = HELD) -> Simulation:
    """Let `second` wait for a checkpoint of `first`, which nobody goes on with."""
    simulation = Simulation()
    simulation.submit("first", first)
    simulation.passes(SOON)
    simulation.submit("second", from_("first/sft"))
    simulation.passes(SOON)
    assert simulation.record("second").status is Status.COLLECTING
    simulation.notifier.messages.clear()
    return simulation


def looks_in(simulation: Simulation, time: timedelta) -> int:
    before = simulation.hints_delivered
    simulation.passes(time)
    return simulation.hints_delivered - before


def starts(simulation: Simulation, within: timedelta) -> bool:
    return simulation.run(partial(simulation.is_in, "second", Status.RUNNING), within)


def test_an_experiment_can_not_go_on_from_itself() -> None:
    """It is refused by its settings alone, whatever data are still to come."""
    simulation = Simulation()
    simulation.upload("demo", "experiment.yaml", from_("demo/sft"))
    simulation.passes(SOON)
    assert simulation.record("demo").status is Status.REJECTED
    (text,) = told_of(simulation, "demo")
    assert "experiment.yaml: checkpoint: demo is this very experiment" in text
    simulation.upload("demo", "experiment.yaml", PLAN)
    simulation.upload("demo", "sft.csv", questions_csv(70, 0))
    assert simulation.reaches("demo", Status.COMPLETED)


@pytest.mark.parametrize("names", [("aa", "bb"), ("aa", "bb", "cc"), ("aa", "bb", "cc", "dd")])
def test_experiments_that_wait_for_each_other_are_told_so(names: tuple[str, ...]) -> None:
    simulation = Simulation()
    for name, origin in zip(names, (*names[1:], names[0]), strict=True):
        simulation.submit(name, from_(f"{origin}/sft"))
    simulation.passes(timedelta(minutes=10))
    simulation.notifier.messages.clear()
    for name in names:  # whoever was first may have been told that there is no other yet
        simulation.emit(name)
    simulation.passes(timedelta(minutes=10))
    for name in names:
        record = simulation.record(name)
        assert record.status is Status.REJECTED, record.reason
        assert "wait for each other" in record.reason
        assert all(other in record.reason for other in names)
    # Whoever corrects one of them lets all of them go on.
    simulation.upload(names[-1], "experiment.yaml", PLAN)
    for name in reversed(names):
        assert simulation.reaches(name, Status.COMPLETED), simulation.record(name).reason


def test_a_circle_is_told_to_each_in_it_without_any_other_event() -> None:
    simulation = Simulation()
    for name, origin in (("aa", "bb"), ("bb", "aa")):
        simulation.submit(name, from_(f"{origin}/sft"))
    simulation.passes(HOUR)
    messages = [text for _, text in simulation.notifier.messages]
    for name in ("aa", "bb"):
        assert simulation.record(name).status is Status.REJECTED
        assert any(f"{name} waits for" in text for text in messages)


@pytest.mark.parametrize("first", [HELD, PLAN + b"model: nothing\n"], ids=["held", "rejected"])
def test_what_may_still_come_is_told_once_after_an_hour(first: bytes) -> None:
    simulation = waiting(first)
    simulation.passes(LONG_WAIT - 2 * SOON)
    assert told_of(simulation, "second") == []
    simulation.passes(timedelta(minutes=20))
    (text,) = told_of(simulation, "second")
    status = simulation.record("first").status
    assert f"first is {status}" in text
    assert "first/sft" in text
    assert "novaloop show first" in text
    simulation.passes(40 * DAY)
    assert told_of(simulation, "second") == []


def test_the_looks_at_what_waits_get_rarer_and_never_end() -> None:
    simulation = waiting()
    simulation.passes(DAY)
    history = len(simulation.store.history("second"))
    per_day = looks_in(simulation, 10 * DAY) / 10
    # Of both: the first waits for a person. The sweep compares their uploads once a day.
    assert per_day <= 24 + 10
    simulation.passes(40 * DAY)
    assert len(simulation.store.history("second")) == history
    assert simulation.record("second").due_at is not None


@pytest.mark.parametrize(("lost", "within"), [(0.0, SOON), (1.0, HOUR + SOON)])
def test_it_goes_on_soon_after_the_checkpoint_is_there(lost: float, within: timedelta) -> None:
    simulation = waiting()
    simulation.passes(3 * DAY)
    simulation.command("first", CommandKind.APPROVE)
    simulation.chaos = Chaos(lost=lost)
    there = lambda: bool(simulation.record("first").stage("sft").checkpoint)  # noqa: E731
    assert simulation.run(there, DAY)
    assert starts(simulation, within)
    checkpoint = simulation.record("first").stage("sft").checkpoint
    assert simulation.record("second").base_checkpoint == checkpoint


@pytest.mark.parametrize("kind", [CommandKind.STOP, CommandKind.REJECT])
def test_an_origin_that_ends_without_it_is_told_at_once(kind: CommandKind) -> None:
    simulation = waiting()
    simulation.passes(3 * DAY)
    told_of(simulation, "second")
    simulation.command("first", kind)
    simulation.passes(SOON)
    assert simulation.record("second").status is Status.REJECTED
    (text,) = told_of(simulation, "second")
    assert "first is STOPPED and sft has no checkpoint" in text


def test_an_origin_that_fails_is_told_at_once_and_gone_on_from_when_it_is_retried() -> None:
    fates = ["fails", "completes"]
    simulation = Simulation(fate=lambda name: fates[0] if "-first-" in name else "completes")
    simulation.submit("first", PLAN)
    simulation.submit("second", from_("first/sft"))
    assert simulation.reaches("first", Status.FAILED)
    simulation.passes(SOON)
    assert simulation.record("second").status is Status.REJECTED
    simulation.passes(10 * DAY)
    del fates[0]
    simulation.command("first", CommandKind.RETRY)
    assert simulation.reaches("first", Status.COMPLETED)
    assert starts(simulation, SOON)


def test_an_origin_whose_plan_changes_is_told_within_the_hour() -> None:
    simulation = waiting(PLAN + b"model: nothing\n")
    simulation.passes(DAY)
    told_of(simulation, "second")
    simulation.upload("first", "experiment.yaml", SPEC + b"plan: [rft: {name: other}]\n")
    simulation.passes(HOUR + SOON)
    assert simulation.record("second").status is Status.REJECTED
    assert "first has no stage sft" in "".join(told_of(simulation, "second"))


def test_an_origin_that_is_deleted_is_told_within_the_hour() -> None:
    simulation = waiting()
    simulation.passes(DAY)
    told_of(simulation, "second")
    del simulation.store.snapshots["first"]
    files = ("experiment.yaml", "sft.csv", "rft.csv", "eval.csv")
    simulation.objects.deleted |= {f"inbox/first/{file}" for file in files}
    simulation.passes(HOUR + SOON)
    assert simulation.record("second").status is Status.REJECTED
    assert "no experiment is called first" in "".join(told_of(simulation, "second"))


def test_an_origin_that_comes_later_is_waited_for_as_soon_as_it_is_there() -> None:
    """Whoever submits the two in the wrong order is told, and need do nothing else."""
    simulation = Simulation()
    simulation.submit("second", from_("first/sft"))
    simulation.passes(10 * DAY)
    assert simulation.record("second").status is Status.REJECTED
    simulation.submit("first", HELD)
    assert simulation.run(partial(simulation.is_in, "second", Status.COLLECTING), SOON)


def test_nobody_is_told_wrong_of_an_origin_whose_settings_come_last() -> None:
    """Until its experiment.yaml is read, nobody knows which stages it has."""
    simulation = Simulation()
    simulation.upload("first", "sft.csv", questions_csv(70, 0))
    simulation.submit("second", from_("first/warm"))
    simulation.passes(timedelta(minutes=30))
    assert told_of(simulation, "second") == []
    simulation.upload("first", "experiment.yaml", SPEC + b"plan: [sft: {name: warm}]\n")
    assert simulation.settles("second") is Status.COMPLETED
    assert simulation.record("second").base_checkpoint is not None


@pytest.mark.parametrize("after", [SOON, 40 * DAY])
def test_a_person_may_stop_it_or_let_it_go_on_from_something_else(after: timedelta) -> None:
    simulation = waiting()
    simulation.passes(after)
    stopped = simulation.copied()
    stopped.command("second", CommandKind.STOP)
    assert stopped.run(partial(stopped.is_in, "second", Status.STOPPED), SOON)
    simulation.upload("second", "experiment.yaml", PLAN)
    assert starts(simulation, SOON)
    assert simulation.record("second").base_checkpoint is None


def test_whoever_retries_what_waits_is_told_what_it_waits_for() -> None:
    """It has no files to add, so nobody is sent to add some."""
    simulation = waiting()
    assert "novaloop show first" in "".join(next_steps(simulation.record("second")))
    simulation.command("second", CommandKind.RETRY)
    simulation.passes(SOON)
    (line,) = (each for each in simulation.store.history("second") if "retry" in each.what)
    assert line.outcome is CommandOutcome.IGNORED
    assert line.why.endswith("the experiment never started; it does once first/sft is there")
    simulation.upload("second", "experiment.yaml", SPEC + JUDGED + b"checkpoint: first/sft\n")
    simulation.passes(SOON)
    assert "waiting for llm-judge.csv" in simulation.record("second").reason
    assert "upload" in "".join(next_steps(simulation.record("second")))
