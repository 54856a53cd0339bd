"""The built template, IAM enforced: the default plan from an upload to cleaned up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from novaloop.experiment.record import Status
from novaloop_cli.stack import Stack
from novaloop_localcloud.cloud import LocalCloud
from tests.e2e.application import SPEC, endpoints, goes_live, names_a_label, run

pytestmark = pytest.mark.e2e


def test_default_plan_from_csv_files_to_cleaned_up(stack: Stack, cloud: LocalCloud) -> None:
    goes_live(stack, "demo", SPEC)

    report = run("report", "demo", "--json")
    assert json.loads(report.stdout)["status"] == "LIVE"
    page = stack.s3.get_object(Bucket=stack.bucket, Key="reports/demo/report.html")
    assert b"after-rft" in page["Body"].read()
    answer = run("invoke", "demo", "plz fix my code its broken")
    assert names_a_label(answer.stdout)

    assert run("cleanup", "demo").exit_code == 0
    assert stack.load("demo")[1].status is Status.COMPLETED
    assert endpoints(cloud, "demo") == []
    assert in_the_log(cloud, Path("demo/eval.csv")) == []


def in_the_log(cloud: LocalCloud, file: Path) -> list[str]:
    """Return what functions and jobs have logged of a dataset's text."""
    log = (cloud.directory / "emulator.log").read_text(encoding="utf-8")
    rows = file.read_text(encoding="utf-8").splitlines()
    texts = [row for row in rows if len(row) > 40 and "," not in row]
    assert len(texts) > 50
    return [text for text in texts if text in log]
