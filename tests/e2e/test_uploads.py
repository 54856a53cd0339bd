"""Uploads that can't be used launch nothing, and corrected ones go on."""

from __future__ import annotations

import json

import pytest

from novaloop.experiment.record import Status
from novaloop_cli.stack import Stack
from tests.e2e.application import (
    GOOD_EVAL,
    ONE_EVALUATION,
    ONLY_BASELINE,
    OUTPUT_KEY,
    WITHOUT_PLAN,
    put,
    reaches,
    run,
    wait_for,
)

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("name", "file", "content", "says"),
    [
        ("no-column", "eval.csv", "Id,Text,Y\n1,a,HQ\n", "no column 'Body'"),
        ("empty", "eval.csv", "", "empty"),
        ("header-only", "eval.csv", "Id,Body,Y\n", "no rows"),
        ("encoding", "eval.csv", b"Id,Body,Y\n1,caf\xe9,HQ\n", "UTF-8"),
        ("ragged", "eval.csv", "Id,Body,Y\n1,a,HQ\n2,b\n", "line 3"),
        ("quote", "eval.csv", 'Id,Body,Y\n1,"a,HQ\n', "quote"),
        ("label", "eval.csv", "Id,Body,Y\n1,a,HQ\n2,b,BAD\n", "line 3"),
        ("key", "experiment.yaml", ONLY_BASELINE + "modle: nova-pro\n", "did you mean model"),
        (
            "range",
            "experiment.yaml",
            WITHOUT_PLAN + "plan: [{evaluate: {name: baseline, overrides: {temperature: 3}}}]\n",
            "plan[0].evaluate.overrides.temperature",
        ),
    ],
)
def test_bad_input_launches_nothing(
    stack: Stack, name: str, file: str, content: str | bytes, says: str
) -> None:
    put(stack, f"bad-{name}", {**ONE_EVALUATION, file: content})
    record = reaches(stack, f"bad-{name}", Status.REJECTED)
    assert says in record.reason
    problem, *remedy = record.reason.splitlines()
    assert file in problem
    assert remedy in ([], ["Upload corrected files to go on."])
    assert not record.stages


def test_a_corrected_upload_goes_on(stack: Stack) -> None:
    put(stack, "corrected", {**ONE_EVALUATION, "eval.csv": "Id,Body,Y\n1,a,BAD\n"})
    reaches(stack, "corrected", Status.REJECTED)
    put(stack, "corrected", {"eval.csv": GOOD_EVAL})
    record = reaches(stack, "corrected", Status.COMPLETED)
    assert record.datasets["eval"].rows == 3
    assert "exact_match" in record.stage("baseline").metrics
    outputs = stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix="jobs/corrected/")["Contents"]
    (archive,) = [each["Key"] for each in outputs if each["Key"].endswith("output.tar.gz")]
    assert stack.s3.head_object(Bucket=stack.bucket, Key=archive)["SSEKMSKeyId"] == OUTPUT_KEY
    rows = stack.s3.get_object(
        Bucket=stack.bucket, Key=record.datasets["eval"].outputs["evaluation"]
    )
    second = json.loads(rows["Body"].read().splitlines()[1])
    assert second["query"] == "and\r\nthat?"

    put(stack, "corrected", {"eval.csv": GOOD_EVAL + "4,d,HQ\n"})
    wait_for(lambda: stack.load("corrected")[1].unused_uploads)
    assert stack.load("corrected")[1].datasets == record.datasets


def test_unknown_experiment_is_one_line(stack: Stack) -> None:
    result = run("show", "nobody")
    assert result.exit_code == 2
    assert "no experiment is called nobody" in result.stderr
    assert "Traceback" not in result.stderr
