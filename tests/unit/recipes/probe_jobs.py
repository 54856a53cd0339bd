"""The jobs with which another implementation's validation was probed, as ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from novaloop.problem import Invalid, Problem
from novaloop.recipes.checks import check_rows
from novaloop.recipes.jobs import Deployment, TrainingJob
from novaloop.recipes.plans import plan_training_job
from tests.unit.recipes.test_captured_requests import CHECKPOINT, DEPLOYMENT, REWARD, job

Probe = Callable[[], list[Problem]]
REWARDING = replace(DEPLOYMENT, reward_function_arn=REWARD)
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/exp1/3"


def errors_of(asked: TrainingJob, deployment: Deployment = REWARDING) -> list[Problem]:
    try:
        plan_training_job(asked, deployment)
    except Invalid as problem:
        return list(problem.problems)
    return []


def sft(overrides: dict[str, object] | None = None, **changes: Any) -> Probe:
    return lambda: errors_of(
        job("sft-lora", "exp1", "sft", 4, **{"overrides": overrides or {}, **changes})
    )


def rft(
    overrides: dict[str, object] | None = None, deployment: Deployment = REWARDING, **changes: Any
) -> Probe:
    steps: dict[str, object] = {"max_steps": 40, "save_steps": 30}
    plain = {"instance_count": 2, "overrides": steps | (overrides or {})}
    return lambda: errors_of(
        replace(job("rft-lora", "exp1", "rft", 2), **{**plain, **changes}), deployment
    )


def evaluation(
    overrides: dict[str, object] | None = None, method: str = "gen_qa", **changes: Any
) -> Probe:
    plain = {"overrides": overrides or {}}
    return lambda: errors_of(replace(job(method, "exp1", "eval", 1), **{**plain, **changes}))


PROBES: dict[str, Probe] = {
    "lr>1": sft({"lr": 2.0}),
    "lr as string": sft({"lr": "0.00001"}),
    "lr int": sft({"lr": 1}),
    "gbs 48": sft({"global_batch_size": 48}),
    "max_steps 3": sft({"max_steps": 3}),
    "max_steps str": sft({"max_steps": "100"}),
    "warmup 101": sft({"warmup_steps": 101}),
    "save_steps>max_steps": sft({"save_steps": 50, "max_steps": 20}),
    "max_length 999999": sft({"max_length": 999999}),
    "unknown key": sft({"learning_rte": 1e-5}),
    "instance_count 3": sft(instance_count=3),
    "instance_count 1": sft(instance_count=1),
    "bad instance": sft(instance_type="ml.g5.12xlarge"),
    "p4d x4": sft(instance_type="ml.p4d.24xlarge"),
    "p5en x4": sft(instance_type="ml.p5en.48xlarge"),
    "bad name": sft(job_name="exp1_sft"),
    "long name": sft(job_name="x" * 64),
    "RFT no lambda": rft(deployment=DEPLOYMENT),
    "RFT alias arn": rft(deployment=replace(DEPLOYMENT, reward_function_arn=f"{REWARD}:live")),
    "RFT p4d": rft(instance_type="ml.p4d.24xlarge"),
    "RFT ic 1": rft(instance_count=1),
    "RFT lr 1e-2": rft({"lr": 1e-2}),
    "RFT save_steps>max": rft({"save_steps": 50}),
    "RFT no save steps": lambda: errors_of(
        job("rft-lora", "exp1", "rft", 2, overrides={"max_steps": 40})
    ),
    "rows 10 < gbs 64": lambda: list(
        check_rows("sft-lora", "nova-lite-2", 10, {"global_batch_size": 64})
    ),
    "missing data": sft(),
    "kms+vpc+val": lambda: errors_of(
        job("sft-lora", "exp1", "sft", 4, validation_uri="s3://my-bucket/exp1/data/val.jsonl"),
        replace(DEPLOYMENT, kms_key_arn="key", subnets=("subnet-1",), security_group_ids=("sg-1",)),
    ),
    "RFT name w/o SageMaker": rft(
        deployment=replace(
            DEPLOYMENT, reward_function_arn=REWARD.replace("nova-SageMaker-reward", "reward")
        )
    ),
    "RFT reasoning none": rft({"reasoning_effort": None}),
    "RFT reasoning null str": rft({"reasoning_effort": "null"}),
    "RFT reasoning medium": rft({"reasoning_effort": "medium"}),
    "RFT temp 1.0": rft({"temperature": 1.0}),
    "RFT temp 0.7": rft({"temperature": 0.7}),
    "RFT temp 1 int": rft({"temperature": 1}),
    "RFT number_generation 4": rft({"number_generation": 4}),
    "RFT number_generation 0": rft({"number_generation": 0}),
    "RFT number_generation 4.0": rft({"number_generation": 4.0}),
    "RFT max_new_tokens 50": rft({"max_new_tokens": 50}),
    "RFT max_new_tokens 99999": rft({"max_new_tokens": 99999}),
    "RFT kl int": rft({"kl_loss_coef": 1}),
    "RFT kl 5.0": rft({"kl_loss_coef": 5.0}),
    "RFT ent int 0": rft({"ent_coeff": 0}),
    "RFT top_k 5": rft({"top_k": 5}),
    "RFT top_k -1": rft({"top_k": -1}),
    "RFT rows 10 < gbs 64": lambda: list(check_rows("rft-lora", "nova-lite-2", 10, {})),
    "RFT max_length 2048": rft({"max_length": 2048}),
    "RFT gbs 48": rft({"global_batch_size": 48}),
    "RFT max_steps 4": rft({"max_steps": 4, "save_steps": 4}),
    "RFT conc limit": rft({"lambda_concurrency_limit": 100}),
    "RFT ic4": rft(instance_count=4),
    "RFT ic 8": rft(instance_count=8),
    "RFT hp ckpt on smtj": rft(checkpoint=CHECKPOINT.replace("-smtj-", "-hp-")),
    "RFT ckpt own bucket": rft(checkpoint="s3://my-bucket/checkpoints/step_10"),
    "SFT holdout+mlflow": sft(
        {"mlflow_tracking_uri": "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/app-X"},
        validation_uri="s3://my-bucket/exp1/data/val.jsonl",
    ),
    "SFT from model package": sft(checkpoint=PACKAGE),
    "EVAL x2": evaluation(instance_count=2),
    "EVAL p4d": evaluation(instance_type="ml.p4d.24xlarge"),
    "EVAL g5": evaluation(instance_type="ml.g5.12xlarge"),
    "EVAL temp 3": evaluation({"temperature": 3.0}),
    "EVAL temp 1 int": evaluation({"temperature": 1}),
    "EVAL max_new_tokens 40000": evaluation({"max_new_tokens": 40000}),
    "EVAL top_p int": evaluation({"top_p": 1}),
    "EVAL reasoning low": evaluation({"reasoning_effort": "low"}),
    "EVAL reasoning None": evaluation({"reasoning_effort": None}),
    "EVAL reasoning medium": evaluation({"reasoning_effort": "medium"}),
    "EVAL top_logprobs 20": evaluation({"top_logprobs": 20}),
    "EVAL top_logprobs 21": evaluation({"top_logprobs": 21}),
    "EVAL no data": evaluation(data_uri=None),
    "EVAL mmlu with data": evaluation(method="mmlu"),
    "EVAL mmlu subtask bad": evaluation(method="mmlu", data_uri=None, subtask="nope"),
    "EVAL mmlu ok": evaluation(method="mmlu", data_uri=None, subtask="abstract_algebra"),
    "EVAL gen_qa metric override": evaluation({"metric": "rouge"}),
    "EVAL ckpt nonescrow": evaluation(checkpoint="s3://my-bucket/checkpoints/step_10"),
    "EVAL ckpt modelpkg": evaluation(checkpoint=PACKAGE),
}

# Where ours refuses what the other accepts, or accepts what it refuses; docs/recipes.md says why.
REFUSED_ON_PURPOSE = {
    "max_length 999999",
    "unknown key",
    "long name",
    "RFT number_generation 0",
    "RFT max_new_tokens 99999",
    "RFT rows 10 < gbs 64",
    "RFT hp ckpt on smtj",
    "EVAL top_logprobs 21",
    "EVAL no data",
    "EVAL mmlu with data",
    "EVAL gen_qa metric override",
}
ACCEPTED_ON_PURPOSE = {
    "lr int",
    "RFT no save steps",
    "RFT kl int",
    "RFT ent int 0",
    "SFT from model package",
    "EVAL top_p int",
}
