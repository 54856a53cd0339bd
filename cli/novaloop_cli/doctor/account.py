"""The stack that is looked at, and the clients to look with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from novaloop_cli.stack import aws_client, described


@dataclass(frozen=True)
class DeployedStack:
    """A stack as CloudFormation describes it.

    `resources` are its physical ids by type and then by logical id. `parameters` and `outputs` are
    by their names.
    """

    name: str
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    resources: Mapping[str, Mapping[str, str]]

    @property
    def is_whole(self) -> bool:
        """Whether it has come to its outputs, and is Novaloop's."""
        return {"BucketName", "TopicArn", "ExecutionRoleArn"} <= self.outputs.keys()

    def of_type(self, kind: str) -> Iterator[tuple[str, str]]:
        """Yield logical and physical id of each resource of a type, such as `AWS::SQS::Queue`."""
        yield from sorted(self.resources.get(kind, {}).items())


class Clients(dict[str, Any]):
    """The clients of services by their names, made when they are first asked for."""

    def __missing__(self, service: str) -> Any:
        """Make a client. Not safe to call from several threads, as boto3's session is not."""
        made = self[service] = aws_client(service)
        return made


def find_deployed(name: str) -> DeployedStack | None:
    """Return a stack, or None if there is none of this name."""
    found = described(name)
    if found is None:
        return None
    resources: dict[str, dict[str, str]] = {}
    cloudformation = aws_client("cloudformation")
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    for each in (resource for page in pages for resource in page["StackResourceSummaries"]):
        if "PhysicalResourceId" in each:  # nothing has it that could not be made
            of_type = resources.setdefault(each["ResourceType"], {})
            of_type[each["LogicalResourceId"]] = each["PhysicalResourceId"]
    return DeployedStack(name, found.status, found.parameters, found.outputs, resources)
