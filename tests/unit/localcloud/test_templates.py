"""What the local cloud's CloudFormation refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from novaloop_localcloud.templates import (
    definition_problem,
    null_problem,
    property_problem,
    reference_problem,
)

TOPIC = "AWS::SNS::Topic"
SOUND_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*"}]}


def _template(properties: Any, **more: Any) -> dict[str, Any]:
    return {"Resources": {"T": {"Type": TOPIC, "Properties": properties}}, **more}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        (_template({"DisplayName": None}), "/Resources/T/Properties/DisplayName"),
        (_template({"Tags": [{}, None]}), "/Resources/T/Properties/Tags/1"),
        (_template({}, Metadata=None), "/Metadata"),
        (_template({}, Outputs={"O": {"Value": {"Fn::Sub": ["", {"a": None}]}}}), "/Outputs/O"),
    ],
)
def test_a_null_is_refused_wherever_it_stands(template: dict[str, Any], path: str) -> None:
    problem = null_problem(template)
    assert problem is not None
    assert problem.startswith(f"[{path}")
    assert problem.endswith("'null' values are not allowed in templates")


def test_what_looks_like_null_is_none() -> None:
    assert null_problem(_template({"A": "", "B": 0, "C": False, "D": [], "E": {}})) is None


@pytest.mark.parametrize(
    "properties",
    [
        {"A": {"Ref": "Nope"}},
        {"A": {"Fn::GetAtt": ["Nope", "Arn"]}},
        {"A": {"Fn::GetAtt": "Nope.Arn"}},
        {"A": {"Fn::Sub": "arn:${Nope.Arn}:${AWS::Region}"}},
        {"A": {"Fn::Sub": ["${x}", {"x": {"Ref": "Nope"}}]}},
        {"A": [{"Fn::If": ["No", "taken never", {"Ref": "Nope"}]}]},
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(properties: dict[str, Any]) -> None:
    problem = reference_problem(_template(properties), {"No": False})
    assert problem == (
        "Template format error: Unresolved resource dependencies [Nope] "
        "in the Resources block of the template"
    )


@pytest.mark.parametrize(
    "properties",
    [
        {"A": {"Ref": "P"}, "B": {"Ref": "AWS::StackName"}},
        {"A": {"Fn::Sub": "${!Nope} $Nope ${T.Arn} ${P}"}},
        {"A": {"Fn::Sub": ["${x}", {"x": "y"}]}},
        {"A": {"Fn::If": ["No", {"Ref": "Nope"}, {"Ref": "AWS::NoValue"}]}},
    ],
)
def test_references_that_lead_somewhere_are_taken(properties: dict[str, Any]) -> None:
    template = _template(properties, Parameters={"P": {"Type": "String"}})
    assert reference_problem(template, {"No": False}) is None


def test_what_is_not_made_can_not_be_referred_to() -> None:
    optional = {"Type": TOPIC, "Condition": "Yes", "Properties": {}}
    template = _template({"A": {"Ref": "Optional"}})
    template["Resources"]["Optional"] = optional
    assert reference_problem(template, {"Yes": True}) is None
    assert "[Optional]" in (reference_problem(template, {"Yes": False}) or "")
    output = {"O": {"Value": {"Ref": "Optional"}, "Condition": "Yes"}}
    template = _template({}, Outputs=output)
    assert reference_problem(template, {"Yes": False}) is None


@pytest.mark.parametrize(
    ("kind", "name", "longest"),
    [
        ("AWS::Lambda::Function", "FunctionName", 64),
        ("AWS::StepFunctions::StateMachine", "StateMachineName", 80),
        ("AWS::Events::Rule", "Name", 64),
        ("AWS::Scheduler::Schedule", "Name", 64),
        ("AWS::Logs::LogGroup", "LogGroupName", 512),
        ("AWS::IAM::Role", "RoleName", 64),
        ("AWS::SQS::Queue", "QueueName", 80),
    ],
)
def test_names_have_a_length(kind: str, name: str, longest: int) -> None:
    assert property_problem(kind, "T", {name: "n" * longest}) is None
    problem = property_problem(kind, "T", {name: "n" * (longest + 1)})
    assert f"#/{name}: expected maxLength: {longest}, actual: {longest + 1}" in (problem or "")
    assert "expected minLength: 1" in (property_problem(kind, "T", {name: ""}) or "")
    assert property_problem(kind, "T", {}) is None


def _role(*characters: int) -> dict[str, Any]:
    sizes = enumerate(characters)
    texts = [(str(number), json.dumps({"Sid": "s" * (size - 10)})) for number, size in sizes]
    policies = [{"PolicyName": name, "PolicyDocument": text} for name, text in texts]
    return {"Policies": policies, "AssumeRolePolicyDocument": SOUND_POLICY}


def test_a_role_s_policies_have_a_size_together() -> None:
    assert property_problem("AWS::IAM::Role", "R", _role(5_120, 5_120)) is None
    problem = property_problem("AWS::IAM::Role", "R", _role(5_120, 5_122))
    assert problem == "Maximum policy size of 10240 bytes exceeded for role R"


@pytest.mark.parametrize(("characters", "fits"), [(2_048, True), (2_049, False)])
def test_a_role_s_trust_policy_has_a_size(characters: int, fits: bool) -> None:
    trust = json.dumps({"Sid": "s" * (characters - 10)}) + " \n" * 9
    problem = property_problem("AWS::IAM::Role", "R", {"AssumeRolePolicyDocument": trust})
    assert problem == (None if fits else "Cannot exceed quota for ACLSizePerRole: 2048")


def test_white_space_in_policies_does_not_count() -> None:
    policy = {"PolicyName": "p", "PolicyDocument": json.dumps({"a": "b"}) + " " * 20_000}
    assert property_problem("AWS::IAM::Role", "R", {"Policies": [policy]}) is None


def _variables(**variables: str) -> dict[str, Any]:
    return {"Environment": {"Variables": variables}}


def test_a_function_s_variables_have_a_size_and_names() -> None:
    kind = "AWS::Lambda::Function"
    assert property_problem(kind, "F", _variables(A="x" * 4_000)) is None
    assert "4KB" in (property_problem(kind, "F", _variables(A="x" * 2_048, B="x" * 2_048)) or "")
    assert "AWS_REGION" in (property_problem(kind, "F", _variables(AWS_REGION="x")) or "")


@pytest.mark.parametrize(
    ("kind", "properties"),
    [
        ("AWS::Lambda::Function", {"Timeout": 901}),
        ("AWS::Lambda::Function", {"MemorySize": 64}),
        ("AWS::SQS::Queue", {"DelaySeconds": 901}),
        ("AWS::SQS::Queue", {"MessageRetentionPeriod": 1_209_601}),
        ("AWS::Logs::LogGroup", {"RetentionInDays": 2}),
    ],
)
def test_numbers_have_bounds(kind: str, properties: dict[str, Any]) -> None:
    assert property_problem(kind, "T", properties) is not None


@pytest.mark.parametrize(
    ("most", "is_taken"),
    [("4", True), ("0", True), ("2.5", False), ("-1", False), ('"4"', False), ("true", False)],
)
def test_a_state_machine_has_whole_numbers(most: str, is_taken: bool) -> None:
    definition = f'{{"States": {{"Scan": {{"Type": "Map", "MaxConcurrency": {most}}}}}}}'
    problem = definition_problem(definition)
    assert (problem is None) is is_taken
    assert problem is None or problem.endswith("type Integer at /States/Scan/MaxConcurrency'")
    assert "INVALID_JSON" in (definition_problem("{2.}") or "")
