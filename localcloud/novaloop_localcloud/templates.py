"""What CloudFormation refuses of a template or of a resource in it, and the emulator takes.

Parameters and Rules are not here: the emulator checks them itself.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_NAMED_IN_SUB = re.compile(r"\$\{([^!}][^}]*)\}")

_LENGTHS: Mapping[str, Mapping[str, int]] = {
    "AWS::CloudWatch::Alarm": {"AlarmName": 255, "AlarmDescription": 1024},
    "AWS::CloudWatch::Dashboard": {"DashboardName": 255},
    "AWS::DynamoDB::Table": {"TableName": 255},
    "AWS::Events::Rule": {"Name": 64, "Description": 512},
    "AWS::IAM::ManagedPolicy": {"ManagedPolicyName": 128, "Description": 1000},
    "AWS::IAM::Role": {"RoleName": 64, "Description": 1000},
    "AWS::Lambda::Function": {"FunctionName": 64, "Description": 256, "Handler": 128},
    "AWS::Lambda::LayerVersion": {"LayerName": 64, "Description": 256},
    "AWS::Logs::LogGroup": {"LogGroupName": 512},
    "AWS::S3::Bucket": {"BucketName": 63},
    "AWS::SNS::Topic": {"TopicName": 256, "DisplayName": 100},
    "AWS::SQS::Queue": {"QueueName": 80},
    "AWS::Scheduler::Schedule": {"Name": 64, "Description": 512},
    "AWS::StepFunctions::StateMachine": {"StateMachineName": 80},
}
"""The longest texts, in characters. Source: each type's schema in the CloudFormation registry."""

_NAMES = {"AlarmName", "BucketName", "DashboardName", "FunctionName", "LayerName", "LogGroupName"}
_NAMES |= {
    "ManagedPolicyName",
    "Name",
    "QueueName",
    "RoleName",
    "StateMachineName",
    "TableName",
    "TopicName",
}

INLINE_POLICY_CHARACTERS = 10_240
"""All inline policies of one role together, white space not counted.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""
TRUST_POLICY_CHARACTERS = 2_048
ENVIRONMENT_BYTES = 4_096
"""All variables of one function.

Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""
_RESERVED_VARIABLES = {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_NAME", "_HANDLER"}
_RESERVED_VARIABLES |= {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
_RETENTIONS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192}
_RETENTIONS |= {2557, 2922, 3288, 3653}


def null_problem(template: Any, path: str = "") -> str | None:
    """Say where a template holds a null, as CloudFormation does, or None where it holds none.

    Sources: aws/serverless-application-model#1618, aws-cloudformation/cfn-lint#38.
    """
    if template is None:
        return f"[{path}] 'null' values are not allowed in templates"
    inner = template if isinstance(template, dict) else {}
    if isinstance(template, list):
        inner = dict(enumerate(template))
    problems = (null_problem(value, f"{path}/{key}") for key, value in inner.items())
    return next((problem for problem in problems if problem), None)


def reference_problem(template: Mapping[str, Any], conditions: Mapping[str, bool]) -> str | None:
    """Say which references of Resources and Outputs lead nowhere, as CloudFormation does.

    A resource whose condition is false is nowhere, too, unless the reference is in the branch of
    an Fn::If that is not taken. Source: serverless/serverless#4745, kubernetes-retired/
    kube-aws#1532, aws-solutions/media-insights-on-aws#145.
    """
    there = {
        name
        for name, resource in template.get("Resources", {}).items()
        if conditions.get(resource.get("Condition", ""), True)
    } | set(template.get("Parameters", {}))
    for block in ("Resources", "Outputs"):
        named = [
            each
            for part in template.get(block, {}).values()
            if conditions.get(part.get("Condition", ""), True)
            for each in references(part, conditions)
        ]
        missing = sorted({each for each in named if each not in there and "::" not in each})
        if missing:
            return (
                f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] "
                f"in the {block} block of the template"
            )
    return None


def references(value: Any, conditions: Mapping[str, bool]) -> Iterator[str]:
    """Yield what a part of a template refers to, under these conditions; unknown ones hold."""
    if isinstance(value, list):
        for item in value:
            yield from references(item, conditions)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key == "Ref":
            yield str(inner)
        elif key == "Fn::GetAtt":
            yield (inner.partition(".")[0] if isinstance(inner, str) else str(inner[0]))
        elif key == "Fn::Sub":
            yield from _references_of_sub(inner, conditions)
        elif key == "Fn::If":
            yield from references(inner[1 if conditions.get(inner[0], True) else 2], conditions)
        else:
            yield from references(inner, conditions)


def _references_of_sub(value: Any, conditions: Mapping[str, bool]) -> Iterator[str]:
    text, own = (value, {}) if isinstance(value, str) else value
    yield from references(list(own.values()), conditions)
    for name in _NAMED_IN_SUB.findall(text):
        if name.strip() not in own:
            yield name.strip().partition(".")[0]


def property_problem(kind: str, logical_id: str, properties: Mapping[str, Any]) -> str | None:
    """Say why a resource of this type can't be made, in AWS's words, or None when it can."""
    unsound = list(_schema_problems(kind, properties))
    if unsound:
        return (
            f"Properties validation failed for resource {logical_id} with message:\n"
            + "\n".join(unsound)
        )
    if kind == "AWS::IAM::Role":
        return _role_problem(str(properties.get("RoleName") or logical_id), properties)
    return _environment_problem(properties) if kind == "AWS::Lambda::Function" else None


def _schema_problems(kind: str, properties: Mapping[str, Any]) -> Iterator[str]:
    for name, longest in _LENGTHS.get(kind, {}).items():
        value = properties.get(name)
        if not isinstance(value, str):
            continue
        if name in _NAMES and not value:
            yield f"#/{name}: expected minLength: 1, actual: 0"
        if len(value) > longest:
            yield f"#/{name}: expected maxLength: {longest}, actual: {len(value)}"
    days = properties.get("RetentionInDays")
    if kind == "AWS::Logs::LogGroup" and days is not None and int(days) not in _RETENTIONS:
        yield f"#/RetentionInDays: {days} is not a valid enum value"
    if kind == "AWS::Lambda::Function":
        yield from _outside(properties, "Timeout", range(1, 901))
        yield from _outside(properties, "MemorySize", range(128, 10_241))
    if kind == "AWS::SQS::Queue":
        yield from _outside(properties, "DelaySeconds", range(901))
        yield from _outside(properties, "VisibilityTimeout", range(43_201))
        yield from _outside(properties, "MessageRetentionPeriod", range(60, 1_209_601))


def _outside(properties: Mapping[str, Any], name: str, allowed: range) -> Iterator[str]:
    if name in properties and int(properties[name]) not in allowed:
        bounds = f"{allowed[0]} to {allowed[-1]}"
        yield f"#/{name}: {properties[name]} is not in the range of {bounds}"


def _role_problem(role: str, properties: Mapping[str, Any]) -> str | None:
    policies = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    if _characters(policies) > INLINE_POLICY_CHARACTERS:
        return f"Maximum policy size of {INLINE_POLICY_CHARACTERS} bytes exceeded for role {role}"
    if _characters([properties.get("AssumeRolePolicyDocument", {})]) > TRUST_POLICY_CHARACTERS:
        return f"Cannot exceed quota for ACLSizePerRole: {TRUST_POLICY_CHARACTERS}"
    return None


def definition_problem(text: str) -> str | None:
    """Say where a definition has no whole number for a Map's concurrency, as Step Functions does.

    A parameter is put into the text as it was written, and a Number may be 2.5. Sources:
    https://states-language.net/spec.html ("a non-negative integer"), and for the words
    aws-cloudformation/cfn-lint#4075.
    """
    try:
        definition = json.loads(text)
    except ValueError as error:
        return f"Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: {error}'"
    for path, most in _fields(definition, "MaxConcurrency", ""):
        if isinstance(most, bool) or not isinstance(most, int) or most < 0:
            return (
                "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Expected value of "
                f"type Integer at {path}'"
            )
    return None


def _fields(value: Any, name: str, at: str) -> Iterator[tuple[str, Any]]:
    inner = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        inner = dict(enumerate(value))
    for key, each in inner.items():
        if key == name:
            yield f"{at}/{key}", each
        yield from _fields(each, name, f"{at}/{key}")


def _characters(documents: Collection[Any]) -> int:
    texts = (each if isinstance(each, str) else json.dumps(each) for each in documents)
    return sum(len("".join(text.split())) for text in texts)


def _environment_problem(properties: Mapping[str, Any]) -> str | None:
    variables = properties.get("Environment", {}).get("Variables", {})
    reserved = sorted(_RESERVED_VARIABLES & set(variables))
    if reserved:
        return (
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided contains reserved keys that are currently not supported "
            f"for modification. Reserved keys used in this request: {', '.join(reserved)}"
        )
    if len(json.dumps(variables, separators=(",", ":")).encode()) > ENVIRONMENT_BYTES:
        return (
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided exceeded the 4KB limit."
        )
    return None
