"""The schedule that ends an endpoint without the controller: it is there, and it may."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from novaloop.experiment.controller.backstop import MARGIN
from novaloop.experiment.record import Status
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud
from tests.e2e.application import WITHOUT_PLAN, changed, put, reaches, run, wait_for

pytestmark = pytest.mark.e2e

PLAN = WITHOUT_PLAN + "plan: [sft, deploy: {inference_component: true}]\n"


def is_gone(look: Callable[[], object]) -> bool:
    """Whether there is nothing more."""
    try:
        look()
    except ClientError as error:
        if re.search("Could not find|does not exist", str(error)):
            return True
        raise
    return False


def test_without_its_record_an_endpoint_is_ended_by_its_schedules(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    questions.write(tmp_path, sft=80, rft=1, eval=1)
    sft = (tmp_path / "sft.csv").read_bytes()
    put(stack, "unrecorded", {"experiment.yaml": PLAN, "sft.csv": sft})
    live = reaches(stack, "unrecorded", Status.LIVE)
    assert live.endpoint is not None
    assert live.endpoint.expires_at is not None
    scheduler = cloud.session().client("scheduler")
    name = live.endpoint.name
    component, endpoint = (scheduler.get_schedule(Name=each) for each in (f"{name}.", name))
    due = live.endpoint.expires_at + MARGIN
    for schedule in (component, endpoint):
        assert abs(schedule["StartDate"] - due) < timedelta(seconds=1)
    assert json.loads(endpoint["Target"]["Input"]) == {"EndpointName": name}
    table = cloud.session().client("dynamodb")
    key = {"experiment_id": {"S": "unrecorded"}, "item": {"S": "RECORD"}}
    table.delete_item(TableName=cloud.outputs()["TableName"], Key=key)

    sagemaker = cloud.session().client("sagemaker")
    scheduler.update_schedule(**changed(component, StartDate=datetime.now(UTC)))
    wait_for(
        partial(
            is_gone, partial(sagemaker.describe_inference_component, InferenceComponentName=name)
        )
    )
    scheduler.update_schedule(**changed(endpoint, StartDate=datetime.now(UTC)))
    wait_for(partial(is_gone, partial(sagemaker.describe_endpoint, EndpointName=name)))


def test_what_is_cleaned_up_leaves_no_schedule(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    questions.write(tmp_path, sft=80, rft=1, eval=1)
    put(stack, "ends", {"experiment.yaml": PLAN, "sft.csv": (tmp_path / "sft.csv").read_bytes()})
    live = reaches(stack, "ends", Status.LIVE)
    assert live.endpoint is not None
    cleaned = run("cleanup", "ends")
    assert cleaned.exit_code == 0, cleaned.output
    scheduler = cloud.session().client("scheduler")
    for name in (live.endpoint.name, f"{live.endpoint.name}."):
        wait_for(partial(is_gone, partial(scheduler.get_schedule, Name=name)))
