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


@dataclass(frozen=True)
class Where:
    """What stack a deployment makes, and how CloudFormation ends the names that it generates."""

    stack: str = "novaloop"
    region: str = REGION
    suffix: str = "EXAMPLE"

    @property
    def pseudo_parameters(self) -> dict[str, str]:
        return {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": self.region,
            "AWS::Partition": "aws",
            "AWS::StackName": self.stack,
            "AWS::StackId": f"arn:aws:cloudformation:{self.region}:{ACCOUNT}:stack/{self.stack}/id",
        }


_HERE = Where()
_ARNS = {
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:{region}:{account}:alarm:",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:{region}:{account}:table/",
    "AWS::Events::Rule": "arn:aws:events:{region}:{account}:rule/",
    "AWS::Logs::LogGroup": "arn:aws:logs:{region}:{account}:log-group:",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:{region}:{account}:stateMachine:",
    "AWS::IAM::ManagedPolicy": "arn:aws:iam::{account}:policy/",
    "AWS::IAM::Role": "arn:aws:iam::{account}:role/",
    "AWS::Lambda::Function": "arn:aws:lambda:{region}:{account}:function:",
    "AWS::S3::Bucket": "arn:aws:s3:::",
    "AWS::SNS::Topic": "arn:aws:sns:{region}:{account}:",
    "AWS::SQS::Queue": "arn:aws:sqs:{region}:{account}:",
}
_LONGEST_NAMES = {
    "AWS::Events::Rule": 64,
    "AWS::IAM::Role": 64,
    "AWS::Lambda::Function": 64,
    "AWS::S3::Bucket": 63,
    "AWS::SQS::Queue": 80,
}
"""How long a name is that CloudFormation generates, for the kinds where that matters.

Sources: ministackorg/ministack#57 lists them by service; convox/rack#2297 shows how a name is cut
to them: to 24 characters of the logical id, and then of the stack's name.
"""
_REF_IS_ARN = {
    "AWS::IAM::ManagedPolicy",
    "AWS::SNS::Topic",
    "AWS::StepFunctions::StateMachine",
}
_GIVEN_NAMES = ("DashboardName", "FunctionName", "LogGroupName", "Name", "StateMachineName")
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
    """Return template.yaml as plain data, with the text of a state machine in place of its file."""
    plain: dict[str, Any] = json.loads(json.dumps(yaml_parse(TEMPLATE.read_text())))
    for resource in plain["Resources"].values():
        properties = resource.get("Properties", {})
        if "DefinitionS3Location" in properties:
            file = TEMPLATE.parent / properties.pop("DefinitionS3Location")
            properties["DefinitionString"] = file.read_text()
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

    where: Where
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
        properties: Mapping[str, Any] = self.resources[name].get("Properties", {})
        return properties

    def name(self, logical_id: str) -> str:
        """Return a resource's physical name."""
        kind = self.resources[logical_id]["Type"]
        properties = self.properties(logical_id)
        given = next((properties[key] for key in _GIVEN_NAMES if key in properties), None)
        return str(given or physical_name(logical_id, kind, self.where))

    def arn(self, logical_id: str) -> str:
        """Return a resource's ARN."""
        return arn_prefix(self.resources[logical_id]["Type"], self.where) + self.name(logical_id)

    def inline_policies(self, role: str) -> list[Mapping[str, Any]]:
        """Return the documents of a role's inline policies."""
        inline = self.properties(role).get("Policies", [])
        return [policy["PolicyDocument"] for policy in inline]

    def policies(self, role: str) -> list[Mapping[str, Any]]:
        """Return every document by which a role may do something: inline, the stack's, AWS's."""
        managed = {
            self.arn(name): policy["PolicyDocument"]
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
    return deployment(transformed(), parameters)


def deployment(
    template: Mapping[str, Any], parameters: Mapping[str, str], where: Where = _HERE
) -> Stack:
    """Return the stack that a deployment of any template anywhere would have."""
    resolver = _Resolver(template, where, parameters)
    kept = {
        name: resource
        for name, resource in template["Resources"].items()
        if "Condition" not in resource or resolver.condition(resource["Condition"])
    }
    resources = resolver.resolve(kept)
    for resource in resources.values():
        _substitute(resource.get("Properties", {}))
    return Stack(where, template["Parameters"], resources, resolver.resolve(template["Outputs"]))


def _substitute(properties: dict[str, Any]) -> None:
    """Do as CloudFormation does before Step Functions sees a definition.

    Source: DefinitionProcessor in aws-cloudformation/
    aws-cloudformation-resource-providers-stepfunctions.
    """
    for name, value in properties.pop("DefinitionSubstitutions", {}).items():
        text = properties["DefinitionString"]
        properties["DefinitionString"] = text.replace(f"${{{name}}}", str(value))


def broken_rules(**parameters: str) -> list[str]:
    """Return the rules of the template by which these parameters are refused."""
    template = transformed()
    resolver = _Resolver(template, _HERE, parameters)
    return [
        name
        for name, rule in template["Rules"].items()
        if resolver.resolve(rule["RuleCondition"])
        and not all(resolver.resolve(each["Assert"]) for each in rule["Assertions"])
    ]


def physical_name(logical_id: str, kind: str, where: Where = _HERE) -> str:
    """Return the name that CloudFormation generates for a resource."""
    room = _LONGEST_NAMES.get(kind, 255)
    ending = f"-{where.suffix}"
    if len(f"{where.stack}-{logical_id}{ending}") > room:
        ending = f"-{logical_id[:24]}{ending}"
        name = where.stack[: room - len(ending)] + ending
    else:
        name = f"{where.stack}-{logical_id}{ending}"
    return name.lower() if kind == "AWS::S3::Bucket" else name


def arn_prefix(kind: str, where: Where = _HERE) -> str:
    """Return what stands before the name in the ARN of a resource of this kind."""
    return _ARNS[kind].format(region=where.region, account=ACCOUNT)


class _Resolver:
    def __init__(
        self, template: Mapping[str, Any], where: Where, parameters: Mapping[str, str]
    ) -> None:
        self._template = template
        self._where = where
        defaults = {name: spec["Default"] for name, spec in template["Parameters"].items()}
        self._values = {**defaults, **parameters, **where.pseudo_parameters}
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
        if given:
            return str(self.resolve(given))
        return physical_name(logical_id, resource["Type"], self._where)

    def _get_att(self, path: list[str]) -> str:
        name, attribute = path
        if attribute == "Arn":
            kind = self._template["Resources"][name]["Type"]
            return arn_prefix(kind, self._where) + self._name(name)
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
