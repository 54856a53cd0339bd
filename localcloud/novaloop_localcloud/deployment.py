"""Build the application with `sam build` and deploy it with `sam deploy`, into the emulator."""

from __future__ import annotations

import fcntl
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from novaloop_localcloud.emulator import EMULATOR_PYTHON, REPOSITORY, LocalCloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SAM = REPOSITORY / ".tools" / "sam" / "bin" / "sam"
BUILDS = Path(".aws-sam") / "local"
"""Beside a template, what was built from it: SAM knows by its notes there what has not changed."""
POLL_SECONDS = "0.2"


class Target(Protocol):
    """Where to deploy, and as which stack."""

    @property
    def stack_name(self) -> str:
        """The stack's name."""

    @property
    def region(self) -> str:
        """The stack's region."""

    def environment(self) -> dict[str, str]:
        """Variables that send the SAM CLI there."""


def build(template: Path, log: Path) -> None:
    """Build for the emulator's own Python, so that `deploy` starts from SAM's cache."""
    with _turn(template) as builds:
        build_for(EMULATOR_PYTHON, template, builds, log)


def deploy(
    template: Path,
    target: Target,
    parameters: Mapping[str, str],
    log: Path,
    tell: Callable[[str], object],
) -> None:
    """Build a template for the emulator's own Python and deploy it, saying so to `tell`."""
    with _turn(template) as builds:
        tell("Building the application, which takes a minute the first time")
        built = build_for(EMULATOR_PYTHON, template, builds, log)
        tell("Deploying it")
        deploy_built(built, target, parameters, log)


def deploy_built(built: Path, target: Target, parameters: Mapping[str, str], log: Path) -> None:
    """Deploy what was built from a template, as the target's stack."""
    # The SAM CLI ends a value that is not quoted at its first space.
    quoted = {key: value.replace('"', '\\"') for key, value in parameters.items()}
    overrides = [f'{key}="{value}"' for key, value in quoted.items()]
    arguments = [
        "deploy",
        "--template-file",
        str(built),
        "--stack-name",
        target.stack_name,
        "--region",
        target.region,
        "--resolve-s3",
        "--no-confirm-changeset",
        "--no-fail-on-empty-changeset",
        "--no-progressbar",
        "--capabilities",
        "CAPABILITY_IAM",
        *(["--parameter-overrides", *overrides] if overrides else []),
    ]
    sam(arguments, {**target.environment(), "SAM_CLI_POLL_DELAY": POLL_SECONDS}, log)


@contextmanager
def _turn(template: Path) -> Iterator[Path]:
    """Wait until nobody else builds or deploys this template; yield the place of its builds."""
    builds = template.resolve().parent / BUILDS
    builds.mkdir(parents=True, exist_ok=True)
    with (builds / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield builds


def build_for(python: Path, template: Path, builds: Path, log: Path) -> Path:
    """Build with a layer for this machine and a Python; return what to deploy.

    SAM's cache does not tell one Python from another: each needs its own place for `builds`.
    """
    arguments = [
        "build",
        "--template-file",
        str(template),
        "--build-dir",
        str(builds / "build"),
        "--cached",
        "--cache-dir",
        str(builds / "cache"),
    ]
    environment = {
        "NOVALOOP_LAYER_TARGET": "host",
        "PYTHON": str(python),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    sam(arguments, environment, log)
    return builds / "build" / "template.yaml"


def sam(arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
    """Run the SAM CLI; raise LocalCloudError with the end of what it said when it fails."""
    if not SAM.exists():
        raise LocalCloudError(f"The SAM CLI is not installed. Run `make setup` in {REPOSITORY}")
    ours = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    with log.open("ab") as output:
        finished = subprocess.run(  # noqa: S603
            [str(SAM), *arguments],
            cwd=REPOSITORY,
            env={**ours, "SAM_CLI_TELEMETRY": "0", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        raise LocalCloudError("\n".join((f"sam {arguments[0]} failed; see {log}", *last)))
