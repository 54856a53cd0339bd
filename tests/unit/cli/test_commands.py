"""What a person can ask for, with the real decision in the controller's place."""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import TYPE_CHECKING

import pytest
import yaml

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.controller.intake import pending_stages
from novaloop.experiment.controller.observation import (
    End,
    Observation,
    Phase,
    ResourceStatus,
    TaggedResource,
)
from novaloop.experiment.controller.transitions import Action
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.record import DatasetRef, Endpoint, Record, StageState, Status
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Runtime
from novaloop_cli import commands
from novaloop_cli.stack import caller
from tests.unit.cli import conftest
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from pathlib import Path

    from novaloop_cli.stack import Stack

NAME = example.NAME


@pytest.fixture
def controlled(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Let the controller take one step whenever the command waits; one leftover is there.

    Two minutes pass at each step: absence is believed after several looks over minutes.
    """
    left = [TaggedResource("sagemaker:model", "novaloop-questions--deploy-1")]
    clock = (datetime.now(UTC) + timedelta(minutes=2 * looks) for looks in count())

    came: list[End] = []

    def step(_: float) -> None:
        snapshot = stack.table.load(NAME)
        cleans = snapshot.record is not None and snapshot.record.cleanup is not None
        backstop = snapshot.record.stages[-1].backstop if snapshot.record else None
        seen = Observation(
            snapshot,
            ResourceStatus(phase=Phase.ABSENT),
            tagged=tuple(left if cleans else ()),
            backstop=backstop,
            end=came.pop() if came else None,
        )
        if cleans:
            left.clear()
        decision = decide(seen, next(clock), Policy())
        stack.table.commit(decision.record, decision.history, decision.applied)
        came.extend(
            End.DONE for asked in decision.commands if getattr(asked, "action", 0) is Action.END
        )

    monkeypatch.setattr(commands.time, "sleep", step)
    return stack


def put(stack: Stack, status: Status, **changes: object) -> None:
    record = replace(example.record(), status=status, **changes)
    stack.table.commit(record, ())


def flat(printed: str) -> str:
    """Undo the breaks between lines."""
    return " ".join(printed.split())


def stored(stack: Stack) -> Record:
    record = stack.table.load(NAME).record
    assert record is not None
    return record


@pytest.mark.parametrize("status", [Status.HELD, Status.AWAITING_APPROVAL])
def test_approve_deploys_and_names_who_approved(controlled: Stack, status: Status) -> None:
    put(controlled, status)
    result = novaloop("approve", NAME, "--yes", "--note", "looked at it")
    assert result.exit_code == 0, result.output
    record = stored(controlled)
    assert record.status is Status.DEPLOYING
    assert record.approved_by == caller()
    assert f"{NAME} is DEPLOYING: approved by" in result.stdout


@pytest.mark.parametrize("status", [Status.HELD, Status.AWAITING_APPROVAL])
def test_approve_says_what_it_commits_to_before_it_does(controlled: Stack, status: Status) -> None:
    put(controlled, status, stages=example.stages()[:-1])
    hours = 24
    price = packaged_prices().usd("ml.p5.48xlarge", 1, hours * 3600)
    begun = datetime.now(UTC).replace(second=0, microsecond=0)
    told, _, done = novaloop("approve", NAME, "--stack", "novaloop").stdout.partition(f"{NAME} is ")
    assert f"commits to {hours} h of 1 ml.p5.48xlarge, {price:,.2f} USD" in told
    until = re.search(r"until (.*) UTC", told)
    assert until is not None
    at = datetime.strptime(until[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert begun <= at - timedelta(hours=hours) <= datetime.now(UTC)
    assert f"novaloop stop {NAME} --stack novaloop\n" in told
    assert done.startswith("DEPLOYING")


def test_approve_says_that_it_lifts_the_budget(controlled: Stack) -> None:
    spec = example.record().spec.model_copy(update={"budget_usd": 1.0})
    put(controlled, Status.HELD, spec=spec, stages=pending_stages(spec), budget_lifted_by=None)
    told = flat(novaloop("approve", NAME).stdout)
    assert told.startswith("This answers what is HELD: ")
    assert "This lifts the budget for all that follows (budget: 0.00 of 1.00 USD" in told
    assert "This runs baseline, sft, " in told
    assert "commits to 24 h of 1 ml.p5.48xlarge, " in told  # without a budget, which cut it
    assert "from when it serves" in told


def test_an_approval_that_nothing_waits_for_commits_to_nothing(controlled: Stack) -> None:
    put(controlled, Status.LIVE)
    result = novaloop("approve", NAME)
    assert result.exit_code == 2
    assert "commits" not in result.output


def test_reject_stops(controlled: Stack) -> None:
    put(controlled, Status.HELD)
    assert novaloop("reject", NAME).exit_code == 0
    assert stored(controlled).status is Status.STOPPING
    assert stored(controlled).stopping_to is Status.STOPPED


def test_stop_waits_until_nothing_runs_and_says_so(controlled: Stack) -> None:
    """Whoever deletes the stack after `stop` must not find something that runs."""
    put(controlled, Status.RUNNING)
    result = novaloop("stop", NAME)
    assert result.exit_code == 0, result.output
    assert stored(controlled).status is Status.STOPPED
    assert flat(result.stdout).startswith(f"{NAME} is STOPPED: ")
    assert flat(result.stderr).startswith(f"{NAME} is STOPPING: stopped by ")
    assert "waiting until AWS says that nothing of it runs or serves" in flat(result.stderr)


def test_leaving_a_stop_takes_nothing_back(
    controlled: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = commands.time.sleep

    def leave(seconds: float) -> None:
        if stored(controlled).status is Status.STOPPING:
            raise KeyboardInterrupt
        step(seconds)

    put(controlled, Status.RUNNING)
    monkeypatch.setattr(commands.time, "sleep", leave)
    result = novaloop("stop", NAME)
    assert result.exit_code == 130
    assert f"It goes on without you. Follow it: novaloop watch {NAME}" in result.stderr
    assert stored(controlled).status is Status.STOPPING


def test_retry_runs_again_from_the_stage(controlled: Stack) -> None:
    put(controlled, Status.FAILED)
    assert novaloop("retry", NAME, "--from", "rft").exit_code == 0
    states = {
        stage.name: (stage.state, stage.attempt.number) for stage in stored(controlled).stages
    }
    assert states["sft"] == (StageState.SUCCEEDED, 1)
    assert states["rft"] == (StageState.PENDING, 2)


@pytest.fixture
def newest(controlled: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack of this release, by its parameters, whose example has failed at `sft`."""
    parameters = {
        "DefaultApproval": "auto",
        "DefaultBudgetUsd": "0",
        "DefaultGate": "none",
    }
    monkeypatch.setitem(conftest.PARAMETERS, conftest.STACK, parameters)
    outputs = {"sft": ("sft", "rft"), "rft": ("rft",), "eval": ("evaluation",)}
    datasets = {
        role: DatasetRef("v", "0", 500, dict.fromkeys(formats, "key"))
        for role, formats in outputs.items()
    }
    put(controlled, Status.FAILED, datasets=datasets)
    return controlled


SMALLER = "sft.overrides.global_batch_size=32"


def test_retry_with_other_settings_says_what_changes_and_does_it(newest: Stack) -> None:
    result = novaloop("retry", NAME, "--from", "sft", "--set", SMALLER, "--set", "budget_usd=5000")
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    lines = result.stdout.splitlines()
    assert lines[0] == "This changes:"
    assert {each.partition(": ")[0] for each in lines[1:3]} == {
        "  sft.overrides.global_batch_size",
        "  budget_usd",
    }
    record = stored(newest)
    plan = record.plan_of(record.stage("sft"))
    assert plan.overrides["global_batch_size"] == 32  # type: ignore[union-attr]
    assert record.spec.budget_usd == 5000
    assert "sft.overrides.global_batch_size: " in record.reason


def test_retry_with_a_file_changes_the_same_way(newest: Stack, tmp_path: Path) -> None:
    content = json.loads(stored(newest).spec.model_dump_json())
    sft = next(each for each in content["plan"] if each["name"] == "sft")
    sft["max_runtime_seconds"] = 7_200
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(content))
    result = novaloop("retry", NAME, "--from", "sft", "--spec", str(file))
    assert result.exit_code == 0, result.output
    assert "  sft.max_runtime_seconds: 86400 to 7200" in result.stdout
    record = stored(newest)
    assert record.plan_of(record.stage("sft")).max_runtime_seconds == 7_200  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "rft", "--set", SMALLER), "sft has run, and keeps its settings"),
        (("--from", "sft", "--set", "sft.overrides.global_batch_sise=3"), "global_batch_sise"),
        (("--set", "labels=[a, b]"), "labels: can't be changed after the start"),
        (("--set", "nothing.at.all=1"), "nothing is none of the settings"),
        (("--set", "sft"), "write PATH=VALUE"),
        (("--set", "budget_usd=a: b"), "--set budget_usd=a: b: "),
        (("--set", "budget_usd=1\napproval: auto"), "give one value in one line"),
        (("--set", "approval=auto"), "these are the present settings"),
        (("--from", "sft", "--set", SMALLER, "--spec", __file__), "give one of them"),
        (("--spec", __file__), "can't be retried with these settings"),
    ],
)
def test_settings_that_cannot_be_used_are_told_before_anything_is_asked_for(
    newest: Stack, options: tuple[str, ...], words: str
) -> None:
    result = novaloop("retry", NAME, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert stored(newest).status is Status.FAILED
    assert newest.table.load(NAME).commands == ()


def test_a_release_that_would_drop_the_settings_is_not_asked(controlled: Stack) -> None:
    put(controlled, Status.FAILED)
    result = novaloop("retry", NAME, "--from", "sft", "--set", SMALLER)
    assert result.exit_code == 2
    assert "release takes no other settings" in result.stderr
    assert stored(controlled).status is Status.FAILED


def test_keep_moves_the_expiry(controlled: Stack) -> None:
    expires = datetime.now(UTC) + timedelta(hours=1)
    endpoint = replace(example.record().endpoint, expires_at=expires)  # type: ignore[type-var]
    put(controlled, Status.LIVE, endpoint=endpoint)
    result = novaloop("keep", NAME, "--hours", "2", "--yes")
    assert result.exit_code == 0, result.stderr
    kept = stored(controlled).endpoint
    assert kept is not None
    assert kept.expires_at == expires + timedelta(hours=2)
    price = packaged_prices().usd("ml.p5.48xlarge", 1, 2 * 3600)
    told, _, done = result.stdout.partition(f"{NAME} is ")
    assert flat(told) == (
        f"This commits to 2 h of 1 ml.p5.48xlarge, {price:,.2f} USD, on top of what it had: "
        f"until {kept.expires_at:%Y-%m-%d %H:%M} UTC. End it sooner: novaloop stop {NAME}"
    )
    assert done.startswith(f"LIVE: kept until {kept.expires_at:%Y-%m-%d %H:%M}")


def retried(stack: Stack, stage: str, **settings: object) -> str:
    """What is said before an example that failed is retried from a stage."""
    spec = example.record().spec.model_copy(update=settings)
    before = stack.table.load(NAME).record
    version = before.version if before else 0
    put(stack, Status.FAILED, spec=spec, version=version)
    result = novaloop("retry", NAME, "--from", stage)
    assert result.exit_code == 0, result.output
    return flat(result.stdout.partition(f"{NAME} is ")[0])


def test_retry_says_what_it_commits_to_before_it_does(controlled: Stack) -> None:
    hour = packaged_prices().usd("ml.p5.48xlarge", 1, 3600) or 0
    told = retried(controlled, "deploy", gate=None)
    serves = f"This commits to 24 h of 1 ml.p5.48xlarge, {24 * hour:,.2f} USD, from when it serves"
    assert told.startswith(f"{serves} on: until ")
    assert told.endswith(f"as it takes to deploy. End it sooner: novaloop stop {NAME}")
    assert f"{serves} on, if its gate lets it: " in retried(controlled, "deploy")


def test_retry_says_what_the_jobs_cost_at_most(controlled: Stack) -> None:
    jobs = [stage.name for stage in example.stages()[2:] if not stage.kind.serves]
    plans = {stage.name: example.record().plan_of(stage) for stage in example.stages()}
    most = sum(
        packaged_prices().usd(*plans[name].machines, plans[name].max_runtime_seconds) or 0  # type: ignore[misc,union-attr]
        for name in jobs
    )
    told = retried(controlled, jobs[0])
    assert re.match(rf"This runs {', '.join(jobs)}: about [0-9.,]+ USD, ", told)
    assert f" USD, {most:,.2f} USD at the most." in told
    assert "as it takes to run and deploy." in told
    told = retried(controlled, jobs[0], approval="manual", budget_usd=1.0)
    assert f"{jobs[-1]}: about 0.00 USD, 0.00 USD at the most." in told
    assert "commits" not in told


@pytest.mark.parametrize("hours", ["2", "2000"])
def test_what_is_refused_commits_to_nothing(controlled: Stack, hours: str) -> None:
    spec = example.record().spec.model_copy(update={"budget_usd": 1.0})
    put(controlled, Status.LIVE, spec=spec)
    result = novaloop("keep", NAME, "--hours", hours)
    assert result.exit_code == 2
    assert "commits" not in result.output
    assert "the budget lasts until" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("keep", NAME, "--hours", "nan"),
        ("watch", NAME, "--every", "NaN"),
        ("compare", "a", "b", "--confidence", "nan"),
    ],
)
def test_no_number_is_within_no_bounds(controlled: Stack, words: tuple[str, ...]) -> None:
    put(controlled, Status.LIVE)
    result = novaloop(*words)
    assert result.exit_code == 2
    assert re.search(r"(?i)nan is no number", result.stderr)
    assert controlled.table.load(NAME).commands == ()


def unkept() -> Endpoint:
    """What serves, and is to be kept for longer than its schedule allows."""
    until = datetime.now(UTC) + timedelta(hours=1)
    endpoint = example.record().endpoint
    assert endpoint is not None
    return replace(endpoint, expires_at=until, kept_until=until + timedelta(hours=5))


@pytest.mark.parametrize("status", [Status.STOPPED, Status.LIVE])
def test_a_keep_that_can_not_be_promised_keeps_no_other_command_waiting(
    controlled: Stack, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(commands.time, "monotonic", lambda: next(clock))
    put(controlled, status, endpoint=unkept())
    command = "stop" if status is Status.LIVE else "cleanup"
    result = novaloop(command, NAME)
    assert result.exit_code == 0, result.stderr


def test_what_ends_while_it_is_to_be_kept_is_not_said_to_be_kept(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(stack, Status.LIVE, endpoint=unkept())

    def step(_: float) -> None:
        snapshot = stack.table.load(NAME)
        assert snapshot.record is not None
        record = snapshot.record
        if not snapshot.commands:
            record = replace(record, status=Status.STOPPING, reason="stopped by joe", endpoint=None)
        stack.table.commit(record, [], snapshot.commands)

    monkeypatch.setattr(commands.time, "sleep", step)
    result = novaloop("keep", NAME, "--hours", "2")
    assert result.exit_code == 1
    assert "is not kept: it is STOPPING: stopped by joe" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (["approve"], Status.LIVE, "nothing waits for approval"),
        (["reject"], Status.RUNNING, "nothing waits for approval"),
        (["stop"], Status.STOPPED, "the experiment is STOPPED"),
        (["retry", "--from", "nothing"], Status.FAILED, "no stage is called nothing"),
        (["keep", "--hours", "1"], Status.RUNNING, "no endpoint is live"),
        (["cleanup"], Status.RUNNING, "stop it first"),
        (["retry"], Status.RUNNING, "stop it first"),
        (["retry"], Status.STOPPING, "wait until it has stopped"),
    ],
)
def test_what_does_not_apply_is_refused_and_says_why(
    controlled: Stack, arguments: list[str], status: Status, why: str
) -> None:
    put(controlled, status)
    verb, *options = arguments
    result = novaloop(verb, NAME, *options)
    assert result.exit_code == 2
    assert f"{verb} was ignored: " in result.stderr
    assert why in result.stderr


def test_a_note_that_reads_like_a_refusal_is_only_a_note(controlled: Stack) -> None:
    put(controlled, Status.HELD)
    result = novaloop("approve", NAME, "--note", "ignored: the second condition, on purpose")
    assert result.exit_code == 0, result.stderr
    assert stored(controlled).status is Status.DEPLOYING


def test_a_refusal_is_told_whatever_the_clock_of_who_asked_says(
    controlled: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(minutes=3)

    put(controlled, Status.LIVE)
    monkeypatch.setattr(commands, "datetime", Ahead)
    result = novaloop("approve", NAME)
    assert result.exit_code == 2
    assert "approve was ignored: " in result.stderr


def test_cleanup_waits_until_the_endpoint_is_gone(controlled: Stack) -> None:
    put(controlled, Status.LIVE)
    result = novaloop("cleanup", NAME)
    assert result.exit_code == 0, result.output
    assert stored(controlled).status is Status.COMPLETED
    assert f"{NAME} is COMPLETED" in result.stdout


def test_cleanup_waits_on_for_what_is_being_deleted(controlled: Stack) -> None:
    put(controlled, Status.STOPPING, stopping_to=Status.STOPPED)
    assert novaloop("cleanup", NAME).exit_code == 0
    assert stored(controlled).status is Status.STOPPED
    assert stored(controlled).cleanup is None


def test_cleanup_of_what_is_over_says_what_it_deletes_and_what_it_keeps(controlled: Stack) -> None:
    put(controlled, Status.EXPIRED)
    first, second = [novaloop("cleanup", NAME) for _ in range(2)]
    assert "deleting" not in second.output
    # What was deleted is told when it is, and not after that nothing more is found.
    assert "deleting" in first.stdout
    assert first.output.index("deleting") < first.output.index("nothing more is found")
    for printed in (first.stdout, second.stdout):
        assert "nothing is left" in printed
        assert "kept: the checkpoint of sft" in printed
        assert max(map(len, first.output.splitlines())) <= 80
    assert stored(controlled).status is Status.EXPIRED


def output(stack: Stack, job: str, files: dict[str, bytes]) -> None:
    """Put a job's output there, as SageMaker does."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    key = f"jobs/{NAME}/{job}/output/output.tar.gz"
    stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=packed.getvalue())


def at_attempt(number: int, runtime: Runtime = Runtime.TRAINING_JOB) -> dict[str, object]:
    """The example, whose first training is at an attempt that has not ended."""
    example_record = example.record()
    baseline, sft, *others = example_record.stages
    sft = replace(
        sft,
        checkpoint=None,
        attempt=replace(sft.attempt, number=number, job_name=f"novaloop-{NAME}--sft-{number}"),
    )
    spec = example_record.spec.model_copy(update={"runtime": runtime})
    return {"stages": (baseline, sft, *others), "spec": spec}


def test_cleanup_lists_the_checkpoints_of_all_attempts(controlled: Stack) -> None:
    manifest = b'{"checkpoint_s3_bucket": "s3://escrow/first/17"}'
    output(controlled, f"novaloop-{NAME}--sft-1", {"manifest.json": manifest})
    output(controlled, f"novaloop-{NAME}--sft-2", {"sft_metrics.json": b"{}"})
    put(controlled, Status.STOPPED, **at_attempt(4))
    printed = flat(novaloop("cleanup", NAME).stdout)
    first = f"sft, attempt 1 (novaloop-{NAME}--sft-1): s3://escrow/first/17"
    assert f"kept: the checkpoint of {first}" in printed
    assert f"kept: the checkpoint of rft, attempt 1 (novaloop-{NAME}--rft-1): s3://" in printed
    others = ", ".join(f"novaloop-{NAME}--sft-{number}" for number in (2, 3, 4))
    assert f"in the buckets customer-escrow-<account>-*, under the names {others}." in printed


@pytest.mark.parametrize(
    ("runtime", "where"),
    [
        (Runtime.SERVERLESS, f"a version of the model package group novaloop-{NAME}."),
        (Runtime.BEDROCK, f"custom models, under the names novaloop-{NAME}_sft-1, "),
    ],
)
def test_cleanup_says_where_the_models_of_other_attempts_are(
    controlled: Stack, runtime: Runtime, where: str
) -> None:
    put(controlled, Status.STOPPED, **at_attempt(2, runtime))
    assert where in flat(novaloop("cleanup", NAME).stdout)


def test_a_controller_that_does_not_answer_is_not_waited_for_without_end(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(stack, Status.RUNNING)
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(commands.time, "sleep", lambda _: None)
    monkeypatch.setattr(commands.time, "monotonic", lambda: next(clock))
    result = novaloop("stop", NAME)
    assert result.exit_code == 1
    assert "stop was recorded and is not taken up yet" in result.stderr


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.EXPIRED])
def test_what_came_to_its_end_is_not_run_again_by_a_slip(
    controlled: Stack, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    put(controlled, status)
    again = ("retry", NAME, "--from", "rft")
    assert "give --yes" in novaloop(*again).stderr
    monkeypatch.setattr("novaloop_cli.consent.is_asked", lambda: True)
    refused = novaloop(*again, input="n\n")
    assert refused.exit_code == 2
    assert flat(refused.stdout).startswith("This runs rft, after-rft: ")
    assert f"{NAME} came to its end. Run it again? [y/N]" in refused.stdout
    assert stored(controlled).status is status
    assert novaloop(*again, "--yes").exit_code == 0
    assert stored(controlled).status is Status.RUNNING


@pytest.mark.parametrize(
    ("command", "status"), [("stop", Status.RUNNING), ("cleanup", Status.FAILED)]
)
def test_whoever_does_not_wait_is_told_that_it_has_begun(
    controlled: Stack, command: str, status: Status
) -> None:
    put(controlled, status)
    result = novaloop(command, NAME, "--no-wait")
    assert result.exit_code == 0, result.output
    record = stored(controlled)
    assert record.status is Status.STOPPING or record.cleanup is not None
    assert flat(result.stdout).startswith(f"{NAME} is {record.status}: ")
    assert "waiting until" not in result.stderr


@pytest.mark.parametrize("is_left", [True, False])
def test_cleanup_needs_no_record(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, *, is_left: bool
) -> None:
    """Tags alone tell what is left of a name. Where nothing is, the controller lets go of it."""

    def step(_: float) -> None:
        snapshot = stack.table.load(NAME)
        if is_left:
            ended = Record(NAME, ExperimentSpec(), datetime.now(UTC), status=Status.STOPPED)
            stack.table.commit(ended, (), snapshot.commands)
        else:
            stack.table.drop(NAME, snapshot.commands)

    monkeypatch.setattr(commands.time, "sleep", step)
    result = novaloop("cleanup", NAME)
    assert result.exit_code == (0 if is_left else 2), result.output
    if not is_left:
        told = flat(result.stderr)
        assert f"no experiment is called {NAME}" in told
        assert "nothing shows that carries its tag" in told
