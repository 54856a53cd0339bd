"""Whether this machine can run the second emulator: prints the Python for it, or says why not.

It binds to every address, so it gets a network namespace of its own, which takes Linux. Functions
run there without a container, on the Python that Lambda runs them on.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys

from tests.accept.namespace import NAMESPACE

_ARCHITECTURES = {"x86_64", "aarch64"}
_JAVA, _PYTHON = 17, (3, 13)


def missing() -> str:
    """What this machine lacks, in one line; empty if nothing."""
    if platform.system() != "Linux" or platform.machine() not in _ARCHITECTURES:
        return f"it needs Linux on {' or '.join(sorted(_ARCHITECTURES))}"
    for tool in ("setpriv", "unshare", "ip", "java", "npm"):
        if shutil.which(tool) is None:
            return f"it needs {tool} in the PATH"
    if _run(*NAMESPACE, "ip", "link", "set", "lo", "up") is None:
        return "it may not make a network namespace here; run it as root"
    java = re.search(r'version "(\d+)', _run("java", "-version") or "")
    if java is None or int(java[1]) < _JAVA:
        return f"DynamoDB Local needs Java {_JAVA} or newer"
    if not python():
        wanted = ".".join(map(str, _PYTHON))
        return f"it needs Python {wanted}; name one in ACCEPT_PYTHON if it is not python{wanted}"
    return ""


def python() -> str:
    """The path of a Python of the version that the functions are deployed for; empty if none."""
    wanted = ".".join(map(str, _PYTHON))
    command = os.environ.get("ACCEPT_PYTHON") or f"python{wanted}"
    # pyenv puts a python3.13 into the PATH that refuses to run unless that version is chosen.
    os.environ["PYENV_VERSION"] = wanted
    told = _run(command, "-c", "import sys; print(sys.executable, *sys.version_info[:2])") or ""
    path, *version = told.split()[-3:] or [""]
    return path if version == [str(part) for part in _PYTHON] else ""


def _run(*command: str) -> str | None:
    """What a command says; None if it fails."""
    try:
        finished = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return finished.stdout


if __name__ == "__main__":
    why = missing()
    if why:
        sys.exit(f"The second emulator can't run on this machine: {why}.")
    print(python())
