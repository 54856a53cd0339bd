"""Where the `novaloop` command begins: it ends quietly by Ctrl-C from its first import on."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command. Whoever leaves while it still loads gets no traceback."""
    try:
        # What it imports takes most of the time in which it can be left before it is there.
        from novaloop_cli.main import main  # noqa: PLC0415

        main()
    except KeyboardInterrupt:
        print("novaloop: interrupted", file=sys.stderr)
        sys.exit(130)  # as `Exit` has it, which is not there yet
