"""Nothing of the second emulator outlives whoever ends `make accept`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.accept.namespace import NAMESPACE
from tests.e2e.application import LONGEST_WAIT_SECONDS, wait_for

STARTED = "echo started; sleep 86399 & exec sleep 86398"


def can_make_one() -> bool:
    try:
        return (
            subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


def sleeping() -> list[str]:
    """Return the processes that the command has started, by their command lines."""
    commands = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended meanwhile
            continue
    return [command for command in commands if command.startswith("sleep 8639")]


@pytest.mark.skipif(not can_make_one(), reason="this machine makes no namespaces, or not for us")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_ends_with_all_that_it_started(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.accept.namespace", "sh", "-c", STARTED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        wait_for(lambda: len(sleeping()) == 2)
        process.send_signal(number)
        assert process.wait(LONGEST_WAIT_SECONDS) != 0
    wait_for(lambda: not sleeping(), sleeping)
