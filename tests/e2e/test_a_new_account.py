"""An account of ten functions at once: what Lambda throttles comes later, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from novaloop.experiment.record import StageState, Status
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud, up
from novaloop_localcloud.sagemaker.faults import Fault
from tests.e2e.application import BIG_FILE_BYTES, ONE_EVALUATION, SPEC, counted, put, reaches
from tests.e2e.conftest import PARAMETERS, TIMING

pytestmark = pytest.mark.e2e

NEW_ACCOUNT = 10
FLOOD = [f"flood-{number}" for number in range(NEW_ACCOUNT)]
DRY_RUN = {
    **ONE_EVALUATION,
    "experiment.yaml": ONE_EVALUATION["experiment.yaml"] + "dry_run: true\n",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    directory = tmp_path_factory.mktemp("cloud")
    with up(directory, parameters=PARAMETERS, timing=TIMING, concurrency=NEW_ACCOUNT) as running:
        yield running


def test_the_default_plan_with_a_big_file_goes_through_a_flood_of_uploads(
    stack: Stack, cloud: LocalCloud
) -> None:
    questions.write(Path("demo"), sft=3_000, rft=80, eval=90)
    files = {path.name: path.read_bytes() for path in Path("demo").iterdir()}
    assert len(files["sft.csv"]) > BIG_FILE_BYTES
    # What is held back comes at once: more than the account may run.
    with cloud.under(Fault("asynchronous-invocation", "*IngestFunction*", outcome="Held")):
        put(stack, "demo", {**files, "experiment.yaml": SPEC})
        for name in FLOOD:
            put(stack, name, DRY_RUN)

    record = reaches(stack, "demo", Status.LIVE)
    assert [stage.state for stage in record.stages] == [StageState.SUCCEEDED] * 6
    states = cloud.session().client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    executions = states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    assert [each for each in executions if each["name"].startswith("demo-sft-")]
    for name in FLOOD:
        reaches(stack, name, Status.COMPLETED)
    assert counted(cloud, "Throttles", cloud.outputs()["IngestFunctionName"]) > 0
    sqs = cloud.session().client("sqs")
    (letters,) = [url for url in sqs.list_queues()["QueueUrls"] if "DeadLetterQueue" in url]
    told = sqs.get_queue_attributes(QueueUrl=letters, AttributeNames=["All"])["Attributes"]
    assert told["ApproximateNumberOfMessages"] == "0"
