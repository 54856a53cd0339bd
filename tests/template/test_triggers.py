"""What reaches which function, and how: rules, stream filter, queues, timeouts."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.events.models import EventPattern

from novaloop.cloud.messages import MAX_DELAY
from novaloop.experiment.controller.transitions import LAUNCH_LEASE
from novaloop.usecases.big_files import WEATHER
from tests.template.stack import broken_rules, deployed

EVENTS = Path(__file__).parents[2] / "events"
STACK = deployed()
DEAD_LETTERS = "arn:aws:sqs:us-east-1:123456789012:novaloop-DeadLetterQueue-EXAMPLE"
UPLOADS, TRAINING, ENDPOINTS = "IngestFunctionUpload", "TrainingJobRule", "EndpointRule"
CUSTOMIZATIONS = "CustomizationRule"
PROCESSOR = "arn:aws:lambda:us-east-1:123456789012:function:scores"
REPOSITORY = "arn:aws:ecr:us-east-1:123456789012:repository/nova"
RULE_OF = {
    "s3-object-created.json": UPLOADS,
    "training-job-state-change.json": TRAINING,
    "endpoint-state-change.json": ENDPOINTS,
    "customization-job-state-change.json": CUSTOMIZATIONS,
}


def sample(name: str) -> Any:
    return json.loads((EVENTS / name).read_text())


def matches(pattern: Mapping[str, Any], event: Any) -> bool:
    return bool(EventPattern.load(json.dumps(pattern)).matches_event(event))


def rules_for(event: Mapping[str, Any], **parameters: str) -> set[str]:
    rules = deployed(**parameters).of_type("AWS::Events::Rule")
    return {name for name, rule in rules.items() if matches(rule["EventPattern"], event)}


@pytest.mark.parametrize(("name", "rule"), RULE_OF.items())
def test_each_sample_matches_exactly_its_rule(name: str, rule: str) -> None:
    assert rules_for(sample(name)) == {rule}


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("s3-object-created.json", ("object", "key"), "datasets/questions/sft/a/sft.jsonl"),
        ("s3-object-created.json", ("object", "key"), "jobs/inbox/x"),
        ("s3-object-created.json", ("bucket", "name"), "somebody-elses-bucket"),
        ("training-job-state-change.json", ("TrainingJobName",), "other-questions--sft-1"),
        ("training-job-state-change.json", ("TrainingJobName",), "novaloop2-questions--sft-1"),
        ("endpoint-state-change.json", ("EndpointName",), "production"),
        ("customization-job-state-change.json", ("jobName",), "other-questions--sft-1"),
    ],
)
def test_what_is_not_ours_matches_nothing(name: str, path: tuple[str, ...], value: str) -> None:
    event = sample(name)
    *parents, last = path
    place = event["detail"]
    for parent in parents:
        place = place[parent]
    place[last] = value
    assert rules_for(event) == set()


def test_two_stacks_of_an_account_do_not_hear_each_other() -> None:
    event = sample("training-job-state-change.json")
    assert rules_for(event, JobNamePrefix="second") == set()
    event["detail"]["TrainingJobName"] = "second-questions--sft-1"
    assert rules_for(event, JobNamePrefix="second") == {TRAINING}


@pytest.mark.parametrize(("rule", "number"), [(TRAINING, 0), (CUSTOMIZATIONS, 0), (ENDPOINTS, 1)])
def test_the_rules_make_hints_of_events(rule: str, number: int) -> None:
    event = sample(next(name for name, its in RULE_OF.items() if its == rule))
    (target,) = STACK.properties(rule)["Targets"]
    text = target["InputTransformer"]["InputTemplate"]
    for name, path in target["InputTransformer"]["InputPathsMap"].items():
        *_, field = path.split(".")
        assert path == f"$.detail.{field}"
        text = text.replace(f"<{name}>", event["detail"][field])
    (status,) = {each for each in event["detail"] if each.casefold().endswith("jobstatus")} or {
        "EndpointStatus"
    }
    told = json.loads(sample("hints.json")["Records"][number]["body"])
    assert json.loads(text) == {**told, "status": event["detail"][status]}
    assert target["Arn"].endswith("HintQueue-EXAMPLE")


def stream_pattern() -> Mapping[str, Any]:
    (mapping,) = [
        properties
        for properties in STACK.of_type("AWS::Lambda::EventSourceMapping").values()
        if "FilterCriteria" in properties
    ]
    (only,) = mapping["FilterCriteria"]["Filters"]
    pattern: Mapping[str, Any] = json.loads(only["Pattern"])
    return pattern


def change(item: str, name: str = "MODIFY") -> Any:
    record = copy.deepcopy(sample("table-stream.json")["Records"][0])
    record["dynamodb"]["Keys"]["item"]["S"] = item
    return {**record, "eventName": name}


def test_the_stream_calls_for_every_sample_change() -> None:
    for record in [*sample("table-stream.json")["Records"], change("CHECKS")]:
        assert matches(stream_pattern(), record), record["dynamodb"]["Keys"]


@pytest.mark.parametrize(
    "record",
    [
        change("RECORD"),  # the controller's own write, which would call it forever
        change("HISTORY#2026-01-05T09:00:12.000000Z#000001-0"),
        change("SPECS"),
        change("CHECKSUM"),
        change("DATASET"),
        change("COMMAND#1", "REMOVE"),  # forgotten by its time to live
    ],
    ids=lambda record: record["dynamodb"]["Keys"]["item"]["S"],
)
def test_the_stream_does_not_call_for(record: Any) -> None:
    assert not matches(stream_pattern(), record)


def test_a_message_stays_hidden_for_six_timeouts() -> None:
    timeout = STACK.properties("ControllerFunction")["Timeout"]
    assert STACK.properties("HintQueue")["VisibilityTimeout"] >= 6 * timeout


def test_a_claim_outlives_the_controller_that_made_it() -> None:
    timeout = timedelta(seconds=STACK.properties("ControllerFunction")["Timeout"])
    assert timeout < LAUNCH_LEASE


def test_a_start_delay_fits_into_a_delayed_message() -> None:
    longest = STACK.parameters["StartDelaySeconds"]["MaxValue"]
    assert timedelta(seconds=longest) <= MAX_DELAY


def test_failed_hints_of_a_batch_come_again_alone() -> None:
    mappings = STACK.of_type("AWS::Lambda::EventSourceMapping")
    assert len(mappings) == 2
    for name, properties in mappings.items():
        assert properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name


def test_the_stream_gives_up_before_its_records_expire() -> None:
    stream = STACK.properties("ControllerFunctionItems")
    assert stream["MaximumRetryAttempts"] >= 1
    assert stream["BisectBatchOnFunctionError"] is True
    assert 0 < stream["MaximumRecordAgeInSeconds"] < 24 * 3600
    assert stream["DestinationConfig"]["OnFailure"]["Destination"] == DEAD_LETTERS


def test_what_cannot_be_handled_ends_in_the_dead_letter_queue() -> None:
    assert STACK.properties("HintQueue")["RedrivePolicy"] == {
        "deadLetterTargetArn": DEAD_LETTERS,
        "maxReceiveCount": 5,
    }
    for name, rule in STACK.of_type("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": DEAD_LETTERS}, name


WITHOUT_DEAD_LETTERS = {
    "ControllerFunction": "its sources, queue and stream, keep what failed",
    "RewardFunction": "SageMaker waits for its answer",
    # Lambda tries it three times, but nothing can be made up for later: CloudFormation has fallen
    # back by then, and its address for the answer, which is a secret, is of no more use.
    "GuardFunction": "CloudFormation gives up the change of the stack, and an alarm tells",
}


def test_asynchronous_calls_that_fail_end_in_the_dead_letter_queue() -> None:
    configs = STACK.of_type("AWS::Lambda::EventInvokeConfig")
    assert {
        f"{name.removesuffix('EventInvokeConfig')}": config["DestinationConfig"]["OnFailure"]
        for name, config in configs.items()
    } == {
        name: {"Destination": DEAD_LETTERS}
        for name in STACK.of_type("AWS::Lambda::Function").keys() - WITHOUT_DEAD_LETTERS
    }


def test_the_dead_letter_queue_keeps_longer_than_the_hint_queue() -> None:
    kept = {
        name: STACK.properties(name)["MessageRetentionPeriod"]
        for name in ("HintQueue", "DeadLetterQueue")
    }
    # A message keeps its age when it moves.
    assert kept["DeadLetterQueue"] > kept["HintQueue"]


NEW_ACCOUNT = 10
"""How many functions a new account may run at once.

Source: Lambda's developer guide, "Lambda quotas" ("new AWS accounts have reduced concurrency");
aws-samples/alarm-context-tool#2 shows an account of 10, in which every reservation fails.
"""


def test_the_controllers_triggers_leave_a_new_account_room_for_everything_else() -> None:
    hints = STACK.properties("ControllerFunctionHints")["ScalingConfig"]["MaximumConcurrency"]
    assert 2 <= hints <= NEW_ACCOUNT // 2  # 2 is the least that Lambda takes
    assert STACK.properties("ControllerFunctionItems")["ParallelizationFactor"] == 1


@pytest.mark.parametrize(
    ("given", "fits"),
    [("0", True), ("10", True), ("900", True), ("", False), ("9", False), ("-1", False)],
)
def test_calls_of_the_controller_are_reserved_only_where_asked_for(given: str, fits: bool) -> None:
    spec = STACK.parameters["ControllerReservedConcurrency"]
    assert (re.fullmatch(spec["AllowedPattern"], given) is not None) is fits
    if not fits:
        return
    functions = deployed(ControllerReservedConcurrency=given).of_type("AWS::Lambda::Function")
    reserved = {
        name: function["ReservedConcurrentExecutions"]
        for name, function in functions.items()
        if "ReservedConcurrentExecutions" in function
    }
    assert reserved == ({} if given == "0" else {"ControllerFunction": given})
    # With less, the queue's poller would be throttled, and hints end in the dead-letter queue.
    hints = STACK.properties("ControllerFunctionHints")["ScalingConfig"]["MaximumConcurrency"]
    assert given == "0" or int(given) >= hints


@pytest.mark.parametrize(("given", "used"), [({}, 2), ({"BigFileConcurrency": "200"}, 200)])
def test_a_big_file_takes_as_many_calls_at_once_as_the_parameter_says(
    given: dict[str, str], used: int
) -> None:
    definition = json.loads(deployed(**given).properties("BigFiles")["DefinitionString"])
    maps = [state for state in definition["States"].values() if state["Type"] == "Map"]
    assert [state["MaxConcurrency"] for state in maps] == [used, used]


def test_what_runs_at_once_leaves_room_in_a_new_account() -> None:
    """Uploads, scores and SageMaker's rewards come as they come; what is throttled comes again."""
    sources = STACK.of_type("AWS::Lambda::EventSourceMapping").values()
    # A stream has one call for each of its shards, of which a small table has one.
    at_once = [each.get("ScalingConfig", {}).get("MaximumConcurrency", 1) for each in sources]
    big_file = int(STACK.parameters["BigFileConcurrency"]["Default"])
    assert sum(at_once) + big_file <= NEW_ACCOUNT - 2


def test_what_fails_for_good_in_a_big_file_rejects_it() -> None:
    """Whatever calls a function waits for a busy Lambda, tries again, and then says so."""
    states = json.loads(STACK.properties("BigFiles")["DefinitionString"])["States"]
    steps = {name: state for name, state in states.items() if name not in {"Reject", "Rejected"}}
    for state in steps.values():
        assert state["Catch"] == [
            {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Reject"}
        ]
    (inner,) = {
        json.dumps(task["Retry"])
        for state in states.values()
        for task in (*state.get("ItemProcessor", {}).get("States", {}).values(), state)
        if task["Type"] == "Task"
    }
    busy, others = json.loads(inner)
    assert "Lambda.TooManyRequestsException" in busy["ErrorEquals"]
    assert others["ErrorEquals"] == ["States.ALL"]
    assert states["Reject"]["Parameters"]["Payload"] == {
        "step": "reject",
        "file.$": "$.file",
        "error.$": "$.error.Error",
    }
    assert (states["Reject"]["Next"], states["Rejected"]["Type"]) == ("Rejected", "Fail")


IN_THE_LOOP = {
    "ControllerFunction": "its hints come back to it",
    "IngestFunction": "the controller asks it from within the loop",
    "MetricsFunction": "the controller asks it from within the loop",
}


def test_lambda_does_not_cut_the_loop_where_it_is_meant() -> None:
    """A chain through SQS or calls of functions is cut at about 16 calls of one function.

    Source: Lambda's developer guide, "Use Lambda recursive loop detection".
    """
    functions = STACK.of_type("AWS::Lambda::Function")
    allowed = {name for name, function in functions.items() if "RecursiveLoop" in function}
    assert allowed == set(IN_THE_LOOP)
    assert {functions[name]["RecursiveLoop"] for name in allowed} == {"Allow"}


def test_every_rule_and_alarm_may_send_what_it_sends() -> None:
    stack = deployed()
    queue, topic = (
        {
            statement["Sid"]: statement
            for statement in stack.properties(name)["PolicyDocument"]["Statement"]
        }
        for name in ("DeadLetterQueuePolicy", "TopicPolicy")
    )
    senders = queue["UndeliveredEvents"]["Condition"]["ArnEquals"]["aws:SourceArn"]
    rule = "arn:aws:events:us-east-1:123456789012:rule/"
    assert sorted(senders) == sorted(
        f"{rule}novaloop-{name}-EXAMPLE" for name in stack.of_type("AWS::Events::Rule")
    )
    publishers = topic["Alarms"]["Condition"]["ArnEquals"]["aws:SourceArn"]
    alarm = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
    assert sorted(publishers) == sorted(
        f"{alarm}novaloop-{name}-EXAMPLE" for name in stack.of_type("AWS::CloudWatch::Alarm")
    )


@pytest.mark.parametrize(
    ("subnets", "groups", "refused"),
    [
        ("", "", None),
        ("subnet-1", "sg-1", None),
        ("subnet-1", "", "SubnetsNeedSecurityGroups"),
        ("", "sg-1", "SecurityGroupsNeedSubnets"),
    ],
)
def test_subnets_and_security_groups_come_together(
    subnets: str, groups: str, refused: str | None
) -> None:
    assert broken_rules(SubnetIds=subnets, SecurityGroupIds=groups) == [refused] * bool(refused)


@pytest.mark.parametrize(
    ("parameter", "given", "fits"),
    [
        ("SubnetIds", "", True),
        ("SubnetIds", "subnet-1,subnet-0a", True),
        ("SubnetIds", "subnet-1, subnet-2", False),
        ("SubnetIds", "subnet-1,", False),
        ("SubnetIds", ",".join(["subnet-1"] * 17), False),
        ("SecurityGroupIds", "sg-1,sg-2", True),
        ("SecurityGroupIds", "subnet-1", False),
        ("SecurityGroupIds", ",".join(["sg-1"] * 6), False),
        ("ProcessorFunctionArns", "", True),
        ("ProcessorFunctionArns", ",".join([PROCESSOR] * 2), True),
        ("ProcessorFunctionArns", f"{PROCESSOR},", False),
        ("ProcessorFunctionArns", f"{PROCESSOR}:live", False),
        ("ProcessorFunctionArns", f"{PROCESSOR}, {PROCESSOR}", False),
        ("ProcessorFunctionArns", "scores", False),
        ("ProcessorFunctionArns", "*", False),
        ("ImageRepositoryArns", "", True),
        ("ImageRepositoryArns", ",".join([f"{REPOSITORY}/*", f"{REPOSITORY}"]), True),
        ("ImageRepositoryArns", f"{REPOSITORY},", False),
        ("ImageRepositoryArns", REPOSITORY.replace("123456789012", "*"), False),
        ("ImageRepositoryArns", "123456789012.dkr.ecr.us-east-1.amazonaws.com/nova", False),
        ("ImageRepositoryArns", "*", False),
        ("SweepSchedule", "rate(1 minute)", True),
        ("SweepSchedule", "rate(10 hours)", True),
        ("SweepSchedule", "rate(1 minutes)", False),
        ("SweepSchedule", "rate(2 hour)", False),
        ("SweepSchedule", "rate(0 minutes)", False),
        ("SweepSchedule", "cron(0 * * * ? *)", False),
    ],
)
def test_lists_are_refused_that_a_policy_or_a_request_would_choke_on(
    parameter: str, given: str, fits: bool
) -> None:
    """Limits of VpcConfig: SageMaker's API reference, 16 subnets and 5 groups."""
    spec = STACK.parameters[parameter]
    assert (re.fullmatch(spec["AllowedPattern"], given) is not None) is fits


def test_a_step_of_a_big_file_waits_for_services_and_says_what_it_failed_of() -> None:
    states = json.loads(STACK.properties("BigFiles")["DefinitionString"])["States"]
    inner = [states[name]["ItemProcessor"] for name in ("Scan", "Convert")]
    for each in inner:
        first = each["States"][each["StartAt"]]
        (caught,) = first["Catch"]
        reject = each["States"][caught["Next"]]
        assert caught["ErrorEquals"] == ["States.ALL"]
        assert reject["Parameters"]["Payload"]["step"] == "reject"
        assert reject["Parameters"]["Payload"]["error.$"] == f"{caught['ResultPath']}.Error"
        assert each["States"][reject["Next"]]["Type"] == "Fail"
    tasks = [*states.values(), *(state for each in inner for state in each["States"].values())]
    for task in (task for task in tasks if task["Type"] == "Task"):
        weather, _ = task["Retry"]
        lambdas = {name for name in WEATHER if not name.startswith("States.")}
        assert set(weather["ErrorEquals"]) == lambdas
        assert weather["MaxAttempts"] * weather["MaxDelaySeconds"] >= 3_600
