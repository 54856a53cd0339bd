"""What keeps the application safe and watched: encryption, retention, alarms, outputs."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from novaloop.usecases.sweep import Swept
from tests.template.stack import deployed, sam_template, transformed

STACK = deployed()
ROOT = Path(__file__).parents[2]
FUNCTIONS = {
    name: properties.get("FunctionName", f"novaloop-{name}-EXAMPLE")
    for name, properties in STACK.of_type("AWS::Lambda::Function").items()
}


def test_the_bucket_is_private_encrypted_and_versioned() -> None:
    bucket = STACK.properties("Bucket")
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }


def test_unfinished_uploads_and_replaced_versions_do_not_stay_forever() -> None:
    rules = STACK.properties("Bucket")["LifecycleConfiguration"]["Rules"]
    assert all(rule["Status"] == "Enabled" for rule in rules)
    assert {"AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration"} <= {
        key for rule in rules for key in rule
    }


def test_queues_are_encrypted() -> None:
    queues = STACK.of_type("AWS::SQS::Queue")
    assert len(queues) == 2
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())


def test_the_table_can_be_restored_and_forgets_on_time() -> None:
    table = STACK.properties("Table")
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "KEYS_ONLY"}


@pytest.mark.parametrize("name", ["Bucket", "Table"])
def test_data_outlives_the_stack_but_not_a_creation_that_failed(name: str) -> None:
    resource = STACK.resources[name]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"


def test_every_function_writes_to_a_log_group_with_a_retention_that_is_there_before_it() -> None:
    groups = STACK.of_type("AWS::Logs::LogGroup")
    used = {
        name: properties["LoggingConfig"]["LogGroup"]
        for name, properties in transformed_functions().items()
    }
    assert used == {name: {"Ref": name.replace("Function", "Logs")} for name in FUNCTIONS}
    assert groups.keys() == {*(group["Ref"] for group in used.values()), "BigFilesLogs"}
    for name, group in groups.items():
        assert group["RetentionInDays"] == 90
        # A name given would be taken where an earlier stack's group was left or made again.
        assert ("LogGroupName" in group) is (name == "BigFilesLogs")


def transformed_functions() -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in transformed()["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Function"
    }


def test_every_function_writes_json_logs_and_traces() -> None:
    for name, properties in STACK.of_type("AWS::Lambda::Function").items():
        assert properties["LoggingConfig"]["LogFormat"] == "JSON", name
        assert properties["TracingConfig"] == {"Mode": "Active"}, name


def watched() -> set[tuple[str, str]]:
    """Return each metric that has an alarm, with the resource that it belongs to."""
    return {
        (alarm["MetricName"], alarm["Dimensions"][0]["Value"])
        for alarm in STACK.of_type("AWS::CloudWatch::Alarm").values()
    }


def test_errors_of_every_function_raise_an_alarm() -> None:
    assert {value for metric, value in watched() if metric == "Errors"} == set(FUNCTIONS.values())


def test_big_files_that_fail_raise_an_alarm_and_leave_traces_and_logs_without_data() -> None:
    machine = STACK.properties("BigFiles")
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:novaloop-big-files"
    assert ("ExecutionsFailed", arn) in watched()
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    ingest = STACK.properties("IngestFunction")["Environment"]["Variables"]
    assert ingest["BIG_FILES_ARN"] == arn


def test_dead_letters_and_late_hints_raise_an_alarm() -> None:
    assert ("ApproximateNumberOfMessagesVisible", "novaloop-DeadLetterQueue-EXAMPLE.QueueName") in (
        watched()
    )
    assert ("ApproximateAgeOfOldestMessage", "novaloop-HintQueue-EXAMPLE.QueueName") in watched()


def test_alarms_tell_the_topic_and_stay_quiet_without_data() -> None:
    for name, alarm in STACK.of_type("AWS::CloudWatch::Alarm").items():
        assert alarm["AlarmActions"] == [
            "arn:aws:sns:us-east-1:123456789012:novaloop-Topic-EXAMPLE"
        ], name
        assert alarm["TreatMissingData"] == "notBreaching", name


def dashboard_metrics() -> list[list[str]]:
    body = json.loads(STACK.properties("Dashboard")["DashboardBody"])
    widgets = [w["properties"] for w in body["widgets"] if w["type"] == "metric"]
    return [metric for widget in widgets for metric in widget["metrics"]]


def test_the_dashboard_shows_what_the_code_emits() -> None:
    shown = {(m[1], m[2]) for m in dashboard_metrics() if m[0] == "Novaloop"}
    swept = Swept(due=1, uploads=1, unusable=["key"]).counts
    spec = importlib.util.spec_from_file_location("reward", ROOT / "functions/reward/app.py")
    assert spec is not None
    assert spec.loader is not None
    reward = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reward)
    emitted = {(name, "service") for name in swept} | {(name, "Function") for name in reward.UNITS}
    assert shown <= emitted
    assert {name for name, _ in shown} >= {*swept, "MeanReward", "UnusableSamples"}
    globals_ = sam_template()["Globals"]["Function"]["Environment"]["Variables"]
    assert globals_["POWERTOOLS_METRICS_NAMESPACE"] == reward.NAMESPACE == "Novaloop"


def test_the_dashboard_lists_experiments_from_what_the_controller_logs() -> None:
    body = json.loads(STACK.properties("Dashboard")["DashboardBody"])
    (query,) = [w["properties"]["query"] for w in body["widgets"] if w["type"] == "log"]
    assert "SOURCE 'novaloop-ControllerLogs-EXAMPLE'" in query
    controller = (ROOT / "functions/controller/app.py").read_text()
    for field in ("looked", *re.findall(r"latest\((\w+)\)", query), "experiment_id"):
        assert f'"{field}"' in controller or f"{field}=" in controller, field


def test_outputs_give_the_command_what_it_reads() -> None:
    """In the modules that describe a stack; `describe_stack` gives outputs and parameters."""
    sources = [ROOT / "cli/novaloop_cli" / name for name in ("stack.py", "planned_stack.py")]
    reads = r'(?:found|stack|described)(?:\.get\(|\[)"(\w+)"'
    read = {key for source in sources for key in re.findall(reads, source.read_text())}
    assert {"BucketName", "TableName", "ExecutionRoleArn", "DefaultGate"} <= read
    of_the_answer = {"Outputs", "Parameters"}
    assert read - of_the_answer <= STACK.outputs.keys() | transformed()["Parameters"].keys()


@pytest.mark.parametrize("section", ["Parameters", "Outputs"])
def test_parameters_and_outputs_are_described(section: str) -> None:
    for name, spec in transformed()[section].items():
        assert spec["Description"].strip(), name


def test_every_parameter_is_shown_in_a_group() -> None:
    interface = sam_template()["Metadata"]["AWS::CloudFormation::Interface"]
    shown = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(shown) == sorted(sam_template()["Parameters"])
