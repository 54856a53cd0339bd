"""Which stack, account and region a command talks to, and that its next steps talk to the same."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import click
import pytest

import novaloop_cli
from novaloop import __version__
from novaloop.experiment.record import Status
from novaloop_cli import stack as stacks
from novaloop_cli.main import main
from novaloop_cli.stack import Stack
from novaloop_cli.watch import AT_REST
from tests.unit.cli import conftest
from tests.unit.cli.conftest import commands_of, novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = example.NAME
EXAMPLE = Path(__file__).parents[3] / "examples" / "bicycle-shop"
GIVEN = ("--stack", "team's stack", "--region", "eu-west-1")


def regions_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of the regions that calls of AWS go to, of which each fails."""
    asked: list[str] = []

    def ask(client: boto3.client, *_: object) -> None:
        asked.append(client.meta.region_name)
        raise stacks.Failed("asked")

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", ask)
    return asked


@pytest.mark.parametrize(
    ("variables", "options", "expected"),
    [
        ({"AWS_REGION": "eu-west-1"}, (), "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-2"}, (), "eu-west-2"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, (), "eu-west-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-2"}, (), "eu-west-2"),
        ({"AWS_REGION": "eu-west-1"}, ("--region", "us-west-2"), "us-west-2"),
    ],
)
@pytest.mark.parametrize("command", ["list", "show x", "recipes diff"])
@pytest.mark.usefixtures("aws")
def test_the_region_is_chosen_as_the_aws_cli_chooses_it(
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    variables: dict[str, str],
    options: tuple[str, ...],
    expected: str,
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    asked = regions_asked(monkeypatch)
    assert novaloop(*command.split(), *options).exit_code == 1
    assert asked == [expected]


@pytest.fixture
def profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell that names no region, and profiles of which some do."""
    file = tmp_path / "config"
    file.write_text(
        "[default]\nregion = eu-west-2\n[profile jane]\nregion = ap-northeast-1\n[profile x]"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "NOVALOOP_STACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


OF_PROFILES = [
    ({}, (), "eu-west-2"),
    ({}, ("--profile", "jane"), "ap-northeast-1"),
    ({"AWS_PROFILE": "jane"}, (), "ap-northeast-1"),
    ({"AWS_DEFAULT_REGION": "", "AWS_REGION": ""}, ("--profile", "jane"), "ap-northeast-1"),
    ({"AWS_DEFAULT_REGION": "us-west-2"}, ("--profile", "jane"), "us-west-2"),
    ({"AWS_REGION": "us-west-2"}, ("--profile", "x"), "us-west-2"),
    ({}, ("--profile", "jane", "--region", "us-east-1"), "us-east-1"),
]


@pytest.mark.parametrize(("variables", "options", "expected"), OF_PROFILES)
@pytest.mark.parametrize("command", ["list", "plan {} --stack novaloop", "recipes diff", "plan {}"])
@pytest.mark.usefixtures("aws", "profiles")
def test_where_the_shell_names_no_region_the_profile_does(
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    variables: dict[str, str],
    options: tuple[str, ...],
    expected: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asked = regions_asked(monkeypatch)
    result = novaloop(*command.format(EXAMPLE).split(), *options)
    if command == "plan {}":  # asks nobody
        assert f"placeholders in {expected}" in " ".join(result.stdout.split())
    else:
        assert asked == [expected], result.output


@pytest.mark.parametrize("command", ["list", "plan {} --stack novaloop", "recipes diff"])
@pytest.mark.usefixtures("aws", "profiles")
def test_without_any_region_it_is_said_what_to_do(command: str) -> None:
    result = novaloop(*command.format(EXAMPLE).split(), "--profile", "x")
    assert result.exit_code == 2
    assert "give --region, set AWS_REGION, or give the profile one" in result.stderr


@pytest.mark.parametrize("command", ["list", "plan {} --stack novaloop", "plan {}"])
@pytest.mark.usefixtures("aws", "profiles")
def test_what_is_no_region_or_no_profile_is_refused_by_each_command(command: str) -> None:
    words = command.format(EXAMPLE).split()
    assert "such as us-east-1" in novaloop(*words, "--region", "no region").stderr
    result = novaloop(*words, "--profile", "nope")
    assert result.exit_code == 2
    assert "aws configure list-profiles" in result.stderr


@pytest.mark.usefixtures("aws", "profiles")
def test_a_plan_needs_no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    result = novaloop("plan", str(EXAMPLE))
    assert result.exit_code == 0, result.output
    assert "placeholders in us-east-1" in " ".join(result.stdout.split())


@pytest.fixture
def elsewhere(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The same items, reached as a stack of another name in another region."""
    monkeypatch.setitem(conftest.STACKS, "team's stack", conftest.OUTPUTS)
    monkeypatch.setattr(stacks, "aws_region", lambda: "us-east-1")
    return stack


def printed_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every command that a text holds, at a line's end or in backticks."""
    for found in re.findall(r"(?:`|: )(novaloop .+?)(?=`|\n|$)", text):
        yield shlex.split(found)


def runs(words: list[str]) -> bool:
    """Whether the command takes these words."""
    known = {"DIR": ".", "N": "1"}
    program, verb, *arguments = [known.get(word, word) for word in words]
    assert program == "novaloop"
    with dict(commands_of(main))[(verb,)].make_context(verb, arguments):
        return True


@pytest.mark.parametrize("status", list(AT_REST))
def test_watch_ends_with_commands_that_can_be_pasted(elsewhere: Stack, status: Status) -> None:
    elsewhere.table.commit(replace(example.record(), status=status), ())
    printed = list(printed_commands(novaloop("watch", NAME, *GIVEN).stdout))
    assert printed
    for words in printed:
        assert runs(words)
        assert words[-4:] == list(GIVEN)
        assert NAME in words


@pytest.mark.parametrize("arguments", [["list"], ["show", "nobody"], ["stop", "nobody"]])
def test_a_pointer_to_another_command_keeps_the_options(
    elsewhere: Stack, arguments: list[str]
) -> None:
    result = novaloop(*arguments, *GIVEN)
    (words,) = printed_commands(result.output)
    assert runs(words)
    assert words[-4:] == list(GIVEN)


def test_what_the_shell_keeps_is_not_repeated(
    elsewhere: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVALOOP_STACK", "team's stack")
    assert novaloop("list").stdout.endswith("Upload one: novaloop submit DIR\n")


def test_the_local_cloud_is_named_again() -> None:
    local = Stack("bucket", "table", "us-east-1", is_local=True, chosen_by=("--local",))
    assert local.command("invoke", "x", "a question") == "novaloop invoke x 'a question' --local"


@pytest.mark.parametrize(
    ("variables", "options", "words"),
    [
        ({}, ("--stack", "nope", "--local"), "leave out --local or --stack"),
        ({}, ("--profile", "jane", "--local"), "leave out --local or --profile"),
        ({}, ("--local", "--region", "eu-west-1"), "leave out --local or --region"),
        (
            {"NOVALOOP_LOCAL": "1"},
            ("--stack", "nope"),
            "unset NOVALOOP_LOCAL, or leave out --stack",
        ),
    ],
)
@pytest.mark.usefixtures("aws")
def test_the_local_cloud_and_a_stack_on_aws_are_not_chosen_at_once(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    options: tuple[str, ...],
    words: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(stacks, "attach", lambda: pytest.fail("the option was ignored"))
    result = novaloop("list", *options)
    assert result.exit_code == 2
    assert words in result.stderr


def test_no_other_text_names_a_command_without_its_stack() -> None:
    with_stack = [
        " ".join(words)
        for words, command in commands_of(main)
        if any(each.name == "stack_name" for each in command.params) and words != ("plan",)
    ]
    named = re.compile(rf"novaloop ({'|'.join(with_stack)})\b(?!.*--local)")
    folder = Path(novaloop_cli.__file__).parent
    for file in folder.glob("*.py"):
        tree = ast.parse(file.read_text())
        documented = (ast.Module, ast.FunctionDef, ast.ClassDef)
        docstrings = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(tree)
            if isinstance(node, documented)
        }
        texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        for text in texts:
            if isinstance(text, str) and text not in docstrings:
                assert not named.search(text), f"{file.name}: {text}"


def test_the_version_is_that_of_the_code() -> None:
    assert novaloop("--version").stdout == f"novaloop, version {__version__}\n"


def test_every_command_that_talks_to_aws_says_which_variables_choose_the_region() -> None:
    for _, command in commands_of(main):
        for option in command.params:
            if option.name == "region":
                assert option.envvar == ("AWS_REGION", "AWS_DEFAULT_REGION"), command.name
                assert isinstance(option, click.Option)
                assert option.show_envvar
