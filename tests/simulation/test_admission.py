"""Experiments that wait for the same quota: in fair order, and with few requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from novaloop.experiment.controller.queue import can_ask
from novaloop.experiment.record import (
    CommandKind,
    Snapshot,
    StageState,
    Status,
    Suspect,
    Suspicion,
)
from novaloop.experiment.versions import Damaged, NewerVersion, Shape
from tests.simulation.faults import (
    Calls,
    Fault,
    Scenario,
    at_any_call,
    second_controller,
)
from tests.simulation.simulation import Chaos, Simulation, crash

SPEC = b"""
columns: {question: Body, answer: Y}
labels: [HQ, LQ_EDIT, LQ_CLOSE]
plan: [evaluate: {name: baseline}]
"""
NAMES = [f"x{number}" for number in range(6)]


def queued(simulation: Simulation, names: list[str] = NAMES, spec: bytes = SPEC) -> None:
    """Submit experiments a minute apart, so that it is known who came first."""
    for name in names:
        simulation.submit(name, spec)
        simulation.passes(timedelta(minutes=1))


def held_up(names: list[str] = NAMES) -> Simulation:
    """The first of these experiments holds the whole quota, and the others have waited for long."""
    simulation = Simulation(fate=lambda name: "hangs" if "-x0-" in name else "completes")
    simulation.jobs.limit = 1
    queued(simulation, names)
    simulation.passes(timedelta(hours=1))
    return simulation


def test_a_quota_of_one_lets_experiments_in_in_the_order_of_their_coming() -> None:
    simulation = Simulation()
    simulation.jobs.limit = 1

    queued(simulation)
    for name in NAMES:
        assert simulation.settles(name) is Status.COMPLETED

    assert simulation.jobs.launches == [f"novaloop-{name}--0000-baseline-1" for name in NAMES]


def test_only_the_first_in_the_queue_asks_the_service() -> None:
    simulation = held_up()
    simulation.jobs.wanted.clear()

    simulation.passes(timedelta(hours=10))

    assert set(simulation.jobs.wanted) == {"novaloop-x1--0000-baseline-1"}
    assert 60 <= len(simulation.jobs.wanted) <= 120
    behind = simulation.record("x5").stages[0]
    assert behind.state is StageState.WAITING
    assert behind.reason == "waits behind x1, which has waited longer for the same quota"


def test_the_next_gets_in_at_once_when_the_first_gives_up() -> None:
    simulation = held_up(NAMES[:3])

    simulation.command("x1", CommandKind.STOP)
    assert simulation.reaches("x1", Status.STOPPING, Status.STOPPED)
    simulation.jobs.limit = 2
    simulation.passes(timedelta(minutes=1))

    assert simulation.jobs.launches[1:] == ["novaloop-x2--0000-baseline-1"]


def test_who_comes_later_waits_behind_even_when_there_is_room_by_chance() -> None:
    simulation = held_up(NAMES[:2])

    simulation.jobs.limit = 2
    simulation.submit("x2", SPEC)
    simulation.passes(timedelta(minutes=2))

    assert simulation.record("x2").stages[0].state is StageState.WAITING
    assert simulation.settles("x2") is Status.COMPLETED
    assert [name.split("-")[1] for name in simulation.jobs.launches] == ["x0", "x1", "x2"]


def test_other_instance_types_have_queues_of_their_own() -> None:
    other = SPEC.replace(b"baseline", b"baseline, instance_type: ml.p4d.24xlarge")
    simulation = held_up(NAMES[:2])

    simulation.jobs.limit = 2
    simulation.submit("other", other)
    simulation.passes(timedelta(minutes=2))

    assert "novaloop-other--0000-baseline-1" in simulation.jobs.launches


@pytest.mark.parametrize("seed", range(20))
def test_everybody_gets_in_whatever_goes_wrong(seed: int) -> None:
    chaos = Chaos(duplicated=0.3, lost=0.3, delayed=0.3, crash=0.02)
    simulation = Simulation(seed, chaos)
    simulation.jobs.limit = 2

    queued(simulation)
    for name in NAMES:
        assert simulation.settles(name) is Status.COMPLETED
        simulation.check(name)


def two_for_one() -> Simulation:
    simulation = Simulation()
    simulation.jobs.limit = 1
    queued(simulation, NAMES[:2])
    return simulation


def both_are_over(simulation: Simulation) -> bool:
    return all(simulation.record(name).status is Status.COMPLETED for name in NAMES[:2])


TWO_FOR_ONE = Scenario(two_for_one, both_are_over)


@at_any_call
@pytest.mark.parametrize("fault", [crash, second_controller])
def test_both_get_in_after_a_fault_at_any_call(fault: Fault, calls: Calls) -> None:
    for call, simulation in TWO_FOR_ONE.struck(fault, calls):
        assert [simulation.settles(name) for name in NAMES[:2]] == 2 * [Status.COMPLETED], call
        for name in NAMES[:2]:
            simulation.check(name)


@contextmanager
def unable(simulation: Simulation, name: str, error: Exception) -> Iterator[None]:
    """Let nobody read an experiment's items; its place shows in the queue all the same."""
    load = simulation.store.load
    simulation.unseen = True

    def fails_for_one(experiment_id: str) -> Snapshot:
        if experiment_id == name:
            raise error
        return load(experiment_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation.store, "load", fails_for_one)
        patch.setattr(simulation, "deliver", partial(delivered, simulation, simulation.deliver))
        yield


def delivered(simulation: Simulation, deliver: Callable[..., None], name: str, *rest: int) -> None:
    """Deliver a hint; a look that fails comes to the dead letters, as SQS has it."""
    try:
        deliver(name, *rest)
    except (NewerVersion, Damaged):
        pass  # the handler's log and an alarm tell
    except OSError:
        simulation.dead_letters.append(name)


UNABLE = {
    "newer": NewerVersion(Shape.RECORD),
    "damaged": Damaged("record", "missing: status"),
    "its looks fail": OSError("the connection was reset"),
}


@pytest.mark.parametrize("why", UNABLE)
def test_a_first_that_can_not_ask_holds_nobody_up_for_long(why: str) -> None:
    simulation = held_up(NAMES[:4])
    simulation.jobs.limit = 2
    with unable(simulation, "x1", UNABLE[why]):
        begun = simulation.clock.now()
        assert simulation.run(lambda: len(simulation.jobs.launches) == 2)
        assert simulation.jobs.launches[-1] == "novaloop-x2--0000-baseline-1"
        assert simulation.clock.now() - begun < timedelta(hours=2)
        assert simulation.settles("x2") is Status.COMPLETED
        assert simulation.settles("x3") is Status.COMPLETED
    # It kept its place, and goes on from there once it can.
    assert simulation.settles("x1") is Status.COMPLETED


def test_many_that_can_not_ask_do_not_hold_up_either() -> None:
    simulation = held_up([f"x{number}" for number in range(15)])
    simulation.jobs.limit = 2
    with ExitStack() as entered:
        for number in range(1, 14):
            entered.enter_context(unable(simulation, f"x{number}", UNABLE["newer"]))
        assert simulation.settles("x14") is Status.COMPLETED


def test_a_look_at_the_queue_loads_records_alone_and_no_other_collection() -> None:
    simulation = held_up()
    simulation.crashes.calls.clear()
    looks = simulation.hints_delivered
    simulation.passes(timedelta(hours=4))
    looks = simulation.hints_delivered - looks
    calls = Counter(simulation.crashes.calls)
    assert calls["store.load"] == looks > 20
    assert calls["store.load_record"] > 20


def test_one_that_can_be_looked_at_only_in_part_is_passed_over() -> None:
    """Its job was launched before its work could be read no more: it does not ask."""
    record = held_up(NAMES[:2]).record("x1")
    now = record.stages[0].next_try_at
    assert now is not None
    assert can_ask(record, now)
    blind = Suspicion(Suspect.UNREADABLE, now, now, confirmed=True)
    assert not can_ask(replace(record, unreadable=blind), now)
    assert not can_ask(record, now + timedelta(hours=2))
    assert not can_ask(replace(record, status=Status.STOPPING), now)
