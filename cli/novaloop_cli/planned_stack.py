"""Where planned jobs would run: a deployed stack's settings, or placeholders for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from novaloop.experiment.stack import StackConfig
from novaloop.recipes.jobs import Deployment
from novaloop_cli.stack import aws_region, describe_stack, stack_defaults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop.experiment.spec.defaults import SpecDefaults

PREFIX = "novaloop"
_NEEDED = {"BucketName", "ExecutionRoleArn", "BedrockRoleArn", "RewardFunctionArn", "JobNamePrefix"}


@dataclass(frozen=True)
class PlannedStack:
    """A site, the first word of its jobs' names, and whether it is made of placeholders.

    `defaults` hold for what settings leave out; None where nobody knows any.
    """

    stack_config: StackConfig
    prefix: str
    is_placeholder: bool
    defaults: SpecDefaults | None = None


def placeholder_stack(region: str, defaults: SpecDefaults | None = None) -> PlannedStack:
    """Return a site for those who have deployed nothing yet, or need not name what they have."""
    deployment = Deployment(
        region=region,
        execution_role_arn="arn:aws:iam::000000000000:role/placeholder",
        reward_function_arn=(
            f"arn:aws:lambda:{region}:000000000000:function:placeholder-SageMaker-reward"
        ),
        image_repositories=("*",),
        processor_functions=("*",),
        reward_functions=("*",),
    )
    role = "arn:aws:iam::000000000000:role/placeholder"
    stack_config = StackConfig("placeholder-bucket", deployment, bedrock_role_arn=role)
    return PlannedStack(stack_config, PREFIX, is_placeholder=True, defaults=defaults)


def deployed_stack(name: str) -> PlannedStack:
    """Return the site of a deployed stack. Raises Refused, Failed."""
    stack = describe_stack(name, _NEEDED)
    deployment = Deployment(
        region=aws_region(),
        execution_role_arn=stack["ExecutionRoleArn"],
        reward_function_arn=stack["RewardFunctionArn"],
        kms_key_arn=stack.get("OutputKmsKeyArn") or None,
        subnets=_listed(stack, "SubnetIds"),
        security_group_ids=_listed(stack, "SecurityGroupIds"),
        image_repositories=_listed(stack, "ImageRepositoryArns"),
        processor_functions=_listed(stack, "ProcessorFunctionArns"),
        reward_functions=_listed(stack, "RewardFunctionArns"),
    )
    stack_config = StackConfig(stack["BucketName"], deployment, stack["BedrockRoleArn"])
    return PlannedStack(
        stack_config, stack["JobNamePrefix"], is_placeholder=False, defaults=stack_defaults(stack)
    )


def _listed(stack: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in stack.get(name, "").split(",") if part.strip())
