"""list, show, watch and report, on an experiment that is stored in the table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import boto3
import pytest
from boto3.dynamodb.conditions import Key
from botocore.exceptions import ClientError
from rich.console import Console

from novaloop.experiment.controller.gate import judge
from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.record import (
    ChecksItem,
    CommandItem,
    CommandKind,
    DatasetItem,
    DatasetStatus,
    GateVerdict,
    HistoryEntry,
    Progress,
    Record,
    Snapshot,
    SpecItem,
    StageState,
    Status,
)
from novaloop.training.notes import HealthKind, HealthNote
from novaloop.typed import adapter
from novaloop_cli import reporting, views, watch
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from novaloop_cli.stack import Stack

NAME = example.NAME


def store(stack: Stack, record: Record) -> None:
    stack.table.commit(record, example.HISTORY)
    for item in example.scores().values():
        stack.table.put_score(record.experiment_id, item)
    for role, rows in (("sft", 3500), ("rft", 700), ("eval", 300)):
        stack.table.put_dataset(record.experiment_id, example.dataset(role, rows))


@pytest.fixture
def finished(stack: Stack) -> Stack:
    store(stack, example.record())
    return stack


def widest(output: str) -> int:
    return max(map(len, output.splitlines()))


def test_list_shows_every_experiment_in_80_columns(finished: Stack) -> None:
    late = replace(example.record(), experiment_id="a" * 27, reason="many words " * 40)
    finished.table.commit(replace(late, created_at=late.created_at + timedelta(days=1)), ())
    result = novaloop("list")
    assert result.exit_code == 0
    first_words = [line.split()[0] for line in result.stdout.splitlines() if line[0] != " "]
    assert first_words == ["experiment", "a" * 27, NAME]
    assert widest(result.stdout) <= 80
    heading, *lines = result.stdout.splitlines()
    assert heading.split()[-1] == "why"
    assert len(lines) <= 2 * 2
    assert any(line.rstrip().endswith("…") for line in lines)


def test_list_prints_json(finished: Stack) -> None:
    (only,) = json.loads(novaloop("list", "--json").stdout)
    assert (only["experiment_id"], only["status"]) == (NAME, "LIVE")
    assert datetime.fromisoformat(only["created_at"]) == example.record().created_at


def test_what_is_converted_and_not_looked_at_yet_is_told_as_that(stack: Stack) -> None:
    """The record's reason is as old as the controller's last look."""
    collecting = Record(NAME, example.record().spec, example.START, reason="converting sft.csv")
    stack.table.commit(replace(collecting, status=Status.COLLECTING), ())
    item = example.dataset("sft", 3500)
    stack.table.put_dataset(NAME, replace(item, status=DatasetStatus.INGESTING))
    assert "COLLECTING  converting sft.csv" in novaloop("show", NAME).stdout
    stack.table.put_dataset(NAME, replace(item, uploaded_at=item.uploaded_at + timedelta(1)))
    shown = novaloop("show", NAME).stdout
    assert "COLLECTING  what was uploaded is converted, and waits to be looked" in shown


def test_an_empty_list_says_how_to_begin(stack: Stack) -> None:
    assert "novaloop submit" in novaloop("list").stdout


@pytest.mark.parametrize("others", [True, False])
def test_the_list_says_what_was_submitted_a_moment_ago(stack: Stack, *, others: bool) -> None:
    if others:
        store(stack, example.record())
    for key in (f"{NAME}/sft.csv", "fresh/sft.csv", "photos/cat.jpg", "later/experiment.yaml"):
        stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{key}", Body=b"")
    told = novaloop("list", "--stack", "novaloop").stdout
    assert ("No experiments yet" in told) is not others
    known = [] if others else [NAME]
    names = ", ".join(sorted(["fresh", "later", *known]))
    assert f"Uploaded, and here within about a minute: {names}." in told
    assert "novaloop watch fresh --stack novaloop\n" in told
    assert "here within" not in novaloop("list", "--json").stdout


def test_the_list_does_not_promise_what_was_uploaded_long_ago(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.s3.put_object(Bucket=stack.bucket, Key="inbox/old/sft.csv", Body=b"")
    monkeypatch.setattr("novaloop_cli.listing.OVERLOOKED_AFTER", timedelta(days=-1))
    assert "here within" not in novaloop("list").stdout


def test_the_list_needs_no_right_to_the_bucket(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(stack, example.record())
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjectsV2")
    monkeypatch.setattr("novaloop_cli.stack.Stack.inbox", Mock(side_effect=denied))
    assert NAME in novaloop("list").stdout


def test_show_tells_the_whole_story_in_80_columns(finished: Stack) -> None:
    result = novaloop("show", NAME)
    assert result.exit_code == 0
    assert widest(result.stdout) <= 80
    exact = example.scores()["baseline", 1].score["metrics"]["em"]["value"]
    for expected in (
        "LIVE",
        "17:00",
        f"exact match {exact:.3f}",
        "lenient accuracy ",
        "3,500",
        "PROMOTE",
        example.ENDPOINT,
        "started with",
    ):
        assert expected in result.stdout


def test_show_prints_json_that_holds_everything(finished: Stack) -> None:
    shown = json.loads(novaloop("show", NAME, "--json").stdout)
    assert shown["record"]["stages"][1]["checkpoint"] == "s3://escrow/sft/40"
    assert shown["scores"]["after-rft-1"]["score"]["n"] == 300
    assert shown["datasets"]["sft"]["rows"] == 3500
    assert shown["history"][0]["what"] == "RUNNING"


def test_show_as_json_has_the_names_and_values_that_stand_in_the_table(finished: Stack) -> None:
    finished.table.put_spec(NAME, SpecItem("v", example.START, example.record().spec))
    finished.table.put_command(NAME, CommandItem("c", CommandKind.STOP, "jane", example.START))
    table = boto3.resource("dynamodb").Table(finished.table_name)
    named = Key("experiment_id").eq(NAME)
    stored = {
        each["item"]: {name: value for name, value in each.items() if name not in KEYS}
        for each in table.query(KeyConditionExpression=named)["Items"]
    }
    shown = json.loads(novaloop("show", NAME, "--json").stdout, parse_float=Decimal)
    record = shown["record"]
    assert record.pop("experiment_id") == NAME
    assert {"cost_usd", "next_step", "progress"} <= record.keys()
    assert without_versions(record) == without_versions(stored["RECORD"])
    assert shown["resolved_spec"] == without_versions(stored["RESOLVED_SPEC"])
    assert shown["spec"] == without_versions(stored["SPEC"])
    assert shown["datasets"]["rft"] == without_versions(stored["DATASET#rft"])
    assert shown["scores"]["after-rft-1"] == without_versions(stored["SCORE#after-rft#1"])
    (command,) = shown["commands"]
    assert command["by"] == stored["COMMAND#c"]["by"]


KEYS = {"experiment_id", "item", "kind", "ttl"}


def without_versions(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "schema_version"}


@pytest.mark.parametrize("options", [(), ("--stack", "novaloop")])
@pytest.mark.parametrize("status", [Status.LIVE, Status.STOPPED, Status.HELD])
def test_show_and_watch_tell_the_next_steps_in_the_words_of_the_record(
    stack: Stack, status: Status, options: tuple[str, ...]
) -> None:
    stack.table.commit(replace(example.record(), status=status), ())
    told = json.loads(novaloop("show", NAME, "--json").stdout)["record"]["next_step"]
    chosen = "".join(f" {option}" for option in options)
    steps = [f"{step}{chosen}" for step in told.split("; ")]
    watched = novaloop("watch", NAME, *options).stdout.splitlines()
    assert watched[-len(steps) :] == steps
    shown = " ".join(novaloop("show", NAME, *options).stdout.split())
    # What leads to what is read already leads nowhere.
    assert " ".join(step for step in steps if "novaloop show" not in step) in shown
    assert f"novaloop show {NAME}{chosen}" not in shown


@pytest.mark.parametrize("command", ["show", "watch"])
def test_who_made_a_dry_run_is_told_the_address_of_its_plan(stack: Stack, command: str) -> None:
    spec = example.record().spec.model_copy(update={"dry_run": True})
    changes = {"endpoint": None, "gate": None, "started_at": None, "stages": ()}
    dry = replace(example.record(), spec=spec, status=Status.COMPLETED, **changes)  # type: ignore[arg-type]
    stack.table.commit(dry, ())
    told = novaloop(command, NAME).stdout
    assert f"What it would launch: s3://{stack.bucket}/reports/{NAME}/plan.json\n" in told
    assert "novaloop report" not in told


def test_show_tells_what_it_cost_what_it_will_and_where_the_report_is(stack: Stack) -> None:
    now = datetime.now(UTC)
    ends = now + timedelta(hours=2, minutes=1)
    deploy = example.stages()[-1]
    live = replace(
        example.record(),
        reported="LIVE",
        stages=(replace(deploy, attempt=replace(deploy.attempt, started_at=now)),),
    )
    assert live.endpoint is not None
    live = replace(live, endpoint=replace(live.endpoint, live_at=now, expires_at=ends))
    stack.table.commit(live, ())
    shown = novaloop("show", NAME).stdout
    second = packaged_prices().usd("ml.p5.48xlarge", 1, 1) or 0
    passed, most = (datetime.now(UTC) - now).total_seconds(), (ends - now).total_seconds()
    cost = re.search(r"cost +([\d.]+) USD spent, ([\d.]+) USD committed until", shown)
    assert cost is not None, shown
    assert 0 <= float(cost[1]) <= passed * second + 0.01
    assert (most - passed) * second - 0.01 <= float(cost[2]) <= most * second + 0.01
    assert f"{ends:%Y-%m-%d %H:%M} UTC" in " ".join(shown.split())
    assert f"s3://{stack.bucket}/reports/{NAME}/report.html" in shown
    assert widest(shown) <= 80


SHOWN = """
import json, sys
from novaloop.experiment.record import Record, Snapshot
from novaloop.typed import adapter
from novaloop_cli.show import _plain
record = adapter(Record).validate_json(sys.stdin.read())
print(json.dumps(_plain(Snapshot(record.experiment_id, record), record, [])))
"""


def test_what_was_only_read_can_be_printed_as_json() -> None:
    """In a fresh process: in this one, earlier tests have had the types of settings built."""
    stored = adapter(Record).dump_json(example.record())
    printed = subprocess.run(
        [sys.executable, "-c", SHOWN], input=stored, capture_output=True, check=True
    )
    assert json.loads(printed.stdout)["resolved_spec"]["spec"]["plan"][0]["kind"] == "evaluate"


@pytest.mark.parametrize("verb", ["show", "watch", "report", "logs", "stop"])
def test_an_unknown_experiment_is_one_line(stack: Stack, verb: str) -> None:
    result = novaloop(verb, "nobody")
    assert result.exit_code == 2
    assert result.stderr == (
        "novaloop: no experiment is called nobody; `novaloop list` shows those that exist\n"
    )


def test_what_was_uploaded_and_not_looked_at_is_not_unknown(stack: Stack) -> None:
    stack.s3.put_object(Bucket=stack.bucket, Key="inbox/fresh/sft.csv", Body=b"")
    result = novaloop("show", "fresh")
    assert "was uploaded and waits to be looked at" in result.stderr


def test_report_prints_every_metric_in_80_columns_and_writes_the_files(
    finished: Stack, tmp_path: Path
) -> None:
    result = novaloop("report", NAME, "--to", str(tmp_path / "here"))
    assert result.exit_code == 0
    assert widest(result.stdout.split("Report: ")[0]) <= 80
    for title in ("Exact match", "ROUGE-L", "BLEU", "Accuracy, lenient", "±", "gate: PROMOTE"):
        assert title in result.stdout
    told = " ".join(result.stdout.split())
    assert "baseline: 300 rows. after-sft: 300 rows." in told
    assert "After ± stands one standard error." in told
    written = {file.name for file in (tmp_path / "here").iterdir()}
    assert written == {"report.html", "report.json", "report.md"}
    assert json.loads((tmp_path / "here" / "report.json").read_text())["experiment"] == NAME


def test_report_as_json_writes_no_files(
    finished: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = json.loads(novaloop("report", NAME, "--json").stdout)
    assert content["metrics"][0]["name"] == "em"
    assert list(tmp_path.iterdir()) == []


def test_no_report_is_written_of_what_never_started(stack: Stack, tmp_path: Path) -> None:
    record = Record(NAME, example.record().spec, example.START, status=Status.REJECTED)
    stack.table.commit(record, ())
    result = novaloop("report", NAME, "--to", str(tmp_path / "here"))
    assert result.exit_code == 2
    assert f"{NAME} is REJECTED and nothing has run; see `novaloop show {NAME}`" in result.stderr
    assert not (tmp_path / "here").exists()


def test_watch_of_a_live_experiment_ends_at_once(finished: Stack) -> None:
    result = novaloop("watch", NAME)
    assert result.exit_code == 0
    assert "novaloop invoke quality" in result.stdout


def test_watch_waits_for_a_corrected_upload_to_be_looked_at(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected = replace(example.record(), status=Status.REJECTED)
    stored = stack.table.commit(rejected, ())
    stack.table.put_dataset(NAME, example.dataset("sft", 1))
    stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{NAME}/sft.csv", Body=b"corrected")

    def ingest_and_decide(_: float) -> None:
        stack.table.commit(replace(stored, status=Status.LIVE), ())

    monkeypatch.setattr(watch.time, "sleep", ingest_and_decide)
    assert novaloop("watch", NAME).exit_code == 0


def test_watch_gives_up_on_an_upload_that_nothing_looks_at(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{NAME}/sft.csv", Body=b"")
    uploaded_at = stack.newest_upload(NAME)
    assert uploaded_at is not None
    slept: list[float] = []

    def pass_ten_minutes(seconds: float) -> None:
        slept.append(seconds)
        long_ago = uploaded_at - watch.OVERLOOKED_AFTER - timedelta(seconds=1)
        monkeypatch.setattr(type(stack), "newest_upload", lambda *_: long_ago)

    monkeypatch.setattr(watch.time, "sleep", pass_ten_minutes)
    result = novaloop("watch", NAME)
    assert (result.exit_code, len(slept)) == (1, 1)
    assert "nothing has looked at it" in result.stderr


def test_watch_says_that_a_folder_holds_nothing_of_an_experiment(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{NAME}/cat.jpg", Body=b"")
    stack.table.put_stray(NAME, "cat.jpg")
    monkeypatch.setattr(watch, "OVERLOOKED_AFTER", timedelta(days=-1))
    result = novaloop("watch", NAME)
    assert result.exit_code == 2
    assert "holds no file of an experiment, only cat.jpg" in result.stderr


def test_watch_survives_an_interruption(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    store(stack, replace(example.record(), status=Status.RUNNING))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupt)
    result = novaloop("watch", NAME)
    assert result.exit_code == 130
    assert "Come back: novaloop watch quality" in result.stderr


def running() -> Record:
    baseline, sft, *others = example.stages()
    sft = replace(
        sft,
        state=StageState.RUNNING,
        attempt=replace(
            sft.attempt,
            ended_at=None,
            progress=Progress("Training", 40, 100, example.START + timedelta(minutes=35)),
            health=(HealthNote(HealthKind.STALLED_TRAINING, 30, "no gain for 10 steps"),),
        ),
    )
    waiting = replace(
        others[0],
        state=StageState.WAITING,
        reason="no capacity for ml.p5.48xlarge in any zone of the region at this time",
        next_try_at=example.START + timedelta(minutes=30),
    )
    pending = replace(
        others[1],
        state=StageState.PENDING,
        attempt=replace(others[1].attempt, started_at=None, claimed_at=None),
    )
    return replace(
        example.record(), status=Status.RUNNING, stages=(baseline, sft, waiting, pending)
    )


def rendered(record: Record) -> str:
    out = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    now = example.START + timedelta(minutes=25)
    out.print(views.stages(record, example.scores(), now))
    return out.export_text()


def test_stages_show_progress_waiting_and_results() -> None:
    text = rendered(running())
    assert "step 40 of 100, done in 10:00" in text
    assert "no gain for 10 steps" in text
    assert "next try in 5:00: no capacity" in text
    assert "exact match" in text
    assert widest(text) <= 80


def test_who_stands_behind_another_experiment_has_no_next_try() -> None:
    record = running()
    reason = "waits behind first, which has waited longer for the same quota"
    behind = replace(record.stages[2], next_try_at=None, reason=reason)
    text = rendered(replace(record, stages=(*record.stages[:2], behind, record.stages[3])))
    assert "waits behind first" in text
    assert "next try" not in text


def test_rejected_datasets_show_their_reason(stack: Stack) -> None:
    item = replace(
        example.dataset("sft", 0),
        status=DatasetStatus.REJECTED,
        reason="line 7: the row has 2 cells, the header has 3",
        rejected_rows=1,
    )
    stack.table.commit(Record(NAME, example.record().spec, datetime.now(UTC)), ())
    stack.table.put_dataset(NAME, item)
    output = novaloop("show", NAME).stdout
    assert "line 7: the row has 2 cells" in " ".join(output.split())
    assert widest(output) <= 80


def test_watch_redraws_on_a_terminal(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = stack.table.commit(running(), ())
    statuses: Iterator[Status] = iter((Status.DEPLOYING, Status.LIVE))

    def move(_: float) -> None:
        nonlocal stored
        stored = stack.table.commit(replace(stored, status=next(statuses)), ())

    monkeypatch.setattr(watch.time, "sleep", move)
    out = Console(width=80, force_terminal=True, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    assert watch.follow(stack, NAME, out).status is Status.LIVE
    assert "LIVE" in out.export_text()


def test_watch_of_what_stays_rejected_ends(stack: Stack) -> None:
    stack.table.commit(replace(example.record(), status=Status.REJECTED), ())
    stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{NAME}/sft.csv", Body=b"wrong")
    arrived = stack.newest_upload(NAME)
    assert arrived is not None
    known = replace(example.dataset("sft", 0), uploaded_at=arrived - timedelta(milliseconds=900))
    stack.table.put_dataset(NAME, known)
    assert novaloop("watch", NAME).exit_code == 2


def test_watch_of_what_stays_rejected_waits_for_no_stray(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.table.commit(replace(example.record(), status=Status.REJECTED), ())
    stack.table.put_dataset(NAME, replace(example.dataset("sft", 0), uploaded_at=example.START))
    stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{NAME}/notes.txt", Body=b"what I did")
    stack.table.put_stray(NAME, "notes.txt")
    monkeypatch.setattr(watch.time, "sleep", pytest.fail)
    assert novaloop("watch", NAME).exit_code == 2


@pytest.mark.parametrize("verb", ["show", "watch"])
@pytest.mark.parametrize("is_looked_at", [True, False])
def test_one_problem_of_three_files_is_told_once(
    stack: Stack, verb: str, *, is_looked_at: bool
) -> None:
    problem = "no column 'Body' for `question` among the 3 of the line"
    files = "sft.csv line 1, rft.csv line 1, eval.csv line 1"
    told = f"{files}: {problem}" if is_looked_at else "experiment.yaml: is empty"
    rejected = replace(example.record(), status=Status.REJECTED, stages=(), reason=told)
    stack.table.commit(rejected, ())
    for role in ("sft", "rft", "eval"):
        refused = replace(example.dataset(role, 0), status=DatasetStatus.REJECTED)
        stack.table.put_dataset(NAME, replace(refused, reason=f"line 1: {problem}"))
    shown = " ".join(novaloop(verb, NAME).stdout.split())
    assert shown.count(problem) == 1
    for role in ("sft", "rft", "eval"):
        assert f"{role}.csv line 1" in shown
        assert f"{role} rejected 0" in shown


@pytest.mark.parametrize("verb", ["show", "watch"])
def test_files_that_are_none_of_an_experiment_are_shown_in_one_line(
    stack: Stack, verb: str
) -> None:
    stack.table.commit(replace(example.record(), status=Status.REJECTED, stages=()), ())
    for number in range(30):
        stack.table.put_stray(NAME, f"n{number:02}.md")
    output = novaloop(verb, NAME).stdout
    told = " ".join(output.split())
    assert "n00.md, n01.md" in told
    assert "n09.md are there, but not used: nothing of an experiment is called like that" in told
    assert "20 more are there, and not looked at" in told
    assert "n10.md" not in told
    assert widest(output) <= 80


def test_each_file_that_is_not_used_is_shown_with_its_own_cause(stack: Stack) -> None:
    stack.table.commit(replace(example.record(), status=Status.REJECTED, stages=()), ())
    for name in ("data.csv", "eval.xlsx", "old/sft.csv", "Sft.csv", "train.csv", "cat.jpg"):
        stack.table.put_stray(NAME, name)
    told = " ".join(novaloop("show", NAME).stdout.split())
    for expected in (
        "data.csv is there, but not used: write `split: {sft: 0.6, rft: 0.2, eval: 0.2}` in exp",
        "eval.xlsx is there, but not used: its format is not read: save it in Excel as `CSV UTF",
        "old/sft.csv is there, but not used: it lies in a folder of its own",
        "Sft.csv is there, but not used: names are in lower case: call it sft.csv",
        "train.csv is there, but not used: no data of the plan is called so, but sft.csv, rft",
        "cat.jpg is there, but not used: nothing of an experiment is called like that",
    ):
        assert expected in told


@pytest.mark.parametrize("verb", ["show", "watch"])
@pytest.mark.parametrize("has_data", [True, False])
def test_what_was_rejected_shows_no_table_without_rows(
    stack: Stack, verb: str, has_data: bool
) -> None:
    rejected = replace(
        example.record(), status=Status.REJECTED, stages=(), reason="labels: is empty"
    )
    stack.table.commit(rejected, ())
    if has_data:
        stack.table.put_dataset(NAME, example.dataset("sft", 3500))
    output = novaloop(verb, NAME).stdout
    assert "REJECTED" in output
    assert "stage " not in output
    assert ("dataset" in output) is has_data
    assert ("3,500" in output) is has_data


def test_a_watch_that_is_no_terminal_prints_the_history_with_its_times(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it polls: what moved twice meanwhile is two lines, each with its own time."""
    stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{NAME}/sft.csv", Body=b"")
    uploaded_at = stack.newest_upload(NAME)
    assert uploaded_at is not None
    begun = replace(example.record(), status=Status.RUNNING, reason="x" * 90)
    at = [example.START + timedelta(days=1, seconds=90 * number) for number in range(4)]
    commits = iter(
        [
            (begun, [HistoryEntry(at[0], "RUNNING", "x" * 90)]),
            (
                replace(begun, status=Status.COMPLETED),
                [
                    HistoryEntry(at[1], "sft CLAIMED", "requested"),
                    HistoryEntry(at[2], "sft stalled_training", "no gain for 10 steps"),
                    HistoryEntry(at[3], "COMPLETED"),
                ],
            ),
        ]
    )
    stored: list[Record] = []

    def look(_: float) -> None:
        record, lines = next(commits)
        version = stored[-1].version if stored else 0
        stored.append(stack.table.commit(replace(record, version=version), lines))

    monkeypatch.setattr(watch.time, "sleep", look)
    followed, _, _ = novaloop("watch", NAME).stdout.partition("\n\n")
    assert followed.splitlines() == [
        f"{uploaded_at:%m-%d %H:%M:%SZ}  {NAME} was uploaded and waits to be looked at",
        f"{at[0]:%m-%d %H:%M:%SZ}  RUNNING: {'x' * 90}",
        f"{at[1]:%m-%d %H:%M:%SZ}  sft CLAIMED: requested",
        f"{at[2]:%m-%d %H:%M:%SZ}  sft stalled_training: no gain for 10 steps",
        f"{at[3]:%m-%d %H:%M:%SZ}  COMPLETED",
    ]


def test_show_says_how_much_of_the_history_it_leaves_out(stack: Stack) -> None:
    lines = [HistoryEntry(example.START, "line", f"number {number}") for number in range(9)]
    stack.table.commit(example.record(), lines)
    shown = novaloop("show", NAME).stdout
    assert "number 0" not in shown
    assert f"1 earlier line: novaloop show {NAME} --history\n" in shown
    whole = novaloop("show", NAME, "--history").stdout
    assert "number 0" in whole
    assert "earlier" not in whole


def test_show_of_a_short_history_leaves_nothing_out(finished: Stack) -> None:
    assert "earlier" not in novaloop("show", NAME).stdout


FINDING = {"check": "imbalance", "policy": "warn", "message": "HQ has 11 times LQ_EDIT's rows"}
NOTE = "imbalance: HQ has 11 times LQ_EDIT's rows"


def test_show_says_each_note_once(stack: Stack) -> None:
    """What the checks found is the checks' item, and from the start on the record's notices."""
    stack.table.commit(replace(example.record(), notices=(NOTE,)), ())
    stack.table.put_checks(NAME, ChecksItem("v", example.START, None, (FINDING,)))
    assert novaloop("show", NAME).stdout.count("11 times") == 1


def test_show_tells_every_error_of_a_rejected_spec(stack: Stack) -> None:
    errors = ("gate.metric: is wrong", "budget_usd: must be a number", "labels: are too many")
    record = Record(NAME, example.record().spec, example.START, status=Status.REJECTED)
    stack.table.commit(record, ())
    stack.table.put_spec(NAME, SpecItem("v", example.START, None, errors))
    shown = novaloop("show", NAME).stdout
    for error in errors:
        assert f"  {error}\n" in shown


def test_show_tells_what_the_checks_found_before_the_start(stack: Stack) -> None:
    stack.table.commit(Record(NAME, example.record().spec, example.START), ())
    stack.table.put_checks(NAME, ChecksItem("v", example.START, None, (FINDING,)))
    assert f"note: {NOTE}" in novaloop("show", NAME).stdout


def test_a_report_of_the_local_cloud_says_that_it_is_no_nova(finished: Stack) -> None:
    snapshot, record = finished.load(NAME)
    assert reporting.build(finished, snapshot, record)["notices"] == []
    local = replace(finished, is_local=True)
    (notice,) = reporting.build(local, snapshot, record)["notices"]
    assert "stands in for Nova" in notice


def test_who_overruled_the_gate_stands_beside_it(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gate = GateVerdict("HOLD", promotes=False, summary="not better")
    store(stack, replace(example.record(), gate=gate, approved_by="jane"))
    assert "HOLD, overruled by jane: not better" in novaloop("show", NAME).stdout
    assert "gate: HOLD, overruled by jane: not better" in novaloop("report", NAME).stdout


def test_without_a_gate_none_is_said_to_promote(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = example.record().spec.model_copy(update={"gate": None})
    gate = judge(replace(example.record(), spec=spec), {})
    store(stack, replace(example.record(), spec=spec, gate=gate))
    shown = novaloop("show", NAME).stdout
    assert re.search(r"^gate +no gate is set *$", shown, re.MULTILINE), shown
    assert "gate: no gate is set\n" in novaloop("report", NAME).stdout
    assert str(gate) == "no gate is set"


def test_several_problems_are_a_list_and_stand_there_once(stack: Stack) -> None:
    reason = "sft.csv: line 3: is blank\nrft.csv: has no header\nUpload corrected files to go on."
    rejected = replace(example.record(), status=Status.REJECTED, reason=reason, stages=())
    stack.table.commit(rejected, (HistoryEntry(example.START, "REJECTED", reason),))
    shown = novaloop("show", NAME).stdout
    for line in reason.splitlines():
        assert [each.strip() for each in shown.splitlines()].count(line) == 1
    assert "see above" in shown
    assert novaloop("list").stdout.count("sft.csv: line 3") == 1


@pytest.mark.parametrize("ended", [True, False])
def test_watch_tells_the_cost_and_since_when(*, ended: bool) -> None:
    record = replace(example.record(), ended_at=example.START if ended else None)
    out = Console(width=80, record=True)
    screen = views.screen(Snapshot(NAME, record), datetime.now(UTC), lambda *words: " ".join(words))
    out.print(screen)
    last = " ".join(out.export_text().split())
    assert ("took " if ended else " since its start; ") in last
    assert "USD spent" in last


def test_an_error_of_nothing_is_not_shown(finished: Stack) -> None:
    estimate = {"value": 1.0, "stderr": 0.0}
    assert views._estimate("exact match", estimate) == "exact match 1.000"


@pytest.fixture
def overwritten(finished: Stack) -> Stack:
    """After the start: a divided file, an experiment.yaml with faults, and one called wrongly."""
    came = example.START + timedelta(hours=1)
    late = DatasetItem("", DatasetStatus.REJECTED, f"inbox/{NAME}/data.csv", "late", came, "", came)
    late = replace(late, reason="line 2: no such column", rejected_rows=7)
    for role in ("eval", "sft"):
        finished.table.put_dataset(NAME, replace(late, role=role))
    misnamed = replace(late, role="experiment.yml", source_key=f"inbox/{NAME}/Experiment.yml")
    finished.table.put_dataset(NAME, replace(misnamed, version_id="third"))
    faults = ("plan: is no list", "labels: is no list")
    finished.table.put_spec(NAME, SpecItem("second", came, None, faults))
    return finished


def test_show_names_the_datasets_that_were_used_and_not_those_that_came_later(
    overwritten: Stack,
) -> None:
    shown = novaloop("show", NAME).stdout
    assert widest(shown) <= 80
    rows = [line.split() for line in shown.splitlines() if "sha256" in line]
    assert [row[:4] for row in rows] == [
        ["eval", "used", "300", "?"],
        ["rft", "used", "700", "0"],
        ["sft", "used", "3,500", "?"],
    ]
    hashes = [example.record().datasets[row[0]].sha256[:12] for row in rows]
    assert [row[-1] for row in rows] == hashes
    for of_the_late in ("no such column", "is no list", "7 rows"):
        assert of_the_late not in shown

    listed = json.loads(novaloop("show", NAME, "--json").stdout)
    assert {role: each["rows"] for role, each in listed["datasets"].items()} == {
        "eval": 300,
        "rft": 700,
        "sft": 3500,
    }
    assert listed["datasets"]["sft"]["version_id"] == "version-sft"
    assert listed["datasets"]["rft"]["source_key"] == f"inbox/{NAME}/rft.csv"
    assert listed["datasets_not_used"].keys() == {"eval", "experiment.yml", "sft"}
    assert listed["datasets_not_used"]["sft"]["version_id"] == "late"


def watched(stack: Stack, record: Record) -> str:
    """Return what `watch` shows of an experiment with this record."""
    snapshot = replace(stack.table.load(NAME), record=record)
    out = Console(width=80)
    with out.capture() as captured:
        out.print(views.screen(snapshot, datetime.now(UTC), stack.command))
    return captured.get()


def test_watch_before_the_start_shows_what_was_uploaded_last(overwritten: Stack) -> None:
    rejected = replace(example.record(), status=Status.REJECTED, started_at=None, stages=())
    shown = watched(overwritten, rejected)
    assert "no such column" in shown
    assert "plan: is no list" in shown


def test_the_plan_of_a_dry_run_keeps_the_datasets_that_it_was_made_of(overwritten: Stack) -> None:
    done = replace(example.record(), status=Status.COMPLETED, started_at=None, stages=())
    lines = watched(overwritten, done).split("\n")
    assert ["sft", "used", "3,500", "?"] in [line.split()[:4] for line in lines]


def test_the_lists_of_what_came_too_late_are_not_told_as_those_of_what_was_used(
    overwritten: Stack,
) -> None:
    result = novaloop("rejects", NAME)
    assert result.exit_code == 0
    assert result.stdout == "No row of rft was rejected.\n"
    assert result.stderr.splitlines() == [
        f"{role}: what was uploaded last is not used; the lists of what is lie in "
        f"s3://{overwritten.bucket}/datasets/{NAME}/"
        for role in ("eval", "experiment.yml", "sft")
    ]
    assert novaloop("rejects", NAME, "sft").stdout == ""
