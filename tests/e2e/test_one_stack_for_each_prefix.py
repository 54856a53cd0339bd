"""A second stack with the prefix of another one is refused; one with its own prefix is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from novaloop_localcloud.cloud import LocalCloud, up
from tests.template.stack import sam_template

pytestmark = pytest.mark.e2e


def deployed(cloud: LocalCloud, stack_name: str, prefix: str) -> tuple[str, str]:
    """Deploy what the template claims a prefix with; return the stack's status and its reasons."""
    whole: Any = sam_template()
    resource = whole["Resources"]["PrefixClaim"]
    claim = {
        "Parameters": {"JobNamePrefix": {"Type": "String"}},
        "Resources": {
            "PrefixClaim": {key: resource[key] for key in resource.keys() - {"DependsOn"}}
        },
    }
    cloudformation = cloud.session().client("cloudformation")
    cloudformation.create_stack(
        StackName=stack_name,
        TemplateBody=json.dumps(claim),
        Parameters=[{"ParameterKey": "JobNamePrefix", "ParameterValue": prefix}],
    )
    while True:
        (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
    events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    return stack["StackStatus"], " ".join(e.get("ResourceStatusReason", "") for e in events)


def test_a_prefix_belongs_to_one_stack_until_that_is_deleted(tmp_path: Path) -> None:
    with up(tmp_path / "cloud", template=None) as cloud:
        assert deployed(cloud, "first", "team")[0] == "CREATE_COMPLETE"
        status, reasons = deployed(cloud, "second", "team")
        assert status == "ROLLBACK_COMPLETE"
        assert "already exists" in reasons
        assert deployed(cloud, "third", "other")[0] == "CREATE_COMPLETE"
        ssm = cloud.session().client("ssm")
        claim = ssm.get_parameter(Name="/novaloop/team/stack")["Parameter"]
        assert claim["Value"] == "first"
        cloudformation = cloud.session().client("cloudformation")
        cloudformation.delete_stack(StackName="first")
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName="first", WaiterConfig={"Delay": 1}
        )
        assert deployed(cloud, "again", "team")[0] == "CREATE_COMPLETE"
