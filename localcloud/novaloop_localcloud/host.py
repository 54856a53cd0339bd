"""The emulator that the stand-ins add services to, by the few things that they need of it.

In the local cloud it is ministack, whose process they share. Another emulator names its own module
in the environment variable NOVALOOP_STAND_INS_HOST, before anything of the stand-ins is imported:
a process serves the stand-ins of one emulator only.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from novaloop_localcloud.credentials import Credentials

HOST_VARIABLE = "NOVALOOP_STAND_INS_HOST"

Response = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Response]]
"""Answers method, path, headers with lower-case names, body and query."""


class Host(Protocol):
    """What a module has to offer; its functions are called as these methods are."""

    def register(self, service: str, handler: Handler, target_prefix: str | None = None) -> None:
        """Route every request signed for `service` to `handler`, which authorizes it, too."""

    def account_id(self) -> str:
        """The account of the current request."""

    def region(self) -> str:
        """The region of the current request."""

    def denial(
        self,
        headers: Mapping[str, str],
        query: Mapping[str, Any],
        action: str,
        resource: str,
        **keys: Any,
    ) -> str | None:
        """Why the caller may not do `action`, in AWS's words, or None when it may.

        `keys` are condition keys with their values, for example
        `**{"iam:PassedToService": "sagemaker.amazonaws.com"}`.
        """

    def denial_of_role(self, role_arn: str, action: str, resource: str, **keys: Any) -> str | None:
        """Why a role may not do `action`, in AWS's words, or None when it may."""

    def role_trusts(self, role_arn: str, service: str) -> bool:
        """Whether the role exists and its trust policy lets `service` assume it."""

    def role_credentials(self, role_arn: str, session_name: str) -> Credentials:
        """Credentials of a session of the role, as a service gets them."""

    def publish(
        self, detail_type: str, resource: str, detail: Mapping[str, Any], source: str = ...
    ) -> None:
        """Put a service's event on the default bus."""


if TYPE_CHECKING:
    from novaloop_localcloud import ministack_hooks

    emulator: Host = ministack_hooks
else:
    emulator = import_module(os.environ.get(HOST_VARIABLE, "novaloop_localcloud.ministack_hooks"))
