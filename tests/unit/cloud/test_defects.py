"""A defect is counted in the metric that the template's alarm watches."""

from __future__ import annotations

import json

import pytest

from novaloop.wiring.telemetry import DefectMetric
from tests.template.stack import sam_template


def test_a_defect_is_counted_by_what_the_alarm_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = sam_template()["Globals"]["Function"]["Environment"]["Variables"]
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", variables["POWERTOOLS_METRICS_NAMESPACE"])
    DefectMetric().report(KeyError("a row of somebody's data"))
    told = json.loads(capsys.readouterr().out)
    alarm = sam_template()["Resources"]["DefectAlarm"]["Properties"]
    metrics = told["_aws"]["CloudWatchMetrics"][0]
    assert metrics["Namespace"] == alarm["Namespace"]
    assert [each["Name"] for each in metrics["Metrics"]] == [alarm["MetricName"]]
    assert metrics["Dimensions"] == [[each["Name"] for each in alarm["Dimensions"]]]
    assert told["what"] == "KeyError"
    assert "a row" not in json.dumps(told)
