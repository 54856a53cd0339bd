"""Cleanup by tag: whatever a crash left is found, deleted in order, and confirmed to be gone."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from novaloop.experiment.record import CommandKind, Status
from novaloop.experiment.stack import EXPERIMENT_TAG
from novaloop.usecases.reconcile import reconcile
from tests.simulation.faults import Calls, Scenario, at_any_call, second_controller
from tests.simulation.simulation import SPEC, Chaos, Simulation, crash
from tests.simulation.twin_sagemaker import TwinSageMaker

PLAN = SPEC + b"plan: [sft, deploy: {inference_component: true}]\n"
ORPHAN = "novaloop-demo--0000-deploy-7"
TAGS = [{"Key": EXPERIMENT_TAG, "Value": "demo"}]


def leave(hosting: TwinSageMaker, name: str = ORPHAN) -> None:
    """Make what a process outside, or a lost record, may leave."""
    hosting.is_bounded = lambda _: True
    hosting.create_model(ModelName=name, Tags=TAGS)
    hosting.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[], Tags=TAGS)
    hosting.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=TAGS)


def failed() -> Simulation:
    simulation = Simulation(fate=lambda name: "fails" if "sft" in name else "completes")
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.FAILED
    leave(simulation.hosting)
    simulation.passes(timedelta(hours=1))
    hosting = simulation.hosting
    hosting.create_inference_component(
        InferenceComponentName=ORPHAN, EndpointName=ORPHAN, Tags=TAGS
    )
    simulation.passes(timedelta(hours=1))
    return simulation


def is_clean(simulation: Simulation) -> bool:
    record = simulation.record("demo")
    return (
        simulation.store.load("demo").commands == ()
        and record.status.is_final
        and record.cleanup is None
    )


def ask(simulation: Simulation) -> Simulation:
    simulation.command("demo", CommandKind.CLEANUP)
    simulation.emit("demo")
    return simulation


def cleaned(simulation: Simulation) -> bool:
    ask(simulation)
    return simulation.run(partial(is_clean, simulation))


def lines(simulation: Simulation) -> list[str]:
    return [e.why for e in simulation.store.history("demo") if e.what == "cleanup"]


def test_leftovers_of_an_experiment_that_is_over_are_deleted_in_order() -> None:
    simulation = failed()
    ended_at = simulation.record("demo").ended_at
    assert cleaned(simulation)
    assert simulation.hosting.left() == []
    assert lines(simulation) == [
        deleting("inference-component", "endpoint", "endpoint-config", "model"),
        deleting("endpoint", "endpoint-config", "model"),
        deleting("endpoint-config", "model"),
        deleting("model"),
        "nothing is left",
    ]
    record = simulation.record("demo")
    assert (record.status, record.ended_at) == (Status.FAILED, ended_at)


def deleting(*kinds: str) -> str:
    return "deleting " + ", ".join(f"sagemaker:{kind} {ORPHAN}" for kind in kinds)


def test_a_second_cleanup_finds_nothing() -> None:
    simulation = failed()
    assert cleaned(simulation)
    assert cleaned(simulation)
    assert lines(simulation)[-2:] == ["nothing is left", "nothing is left"]


SCENARIO = Scenario(lambda: ask(failed()), is_clean)


@at_any_call
def test_a_crash_at_any_call_heals(calls: Calls) -> None:
    for call, simulation in SCENARIO.struck(crash, calls):
        assert is_clean(simulation) or simulation.run(partial(is_clean, simulation)), call
        assert simulation.hosting.left() == [], call


def retry(simulation: Simulation) -> None:
    simulation.command("demo", CommandKind.RETRY)
    second_controller(simulation)


def has_relaunched(simulation: Simulation) -> bool:
    return len(simulation.jobs.launches) > 1


@at_any_call
def test_what_a_retry_launches_meanwhile_is_not_deleted(calls: Calls) -> None:
    for call, simulation in SCENARIO.struck(retry, calls):
        assert simulation.run(partial(has_relaunched, simulation)), call
        simulation.passes(timedelta(minutes=10))
        assert simulation.jobs.launches[1:] == ["novaloop-demo--0000-sft-2"], call
        assert not simulation.jobs.jobs["novaloop-demo--0000-sft-2"].stop_asked, call


def test_cleanup_of_a_live_experiment_takes_all_attempts() -> None:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.LIVE
    leave(simulation.hosting)
    assert cleaned(simulation)
    assert simulation.record("demo").status is Status.COMPLETED
    assert simulation.hosting.left() == []
    assert lines(simulation)[-1] == "nothing is left"
    assert "novaloop-demo--0000-deploy-1" in lines(simulation)[0]


def test_an_endpoint_that_serves_another_experiment_is_not_deleted() -> None:
    """Its tag is that of the former experiment until the new one holds it."""
    simulation = failed()
    hosting = simulation.hosting
    hosting.create_endpoint_config(
        EndpointConfigName="novaloop-other--0000-deploy-1", ProductionVariants=[], Tags=[]
    )
    config = hosting.endpoints[ORPHAN].described
    config["EndpointConfigName"] = "novaloop-other--0000-deploy-1"
    del hosting.components[ORPHAN]
    assert cleaned(simulation)
    assert hosting.left("demo") == [f"endpoint {ORPHAN}"]


def test_what_another_stack_made_is_not_deleted() -> None:
    simulation = failed()
    leave(simulation.hosting, "second-demo--deploy-1")
    assert cleaned(simulation)
    assert {entry.rpartition(" ")[2] for entry in simulation.hosting.left()} == {
        "second-demo--deploy-1"
    }


def test_an_experiment_that_runs_must_be_stopped_first() -> None:
    simulation = Simulation()
    simulation.submit("demo", PLAN)
    assert simulation.reaches("demo", Status.RUNNING)
    simulation.command("demo", CommandKind.CLEANUP)
    reconcile("demo", simulation.undisturbed)
    assert any("stop it first" in entry.why for entry in simulation.store.history("demo"))
    assert simulation.settles("demo") is Status.LIVE


def test_what_the_index_does_not_name_for_minutes_is_found_all_the_same() -> None:
    simulation = failed()
    simulation.lag.stale = 1.0
    ask(simulation)
    simulation.passes(timedelta(minutes=4))
    assert simulation.record("demo").cleanup is not None, "nothing was found, and that was believed"
    simulation.lag.stale = 0.0
    assert simulation.run(partial(is_clean, simulation))
    assert simulation.hosting.left() == []


def test_what_has_just_been_made_is_found_though_its_tags_show_late() -> None:
    simulation = Simulation(
        chaos=Chaos(late_tags=1.0), fate=lambda name: "fails" if "sft" in name else "completes"
    )
    simulation.submit("demo", PLAN)
    assert simulation.settles("demo") is Status.FAILED
    leave(simulation.hosting)
    assert cleaned(simulation)
    assert simulation.hosting.left() == []
