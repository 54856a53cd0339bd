"""The present code takes over from a release in the middle of everything, and gives back to it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from cli.stack import Stack, local_stack
from localcloud import questions
from localcloud.cloud import LocalCloud, up
from localcloud.emulator import REPOSITORY
from localcloud.sagemaker.faults import Fault
from novaloop.experiment.record import StageState, Status
from novaloop.experiment.site import EXPERIMENT_TAG
from tests.e2e.application import (
    GOOD_EVAL,
    ONE_EVALUATION,
    WITHOUT_PLAN,
    put,
    reaches,
    run,
    wait_for,
)
from tests.e2e.conftest import PARAMETERS, TIMING

pytestmark = pytest.mark.e2e

RELEASE = "0.1.0"
SFT_AND_DEPLOY = WITHOUT_PLAN + "plan: [sft, deploy: {ttl_hours: 5}]\n"
ALL_STAGES = (
    WITHOUT_PLAN + "plan: [evaluate: baseline, sft, evaluate: after-sft, deploy: {ttl_hours: 5}]\n"
)
HELD = ALL_STAGES + "gate: {metric: exact_match, at_least: 1.0}\n"
ASKS = ALL_STAGES + "approval: manual\n"


def released() -> Path:
    """Unpack a release once, where SAM keeps what it built from it."""
    folder = REPOSITORY / ".aws-sam" / "releases" / RELEASE
    if not (folder / "template.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(Path(__file__).with_name("releases") / f"{RELEASE}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / "template.yaml"


PRESENT = REPOSITORY / "template.yaml"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    with up(
        tmp_path / "cloud", template=released(), parameters=PARAMETERS, timing=TIMING
    ) as running:
        yield running


@pytest.fixture
def stack(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.stack.attach", lambda: cloud)
    with local_stack(cloud) as found:
        yield found


def files(folder: Path, spec: str) -> dict[str, str]:
    questions.write(folder, sft=80, rft=1, eval=30)
    data = {name: (folder / name).read_text("utf-8") for name in ("sft.csv", "eval.csv")}
    return {"experiment.yaml": spec, **data}


def status(stack: Stack, name: str) -> Status | None:
    record = stack.table.load(name).record
    return record.status if record else None


def expiry(stack: Stack, name: str) -> datetime:
    endpoint = stack.load(name)[1].endpoint
    assert endpoint is not None
    assert endpoint.expires_at is not None
    return endpoint.expires_at


def kept(stack: Stack, name: str, hours: int) -> None:
    before = expiry(stack, name)
    assert run("keep", name, "--hours", str(hours)).exit_code == 0
    assert expiry(stack, name) == before + timedelta(hours=hours)


def left(cloud: LocalCloud, experiments: Sequence[str]) -> list[str]:
    """Return what the experiments made that bills, or stands in the way of a name."""
    pages = (
        cloud.session()
        .client("resourcegroupstaggingapi")
        .get_paginator("get_resources")
        .paginate(
            TagFilters=[{"Key": EXPERIMENT_TAG, "Values": list(experiments)}],
            ResourceTypeFilters=[
                "sagemaker:endpoint",
                "sagemaker:endpoint-config",
                "sagemaker:model",
            ],
        )
    )
    return [each["ResourceARN"] for page in pages for each in page["ResourceTagMappingList"]]


def waits(stack: Stack, name: str) -> bool:
    record = stack.table.load(name).record
    return record is not None and any(s.state is StageState.WAITING for s in record.stages)


def nobody_launched_twice(stack: Stack, *experiments: str) -> None:
    for name in experiments:
        attempts = {stage.name: stage.attempt for stage in stack.load(name)[1].stages}
        assert set(attempts.values()) <= {1}, (name, attempts)


def is_over(stack: Stack, name: str) -> bool:
    return stack.load(name)[1].status.is_final


def stopped(stack: Stack, cloud: LocalCloud, *experiments: str) -> None:
    for name in experiments:
        if not stack.load(name)[1].status.is_final:
            assert run("stop", name).exit_code == 0
    for name in experiments:
        wait_for(partial(is_over, stack, name))
    wait_for(lambda: not left(cloud, experiments), lambda: left(cloud, experiments))


def no_dead_letters(cloud: LocalCloud) -> None:
    sqs = cloud.session().client("sqs")
    (url,) = [each for each in sqs.list_queues()["QueueUrls"] if "DeadLetter" in each]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    assert found == []


def test_experiments_in_every_status_live_through_an_update_and_a_way_back(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    live, all_stages = files(tmp_path, SFT_AND_DEPLOY), files(tmp_path, ALL_STAGES)
    spec = {"experiment.yaml": ONE_EVALUATION["experiment.yaml"]}

    # What the release does, and how far it comes before the update.
    for name in ("live", "ending"):
        put(stack, name, live)
    put(stack, "held", files(tmp_path, HELD))
    put(stack, "asks", files(tmp_path, ASKS))
    put(stack, "done", ONE_EVALUATION)
    put(stack, "collecting", spec)
    put(stack, "rejected", {**ONE_EVALUATION, "eval.csv": "Id,Body,Y\n1,a,BAD\n"})
    for name, there in {
        "live": Status.LIVE,
        "ending": Status.LIVE,
        "held": Status.HELD,
        "asks": Status.AWAITING_APPROVAL,
        "done": Status.COMPLETED,
        "rejected": Status.REJECTED,
    }.items():
        reaches(stack, name, there)
    cloud.inject(Fault("CreateTrainingJob", "novaloop-waiting-*", code="ResourceLimitExceeded"))
    put(stack, "waiting", ONE_EVALUATION)
    wait_for(lambda: waits(stack, "waiting"))
    kept(stack, "live", 3)
    obeyed, until = stack.load("live")[1].handled_commands, expiry(stack, "live")
    assert len(obeyed) == len(stack.table.load("live").commands) == 1
    for number in range(3):
        put(stack, f"running-{number}", all_stages)
    assert run("stop", "ending").exit_code == 0
    wait_for(lambda: status(stack, "running-0") is Status.RUNNING)

    cloud.deploy(PRESENT, PARAMETERS)

    put(stack, "collecting", {"eval.csv": GOOD_EVAL})
    put(stack, "rejected", {"eval.csv": GOOD_EVAL})
    for name in ("collecting", "rejected", "waiting"):
        reaches(stack, name, Status.COMPLETED)
    for name in ("held", "asks"):
        assert run("approve", name).exit_code == 0
    for name in ("held", "asks", "running-0", "running-1", "running-2"):
        reaches(stack, name, Status.LIVE)
    reaches(stack, "ending", Status.STOPPED)
    assert status(stack, "done") is Status.COMPLETED
    assert expiry(stack, "live") == until
    kept(stack, "live", 2)
    assert stack.table.load("live").commands == ()
    assert stack.load("live")[1].handled_commands == ()
    nobody_launched_twice(stack, "live", "held", "asks", "running-0", "running-1", "running-2")
    stopped(stack, cloud, "held", "asks", "running-0", "running-1", "running-2")

    # Back to the release and forward again, while experiments run.
    put(stack, "kept", live)
    reaches(stack, "kept", Status.LIVE)
    for number in range(2):
        put(stack, f"back-{number}", all_stages)
    wait_for(lambda: status(stack, "back-0") is Status.RUNNING)

    cloud.deploy(released(), PARAMETERS)

    put(stack, "new", all_stages)
    kept(stack, "kept", 1)
    kept(stack, "live", 1)
    wait_for(lambda: status(stack, "new") is Status.RUNNING)
    until = expiry(stack, "kept")

    cloud.deploy(PRESENT, PARAMETERS)

    for name in ("back-0", "back-1", "new"):
        reaches(stack, name, Status.LIVE)
    assert expiry(stack, "kept") == until
    nobody_launched_twice(stack, "kept", "back-0", "back-1", "new")
    stopped(stack, cloud, "live", "kept", "back-0", "back-1", "new")
    no_dead_letters(cloud)
