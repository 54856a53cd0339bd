"""Every method on every model and machine: its defaults are legal and its request is valid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from novaloop.problem import Invalid
from novaloop.recipes.catalog import Family, blueprint, families, methods, variants
from novaloop.recipes.facts import facts
from novaloop.recipes.jobs import Deployment, TrainingJob
from novaloop.recipes.plans import plan_training_job
from tests.unit.recipes.wire import assert_valid

REWARD = "arn:aws:lambda:us-east-1:123456789012:function:nova-SageMaker-reward"
DEPLOYMENT = Deployment(
    region="us-east-1",
    execution_role_arn="arn:aws:iam::123456789012:role/NovaExec",
    reward_function_arn=REWARD,
)
COMBINATIONS = [
    (method, model, instance_type)
    for model in facts().models
    for method in methods(model)
    for one in variants(method, model)
    for instance_type in one.variant.instance_types
]


def job(method: str, model: str, instance_type: str) -> TrainingJob:
    chosen = blueprint(method, model, instance_type)
    return TrainingJob(
        method=method,
        model=model,
        run_name="exp1",
        job_name="novaloop-exp1--stage-1",
        data_uri="s3://bucket/data.jsonl" if chosen.family.channel else None,
        output_uri="s3://bucket/jobs/exp1",
        recipe_uri="s3://bucket/jobs/exp1/novaloop-exp1--stage-1/recipe.yaml",
        instance_type=instance_type,
        instance_count=chosen.variant.default_count,
        tags={"novaloop:experiment": "exp1"},
    )


@pytest.mark.parametrize(("method", "model", "instance_type"), COMBINATIONS)
def test_defaults_make_a_valid_request(method: str, model: str, instance_type: str) -> None:
    planned = plan_training_job(job(method, model, instance_type), DEPLOYMENT)

    assert_valid("sagemaker", "CreateTrainingJob", planned.request)
    assert planned.recipe["run"]["model_type"] == facts().models[model].model_type


@pytest.mark.parametrize(("method", "model", "instance_type"), COMBINATIONS)
def test_every_default_could_be_written_as_an_override(
    method: str, model: str, instance_type: str
) -> None:
    asked = job(method, model, instance_type)
    settings = blueprint(method, model, instance_type).settings
    defaults = {
        path: setting.default
        for path, setting in settings.items()
        if not setting.default_from and not setting.omitted
    }

    assert plan_training_job(replace(asked, overrides=defaults), DEPLOYMENT) == plan_training_job(
        asked, DEPLOYMENT
    )


def test_each_method_of_a_model_is_described_once() -> None:
    described = [
        (method, variant.model, instance_type)
        for family in families().values()
        for method in family.methods
        for variant in family.variants
        for instance_type in variant.instance_types
    ]

    assert len(described) == len(set(described))


def test_a_plan_can_be_changed_without_changing_the_next_one() -> None:
    asked = job("sft-lora", "nova-lite-2", "ml.p5.48xlarge")
    plan_training_job(asked, DEPLOYMENT).recipe["run"]["validation_data_s3_path_list"]["a"] = "b"

    assert plan_training_job(asked, DEPLOYMENT).recipe["run"]["validation_data_s3_path_list"] == {}


def test_a_method_the_model_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(Invalid, match=r"plan\[2\]\.method: nova-micro has no 'rft-lora'") as caught:
        plan_training_job(
            replace(job("sft-lora", "nova-micro", "ml.p5.48xlarge"), method="rft-lora"),
            DEPLOYMENT,
            at="plan[2]",
        )
    assert "sft-lora" in str(caught.value)


@pytest.mark.parametrize(
    ("instance_type", "longest"),
    [("ml.p5.48xlarge", 32768), ("ml.p4d.24xlarge", 16384), ("ml.g6.48xlarge", 4096)],
)
def test_limits_depend_on_the_machine(instance_type: str, longest: int) -> None:
    asked = job("dpo-lora", "nova-lite", instance_type)

    plan_training_job(replace(asked, overrides={"max_length": longest}), DEPLOYMENT)
    with pytest.raises(Invalid, match=f"at most {longest}"):
        plan_training_job(replace(asked, overrides={"max_length": longest + 1024}), DEPLOYMENT)


def test_a_context_length_is_a_multiple_where_the_recipe_says_so() -> None:
    asked = job("sft-lora", "nova-micro", "ml.p5.48xlarge")

    with pytest.raises(Invalid, match="multiple of 1024"):
        plan_training_job(replace(asked, overrides={"max_length": 5000}), DEPLOYMENT)


def test_an_older_recipe_lacks_the_newer_leaves() -> None:
    older = plan_training_job(job("gen_qa", "nova-pro", "ml.p5.48xlarge"), DEPLOYMENT).recipe

    assert "reasoning_effort" not in older["inference"]
    assert "preset_reward_function" not in older["processor"]
    assert older["inference"]["max_new_tokens"] == 8196


def test_a_family_that_names_a_leaf_it_lacks_is_no_family() -> None:
    document = {
        "methods": {"sft-lora": {}},
        "image": "repository:tag",
        "channel": "Converse",
        "variants": [],
        "ordered": [["run.steps", "run.name"]],
        "template": {"run": {"name": {"from": "run_name"}}},
    }

    with pytest.raises(ValueError, match=r"run\.steps"):
        Family.model_validate(document)
