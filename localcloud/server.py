"""The emulator's process: ministack with the stand-ins, in the emulator's environment.

Reads its settings as JSON in the environment variable NOVALOOP_LOCAL_CLOUD. With `attached`, it
ends as soon as its standard input closes, which the death of its parent does too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import trustme  # type: ignore[import-not-found]

from localcloud import ministack_hooks as emulator
from localcloud.bedrock.jobs import CustomizationJobs
from localcloud.bedrock.resources import CustomModels
from localcloud.bedrock.service import Bedrock
from localcloud.credentials import ADMINISTRATOR
from localcloud.sagemaker.faults import Faults
from localcloud.sagemaker.hosting import Hosting
from localcloud.sagemaker.registry import Registry
from localcloud.sagemaker.service import SageMaker
from localcloud.sagemaker.training_jobs import Setting, TrainingJobs
from localcloud.tagging import Tagging

SETTINGS_VARIABLE = "NOVALOOP_LOCAL_CLOUD"


@dataclass(frozen=True)
class ServerSettings:
    """What the parent process decides."""

    directory: str
    attached: bool
    starting_seconds: float
    endpoint_seconds: float


class EscrowBucket:
    """The service's own bucket for weights, made when the first job needs it."""

    def __init__(self) -> None:
        self._identifier = uuid.uuid4().hex[:8]
        self._lock = threading.Lock()
        self._name: str | None = None

    def name(self) -> str:
        """The bucket's name, with the account of the current request in it."""
        with self._lock:
            if self._name is None:
                name = f"customer-escrow-{emulator.account_id()}-smtj-{self._identifier}"
                ADMINISTRATOR.session().client("s3").create_bucket(Bucket=name)
                self._name = name
            return self._name


def install_stand_ins(settings: ServerSettings) -> None:
    """Let the emulator serve SageMaker and Bedrock."""
    directory = Path(settings.directory)
    faults = Faults(directory / "faults")
    registry = Registry()
    setting = Setting(
        faults, directory, ADMINISTRATOR, settings.starting_seconds, EscrowBucket().name, registry
    )
    hosting = Hosting(faults, settings.endpoint_seconds, registry.package_uri, ADMINISTRATOR)
    jobs = TrainingJobs(setting)
    service = SageMaker(jobs, hosting, registry, faults)
    emulator.register("sagemaker", service.handle, "SageMaker.")
    models = CustomModels(faults, settings.endpoint_seconds, registry.package_uri)
    bedrock = Bedrock(models, CustomizationJobs(setting, models), faults)
    for name in ("bedrock", "bedrock-runtime"):
        emulator.register(name, bedrock.handle)
    tagging = Tagging(jobs.tagged, hosting.tagged, models.tagged)
    emulator.register("tagging", tagging.handle, "ResourceGroupsTaggingAPI_20170126")


def write_certificates(directory: Path) -> None:
    """Make a certificate authority for this run and a server certificate signed by it."""
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    server.private_key_pem.write_to_path(str(directory / "server.key"))
    for number, blob in enumerate(server.cert_chain_pems):
        blob.write_to_path(str(directory / "server.pem"), append=number > 0)
    (directory / "server.key").chmod(0o600)


def _end_with_parent() -> None:
    sys.stdin.read()
    os.killpg(os.getpgid(0), signal.SIGTERM)
    time.sleep(1)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main() -> None:
    """Run until told to stop."""
    settings = ServerSettings(**json.loads(os.environ.pop(SETTINGS_VARIABLE)))
    write_certificates(Path(settings.directory))
    if settings.attached:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    emulator.add_version_ids()
    emulator.serve_ranges_of_versions()
    emulator.extract_layers_once(Path(settings.directory) / "layers")
    install_stand_ins(settings)
    emulator.serve()


if __name__ == "__main__":
    main()
