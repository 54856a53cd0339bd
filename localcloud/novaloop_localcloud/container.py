"""What a Nova training container reads from its request and recipe, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import yaml

Method = Literal["sft", "dpo", "rft", "evaluation"]

RECIPE_PATH = "/opt/ml/input/data/recipe/recipe.yaml"
_IMAGE_METHODS: dict[str, Method] = {
    "nova-fine-tune-repo:SM-TJ-SFT": "sft",
    "nova-fine-tune-repo:SM-TJ-DPO": "dpo",
    "nova-fine-tune-repo:SM-TJ-RFT": "rft",
    "nova-evaluation-repo:SM-TJ-Eval": "evaluation",
}
_TRAIN_DATA_TYPES: dict[Method, str] = {
    "sft": "Converse",
    "dpo": "Converse",
    "rft": "S3Prefix",
    "evaluation": "S3Prefix",
}


class JobError(Exception):
    """A job ends as Failed with this text as its FailureReason."""


@dataclass(frozen=True)
class Recipe:
    """A parsed recipe, read by dotted path."""

    document: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """Read YAML; raise JobError when it is no mapping."""
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise JobError(f"AlgorithmError: recipe.yaml is not YAML: {error}") from error
        if not isinstance(document, Mapping):
            raise JobError("AlgorithmError: recipe.yaml must hold a mapping")
        return cls(document)

    def get(self, path: str) -> Any:
        """The value at a dotted path, or None where there is none."""
        value: Any = self.document
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def number(self, path: str) -> float:
        """A number, as YAML 1.1 reads it: `1e-05` is a string there, and refused."""
        value = self.get(path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise JobError(f"AlgorithmError: recipe {path} must be a number, got {value!r}")
        return value

    @property
    def method(self) -> Method:
        """Which kind of job the recipe describes."""
        if "evaluation" in self.document:
            return "evaluation"
        if self.get("training_config.model.dpo_cfg") is not None:
            return "dpo"
        return "rft" if self.get("training_config.rollout") is not None else "sft"

    @property
    def brings_questions(self) -> bool:
        """Whether it is a benchmark's, which reads no data."""
        return self.method == "evaluation" and not self.get("run.data_s3_path")


def serverless_recipe(request: Mapping[str, Any], reward_function_arn: str | None) -> Recipe:
    """What a serverless job does by its hyperparameters, in the words of a recipe.

    Nobody outside knows the service's own defaults for what can't be sent; the stand-in's let its
    small model learn.
    """
    told = request.get("HyperParameters", {})
    technique = request["ServerlessJobConfig"].get("CustomizationTechnique")
    build = {"SFT": _supervised, "RLVR": _reinforced, None: _evaluated}[technique]
    try:
        return Recipe({"run": {"name": told["name"]}, **build(told, reward_function_arn)})
    except (KeyError, ValueError) as problem:
        raise JobError(f"AlgorithmError: hyperparameters: {problem!r}") from problem


def _supervised(told: Mapping[str, str], _: str | None) -> dict[str, Any]:
    training = {
        "max_steps": int(told["max_steps"]),
        "global_batch_size": int(told["global_batch_size"]),
        "lr_scheduler": {"warmup_steps": int(told["warmup_steps"])},
        "optim_config": {"lr": float(told["learning_rate"])},
    }
    return {"training_config": training}


def _reinforced(told: Mapping[str, str], reward_function_arn: str | None) -> dict[str, Any]:
    endpoint = {"lambda_arn": reward_function_arn, "lambda_concurrency_limit": 12}
    rollout = {
        "advantage_strategy": {"number_generation": 4},
        "generator": {"max_new_tokens": 6000, "temperature": 1.0, "top_k": -1},
        "rewards": {"api_endpoint": endpoint},
    }
    trainer = {
        "max_steps": int(told["max_steps"]),
        "ent_coeff": 0.0,
        "kl_loss_coef": 0.001,
        "optim_config": {"lr": float(told["learning_rate"])},
    }
    batch_size = int(told["global_batch_size"])
    training = {"global_batch_size": batch_size, "rollout": rollout, "trainer": trainer}
    return {"training_config": training}


def _evaluated(_: Mapping[str, str], __: str | None) -> dict[str, Any]:
    inference = {"max_new_tokens": 32768, "top_k": -1, "top_p": 1.0, "temperature": 0.0}
    return {"evaluation": {"task": "gen_qa"}, "inference": inference}


def image_method(image: str) -> Method:
    """The method that a Nova training image implements; raise JobError for any other image."""
    for part, method in _IMAGE_METHODS.items():
        if part in image:
            return method
    raise JobError(f"ClientError: the stand-in has no container for image {image}")


def channel_uri(request: Mapping[str, Any], name: str) -> str:
    """The S3 URI of an input channel; raise JobError when the request has none."""
    for channel in request.get("InputDataConfig", []):
        if channel["ChannelName"] == name:
            return str(channel["DataSource"]["S3DataSource"]["S3Uri"])
    raise JobError(f"ClientError: the request has no input channel {name!r}")


def has_channel(request: Mapping[str, Any], name: str) -> bool:
    """Whether the request has an input channel of that name."""
    return any(channel["ChannelName"] == name for channel in request.get("InputDataConfig", []))


def check_consistency(request: Mapping[str, Any], recipe: Recipe) -> None:
    """Raise JobError naming every place where the recipe contradicts the request."""
    problems = [
        f"{place}: recipe has {told!r}, request has {asked!r}"
        for place, told, asked in _comparisons(request, recipe)
        if told != asked
    ]
    if problems:
        raise JobError("AlgorithmError: recipe and request disagree: " + "; ".join(problems))


def _comparisons(request: Mapping[str, Any], recipe: Recipe) -> list[tuple[str, Any, Any]]:
    hyper_parameters = request.get("HyperParameters", {})
    method = image_method(request["AlgorithmSpecification"]["TrainingImage"])
    model = hyper_parameters.get("base_model") or hyper_parameters.get("base_model_location")
    comparisons = [
        ("method by image", recipe.method, method),
        ("recipe path", RECIPE_PATH, hyper_parameters.get("sagemaker_recipe_local_path")),
        ("run.replicas", recipe.get("run.replicas"), request["ResourceConfig"]["InstanceCount"]),
        ("run.model_name_or_path", recipe.get("run.model_name_or_path"), model),
    ]
    if recipe.brings_questions:
        comparisons.append(("train channel", False, has_channel(request, "train")))
    else:
        comparisons += [
            ("run.data_s3_path", recipe.get("run.data_s3_path"), channel_uri(request, "train")),
            ("train channel S3DataType", _TRAIN_DATA_TYPES[method], _train_data_type(request)),
        ]
    if method == "rft":
        reward = hyper_parameters.get("reward_lambda_arn")
        endpoint = "training_config.rollout.rewards.api_endpoint.lambda_arn"
        comparisons += [(at, recipe.get(at), reward) for at in ("run.reward_lambda_arn", endpoint)]
    return comparisons


def _train_data_type(request: Mapping[str, Any]) -> str | None:
    for channel in request.get("InputDataConfig", []):
        if channel["ChannelName"] == "train":
            return str(channel["DataSource"]["S3DataSource"]["S3DataType"])
    return None
