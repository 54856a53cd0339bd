"""Bedrock: customization jobs, imports and deployments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from novaloop.problem import Invalid
from novaloop.recipes.bedrock import (
    CustomizationJob,
    custom_model,
    customization_job,
    on_demand_deployment,
    provisioned_throughput,
)
from novaloop.recipes.jobs import Deployment
from tests.unit.recipes.captures import capture
from tests.unit.recipes.wire import assert_valid

REWARD = "arn:aws:lambda:us-east-1:123456789012:function:nova-SageMaker-reward"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
DEPLOYMENT = Deployment(
    region="us-east-1",
    execution_role_arn="arn:aws:iam::123456789012:role/BedrockDeployModelExecutionRole",
    reward_function_arn=REWARD,
    kms_key_arn=KEY,
)
SFT = CustomizationJob(
    method="sft-lora",
    model="nova-lite-2",
    name="novaloop-exp1--sft-1",
    data_uri="s3://bucket/sft.jsonl",
    rows=3500,
    output_uri="s3://bucket/jobs/exp1",
)
RFT = replace(SFT, method="rft-lora", name="novaloop-exp1--rft-1")


def refused(job: CustomizationJob, deployment: Deployment = DEPLOYMENT) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        customization_job(job, deployment, at="plan[1].sft")
    return {each.where.removeprefix("plan[1].sft."): str(each) for each in caught.value.problems}


def test_supervised_fine_tuning_sends_strings() -> None:
    request = customization_job(replace(SFT, overrides={"learningRate": "5e-6"}), DEPLOYMENT)

    assert_valid("bedrock", "CreateModelCustomizationJob", request)
    assert request["customizationType"] == "FINE_TUNING"
    names = {"jobName": "novaloop-exp1--sft-1", "customModelName": "novaloop-exp1_sft-1"}
    assert {key: request[key] for key in names} == names
    assert request["baseModelIdentifier"] == (
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-lite-v1:0:256k"
    )
    assert request["hyperParameters"] == {
        "epochCount": "2",
        "batchSize": "1",
        "learningRate": "5e-06",
        "learningRateWarmupSteps": "10",
    }


def test_reinforcement_fine_tuning_sends_numbers_and_the_grader() -> None:
    request = customization_job(replace(RFT, overrides={"reasoningEffort": "low"}), DEPLOYMENT)

    assert_valid("bedrock", "CreateModelCustomizationJob", request)
    assert "hyperParameters" not in request
    assert request["customizationConfig"]["rftConfig"] == {
        "graderConfig": {"lambdaGrader": {"lambdaArn": REWARD}},
        "hyperParameters": {
            "epochCount": 1,
            "batchSize": 128,
            "learningRate": 1e-5,
            "maxPromptLength": 8192,
            "trainingSamplePerPrompt": 8,
            "inferenceMaxTokens": 2048,
            "reasoningEffort": "low",
            "evalInterval": 10,
        },
    }


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lr", "learningRate"),
        ("number_generation", "trainingSamplePerPrompt"),
        ("max_new_tokens", "inferenceMaxTokens"),
    ],
)
def test_the_recipes_name_for_a_setting_is_answered_with_bedrocks(name: str, meant: str) -> None:
    assert meant in refused(replace(RFT, overrides={name: 1}))[f"overrides.{name}"]


@pytest.mark.parametrize("name", ["kl_loss_coef", "ent_coeff", "top_k", "temperature"])
def test_a_setting_bedrock_would_drop_is_refused(name: str) -> None:
    assert refused(replace(RFT, overrides={name: 1})).keys() == {f"overrides.{name}"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rows": 199}, "data"),
        ({"rows": 20001}, "data"),
        ({"validation_uri": "s3://bucket/val.jsonl"}, "validation_uri"),
        ({"name": "novaloop-exp1_sft-1"}, "name"),
        ({"method": "dpo-lora"}, "method"),
        ({"overrides": {"epochCount": 6}}, "overrides.epochCount"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(changes: dict[str, Any], field: str) -> None:
    assert refused(replace(SFT, **changes)).keys() == {field}


def test_older_models_take_validation_data_and_fewer_rows() -> None:
    job = replace(SFT, model="nova-micro", rows=8, validation_uri="s3://bucket/val.jsonl")

    assert_valid("bedrock", "CreateModelCustomizationJob", customization_job(job, DEPLOYMENT))


def test_import_and_deployment_equal_the_captured_requests() -> None:
    checkpoint = (
        "s3://customer-escrow-123456789012-smtj-0a1b2c3d/exp1-rft-job/outputs/checkpoints/step_40"
    )
    captured = {
        request["api"].partition(".")[2]: request["params"]
        for request in capture("05d_deploy_bedrock_on_demand")["requests"]
    }
    name = captured["CreateCustomModel"]["modelName"]
    model_arn = captured["CreateCustomModelDeployment"]["modelArn"]

    assert custom_model(name, checkpoint + "/", DEPLOYMENT) == captured["CreateCustomModel"]
    assert on_demand_deployment("exp1-od", model_arn) == captured["CreateCustomModelDeployment"]


def test_throughput_is_provisioned_in_units() -> None:
    request = provisioned_throughput(
        "exp1-pt", "arn:aws:bedrock:us-east-1:123456789012:custom-model/imported/abcdef123456", 1
    )

    assert_valid("bedrock", "CreateProvisionedModelThroughput", request)


def test_a_model_package_is_imported_as_such() -> None:
    package = "arn:aws:sagemaker:us-east-1:123456789012:model-package/exp1/3"
    request = custom_model("exp1", package, DEPLOYMENT, {"novaloop:experiment": "exp1"})

    assert_valid("bedrock", "CreateCustomModel", request)
    assert request["customModelDataSource"] == {
        "modelPackageArnDataSource": {"modelPackageArn": package}
    }


def test_an_import_tells_all_that_is_wrong() -> None:
    with pytest.raises(Invalid) as caught:
        custom_model("a--b", "latest", DEPLOYMENT)

    assert {error.where for error in caught.value.problems} == {"name", "checkpoint"}
