"""Exit codes: what the README and the help promise is what the commands do."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)
from pynamodb.exceptions import QueryError

from novaloop.experiment.record import Status
from novaloop_cli import watch
from novaloop_cli.errors import explain
from novaloop_cli.exits import MEANINGS, Exit
from novaloop_cli.watch import AT_REST
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from novaloop_cli.stack import Stack

README = (Path(__file__).parents[3] / "README.md").read_text()
ROWS = {
    int(code): (meaning, {Status(name) for name in re.findall(r"`([A-Z_]+)`", statuses)})
    for code, meaning, statuses in re.findall(r"^\| (\d+) \| (.+?) \| (.*?) ?\|$", README, re.M)
}


def test_the_readme_has_the_table_of_the_code() -> None:
    at_rest = {code: {s for s, ended in AT_REST.items() if ended is code} for code in Exit}
    assert {code: (MEANINGS[code], at_rest[code]) for code in Exit} == ROWS


def test_the_help_has_it_too() -> None:
    printed = " ".join(novaloop("--help").stdout.split())
    for code, meaning in MEANINGS.items():
        assert f"{code:d} {meaning}" in printed


@pytest.mark.parametrize(
    ("code", "status"), [(code, each) for code, row in ROWS.items() for each in sorted(row[1])]
)
def test_watch_ends_as_the_readme_says(stack: Stack, code: int, status: Status) -> None:
    stack.table.commit(replace(example.record(), status=status), ())
    assert novaloop("watch", example.NAME).exit_code == code


@pytest.mark.parametrize("left_in", ["click", "yaml", "boto3"])
def test_ctrl_c_while_the_command_still_loads_is_one_line(tmp_path: Path, left_in: str) -> None:
    """Each of these is loaded at another time: by the command, by one of its commands, by both."""
    (tmp_path / f"{left_in}.py").write_text("raise KeyboardInterrupt")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "sys.argv = ['novaloop', 'plan', '.']\nfrom novaloop_cli.entry import run; run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "novaloop: interrupted")


def test_without_a_region_nothing_is_asked_and_so_refused(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    # A session of its own: the fixture's knew a region.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert novaloop("list").exit_code == Exit.REFUSED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoCredentialsError(), Exit.REFUSED),
        (PartialCredentialsError(provider="env", cred_var="x"), Exit.REFUSED),
        (ProfileNotFound(profile="jane"), Exit.REFUSED),
        (EndpointConnectionError(endpoint_url="https://there"), Exit.FAILED),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "Query"), Exit.FAILED),
        (QueryError("wrapped", cause=NoCredentialsError()), Exit.REFUSED),
    ],
)
def test_what_aws_was_never_asked_is_refused_and_what_it_answers_failed(
    error: Exception, code: Exit
) -> None:
    explained = explain(error)
    assert explained is not None
    assert explained.exit_code == code


def test_ctrl_c_ends_as_the_readme_says(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.table.commit(replace(example.record(), status=Status.RUNNING), ())

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupt)
    assert novaloop("watch", example.NAME).exit_code == Exit.INTERRUPTED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device here")
@pytest.mark.parametrize("words", [("--help",), ("schema",), ("recipes", "list")])
def test_an_output_that_takes_nothing_is_one_line(words: tuple[str, ...]) -> None:
    """As on a full disk; what fits into a buffer fails only when that is flushed."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "novaloop_cli.main", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == Exit.FAILED
    told = "the output can't be written: No space left on device; make room, or write elsewhere"
    assert ended.stderr == f"novaloop: {told}\n"
