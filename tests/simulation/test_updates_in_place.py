"""Experiments that serve one after the other under one endpoint's name, under faults."""

from __future__ import annotations

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from novaloop.experiment.record import CommandKind, StageState, Status
from novaloop.usecases.reconcile import reconcile
from tests.simulation.faults import (
    Calls,
    Fails,
    Scenario,
    at_any_call,
    second_controller,
    stop,
)
from tests.simulation.simulation import ROUGH, SPEC, Simulation, crash
from tests.simulation.twin_sagemaker import Resource

SHARED = SPEC + b"plan: [sft, deploy: {endpoint: bot, ttl_hours: 48}]\n"
BOT = "novaloop-bot"
OLD, NEW = "novaloop-old--0000-deploy-1", "novaloop-demo--0000-deploy-1"


def both(fate: str = "completes", **settings: object) -> Simulation:
    """Return a stack where `old` is live on the endpoint, and `demo` has just been submitted."""
    simulation = Simulation(fate=lambda name: fate if name == NEW else "completes", **settings)  # type: ignore[arg-type]
    simulation.submit("old", SHARED)
    assert simulation.settles("old") is Status.LIVE
    simulation.submit("demo", SHARED)
    return simulation


def has_taken_over(simulation: Simulation) -> bool:
    return simulation.is_in("demo", Status.LIVE) and simulation.is_in("old", Status.COMPLETED)


SCENARIO = Scenario(both, has_taken_over, "sagemaker.create_model")


def test_the_next_experiment_takes_the_place_of_the_former() -> None:
    simulation = both()
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").endpoint is not None
    assert simulation.record("demo").endpoint.name == BOT  # type: ignore[union-attr]
    assert simulation.reaches("old", Status.COMPLETED)
    assert "serves experiment demo" in simulation.record("old").reason
    simulation.check("old")
    assert simulation.hosting.updates == [(BOT, NEW)]
    assert simulation.hosting.serving(BOT) == NEW
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")
    assert simulation.hosting.left() == []


def test_the_former_is_told_within_minutes() -> None:
    """It looks at once, and believes it after three looks over five minutes."""
    simulation = both()
    assert simulation.settles("demo") is Status.LIVE
    live_at = simulation.clock.now()
    assert simulation.reaches("old", Status.COMPLETED)
    assert simulation.clock.now() - live_at < timedelta(minutes=6)


@at_any_call
def test_a_crash_at_any_call_heals(calls: Calls) -> None:
    for call, simulation in SCENARIO.struck(crash, calls):
        assert simulation.settles("demo") is Status.LIVE, call
        assert simulation.reaches("old", Status.COMPLETED), call
        simulation.check("old")
        assert simulation.hosting.serving(BOT) == NEW
        assert simulation.hosting.updates == [(BOT, NEW)], call


@at_any_call
def test_a_second_controller_at_any_call_changes_nothing(calls: Calls) -> None:
    for call, simulation in SCENARIO.struck(second_controller, calls):
        assert simulation.settles("demo") is Status.LIVE, call
        assert simulation.reaches("old", Status.COMPLETED), call
        simulation.check("old")
        assert simulation.hosting.updates == [(BOT, NEW)], call


@at_any_call
def test_a_stop_at_any_call_leaves_nothing_of_it(calls: Calls) -> None:
    """What served before serves on, unless the new experiment had taken over for good."""
    for call, simulation in SCENARIO.struck(stop, calls):
        assert simulation.reaches("demo", Status.STOPPED), call
        simulation.passes(timedelta(hours=6))
        simulation.check("demo")
        old = simulation.record("old").status
        assert old in {Status.LIVE, Status.COMPLETED}, call
        served = [
            f"{kind} {name}"
            for kind, name in (("model", OLD), ("endpoint configuration", OLD), ("endpoint", BOT))
        ]
        assert simulation.hosting.left() == (served if old is Status.LIVE else []), call
        if old is Status.LIVE:
            assert simulation.hosting.serving(BOT) == OLD, call


@pytest.mark.parametrize("seed", range(15))
def test_rough_weather(seed: int) -> None:
    simulation = both(seed=seed, chaos=ROUGH)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.reaches("old", Status.COMPLETED)
    assert simulation.reaches("demo", Status.EXPIRED)
    assert simulation.hosting.left() == []


@pytest.mark.parametrize(
    ("fate", "says"),
    [
        ("update fails", "did not pass the ping health check"),
        ("update breaks", "did not pass the ping health check"),
        ("update breaks for capacity", "InsufficientInstanceCapacity"),
        ("does not answer", "ModelError"),
    ],
)
def test_what_fails_leaves_the_former_in_its_place(fate: str, says: str) -> None:
    simulation = both(fate)
    assert simulation.settles("demo") is Status.FAILED
    assert says in simulation.record("demo").reason
    simulation.check("demo")
    assert simulation.hosting.serving(BOT) == OLD
    assert simulation.record("old").status is Status.LIVE
    assert simulation.reaches("old", Status.EXPIRED)
    assert simulation.hosting.left() == []


def test_the_former_stays_while_the_new_one_is_tried() -> None:
    simulation = both("does not answer")
    assert simulation.run(lambda: simulation.hosting.serving(BOT) == NEW)
    reconcile("old", simulation.undisturbed)
    assert simulation.record("old").status is Status.LIVE
    assert simulation.settles("demo") is Status.FAILED


def test_without_the_former_there_is_nothing_to_go_back_to() -> None:
    """A person ends the former experiment while the new one is being tried."""
    simulation = both("does not answer")
    assert simulation.run(lambda: simulation.hosting.serving(BOT) == NEW)
    simulation.command("old", CommandKind.CLEANUP)
    assert simulation.reaches("old", Status.COMPLETED)
    assert simulation.settles("demo") is Status.FAILED
    assert simulation.hosting.left() == []


def test_an_endpoint_of_somebody_else_is_refused_before_anything_is_launched() -> None:
    simulation = Simulation()
    simulation.hosting.endpoints[BOT] = foreign()
    simulation.submit("demo", SHARED)
    assert simulation.settles("demo") is Status.REJECTED
    assert "plan[1].deploy.endpoint" in simulation.record("demo").reason
    assert not simulation.jobs.launches
    del simulation.hosting.endpoints[BOT]
    assert simulation.reaches("demo", Status.LIVE)


def test_an_endpoint_that_somebody_else_makes_meanwhile_is_left_alone() -> None:
    simulation = Simulation()
    simulation.submit("demo", SHARED)
    assert simulation.reaches("demo", Status.RUNNING)
    simulation.hosting.endpoints[BOT] = foreign()
    assert simulation.settles("demo") is Status.FAILED
    assert "not Novaloop's" in simulation.record("demo").reason
    assert simulation.hosting.left() == [f"endpoint {BOT}"]


def foreign() -> Resource:
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{BOT}"
    names = {"EndpointName": BOT, "EndpointConfigName": "theirs", "EndpointArn": arn}
    return Resource({**names, "EndpointStatus": "InService"})


def test_an_update_from_outside_ends_the_experiment_and_not_the_endpoint() -> None:
    simulation = both()
    assert simulation.settles("demo") is Status.LIVE
    simulation.hosting.configs["by-hand"] = Resource({})
    simulation.hosting.updated(EndpointName=BOT, EndpointConfigName="by-hand")
    assert simulation.reaches("demo", Status.COMPLETED)
    assert "updated from outside" in simulation.record("demo").reason
    assert simulation.hosting.serving(BOT) == "by-hand"


def by_hand(simulation: Simulation, name: str = "by-hand") -> None:
    simulation.hosting.configs[name] = Resource({})
    simulation.hosting.updated(EndpointName=BOT, EndpointConfigName=name)


def test_what_a_person_has_put_there_is_left_alone_since_there_is_no_way_back() -> None:
    simulation = Simulation(fate=lambda name: "does not answer" if name == NEW else "completes")
    simulation.submit("old", SHARED)
    assert simulation.settles("old") is Status.LIVE
    by_hand(simulation)
    assert simulation.reaches("old", Status.COMPLETED)
    simulation.submit("demo", SHARED)
    assert simulation.settles("demo") is Status.REJECTED
    assert "a configuration that is not Novaloop's" in simulation.record("demo").reason
    assert simulation.hosting.updates[1:] == []
    for number in range(5):  # whoever puts it there goes on doing so, under ever new names
        simulation.passes(timedelta(hours=1))
        by_hand(simulation, f"by-hand-{number}")
    assert [subject for subject, _ in simulation.notifier.messages if "REJECTED" in subject] == [
        "Novaloop: demo is REJECTED"
    ]


def test_what_a_person_puts_there_during_the_training_is_left_alone_too() -> None:
    simulation = both("does not answer")
    assert simulation.reaches("demo", Status.RUNNING)
    by_hand(simulation)
    assert simulation.settles("demo") is Status.FAILED
    assert "a configuration that is not Novaloop's" in simulation.record("demo").reason
    simulation.passes(timedelta(hours=1))
    assert simulation.hosting.serving(BOT) == "by-hand"
    assert simulation.hosting.left("demo") == []


@pytest.mark.parametrize("minutes", range(0, 60, 4))
def test_two_at_the_same_time_take_turns(minutes: int) -> None:
    """Whoever comes second waits; in the end one of them serves, and the others know."""
    simulation = both()
    simulation.later(timedelta(minutes=minutes), lambda: simulation.submit("rival", SHARED))
    assert simulation.reaches("rival", Status.LIVE, Status.FAILED)
    simulation.passes(timedelta(hours=12))
    ends = {name: simulation.record(name).status for name in ("old", "demo", "rival")}
    assert sorted(ends.values()) == [Status.COMPLETED, Status.COMPLETED, Status.LIVE]
    winner = next(name for name, status in ends.items() if status is Status.LIVE)
    assert simulation.hosting.serving(BOT) == f"novaloop-{winner}--0000-deploy-1"
    for name in ends:
        simulation.check(name)


def test_a_retry_updates_in_place_too() -> None:
    simulation = both("does not answer")
    assert simulation.settles("demo") is Status.FAILED
    simulation.command("demo", CommandKind.RETRY)
    assert simulation.reaches("demo", Status.LIVE)
    assert simulation.record("demo").stage("deploy").state is StageState.SUCCEEDED
    assert simulation.hosting.serving(BOT) == NEW.replace("-1", "-2")


def test_two_create_the_endpoint_at_the_same_time() -> None:
    simulation = Simulation()
    simulation.submit("old", SHARED)
    simulation.submit("demo", SHARED)
    assert simulation.reaches("demo", Status.LIVE, Status.COMPLETED)
    assert simulation.reaches("old", Status.LIVE, Status.COMPLETED)
    simulation.passes(timedelta(hours=12))
    ends = sorted(simulation.record(name).status for name in ("old", "demo"))
    assert ends == [Status.COMPLETED, Status.LIVE]
    assert len(simulation.hosting.updates) == 1


def test_what_was_just_made_is_left_alone_until_its_maker_has_tried_it() -> None:
    """Its tags name its maker from the beginning; an update that breaks would end both."""
    simulation = Simulation()
    simulation.submit("old", SHARED)
    simulation.submit("demo", SHARED)
    assert simulation.run(lambda: in_service(simulation))
    made_first = simulation.hosting.serving(BOT) == OLD
    maker, other, update = ("old", "demo", NEW) if made_first else ("demo", "old", OLD)
    assert simulation.record(maker).status is Status.DEPLOYING  # it has not looked yet
    reconcile(other, simulation.undisturbed)
    stage = simulation.record(other).stage("deploy")
    assert (stage.state, stage.reason) == (
        StageState.WAITING,
        f"the endpoint is being deployed to by experiment {maker}",
    )
    assert simulation.hosting.updates == []
    assert simulation.settles(maker) is Status.LIVE
    assert simulation.settles(other) is Status.LIVE
    assert simulation.hosting.updates == [(BOT, update)]


def test_another_experiments_change_is_waited_for_and_why_it_failed_is_nobody_elses() -> None:
    fates = {OLD: "update no capacity", NEW: "does not answer"}
    simulation = Simulation(fate=lambda name: fates.get(name, "completes"))
    simulation.submit("old", SHARED)
    assert simulation.settles("old") is Status.LIVE
    simulation.submit("demo", SHARED)
    assert simulation.run(lambda: simulation.is_in("demo", Status.STOPPING))
    simulation.submit("rival", SHARED)
    assert simulation.run(lambda: simulation.is_in("rival", Status.DEPLOYING))
    simulation.passes(timedelta(hours=6))
    assert simulation.is_in("rival", Status.DEPLOYING)
    del fates[OLD]  # there is capacity again
    assert simulation.settles("rival") is Status.LIVE
    assert not any(
        line.what.startswith("deploy") and "InsufficientInstanceCapacity" in line.why
        for line in simulation.store.history("rival")
    )


def test_an_endpoint_that_its_maker_ends_is_made_by_who_has_waited() -> None:
    simulation = Simulation(fate=lambda name: "endpoint fails" if name == OLD else "completes")
    simulation.submit("old", SHARED)
    simulation.later(timedelta(minutes=2), lambda: simulation.submit("demo", SHARED))
    assert simulation.settles("old") is Status.FAILED
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.hosting.serving(BOT) == NEW
    assert simulation.record("demo").stage("deploy").attempt.previous_config is None


def in_service(simulation: Simulation) -> bool:
    endpoint = simulation.hosting.endpoints.get(BOT)
    return endpoint is not None and endpoint.described["EndpointStatus"] == "InService"


def untagged() -> Simulation:
    """Return a stack where `demo` serves, and the endpoint's tag says `old` for good.

    The controller lacks the right to AddTags.
    """
    simulation = both()
    simulation.failures = (*simulation.failures, ClientError)
    simulation.interposed.append(Fails(("sagemaker.add_tags",)))
    assert simulation.settles("demo") is Status.LIVE
    return simulation


def orphans(simulation: Simulation) -> list[str]:
    return [text for subject, text in simulation.notifier.messages if "without an" in subject]


def test_whose_place_was_taken_is_over_whatever_the_tag_says() -> None:
    simulation = untagged()
    assert simulation.run(lambda: simulation.is_in("old", Status.COMPLETED), timedelta(hours=2))
    assert "serves experiment demo" in simulation.record("old").reason
    assert simulation.hosting.serving(BOT) == NEW
    simulation.passes(timedelta(hours=30))
    assert simulation.is_in("demo", Status.LIVE)
    assert orphans(simulation) == [], "it belongs to whom it serves, and that goes on"
    assert simulation.reaches("demo", Status.EXPIRED)
    assert simulation.hosting.left() == []


def test_a_third_takes_the_place_of_the_second_whatever_the_tag_says() -> None:
    simulation = untagged()
    simulation.submit("third", SHARED)
    assert simulation.settles("third") is Status.LIVE
    assert simulation.reaches("demo", Status.COMPLETED)
    assert simulation.is_in("old", Status.COMPLETED)
    assert simulation.hosting.serving(BOT) == NEW.replace("demo", "third")


def test_what_serves_by_a_lost_record_is_nobodys_though_its_tag_names_another() -> None:
    simulation = untagged()
    assert simulation.reaches("old", Status.COMPLETED)
    simulation.objects.clear()
    del simulation.store.snapshots["demo"]
    simulation.passes(timedelta(days=1))
    (message,) = orphans(simulation)
    assert BOT in message


def test_one_on_trial_ends_nobody_even_if_it_can_not_be_tagged() -> None:
    simulation = both("does not answer")
    simulation.failures = (*simulation.failures, ClientError)
    simulation.interposed.append(Fails(("sagemaker.add_tags",)))
    assert simulation.settles("demo") is Status.FAILED
    simulation.passes(timedelta(hours=1))
    assert simulation.is_in("old", Status.LIVE)
    assert simulation.hosting.serving(BOT) == OLD
