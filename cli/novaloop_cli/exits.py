"""How a command ends, as a number that programs read. The README has the same table."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Exit(IntEnum):
    """The exit codes. click's own are among them: 1 and 2."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    WAITS = 3
    INTERRUPTED = 130
    """128 and the number of the signal, as shells have it."""


MEANINGS: Mapping[Exit, str] = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.REFUSED: "refused: what was given can't be used, and nothing was changed",
    Exit.WAITS: "a person has to decide",
    Exit.INTERRUPTED: "interrupted, as by Ctrl-C",
}
