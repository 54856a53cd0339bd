"""Build the application with `sam build` and deploy it with `sam deploy`, into the emulator."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from localcloud.emulator import EMULATOR_PYTHON, REPOSITORY, LocalCloudError, State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SAM = REPOSITORY / ".tools" / "sam" / "bin" / "sam"
CACHE_DIRECTORY = REPOSITORY / ".aws-sam" / "local-cache"


def build(template: Path, directory: Path, log: Path) -> Path:
    """Build for the emulator's own Python into `directory`; returns the built template."""
    _sam(
        [
            "build",
            "--template-file",
            str(template),
            "--build-dir",
            str(directory),
            "--cached",
            "--cache-dir",
            str(CACHE_DIRECTORY),
        ],
        {
            "NOVALOOP_LAYER_TARGET": "host",
            "PYTHON": str(EMULATOR_PYTHON),  # functions run on the emulator's interpreter
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        log,
    )
    return directory / "template.yaml"


def deploy(built: Path, state: State, parameters: Mapping[str, str], log: Path) -> None:
    """Deploy a built template as the state's stack."""
    overrides = [f"{key}={value}" for key, value in parameters.items()]
    _sam(
        [
            "deploy",
            "--template-file",
            str(built),
            "--stack-name",
            state.stack_name,
            "--region",
            state.region,
            "--resolve-s3",
            "--no-confirm-changeset",
            "--no-fail-on-empty-changeset",
            "--no-progressbar",
            "--capabilities",
            "CAPABILITY_IAM",
            *(["--parameter-overrides", *overrides] if overrides else []),
        ],
        state.environment(),
        log,
    )


def _sam(arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
    if not SAM.exists():
        raise LocalCloudError("The SAM CLI is not installed. Install it first: make setup")
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
        raise LocalCloudError(f"sam {arguments[0]} failed; see {log}\n{_tail(log)}")


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
