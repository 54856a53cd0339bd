"""One local cloud with the application in it, for all tests and processes that need one."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from novaloop_cli import commands
from novaloop_cli.stack import Stack, local_stack
from novaloop_localcloud.cloud import LocalCloud, up
from novaloop_localcloud.emulator import LocalCloudError, Timing
from tests.e2e.application import (
    BIG_FILE_BYTES,
    LONGEST_WAIT_SECONDS,
    OUTPUT_KEY,
    REWARD_FUNCTION,
)

PARAMETERS = {
    "StartDelaySeconds": "0",
    "LookSeconds": "2",
    "LagSeconds": "10",
    "BigFileBytes": str(BIG_FILE_BYTES),
    "OutputKmsKeyArn": OUTPUT_KEY,
    "SubnetIds": "subnet-0123456789abcdef0",
    "SecurityGroupIds": "sg-0123456789abcdef0",
    "RewardFunctionArns": REWARD_FUNCTION,
    "DefaultBudgetUsd": "0",
    "DefaultGate": "none",
}
"""With a key, a VPC and a function of one's own, so that every test notices a right with any of
them that a role lacks."""
TIMING = Timing(
    job_starting=0.2, endpoint_creating=2.0, resources_late=1.0, tags_late=2.0, changes_late=1.0
)
"""An update that fails while the look that requested it goes on would be requested once more."""


FIRST = [
    # These wait for minutes, and would hold up a whole run if they began last.
    "test_updates_of_the_stack.py",
    "test_updates_in_place.py",
    "test_refused_and_failed_jobs.py",
    "test_bedrock_runtime.py",
    # xdist hands out a second file with the first: what is behind those is short.
    "test_one_stack_for_each_prefix.py",
    "test_large_upload.py",
    "test_inference_components.py",
    "test_sagemaker_stand_in.py",
    "test_default_plan.py",
    "test_every_kind_of_stage.py",
    "test_backstops.py",
]
"""The order in which files begin; all others follow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[LocalCloud]:
    """The local cloud with the application; in the same directory for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    directory = (base if worker_id == "master" else base.parent) / "application"
    directory.mkdir(exist_ok=True)
    with _shared(directory) as running:
        yield running


@contextmanager
def _shared(directory: Path) -> Iterator[LocalCloud]:
    """Start the cloud, or attach to it; the process that started it ends it, after all others.

    The locks go with the process that holds them, so nobody waits for one that has died.
    """
    with (directory / "starting").open("w") as starting, (directory / "using").open("w") as using:
        fcntl.flock(starting, fcntl.LOCK_EX)
        try:
            cloud = LocalCloud.attach(directory)
        except LocalCloudError:
            cloud = up(directory, parameters=PARAMETERS, timing=TIMING)
        fcntl.flock(using, fcntl.LOCK_SH)
        fcntl.flock(starting, fcntl.LOCK_UN)
        try:
            yield cloud
        finally:
            if cloud.process is not None:
                fcntl.flock(using, fcntl.LOCK_EX)
                cloud.stop()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command waits as long as a test does for what a busy machine is slow at."""
    monkeypatch.setattr(commands, "TAKEN_UP_WITHIN", timedelta(seconds=LONGEST_WAIT_SECONDS))


@pytest.fixture(scope="module")
def deployed(cloud: LocalCloud) -> Iterator[Stack]:
    with local_stack(cloud) as found:
        yield found


@pytest.fixture
def stack(
    cloud: LocalCloud, deployed: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stack:
    """The application for one test, which works in a folder of its own, as do its commands."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("novaloop_cli.stack.attach", lambda: cloud)
    return deployed
