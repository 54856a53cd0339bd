"""What the guard works with."""

from __future__ import annotations

import os

from novaloop.cloud.running import RunningInAccount
from novaloop.cloud.stacks import Stacks
from novaloop.settings import StackSettings
from novaloop.usecases.guard import GuardWorld
from novaloop.wiring.clients import HASTY, client


def guard_world(prefix: str | None = None) -> GuardWorld:
    """Return the guard's world, as its environment describes it, or with another prefix."""
    settings = StackSettings.from_environment(os.environ)
    return GuardWorld(
        Stacks(client("cloudformation", HASTY)),
        RunningInAccount(
            client("resourcegroupstaggingapi", HASTY),
            client("sagemaker", HASTY),
            client("bedrock", HASTY),
            prefix or settings.job_name_prefix,
            settings.stack_name,
        ),
    )
