"""The present code takes over from a release in the middle of everything, and gives back to it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from novaloop.experiment.record import CommandKind, StageState, Status
from novaloop.experiment.stack import EXPERIMENT_TAG
from novaloop_cli.commands import give
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud, up
from novaloop_localcloud.emulator import REPOSITORY, Timing
from novaloop_localcloud.sagemaker.faults import Fault
from tests.e2e import conftest
from tests.e2e.application import (
    GOOD_EVAL,
    ONE_EVALUATION,
    WITHOUT_PLAN,
    is_at,
    put,
    reaches,
    run,
    stands,
    talking_to,
    told,
    wait_for,
)

pytestmark = pytest.mark.e2e

RELEASE = "0.1.0"
PARAMETERS = {**conftest.PARAMETERS, "SweepSchedule": "rate(1 minute)"}
"""A hint that meets new code with the old layer is lost for twelve minutes, but for the sweep."""
TIMING = Timing(job_starting=0.2, endpoint_creating=2.0)
"""Nothing shows late: the release takes what doesn't show yet for gone."""
SFT_AND_DEPLOY = WITHOUT_PLAN + "plan: [sft, deploy: {ttl_hours: 5}]\n"
ALL_STAGES = (
    WITHOUT_PLAN + "plan: [evaluate: baseline, sft, evaluate: after-sft, deploy: {ttl_hours: 5}]\n"
)
THRESHOLD = ALL_STAGES + "gate: {metric: exact_match, at_least: 1.0}\n"
ASKS = ALL_STAGES + "approval: manual\n"
ON_OTHER_MACHINES = WITHOUT_PLAN + (
    "plan: [evaluate: {name: baseline, instance_type: ml.p4d.24xlarge}]\n"
)
"""A queue of its own: nothing else waits behind it."""
MIDDLE = {
    "collecting": (Status.COLLECTING, None),
    "rejected": (Status.REJECTED, None),
    "waiting": (Status.RUNNING, StageState.WAITING),
    "running": (Status.RUNNING, StageState.RUNNING),
    "scoring": (Status.RUNNING, StageState.SCORING),
    "held": (Status.HELD, StageState.PENDING),
    "asks": (Status.AWAITING_APPROVAL, StageState.PENDING),
    "deploying": (Status.DEPLOYING, StageState.RUNNING),
    "live": (Status.LIVE, None),
    "ending": (Status.STOPPING, None),
    "done": (Status.COMPLETED, None),
}
"""Experiments by where they are when the update comes: their status, and of the active stage."""
UNTIL_UPDATED = [
    Fault("CreateTrainingJob", "novaloop-waiting-*", code="ResourceLimitExceeded"),
    Fault("training-job", "novaloop-running-*", outcome="Held"),
    Fault("endpoint", "novaloop-deploying-*", outcome="Held"),
    Fault("endpoint", "novaloop-ending-*", outcome="Held"),
]
NO_SCORE = Fault("asynchronous-invocation", "*MetricsFunction*", outcome="Held")


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
    with talking_to(cloud, tmp_path, monkeypatch) as found:
        yield found


def files(folder: Path, spec: str) -> dict[str, str]:
    questions.write(folder, sft=80, rft=1, eval=30)
    data = {name: (folder / name).read_text("utf-8") for name in ("sft.csv", "eval.csv")}
    return {"experiment.yaml": spec, **data}


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


def nobody_launched_twice(stack: Stack, *experiments: str) -> None:
    for name in experiments:
        attempts = {stage.name: stage.attempt.number for stage in stack.load(name)[1].stages}
        assert set(attempts.values()) <= {1}, (name, attempts)


def is_over(stack: Stack, name: str) -> bool:
    return stack.load(name)[1].status.is_final


def stopped(stack: Stack, cloud: LocalCloud, *experiments: str) -> None:
    for name in experiments:
        if not stack.load(name)[1].status.is_final:
            give(stack, name, CommandKind.STOP)
    for name in experiments:
        wait_for(partial(is_over, stack, name))
    wait_for(lambda: not left(cloud, experiments), lambda: left(cloud, experiments))


def versions(stack: Stack, *experiments: str) -> dict[str, int]:
    """Return how often each record was committed."""
    return {name: stack.load(name)[1].version for name in experiments}


def dead_letters(cloud: LocalCloud) -> tuple[Any, str]:
    """Return SQS, and the URL of the queue of dead letters."""
    sqs = cloud.session().client("sqs")
    (url,) = [each for each in sqs.list_queues()["QueueUrls"] if "DeadLetter" in each]
    return sqs, url


def no_dead_letters(cloud: LocalCloud) -> None:
    sqs, url = dead_letters(cloud)
    assert "Messages" not in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)


def test_experiments_in_every_status_live_through_an_update_and_a_way_back(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    live, all_stages = files(tmp_path, SFT_AND_DEPLOY), files(tmp_path, ALL_STAGES)
    spec = {"experiment.yaml": ONE_EVALUATION["experiment.yaml"]}

    # What the release does, and how far it comes before the update.
    for name in ("live", "ending"):
        put(stack, name, live)
    put(stack, "held", files(tmp_path, THRESHOLD))
    put(stack, "asks", files(tmp_path, ASKS))
    put(stack, "done", ONE_EVALUATION)
    put(stack, "rejected", {**ONE_EVALUATION, "eval.csv": "Id,Body,Y\n1,a,BAD\n"})
    for name in ("live", "held", "asks", "done", "rejected"):
        reaches(stack, name, MIDDLE[name][0])
    reaches(stack, "ending", Status.LIVE)
    kept(stack, "live", 3)
    applied, until = stack.load("live")[1].handled_commands, expiry(stack, "live")
    assert len(applied) == len(stack.table.load("live").commands) == 1
    with cloud.under(*UNTIL_UPDATED, NO_SCORE):
        put(stack, "collecting", spec)
        put(stack, "waiting", {**ONE_EVALUATION, "experiment.yaml": ON_OTHER_MACHINES})
        put(stack, "running", all_stages)
        put(stack, "scoring", ONE_EVALUATION)
        put(stack, "deploying", live)
        # Its end is held up until the update, so `novaloop stop` would wait for it in vain.
        give(stack, "ending", CommandKind.STOP)
        for name, there in MIDDLE.items():
            wait_for(partial(is_at, stack, name, there), partial(told, stack, name))

        cloud.deploy(PRESENT, PARAMETERS)

        # The release's sweep fails, by a query that DynamoDB refuses.
        sqs, url = dead_letters(cloud)
        sqs.purge_queue(QueueUrl=url)
        assert {name: stands(stack, name)[0] for name in MIDDLE} == {
            name: there for name, (there, _) in MIDDLE.items()
        }

    put(stack, "collecting", {"eval.csv": GOOD_EVAL})
    put(stack, "rejected", {"eval.csv": GOOD_EVAL})
    for name in ("collecting", "rejected", "waiting", "scoring"):
        reaches(stack, name, Status.COMPLETED)
    for name in ("held", "asks"):
        assert run("approve", name).exit_code == 0
    begun = ("held", "asks", "running", "deploying")
    for name in begun:
        reaches(stack, name, Status.LIVE)
    reaches(stack, "ending", Status.STOPPED)
    assert stack.load("done")[1].status is Status.COMPLETED
    assert expiry(stack, "live") == until
    kept(stack, "live", 2)
    assert stack.table.load("live").commands == ()
    assert stack.load("live")[1].handled_commands == ()
    nobody_launched_twice(stack, "live", "scoring", *begun)
    stopped(stack, cloud, *begun)
    no_dead_letters(cloud)
    there_and_back(stack, cloud, live)


def there_and_back(stack: Stack, cloud: LocalCloud, files: dict[str, str]) -> None:
    """Go back to the release and forward again, while experiments run.

    It can't read the present code's records, and leaves them alone, whatever people ask of them;
    what it begins itself goes on. Its hints of what it can't read come to dead letters.
    """
    put(stack, "kept", files)
    reaches(stack, "kept", Status.LIVE)
    at_work = (Status.RUNNING, StageState.RUNNING)
    # Held until the present code is back: the release's role may not write under the key.
    held = [Fault("training-job", f"novaloop-{name}-*", outcome="Held") for name in ("back", "new")]
    with cloud.under(*held):
        put(stack, "back", files)
        wait_for(partial(is_at, stack, "back", at_work))

        cloud.deploy(released(), PARAMETERS)

        before = versions(stack, "kept", "live", "back")
        put(stack, "new", files)
        wait_for(partial(is_at, stack, "new", at_work))
        assert versions(stack, "kept", "live", "back") == before

        cloud.deploy(PRESENT, PARAMETERS)

        assert [stands(stack, name) for name in ("back", "new")] == [at_work, at_work]
    kept(stack, "kept", 1)
    kept(stack, "live", 1)
    until = expiry(stack, "kept")
    for name in ("back", "new"):
        reaches(stack, name, Status.LIVE)
    assert expiry(stack, "kept") == until
    nobody_launched_twice(stack, "kept", "back", "new")
    stopped(stack, cloud, "live", "kept", "back", "new")
