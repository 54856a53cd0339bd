"""The built template by the real SAM CLI in an emulator that nobody here wrote.

One stack's life in the order of the tests, each of which begins where the one before ended.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from benchmarks.stackoverflow_like import generate
from novaloop.experiment.record import DatasetStatus, StageState, Status
from novaloop_cli.main import main
from novaloop_cli.stack import Stack, find_stack
from novaloop_localcloud import custom_resources, questions
from novaloop_localcloud.deployment import deploy_built, sam
from novaloop_localcloud.emulator import REPOSITORY, LocalCloudError
from novaloop_localcloud.sagemaker.faults import Fault, Faults
from tests.accept.cloud import BUILT, DIRECTORY, Target
from tests.accept.conftest import STACK
from tests.e2e.application import (
    BIG_FILE_BYTES,
    ONE_EVALUATION,
    SPEC,
    WITHOUT_PLAN,
    copy_of_build,
    is_at,
    put,
    reaches,
    scored,
    stands,
    wait_for,
)
from tests.e2e.test_big_files import converted, in_one_stream, rows_of
from tests.template.stack import deployed

pytestmark = pytest.mark.accept

PARAMETERS = {
    "StartDelaySeconds": "0",
    "LookSeconds": "2",
    "LagSeconds": "10",
    "BigFileBytes": str(BIG_FILE_BYTES),
}
SHORT = WITHOUT_PLAN + "plan: [evaluate: baseline, sft, evaluate: after-sft]\n"
NOT_SUPPORTED = {
    "AWS::CloudWatch::Dashboard",
    "Custom::NovaloopGuard",
    "Custom::NovaloopPrefixGuard",
}
"""Types that the emulator passes over: it says that they are complete and makes nothing."""


class OneAttempt(Target):
    """A stack whose calls are not repeated."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "AWS_MAX_ATTEMPTS": "1"}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The deployed application as the command finds it, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return find_stack(STACK.stack_name)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, [*arguments, "--stack", STACK.stack_name])
    assert result.exit_code == 0, result.output
    return result


def left_of(name: str) -> list[str]:
    tagging = boto3.client("resourcegroupstaggingapi")
    wanted = [{"Key": "novaloop:experiment", "Values": [name]}]
    kinds = [f"sagemaker:{kind}" for kind in ("endpoint", "endpoint-config", "model")]
    found = tagging.get_resources(TagFilters=wanted, ResourceTypeFilters=kinds)
    return [each["ResourceARN"] for each in found["ResourceTagMappingList"]]


def test_every_resource_comes_up(log: Path) -> None:
    deploy_built(BUILT, STACK, PARAMETERS, log)
    described = boto3.client("cloudformation").describe_stack_resources(StackName=STACK.stack_name)
    states = {each["ResourceStatus"] for each in described["StackResources"]}
    assert states == {"CREATE_COMPLETE"}
    assert len(described["StackResources"]) == len(deployed().resources)


def null_in_the_definition(resources: dict[str, Any]) -> None:
    """The first release's: the state machine as an object, in which a state keeps no result."""
    machine = resources["BigFiles"]["Properties"]
    file = BUILT.parent / machine.pop("DefinitionS3Location")
    text = file.read_text(encoding="utf-8").replace("${BigFileConcurrency}", "50")
    machine["Definition"] = json.loads(text)
    machine["Definition"]["States"]["Convert"]["ResultPath"] = None


def null_in_a_property(resources: dict[str, Any]) -> None:
    resources["Table"]["Properties"]["TimeToLiveSpecification"] = None


@pytest.mark.parametrize("change", [null_in_the_definition, null_in_a_property])
def test_a_null_is_refused(change: Callable[[dict[str, Any]], None], log: Path) -> None:
    """It answers with an internal error, which a client would otherwise try again."""
    template = yaml.safe_load(BUILT.read_text(encoding="utf-8"))
    change(template["Resources"])
    broken = BUILT.with_name("null.yaml")
    broken.write_text(yaml.safe_dump(template), encoding="utf-8")
    with pytest.raises(LocalCloudError, match=r"CreateChangeSet .*NoneType"):
        deploy_built(broken, OneAttempt("refused"), PARAMETERS, log)


def test_from_csv_files_to_an_endpoint_to_cleaned_up(stack: Stack) -> None:
    questions.write(Path("demo"), sft=300, rft=80, eval=90)
    Path("demo/experiment.yaml").write_text(SPEC, encoding="utf-8")
    run("submit", "demo", "--yes")
    run("watch", "demo")
    record = reaches(stack, "demo", Status.LIVE)
    assert scored(record, "after-sft") > scored(record, "baseline") + 0.2
    page = stack.s3.get_object(Bucket=stack.bucket, Key="reports/demo/report.html")
    assert b"after-rft" in page["Body"].read()
    assert run("invoke", "demo", "plz fix my code its broken").stdout.strip() in questions.LABELS
    assert left_of("demo")
    assert "nothing is left" in run("cleanup", "demo").stdout
    reaches(stack, "demo", Status.COMPLETED)
    assert left_of("demo") == []


def test_a_big_file_goes_through_the_distributed_map(stack: Stack) -> None:
    generate(Path("eval.csv"), BIG_FILE_BYTES * 5 // 4)
    data = Path("eval.csv").read_bytes()
    item = converted(stack, "big", data)
    assert item.status is DatasetStatus.ACCEPTED, item.reason
    row_hash_sum, rows = in_one_stream(data)
    assert item.summary["row_hash_sum"] == row_hash_sum
    assert rows_of(stack, item) == rows
    states = boto3.client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    (execution,) = states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    assert execution["status"] == "SUCCEEDED"


def test_an_update_while_an_experiment_runs(stack: Stack, log: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    changed = copy_of_build(BUILT, project)
    for code in (project / "functions").glob("*/app.py"):
        code.write_text(code.read_text(encoding="utf-8") + "\nCHANGED = True\n", encoding="utf-8")
    questions.write(tmp_path, sft=80, rft=1, eval=30)
    files = {name: (tmp_path / name).read_bytes() for name in ("sft.csv", "eval.csv")}
    at_work = (Status.RUNNING, StageState.RUNNING)
    held = Fault("training-job", "novaloop-updated-*", outcome="Held")
    with Faults(DIRECTORY / "faults").lasting(held):
        put(stack, "updated", {"experiment.yaml": SHORT, **files})
        wait_for(partial(is_at, stack, "updated", at_work))
        before = stack.load("updated")[1]
        deploy_built(changed, STACK, {**PARAMETERS, "LookSeconds": "3"}, log)
        assert stands(stack, "updated") == at_work
    after = reaches(stack, "updated", Status.COMPLETED)
    assert after.uid == before.uid
    assert after.stages[0].attempt.job_arn == before.stages[0].attempt.job_arn
    assert [stage.attempt.number for stage in after.stages] == [1, 1, 1]


def physical(logical_id: str) -> str:
    """Return what a resource of the stack is called."""
    resource = boto3.client("cloudformation").describe_stack_resource(
        StackName=STACK.stack_name, LogicalResourceId=logical_id
    )
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


def test_the_sweep_runs(stack: Stack) -> None:
    """By hand: this emulator keeps a schedule and never fires it."""
    told = boto3.client("lambda").invoke(FunctionName=physical("SweeperFunction"))
    assert "FunctionError" not in told, told["Payload"].read()


class Answers(BaseHTTPRequestHandler):
    """Where the guard puts its answers."""

    bodies: ClassVar[list[bytes]] = []

    def do_PUT(self) -> None:
        """Take one."""
        assert not self.headers["Content-Type"]
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()


def test_the_guard_answers(stack: Stack) -> None:
    """By hand: this emulator has no custom resources."""
    (described,) = boto3.client("cloudformation").describe_stacks(StackName=STACK.stack_name)[
        "Stacks"
    ]
    request = json.loads((REPOSITORY / "events" / "stack-deletion.json").read_text("utf-8"))
    request["StackId"] = described["StackId"]
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        request["ResponseURL"] = f"http://127.0.0.1:{server.server_port}/answer"
        for kind in ("Create", "Delete"):
            payload = json.dumps(request | {"RequestType": kind})
            told = boto3.client("lambda").invoke(
                FunctionName=physical("GuardFunction"), Payload=payload
            )
            assert "FunctionError" not in told, told["Payload"].read()
        server.shutdown()
    answers = [json.loads(body) for body in Answers.bodies]
    assert [each["Status"] for each in answers] == ["SUCCESS", "SUCCESS"]
    assert f"while the stack is {described['StackStatus']}" in answers[1]["Reason"]
    for body in Answers.bodies:
        assert custom_resources.problem(request, body) is None


def test_nothing_was_sent_to_the_dead_letters(stack: Stack) -> None:
    url = physical("DeadLetterQueue")
    received = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    assert received.get("Messages", []) == []


def test_delete_keeps_the_data_and_the_name_can_be_used_again(stack: Stack, log: Path) -> None:
    sam(
        ["delete", "--stack-name", STACK.stack_name, "--region", STACK.region, "--no-prompts"],
        STACK.environment(),
        log,
    )
    with pytest.raises(ClientError, match="does not exist"):
        boto3.client("cloudformation").describe_stacks(StackName=STACK.stack_name)
    assert stack.s3.head_object(Bucket=stack.bucket, Key="reports/demo/report.html")
    assert stack.load("demo")[1].status is Status.COMPLETED
    deploy_built(BUILT, STACK, PARAMETERS, log)
    again = find_stack(STACK.stack_name)
    assert again.bucket != stack.bucket
    put(again, "anew", ONE_EVALUATION)
    reaches(again, "anew", Status.COMPLETED)
