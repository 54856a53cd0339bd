"""AWS credentials as the stand-in hands them around."""

from __future__ import annotations

from dataclasses import dataclass

import boto3


@dataclass(frozen=True)
class Credentials:
    """An access key, with a session token when it belongs to a role."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def session(self) -> boto3.Session:
        """A boto3 session that signs with them."""
        return boto3.Session(
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            aws_session_token=self.session_token,
        )


# The emulator's own administrator.
ADMINISTRATOR = Credentials("test", "test")  # what ministack takes for the account's root
