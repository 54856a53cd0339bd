"""The guards: what still serves holds up a deletion of the stack and a new prefix, nothing else.

The emulator goes on where a deletion fails, and deletes also what the guard depends on, as users
say of CloudFormation (aws-cloudformation/cloudformation-coverage-roadmap#852).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from novaloop.experiment.record import Status
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud, up
from novaloop_localcloud.deployment import BUILDS, deploy_built
from novaloop_localcloud.emulator import REPOSITORY, LocalCloudError
from tests.e2e.application import (
    WITHOUT_PLAN,
    copy_of_build,
    endpoints,
    put,
    reaches,
    run,
    talking_to,
    wait_for,
)
from tests.e2e.conftest import PARAMETERS, TIMING

pytestmark = pytest.mark.e2e

PLAN = WITHOUT_PLAN + "plan: [sft, deploy: {inference_component: true}]\n"
TAKEN = "/novaloop-test/taken"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    with up(tmp_path / "cloud", parameters=PARAMETERS, timing=TIMING) as running:
        yield running


@pytest.fixture
def stack(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    with talking_to(cloud, tmp_path, monkeypatch) as found:
        yield found


def changed(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Return the built template with other resources, in a copy of where it was built."""
    copied = copy_of_build(REPOSITORY / BUILDS / "build" / "template.yaml", folder)
    template = yaml.safe_load(copied.read_text(encoding="utf-8"))
    change(template["Resources"])
    copied.write_text(yaml.safe_dump(template), encoding="utf-8")
    return copied


def fail_after_the_guard(resources: dict[str, Any]) -> None:
    resources["Broken"] = {
        "Type": "AWS::SSM::Parameter",
        "DependsOn": "Guard",
        "Properties": {"Name": TAKEN, "Type": "String", "Value": "b"},
    }


def without_guard(resources: dict[str, Any]) -> None:
    for name in ("Guard", "PrefixGuard", "GuardFunction", "GuardLogs", "GuardAlarm"):
        del resources[name]
    for resource in resources.values():
        if resource.get("DependsOn") == "PrefixGuard":
            del resource["DependsOn"]
    statements = resources["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    alarms = statements[1]["Condition"]["ArnEquals"]["aws:SourceArn"]
    alarms.remove({"Fn::GetAtt": ["GuardAlarm", "Arn"]})
    del resources["Dashboard"]


class Deployments:
    """Deployments and deletions of the stack, and how each ends."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._cloudformation = cloud.session().client("cloudformation")
        self._name = cloud.state.stack_name
        self._id = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0][
            "StackId"
        ]

    def deploy(self, built: Path, **parameters: str) -> str:
        """Deploy what is built; return the status that it comes to."""
        try:
            log = self._cloud.directory / "deployment.log"
            deploy_built(built, self._cloud.state, PARAMETERS | parameters, log)
        except LocalCloudError:
            pass
        described = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0]
        self._id = described["StackId"]
        return self._settled()

    def delete(self, **options: Any) -> str:
        """Delete the stack; return the status that it comes to."""
        self._cloudformation.delete_stack(StackName=self._name, **options)
        return self._settled()

    def _settled(self) -> str:
        def status() -> str:
            described = self._cloudformation.describe_stacks(StackName=self._id)["Stacks"]
            return str(described[0]["StackStatus"])

        wait_for(lambda: not status().endswith("IN_PROGRESS"), status)
        return status()

    def happened_to(self, name: str) -> list[tuple[str, str]]:
        """Return what has happened to a resource, the latest first, each with its reason."""
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(
            StackName=self._id
        )
        return [
            (each["ResourceStatus"], each.get("ResourceStatusReason", ""))
            for page in pages
            for each in page["StackEvents"]
            if each["LogicalResourceId"] == name
        ]

    def left(self) -> set[str]:
        """Return what the stack still holds."""
        found = self._cloudformation.describe_stack_resources(StackName=self._id)
        gone = {"DELETE_COMPLETE", "DELETE_SKIPPED"}
        return {
            each["LogicalResourceId"]
            for each in found["StackResources"]
            if each["ResourceStatus"] not in gone
        }


def serves(stack: Stack, folder: Path) -> str:
    """Let an experiment serve; return the name of its endpoint and component."""
    questions.write(folder, sft=80, rft=1, eval=1)
    put(stack, "serves", {"experiment.yaml": PLAN, "sft.csv": (folder / "sft.csv").read_bytes()})
    live = reaches(stack, "serves", Status.LIVE)
    assert live.endpoint is not None
    return live.endpoint.name


def test_an_update_and_its_rollback_are_never_held_up(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    """One may leave the guard out; that of one that brings it takes it away again."""
    cloud.session().client("ssm").put_parameter(Name=TAKEN, Type="String", Value="a")
    serves(stack, tmp_path)
    deployments = Deployments(cloud)
    assert deployments.happened_to("Guard")[0][0] == "CREATE_COMPLETE"
    assert deployments.deploy(changed(tmp_path / "project", without_guard)) == "UPDATE_COMPLETE"
    broken = changed(tmp_path / "project", fail_after_the_guard)
    assert deployments.deploy(broken) == "UPDATE_ROLLBACK_COMPLETE"
    statuses = [status for status, _ in deployments.happened_to("Guard")]
    assert statuses[:2] == ["DELETE_COMPLETE", "DELETE_IN_PROGRESS"]
    assert "DELETE_FAILED" not in statuses


def test_what_serves_holds_up_a_deletion_and_no_rollback_of_a_first_deployment(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    cloud.session().client("ssm").put_parameter(Name=TAKEN, Type="String", Value="a")
    name = serves(stack, tmp_path)
    deployments = Deployments(cloud)
    assert deployments.delete() == "DELETE_FAILED"
    status, reason = deployments.happened_to("Guard")[0]
    assert status == "DELETE_FAILED"
    for kind in ("endpoint", "inference-component"):
        assert f"{kind} {name} (experiment serves)" in reason
    assert reason.startswith("2 still run or serve, and bill: ")
    assert reason.endswith("--deletion-mode FORCE_DELETE_STACK --stack-name novaloop")
    assert deployments.left() == {"Guard"}

    # As the reason says: it is deleted all the same, and the endpoint serves on.
    assert deployments.delete(DeletionMode="FORCE_DELETE_STACK") == "DELETE_COMPLETE"
    assert endpoints(cloud, "serves")

    broken = changed(tmp_path / "project", fail_after_the_guard)
    assert deployments.deploy(broken) == "ROLLBACK_COMPLETE"
    statuses = [status for status, _ in deployments.happened_to("Guard")]
    assert statuses[0] == "DELETE_COMPLETE"
    assert "DELETE_FAILED" not in statuses
    assert deployments.delete() == "DELETE_COMPLETE"

    # Once nothing serves, a stack of that name goes without a word.
    sagemaker = cloud.session().client("sagemaker")
    sagemaker.delete_inference_component(InferenceComponentName=name)
    wait_for(lambda: not sagemaker.list_inference_components()["InferenceComponents"])
    sagemaker.delete_endpoint(EndpointName=name)
    wait_for(lambda: not endpoints(cloud, "serves"))
    cloud.deploy(REPOSITORY / "template.yaml", PARAMETERS)
    deployments = Deployments(cloud)
    assert deployments.delete() == "DELETE_COMPLETE"
    assert deployments.happened_to("Guard")[0] == ("DELETE_COMPLETE", "")


def test_what_serves_keeps_its_prefix_and_nothing_else_changes_either(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    name = serves(stack, tmp_path)
    deployments = Deployments(cloud)
    built = changed(tmp_path / "project", lambda _: None)
    of_the_prefix = ("PrefixClaim", "EndingRole", "ControllerFunctionRole", "ControllerFunction")
    before = {each: deployments.happened_to(each) for each in of_the_prefix}
    assert deployments.deploy(built, JobNamePrefix="fresh") == "UPDATE_ROLLBACK_COMPLETE"
    failures = [why for what, why in deployments.happened_to("PrefixGuard") if "FAILED" in what]
    assert len(failures) == 1
    for part in (f"endpoint {name} (experiment serves)", "it stays novaloop"):
        assert part in failures[0]
    assert {each: deployments.happened_to(each) for each in of_the_prefix} == before

    # The stack still ends it, and then the prefix can be changed.
    assert run("stop", "serves").exit_code == 0
    reaches(stack, "serves", Status.STOPPED)
    wait_for(lambda: not endpoints(cloud, "serves"))
    assert deployments.deploy(built, JobNamePrefix="fresh") == "UPDATE_COMPLETE"
    claim = cloud.session().client("ssm").get_parameter(Name="/novaloop/fresh/stack")["Parameter"]
    assert claim["Value"] == "novaloop"
