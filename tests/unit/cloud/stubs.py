"""The three services in which what runs is looked for, each answering what is expected of it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import boto3
from botocore.stub import Stubber


class StubbedServices:
    """Their clients, and what stands behind each until the end of `stack`."""

    def __init__(self, stack: ExitStack, region: str = "us-east-1") -> None:
        self.clients: list[Any] = [
            boto3.client(
                name,
                region_name=region,
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            )
            for name in ("resourcegroupstaggingapi", "sagemaker", "bedrock")
        ]
        self.tagging, self.sagemaker, self.bedrock = (
            stack.enter_context(Stubber(client)) for client in self.clients
        )
