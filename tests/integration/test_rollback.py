"""Release 0.1.0, run from its own archive, leaves alone what the present code wrote; and back."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.controller.observation import Observation, Phase, ResourceStatus
from novaloop.experiment.record import Attempt, Endpoint, Record, Stage, StageState, Status
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.versions import Shape
from novaloop.store.table import ExperimentTable
from tests.integration import rich_items
from tests.integration.rich_items import NOW
from tests.integration.test_versions import of_release, put
from tests.template.stack import REGION

ARCHIVE = Path(__file__).parents[1] / "e2e" / "releases" / "0.1.0.tar.gz"
READY = ResourceStatus(phase=Phase.READY)


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the release; what it imports."""
    folder = tmp_path_factory.mktemp("released")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder / "layers" / "novaloop"


def as_released(released: Path, table: str) -> dict[str, Any]:
    """Let the release take one step, if it can read the record."""
    items = boto3.client("dynamodb").scan(TableName=table)["Items"]
    read = [item for item in items if not item["item"]["S"].startswith("HISTORY#")]
    given = {"experiment_id": "questions", "items": read, "now": NOW.isoformat()}
    finished = subprocess.run(
        [sys.executable, Path(__file__).with_name("as_released.py")],
        input=json.dumps(given),
        env={"PYTHONPATH": str(released), "AWS_DEFAULT_REGION": REGION},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    told: dict[str, Any] = json.loads(finished.stdout)
    if "missing" in told:
        return told
    record = {**told["record"], "version": {"N": str(int(told["record"]["version"]["N"]) + 1)}}
    boto3.client("dynamodb").put_item(TableName=table, Item=record)
    return told


def live() -> Record:
    stage = Stage(
        StageKind.DEPLOY,
        "deploy",
        StageState.SUCCEEDED,
        attempt=Attempt(job_name="novaloop-questions--deploy-1"),
    )
    return replace(
        Record("questions", rich_items.SPEC, NOW, status=Status.LIVE, stages=(stage,)),
        endpoint=Endpoint("novaloop-questions--deploy-1", NOW, NOW + timedelta(hours=5)),
        started_at=NOW,
        unused_uploads="a.txt version v1 is not used",
    )


def test_what_is_written_now_is_left_alone_by_the_release_and_goes_on_when_this_is_back(
    table: str, released: Path
) -> None:
    """It knows no versions: what it must not touch has a form that it can't read."""
    store = ExperimentTable(table, REGION)
    first, second = (rich_items.command(name, NOW) for name in ("c1", "c2"))
    store.put_command("questions", first)
    record = store.commit(live(), [], [first])
    store.put_command("questions", second)
    store.put_spec("questions", rich_items.SPEC_ITEM)
    store.put_dataset("questions", rich_items.dataset("sft"))
    store.put_checks("questions", rich_items.CHECKS)
    store.put_score("questions", rich_items.score())

    assert "spec" in as_released(released, table)["missing"]

    snapshot = store.load("questions")
    assert snapshot.record == record
    decision = decide(Observation(snapshot, READY), NOW, Policy())
    assert [command.command_id for command in decision.applied] == ["c2"]
    store.commit(decision.record, decision.history, decision.applied)
    after = store.load("questions").record
    assert after is not None
    assert after.endpoint is not None
    assert (after.endpoint.kept_until or after.endpoint.expires_at) == NOW + timedelta(hours=6.5)


def test_what_the_release_went_on_with_is_taken_over(table: str, released: Path) -> None:
    (item,) = of_release("0.1.0", Shape.RECORD)
    put(table, item)
    store = ExperimentTable(table, REGION)
    before = store.load("questions").record
    told = as_released(released, table)
    assert told["history"]
    after = store.load("questions").record
    assert before is not None
    assert after is not None
    assert after.version == before.version + 1
    assert (before.status, after.status) == (Status.STOPPING, Status.STOPPED)
    assert after.spec == before.spec
    assert [stage.attempt.job_name for stage in after.stages] == [
        stage.attempt.job_name for stage in before.stages
    ]
    assert store.commit(after, []) == store.load("questions").record
    assert "spec" in as_released(released, table)["missing"]
