"""Who sees only a record's item knows where it stands, what it cost and what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from novaloop.experiment.bounds import TEXT_BYTES
from novaloop.experiment.controller.commands import apply
from novaloop.experiment.costs.budget import Cost, cost_usd
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.record import (
    Ailment,
    Attempt,
    CommandItem,
    CommandKind,
    Endpoint,
    Obstacle,
    Progress,
    Record,
    Stage,
    StageState,
    Status,
    Suspect,
    Suspicion,
    Waited,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.summary import Summary, as_command, next_steps, summary_of
from tests.stages import changed

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPEC = ExperimentSpec.model_validate(
    {"plan": [{"evaluate": "baseline"}, {"sft": {"instances": 4}}, "deploy"]}
)
P5_HOUR = packaged_prices().usd("ml.p5.48xlarge", 1, 3600) or 0


def record(**changes: Any) -> Record:
    stages = (
        Stage(
            StageKind.EVALUATE,
            "baseline",
            StageState.SUCCEEDED,
            attempt=Attempt(started_at=NOW, billable_seconds=1800),
        ),
        Stage(StageKind.SFT, "sft"),
        Stage(StageKind.DEPLOY, "deploy"),
    )
    return replace(
        Record("demo", SPEC, NOW, status=Status.RUNNING, stages=stages, started_at=NOW), **changes
    )


def at(name: str, of: Record, **changes: Any) -> Record:
    stages = tuple(
        changed(stage, **changes) if stage.name == name else stage for stage in of.stages
    )
    return replace(of, stages=stages)


def done() -> Record:
    """Return what serves: its jobs took half an hour each, its endpoint has been up for long."""
    trained = at(
        "sft",
        record(),
        state=StageState.SUCCEEDED,
        started_at=NOW,
        billable_seconds=900,
        earlier_seconds=900,
    )
    endpoint = Endpoint("demo--deploy-1", NOW + HOUR, NOW + 5 * HOUR)
    served = at("deploy", trained, state=StageState.SUCCEEDED, started_at=NOW + HOUR)
    return replace(served, status=Status.LIVE, endpoint=endpoint)


def test_before_the_start_nothing_was_spent_and_no_stage_stands_anywhere() -> None:
    found = summary_of(record(status=Status.COLLECTING, stages=(), started_at=None))
    assert found == Summary(
        stage=None,
        progress=None,
        cost_usd=Cost(0, 0),
        next_step="upload what the reason waits for, if it names a file",
        report=None,
    )


def test_a_training_says_how_far_it_is_and_when_it_is_done() -> None:
    progress = Progress("Training", 40, 100, NOW + HOUR)
    found = summary_of(at("sft", record(), state=StageState.RUNNING, progress=progress))
    assert found.stage == "sft"
    assert found.progress == (
        "1 of 3 stages done, sft is RUNNING, step 40 of 100, done at about 2026-05-04 13:00 UTC"
    )
    assert found.cost_usd == Cost(round(P5_HOUR / 2, 2), 0)
    assert found.next_step == "nothing: it goes on by itself"


def test_a_job_that_logs_no_steps_says_its_phase() -> None:
    running = at("sft", record(), state=StageState.RUNNING, progress=Progress("Downloading"))
    assert (summary_of(running).progress or "").endswith("sft is RUNNING, Downloading")
    waiting = at("sft", record(), state=StageState.WAITING, progress=Progress("Downloading"))
    assert (summary_of(waiting).progress or "").endswith("sft is WAITING")


JOBS = P5_HOUR / 2 + 4 * P5_HOUR / 2
"""What the jobs of `done` were billed."""


def test_what_serves_is_spent_up_to_now_and_committed_from_now_to_its_end() -> None:
    for hours in range(5):
        found = cost_usd(done(), NOW + HOUR + hours * HOUR)
        assert found == Cost(round(JOBS + hours * P5_HOUR, 2), round((4 - hours) * P5_HOUR, 2))


def test_a_record_says_what_it_cost_by_the_time_of_its_commit() -> None:
    written = replace(done(), updated_at=NOW + 2 * HOUR)
    assert summary_of(written).cost_usd == cost_usd(done(), NOW + 2 * HOUR)


def test_what_is_over_costs_no_more() -> None:
    over = replace(done(), status=Status.STOPPED, ended_at=NOW + 2 * HOUR)
    assert cost_usd(over, NOW + 300 * HOUR) == Cost(round(JOBS + P5_HOUR, 2), 0)
    ending = replace(done(), status=Status.STOPPING)
    assert cost_usd(ending, NOW + 3 * HOUR) == Cost(round(JOBS + 2 * P5_HOUR, 2), 0)


def test_what_is_being_deployed_is_committed_for_as_long_as_it_is_to_serve() -> None:
    begun = at("deploy", done(), state=StageState.RUNNING)
    begun = replace(begun, status=Status.DEPLOYING, endpoint=None)
    found = cost_usd(begun, NOW + 2 * HOUR)
    assert found == Cost(round(JOBS + P5_HOUR, 2), round(24 * P5_HOUR, 2))
    failed = at("deploy", begun, state=StageState.FAILED, ended_at=NOW + 3 * HOUR)
    failed = replace(failed, status=Status.FAILED, ended_at=NOW + 3 * HOUR)
    assert cost_usd(failed, NOW + 9 * HOUR) == Cost(round(JOBS + 2 * P5_HOUR, 2), 0)


def test_a_running_job_counts_from_its_start_and_one_that_ended_by_what_was_billed() -> None:
    running = at("sft", record(), state=StageState.RUNNING, started_at=NOW)
    assert cost_usd(running, NOW + HOUR) == Cost(round(P5_HOUR / 2 + 4 * P5_HOUR, 2), 0)
    unbilled = at("sft", running, state=StageState.STOPPED, ended_at=NOW + HOUR)
    assert cost_usd(unbilled, NOW + HOUR) == Cost(round(P5_HOUR / 2, 2), 0)


def test_who_is_to_approve_reads_what_that_commits_to() -> None:
    waiting = replace(record(), status=Status.AWAITING_APPROVAL)
    words = f"24 h of 1 ml.p5.48xlarge, {24 * P5_HOUR:,.2f} USD"
    assert f"Deploy it ({words}): novaloop approve demo" in next_steps(waiting)
    held = replace(record(), status=Status.HELD)
    assert f"Deploy it nevertheless ({words}): novaloop approve demo" in next_steps(held)


def test_who_is_to_lift_the_budget_is_not_told_to_deploy() -> None:
    spec = SPEC.model_copy(update={"budget_usd": P5_HOUR / 2})
    held = record(spec=spec, status=Status.HELD)
    assert "Go on without a budget: novaloop approve demo" in next_steps(held)


def test_what_can_not_have_its_name_is_begun_under_another() -> None:
    refused = record(experiment_id="My Folder", status=Status.REJECTED, started_at=None)
    assert next_steps(refused) == [
        "Begin anew, under a new name: novaloop submit DIR --name NEW",
    ]


def test_what_never_started_is_begun_anew_and_not_retried() -> None:
    stopped = replace(record(), status=Status.STOPPED)
    assert "novaloop retry demo" in summary_of(replace(stopped, started_at=NOW)).next_step
    step = summary_of(replace(stopped, started_at=None, stages=())).next_step
    assert step.endswith("Begin anew, under a new name: novaloop submit DIR --name NEW")


@pytest.mark.parametrize("status", [Status.STOPPED, Status.FAILED])
def test_no_command_is_named_that_what_never_started_refuses(status: Status) -> None:
    told = next_steps(record(status=status, started_at=None, stages=()))
    assert not [line for line in told if "retry" in line or "logs" in line]
    assert "Begin anew, under a new name: novaloop submit DIR --name NEW" in told


def test_who_made_a_dry_run_is_told_where_its_plan_lies_and_not_of_a_report() -> None:
    spec = SPEC.model_copy(update={"dry_run": True})
    dry = record(spec=spec, status=Status.COMPLETED, started_at=None, stages=())
    afresh = "Run it, without `dry_run`, under a new name: novaloop submit DIR --name NEW"
    where = "reports/demo/plan.json"
    assert next_steps(dry, bucket="mine") == [f"What it would launch: s3://mine/{where}", afresh]
    told = f"What it would launch: {where} in the stack's bucket"
    assert summary_of(dry).next_step == f"{told}; {afresh}"


@pytest.mark.parametrize(
    ("name", "status"),
    [("bad5", Status.REJECTED), ("My Folder", Status.REJECTED), ("bad5", Status.STOPPED)],
)
def test_a_refused_retry_gives_the_advice_that_is_given_otherwise(
    name: str, status: Status
) -> None:
    never = record(experiment_id=name, status=status, started_at=None, stages=())
    asked = CommandItem("id", CommandKind.RETRY, "joe", NOW)
    (refusal,) = apply(never, asked, NOW).history
    words, _, command = next_steps(never)[-1].partition(": ")
    if "NEW" in command:
        assert refusal.why.endswith("never started; submit it under a new name")
    else:
        assert refusal.why.endswith(f"{words[0].lower()}{words[1:]}: {command}")


def test_a_retry_of_what_still_collects_says_what_to_do_under_the_same_name() -> None:
    collects = record(status=Status.COLLECTING, started_at=None, stages=())
    asked = CommandItem("id", CommandKind.RETRY, "joe", NOW)
    (refusal,) = apply(collects, asked, NOW).history
    assert refusal.why.endswith("then submit that: novaloop submit DIR --name demo")


def test_a_cost_that_nobody_knows_is_not_told() -> None:
    spec = ExperimentSpec.model_validate({"runtime": "serverless", "plan": ["sft"]})
    stage = Stage(StageKind.SFT, "sft")
    assert summary_of(record(spec=spec, stages=(stage,))).cost_usd == Cost(0, 0)
    begun = replace(stage, attempt=replace(stage.attempt, started_at=NOW, billable_seconds=60))
    assert summary_of(record(spec=spec, stages=(begun,))).cost_usd is None


def test_who_serves_is_asked_kept_or_stopped() -> None:
    assert summary_of(done()).next_step == (
        "Ask it: novaloop invoke demo 'a question'; Results: novaloop report demo; Serve longer "
        "than 2026-05-04 17:00 UTC: novaloop keep demo --hours N; End it: novaloop stop demo"
    )


def test_what_is_wrong_comes_before_all_else() -> None:
    ill = replace(done(), endpoint=Endpoint("e", NOW, NOW, ailment=Ailment(NOW, "it is Failed")))
    assert summary_of(ill).next_step == "it is Failed"
    waited = Waited(Obstacle.QUOTA, NOW, 9, long=True)
    waiting = at(
        "sft", record(), state=StageState.WAITING, waits=(waited,), reason="ResourceLimitExceeded"
    )
    assert summary_of(waiting).next_step == (
        "sft has waited since 2026-05-04 12:00 UTC, and goes on waiting: ResourceLimitExceeded; "
        "end what uses the quota up, or ask AWS for a higher one"
    )
    denied = Suspicion(Suspect.DENIED, NOW, NOW, confirmed=True, why="AccessDenied " * 200)
    stopping = at("sft", record(status=Status.STOPPING), denied=denied)
    found = summary_of(stopping).next_step
    assert found.startswith("sft can't be ended, and may go on billing: AccessDenied")
    assert len(found.encode()) <= TEXT_BYTES


@pytest.mark.parametrize("status", Status)
def test_every_status_says_what_to_do_and_whoever_knows_the_stack_adds_it(status: Status) -> None:
    at_rest = record(status=status)
    told = next_steps(at_rest, lambda *words: f"{as_command(*words)} --stack mine")
    assert [line.replace(" --stack mine", "") for line in told] == next_steps(at_rest)
    assert summary_of(at_rest).next_step == "; ".join(next_steps(at_rest))
    assert all(": novaloop " not in line or line.endswith(" --stack mine") for line in told)


def test_the_report_is_named_once_it_was_asked_for() -> None:
    assert summary_of(record()).report is None
    told = summary_of(record(reported="0 warnings; LIVE"))
    assert told.report == "reports/demo/report.html"
