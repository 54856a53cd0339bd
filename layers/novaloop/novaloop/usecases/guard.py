"""What a deletion or a new prefix would leave behind that bills: the guard says so, or lets go.

Under another prefix the controller may not launch or schedule what bears the former one: its role
goes by names. So a new prefix has to wait for what a deletion has to wait for.

A guard that fails a deletion has to know when the stack itself goes away. Only then is its status
DELETE_IN_PROGRESS. An update, a rollback of an update or of a first deployment deletes the guard
too, under another status, and must never be held up. Nor must a rollback be when the status can't
be read: what serves has a schedule that ends it; a stack whose rollback failed has to be repaired
by hand. Likewise a new prefix is refused only while an update goes forward, UPDATE_IN_PROGRESS: the
rollback asks for the former one in the same way (aws/aws-cdk#17040). Source of the statuses:
CloudFormation's API reference, `Stack`, `StackStatus`.

What can't be looked at may be there and bill, so it fails a deletion as what is found does. That
is not for good: the reason says how to delete the stack all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from novaloop.usecases.ports import RunningResources, StackStatus

GOES_AWAY = "DELETE_IN_PROGRESS"
IS_UPDATED = "UPDATE_IN_PROGRESS"
LONGEST_REASON = 1_000
"""Characters. How much of a reason CloudFormation shows is documented nowhere; a custom resource's
whole response may have 4,096 bytes."""


@dataclass(frozen=True)
class GuardWorld:
    """Everything that the guard works with."""

    stacks: StackStatus
    running: RunningResources


@dataclass(frozen=True)
class GuardVerdict:
    """Whether the guard may go, and why; `remaining` is all that bills or can't be looked at."""

    may_go: bool
    reason: str
    remaining: tuple[str, ...] = ()


def judge(stack_id: str, world: GuardWorld, in_time: Callable[[], bool]) -> GuardVerdict:
    """Say whether a stack's guard may be deleted.

    `in_time` says whether there is time for another call; without, what is left counts as unseen.
    """
    do = (
        " End each with `novaloop stop NAME` or `novaloop cleanup NAME`, or by hand if the stack's"
        " functions are gone; then delete the stack again. To delete it all the same: aws"
        " cloudformation delete-stack --deletion-mode FORCE_DELETE_STACK --stack-name "
        f"{stack_id.split('/')[1]}"
    )
    return _judge(stack_id, world, in_time, GOES_AWAY, do)


def judge_new_prefix(
    stack_id: str, prefix: str, world: GuardWorld, in_time: Callable[[], bool]
) -> GuardVerdict:
    """Say whether a stack may give up `prefix`, which is that of `world.running`."""
    do = (
        f" The controller can't go on with it under another JobNamePrefix, so it stays {prefix}."
        " End each with `novaloop stop NAME` or `novaloop cleanup NAME`, or wait until it is over;"
        " then deploy again."
    )
    return _judge(stack_id, world, in_time, IS_UPDATED, do)


def _judge(
    stack_id: str, world: GuardWorld, in_time: Callable[[], bool], only_if: str, do: str
) -> GuardVerdict:
    try:
        status = world.stacks.status(stack_id)
    except Exception as error:  # whatever it is, it must not hold up a rollback
        return GuardVerdict(
            True, f"the stack's status can't be read: {type(error).__name__}: {error}"
        )
    if status != only_if:
        return GuardVerdict(True, f"this is not held up while the stack is {status}")
    try:
        running, unseen = world.running.find(in_time)
    except Exception as error:  # told, as all that keeps the guard from looking
        running, unseen = (), (f"the guard is broken: {type(error).__name__}: {error}",)
    remaining = tuple(
        f"{each.kind.partition(':')[2]} {each.name} (experiment {each.experiment_id})"
        for each in running
    )
    if not remaining and not unseen:
        return GuardVerdict(True, "nothing runs or serves")
    return GuardVerdict(False, reason(remaining, unseen, do), (*remaining, *unseen))


def reason(remaining: Sequence[str], unseen: Sequence[str], do: str) -> str:
    """Say in at most LONGEST_REASON characters of ASCII what remains, and what to `do`.

    What to do is never cut off: of the rest, as much is told as there is room for. A control
    character would make the stack's events unreadable (aws-cloudformation/
    cloudformation-coverage-roadmap#1601).
    """
    told = f"{len(remaining):,} still run or serve, and bill: " if remaining else ""
    lines = (*remaining, *unseen)
    text = told + _as_many_as_fit(lines, LONGEST_REASON - len(told) - len(do)) + do
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def _as_many_as_fit(lines: Sequence[str], room: int) -> str:
    for shown in range(min(len(lines), LONGEST_REASON), 0, -1):
        left = len(lines) - shown
        more = f"; and {left:,} more, in the log of GuardFunction." if left else "."
        text = "; ".join(lines[:shown])
        if len(text) + len(more) <= room or shown == 1:
            return text[: room - len(more)] + more
    return ""
