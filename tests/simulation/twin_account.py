"""What is told across an account: the index of tags, of SageMaker's and Bedrock's twins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from novaloop.cloud.tagged_resources import TaggedResources
from tests.simulation.twin_bedrock import TwinBedrock
from tests.simulation.twin_sagemaker import STACK, TwinSageMaker
from tests.simulation.twin_service import Pages
from tests.simulation.twin_training import TwinJobs


def _tagged(arn: str, tags: Mapping[str, str]) -> dict[str, Any]:
    told = [{"Key": key, "Value": value} for key, value in tags.items()]
    return {"ResourceARN": arn, "Tags": told}


@dataclass(frozen=True)
class TwinAccount:
    """The Tagging API over the twins of both services."""

    hosting: TwinSageMaker
    bedrock: TwinBedrock
    jobs: TwinJobs

    def tagged(
        self,
        port: Callable[[object, str], Any],
        prefix: str = "novaloop",
        stack_name: str = STACK,
    ) -> TaggedResources:
        """Return the production adapter for what carries a tag, for one of the stacks."""
        services = port(self.hosting, "sagemaker"), port(self.bedrock, "bedrock")
        return TaggedResources(port(self, "tagging"), *services, prefix, stack_name)

    def get_paginator(self, operation: str) -> Pages:
        return Pages(getattr(self, operation))

    def get_resources(self, **request: Any) -> list[dict[str, Any]]:
        """Answer, a resource on each page, or, asked for some by their ARNs, with all at once.

        The index runs behind: what was deleted lately is still named, and what is there may not be.
        It names jobs that are over for as long as their services list them, which is for ever.
        """
        indexed = [*self.jobs.indexed(), *self.hosting.indexed(), *self.bedrock.indexed()]
        if arns := request.get("ResourceARNList"):
            told = [_tagged(arn, tags) for arn, tags in indexed if arn in arns]
            return {"ResourceTagMappingList": told}  # type: ignore[return-value]
        return [
            {"ResourceTagMappingList": [_tagged(arn, tags)]}
            for arn, tags in self._filtered(indexed, request)
        ]

    def _filtered(
        self, indexed: list[tuple[str, Mapping[str, str]]], request: Mapping[str, Any]
    ) -> Iterator[tuple[str, Mapping[str, str]]]:
        (wanted,) = request["TagFilters"]
        key, values = wanted["Key"], wanted["Values"]  # no values: any
        for arn, tags in indexed:
            kind = f"{arn.split(':')[2]}:{arn.split(':', 5)[5].partition('/')[0]}"
            has_tag = key in tags and (not values or tags[key] in values)
            if has_tag and kind in request["ResourceTypeFilters"]:
                yield arn, tags
