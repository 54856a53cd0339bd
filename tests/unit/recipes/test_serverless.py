"""Serverless jobs: what they send, and the settings they would drop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from novaloop.problem import Invalid
from novaloop.recipes.catalog import blueprint
from novaloop.recipes.jobs import Deployment
from novaloop.recipes.serverless import ServerlessJob, serverless, serverless_job
from tests.unit.recipes.wire import assert_valid

HUB = "arn:aws:sagemaker:us-east-1:aws:hub-content/SageMakerPublicHub/Model"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/exp1/3"
GROUP = "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/exp1"
EVALUATOR = "arn:aws:sagemaker:us-east-1:123456789012:hub-content/exp1/JsonDoc/reward/0.0.1"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:nova-SageMaker-reward"
DEPLOYMENT = Deployment(
    region="us-east-1", execution_role_arn="arn:aws:iam::123456789012:role/NovaExec"
)
SFT = ServerlessJob(
    method="sft-lora",
    model="nova-lite-2",
    run_name="exp1-sft",
    job_name="novaloop-exp1--sft-1",
    output_uri="s3://bucket/jobs/exp1",
    base_model_arn=f"{HUB}/nova-textgeneration-lite-v2/3.0.0",
    model_package_group_arn=GROUP,
    data_uri="s3://bucket/sft.jsonl",
)
RFT = replace(SFT, method="rft-lora", evaluator_arn=EVALUATOR, checkpoint=PACKAGE)
EVALUATION = replace(SFT, method="gen_qa")


def request(job: ServerlessJob) -> dict[str, Any]:
    planned = serverless_job(job, DEPLOYMENT)
    assert_valid("sagemaker", "CreateTrainingJob", planned)
    return planned


def refused(job: ServerlessJob) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        serverless_job(job, DEPLOYMENT, at="plan[1].sft")
    return {each.where.removeprefix("plan[1].sft."): str(each) for each in caught.value.problems}


def test_fine_tuning_has_no_machines_and_no_recipe() -> None:
    planned = request(replace(SFT, overrides={"lr": 5e-6, "max_steps": 100, "max_length": 8192}))

    assert not planned.keys() & {
        "AlgorithmSpecification",
        "ResourceConfig",
        "TensorBoardOutputConfig",
        "Tags",
    }
    assert [one["ChannelName"] for one in planned["InputDataConfig"]] == ["train"]
    assert planned["OutputDataConfig"]["CompressionType"] == "NONE"
    assert planned["ServerlessJobConfig"] == {
        "BaseModelArn": SFT.base_model_arn,
        "AcceptEula": True,
        "JobType": "FineTuning",
        "CustomizationTechnique": "SFT",
        "Peft": "LORA",
    }
    assert planned["ModelPackageConfig"] == {"ModelPackageGroupArn": GROUP}
    assert planned["HyperParameters"] == {
        "name": "exp1-sft",
        "max_steps": "100",
        "save_steps": "10",
        "max_context_length": "8192",
        "global_batch_size": "32",
        "reasoning_enabled": "True",
        "val_check_interval": "2500",
        "warmup_steps": "15",
        "learning_rate": "5e-06",
        "lora_alpha": "64",
        "learning_rate_ratio": "64.0",
        "fine_tuned_model": "1.0",
    }


def test_reinforcement_chains_by_model_package_and_names_its_evaluator() -> None:
    planned = request(replace(RFT, overrides={"reasoning_effort": None}))

    assert planned["ServerlessJobConfig"]["CustomizationTechnique"] == "RLVR"
    assert planned["ServerlessJobConfig"]["EvaluatorArn"] == EVALUATOR
    assert planned["ModelPackageConfig"]["SourceModelPackageArn"] == PACKAGE
    assert "reasoning_effort" not in planned["HyperParameters"]


def test_an_evaluation_of_the_base_model_names_no_package() -> None:
    planned = request(replace(EVALUATION, processor_function_arn=FUNCTION))

    assert "ModelPackageConfig" not in planned
    assert planned["ServerlessJobConfig"]["EvaluationType"] == "CustomScorerEvaluation"
    assert "Peft" not in planned["ServerlessJobConfig"]
    assert planned["HyperParameters"] == {
        "name": "exp1-sft",
        "top_logprobs": "0",
        "lambda_arn": FUNCTION,
        "lambda_type": "rft",
    }


@pytest.mark.parametrize(
    "overrides",
    [
        {"number_generation": 4},
        {"max_new_tokens": 50},
        {"temperature": 1},
        {"top_k": 5},
        {"kl_loss_coef": 0.02},
        {"rollout.generator.top_k": 5},
    ],
)
def test_a_setting_that_would_be_dropped_is_refused(overrides: dict[str, object]) -> None:
    (name,) = overrides

    assert "would drop it" in refused(replace(RFT, overrides=overrides))[f"overrides.{name}"]


@pytest.mark.parametrize("name", ["max_new_tokens", "temperature"])
def test_an_evaluation_would_drop_its_inference_settings(name: str) -> None:
    refusal = refused(replace(EVALUATION, overrides={name: 1}))

    assert "runtime training-job" in refusal[f"overrides.{name}"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"checkpoint": "s3://customer-escrow-1-smtj-2/step_10"}, "checkpoint"),
        ({"data_uri": None}, "data_uri"),
        ({"method": "sft-full"}, "method"),
        ({"model": "nova-pro"}, "method"),
        ({"method": "rft-lora"}, "evaluator_arn"),
        ({"processor_function_arn": FUNCTION}, "processor_function_arn"),
        ({"job_name": "a_b"}, "job_name"),
        ({"overrides": {"lr": 2.0}}, "overrides.lr"),
        ({"overrides": {"nonsense": 2.0}}, "overrides.nonsense"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(changes: dict[str, Any], field: str) -> None:
    assert refused(replace(SFT, **changes)).keys() == {field}


def test_every_setting_that_is_sent_is_a_setting_of_the_recipe() -> None:
    for model in serverless().models:
        for method, facts in serverless().methods.items():
            names = {path.rpartition(".")[2] for path in blueprint(method, model).settings}
            assert facts.hyperparameters.keys() <= names
