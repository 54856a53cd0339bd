"""`novaloop doctor` on a sound stack, and once for each finding with that very thing broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from novaloop_localcloud.cloud import LocalCloud, up
from novaloop_localcloud.emulator import REPOSITORY
from novaloop_localcloud.sagemaker.faults import Fault
from tests.e2e.application import changed, run, talking_to, wait_for
from tests.e2e.conftest import PARAMETERS

pytestmark = pytest.mark.e2e

SHOP = REPOSITORY / "examples" / "bicycle-shop"
TRAINING = "ml.p5.48xlarge for training job usage"
NOT_THERE = {("stops", "key"), ("stops", "own functions")}
"""The key and the function of the tests' parameters are made up, and the local cloud says so."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("doctor") / "cloud"
    with up(folder, parameters={**PARAMETERS, "NotificationEmail": "me@example.com"}) as running:
        yield running


@pytest.fixture(autouse=True)
def _talking(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with talking_to(cloud, tmp_path, monkeypatch):
        yield


def doctor(*arguments: str) -> list[dict[str, str]]:
    result = run("doctor", "--json", *arguments)
    found: list[dict[str, str]] = json.loads(result.stdout)
    assert result.exit_code == int(any(each["severity"] == "stops" for each in found))
    return found


def bad(found: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(each["severity"], each["check"]) for each in found if each["severity"] != "fine"}


def resource(cloud: LocalCloud, kind: str, part: str = "") -> str:
    """Return the physical id of the first resource of a type whose logical id has a part."""
    pages = (
        cloud.session()
        .client("cloudformation")
        .get_paginator("list_stack_resources")
        .paginate(StackName="novaloop")
    )
    return next(
        str(each["PhysicalResourceId"])
        for page in pages
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] == kind and part in each["LogicalResourceId"]
    )


@contextmanager
def no_concurrency(cloud: LocalCloud) -> Iterator[None]:
    name = resource(cloud, "AWS::Lambda::Function", "Metrics")
    client = cloud.session().client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    yield
    client.delete_function_concurrency(FunctionName=name)


@contextmanager
def no_source(cloud: LocalCloud) -> Iterator[None]:
    uuid = resource(cloud, "AWS::Lambda::EventSourceMapping")
    client = cloud.session().client("lambda")
    client.update_event_source_mapping(UUID=uuid, Enabled=False)
    yield
    client.update_event_source_mapping(UUID=uuid, Enabled=True)


@contextmanager
def no_rule(cloud: LocalCloud) -> Iterator[None]:
    name = resource(cloud, "AWS::Events::Rule").rpartition("|")[2]
    client = cloud.session().client("events")
    client.disable_rule(Name=name)
    yield
    client.enable_rule(Name=name)


@contextmanager
def no_sweep(cloud: LocalCloud) -> Iterator[None]:
    client = cloud.session().client("scheduler")
    schedule = client.get_schedule(Name=resource(cloud, "AWS::Scheduler::Schedule"))
    client.update_schedule(**changed(schedule, State="DISABLED"))
    yield
    client.update_schedule(**changed(schedule))


@contextmanager
def no_uploads(cloud: LocalCloud) -> Iterator[None]:
    client, bucket = cloud.session().client("s3"), cloud.outputs()["BucketName"]
    put = client.put_bucket_notification_configuration
    put(Bucket=bucket, NotificationConfiguration={})
    yield
    put(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})


@contextmanager
def a_dead_letter(cloud: LocalCloud) -> Iterator[None]:
    client, url = cloud.session().client("sqs"), resource(cloud, "AWS::SQS::Queue", "DeadLetter")
    client.send_message(QueueUrl=url, MessageBody="{}")
    yield
    client.purge_queue(QueueUrl=url)


@contextmanager
def an_alarm(cloud: LocalCloud) -> Iterator[None]:
    name = resource(cloud, "AWS::CloudWatch::Alarm")
    client = cloud.session().client("cloudwatch")
    client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield
    client.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


BREAKS: tuple[tuple[str, str, Callable[[LocalCloud], Any], str], ...] = (
    ("stops", "functions", no_concurrency, "MetricsFunction is switched off"),
    ("stops", "hints", no_source, "the controller gets no hints from it"),
    ("stops", "events", no_rule, "is disabled: its events are not heard"),
    ("stops", "sweep", no_sweep, "what an event is lost of stands still"),
    ("stops", "uploads", no_uploads, "only the sweep finds them"),
    ("warns", "dead letters", a_dead_letter, "1 dead letters"),
    ("warns", "alarms", an_alarm, "an alarm rings"),
)


def test_a_sound_stack_has_findings_for_what_its_parameters_name_in_vain(
    cloud: LocalCloud,
) -> None:
    began = datetime.now(UTC)
    found = doctor(str(SHOP))
    assert bad(found) == NOT_THERE
    fine = {each["check"] for each in found if each["severity"] == "fine"}
    assert fine >= {check for _, check, _, _ in BREAKS} | {"stack", "machines", "concurrency"}
    assert (datetime.now(UTC) - began).total_seconds() < 60


@pytest.mark.parametrize(("severity", "check", "broken", "words"), BREAKS)
def test_what_is_broken_is_found(
    cloud: LocalCloud,
    severity: str,
    check: str,
    broken: Callable[[LocalCloud], Any],
    words: str,
) -> None:
    with broken(cloud):
        found = doctor()
        assert bad(found) == NOT_THERE | {(severity, check)}
        (told,) = [each for each in found if (each["severity"], each["check"]) == (severity, check)]
        assert words in told["what"]
        assert told["do"]
    wait_for(lambda: bad(doctor()) == NOT_THERE)


def test_a_quota_that_is_too_small_is_found_with_its_code_and_number(cloud: LocalCloud) -> None:
    with cloud.under(Fault("quota", TRAINING, outcome="0")):
        found = doctor(str(SHOP))
        (told,) = [each for each in found if each["check"] == "machines" and each["do"]]
        assert (told["severity"], told["what"].partition(" (")[0]) == ("stops", TRAINING)
        assert "request-service-quota-increase --service-code sagemaker" in told["do"]
        assert "`runtime: serverless`" in told["do"]
        with cloud.under(Fault("quota-request", TRAINING, outcome="8")):
            (told,) = [
                each for each in doctor(str(SHOP)) if each["check"] == "machines" and each["do"]
            ]
            assert told["do"] == "8 were asked for; wait until AWS grants them"


def test_without_a_plan_no_quota_is_looked_at(cloud: LocalCloud) -> None:
    with cloud.under(Fault("quota", "*", outcome="0")):
        assert bad(doctor()) == NOT_THERE


def test_a_folder_that_is_wrong_is_refused(cloud: LocalCloud, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(SHOP, folder)
    (folder / "experiment.yaml").write_text("plan: [nothing]", encoding="utf-8")
    assert run("doctor", str(folder)).exit_code == 2


def test_the_terminal_shows_the_same(cloud: LocalCloud) -> None:
    result = run("doctor", str(SHOP))
    assert result.exit_code == 1
    assert "✗ key: the key of OutputKmsKeyArn is not there" in result.output
    assert "findings would stop an experiment" in result.stderr
