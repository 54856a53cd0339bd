"""`novaloop local`: it says what it does, and what is missing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from novaloop_localcloud import cloud, deployment, emulator
from novaloop_localcloud.emulator import State
from tests.unit.cli.conftest import novaloop

if TYPE_CHECKING:
    from collections.abc import Callable


def test_local_up_says_what_it_does_when_it_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    state = State(1, "https://localhost:1", "ca.pem", "us-east-1", "novaloop")

    def at(what: str, value: object = None) -> Callable[..., object]:
        def act(*_: object, **__: object) -> object:
            said.append(what)
            return value

        return act

    monkeypatch.setattr(emulator, "require_startable", at("looked"))
    monkeypatch.setattr(emulator, "start", at("started", (state, SimpleNamespace())))
    monkeypatch.setattr(deployment, "build_for", at("built", tmp_path / "built.yaml"))
    monkeypatch.setattr(deployment, "deploy_built", at("deployed"))
    monkeypatch.setattr("novaloop_cli.local.click.echo", said.append)
    assert novaloop("local", "up").exit_code == 0
    assert said[:7] == [
        "looked",
        "Starting the AWS emulator",
        "started",
        "Building the application, which takes a minute the first time",
        "built",
        "Deploying it",
        "deployed",
    ]


@pytest.mark.parametrize("command", [("local", "up"), ("demo",)])
def test_a_second_local_cloud_is_refused_before_anything_is_said(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    state = State(17, "https://localhost:1", "ca.pem", "us-east-1", "novaloop")
    monkeypatch.setattr(emulator, "find", lambda _: state)
    result = novaloop(*command)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "novaloop: A local cloud already runs at https://localhost:1 (process 17). "
        "Stop it first: novaloop local down\n"
    )


def test_without_a_clone_there_is_no_local_cloud_and_the_remedy_is_a_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `pip install` of a wheel, beside which there is no template and no Makefile."""
    monkeypatch.setattr(emulator, "REPOSITORY", tmp_path)
    monkeypatch.setattr(emulator, "EMULATOR_PYTHON", tmp_path / "python")
    with pytest.raises(emulator.LocalCloudError, match="needs a clone of Novaloop's repository"):
        cloud.up(tmp_path / "state")


def test_in_a_clone_that_is_not_set_up_the_remedy_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "template.yaml").touch()
    monkeypatch.setattr(emulator, "REPOSITORY", tmp_path)
    monkeypatch.setattr(emulator, "EMULATOR_PYTHON", tmp_path / "python")
    with pytest.raises(emulator.LocalCloudError, match=f"`make setup` in {tmp_path}"):
        cloud.up(tmp_path / "state")
