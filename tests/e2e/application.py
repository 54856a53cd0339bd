"""What tests of the whole application submit, run and wait for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cli.main import main
from cli.stack import Stack
from localcloud import questions
from localcloud.cloud import LocalCloud
from novaloop.experiment.record import Record, StageState, Status

BIG_FILE_BYTES = 1_000_000
"""The smallest that the template takes, so that a big file is soon made."""
OUTPUT_KEY = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"
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


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--local"], catch_exceptions=False)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.3)
    return False


def reaches(stack: Stack, name: str, *statuses: Status, seconds: float = 120) -> Record:
    """Wait until an experiment has one of the statuses, or one at which it ends."""

    def there() -> bool:
        record = stack.table.load(name).record
        return record is not None and (record.status in statuses or record.status.is_final)

    assert wait_for(there, seconds), stack.table.load(name).record
    record = stack.load(name)[1]
    assert record.status in statuses, record
    return record


def put(stack: Stack, name: str, files: Mapping[str, str | bytes]) -> None:
    """Upload settings and files as any program can, without the command's own checks."""
    for file, body in files.items():
        data = body if isinstance(body, bytes) else body.encode()
        stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{name}/{file}", Body=data)


def goes_live(stack: Stack, name: str, spec: str) -> Record:
    questions.write(Path(name), sft=300, rft=80, eval=90)
    Path(name, "experiment.yaml").write_text(spec, encoding="utf-8")
    assert run("submit", name).exit_code == 0
    assert run("watch", name).exit_code == 0
    snapshot, record = stack.load(name)
    assert record.status is Status.LIVE
    assert [stage.state for stage in record.stages] == [StageState.SUCCEEDED] * 6
    assert record.stage("after-sft").metrics["em"] > record.stage("baseline").metrics["em"] + 0.2
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
