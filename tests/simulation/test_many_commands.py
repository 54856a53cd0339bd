"""Any number of commands: each is applied once, however many came before and whoever applies it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Never

import pytest

from novaloop.experiment.controller.commands import wait_of
from novaloop.experiment.record import CommandItem, CommandKind, Status
from novaloop.usecases.ports import VersionConflict
from novaloop.usecases.reconcile import reconcile
from tests.simulation.faults import Calls, Scenario, at_any_call, second_controller
from tests.simulation.simulation import SPEC, SWEEP_EVERY, Call, Chaos, Simulation, crash
from tests.simulation.twin_service import refusal

PLAN = SPEC + b"plan: [sft, deploy: {ttl_hours: 2}]\n"
HOURS = 40 * 24


def live() -> Simulation:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.LIVE
    return simulation


def asked(simulation: Simulation) -> Counter[str]:
    return Counter(entry.what for entry in simulation.store.history("demo"))


def test_a_keep_every_hour_for_forty_days_is_forty_days_and_no_more() -> None:
    simulation = live()
    endpoint = simulation.record("demo").endpoint
    assert endpoint is not None
    assert endpoint.expires_at is not None
    for _ in range(HOURS):
        simulation.command("demo", CommandKind.KEEP, hours=1)
        simulation.passes(timedelta(hours=1))
    kept = simulation.record("demo").endpoint
    assert kept is not None
    assert kept.expires_at == endpoint.expires_at + timedelta(hours=HOURS)
    assert asked(simulation)["keep by somebody"] == HOURS
    lines = len(simulation.store.history("demo"))
    assert lines < 2 * HOURS + 50  # who asked, and until when it is kept
    assert simulation.store.load("demo").commands == ()
    assert simulation.reaches("demo", Status.EXPIRED)
    assert asked(simulation)["keep by somebody"] == HOURS
    simulation.check("demo")


def test_commands_that_piled_up_are_obeyed_in_one_look() -> None:
    simulation = live()
    for number in range(300):
        simulation.command("demo", CommandKind.KEEP, hours=0.1, note=str(number))
    record = reconcile("demo", simulation.undisturbed)
    assert record is not None
    assert record.status is Status.LIVE
    assert asked(simulation)["keep by somebody"] == 300
    notes = [e.why for e in simulation.store.history("demo") if e.what == "keep by somebody"]
    assert notes == [str(number) for number in range(300)]


def test_a_command_that_never_can_be_obeyed_ends_the_look(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = live()
    commits = 0

    def commit(*_: object) -> Never:
        nonlocal commits
        commits += 1
        assert commits < 1000, "it goes on for ever"
        raise VersionConflict("demo")

    simulation.command("demo", CommandKind.KEEP, hours=1)
    monkeypatch.setattr(simulation.store, "commit", commit)
    with pytest.raises(RuntimeError, match="does not come to rest"):
        reconcile("demo", simulation.undisturbed)


def test_what_is_ignored_is_ignored_once() -> None:
    simulation = live()
    simulation.command("demo", CommandKind.APPROVE)
    simulation.passes(timedelta(hours=1))
    assert asked(simulation)["approve by somebody"] == 1
    assert simulation.store.load("demo").commands == ()


def begun() -> Simulation:
    simulation = live()
    for kind, hours in (
        (CommandKind.KEEP, 1.0),
        (CommandKind.APPROVE, None),
        (CommandKind.KEEP, 2.0),
    ):
        simulation.command("demo", kind, hours=hours)
    return simulation


def all_obeyed(simulation: Simulation) -> bool:
    return simulation.store.load("demo").commands == ()


SCENARIO = Scenario(begun, all_obeyed)


def assert_obeyed_once(simulation: Simulation, call: str) -> None:
    assert all_obeyed(simulation) or simulation.run(partial(all_obeyed, simulation)), call
    endpoint = simulation.record("demo").endpoint
    assert endpoint is not None
    until = endpoint.kept_until or endpoint.expires_at  # asked for, or promised already
    assert until == endpoint.live_at + timedelta(hours=2 + 3), call
    assert asked(simulation)["keep by somebody"] == 2, call
    assert asked(simulation)["approve by somebody"] == 1, call


@at_any_call
def test_a_crash_at_any_call_obeys_nothing_twice(calls: Calls) -> None:
    for call, simulation in SCENARIO.struck(crash, calls):
        assert_obeyed_once(simulation, call)


@at_any_call
def test_two_controllers_obey_nothing_twice(calls: Calls) -> None:
    for call, simulation in SCENARIO.struck(second_controller, calls):
        assert_obeyed_once(simulation, call)


def test_what_an_earlier_release_obeyed_and_remembered_is_not_obeyed_again() -> None:
    """Release 0.1.0 left the items where they were, and their ids in the record."""
    simulation = live()
    record = simulation.record("demo")
    before = record.endpoint
    now = simulation.clock.now()
    ids = [f"c{number}" for number in range(50)]
    for name in ids:
        item = CommandItem(name, CommandKind.KEEP, "somebody", now, hours=1)
        simulation.store.put_command("demo", item)
    simulation.store.commit(replace(record, handled_commands=tuple(ids)), [])
    simulation.command("demo", CommandKind.KEEP, hours=3)
    after = reconcile("demo", simulation.undisturbed)
    assert after is not None
    assert before is not None
    assert before.expires_at is not None
    assert after.endpoint is not None
    assert after.endpoint.expires_at == before.expires_at + timedelta(hours=3)
    assert after.handled_commands == ()
    assert simulation.store.load("demo").commands == ()
    assert asked(simulation)["keep by somebody"] == 1


def test_a_command_whose_event_is_lost_is_obeyed_after_the_next_sweep() -> None:
    simulation = live()
    simulation.command("demo", CommandKind.STOP)
    assert simulation.reaches("demo", Status.STOPPED)
    simulation.passes(timedelta(hours=1))
    assert simulation.record("demo").due_at is None
    simulation.chaos = Chaos(lost=1.0)
    for number in range(3):
        simulation.command("demo", CommandKind.CLEANUP, note=str(number))
    simulation.passes(SWEEP_EVERY + timedelta(minutes=1))
    assert simulation.store.load("demo").commands == ()
    assert asked(simulation)["cleanup by somebody"] == 3
    hints = simulation.hints_delivered
    simulation.passes(timedelta(hours=1))
    assert simulation.record("demo").cleanup is None
    simulation.passes(timedelta(days=1))
    assert simulation.hints_delivered - hints < 30, "it costs something when all is applied"


@pytest.mark.parametrize("failing", [0, 20])
def test_that_a_command_for_what_does_not_exist_is_dropped_is_told_once(failing: int) -> None:
    simulation = live()
    simulation.unseen = True
    simulation.interposed.append(Untold(failing))
    for kind in (CommandKind.STOP, CommandKind.RETRY):
        simulation.command("nobody", kind)
    simulation.passes(timedelta(days=3))
    assert simulation.store.load("nobody").commands == ()
    (message,) = (text for subject, text in simulation.notifier.messages if "nobody" in subject)
    assert "stop by somebody" in message
    assert "retry by somebody" in message
    assert not simulation.dead_letters


class Untold:
    """Denies so often that people are told of the commands."""

    def __init__(self, times: int) -> None:
        self.times = times

    def around(self, call: Call) -> object:
        if call.name == "notifier.publish" and "nobody" in str(call.first) and self.times:
            self.times -= 1
            raise refusal("AuthorizationError", "no")
        return call()


def test_a_command_for_what_does_not_exist_is_dropped_after_two_days() -> None:
    simulation = live()
    simulation.command("nobody", CommandKind.STOP)
    simulation.passes(timedelta(days=2, minutes=10))
    assert simulation.store.load("nobody").commands == ()
    assert simulation.store.load("nobody").record is None
    assert "nobody" not in list(simulation.store.due(simulation.clock.now()))
    hints = simulation.hints_delivered
    simulation.passes(timedelta(days=1))
    assert simulation.hints_delivered - hints < 60


def test_two_who_approve_the_same_lift_the_budget_and_overrule_no_gate() -> None:
    simulation = Simulation()
    gate = b"gate: {at_least: 0.9, better_than: after-sft}\nbudget_usd: 5\n"
    simulation.submit("demo", SPEC + gate)
    assert simulation.settles("demo") is Status.HELD
    both_saw = wait_of(simulation.record("demo"))
    simulation.command("demo", CommandKind.APPROVE, answers=both_saw)
    simulation.reaches("demo", Status.RUNNING)
    assert simulation.settles("demo") is Status.HELD
    simulation.command("demo", CommandKind.APPROVE, answers=both_saw)
    assert simulation.settles("demo") is Status.HELD
    assert simulation.record("demo").approved_by is None
    assert not simulation.hosting.launches
    simulation.check("demo")


def test_a_stop_that_a_clock_puts_before_a_retry_is_not_lost() -> None:
    """The events of both are lost, and the sweep finds them together."""
    simulation = Simulation(
        fate=lambda name: "fails" if name.endswith("sft-1") else "completes", chaos=Chaos()
    )
    simulation.submit("demo", SPEC + b"plan: [sft]\n")
    assert simulation.settles("demo") is Status.FAILED
    simulation.chaos = Chaos(lost=1.0)
    now, uid = simulation.clock.now(), simulation.record("demo").uid
    seen = wait_of(simulation.record("demo"))
    ahead = now + timedelta(minutes=2)
    retry = CommandItem("r", CommandKind.RETRY, "joe", ahead, uid=uid, answers=seen)
    simulation.store.put_command("demo", retry)
    stop = CommandItem("s", CommandKind.STOP, "jane", now + timedelta(minutes=1), uid=uid)
    simulation.store.put_command("demo", stop)
    simulation.chaos = Chaos()
    simulation.passes(SWEEP_EVERY * 2)
    assert simulation.store.load("demo").commands == ()
    assert len(simulation.jobs.launches) == 1
    simulation.check("demo")
