from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml
from botocore.response import StreamingBody
from botocore.stub import Stubber

from novaloop.recipes.catalog import Blueprint, pinned
from novaloop.recipes.overrides import resolve
from novaloop_cli import recipes
from tests.unit.cli.conftest import novaloop

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS = Path(__file__).resolve().parents[1] / "recipes" / "hub_answers"
SFT = "nova_lite_2_0_p5_gpu_lora_sft"
BUCKET = "jumpstart-cache-prod-us-east-1"


class StoredHub:
    """The hub as it answered once; what it publishes can be changed before it is asked."""

    def __init__(self) -> None:
        self.answers = {path.stem: json.loads(path.read_text()) for path in ANSWERS.glob("*.json")}
        self.sagemaker = boto3.client("sagemaker", region_name="us-east-1")
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.stubs = Stubber(self.sagemaker), Stubber(self.s3)

    def entry(self, name: str) -> dict[str, Any]:
        return self.answers[name]["entry"] | {
            "SmtjRecipeTemplateS3Uri": f"s3://{BUCKET}/recipes/{name}_template.yaml",
            "SmtjOverrideParamsS3Uri": f"s3://{BUCKET}/recipes/{name}_override.json",
        }

    def answer(self, *names: str) -> None:
        """Expect the hub to be asked once, and once for each document of these recipes."""
        hub, objects = self.stubs
        document = {"RecipeCollection": [self.entry(name) for name in self.answers]}
        hub.add_response(
            "describe_hub_content",
            {
                "HubContentName": "nova-textgeneration-lite-v2",
                "HubContentArn": "arn:aws:sagemaker:us-east-1:aws:hub-content/x/Model/y/1.0.0",
                "HubContentVersion": "1.0.0",
                "HubContentType": "Model",
                "DocumentSchemaVersion": "2.0.0",
                "HubName": "SageMakerPublicHub",
                "HubArn": "arn:aws:sagemaker:us-east-1:aws:hub/SageMakerPublicHub",
                "HubContentDocument": json.dumps(document),
                "HubContentStatus": "Available",
                "CreationTime": 0,
            },
            {
                "HubName": "SageMakerPublicHub",
                "HubContentType": "Model",
                "HubContentName": "nova-textgeneration-lite-v2",
            },
        )
        for name in names:
            template = yaml.safe_dump(self.answers[name]["template"], sort_keys=False)
            # Published templates leave their placeholders unquoted.
            bare = re.sub(r"'(\{\{\s*\w+\s*\}\})'", r"\1", template)
            parameters = json.dumps(self.answers[name]["override_parameters"])
            for suffix, text in {"template.yaml": bare, "override.json": parameters}.items():
                body = StreamingBody(io.BytesIO(text.encode()), len(text.encode()))
                expected = {"Bucket": BUCKET, "Key": f"recipes/{name}_{suffix}"}
                objects.add_response("get_object", {"Body": body}, expected)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StoredHub]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("COLUMNS", "80")
    stored = StoredHub()
    clients = {"sagemaker": stored.sagemaker, "s3": stored.s3}
    monkeypatch.setattr(recipes, "aws_client", clients.__getitem__)
    with stored.stubs[0], stored.stubs[1]:
        yield stored
        for stub in stored.stubs:
            stub.assert_no_pending_responses()


PUBLISHED = (
    "nova_lite_2_0_p5_48xl_gpu_bring_your_own_dataset_eval",
    "nova_lite_v2_smtj_p5_p5en_gpu_lora_rft",
    SFT,
)


def differences() -> tuple[int, dict[str, list[str]]]:
    """Run the command; return its exit code and its lines by recipe."""
    result = novaloop("recipes", "diff", "--model", "nova-lite-2")
    found: dict[str, list[str]] = {}
    recipe = ""
    for line in result.stdout.splitlines()[:-1]:
        if line.startswith("  "):
            found[recipe].append(line.strip())
        else:
            recipe = line.split()[2].rstrip(":")
            found[recipe] = []
    return result.exit_code, found


def test_stored_answers_are_as_pinned_and_missing_recipes_are_told(hub: StoredHub) -> None:
    hub.answer(*PUBLISHED)
    code, found = differences()
    assert code == 1
    assert [found[name] for name in PUBLISHED] == [[], [], []]
    missing = [name for name, lines in found.items() if lines]
    assert "nova_lite_2_0_p5_gpu_sft" in missing
    assert all("publishes no recipe of this name" in found[name][0] for name in missing)


def test_what_drifted_is_told_by_path(hub: StoredHub) -> None:
    hub.answers[SFT]["override_parameters"]["warmup_steps"]["max"] = 500
    hub.answers[SFT]["template"]["training_config"]["optim_config"]["eps"] = 1e-8
    hub.answer(*PUBLISHED)
    _, found = differences()
    assert found[SFT] == [
        "training_config.lr_scheduler.warmup_steps.at_most: pinned 100.0, published 500",
        "training_config.optim_config.eps: pinned None, published 1e-08",
    ]


def test_recipes_that_amazon_ships_in_its_sdk_are_not_looked_for(hub: StoredHub) -> None:
    hub.answer(*PUBLISHED)
    _, found = differences()
    assert not [name for name in found if "judge" in name or "rft_eval" in name]


def test_a_hub_of_another_form_is_no_traceback(hub: StoredHub) -> None:
    hub.answers = {SFT: hub.answers[SFT]}
    hub.entry = lambda name: hub.answers[name]["entry"]  # type: ignore[method-assign]
    hub.answer()
    result = novaloop("recipes", "diff", "--model", "nova-lite-2")
    assert result.exit_code == 1
    assert "has no SmtjRecipeTemplateS3Uri" in result.stderr


def test_list_has_every_model() -> None:
    output = novaloop("recipes", "list").output
    for expected in ("sft-lora", "nova-micro", "nova-lite-2", "p5en"):
        assert expected in output, expected
    assert "nova-pro" not in novaloop("recipes", "list", "--model", "nova-micro").output


def test_the_list_is_a_table_that_fits() -> None:
    lines = novaloop("recipes", "list", env={"COLUMNS": "80"}).output.splitlines()
    assert lines[0].split() == ["model", "instances", "machines"]
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "novaloop recipes show METHOD MODEL names the recipe and its settings."


def test_show_tells_defaults_and_limits() -> None:
    result = novaloop("recipes", "show", "sft-lora", "nova-lite-2")
    assert result.exit_code == 0, result.output
    assert re.search(r"(?m)^max_steps +\d+ +integer, at least 4", result.output)
    assert "32, 64, 128" in result.output


def test_what_is_not_offered_is_refused() -> None:
    result = novaloop("recipes", "show", "rft-lora", "nova-micro")
    assert result.exit_code == 2
    assert "nova-micro has no 'rft-lora'" in result.stderr


@pytest.mark.parametrize("chosen", pinned(), ids=lambda one: f"{one.method} {one.variant.model}")
def test_every_setting_is_shown_under_a_name_that_overrides_it(chosen: Blueprint) -> None:
    for path, setting in chosen.settings.items():
        name = recipes._shortest(path, chosen.settings)
        if setting.default is not None:
            values, errors = resolve(chosen, {name: setting.default}, "overrides")
            assert errors == []
            assert values[path] == setting.parse(setting.default)
