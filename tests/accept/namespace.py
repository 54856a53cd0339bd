"""Runs a command where there is only loopback, and ends all that it started: however we end.

`unshare` itself can't be asked to: it ignores SIGINT and SIGTERM while its command runs.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

NAMESPACE = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
"""Gives a command a loopback and processes of its own.

The kernel kills `unshare` with whoever started it, and with `unshare` the first of those
processes, which takes along the others.
"""


def run(command: Sequence[str]) -> int:
    """Run a command with its loopback up; return its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with_loopback = ("sh", "-c", 'ip link set lo up && exec "$0" "$@"')
    process = subprocess.Popen([*NAMESPACE, *with_loopback, *command])
    try:
        return process.wait()
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
