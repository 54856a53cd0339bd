"""AWS refuses no part of the template, whatever is switched on, in a stack of the longest name.

Each rule of `refusals` is also shown to catch a template that breaks it.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from tests.template.refusals import (
    OF_A_STACK,
    OF_THE_TEMPLATE,
    Rule,
    dangling_references,
    dashboards,
    defaults,
    descriptions,
    empty_values,
    environments,
    functions,
    given_names,
    grammar,
    missed_resources,
    nulls,
    policy_sizes,
    properties,
    queue_policies,
    rule_functions,
    rules_and_alarms,
    state_machines,
    statement_ids,
    template_quotas,
    topic_policies,
)
from tests.template.stack import TEMPLATE, Stack, Where, deployment, transformed

LONGEST_STACK_NAME = 47
"""Lambda's 64 characters for a function's name, without those of `-SageMaker-reward`."""

LONGEST = Where(stack="n" * LONGEST_STACK_NAME, region="ap-northeast-1", suffix="1GRP3N0TVA1LD")
"""A stack as long as can be, in a region of Nova's with a name as long as can be."""

OPTIONAL: dict[str, tuple[dict[str, str], ...]] = {
    "email": ({}, {"NotificationEmail": f"{'a' * 64}@{'example.' * 20}com"}),
    "key": (
        {},
        {"OutputKmsKeyArn": f"arn:aws:kms:ap-northeast-1:210987654321:key/{'0a1b-' * 7}0"},
    ),
    "vpc": (
        {},
        {
            "SubnetIds": ",".join([f"subnet-{'0' * 17}"] * 16),
            "SecurityGroupIds": ",".join([f"sg-{'0' * 17}"] * 5),
        },
    ),
    "functions": (
        {},
        {
            "ProcessorFunctionArns": ",".join(
                [f"arn:aws:lambda:ap-northeast-1:123456789012:function:{'f' * 53}"] * 6
            ),
            "RewardFunctionArns": ",".join(
                [f"arn:aws:lambda:ap-northeast-1:123456789012:function:{'r' * 53}"] * 6
            ),
        },
    ),
    "images": (
        {},
        {
            "ImageRepositoryArns": ",".join(
                [f"arn:aws:ecr:ap-northeast-1:123456789012:repository/{'r' * 54}"] * 6
            )
        },
    ),
    "reservation and defaults": (
        {},
        {
            "ControllerReservedConcurrency": "100",
            "DefaultApproval": "manual",
            "DefaultBudgetUsd": "1000000",
            "DefaultGate": "better-than-baseline",
        },
    ),
}
"""Parameters that switch something on: without each, and with it at its longest."""


@cache
def deployments() -> list[Stack]:
    """Return a stack for each combination of the optional parameters."""
    return list(_deployments_of(transformed()))


def _deployments_of(template: Mapping[str, Any]) -> Iterator[Stack]:
    for chosen in itertools.product(*OPTIONAL.values()):
        parameters = {name: value for each in chosen for name, value in each.items()}
        yield deployment(template, {"JobNamePrefix": "novaloop", **parameters}, LONGEST)


def problems(rule: Rule, template: Mapping[str, Any]) -> list[str]:
    """Return what a rule finds, in the template or in any stack that it makes."""
    if rule in OF_THE_TEMPLATE:
        return list(rule(template))
    stacks = deployments() if template is transformed() else _deployments_of(template)
    return sorted({problem for stack in stacks for problem in rule(stack)})


@pytest.mark.parametrize("rule", [*OF_THE_TEMPLATE, *OF_A_STACK], ids=lambda rule: rule.__name__)
def test_aws_refuses_nothing(rule: Rule) -> None:
    assert problems(rule, transformed()) == []


def test_the_longest_values_are_as_long_as_the_template_allows() -> None:
    """A value that is shorter than what is allowed would prove nothing."""
    parameters = transformed()["Parameters"]
    for name, value in (pair for _, given in OPTIONAL.values() for pair in given.items()):
        longest = parameters[name].get("MaxLength")
        assert longest is None or 0.97 * longest <= len(value) <= longest, (name, len(value))


def test_a_stacks_name_may_be_as_long_as_is_promised_and_no_longer() -> None:
    longer = Where(stack="n" * (LONGEST_STACK_NAME + 1))
    assert list(properties(deployment(transformed(), {}, longer)))
    promised = f"at most {LONGEST_STACK_NAME} characters"
    assert promised in (TEMPLATE.parent / "docs" / "operations.md").read_text()


# ------------------------------------------------------------------ and each rule catches


def at(template: Any, path: str) -> Any:
    """Return what stands at a path of keys and numbers."""
    for key in path.split("/"):
        template = template[int(key) if key.isdigit() else key]
    return template


def put(path: str, value: Any) -> Callable[[Any], None]:
    """Return a change that puts a value somewhere."""
    parent, _, last = path.rpartition("/")

    def change(template: Any) -> None:
        place = at(template, parent) if parent else template
        place[int(last) if last.isdigit() else last] = value

    return change


def edit(path: str, old: str, new: str) -> Callable[[Any], None]:
    """Return a change that replaces a part of a text or of an intrinsic function's text."""

    def change(template: Any) -> None:
        before = at(template, path)
        assert old in before
        put(path, before.replace(old, new))(template)

    return change


def without(path: str) -> Callable[[Any], None]:
    """Return a change that takes something away."""
    parent, _, last = path.rpartition("/")
    return lambda template: at(template, parent).pop(last)


def sub(text: str) -> dict[str, str]:
    return {"Fn::Sub": text}


RULES = "arn:aws:events:${AWS::Region}:${AWS::AccountId}:rule/${AWS::StackName}-*"
HAND_OVER = "IngestFunctionRole/Properties/Policies/1/PolicyDocument/Statement/3/Resource/Fn::Sub"
TEMPLATE_OF_HINTS = "EndpointRule/Properties/Targets/0/InputTransformer/InputTemplate"
QUEUES = [{"Fn::GetAtt": ["HintQueue", "Arn"]}, {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}]
LIMIT = '"MaxConcurrency": ${BigFileConcurrency}'
QUOTED_LIMIT = '"MaxConcurrency": "${BigFileConcurrency}"'
R = "Resources"
P = "Properties"
CONTROLLER = f"{R}/ControllerFunctionRole/{P}/Policies/0/PolicyDocument/Statement"
HINTS = f"{R}/QueuePolicy/{P}/PolicyDocument/Statement"
UNDELIVERED = f"{R}/DeadLetterQueuePolicy/{P}/PolicyDocument/Statement/1/Condition"
MACHINE = f"{R}/BigFiles/{P}/DefinitionString"
LONG_STATEMENT = {
    "Effect": "Allow",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::" + "b" * 6144,
}

BROKEN: list[tuple[Rule, Callable[[Any], None]]] = [
    (template_quotas, put("Description", "d" * 1025)),
    (template_quotas, put("Metadata", {"more": "m" * 1_000_000})),
    (template_quotas, put(R, {str(n): {} for n in range(501)})),
    (template_quotas, put("Outputs/Bucket-Name", {"Value": "b"})),
    (nulls, put(f"{R}/BigFiles/{P}/TracingConfiguration", None)),
    (defaults, put("Parameters/JobNamePrefix/Default", "Novaloop")),
    (defaults, put("Parameters/LookSeconds/Default", 0)),
    (defaults, put("Parameters/LookSeconds/Default", 3601)),
    (defaults, put("Parameters/JobNamePrefix/MinValue", 1)),
    (defaults, put("Parameters/LogRetentionDays/Default", 2)),
    (
        properties,
        put(f"{R}/RewardFunction/{P}/FunctionName", sub("${AWS::StackName}-SageMaker-rewards")),
    ),
    (
        properties,
        put(f"{R}/SweeperFunctionSweep/{P}/Name", sub("${AWS::StackName}-looks-for-lost-events")),
    ),
    (
        properties,
        put(
            f"{R}/BigFiles/{P}/StateMachineName",
            sub("${AWS::StackName}-converts-the-big-files-of-experiments"),
        ),
    ),
    (
        rule_functions,
        put(
            "Rules/SubnetsNeedSecurityGroups/RuleCondition",
            {"Fn::If": ["HasVpc", True, False]},
        ),
    ),
    (given_names, put(f"{R}/RewardLogs/{P}/LogGroupName", "/aws/lambda/a b")),
    (empty_values, put(f"{R}/NotificationSubscription/Condition", "HasVpc")),
    (
        empty_values,
        put(
            f"{R}/ExecutionRole/{P}/Policies/1",
            {"PolicyName": "P", "PolicyDocument": {"Statement": []}},
        ),
    ),
    (
        dangling_references,
        put("Outputs/Subscription", {"Value": {"Ref": "NotificationSubscription"}}),
    ),
    (properties, put(f"{R}/IngestFunction/{P}/Description", "d" * 257)),
    (
        descriptions,
        put(f"{R}/ExecutionRole/{P}/Description", "what jobs run with \N{EM DASH} and endpoints"),
    ),
    (properties, put(f"{CONTROLLER}/0/Resource", "arn:aws:s3:::" + "b" * 5000)),
    (policy_sizes, put(f"{R}/ControllerOnBedrock/{P}/PolicyDocument/Statement/0", LONG_STATEMENT)),
    (policy_sizes, put(f"{HINTS}/0/Resource", "arn:aws:sqs:::" + "b" * 8192)),
    (
        policy_sizes,
        put(f"{R}/SweeperFunctionRole/{P}/ManagedPolicyArns", [f"arn:{n}" for n in range(11)]),
    ),
    (statement_ids, put(f"{CONTROLLER}/1/Sid", "ReceiveHints")),
    (statement_ids, put(f"{CONTROLLER}/1/Sid", "Read-Stream")),
    (grammar, put(f"{CONTROLLER}/0/Resource", {"Ref": "HintQueue"})),
    (grammar, put(f"{CONTROLLER}/0/Resource", "arn:aws:s3:us-east-1:123456789012:bucket")),
    (grammar, put(f"{CONTROLLER}/0/Action", "ReceiveMessage")),
    (queue_policies, put(f"{HINTS}/0/Resource", QUEUES)),
    (queue_policies, without(f"{HINTS}/0/Resource")),
    (queue_policies, put(f"{HINTS}/0/Action", [f"sqs:{n}" for n in range(8)])),
    (
        topic_policies,
        put(f"{R}/TopicPolicy/{P}/PolicyDocument/Statement/0/Action", "sns:CreateTopic"),
    ),
    (missed_resources, put(UNDELIVERED, {"ArnLike": {"aws:SourceArn": sub(RULES)}})),
    (missed_resources, edit(f"{R}/{HAND_OVER}", "big-files", "big-file")),
    (properties, put(f"{R}/ControllerFunction/{P}/Environment/Variables/MORE", "m" * 4000)),
    (environments, put(f"{R}/ControllerFunction/{P}/Environment/Variables/AWS_REGION", "r")),
    (functions, put(f"{R}/HintQueue/{P}/VisibilityTimeout", 60)),
    (functions, put(f"{R}/ControllerFunctionHints/{P}/ScalingConfig/MaximumConcurrency", 1)),
    (functions, put(f"{R}/ControllerFunctionHints/{P}/BatchSize", 100)),
    (rules_and_alarms, edit(f"{R}/{TEMPLATE_OF_HINTS}", "<config>", "<conf>")),
    (
        rules_and_alarms,
        put(f"{R}/EndpointRule/{P}/EventPattern/detail", {"EndpointName": ["e" * 4096]}),
    ),
    (rules_and_alarms, put(f"{R}/SweepAlarm/{P}/EvaluationPeriods", 100)),
    (dashboards, edit(f"{R}/Dashboard/{P}/DashboardBody/Fn::Sub", "]}", "],}")),
    (state_machines, edit(MACHINE, LIMIT, QUOTED_LIMIT)),
    (state_machines, edit(MACHINE, '"Next": "Join"', '"Next": "Merge"')),
    (state_machines, edit(MACHINE, '"StartAt": "Scan"', '"StartAt": "Start"')),
    (state_machines, edit(MACHINE, '"OutputPath"', '"Output"')),
    (state_machines, without(f"{R}/BigFiles/{P}/DefinitionSubstitutions/IngestFunctionArn")),
]
"""For each rule, templates that break it."""


def test_every_rule_is_shown_to_catch() -> None:
    assert {rule for rule, _ in BROKEN} == {*OF_THE_TEMPLATE, *OF_A_STACK}


@pytest.mark.parametrize(
    ("rule", "change"), BROKEN, ids=[f"{n}-{rule.__name__}" for n, (rule, _) in enumerate(BROKEN)]
)
def test_a_broken_template_is_caught(rule: Rule, change: Callable[[Any], None]) -> None:
    broken = copy.deepcopy(transformed())
    change(broken)
    assert problems(rule, broken) != []
