"""Overrides: every mistake is told at once, with its path and the way out."""

from __future__ import annotations

import math

import pytest
import yaml

from novaloop.recipes.catalog import blueprint
from novaloop.recipes.checks import check_overrides
from novaloop.recipes.overrides import resolve

AT = "plan[1].sft.overrides"


def told(method: str, **overrides: object) -> dict[str, str]:
    errors = check_overrides(method, "nova-lite-2", overrides, at=AT)
    return {error.where: str(error) for error in errors}


def resolved(method: str, text: str) -> dict[str, object]:
    values, errors = resolve(blueprint(method, "nova-lite-2"), yaml.safe_load(text), "")
    assert errors == []
    return {path.rpartition(".")[2]: value for path, value in values.items()}


def test_all_errors_are_told_at_once() -> None:
    assert told("sft-lora", lr=2.0, warmup_steps=101, max_steps="100", nonsense=1).keys() == {
        f"{AT}.lr",
        f"{AT}.warmup_steps",
        f"{AT}.max_steps",
        f"{AT}.nonsense",
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("learning_rate", "lr"),
        ("lora_alpha", "alpha"),
        ("warm_up_steps", "warmup_steps"),
        ("globalbatchsize", "global_batch_size"),
        ("optim_config.learning_rate", "lr"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(written: str, meant: str) -> None:
    assert f"did you mean {meant}" in told("sft-lora", **{written: 1})[f"{AT}.{written}"]


def test_the_hubs_name_for_a_setting_leaves_no_doubt() -> None:
    assert told("sft-lora", learning_rate=1).popitem()[1].endswith("did you mean lr?")


def test_a_hopeless_name_is_answered_with_all_settings() -> None:
    message = told("rft-lora", xyzzy=1)[f"{AT}.xyzzy"]

    assert "number_generation" in message
    assert "lambda_arn" not in message


def test_an_ambiguous_leaf_is_answered_with_its_paths() -> None:
    message = told("gen_qa", enabled=True)[f"{AT}.enabled"]

    assert "processor.preprocessing.enabled, processor.postprocessing.enabled" in message
    assert told("gen_qa", **{"preprocessing.enabled": True}) == {}


def test_a_path_and_its_leaf_can_not_both_be_set() -> None:
    assert (
        "twice" in told("sft-lora", lr=1e-5, **{"optim_config.lr": 1e-6})[f"{AT}.optim_config.lr"]
    )


@pytest.mark.parametrize("name", ["peft_scheme", "model_type", "replicas", "data_s3_path"])
def test_what_follows_from_the_job_can_not_be_set(name: str) -> None:
    assert "can't be set here" in told("sft-lora", **{name: "x"})[f"{AT}.{name}"]


@pytest.mark.parametrize("text", ["5e-6", "5.0e-6", "0.000005", "5E-06", "'5e-6'"])
def test_yaml_spellings_of_a_small_number_are_one_number(text: str) -> None:
    assert resolved("sft-lora", f"lr: {text}")["lr"] == 5e-6


@pytest.mark.parametrize("value", ["0.1", "1", "1e", "nan", "1e-5x", "", True, None, [1e-5]])
def test_what_is_no_number_is_refused(value: object) -> None:
    assert "must be a finite number" in told("sft-lora", lr=value)[f"{AT}.lr"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1e999"])
def test_a_number_must_be_finite(value: object) -> None:
    assert "finite" in told("rft-lora", kl_loss_coef=value)[f"{AT}.kl_loss_coef"]


def test_a_huge_integer_is_no_float() -> None:
    assert told("rft-lora", kl_loss_coef=10**400).keys() == {f"{AT}.kl_loss_coef"}


@pytest.mark.parametrize("value", [4.0, True, "4", None])
def test_a_whole_number_is_not_guessed(value: object) -> None:
    assert told("rft-lora", number_generation=value).keys() == {f"{AT}.number_generation"}


def test_true_is_no_number() -> None:
    assert told("rft-lora", top_k=True).keys() == {f"{AT}.top_k"}


def test_an_integer_for_a_float_is_emitted_as_a_float() -> None:
    temperature = resolved("rft-lora", "temperature: 1")["temperature"]

    assert repr(temperature) == "1.0"


@pytest.mark.parametrize("text", ["null", "'null'", "~"])
def test_reasoning_can_be_switched_off(text: str) -> None:
    assert resolved("rft-lora", f"reasoning_effort: {text}")["reasoning_effort"] is None


def test_a_misspelled_effort_is_refused() -> None:
    assert (
        "one of low, medium, high"
        in told("rft-lora", reasoning_effort="hi")[f"{AT}.reasoning_effort"]
    )


def test_saving_defaults_to_the_last_step() -> None:
    assert resolved("rft-lora", "max_steps: 25")["save_steps"] == 25


def test_orders_are_kept_across_settings() -> None:
    assert (
        "more than max_steps (20)"
        in told("sft-lora", save_steps=50, max_steps=20)[f"{AT}.save_steps"]
    )
    assert f"{AT}.min_lr" in told("sft-lora", lr=1e-8)


def test_a_value_in_a_message_is_cut() -> None:
    message = told("sft-lora", lr="x" * 5000)[f"{AT}.lr"]

    assert len(message) < 200
