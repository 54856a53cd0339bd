"""Nothing of the local cloud outlives whoever started it, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from novaloop_localcloud import emulator
from novaloop_localcloud.cloud import LocalCloud, down, up
from novaloop_localcloud.emulator import REPOSITORY, LocalCloudError
from tests.e2e.application import LONGEST_WAIT_SECONDS, wait_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

_STARTER = """
import signal, sys
from pathlib import Path
from novaloop_localcloud.cloud import up
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
with up(Path(sys.argv[1]), template=None) as cloud:
    print(cloud.state.pid, flush=True)
    signal.pause()
"""


def _start(directory: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", _STARTER, str(directory)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def _is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ends_with_its_starter(tmp_path: Path, number: signal.Signals) -> None:
    process, group = _start(tmp_path)
    process.send_signal(number)
    process.communicate(timeout=LONGEST_WAIT_SECONDS)
    wait_for(partial(_is_gone, group))
    assert emulator.find(tmp_path) is None


def test_detached_runs_until_down(tmp_path: Path) -> None:
    cloud = up(tmp_path, template=None, attached=False)
    assert LocalCloud.attach(tmp_path).state == cloud.state
    with pytest.raises(LocalCloudError, match="already runs"):
        up(tmp_path, template=None)
    assert down(tmp_path)
    assert cloud.process is not None
    cloud.process.wait(timeout=LONGEST_WAIT_SECONDS)
    wait_for(partial(_is_gone, cloud.state.pid))
    assert not (tmp_path / "state.json").exists()
    assert not down(tmp_path)


def test_stale_state_counts_as_none(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    state = emulator.State(dead.pid, "https://localhost:1", "ca.pem", "us-east-1", "novaloop")
    emulator.save(tmp_path, state)
    assert emulator.find(tmp_path) is None
    with pytest.raises(LocalCloudError, match="novaloop local up"):
        LocalCloud.attach(tmp_path)


def test_a_failing_deployment_leaves_nothing_running(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {Broken: {Type: AWS::No::Such}}\n", encoding="utf-8")
    with pytest.raises(LocalCloudError, match="sam"):
        up(tmp_path / "cloud", template=template)
    assert emulator.find(tmp_path / "cloud") is None
