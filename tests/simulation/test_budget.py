"""A budget is never passed, and whoever holds it decides what goes on without it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from novaloop.experiment.costs.budget import cost_usd, last_moment, spent_usd
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.record import CommandKind, Record, StageState, Status
from novaloop.experiment.summary import summary_of
from tests.simulation.simulation import ROUGH, SPEC, Simulation

P5 = packaged_prices().usd_per_instance_hour["ml.p5.48xlarge"]


def submitted(budget: float, **options: Any) -> Simulation:
    simulation = Simulation(**options)
    simulation.submit("demo", SPEC + f"budget_usd: {budget}\n".encode())
    return simulation


def most_usd(request: dict[str, Any]) -> float:
    """What a job costs if it runs for as long as it may."""
    hours = request["StoppingCondition"]["MaxRuntimeInSeconds"] / 3600
    return float(P5 * request["ResourceConfig"]["InstanceCount"] * hours)


def endpoint_usd(record: Record) -> float:
    assert record.endpoint
    assert record.endpoint.expires_at
    started_at = record.stages[-1].attempt.started_at
    assert started_at
    return P5 * ((record.endpoint.expires_at - started_at) / timedelta(hours=1))


@pytest.mark.parametrize("seed", range(5))
def test_no_stage_may_run_past_the_budget(seed: int) -> None:
    simulation = submitted(50, seed=seed, chaos=ROUGH)
    assert simulation.settles("demo") is Status.LIVE
    record = simulation.record("demo")
    spent = 0.0
    for stage, job in zip(record.stages, simulation.jobs.jobs.values(), strict=False):
        assert spent + most_usd(dict(job.request)) <= 50
        spent += (
            P5
            * job.request["ResourceConfig"]["InstanceCount"]
            * stage.attempt.billable_seconds
            / 3600
        )
    assert spent == pytest.approx(spent_usd(record))
    assert spent + endpoint_usd(record) == pytest.approx(50)
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.check("demo")


def test_without_a_budget_nothing_is_capped() -> None:
    simulation = Simulation()
    simulation.submit("demo")
    assert simulation.settles("demo") is Status.LIVE
    limits = {
        job.request["StoppingCondition"]["MaxRuntimeInSeconds"]
        for job in simulation.jobs.jobs.values()
    }
    assert limits == {86400}


def test_a_stage_that_the_rest_can_not_pay_for_is_held_before_its_launch() -> None:
    simulation = submitted(12)
    assert simulation.settles("demo") is Status.HELD
    record = simulation.record("demo")
    assert simulation.jobs.launches == ["novaloop-demo--0000-baseline-1"]
    assert "budget: 1.05 of 12.00 USD are spent" in record.reason
    assert "10 minutes of sft on 4 ml.p5.48xlarge" in record.reason


def test_a_budget_below_the_first_stage_launches_nothing() -> None:
    simulation = submitted(1)
    assert simulation.settles("demo") is Status.HELD
    assert simulation.jobs.launches == []
    simulation.check("demo")


def test_approving_lifts_the_budget_and_nothing_else() -> None:
    simulation = Simulation()
    gate = b"gate: {at_least: 0.9, better_than: after-sft}\nbudget_usd: 5\n"
    simulation.submit("demo", SPEC + gate)
    assert simulation.settles("demo") is Status.HELD
    simulation.command("demo", CommandKind.APPROVE)
    simulation.reaches("demo", Status.RUNNING)
    assert simulation.settles("demo") is Status.HELD
    record = simulation.record("demo")
    assert record.budget_lifted_by == "somebody"
    assert record.gate is not None
    assert record.approved_by is None
    simulation.command("demo", CommandKind.APPROVE)
    simulation.reaches("demo", Status.DEPLOYING)
    assert simulation.settles("demo") is Status.LIVE


def test_a_deployment_whose_budget_is_lifted_is_on_trial_again() -> None:
    """By the status others wait for their turn at its endpoint, and its cost is foretold."""
    simulation = Simulation(
        fate=lambda name: (
            "component no capacity" if name.endswith(("deploy-1", "deploy-2")) else "completes"
        )
    )
    plan = b"plan: [sft, deploy: {inference_component: true}]\nbudget_usd: 95\n"
    simulation.submit("demo", SPEC + plan)
    assert simulation.settles("demo") is Status.HELD
    held = simulation.record("demo").stages[-1]
    assert (held.state, held.attempt.started_at) == (StageState.WAITING, None)
    assert "budget" in simulation.record("demo").reason
    simulation.command("demo", CommandKind.APPROVE)
    assert simulation.reaches("demo", Status.DEPLOYING)
    assert simulation.settles("demo") is Status.LIVE
    told = [entry.what for entry in simulation.store.history("demo")]
    assert "RUNNING" not in told[told.index("DEPLOYING") :]


@pytest.mark.parametrize(
    ("kind", "ends"), [(CommandKind.REJECT, Status.STOPPED), (CommandKind.STOP, Status.STOPPED)]
)
def test_what_is_held_can_be_ended(kind: CommandKind, ends: Status) -> None:
    simulation = submitted(5)
    assert simulation.settles("demo") is Status.HELD
    simulation.command("demo", kind)
    assert simulation.reaches("demo", ends)
    simulation.check("demo")


def test_attempts_that_were_lost_count() -> None:
    """Each loss is billed half an hour of four machines, a third has no room in the budget."""
    loss = P5 * 4 / 2
    simulation = submitted(
        2.2 * loss, fate=lambda job: "service fault" if "sft" in job else "completes"
    )
    describe = simulation.jobs.describe_training_job

    def billed(TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        told = describe(TrainingJobName)
        failed = told["TrainingJobStatus"] == "Failed"
        return {**told, "BillableTimeInSeconds": 1800} if failed else told

    simulation.jobs.describe_training_job = billed  # type: ignore[method-assign]
    assert simulation.settles("demo") is Status.HELD
    record = simulation.record("demo")
    assert record.stage("sft").earlier_seconds == 3600
    assert record.stage("sft").attempt.number == 3
    assert simulation.jobs.launches[-1] == "novaloop-demo--0000-sft-2"


@pytest.mark.parametrize("deploy", [b"deploy", b"deploy: {endpoint: bot}"])
def test_what_never_had_its_machines_costs_nothing(deploy: bytes) -> None:
    """Twelve attempts of 20 minutes each would have used up the budget."""
    simulation = Simulation(
        fate=lambda name: (
            "no capacity"
            if "deploy" in name and int(name.rpartition("-")[2]) <= 12
            else "completes"
        )
    )
    simulation.submit("demo", SPEC + b"plan: [sft, " + deploy + b"]\nbudget_usd: 200\n")
    assert simulation.settles("demo") is Status.LIVE
    record = simulation.record("demo")
    assert record.stages[-1].attempt.number == 13
    assert record.stages[-1].earlier_seconds == 0
    assert endpoint_usd(record) + spent_usd(record) == pytest.approx(200)


def test_an_update_that_never_had_its_machines_costs_nothing() -> None:
    simulation = Simulation(
        fate=lambda name: "no capacity" if name.endswith("new--0000-deploy-1") else "completes"
    )
    shared = SPEC + b"plan: [sft, deploy: {endpoint: bot}]\n"
    simulation.submit("old", shared)
    assert simulation.settles("old") is Status.LIVE
    simulation.submit("new", shared)
    assert simulation.settles("new") is Status.LIVE
    stage = simulation.record("new").stages[-1]
    assert (stage.attempt.number, stage.earlier_seconds) == (2, 0)


@pytest.mark.parametrize("fate", ["service fault", "component no capacity"])
def test_what_may_have_had_its_machines_counts_from_its_creation(fate: str) -> None:
    simulation = Simulation(fate=lambda name: fate if name.endswith("deploy-1") else "completes")
    component = b"true" if "component" in fate else b"false"
    plan = b"plan: [sft, deploy: {inference_component: " + component + b"}]\n"
    simulation.submit("demo", SPEC + plan)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.record("demo").stages[-1].earlier_seconds > 600


def test_an_endpoint_is_not_kept_past_the_budget() -> None:
    simulation = submitted(200)
    assert simulation.settles("demo") is Status.LIVE
    before = simulation.record("demo")
    simulation.command("demo", CommandKind.KEEP, hours=1)
    simulation.passes(timedelta(minutes=5))
    assert simulation.record("demo").endpoint == before.endpoint
    assert "ignored: the budget lasts until" in simulation.store.history("demo")[-1].why
    assert last_moment(before, before.stages[-1]) == before.endpoint.expires_at  # type: ignore[union-attr]


def test_what_was_spent_before_a_retry_counts() -> None:
    simulation = submitted(200)
    assert simulation.settles("demo") is Status.LIVE
    assert simulation.reaches("demo", Status.EXPIRED)
    simulation.command("demo", CommandKind.RETRY, stage="deploy")
    assert simulation.reaches("demo", Status.HELD)
    record = simulation.record("demo")
    assert spent_usd(record) == pytest.approx(200, rel=0.05)
    assert len(simulation.hosting.launches) == 1


def test_a_job_that_was_stopped_for_its_time_counts_as_billed() -> None:
    """SageMaker tells the billable seconds only once the job is over."""
    simulation = Simulation(fate=lambda job: "hangs" if "sft" in job else "completes")
    simulation.submit("demo")
    describe = simulation.jobs.describe_training_job

    def billed(TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        told = describe(TrainingJobName)
        runs = told["TrainingJobStatus"] in {"InProgress", "Stopping"}
        return {**told, "BillableTimeInSeconds": 0 if runs else 5000}

    simulation.jobs.describe_training_job = billed  # type: ignore[method-assign]
    assert simulation.settles("demo") is Status.FAILED
    assert simulation.record("demo").stage("sft").attempt.billable_seconds == 5000


def test_the_record_of_what_serves_says_by_the_hour_what_it_cost() -> None:
    """Who sees only the table's item is to know what was spent, though nothing happens."""
    simulation = Simulation()
    simulation.submit("demo")
    assert simulation.settles("demo") is Status.LIVE
    for hours in range(1, 6):
        simulation.passes(timedelta(hours=1))
        record, now = simulation.record("demo"), simulation.clock.now()
        written, known = summary_of(record).cost_usd, cost_usd(record, now)
        assert written is not None
        assert known is not None
        assert known.spent - 1.5 * P5 <= written.spent <= known.spent
        assert written.spent + written.committed == pytest.approx(
            known.spent + known.committed, abs=0.02
        )
        assert written.committed < (24 - hours + 1.5) * P5
