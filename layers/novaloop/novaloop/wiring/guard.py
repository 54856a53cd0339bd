"""What the guard works with."""

from __future__ import annotations

import os

import boto3

from novaloop.cloud.running import RunningInAccount
from novaloop.cloud.stacks import Stacks
from novaloop.settings import StackSettings
from novaloop.usecases.guard import GuardWorld
from novaloop.wiring.clients import HASTY


def guard_world(prefix: str | None = None) -> GuardWorld:
    """Return the guard's world, as its environment describes it, or with another prefix."""
    settings = StackSettings.from_environment(os.environ)
    return GuardWorld(
        Stacks(boto3.client("cloudformation", config=HASTY)),
        RunningInAccount(
            boto3.client("resourcegroupstaggingapi", config=HASTY),
            boto3.client("sagemaker", config=HASTY),
            boto3.client("bedrock", config=HASTY),
            prefix or settings.job_name_prefix,
            settings.stack_name,
        ),
    )
