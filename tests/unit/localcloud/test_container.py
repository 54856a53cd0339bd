from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from novaloop_localcloud.container import (
    JobError,
    Recipe,
    channel_uri,
    check_consistency,
    image_method,
)

SHARED = Path(os.environ.get("NOVALOOP_SHARED", Path(__file__).resolve().parents[4] / "shared"))
CAPTURES = (
    "01_eval_base_gen_qa",
    "02_sft_lora_x4",
    "03_eval_sft_checkpoint_gen_qa",
    "04_rft_lora_x2",
)


def _captured(name: str) -> tuple[dict[str, Any], str]:
    path = SHARED / "contract" / "requests" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no captured requests at {path.parent}")
    document = json.loads(path.read_text(encoding="utf-8"))
    recipe = next(iter(document["recipe_uploads"].values()))
    return document["CreateTrainingJob"][0], recipe


REQUEST = {
    "AlgorithmSpecification": {
        "TrainingImage": "1.dkr.ecr/nova-fine-tune-repo:SM-TJ-RFT-V2-latest"
    },
    "HyperParameters": {
        "base_model": "nova-lite-2/prod",
        "reward_lambda_arn": "arn",
        "sagemaker_recipe_local_path": "/opt/ml/input/data/recipe/recipe.yaml",
    },
    "ResourceConfig": {"InstanceCount": 2},
    "InputDataConfig": [
        {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3Uri": "s3://b/k", "S3DataType": "S3Prefix"}},
        }
    ],
}
RECIPE = {
    "run": {
        "replicas": 2,
        "model_name_or_path": "nova-lite-2/prod",
        "data_s3_path": "s3://b/k",
        "reward_lambda_arn": "arn",
    },
    "training_config": {"rollout": {"rewards": {"api_endpoint": {"lambda_arn": "arn"}}}},
}


@pytest.mark.parametrize("name", CAPTURES)
def test_captured_requests_are_consistent(name: str) -> None:
    request, recipe = _captured(name)
    check_consistency(request, Recipe.parse(recipe))


def test_a_consistent_pair_passes() -> None:
    check_consistency(REQUEST, Recipe(RECIPE))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("run.replicas", 4),
        ("run.model_name_or_path", "s3://other"),
        ("run.data_s3_path", "s3://b/other"),
        ("run.reward_lambda_arn", "other"),
        ("training_config.rollout.rewards.api_endpoint.lambda_arn", "other"),
    ],
)
def test_each_contradiction_is_named(path: str, value: Any) -> None:
    recipe = yaml.safe_load(yaml.safe_dump(RECIPE))
    *parents, leaf = path.split(".")
    place = recipe
    for parent in parents:
        place = place[parent]
    place[leaf] = value
    with pytest.raises(JobError, match=path):
        check_consistency(REQUEST, Recipe(recipe))


def test_the_image_has_to_fit_the_recipe() -> None:
    image = "1.dkr.ecr/nova-fine-tune-repo:SM-TJ-SFT-V2-latest"
    request = {**REQUEST, "AlgorithmSpecification": {"TrainingImage": image}}
    with pytest.raises(JobError, match="method by image"):
        check_consistency(request, Recipe(RECIPE))


def test_unknown_images_are_refused() -> None:
    with pytest.raises(JobError, match="no container for image"):
        image_method("1.dkr.ecr/else:latest")


@pytest.mark.parametrize("text", ["a: [", "- list", "text"])
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(JobError, match=r"recipe\.yaml"):
        Recipe.parse(text)


def test_a_float_without_a_dot_is_text_to_yaml() -> None:
    with pytest.raises(JobError, match=r"training_config\.lr must be a number, got '1e-05'"):
        Recipe.parse("training_config: {lr: 1e-05}").number("training_config.lr")
    assert Recipe.parse("training_config: {lr: 1.0e-05}").number("training_config.lr") == 1e-5


def test_a_missing_channel_is_named() -> None:
    with pytest.raises(JobError, match="'recipe'"):
        channel_uri(REQUEST, "recipe")
