"""A model that is served as an inference component, from a plan to its deletion."""

from __future__ import annotations

from pathlib import Path

import pytest

from novaloop.experiment.record import Status
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud
from tests.e2e.application import WITHOUT_PLAN, endpoints, names_a_label, put, reaches, run

pytestmark = pytest.mark.e2e

PLAN = WITHOUT_PLAN + "plan: [sft, deploy: {inference_component: true}]\n"


def test_a_component_serves_and_is_deleted_before_its_endpoint(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    questions.write(tmp_path, sft=80, rft=1, eval=1)
    put(stack, "part", {"experiment.yaml": PLAN, "sft.csv": (tmp_path / "sft.csv").read_bytes()})
    record = reaches(stack, "part", Status.LIVE)
    served = record.endpoint
    assert served is not None
    assert served.component is not None
    sagemaker = cloud.session().client("sagemaker")
    component = sagemaker.describe_inference_component(InferenceComponentName=served.component)
    assert component["InferenceComponentStatus"] == "InService"
    assert component["EndpointName"] == served.name
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName=served.name)
    assert "ModelName" not in configuration["ProductionVariants"][0]
    for options in ([], ["--no-stream"]):
        answer = run("invoke", "part", "plz fix my code its broken", *options)
        assert names_a_label(answer.stdout)

    cleaned = run("cleanup", "part")
    assert cleaned.exit_code == 0, cleaned.output
    printed = " ".join(cleaned.stdout.split())
    kinds = ("inference-component", "endpoint ", "endpoint-config", "model")
    assert [*kinds] == sorted(kinds, key=lambda kind: printed.index(f"sagemaker:{kind}"))
    assert "nothing is left" in printed
    assert endpoints(cloud, "part") == []
    with pytest.raises(sagemaker.exceptions.ClientError, match="Could not find"):
        sagemaker.describe_inference_component(InferenceComponentName=served.component)
