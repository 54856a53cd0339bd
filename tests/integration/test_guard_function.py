"""The guard's handler answers CloudFormation, whatever it is asked and whatever breaks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from novaloop.usecases.guard import GuardWorld
from novaloop.usecases.ports import Billing
from novaloop.wiring.clients import HASTY
from novaloop_localcloud import custom_resources
from tests.integration.application import load, sample
from tests.integration.conftest import STACK

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 119_000)
ENDPOINT = Billing("sagemaker:endpoint", "novaloop-demo--a1b2-deploy-1", "demo")


class Mailbox(HTTPServer):
    """Where answers are put: as strict as CloudFormation, after so many failures of its own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Puts)
        self.failing = 0
        self.request: dict[str, Any] = {}
        self.problems: list[str | None] = []
        self.answers: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/answer?X-Amz-Signature=a%2Fb"


class _Puts(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        box: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = not self.headers["Content-Type"]
        box.failing -= 1
        status = 503 if box.failing >= 0 else 200 if signed else 403
        if status == 200:
            box.problems.append(custom_resources.problem(box.request, body))
            box.answers.append(json.loads(body))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as box:
        threading.Thread(target=box.serve_forever, args=(0.01,), daemon=True).start()
        yield box
        box.shutdown()


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, value in STACK.properties("GuardFunction")["Environment"]["Variables"].items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return load("guard")


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(guard: ModuleType, mailbox: Mailbox) -> Ask:
    """Send a request, changed, and return the one answer to it, which CloudFormation takes."""

    def asked(context: Any = CONTEXT, **changes: Any) -> dict[str, Any]:
        request = sample("stack-deletion.json") | {"ResponseURL": mailbox.url} | changes
        request = {name: value for name, value in request.items() if value is not None}
        mailbox.request = {"StackId": "", "RequestId": "", "LogicalResourceId": "", **request}
        mailbox.request.setdefault("RequestType", "Create")
        mailbox.request.setdefault("PhysicalResourceId", request.get("PhysicalResourceId"))
        guard.handler(request, context)
        (answer,), (problem,) = mailbox.answers, mailbox.problems
        assert problem is None
        mailbox.answers, mailbox.problems = [], []
        return answer

    return asked


class Account:
    """A stack's status, or what is raised instead, and what is found then."""

    def __init__(self, status: str | Exception, found: Any = ((), ())) -> None:
        self._status, self._found = status, found
        self.in_time: list[bool] = []
        self.prefixes: list[str | None] = []

    def status(self, _: str) -> str:
        if isinstance(self._status, Exception):
            raise self._status
        return self._status

    def find(self, in_time: Callable[[], bool]) -> Any:
        self.in_time.append(in_time())
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Account]:
    def is_like(*told: Any) -> Account:
        account = Account(*told)

        def world(prefix: str | None) -> GuardWorld:
            account.prefixes.append(prefix)
            return GuardWorld(account, account)

        monkeypatch.setattr("novaloop.wiring.guard.guard_world", world)
        return account

    return is_like


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_creation_and_update_change_nothing_and_keep_the_id(ask: Ask, kind: str) -> None:
    """Without a world: no setting, right or call can hold them up."""
    created = ask(RequestType="Create", PhysicalResourceId=None)
    assert created["Status"] == "SUCCESS"
    assert created["PhysicalResourceId"] == sample("stack-deletion.json")["PhysicalResourceId"]
    again = ask(RequestType=kind, PhysicalResourceId=created["PhysicalResourceId"])
    assert again == created | {"Reason": again["Reason"]}
    other = ask(RequestType="Update", PhysicalResourceId="of-a-former-release")
    assert other["PhysicalResourceId"] == "of-a-former-release"


def new_prefix(former: str, wanted: str) -> dict[str, Any]:
    return {
        "RequestType": "Update",
        "LogicalResourceId": "PrefixGuard",
        "ResourceProperties": {"Prefix": wanted},
        "OldResourceProperties": {"Prefix": former},
    }


def test_a_new_prefix_fails_with_the_list_of_what_the_former_one_names(
    ask: Ask, account: Callable[..., Account]
) -> None:
    told = account("UPDATE_IN_PROGRESS", ([ENDPOINT], []))
    answer = ask(**new_prefix("novaloop", "fresh"))
    assert answer["Status"] == "FAILED"
    for part in ("novaloop-demo--a1b2-deploy-1 (experiment demo)", "it stays novaloop"):
        assert part in answer["Reason"]
    assert told.prefixes == ["novaloop"]


@pytest.mark.parametrize(
    ("status", "found"),
    [("UPDATE_IN_PROGRESS", []), ("UPDATE_ROLLBACK_IN_PROGRESS", [ENDPOINT])],
)
def test_a_new_prefix_is_taken_where_nothing_serves_or_an_update_is_rolled_back(
    ask: Ask, account: Callable[..., Account], status: str, found: list[Billing]
) -> None:
    account(status, (found, []))
    assert ask(**new_prefix("fresh", "novaloop"))["Status"] == "SUCCESS"


def test_the_guard_of_the_prefix_holds_up_no_other_update_and_no_deletion(ask: Ask) -> None:
    """Without a world: neither is looked into."""
    same = new_prefix("novaloop", "novaloop")
    from_elder = same | {"OldResourceProperties": {}}
    deletion = same | {"RequestType": "Delete"}
    reasons = [ask(**each)["Reason"] for each in (same, from_elder, deletion)]
    assert reasons == ["nothing is made"] * 2 + ["only the other guard holds up a deletion"]


def test_a_deletion_fails_with_the_list_of_what_serves(
    ask: Ask, account: Callable[..., Account], caplog: pytest.LogCaptureFixture
) -> None:
    account("DELETE_IN_PROGRESS", ([ENDPOINT], ["tags can't be looked at: AccessDenied"]))
    answer = ask()
    assert answer["Status"] == "FAILED"
    for part in ("novaloop-demo--a1b2-deploy-1 (experiment demo)", "AccessDenied", "FORCE_DELETE"):
        assert part in answer["Reason"]
    assert "endpoint novaloop-demo--a1b2-deploy-1 (experiment demo)" in caplog.messages


@pytest.mark.parametrize(
    "told",
    [
        ("DELETE_IN_PROGRESS",),
        ("ROLLBACK_IN_PROGRESS", ([ENDPOINT], [])),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", ([ENDPOINT], [])),
        (RuntimeError("denied"), ([ENDPOINT], [])),
    ],
    ids=str,
)
def test_otherwise_it_lets_go(ask: Ask, account: Callable[..., Account], told: Any) -> None:
    account(*told)
    answer = ask()
    assert answer["Status"] == "SUCCESS", answer


def test_a_guard_whose_creation_was_never_answered_lets_go(
    ask: Ask, account: Callable[..., Account]
) -> None:
    account("DELETE_IN_PROGRESS", ([ENDPOINT], []))
    assert ask(PhysicalResourceId="novaloop-Guard-1ABCDEFGHIJKL")["Status"] == "SUCCESS"


def test_a_look_that_breaks_keeps_the_stack(ask: Ask, account: Callable[..., Account]) -> None:
    account("DELETE_IN_PROGRESS", KeyError("Endpoints"))
    answer = ask()
    assert answer["Status"] == "FAILED"
    assert "KeyError" in answer["Reason"]
    assert "FORCE_DELETE_STACK" in answer["Reason"]


@pytest.mark.parametrize("missing", ["StackId", "RequestId", "LogicalResourceId"])
def test_a_missing_property_is_answered(
    ask: Ask, account: Callable[..., Account], missing: str
) -> None:
    account("DELETE_IN_PROGRESS")
    for kind in ("Create", "Delete"):
        assert ask(RequestType=kind, **{missing: None})["Status"] == "SUCCESS"


@pytest.mark.parametrize("kind", ["Read", None, 7, "\U0001f600" * 5_000])
def test_an_unknown_request_is_refused(ask: Ask, kind: object) -> None:
    answer = ask(RequestType=kind)
    assert answer["Status"] == "FAILED"
    assert "RequestType" in answer["Reason"]


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_a_broken_layer_or_setting_holds_nothing_up(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.delenv("STACK_NAME")
    assert ask(RequestType=kind)["Status"] == "SUCCESS"
    monkeypatch.setitem(__import__("sys").modules, "novaloop.wiring.guard", None)
    assert ask(RequestType=kind)["Status"] == "SUCCESS"


def test_nothing_is_begun_when_the_time_is_nearly_up(
    ask: Ask, guard: ModuleType, account: Callable[..., Account]
) -> None:
    told = account("DELETE_IN_PROGRESS")
    for left in (guard.RESERVE + 1, guard.RESERVE):
        ask(SimpleNamespace(get_remaining_time_in_millis=lambda left=left: left))
    assert told.in_time == [True, False]


def test_the_reserve_is_enough_for_the_longest_call_and_the_answer(guard: ModuleType) -> None:
    config: Any = HASTY
    attempts = config.retries["total_max_attempts"]
    longest = attempts * (config.connect_timeout + config.read_timeout)
    answer = guard.TRIES * (guard.TIMEOUT + 1)
    assert (longest + answer) * 1_000 < guard.RESERVE
    timeout = STACK.properties("GuardFunction")["Timeout"]
    assert timeout * 1_000 > 2 * guard.RESERVE


def test_an_answer_is_delivered_at_the_third_try(ask: Ask, mailbox: Mailbox) -> None:
    mailbox.failing = 2
    assert ask(RequestType="Create")["Status"] == "SUCCESS"


def test_an_answer_that_cannot_be_delivered_fails_the_call(ask: Ask, mailbox: Mailbox) -> None:
    """So that Lambda tries again."""
    mailbox.failing = 3
    with pytest.raises(OSError, match="503"):
        ask(RequestType="Create")
