"""An offline IAM simulator: evaluates policies as AWS does, conditions included."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FILES = Path(__file__).parent / "iam"
TOOLS = Path(__file__).parents[2] / ".tools"
ACCOUNT = "123456789012"
EVERYTHING_ALLOWED = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass(frozen=True)
class Request:
    """One call: what an identity with `policies` wants to do, and in which context."""

    policies: Sequence[Mapping[str, Any]]
    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    resource_policy: Mapping[str, Any] | None = None

    def simulation(self) -> dict[str, Any]:
        """Return the request as the simulator wants it."""
        policies = [{"name": str(n), "policy": p} for n, p in enumerate(self.policies)]
        organization = {"name": "all", "policy": EVERYTHING_ALLOWED}
        return {
            "request": {
                "principal": f"arn:aws:sts::{ACCOUNT}:assumed-role/role/session",
                "action": self.action,
                "resource": {"resource": self.resource, "accountId": ACCOUNT},
                "contextVariables": dict(self.context),
            },
            "identityPolicies": policies,
            "serviceControlPolicies": [{"orgIdentifier": "o-1", "policies": [organization]}],
            "resourceControlPolicies": [],
            "resourcePolicy": self.resource_policy,
        }


def verdicts(requests: Sequence[Request]) -> list[str]:
    """Return Allowed, ImplicitlyDenied or ExplicitlyDenied for each request, or what it lacks."""
    folder = _installed()
    ran = subprocess.run(
        ["node", "simulate.mjs"],
        cwd=folder,
        input=json.dumps([request.simulation() for request in requests]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answers: list[str] = json.loads(ran.stdout)
    return answers


def _installed() -> Path:
    """Return a folder with the pinned simulator; install it there at the first use."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("node and npm are not installed, and the IAM simulator needs them")
    content = b"".join(path.read_bytes() for path in sorted(FILES.iterdir()))
    folder = TOOLS / f"iam-{hashlib.sha256(content).hexdigest()[:12]}"
    if not folder.exists():
        _install(folder)
    return folder


def _install(folder: Path) -> None:
    TOOLS.mkdir(exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="iam-", dir=TOOLS)) / "new"
    shutil.copytree(FILES, fresh)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    ran = subprocess.run(command, cwd=fresh, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        shutil.rmtree(fresh.parent)
        pytest.skip(f"the IAM simulator could not be installed: {ran.stderr[-300:]}")
    try:
        fresh.rename(folder)
    except OSError:
        assert folder.exists()  # another test process was faster
    shutil.rmtree(fresh.parent)
