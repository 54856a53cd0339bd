from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from novaloop_localcloud.sagemaker.request_validation import request_problems

SHARED = Path(os.environ.get("NOVALOOP_SHARED", Path(__file__).resolve().parents[4] / "shared"))
REQUEST: dict[str, Any] = {
    "TrainingJobName": "novaloop-exp--sft-1",
    "RoleArn": "arn:aws:iam::123456789012:role/execution",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/jobs"},
    "ResourceConfig": {"InstanceType": "ml.p5.48xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    "Tags": [{"Key": "novaloop:experiment", "Value": "grün 1"}],
}


def _problems(request: dict[str, Any]) -> list[str]:
    model = botocore.session.get_session().get_service_model("sagemaker")
    return request_problems(request, model.operation_model("CreateTrainingJob").input_shape)


def test_a_legal_request_passes() -> None:
    assert _problems(REQUEST) == []


@pytest.mark.parametrize(
    "name",
    ["01_eval_base_gen_qa", "02_sft_lora_x4", "03_eval_sft_checkpoint_gen_qa", "04_rft_lora_x2"],
)
def test_captured_requests_pass(name: str) -> None:
    path = SHARED / "contract" / "requests" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no captured requests at {path.parent}")
    assert _problems(json.loads(path.read_text(encoding="utf-8"))["CreateTrainingJob"][0]) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"TrainingJobName": "ends-in-"}, "regular expression pattern"),
        ({"TrainingJobName": "a" * 64}, "length less than or equal to 63"),
        ({"ResourceConfig": {"InstanceType": "ml.none", "VolumeSizeInGB": 1}}, "enum value set"),
        ({"RoleArn": None}, "RoleArn"),
        ({"Surprise": 1}, "Surprise"),
        ({"HyperParameters": {"reward": "x" * 2501}}, "at 'HyperParameters.reward'"),
        ({"Tags": [{"Key": "k", "Value": "no|pipe"}]}, "at 'Tags.1.member.Value'"),
    ],
)
def test_illegal_requests_are_refused(change: dict[str, Any], told: str) -> None:
    assert told in " ".join(_problems({**REQUEST, **change}))
