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
from dataclasses import dataclass
from pathlib import Path

import trustme  # type: ignore[import-not-found]

from novaloop_localcloud import ministack_hooks as emulator
from novaloop_localcloud import stand_ins
from novaloop_localcloud.lag import Lag
from novaloop_localcloud.sagemaker.faults import Faults

SETTINGS_VARIABLE = "NOVALOOP_LOCAL_CLOUD"


@dataclass(frozen=True)
class ServerSettings:
    """What the parent process decides."""

    directory: str
    attached: bool
    starting_seconds: float
    endpoint_seconds: float
    resources_late: float
    tags_late: float
    changes_late: float


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
    directory = Path(settings.directory)
    write_certificates(directory)
    if settings.attached:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    emulator.add_version_ids()
    emulator.authorize_batches()
    emulator.serve_ranges_of_versions()
    emulator.extract_layers_once(directory / "layers")
    emulator.hold_invocations(Faults(directory / "faults"))
    emulator.throttle_as_lambda()
    emulator.refuse_templates()
    emulator.refuse_answers()
    emulator.refuse_requests()
    emulator.refuse_queries()
    emulator.start_once()
    emulator.end_loops()
    emulator.enforce_keys()
    emulator.call_universal_targets()
    stand_ins.install(
        directory,
        starting_seconds=settings.starting_seconds,
        endpoint_seconds=settings.endpoint_seconds,
        lag=Lag(settings.resources_late, settings.tags_late, settings.changes_late),
    )
    emulator.serve()


if __name__ == "__main__":
    main()
