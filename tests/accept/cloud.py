"""The second emulator with our stand-ins beside it, in the network namespace of this process."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from novaloop_localcloud.credentials import ADMINISTRATOR
from novaloop_localcloud.deployment import build_for
from novaloop_localcloud.emulator import REPOSITORY
from tests.e2e.application import LONGEST_WAIT_SECONDS

ACCOUNT, REGION = "000000000000", "us-east-1"
GATEWAY, STAND_INS = "http://127.0.0.1:4566", "http://127.0.0.1:4567"
TOOLS = REPOSITORY / ".tools" / "accept"
PYTHON = TOOLS / "bin" / "python"
BUILDS = REPOSITORY / ".aws-sam" / "accept"
BUILT = BUILDS / "build" / "template.yaml"
"""What `build` makes: the template beside the code of each function and the layer."""
DIRECTORY = REPOSITORY / ".novaloop" / "accept"
"""Logs and temporary files of a run; kept until the next one."""
_STOOD_IN_FOR = (
    "SAGEMAKER",
    "SAGEMAKER_RUNTIME",
    "BEDROCK",
    "BEDROCK_RUNTIME",
    "RESOURCE_GROUPS_TAGGING_API",
)
ENDPOINTS = {f"AWS_ENDPOINT_URL_{service}": STAND_INS for service in _STOOD_IN_FOR}
_MACHINES = {"x86_64": "x86_64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Target:
    """A stack in the second emulator."""

    stack_name: str
    region: str = REGION

    def environment(self) -> dict[str, str]:
        """Variables that send any AWS SDK or command-line tool there."""
        return {
            "AWS_ENDPOINT_URL": GATEWAY,
            **ENDPOINTS,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ADMINISTRATOR.access_key_id,
            "AWS_SECRET_ACCESS_KEY": ADMINISTRATOR.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def build() -> None:
    """Build the application, which may fetch the layer's packages: not in the namespace."""
    BUILDS.mkdir(parents=True, exist_ok=True)
    build_for(PYTHON, REPOSITORY / "template.yaml", BUILDS, BUILDS / "build.log")


def only_loopback() -> bool:
    """Whether this process is in a network namespace that nothing else is in."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


@contextmanager
def running() -> Iterator[None]:
    """Start the emulator and the stand-ins, wait until both answer, end them on the way out."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    for part in ("functions", "tmp"):
        (DIRECTORY / part).mkdir(parents=True)
    target = Target("")
    stand_ins = "from tests.accept import stand_ins; stand_ins.main()"
    processes = [
        _start("emulator", [str(PYTHON), "-m", "tests.accept.emulator"], _emulator_environment()),
        _start(
            "stand-ins",
            [sys.executable, "-c", stand_ins, str(DIRECTORY)],
            {**target.environment(), "NOVALOOP_STAND_INS_HOST": "tests.accept.stand_ins"},
        ),
    ]
    try:
        for url, process in zip((GATEWAY, STAND_INS), processes, strict=True):
            _wait_for(url, process)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start(name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a process in a clean environment: functions must see nothing of this machine's."""
    with (DIRECTORY / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "LANG": "C.UTF-8",
                "HOME": str(DIRECTORY / "tmp"),
                "TMPDIR": str(DIRECTORY / "tmp"),
                "OPENBLAS_NUM_THREADS": "1",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _emulator_environment() -> dict[str, str]:
    rapid = "lib/python3*/site-packages/samcli/local/rapid"
    (rie,) = (REPOSITORY / ".tools" / "sam").glob(
        f"{rapid}/aws-lambda-rie-{_MACHINES[platform.machine()]}"
    )
    rie.chmod(0o755)
    settings: dict[str, Any] = {
        "runtime_interface_emulator": str(rie),
        "runtime_client": str(TOOLS / "lambda"),
        "dynamodb": str(TOOLS / "package" / "emulator"),
        "logs": str(DIRECTORY / "functions"),
        "environment": ENDPOINTS,
    }
    return {
        "NOVALOOP_ACCEPT": json.dumps(settings),
        "GATEWAY_LISTEN": urlsplit(GATEWAY).netloc,
        "FILESYSTEM_ROOT": str(DIRECTORY / "tmp" / "filesystem"),
        # The others start what is downloaded first.
        "PROVIDER_OVERRIDE_DYNAMODB": "v2",
        "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "v2",
        "DYNAMODB_IN_MEMORY": "1",
        "LAMBDA_KEEPALIVE_MS": "600000",
        # Nothing to reach, and nothing to tell.
        "DNS_ADDRESS": "0",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
    }


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{url} does not answer; see the logs in {DIRECTORY}")
        time.sleep(0.1)
