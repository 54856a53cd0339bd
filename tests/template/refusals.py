"""What AWS refuses at deployment, and cfn-lint does not see: rules with sources.

A rule looks at the transformed template, or at a stack as a deployment of it would make it, and
yields what AWS would refuse.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from novaloop_localcloud.templates import null_problem, property_problem
from tests.template.stack import Stack, transformed


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything that holds nothing else, with its path."""
    if value and isinstance(value, Mapping | list):
        nested = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, each in nested:
            yield from leaves(each, f"{at}/{key}")
    else:
        yield at, value


def size(value: Any) -> int:
    """Return the size of a value as JSON, without white space: characters of ASCII are bytes."""
    return len(json.dumps(value, separators=(",", ":")))


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# ------------------------------------------------------------------ of the template itself


def template_quotas(template: Mapping[str, Any]) -> Iterator[str]:
    """A template has quotas: awsdocs/aws-cloudformation-user-guide, cloudformation-limits.md.

    1 MB from a bucket, as `sam deploy` hands it over (51,200 bytes in the request itself), 500
    resources, 200 parameters, 200 outputs, a description of 1,024 bytes.
    """
    limits = {"Resources": 500, "Parameters": 200, "Outputs": 200, "Mappings": 200}
    for section, most in limits.items():
        if len(template.get(section, {})) > most:
            yield f"{section}: more than {most}"
    if len(json.dumps(template, indent=2)) > 1_000_000:
        yield "the template is larger than 1 MB"
    if len(template["Description"].encode()) > 1024:
        yield "Description: more than 1,024 bytes"
    for section in ("Parameters", "Outputs"):
        for name, spec in template[section].items():
            if len(name) > 255 or not name.isalnum():
                yield f"{section}/{name}: not 1 to 255 letters and digits"
            if len(spec.get("Description", "")) > (4000 if section == "Parameters" else 1024):
                yield f"{section}/{name}: the description is too long"
            if len(str(spec.get("Default", ""))) > 4096:
                yield f"{section}/{name}: the default is longer than 4,096 bytes"


def nulls(template: Mapping[str, Any]) -> Iterator[str]:
    """CloudFormation takes null nowhere; the local cloud refuses the same."""
    if problem := null_problem(template):
        yield problem


def defaults(template: Mapping[str, Any]) -> Iterator[str]:
    """A default must keep to its parameter's own constraints: CloudFormation's "Parameters"."""
    for name, spec in template["Parameters"].items():
        default = str(spec.get("Default", ""))
        if "AllowedPattern" in spec and not re.fullmatch(spec["AllowedPattern"], default):
            yield f"{name}: {default!r} does not match {spec['AllowedPattern']}"
        bounds = spec.get("MinValue", "-inf"), spec.get("MaxValue", "inf")
        if spec["Type"] == "Number" and not float(bounds[0]) <= float(default) <= float(bounds[1]):
            yield f"{name}: {default} is not {bounds[0]} to {bounds[1]}"
        if spec["Type"] != "Number" and {"MinValue", "MaxValue"} & spec.keys():
            yield f"{name}: limits of a number on a {spec['Type']}"
        if "AllowedValues" in spec and default not in map(str, spec["AllowedValues"]):
            yield f"{name}: {default} is not allowed"
        if len(spec.get("ConstraintDescription", "")) > 4000:
            yield f"{name}: the description of its constraint is too long"


RULE_FUNCTIONS = {
    "Ref",
    "Fn::And",
    "Fn::Contains",
    "Fn::EachMemberEquals",
    "Fn::EachMemberIn",
    "Fn::Equals",
    "Fn::Not",
    "Fn::Or",
    "Fn::RefAll",
    "Fn::ValueOf",
    "Fn::ValueOfAll",
}


def rule_functions(template: Mapping[str, Any]) -> Iterator[str]:
    """Rules know few functions ("Following functions are not supported in the Rules block of the
    template"): CloudFormation's user guide, "Rule-specific intrinsic functions".
    """
    for path, _ in leaves(template["Rules"]):
        for function in re.findall(r"/(Fn::\w+|Ref)\b", path):
            if function not in RULE_FUNCTIONS:
                yield f"{path}: {function}"


# ------------------------------------------------------------------ of what is deployed


def properties(stack: Stack) -> Iterator[str]:
    """What the local cloud refuses of a resource as CloudFormation would: lengths of names and
    descriptions, bounds of numbers, sizes of a role's policies and of a function's variables.
    """
    for logical_id, resource in stack.resources.items():
        told = property_problem(resource["Type"], logical_id, resource.get("Properties", {}))
        if told:
            yield f"{logical_id}: {told}"


NAMES: dict[str, tuple[str, str]] = {
    "AWS::CloudWatch::Dashboard": ("DashboardName", r"[A-Za-z0-9_-]+"),
    "AWS::Lambda::Function": ("FunctionName", r"[A-Za-z0-9_-]+"),
    "AWS::Lambda::LayerVersion": ("LayerName", r"[A-Za-z0-9_-]+"),
    "AWS::Logs::LogGroup": ("LogGroupName", r"[A-Za-z0-9_/.#-]+"),
    "AWS::Scheduler::Schedule": ("Name", r"[A-Za-z0-9_.-]+"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", r"[A-Za-z0-9_-]+"),
}
"""Where names are given: the property, and the characters that it may be of.

Source: each service's API reference. A name that CloudFormation generates is cut to fit; one that
the template gives is refused (aws-samples/amazon-transcribe-live-meeting-assistant#13).
"""


def given_names(stack: Stack) -> Iterator[str]:
    """A name that the template gives is of the service's characters: see NAMES."""
    for logical_id, resource in stack.resources.items():
        name_property, pattern = NAMES.get(resource["Type"], ("", ""))
        name = resource.get("Properties", {}).get(name_property)
        if name is not None and not re.fullmatch(pattern, name):
            yield f"{logical_id}: {name_property} {name} has a character that is refused"


def empty_values(stack: Stack) -> Iterator[str]:
    """Services refuse empty names, lists and blocks; only an environment variable may be empty.

    Sources: the minimum lengths in each API reference; Lambda's `EnvironmentVariables` has none.
    """
    for at, value in leaves(stack.resources):
        if value in ("", [], {}) and "/Environment/Variables/" not in at:
            yield f"{at} is empty"


def dangling_references(stack: Stack) -> Iterator[str]:
    """What is deployed can't refer to what its condition leaves out ("Unresolved resource
    dependencies"): CloudFormation's user guide, "Conditions".
    """
    for logical_id in transformed()["Resources"].keys() - stack.resources.keys():
        for at, value in leaves([stack.resources, stack.outputs]):
            if isinstance(value, str) and f"-{logical_id}-{stack.where.suffix}" in value:
                yield f"{at} refers to {logical_id}, which is not deployed"


def descriptions(stack: Stack) -> Iterator[str]:
    """IAM's descriptions are Latin-1 without control characters: its API reference."""
    for logical_id, resource in stack.resources.items():
        text = resource.get("Properties", {}).get("Description", "")
        if "IAM" in resource["Type"] and not re.fullmatch("[\t\n\r\x20-\x7e\xa1-\xff]*", text):
            yield f"{logical_id}: Description has a character that IAM refuses"


def policy_sizes(stack: Stack) -> Iterator[str]:
    """Policies of their own have sizes, white space not counted.

    Sources: IAM's user guide, "IAM and STS quotas" (a managed policy 6,144, ten of them for a
    role); S3's "Bucket policies" (20 KB); SNS's `SetTopicAttributes` (30 KB); SQS's "Amazon SQS
    policy quotas" (8,192).
    """
    for role, properties in stack.of_type("AWS::IAM::Role").items():
        if len(properties.get("ManagedPolicyArns", [])) > 10:
            yield f"{role}: more than 10 managed policies"
    limits = {
        "AWS::IAM::ManagedPolicy": 6144,
        "AWS::S3::BucketPolicy": 20 * 1024,
        "AWS::SNS::TopicPolicy": 30 * 1024,
        "AWS::SQS::QueuePolicy": 8192,
    }
    for kind, most in limits.items():
        for name, properties in stack.of_type(kind).items():
            if (found := size(properties["PolicyDocument"])) > most:
                yield f"{name}: its policy has {found} characters of {most}"


def documents(stack: Stack) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every policy document that the stack makes, with its place."""
    for name, resource in stack.resources.items():
        properties = resource.get("Properties", {})
        for key in ("PolicyDocument", "AssumeRolePolicyDocument"):
            if key in properties:
                yield f"{name}/{key}", properties[key]
        for policy in properties.get("Policies", []):
            yield f"{name}/{policy['PolicyName']}", policy["PolicyDocument"]


def statements(stack: Stack) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every statement of every policy document, with its place."""
    for at, document in documents(stack):
        for number, statement in enumerate(document["Statement"]):
            yield f"{at}/{statement.get('Sid', number)}", statement


def statement_ids(stack: Stack) -> Iterator[str]:
    """A Sid is unique in its policy, of letters and digits: IAM's JSON elements, "Sid"."""
    for at, document in documents(stack):
        sids = [str(each["Sid"]) for each in document["Statement"] if "Sid" in each]
        for sid, times in Counter(sids).items():
            if times > 1:
                yield f"{at}: {sid} stands {times} times"
            if not sid.isalnum() or not sid.isascii():
                yield f"{at}: {sid} is not of letters and digits"


def grammar(stack: Stack) -> Iterator[str]:
    """IAM reads resources as ARNs: "Resource X must be in ARN format or '*'", the same for S3's and
    IAM's regions and accounts, and actions as service:name. Source: IAM's "Troubleshoot policies".
    """
    for at, statement in statements(stack):
        for action in listed(statement["Action"]):
            if not re.fullmatch(r"[a-z0-9-]+:[A-Za-z*]+", action):
                yield f"{at}: {action} is no action"
        for resource in listed(statement.get("Resource", "*")):
            parts = resource.split(":", 5)
            if resource != "*" and (len(parts) != 6 or parts[0] != "arn" or not parts[2]):
                yield f"{at}: {resource} is no ARN"
            elif resource != "*" and parts[2] in ("s3", "iam") and parts[3]:
                yield f"{at}: {resource} may name no region"
            elif resource != "*" and parts[2] == "s3" and parts[4]:
                yield f"{at}: {resource} may name no account"


def queue_policies(stack: Stack) -> Iterator[str]:
    """SQS takes one resource in a statement (remind101/stacker_blueprints#71), which must be there
    (aws/aws-cdk#1675), 7 actions in one (ministryofjustice/cloud-platform-environments#9082), 20
    statements, 50 principals and 10 conditions in all ("Amazon SQS policy quotas").
    """
    for name, properties in stack.of_type("AWS::SQS::QueuePolicy").items():
        found = properties["PolicyDocument"]["Statement"]
        for statement in found:
            if len(listed(statement.get("Resource", []))) != 1:
                yield f"{name}/{statement['Sid']}: not one resource"
            if len(listed(statement["Action"])) > 7:
                yield f"{name}/{statement['Sid']}: more than 7 actions"
        conditions = sum(len(keys) for each in found for keys in each["Condition"].values())
        if len(found) > 20 or conditions > 10:
            yield f"{name}: {len(found)} statements, {conditions} conditions"


ON_TOPICS = {
    "sns:AddPermission",
    "sns:DeleteTopic",
    "sns:GetTopicAttributes",
    "sns:ListSubscriptionsByTopic",
    "sns:Publish",
    "sns:Receive",
    "sns:RemovePermission",
    "sns:SetTopicAttributes",
    "sns:Subscribe",
}


def topic_policies(stack: Stack) -> Iterator[str]:
    """SNS takes only a topic's own actions ("Policy statement action out of service scope!").

    Sources: hashicorp/terraform#12740, aws/aws-cli#3143, nccgroup/ScoutSuite#1415.
    """
    for name, properties in stack.of_type("AWS::SNS::TopicPolicy").items():
        for statement in properties["PolicyDocument"]["Statement"]:
            if outside := set(listed(statement["Action"])) - ON_TOPICS:
                yield f"{name}/{statement['Sid']}: {sorted(outside)}"


OURS = {
    "AWS::CloudWatch::Alarm",
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::Lambda::Function",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::StepFunctions::StateMachine",
}
"""Kinds of which policies name only what the stack itself makes."""


def missed_resources(stack: Stack) -> Iterator[str]:
    """A policy that names resources of the stack by a pattern must meet them, whatever is cut.

    CloudFormation cuts a long stack's name short in the names that it generates
    (aws-solutions/aws-waf-security-automations#143, convox/rack#2297).
    """
    arns = [stack.arn(name) for kind in OURS for name in stack.of_type(kind)]
    services = {arn.split(":")[2] for arn in arns}
    for at, statement in statements(stack):
        conditions = statement.get("Condition", {})
        named = [
            *listed(statement.get("Resource", "*")),
            *(arn for keys in conditions.values() for arn in listed(keys.get("aws:SourceArn", []))),
        ]
        for pattern in named:
            service = pattern.split(":")[2] if pattern.startswith("arn:") else ""
            if service not in services or at.endswith(("/Processors", "/Rewards")):
                continue
            # An index, a stream, an execution: what belongs to a resource is met with it.
            owner = re.sub(r"/(index|stream)/.*", "", pattern)
            owner = re.sub(r":execution:(.*)[/:]\*", r":stateMachine:\1", owner)
            if not any(fnmatchcase(arn, owner) for arn in arns):
                yield f"{at}: {pattern} meets nothing of the stack"


def environments(stack: Stack) -> Iterator[str]:
    """A function's variables have names that Lambda does not keep for itself.

    Source: Lambda's developer guide, "Using environment variables".
    """
    for name, properties in stack.of_type("AWS::Lambda::Function").items():
        for variable in properties["Environment"]["Variables"]:
            kept = variable.startswith(("AWS_", "LAMBDA_")) or variable in ("_HANDLER", "TZ")
            if kept or not re.fullmatch(r"[A-Za-z]\w+", variable):
                yield f"{name}: {variable} can't be set"


def functions(stack: Stack) -> Iterator[str]:
    """A queue hides a message at least as long as its function may take ("Queue visibility timeout
    ... is less than Function timeout"); batches, filters and concurrency have limits.

    Source: Lambda's developer guide, "Creating and configuring an Amazon SQS event source mapping",
    and the API reference of CreateEventSourceMapping.
    """
    named = {
        stack.name(name): each for name, each in stack.of_type("AWS::Lambda::Function").items()
    }
    queues = {stack.arn(name): each for name, each in stack.of_type("AWS::SQS::Queue").items()}
    for name, source in stack.of_type("AWS::Lambda::EventSourceMapping").items():
        queue = queues.get(source["EventSourceArn"])
        if queue and queue["VisibilityTimeout"] < named[source["FunctionName"]]["Timeout"]:
            yield f"{name}: its queue hides messages for less than the function's timeout"
        most = source.get("ScalingConfig", {}).get("MaximumConcurrency", 2)
        if not 2 <= most <= 1000:
            yield f"{name}: MaximumConcurrency is not 2 to 1,000"
        if queue and source["BatchSize"] > 10 and not source.get("MaximumBatchingWindowInSeconds"):
            yield f"{name}: more than 10 messages need a batching window"
        filters = source.get("FilterCriteria", {}).get("Filters", [])
        if len(filters) > 5 or any(len(each["Pattern"]) > 4096 for each in filters):
            yield f"{name}: more than 5 filters, or one of more than 4,096 characters"
    for name, function in named.items():
        if len(function.get("Layers", [])) > 5:
            yield f"{name}: more than 5 layers"


def rules_and_alarms(stack: Stack) -> Iterator[str]:
    """Event patterns have 4,096 characters, templates 8,192; an alarm looks back one day at most.

    Sources: EventBridge's "Quotas" and `InputTransformer`; CloudWatch's `PutMetricAlarm`.
    """
    for name, rule in stack.of_type("AWS::Events::Rule").items():
        if size(rule["EventPattern"]) > 4096:
            yield f"{name}: its pattern has more than 4,096 characters"
        for target in rule["Targets"]:
            transformer = target.get("InputTransformer", {})
            if len(transformer.get("InputTemplate", "")) > 8192 or len(target["Id"]) > 64:
                yield f"{name}: an input template or an id of a target is too long"
            used = set(re.findall(r"<(\w+)>", transformer.get("InputTemplate", "")))
            if used != transformer.get("InputPathsMap", {}).keys():
                yield f"{name}: its template uses {used}"
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        if alarm["Period"] % 60 or alarm["Period"] * alarm["EvaluationPeriods"] > 86_400:
            yield f"{name}: periods of minutes, one day at most"


def dashboards(stack: Stack) -> Iterator[str]:
    """A dashboard's body is JSON of at most 500 widgets, 24 columns wide: CloudWatch's "Dashboard
    body structure and syntax".
    """
    for name, properties in stack.of_type("AWS::CloudWatch::Dashboard").items():
        try:
            widgets = json.loads(properties["DashboardBody"])["widgets"]
        except ValueError as error:
            yield f"{name}: {error}"
            continue
        if not 0 < len(widgets) <= 500 or any(not 0 < each["width"] <= 24 for each in widgets):
            yield f"{name}: not 1 to 500 widgets of 1 to 24 columns"


STATES = {
    "Map": {"ItemProcessor", "ItemsPath", "ItemSelector", "MaxConcurrency", "Catch"},
    "Task": {"Resource", "Parameters", "ResultSelector", "TimeoutSeconds", "Catch"},
    "Fail": {"Error", "Cause"},
}
EVERYWHERE = {"Type", "Comment", "Next", "End", "ResultPath", "OutputPath", "Retry"}


def state_machines(stack: Stack) -> Iterator[str]:
    """A definition is Amazon States Language: https://states-language.net/spec.html, of 1 MB at
    most; what its tasks call must be of the stack.
    """
    arns = {stack.arn(name) for name in stack.of_type("AWS::Lambda::Function")}
    for name, properties in stack.of_type("AWS::StepFunctions::StateMachine").items():
        try:
            definition = json.loads(properties["DefinitionString"])
        except ValueError as error:
            yield f"{name}: {error}"
            continue
        if "${" in properties["DefinitionString"] or size(definition) > 1_000_000:
            yield f"{name}: something is not substituted, or more than 1 MB"
        yield from (f"{name}/{problem}" for problem in _states(definition, arns))


def _states(machine: Mapping[str, Any], functions: set[str]) -> Iterator[str]:
    states = machine["States"]
    caught = [each for state in states.values() for each in state.get("Catch", [])]
    following = (each.get("Next") for each in (*states.values(), *caught))
    reached = {machine.get("StartAt"), *following} - {None}
    if reached != states.keys():
        yield f"{sorted(reached ^ states.keys())} can't be reached, or do not exist"
    if not any(each.get("End") for each in states.values()):
        yield "no state ends it"
    for name, state in states.items():
        ends = state.get("End", False) or state["Type"] == "Fail"
        if len(name) > 80 or ("Next" in state) == ends:
            yield f"{name}: a name of 80 characters, and either Next or End"
        if unknown := state.keys() - EVERYWHERE - STATES[state["Type"]]:
            yield f"{name}: {sorted(unknown)} is not of a {state['Type']}"
        if state["Type"] == "Task" and state["Parameters"]["FunctionName"] not in functions:
            yield f"{name}: calls {state['Parameters']['FunctionName']}"
        if state["Type"] == "Map":
            most = state["MaxConcurrency"]
            if isinstance(most, bool) or not isinstance(most, int) or most < 0:
                yield f"{name}: MaxConcurrency {most!r} is no whole number"
            yield from (f"{name}/{each}" for each in _states(state["ItemProcessor"], functions))


Rule = Callable[[Any], Iterator[str]]

OF_THE_TEMPLATE: tuple[Rule, ...] = (template_quotas, nulls, defaults, rule_functions)
OF_A_STACK: tuple[Rule, ...] = (
    properties,
    given_names,
    empty_values,
    dangling_references,
    descriptions,
    policy_sizes,
    statement_ids,
    grammar,
    queue_policies,
    topic_policies,
    missed_resources,
    environments,
    functions,
    rules_and_alarms,
    dashboards,
    state_machines,
)
