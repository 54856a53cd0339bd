"""What serverless jobs refer to: hubs with their contents, model package groups, model packages."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from novaloop_localcloud.host import emulator
from novaloop_localcloud.sagemaker.errors import ServiceError, invalid
from novaloop_localcloud.sagemaker.hosting import Catalogue

if TYPE_CHECKING:
    from collections.abc import Mapping

PUBLIC_HUB = "SageMakerPublicHub"
_NOVA_VERSION = "3.0.0"
_NOVA = ("micro", "lite", "pro", "lite-v2")

ContentKey = tuple[str, str, str]
"""Hub, content type, content name."""


@dataclass(frozen=True)
class HubContent:
    """One version of a hub's content."""

    arn: str
    version: str
    document: str
    created: float


class Registry:
    """Hubs, groups and packages of the emulator's process."""

    def __init__(self) -> None:
        self.hubs = Catalogue("hub", "hub")
        self.groups = Catalogue("model-package-group", "model package group")
        self._contents: dict[ContentKey, dict[str, HubContent]] = {}
        self._packages: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def create_hub(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateHub; the hub can be used at once."""
        name = request["HubName"]
        if self.hubs.find(name) is not None:
            raise ServiceError("ResourceInUse", f"A hub with the name {name} already exists.")
        hub = self.hubs.add(name, request, HubStatus="InService", LastModifiedTime=time.time())
        hub.described["HubArn"] = hub.arn
        return {"HubArn": hub.arn}

    def import_content(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ImportHubContent; the content can be used at once."""
        hub, kind, name = content_key(request)
        versions = self._contents.setdefault((hub, kind, name), {})
        version = request.get("HubContentVersion", "1.0.0")
        if version in versions:
            raise ServiceError("ResourceInUse", f"{kind} {name} {version} already exists in {hub}.")
        content = HubContent(
            f"{content_arn(hub, kind, name)}/{version}",
            version,
            request["HubContentDocument"],
            time.time(),
        )
        hub_arn = self.hubs.named(hub).arn
        versions[version] = content
        return {"HubArn": hub_arn, "HubContentArn": content.arn}

    def describe_content(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeHubContent; without a version, the newest."""
        hub, kind, name = content_key(request)
        content = self._content(hub, kind, name, request.get("HubContentVersion"))
        return {
            "HubContentName": name,
            "HubContentArn": content.arn,
            "HubContentVersion": content.version,
            "HubContentType": kind,
            "DocumentSchemaVersion": "2.0.0",
            "HubName": hub,
            "HubArn": hub_arn(hub),
            "HubContentDocument": content.document,
            "HubContentStatus": "Available",
            "CreationTime": content.created,
        }

    def _content(self, hub: str, kind: str, name: str, version: str | None) -> HubContent:
        versions = self._versions(hub, kind, name)
        found = versions.get(version) if version else next(iter([*versions.values()][::-1]), None)
        if found is None:
            told = f"{kind} {name} of hub {hub}"
            raise ServiceError("ResourceNotFound", f"Hub content does not exist: {told}.")
        return found

    def _versions(self, hub: str, kind: str, name: str) -> Mapping[str, HubContent]:
        nova = name.removeprefix("nova-textgeneration-")
        if (hub, kind) == (PUBLIC_HUB, "Model") and nova != name and nova in _NOVA:
            arn = f"{content_arn(hub, kind, name)}/{_NOVA_VERSION}"
            document = json.dumps({"RecipeCollection": []})
            return {_NOVA_VERSION: HubContent(arn, _NOVA_VERSION, document, 0.0)}
        return self._contents.get((hub, kind, name), {})

    def content(self, arn: str) -> HubContent:
        """The content that an ARN names; raise as the service does when there is none."""
        _, _, path = arn.partition(":hub-content/")
        hub, kind, name, *version = path.split("/")
        return self._content(hub, kind, name, version[0] if version else None)

    def create_group(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateModelPackageGroup."""
        group = self.groups.add(
            request["ModelPackageGroupName"], request, ModelPackageGroupStatus="Completed"
        )
        group.described["ModelPackageGroupArn"] = group.arn
        return {"ModelPackageGroupArn": group.arn}

    def add_package(self, group_arn: str, uri: str) -> str:
        """Register the weights at `uri` as the next version of a group; return its ARN."""
        group = group_arn.rpartition("/")[2]
        prefix = group_arn.replace(":model-package-group/", ":model-package/")
        with self._lock:
            version = sum(arn.startswith(f"{prefix}/") for arn in self._packages) + 1
            arn = f"{prefix}/{version}"
            self._packages[arn] = _package(arn, group, version, uri)
        return arn

    def describe_package(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeModelPackage, by ARN."""
        arn = request["ModelPackageName"]
        try:
            return self._packages[arn]
        except KeyError:
            raise invalid(f"ModelPackage {arn} does not exist.") from None

    def package_uri(self, arn: str) -> str:
        """Where a package's weights are; raise as the service does when there is no package."""
        (container,) = self.describe_package({"ModelPackageName": arn})["InferenceSpecification"][
            "Containers"
        ]
        return str(container["ModelDataSource"]["S3DataSource"]["S3Uri"])


def _package(arn: str, group: str, version: int, uri: str) -> dict[str, Any]:
    source = {"S3Uri": uri, "S3DataType": "S3Prefix", "CompressionType": "None"}
    container = {"Image": "stand-in", "ModelDataSource": {"S3DataSource": source}}
    return {
        "ModelPackageName": group,
        "ModelPackageGroupName": group,
        "ModelPackageVersion": version,
        "ModelPackageArn": arn,
        "CreationTime": time.time(),
        "InferenceSpecification": {"Containers": [container]},
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
    }


def content_key(request: Mapping[str, Any]) -> ContentKey:
    """Hub, type and name of the content that a request is about."""
    return request["HubName"], request["HubContentType"], request["HubContentName"]


def content_arn(hub: str, kind: str, name: str) -> str:
    """The ARN of a hub's content, without its version."""
    return f"{_owner(hub)}:hub-content/{hub}/{kind}/{name}"


def hub_arn(hub: str) -> str:
    """The ARN of a hub; the public one belongs to AWS."""
    return f"{_owner(hub)}:hub/{hub}"


def _owner(hub: str) -> str:
    account = "aws" if hub == PUBLIC_HUB else emulator.account_id()
    return f"arn:aws:sagemaker:{emulator.region()}:{account}"
