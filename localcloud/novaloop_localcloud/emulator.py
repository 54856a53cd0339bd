"""The emulator as a child process: start, find again, stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from novaloop_localcloud.credentials import ADMINISTRATOR

REPOSITORY = Path(__file__).resolve().parents[2]
STATE_DIRECTORY = REPOSITORY / ".novaloop" / "local"
EMULATOR_PYTHON = REPOSITORY / ".tools" / "emulator" / "bin" / "python"

_READY_SECONDS = 300.0
_STOP_SECONDS = 1.0


class LocalCloudError(Exception):
    """The local cloud can't do what was asked; the message says what to do."""


class NothingStartedError(LocalCloudError):
    """The local cloud can't start as things are here, and nothing was begun."""


@dataclass(frozen=True)
class Timing:
    """Real seconds that the stand-ins spend before work begins, or before something new shows."""

    job_starting: float = 1.0
    endpoint_creating: float = 0.8
    resources_late: float = 0.0
    tags_late: float = 0.0
    changes_late: float = 0.0


@dataclass(frozen=True)
class State:
    """What `state.json` tells other processes about the running local cloud."""

    pid: int
    endpoint_url: str
    ca_bundle: str
    region: str
    stack_name: str

    def environment(self) -> dict[str, str]:
        """Variables that send any AWS SDK or command-line tool to the emulator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_CA_BUNDLE": self.ca_bundle,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": ADMINISTRATOR.access_key_id,
            "AWS_SECRET_ACCESS_KEY": ADMINISTRATOR.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def require_startable(directory: Path) -> None:
    """Raise NothingStartedError if an emulator runs in this directory or can't be run from here."""
    running = find(directory)
    if running is not None:
        raise NothingStartedError(
            f"A local cloud already runs at {running.endpoint_url} (process {running.pid}). "
            "Stop it first: novaloop local down"
        )
    if not (REPOSITORY / "template.yaml").exists():
        raise NothingStartedError(
            "The local cloud needs a clone of Novaloop's repository, and this command was "
            "installed without one. Clone it, run `make setup` there, then .venv/bin/novaloop"
        )
    if not EMULATOR_PYTHON.exists():
        raise NothingStartedError(
            f"The emulator is not installed. Run `make setup` in {REPOSITORY}"
        )


def start(
    directory: Path,
    *,
    region: str,
    stack_name: str,
    attached: bool,
    timing: Timing,
    concurrency: int,
) -> tuple[State, subprocess.Popen[bytes]]:
    """Start an emulator and wait until it answers.

    An attached emulator dies with this process, however that ends. Raises LocalCloudError when it
    does not come up. Nothing runs in this directory yet: `require_startable` has seen to that.
    """
    _clear(directory)
    port = _free_port()
    process = _spawn(directory, port, region, attached, timing, concurrency)
    state = State(
        pid=process.pid,
        endpoint_url=f"https://localhost:{port}",
        ca_bundle=str(directory / "ca.pem"),
        region=region,
        stack_name=stack_name,
    )
    save(directory, state)
    try:
        _wait_until_ready(state, process, directory)
    except BaseException:
        stop(directory, process)
        raise
    return state, process


def save(directory: Path, state: State) -> None:
    """Write `state.json`, by which other processes find the emulator."""
    (directory / "state.json").write_text(json.dumps(asdict(state), indent=2), encoding="utf-8")


def find(directory: Path) -> State | None:
    """The running emulator's state; a stale state file counts as none."""
    try:
        state = State(**json.loads((directory / "state.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return state if _is_emulator(state.pid) else None


def stop(directory: Path, process: subprocess.Popen[bytes] | None = None) -> bool:
    """End the emulator with everything it started; False when none was running."""
    state = find(directory)
    if state is not None:
        _end_group(state.pid)
    if process is not None:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
    (directory / "state.json").unlink(missing_ok=True)
    shutil.rmtree(directory / "tmp", ignore_errors=True)
    return state is not None


def _clear(directory: Path) -> None:
    for resource in ("faults", "tmp"):
        shutil.rmtree(directory / resource, ignore_errors=True)
    for resource in ("state.json", "ca.pem", "server.pem", "server.key"):
        (directory / resource).unlink(missing_ok=True)
    for log in directory.glob("*.log"):
        log.unlink()
    (directory / "tmp").mkdir(parents=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn(  # noqa: PLR0917
    directory: Path, port: int, region: str, attached: bool, timing: Timing, concurrency: int
) -> subprocess.Popen[bytes]:
    settings = {
        "directory": str(directory),
        "attached": attached,
        "starting_seconds": timing.job_starting,
        "endpoint_seconds": timing.endpoint_creating,
        "resources_late": timing.resources_late,
        "tags_late": timing.tags_late,
        "changes_late": timing.changes_late,
    }
    environment = _environment(directory, port, region, settings)
    environment["LAMBDA_ACCOUNT_CONCURRENCY"] = str(concurrency)
    with (directory / "emulator.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            [str(EMULATOR_PYTHON), "-m", "novaloop_localcloud.server"],
            cwd=REPOSITORY / "localcloud",
            env=environment,
            stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _environment(
    directory: Path, port: int, region: str, settings: dict[str, Any]
) -> dict[str, str]:
    """A clean environment: functions inherit it, so nothing of this machine's may leak in."""
    temporary = str(directory / "tmp")
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": temporary,
        "TMPDIR": temporary,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(directory / "server.pem"),
        "MINISTACK_SSL_KEY": str(directory / "server.key"),
        "MINISTACK_REGION": region,
        "AWS_ENDPOINT_URL": f"https://localhost:{port}",
        "AWS_CA_BUNDLE": str(directory / "ca.pem"),
        "SSL_CERT_FILE": str(directory / "ca.pem"),  # for what is no AWS client
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NOVALOOP_LOCAL_CLOUD": json.dumps(settings),
    }


def _wait_until_ready(state: State, process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not _answers(state):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LocalCloudError(f"The emulator did not start; see {directory / 'emulator.log'}")
        time.sleep(0.05)


def _answers(state: State) -> bool:
    try:
        trusted = ssl.create_default_context(cafile=state.ca_bundle)
        url = f"{state.endpoint_url}/_ministack/health"
        with urllib.request.urlopen(url, context=trusted, timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _is_emulator(pid: int) -> bool:
    """Whether the process lives and is ours: numbers of dead processes are given out again."""
    command = subprocess.run(  # noqa: S603
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return "novaloop_localcloud.server" in command


def _end_group(pid: int) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    _signal_group(pid, signal.SIGTERM)
    while _is_emulator(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return
