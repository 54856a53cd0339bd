"""What every command says of itself, in 80 columns."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from novaloop.recipes.catalog import pinned
from novaloop_cli.main import main
from tests.unit.cli.conftest import commands_of, novaloop

ALL = dict(commands_of(main))


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_fits_into_80_columns_and_cuts_nothing_off(words: tuple[str, ...]) -> None:
    printed = novaloop(*words, "--help").stdout
    assert max(map(len, printed.splitlines())) <= 80
    _, _, listed = printed.partition("Commands:\n")
    assert "..." not in listed.split("\n\n")[0]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_option_says_what_it_is_for(words: tuple[str, ...]) -> None:
    for option in ALL[words].params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.name


@pytest.mark.parametrize("group", [(), ("recipes",), ("local",), ("reward",)])
def test_a_group_without_a_command_prints_its_help_and_no_prefix(group: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, group, prog_name="novaloop")
    assert result.exit_code == 2
    assert result.stderr.startswith(" ".join(("Usage: novaloop", *group)))


@pytest.mark.parametrize("option", ["--region", "--stack", "--profile", "--local", "--json"])
def test_an_option_before_its_command_is_told_where_to_stand(option: str) -> None:
    result = CliRunner().invoke(main, [option, "x", "list"])
    assert result.exit_code == 2
    assert f"write {option} after the command, such as `novaloop list {option}" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_option_that_no_command_has_is_unknown() -> None:
    result = CliRunner().invoke(main, ["--nonsense", "list"])
    assert result.stderr.startswith("novaloop: No such option")


@pytest.mark.parametrize("model", [(), ("--model", "nova-pro")])
def test_no_name_breaks_in_the_list_of_recipes(model: tuple[str, ...]) -> None:
    printed = novaloop("recipes", "list", *model).stdout
    assert max(map(len, printed.splitlines())) <= 80
    machines = {name for each in pinned() for name in each.variant.instance_types}
    named = set(re.findall(r"ml\.[^\s,]*", printed))
    assert named <= machines
    assert model or named == machines
    assert "mmlu, mmlu_pro, bbh, gpqa, math, strong_reject, ifeval\n" in printed


def test_an_unknown_model_has_no_recipes_and_is_named() -> None:
    result = novaloop("recipes", "show", "sft-lora", "nova-foo")
    assert result.exit_code == 2
    assert "'nova-foo' is not one of 'nova-micro'" in result.stderr


def test_a_machine_that_no_recipe_of_the_model_has_is_not_ignored() -> None:
    result = novaloop(
        "recipes", "show", "sft-lora", "nova-lite-2", "--instance-type", "ml.g5.12xlarge"
    )
    assert result.exit_code == 2
    assert "ml.g5.12xlarge" in result.stderr
    assert "ml.p5.48xlarge" in result.stderr


def test_a_default_that_follows_another_setting_names_it_as_the_table_does() -> None:
    printed = novaloop("recipes", "show", "rft-lora", "nova-lite-2").stdout
    assert max(map(len, printed.splitlines())) <= 80
    assert re.search(r"^save_steps +as max_steps ", printed, re.MULTILINE)
