"""The stack as CloudFormation sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient


class Stacks:
    """CloudFormation's stacks; implements the port `StackStatus`."""

    def __init__(self, cloudformation: CloudFormationClient) -> None:
        self._cloudformation = cloudformation

    def status(self, stack_id: str) -> str:
        """Return a stack's status. Raises botocore's errors, and LookupError if there is none.

        By its id: a stack that is gone, or has gone and come again, is no longer told by its name.
        """
        answer = self._cloudformation.describe_stacks(StackName=stack_id)
        for stack in answer.get("Stacks", ()):
            return stack["StackStatus"]
        raise LookupError(f"no stack {stack_id}")
