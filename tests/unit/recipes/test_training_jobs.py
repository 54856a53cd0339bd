"""What a training job's request carries besides its recipe, and when it is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from novaloop.problem import Invalid
from novaloop.recipes import plans
from novaloop.recipes.checks import check_rows
from novaloop.recipes.jobs import Deployment, TrainingJob
from novaloop.recipes.plans import plan_training_job
from novaloop.recipes.requests import inconsistencies

if TYPE_CHECKING:
    from collections.abc import Callable

REWARD = "arn:aws:lambda:us-east-1:123456789012:function:nova-SageMaker-reward"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/exp1/3"
DEPLOYMENT = Deployment(
    region="us-west-2",
    execution_role_arn="arn:aws:iam::123456789012:role/NovaExec",
    reward_function_arn=REWARD,
)
SFT = TrainingJob(
    method="sft-lora",
    model="nova-lite-2",
    run_name="exp1-sft",
    job_name="novaloop-exp1--sft-1",
    data_uri="s3://bucket/sft.jsonl",
    output_uri="s3://bucket/jobs/exp1",
    recipe_uri="s3://bucket/jobs/exp1/novaloop-exp1--sft-1/recipe.yaml",
    instance_type="ml.p5.48xlarge",
    instance_count=4,
)
EVALUATION = replace(SFT, method="gen_qa", instance_count=1)
RFT = replace(SFT, method="rft-lora", instance_count=2)


def request(job: TrainingJob) -> dict[str, Any]:
    return plan_training_job(job, DEPLOYMENT).request


def refused(job: TrainingJob, deployment: Deployment = DEPLOYMENT) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        plan_training_job(job, deployment, at="plan[1].sft")
    return {problem.where: str(problem) for problem in caught.value.problems}


def test_tags_are_sent_only_when_there_are_any() -> None:
    assert "Tags" not in request(SFT)
    assert request(replace(SFT, tags={"a": "b"}))["Tags"] == [{"Key": "a", "Value": "b"}]


def test_a_holdout_travels_as_a_channel_of_the_same_type() -> None:
    planned = plan_training_job(replace(SFT, validation_uri="s3://bucket/val.jsonl"), DEPLOYMENT)
    train, validation, recipe = planned.request["InputDataConfig"]

    assert [channel["ChannelName"] for channel in (train, validation, recipe)] == [
        "train",
        "validation",
        "recipe",
    ]
    assert validation["DataSource"]["S3DataSource"] == train["DataSource"]["S3DataSource"] | {
        "S3Uri": "s3://bucket/val.jsonl"
    }
    assert planned.recipe["run"]["validation_data_s3_path"] == ""


def test_the_image_is_the_one_of_the_region() -> None:
    assert request(SFT)["AlgorithmSpecification"]["TrainingImage"].startswith(
        "176779409107.dkr.ecr.us-west-2.amazonaws.com/"
    )


def test_a_model_package_is_named_with_its_group() -> None:
    planned = plan_training_job(replace(EVALUATION, checkpoint=PACKAGE), DEPLOYMENT)

    assert planned.request["ModelPackageConfig"] == {
        "ModelPackageGroupArn": (
            "arn:aws:sagemaker:us-east-1:123456789012:model-package-group/exp1"
        ),
        "SourceModelPackageArn": PACKAGE,
    }
    assert set(planned.request["HyperParameters"]) == {"sagemaker_recipe_local_path"}
    assert planned.recipe["run"]["model_name_or_path"] == PACKAGE


def test_a_processor_function_is_in_the_request_and_in_the_recipe() -> None:
    planned = plan_training_job(replace(EVALUATION, processor_function_arn=REWARD), DEPLOYMENT)

    assert planned.request["HyperParameters"]["eval_lambda_arn"] == REWARD
    assert planned.recipe["processor"]["lambda_arn"] == REWARD


def test_an_evaluation_by_reward_names_the_function_in_the_recipe_only() -> None:
    planned = plan_training_job(replace(EVALUATION, method="rft_eval"), DEPLOYMENT)

    assert planned.recipe["rl_env"] == {"reward_lambda_arn": REWARD}
    assert REWARD not in planned.request["HyperParameters"].values()


def test_a_benchmark_reads_the_recipe_channel_only() -> None:
    mmlu = replace(EVALUATION, method="mmlu", data_uri=None, subtask="anatomy")
    planned = plan_training_job(mmlu, DEPLOYMENT)

    assert [c["ChannelName"] for c in planned.request["InputDataConfig"]] == ["recipe"]
    assert planned.recipe["run"]["data_s3_path"] == ""
    assert planned.recipe["evaluation"] == {
        "task": "mmlu",
        "strategy": "zs_cot",
        "metric": "accuracy",
        "subtask": "anatomy",
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"job_name": "ends-in-hyphen-"}, "job_name"),
        ({"job_name": ""}, "job_name"),
        ({"data_uri": "data/sft.jsonl"}, "data_uri"),
        ({"data_uri": "s3://bucket/"}, "data_uri"),
        ({"recipe_uri": "s3://bucket/other.yaml"}, "recipe_uri"),
        ({"validation_uri": "val.jsonl"}, "validation_uri"),
        ({"checkpoint": "latest"}, "checkpoint"),
        ({"processor_function_arn": REWARD}, "processor_function_arn"),
        ({"subtask": "anatomy"}, "subtask"),
        ({"max_runtime_seconds": 0}, "max_runtime_seconds"),
        ({"instance_count": True}, "instances"),
    ],
)
def test_a_wrong_field_is_refused_by_its_path(changes: dict[str, Any], field: str) -> None:
    assert refused(replace(SFT, **changes)).keys() == {f"plan[1].sft.{field}"}


def test_an_evaluation_would_ignore_a_holdout() -> None:
    evaluation = replace(EVALUATION, validation_uri="s3://bucket/val.jsonl")

    assert "would ignore it" in refused(evaluation)["plan[1].sft.validation_uri"]


def test_an_unsupported_region_is_answered_with_the_supported() -> None:
    message = refused(SFT, replace(DEPLOYMENT, region="eu-central-1"))["plan[1].sft.region"]

    assert "us-east-1, us-west-2" in message


@pytest.mark.parametrize(
    ("names", "spoil"),
    [
        (["instance count"], lambda request: request["ResourceConfig"].update(InstanceCount=8)),
        (["model"], lambda request: request["HyperParameters"].update(base_model="nova-pro/prod")),
        (
            ["reward", "rollout reward"],
            lambda request: request["HyperParameters"].pop("reward_lambda_arn"),
        ),
        (["data"], lambda request: request["InputDataConfig"].pop(0)),
    ],
)
def test_a_request_that_contradicts_its_recipe_is_found(
    names: list[str], spoil: Callable[[dict[str, Any]], object]
) -> None:
    planned = plan_training_job(RFT, DEPLOYMENT)
    spoiled = copy.deepcopy(planned.request)
    spoil(spoiled)

    assert inconsistencies(planned.request, planned.recipe) == []
    assert [found.partition(":")[0] for found in inconsistencies(spoiled, planned.recipe)] == names


def test_a_plan_that_contradicts_itself_is_never_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill = plans._inputs
    monkeypatch.setattr(plans, "_inputs", lambda *given: fill(*given) | {"run.replicas": 8})

    with pytest.raises(AssertionError, match="instance count: 4 in the request, 8 in the recipe"):
        plan_training_job(SFT, DEPLOYMENT)


@pytest.mark.parametrize(("rows", "enough"), [(31, False), (32, True)])
def test_rows_must_fill_one_step(rows: int, enough: bool) -> None:
    problems = check_rows("sft-lora", "nova-lite-2", rows, {}, at="plan[1].sft")

    assert [problem.where for problem in problems] == ([] if enough else ["plan[1].sft.data"])


def test_rows_are_not_counted_against_a_setting_that_is_wrong() -> None:
    assert not any(check_rows("sft-lora", "nova-lite-2", 1, {"global_batch_size": "many"}))


def test_methods_without_a_minimum_take_any_number_of_rows() -> None:
    assert not any(check_rows("gen_qa", "nova-lite-2", 1, {}))
