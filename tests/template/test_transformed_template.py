"""What the SAM template transforms to is valid CloudFormation.

cfn-lint looks at neither the policies nor the events of a SAM function, so the output is linted.
"""

import json
from pathlib import Path

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from tests.template.stack import TEMPLATE, sam_template, transformed

ACCEPTED_WARNINGS: dict[str, str] = {}
"""Rules whose warnings are accepted, each with its reason."""


def findings(text: str) -> list[str]:
    config = ManualArgs(regions=["us-east-1"])
    return [f"{match.rule.id} {match.message}" for match in lint(text, config=config)]


def test_the_transformed_template_has_no_finding() -> None:
    found = findings(json.dumps(transformed()))
    assert [each for each in found if each.partition(" ")[0] not in ACCEPTED_WARNINGS] == []


def test_the_linter_sees_into_policies_and_events() -> None:
    broken = json.loads(json.dumps(transformed()))
    policies = broken["Resources"]["IngestFunctionRole"]["Properties"]["Policies"]
    statements = [s for policy in policies for s in policy["PolicyDocument"]["Statement"]]
    statements[0]["Effect"] = "Alow"
    statements[1]["Action"] = "s3:GetObjekt"
    codes = {each.partition(" ")[0] for each in findings(json.dumps(broken))}
    assert {"E3510", "W3037"} <= codes


def test_every_function_has_code_and_runs_on_the_architecture_of_the_layer() -> None:
    layer = sam_template()["Resources"]["NovaloopLayer"]["Properties"]
    functions = {
        name: resource["Properties"]
        for name, resource in sam_template()["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    assert len(functions) == 6
    shared = sam_template()["Globals"]["Function"]
    assert [shared["Runtime"]] == layer["CompatibleRuntimes"]
    assert shared["Architectures"] == layer["CompatibleArchitectures"]
    for name, properties in functions.items():
        app = TEMPLATE.parent / properties["CodeUri"] / "app.py"
        assert "\ndef handler(" in app.read_text(), f"{name}: {app} has no handler"


@pytest.mark.parametrize("path", sorted((TEMPLATE.parent / "events").glob("*.json")))
def test_sample_events_are_documented(path: Path) -> None:
    assert f"`{path.name}`" in (path.parent / "README.md").read_text()
