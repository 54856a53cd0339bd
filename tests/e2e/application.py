"""What tests of the whole application submit, run and wait for."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result

from novaloop.experiment.record import Record, StageState, Status
from novaloop_cli.main import main
from novaloop_cli.stack import Stack, local_stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud
from novaloop_localcloud.emulator import REPOSITORY

T = TypeVar("T")
SOURCES = ("functions", "statemachines")
"""What a built template leads to, beside what was built."""
LONGEST_WAIT_SECONDS = 13 * 60.0
"""After which what is waited for is taken never to come. A hint that meets a function in the middle
of an update is delivered again after 12 minutes, if neither an event nor the sweep comes first."""
BIG_FILE_BYTES = 1_000_000
"""The smallest that the template takes, so that a big file is soon made."""
OUTPUT_KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
REWARD_FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:my-SageMaker-reward"
SPEC = f"""
columns: {{question: Body, answer: Y}}
labels: [HQ, LQ_EDIT, LQ_CLOSE]
system_prompt: {json.dumps(questions.SYSTEM_PROMPT)}
gate: {{metric: exact_match, better_than: baseline}}
"""
WITHOUT_PLAN = SPEC.partition("gate")[0]
ONLY_BASELINE = WITHOUT_PLAN + "plan: [evaluate: baseline]\n"
GOOD_EVAL = 'Id,Body,Y\n1,what is this?,HQ\n2,"and\r\nthat?",LQ_EDIT\n3,or those?,LQ_CLOSE\n'
ONE_EVALUATION = {"experiment.yaml": ONLY_BASELINE, "eval.csv": GOOD_EVAL}


def copy_of_build(built: Path, folder: Path) -> Path:
    """Copy what was built, by the path of its template, with the sources that it leads to."""
    shutil.rmtree(folder, ignore_errors=True)
    for sources in SOURCES:
        shutil.copytree(REPOSITORY / sources, folder / sources)
    copied = folder / built.relative_to(REPOSITORY)
    shutil.copytree(built.parent, copied.parent)
    return copied


def changed(schedule: Mapping[str, Any], **changes: object) -> dict[str, Any]:
    """Return the whole of a schedule with changes, as UpdateSchedule wants it."""
    told = {"Arn", "CreationDate", "LastModificationDate", "ResponseMetadata"}
    return {key: value for key, value in schedule.items() if key not in told} | changes


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--local"], catch_exceptions=False)


def wait_for(look: Callable[[], T], told: Callable[[], object] = lambda: None) -> T:
    """Look until there is something, and return it; fail with what is `told` if there never is.

    Only for what stays once it is there: how often a busy machine gets to look is not known. What
    lasts for a moment is either held by a fault (`LocalCloud.under`) or read in the history.
    """
    end = time.monotonic() + LONGEST_WAIT_SECONDS
    while not (found := look()):
        if time.monotonic() > end:
            waits = traceback.extract_stack(limit=3)
            lines = "\n".join(f"{each.name}:{each.lineno}: {each.line}" for each in waits[:-1])
            # Without the traceback, of which a long log would show nothing else.
            pytest.fail(f"{lines}\nwaited in vain: {told()}", pytrace=False)
        time.sleep(0.2)
    return found


def reaches(stack: Stack, name: str, status: Status) -> Record:
    """Wait until an experiment has a status that it keeps, or another at which it ends."""

    def there() -> Record | None:
        record = stack.table.load(name).record
        return record if record and (record.status is status or record.status.is_final) else None

    record = wait_for(there, lambda: (stack.table.load(name).record, told(stack, name)))
    assert record is not None
    assert record.status is status, record
    return record


def stands(stack: Stack, name: str) -> tuple[Status, StageState | None]:
    """Return an experiment's status and the state of its active stage, if it has one."""
    record = stack.load(name)[1]
    return record.status, record.active.state if record.active else None


def is_at(stack: Stack, name: str, there: tuple[Status, StageState | None]) -> bool:
    """Whether an experiment is there already; see `stands`."""
    return stack.table.load(name).record is not None and stands(stack, name) == there


def told(stack: Stack, name: str) -> list[str]:
    """Return the lines of an experiment's history: what each status and stage went through."""
    return [f"{entry.what}: {entry.why}" for entry in stack.table.history(name)]


def has_told(stack: Stack, name: str, what: str) -> bool:
    return any(what in line for line in told(stack, name))


def counted(cloud: LocalCloud, metric: str, function: str) -> float:
    """Return a function's `Throttles`, say, of the last hour, as CloudWatch counts them."""
    now = datetime.now(UTC)
    points = (
        cloud.session()
        .client("cloudwatch")
        .get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=["Sum"],
        )["Datapoints"]
    )
    return float(sum(point["Sum"] for point in points))


@contextmanager
def talking_to(cloud: LocalCloud, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Let a test and its commands talk to a cloud of its own, from a folder of its own."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("novaloop_cli.stack.attach", lambda: cloud)
    with local_stack(cloud) as found:
        yield found


def put(stack: Stack, name: str, files: Mapping[str, str | bytes]) -> None:
    """Upload settings and files as any program can, without the command's own checks."""
    for file, body in files.items():
        data = body if isinstance(body, bytes) else body.encode()
        stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{name}/{file}", Body=data)


def scored(record: Record, stage: str) -> float:
    """Return the share of rows that an evaluation answered exactly."""
    return record.stage(stage).metrics["exact_match"].value


def goes_live(stack: Stack, name: str, spec: str) -> Record:
    questions.write(Path(name), sft=300, rft=80, eval=90)
    Path(name, "experiment.yaml").write_text(spec, encoding="utf-8")
    assert run("submit", name, "--yes").exit_code == 0
    assert run("watch", name).exit_code == 0
    snapshot, record = stack.load(name)
    assert record.status is Status.LIVE
    assert [stage.state for stage in record.stages] == [StageState.SUCCEEDED] * 6
    assert scored(record, "after-sft") > scored(record, "baseline") + 0.2
    assert (record.stage("deploy").reason or "").startswith("answered the smoke request")
    assert {stage for stage, _ in snapshot.scores} == {"baseline", "after-sft", "after-rft"}
    return record


def endpoints(cloud: LocalCloud, name: str) -> list[Any]:
    sagemaker = cloud.session().client("sagemaker")
    listed: list[Any] = sagemaker.list_endpoints(NameContains=f"-{name}-")["Endpoints"]
    return listed


def names_a_label(answer: str) -> bool:
    """Whether a model answers with a category, alone or in a sentence.

    What it learned depends on its job's name, a part of which is random.
    """
    return any(label in answer for label in questions.LABELS)
