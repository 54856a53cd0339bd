"""Our requests and recipes equal the captured ones, names and recipe keys aside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from novaloop.recipes.endpoints import Endpoint, plan_endpoint
from novaloop.recipes.jobs import Deployment, TrainingJob
from novaloop.recipes.plans import plan_training_job
from tests.unit.recipes.captures import capture

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKPOINT = (
    "s3://customer-escrow-123456789012-smtj-0a1b2c3d/exp1-sft-job/outputs/checkpoints/step_100"
)
REWARD = "arn:aws:lambda:us-east-1:123456789012:function:nova-SageMaker-reward"
DEPLOYMENT = Deployment(
    region="us-east-1", execution_role_arn="arn:aws:iam::123456789012:role/NovaExec"
)
SFT_OVERRIDES: Mapping[str, object] = {
    "lr": 5e-6,
    "warmup_steps": 17,
    "max_steps": 100,
    "global_batch_size": 64,
    "max_length": 8192,
}
RFT_OVERRIDES: Mapping[str, object] = {
    "lr": 0.00001,
    "number_generation": 4,
    "reasoning_effort": "null",
    "max_new_tokens": 50,
    "kl_loss_coef": 0.02,
    "temperature": 1,
    "ent_coeff": 0.01,
    "max_steps": 40,
    "save_steps": 30,
    "top_k": 5,
    "global_batch_size": 64,
}


def job(method: str, run_name: str, data: str, count: int, **changes: Any) -> TrainingJob:
    plain = TrainingJob(
        method=method,
        model="nova-lite-2",
        run_name=run_name,
        job_name="job",
        data_uri=f"s3://my-bucket/exp1/data/{data}.jsonl",
        output_uri="s3://my-bucket/exp1/output",
        recipe_uri="s3://my-bucket/jobs/exp1/job/recipe.yaml",
        instance_type="ml.p5.48xlarge",
        instance_count=count,
    )
    return replace(plain, **changes)


CASES = {
    "01_eval_base_gen_qa": (job("gen_qa", "exp1-base-eval", "eval", 1), DEPLOYMENT),
    "02_sft_lora_x4": (job("sft-lora", "exp1-sft", "sft", 4, overrides=SFT_OVERRIDES), DEPLOYMENT),
    "02b_sft_kms_vpc_validation": (
        job("sft-lora", "exp1-x", "sft", 4, max_runtime_seconds=3600),
        replace(
            DEPLOYMENT,
            kms_key_arn="11111111-2222-3333-4444-555555555555",
            subnets=("subnet-1",),
            security_group_ids=("sg-1",),
        ),
    ),
    "03_eval_sft_checkpoint_gen_qa": (
        job(
            "gen_qa",
            "exp1-sft-eval",
            "eval",
            1,
            checkpoint=CHECKPOINT,
            overrides={"max_new_tokens": 50},
        ),
        DEPLOYMENT,
    ),
    "04_rft_lora_x2": (
        job(
            "rft-lora",
            "exp1-rft",
            "rft",
            2,
            checkpoint=CHECKPOINT,
            overrides=RFT_OVERRIDES,
        ),
        replace(DEPLOYMENT, reward_function_arn=REWARD),
    ),
}


def renamed(request: dict[str, Any]) -> dict[str, Any]:
    """The request without what both sides name as they like."""
    recipe_source = request["InputDataConfig"][-1]["DataSource"]["S3DataSource"]
    recipe_source["S3Uri"] = "recipe.yaml"
    return request | {"TrainingJobName": "job"}


@pytest.mark.parametrize("name", CASES)
def test_request_equals_the_captured_one(name: str) -> None:
    planned = plan_training_job(*CASES[name])
    captured = capture(name)["CreateTrainingJob"][0]

    assert renamed(planned.request) == renamed(captured)


@pytest.mark.parametrize("name", CASES)
def test_recipe_text_equals_the_captured_one(name: str) -> None:
    planned = plan_training_job(*CASES[name])
    (captured,) = capture(name)["recipe_uploads"].values()

    assert planned.recipe_text == captured
    assert yaml.safe_load(planned.recipe_text) == planned.recipe


def test_endpoint_requests_equal_the_captured_ones() -> None:
    checkpoint = (
        "s3://customer-escrow-123456789012-smtj-0a1b2c3d/exp1-rft-job/outputs/checkpoints/step_40"
    )
    endpoint = Endpoint(
        name="exp1-endpoint",
        model="nova-lite-2",
        checkpoint=checkpoint,
        instance_type="ml.p5.48xlarge",
        context_length=16000,
        max_concurrency=128,
        environment={
            "DEFAULT_TEMPERATURE": 0,
            "DEFAULT_TOP_P": 1.0,
            "DEFAULT_TOP_K": -1,
            "DEFAULT_MAX_NEW_TOKENS": 50,
            "DEFAULT_LOGPROBS": 5,
        },
    )
    planned = plan_endpoint(
        endpoint,
        replace(
            DEPLOYMENT,
            execution_role_arn="arn:aws:iam::123456789012:role/SageMakerDeployModelExecutionRole",
        ),
    )
    captured = {
        request["api"].partition(".")[2]: request["params"]
        for request in capture("05_deploy_sagemaker_new_role")["requests"]
    }
    config = captured["CreateEndpointConfig"]
    config["ProductionVariants"][0]["ModelName"] = "exp1-endpoint"

    assert planned.create_model == captured["CreateModel"] | {"ModelName": "exp1-endpoint"}
    assert planned.create_endpoint_config == config | {"EndpointConfigName": "exp1-endpoint"}
    assert planned.create_endpoint == captured["CreateEndpoint"] | {
        "EndpointConfigName": "exp1-endpoint"
    }
