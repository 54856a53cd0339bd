"""One second emulator for the whole run, and everything that an AWS client does goes there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from novaloop_cli.stack import environment
from tests.accept.cloud import DIRECTORY, Target, only_loopback, running

STACK = Target("novaloop")


@pytest.fixture(scope="session")
def log() -> Path:
    """Where the SAM CLI's output goes."""
    return DIRECTORY / "sam.log"


@pytest.fixture(scope="session", autouse=True)
def emulator() -> Iterator[None]:
    if not only_loopback():
        pytest.exit("LocalStack binds to every address: run it with `make accept`", returncode=1)
    with running(), environment(STACK.environment(), without="AWS_"):
        yield


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: pytest.ExitCode
) -> None:
    if exitstatus and DIRECTORY.exists():
        terminalreporter.write_line(f"The logs of the emulator and of every function: {DIRECTORY}")
