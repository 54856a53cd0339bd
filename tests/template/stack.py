"""The template as CloudFormation gets it: transformed from SAM, intrinsic functions resolved."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
ACCOUNT, REGION = "123456789012", "us-east-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::StackName": "novaloop",
}
_ARNS = {
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/",
    "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/",
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:",
    "AWS::S3::Bucket": "arn:aws:s3:::",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:",
}
_REF_IS_ARN = {
    "AWS::IAM::ManagedPolicy",
    "AWS::SNS::Topic",
    "AWS::StepFunctions::StateMachine",
}
_GIVEN_NAMES = ("FunctionName", "LogGroupName", "StateMachineName")
NO_VALUE = object()


def _aws_managed(sid: str, *actions: str) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


AWS_MANAGED: dict[str, Mapping[str, Any]] = {
    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole": _aws_managed(
        "WriteAnyLog", "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"
    ),
    "arn:aws:iam::aws:policy/AWSXrayWriteOnlyAccess": _aws_managed(
        "WriteTraces",
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:GetSamplingStatisticSummaries",
    ),
}
"""AWS's managed policies that roles may have, with names of our own for their statements.

Source: the AWS Managed Policy Reference Guide, pages of the same names. A role with another one
fails every test that looks at its policies.
"""


@cache
def sam_template() -> dict[str, Any]:
    """Return template.yaml as plain data."""
    plain: dict[str, Any] = json.loads(json.dumps(yaml_parse(TEMPLATE.read_text())))
    return plain


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


@cache
def transformed() -> dict[str, Any]:
    """Return what AWS's own transform makes of the template, without any network."""
    template = json.loads(json.dumps(sam_template()))
    for resource in template["Resources"].values():
        for code in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][code] = "s3://code/archive.zip"
    with patch.dict(os.environ, {"AWS_DEFAULT_REGION": REGION}):
        result: dict[str, Any] = transform(template, {}, _NoManagedPolicies())
    return result


@dataclass(frozen=True)
class Stack:
    """The transformed template with parameters filled in and every reference resolved."""

    parameters: Mapping[str, Mapping[str, Any]]
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]

    def of_type(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return the properties of the resources of a type, by logical id."""
        return {
            name: resource.get("Properties", {})
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def properties(self, name: str) -> Mapping[str, Any]:
        """Return the properties of one resource."""
        properties: Mapping[str, Any] = self.resources[name]["Properties"]
        return properties

    def inline_policies(self, role: str) -> list[Mapping[str, Any]]:
        """Return the documents of a role's inline policies."""
        inline = self.properties(role).get("Policies", [])
        return [policy["PolicyDocument"] for policy in inline]

    def policies(self, role: str) -> list[Mapping[str, Any]]:
        """Return every document by which a role may do something: inline, the stack's, AWS's."""
        managed = {
            _ARNS["AWS::IAM::ManagedPolicy"] + physical_name(name, ""): policy["PolicyDocument"]
            for name, policy in self.of_type("AWS::IAM::ManagedPolicy").items()
        } | AWS_MANAGED
        attached = self.properties(role).get("ManagedPolicyArns", [])
        return [*self.inline_policies(role), *(managed[arn] for arn in attached)]

    def statements(self, role: str) -> Iterator[Mapping[str, Any]]:
        """Yield the statements by which a role may do something."""
        for document in self.policies(role):
            yield from document["Statement"]


def deployed(**parameters: str) -> Stack:
    """Return the stack that a deployment with these parameters would have."""
    template = transformed()
    defaults = {name: spec["Default"] for name, spec in template["Parameters"].items()}
    resolver = _Resolver(template, {**defaults, **parameters, **PSEUDO})
    kept = {
        name: resource
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or resolver.condition(resource["Condition"])
    }
    return Stack(template["Parameters"], resolver.resolve(kept), template["Outputs"])


def broken_rules(**parameters: str) -> list[str]:
    """Return the rules of the template by which these parameters are refused."""
    template = transformed()
    defaults = {name: spec["Default"] for name, spec in template["Parameters"].items()}
    resolver = _Resolver(template, {**defaults, **parameters, **PSEUDO})
    return [
        name
        for name, rule in template["Rules"].items()
        if resolver.resolve(rule["RuleCondition"])
        and not all(resolver.resolve(each["Assert"]) for each in rule["Assertions"])
    ]


def physical_name(logical_id: str, kind: str) -> str:
    """Return the name that the sample events use for a resource."""
    name = f"novaloop-{logical_id}-EXAMPLE"
    return name.lower() if kind == "AWS::S3::Bucket" else name


class _Resolver:
    def __init__(self, template: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._template = template
        self._values = values
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Equals": lambda pair: self.resolve(pair[0]) == self.resolve(pair[1]),
            "Fn::Not": lambda one: not self.resolve(one[0]),
            "Fn::Split": lambda pair: self.resolve(pair[1]).split(pair[0]),
        }

    def resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            resolved = [self.resolve(item) for item in value]
            return [item for item in resolved if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (function := self._functions.get(next(iter(value)))):
            return function(next(iter(value.values())))
        resolved_items = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved_items.items() if item is not NO_VALUE}

    def condition(self, name: str) -> bool:
        return bool(self.resolve(self._template["Conditions"][name]))

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._values:
            return self._values[name]
        kind = self._template["Resources"][name]["Type"]
        if kind in _REF_IS_ARN:
            return self._get_att([name, "Arn"])
        return self._name(name)

    def _name(self, logical_id: str) -> str:
        resource = self._template["Resources"][logical_id]
        properties = resource.get("Properties", {})
        given = next((properties[key] for key in _GIVEN_NAMES if key in properties), None)
        return str(self.resolve(given)) if given else physical_name(logical_id, resource["Type"])

    def _get_att(self, path: list[str]) -> str:
        name, attribute = path
        if attribute == "Arn":
            return _ARNS[self._template["Resources"][name]["Type"]] + self._name(name)
        if attribute == "StreamArn":
            return self._get_att([name, "Arn"]) + "/stream/2026-01-05T09:00:00.000"
        return f"{self._name(name)}.{attribute}"

    def _sub(self, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            name, _, attribute = match[1].partition(".")
            return str(self._get_att([name, attribute]) if attribute else self._ref(name))

        return re.sub(r"\$\{([^!}]+)\}", value, text)

    def _if(self, parts: list[Any]) -> Any:
        name, yes, no = parts
        return self.resolve(yes if self.condition(name) else no)
