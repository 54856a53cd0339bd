"""Whether the guard lets a deletion go on: by the stack's status and by what still bills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import botocore.session
import pytest

from novaloop.usecases.guard import (
    LONGEST_REASON,
    GuardWorld,
    judge,
    judge_new_prefix,
    reason,
)
from novaloop.usecases.ports import Billing

STACK = "arn:aws:cloudformation:us-east-1:123456789012:stack/novaloop/0a1b"
ENDPOINT = Billing("sagemaker:endpoint", "novaloop-demo--a1b2-deploy-1", "demo")
FORCED = "aws cloudformation delete-stack --deletion-mode FORCE_DELETE_STACK --stack-name"


@dataclass
class Account:
    """A stack with a status, or an error instead of one, and what runs in its account."""

    told: str | Exception = "DELETE_IN_PROGRESS"
    running: Sequence[Billing] = ()
    unseen: Sequence[str] = ()
    looked: list[bool] = field(default_factory=list)

    def status(self, stack_id: str) -> str:
        assert stack_id == STACK
        if isinstance(self.told, Exception):
            raise self.told
        return self.told

    def find(self, in_time: Callable[[], bool]) -> tuple[Sequence[Billing], Sequence[str]]:
        self.looked.append(in_time())
        return self.running, self.unseen

    @property
    def world(self) -> GuardWorld:
        return GuardWorld(self, self)


def in_time() -> bool:
    return True


def test_where_nothing_bills_the_stack_may_go() -> None:
    assert judge(STACK, Account().world, in_time).may_go


def test_what_serves_keeps_the_stack_and_is_named_with_what_to_do() -> None:
    verdict = judge(STACK, Account(running=[ENDPOINT]).world, in_time)
    assert not verdict.may_go
    assert verdict.remaining == ("endpoint novaloop-demo--a1b2-deploy-1 (experiment demo)",)
    for part in (*verdict.remaining, "`novaloop cleanup NAME`", f"{FORCED} novaloop"):
        assert part in verdict.reason


def test_what_cannot_be_looked_at_keeps_the_stack() -> None:
    account = Account(unseen=["every sagemaker:endpoint can't be looked at: AccessDenied"])
    verdict = judge(STACK, account.world, in_time)
    assert not verdict.may_go
    assert account.unseen[0] in verdict.reason
    assert FORCED in verdict.reason


def statuses() -> list[str]:
    model = botocore.session.get_session().get_service_model("cloudformation")
    return list(model.shape_for("StackStatus").enum)  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", statuses())
def test_only_a_stack_that_goes_away_is_kept(status: str) -> None:
    """Not an update that leaves the guard out, and no rollback of whatever kind."""
    account = Account(status, running=[ENDPOINT])
    assert judge(STACK, account.world, in_time).may_go is (status != "DELETE_IN_PROGRESS")
    assert bool(account.looked) is (status == "DELETE_IN_PROGRESS")


@pytest.mark.parametrize("status", statuses())
def test_a_prefix_is_kept_only_while_an_update_goes_forward(status: str) -> None:
    """Its rollback asks for the former one again, and has to get it."""
    account = Account(status, running=[ENDPOINT])
    verdict = judge_new_prefix(STACK, "novaloop", account.world, in_time)
    assert verdict.may_go is (status != "UPDATE_IN_PROGRESS")


def test_what_serves_under_a_prefix_keeps_it_and_is_named_with_what_to_do() -> None:
    account = Account("UPDATE_IN_PROGRESS", [ENDPOINT], ["tags can't be looked at: denied"])
    verdict = judge_new_prefix(STACK, "novaloop", account.world, in_time)
    for part in (*verdict.remaining, "it stays novaloop", "`novaloop cleanup NAME`"):
        assert part in verdict.reason
    assert len(verdict.remaining) == 2
    nothing = Account("UPDATE_IN_PROGRESS")
    assert judge_new_prefix(STACK, "novaloop", nothing.world, in_time).may_go


@pytest.mark.parametrize("error", [LookupError("gone"), RuntimeError("denied")])
def test_a_status_that_cannot_be_read_holds_nothing_up(error: Exception) -> None:
    account = Account(error, running=[ENDPOINT])
    assert judge(STACK, account.world, in_time).may_go
    assert not account.looked


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 40, 5_000])
@pytest.mark.parametrize("length", [1, 60, 120, 400, 2_000])
def test_a_reason_has_a_length_and_never_lacks_what_to_do(count: int, length: int) -> None:
    lines = [f"{number:04}" + "n" * length for number in range(count)]
    for remaining, unseen in ((lines, ()), ((), lines), (lines[:1], lines[1:])):
        do = " End each. " + "s" * 300
        text = reason(remaining, unseen, do)
        assert len(text) <= LONGEST_REASON
        assert text.endswith(do)
        told = sum(line in text for line in lines)
        assert told >= min(count, 2) or length >= 400
        left = count - max(told, 1)
        assert (f"; and {left:,} more" in text) is (left > 0)


def test_a_reason_is_printable_ascii() -> None:
    text = reason([], ["AccessDenied: \x1b[1mverboten\n für dich"], "novaloop")
    assert text.isascii()
    assert text.isprintable()
