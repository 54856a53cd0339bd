"""Our stand-ins for SageMaker, Bedrock and the Tagging API as a server beside another emulator.

A host as `novaloop_localcloud.host` wants it: roles, credentials and events are the other
emulator's, asked for by its API. It enforces no permission, so nobody is denied anything here.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import ClientError

from novaloop_localcloud.credentials import ADMINISTRATOR, Credentials
from tests.accept.cloud import ACCOUNT, REGION, STAND_INS

if TYPE_CHECKING:
    from novaloop_localcloud.host import Handler, Host, Response

_SIGNED_FOR = re.compile(r"Credential=[^/]+/\d+/[^/]+/(?P<service>[^/]+)/aws4_request")
_handlers: dict[str, Handler] = {}


def register(service: str, handler: Handler, target_prefix: str | None = None) -> None:
    """Answer what is signed for a service with `handler`."""
    del target_prefix
    _handlers[service] = handler


def account_id() -> str:
    """The other emulator's one account."""
    return ACCOUNT


def region() -> str:
    """The region that everything here runs in."""
    return REGION


def denial(
    headers: Mapping[str, str], query: Mapping[str, Any], action: str, resource: str, **keys: Any
) -> str | None:
    """Nobody is denied anything."""
    del headers, query, action, resource, keys
    return None


def denial_of_role(role_arn: str, action: str, resource: str, **keys: Any) -> str | None:
    """Nor is a role."""
    del role_arn, action, resource, keys
    return None


def role_trusts(role_arn: str, service: str) -> bool:
    """Whether the role exists and lets `service` assume it."""
    try:
        role = _client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
    except ClientError:
        return False
    statements = role["AssumeRolePolicyDocument"]["Statement"]
    return any(service == each["Principal"].get("Service") for each in statements)


def role_credentials(role_arn: str, session_name: str) -> Credentials:
    """Assume a role."""
    told = _client("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
    return Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"])


def publish(
    detail_type: str, resource: str, detail: Mapping[str, Any], source: str = "aws.sagemaker"
) -> None:
    """Put an event on the other emulator's default bus, which takes AWS's own sources, too."""
    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail)}
    _client("events").put_events(Entries=[{**entry, "Resources": [resource]}])


async def _awaited(answering: Awaitable[Response]) -> Response:
    return await answering


@cache
def _client(service: str) -> Any:
    client: Any = ADMINISTRATOR.session().client
    return client(service)


class Requests(BaseHTTPRequestHandler):
    """Hands each request to the stand-in of the service that it is signed for."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        signed = _SIGNED_FOR.search(self.headers.get("Authorization", ""))
        handler = _handlers[signed["service"] if signed else ""]
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        answering = handler(self.command, unquote(url.path), headers, body, parse_qs(url.query))
        status, told, answer = asyncio.run(_awaited(answering))
        self.send_response(status)
        for name, value in {**told, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names


def main() -> None:
    """Serve until the process ends; planned faults and the jobs' log are in the given folder."""
    from novaloop_localcloud import stand_ins  # noqa: PLC0415 - it looks for this very module

    stand_ins.install(Path(sys.argv[1]), starting_seconds=0.2, endpoint_seconds=2.0)
    url = urlsplit(STAND_INS)
    ThreadingHTTPServer((str(url.hostname), int(url.port or 0)), Requests).serve_forever()


if TYPE_CHECKING:
    from tests.accept import stand_ins as this

    _host: Host = this
