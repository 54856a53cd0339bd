"""How patient the clients of AWS are, and when they are made."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config

USUAL = Config(
    # A call that is never answered takes 2 x (4 + 15) seconds: less than half of the controller's
    # 120, so that a look which meets one goes on.
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=4,
    read_timeout=15,
    user_agent_extra="novaloop",
)
"""Of every client but those below. What fails is tried again by the next look, hint or sweep."""
ONCE = USUAL.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=50))
"""The model's first answer may take long; the next look asks again."""
HASTY = USUAL.merge(Config(connect_timeout=2, read_timeout=8))
"""For what is worth no long wait: stages go on without logs, the next sweep without the last."""
COPYING = USUAL.merge(Config(read_timeout=50))
"""For joining rows: S3 copies 256 MiB by itself before it answers."""
PATIENT = USUAL.merge(
    Config(retries={"mode": "standard", "total_max_attempts": 5}, read_timeout=50)
)
"""For ingest and metrics, which have ten minutes and more, and move much at once."""


def client(service: str, config: Config) -> Any:
    """Return a client of AWS that boto3 makes when it is first asked for anything.

    Making one takes some 30 ms of CPU. The controller has eleven, and most looks use four.
    """
    return _OnFirstUse(service, config)


class _OnFirstUse:
    def __init__(self, service: str, config: Config) -> None:
        self._service, self._config = service, config

    @cached_property
    def _made(self) -> Any:
        with _MAKING:
            return boto3.client(self._service, config=self._config)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


_MAKING = Lock()
"""Threads may share a client, but not the session that makes it (boto3's guides of both)."""
