"""Drift between the pinned recipes and stored answers of the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from novaloop.recipes.catalog import families, pinned
from novaloop.recipes.drift import Drift, drift, published_entry

ANSWERS = sorted((Path(__file__).parent / "hub_answers").glob("*.json"))
SFT = "nova_lite_2_0_p5_gpu_lora_sft"


def answer(recipe: str = SFT) -> dict[str, Any]:
    path = next(path for path in ANSWERS if path.stem == recipe)
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def drifted(published: dict[str, Any], recipe: str = SFT) -> list[Drift]:
    blueprint = next(one for one in pinned() if one.variant.recipe == recipe)
    return drift(
        blueprint, published["entry"], published["template"], published["override_parameters"]
    )


def test_every_variant_is_pinned_once() -> None:
    assert len(pinned()) == sum(len(family.variants) for family in families().values())


@pytest.mark.parametrize("recipe", [path.stem for path in ANSWERS])
def test_the_stored_answers_show_no_drift(recipe: str) -> None:
    assert drifted(answer(recipe), recipe) == []


def test_a_changed_bound_is_found() -> None:
    published = answer()
    published["override_parameters"]["warmup_steps"]["max"] = 500

    assert drifted(published) == [
        Drift("training_config.lr_scheduler.warmup_steps.at_most", 100.0, 500)
    ]


def test_a_changed_default_is_found_by_the_name_of_the_parameter() -> None:
    published = answer()
    published["override_parameters"]["learning_rate"]["default"] = 2e-5

    assert drifted(published) == [Drift("training_config.optim_config.lr.default", 1e-5, 2e-5)]


def test_a_changed_choice_is_found() -> None:
    published = answer()
    published["override_parameters"]["global_batch_size"]["enum"] = [32, 64]

    (found,) = drifted(published)
    assert found.path == "training_config.global_batch_size.choices"


def test_new_and_missing_leaves_are_found() -> None:
    published = answer()
    del published["template"]["training_config"]["save_top_k"]
    published["template"]["training_config"]["optim_config"]["eps"] = 1e-8

    assert drifted(published) == [
        Drift("training_config.optim_config.eps", None, 1e-8),
        Drift("training_config.save_top_k", 5, None),
    ]


def test_a_changed_fixed_value_is_found() -> None:
    published = answer()
    published["template"]["training_config"]["peft"]["peft_scheme"] = "dora"

    assert drifted(published) == [Drift("training_config.peft.peft_scheme", "lora", "dora")]


def test_a_changed_image_version_and_machine_are_found() -> None:
    published = answer()
    published["entry"] |= {
        "SmtjImageUri": "1.dkr.ecr.us-east-1.amazonaws.com/nova-fine-tune-repo:SM-TJ-SFT-V3-latest",
        "Versions": ["3.0.0"],
        "SupportedInstanceTypes": ["ml.p6.48xlarge"],
    }

    assert [found.path for found in drifted(published)] == ["image", "instance_types", "version"]


def test_the_entry_of_a_recipe_is_found_in_the_hub_document() -> None:
    blueprint = next(one for one in pinned() if one.variant.recipe == SFT)
    document = {"RecipeCollection": [{"Name": "other"}, answer()["entry"]]}

    assert published_entry(document, blueprint) == answer()["entry"]
    assert published_entry({"RecipeCollection": [{"Name": "other"}]}, blueprint) is None
