"""The Resource Groups Tagging API for what the stand-ins hold: GetResources."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.model import ShapeResolver, StructureShape
from botocore.parsers import RpcV2CBORParser
from botocore.serialize import RpcV2CBORSerializer

from novaloop_localcloud.host import Response, emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from novaloop_localcloud.lag import Lag

    Tagged = Callable[[], Iterable[tuple[str, Mapping[str, str]]]]

_OPERATION = "GetResources"
_JSON, _CBOR = "application/x-amz-json-1.1", "application/cbor"
_CBOR_HEADERS = {"Content-Type": _CBOR, "smithy-protocol": "rpc-v2-cbor"}
_MEMBERS: Any = {"__type": {"shape": "Text"}, "message": {"shape": "Text"}}
_ERROR = StructureShape(
    "Error",
    {"type": "structure", "members": _MEMBERS},
    ShapeResolver(cast("Any", {"Text": {"type": "string"}})),
)


class Tagging:
    """The service as the emulator sees it. AWS's clients speak CBOR to it, older ones JSON."""

    def __init__(self, lag: Lag, *sources: Tagged) -> None:
        self._lag, self._sources = lag, sources
        model = botocore.session.get_session().get_service_model("resourcegroupstaggingapi")
        self._answer_shape = model.operation_model(_OPERATION).output_shape

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer one HTTP request."""
        del method
        return await asyncio.to_thread(self._answer, path, headers, body, query)

    def _answer(
        self, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Response:
        is_cbor = _CBOR in headers.get("content-type", "")
        asked = headers.get("x-amz-target", path).replace("/", ".").rpartition(".")[2]
        if asked != _OPERATION:
            message = f"The stand-in does not do {asked}."
            return _error("UnknownOperationException", message, is_cbor=is_cbor)
        denied = emulator.denial(headers, query, f"tag:{_OPERATION}", "*")
        if denied is not None:
            return _error("AccessDeniedException", denied, is_cbor=is_cbor)
        if not is_cbor:
            return 200, {"Content-Type": _JSON}, json.dumps(self._get(json.loads(body))).encode()
        parser = RpcV2CBORParser()
        request = parser.parse_data_item(parser.get_peekable_stream_from_bytes(body))
        return 200, _CBOR_HEADERS, _cbor(self._get(request), self._answer_shape)

    def _get(self, request: Mapping[str, Any]) -> dict[str, Any]:
        kinds, arns = request.get("ResourceTypeFilters", []), request.get("ResourceARNList", [])
        found = [
            {"ResourceARN": arn, "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
            for source in self._sources
            for arn, tags in source()
            if (not kinds or _kind(arn) in kinds) and _matches(tags, request)
            if not arns or arn in arns
            if not self._lag.hides_tags(arn)
        ]
        return {"PaginationToken": "", "ResourceTagMappingList": found}


def _error(code: str, message: str, *, is_cbor: bool) -> Response:
    told = {"__type": code, "message": message}
    if is_cbor:
        return 400, _CBOR_HEADERS, _cbor(told, _ERROR)
    return 400, {"Content-Type": _JSON, "x-amzn-errortype": code}, json.dumps(told).encode()


def _cbor(document: Mapping[str, Any], shape: Any) -> bytes:
    told = bytearray()
    # botocore has no public name for it, and its stubs have none.
    serialize = RpcV2CBORSerializer._serialize_data_item  # type: ignore[attr-defined]  # noqa: SLF001
    serialize(RpcV2CBORSerializer(), told, document, shape)
    return bytes(told)


def _kind(arn: str) -> str:
    """Return an ARN's resource type as GetResources filters by it, such as `sagemaker:model`."""
    return f"{arn.split(':')[2]}:{arn.split(':', 5)[5].partition('/')[0]}"


def _matches(tags: Mapping[str, str], request: Mapping[str, Any]) -> bool:
    return all(
        wanted["Key"] in tags
        and (not wanted.get("Values") or tags[wanted["Key"]] in wanted["Values"])
        for wanted in request.get("TagFilters", [])
    )
