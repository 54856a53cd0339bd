"""What `novaloop list` shows, by which options, and what it reads for that."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from novaloop.experiment.costs.budget import cost_usd
from novaloop.experiment.record import Record, Status
from novaloop.store.items import Indexed
from novaloop.store.table import ExperimentTable
from novaloop_cli.listing import NEWEST
from tests.unit.cli.conftest import novaloop
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from novaloop_cli.stack import Stack

MANY = NEWEST + 15


def put(stack: Stack, name: str, status: Status, age: int, **fields: Any) -> Record:
    record = replace(
        example.record(),
        experiment_id=name,
        status=status,
        created_at=datetime.now(UTC) - timedelta(days=age),
        reason="as it is",
        **fields,
    )
    return stack.table.commit(record, ())


def names(*options: str) -> list[str]:
    result = novaloop("list", "--json", *options)
    assert result.exit_code == 0, result.output
    return [each["experiment_id"] for each in json.loads(result.stdout)]


@pytest.fixture
def history(stack: Stack) -> Stack:
    """Many that are over, and two older ones that go on."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    for number in range(MANY):
        put(stack, f"shop-{number}", Status.COMPLETED, number, due_at=None)
    put(stack, "old-live", Status.LIVE, 400, due_at=soon)
    put(stack, "old-held", Status.HELD, 300, due_at=soon + timedelta(days=1))
    return stack


@pytest.mark.parametrize("status", [Status.COLLECTING, Status.REJECTED])
def test_what_was_given_up_is_found_by_its_status(history: Stack, status: Status) -> None:
    """It takes uploads as before; nothing is due of it once none has come for a month."""
    put(history, "given-up", status, 200, due_at=None)
    assert names("--status", status) == ["given-up"]
    assert "given-up" not in names()


def test_what_goes_on_is_listed_however_old_with_the_newest(history: Stack) -> None:
    assert names() == [*(f"shop-{n}" for n in range(NEWEST)), "old-held", "old-live"]
    told = novaloop("list").stdout
    assert "Older ones that are over: novaloop list --all" in told
    assert "old-live" in told
    assert len(names("--all")) == MANY + 2
    assert "Older ones" not in novaloop("list", "--all").stdout


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--status", "LIVE"), ["old-live"]),
        (("--status", "LIVE", "--status", "HELD"), ["old-held", "old-live"]),
        (("--status", "RUNNING"), []),
        (("old-*",), ["old-held", "old-live"]),
        (("shop-3?",), [f"shop-{n}" for n in range(30, MANY)]),
        (("shop-34", "--status", "COMPLETED"), ["shop-34"]),
        (("shop-34", "--status", "LIVE"), []),
    ],
)
def test_filters_find_what_they_ask_for_of_any_age(
    history: Stack, options: tuple[str, ...], expected: list[str]
) -> None:
    assert names(*options) == expected
    if not expected:
        assert "No experiment is like that." in novaloop("list", *options).stdout


def test_a_status_that_does_not_exist_is_told_with_those_that_do(stack: Stack) -> None:
    result = novaloop("list", "--status", "DONE")
    assert result.exit_code == 2
    assert "COMPLETED" in result.stderr


def test_each_line_tells_what_was_spent(stack: Stack) -> None:
    record = put(stack, "a" * 27, Status.AWAITING_APPROVAL, 1, ended_at=example.START)
    cost = cost_usd(record, datetime.now(UTC))
    assert cost is not None
    assert cost.spent > 0
    told = novaloop("list").stdout
    assert max(map(len, told.splitlines())) <= 80
    assert f" {cost.spent:,.2f} " in told
    (listed,) = json.loads(novaloop("list", "--json").stdout)
    assert listed["cost_usd"].keys() == {"spent", "committed"}


def test_what_can_not_be_read_is_listed_without_a_cost(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(stack, "newer", Status.LIVE, 1)
    monkeypatch.setattr(ExperimentTable, "load_records", lambda *_: {"newer": None})
    (line,) = [each for each in novaloop("list").stdout.splitlines() if each.startswith("newer")]
    assert " ? " in line


def test_what_is_read_follows_what_goes_on_and_not_the_history(
    history: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    of_index, of_records = Indexed.from_raw_data, ExperimentTable.load_records

    def indexed(data: dict[str, Any]) -> Any:
        read["index"] += 1
        return of_index(data)

    def records(table: ExperimentTable, ids: list[str]) -> Any:
        read["records"] += len(ids)
        return of_records(table, ids)

    monkeypatch.setattr(Indexed, "from_raw_data", indexed)
    monkeypatch.setattr(ExperimentTable, "load_records", records)
    assert len(names()) == NEWEST + 2
    assert read == {"index": NEWEST + 1 + 2, "records": NEWEST + 2}
    read.clear()
    assert len(names("--status", "LIVE")) == 1
    assert read == {"index": 2, "records": 2}
    read.clear()
    assert len(names("shop-1?")) == 10
    assert read == {"index": MANY + 2, "records": 10}


@pytest.mark.parametrize(
    ("columns", "shown"), [(80, False), (119, False), (120, True), (200, True)]
)
def test_a_wide_terminal_has_room_for_the_model(
    history: Stack, monkeypatch: pytest.MonkeyPatch, columns: int, shown: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    told = novaloop("list").stdout
    assert max(map(len, told.splitlines())) <= columns
    assert ("model" in told.splitlines()[0].split()) is shown
    assert ("nova-lite-2" in told) is shown
    (first, *_) = json.loads(novaloop("list", "--json").stdout)
    assert first["model"] == "nova-lite-2"


IMPOSSIBLE = ("a" * 900, "..", "-x", "X Y", "\U0001f600", "a\x1b[2Jb")


@pytest.mark.parametrize("columns", [50, 80])
def test_names_that_no_experiment_can_have_leave_the_others_readable(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    put(stack, "a" * 32, Status.AWAITING_APPROVAL, 1)
    put(stack, "shop", Status.COLLECTING, 2)
    for age, name in enumerate(IMPOSSIBLE):
        put(stack, name, Status.REJECTED, age + 3)
    told = novaloop("list").stdout
    table, _, below = told.partition("Folders of no experiment: ")
    assert max(map(len, table.splitlines())) <= columns
    for whole in ("AWAITING_APPROVAL", "COLLECTING", " 1 d ago ", " 2 d ago "):
        assert whole in table
    assert "REJECTED" not in table
    assert below.startswith(f"{'a' * 97}..., .., -x and 3 more: the experiment name must be ")
    assert "rename the folder" in below
    assert len(names()) == 2 + len(IMPOSSIBLE)


def test_a_name_that_would_write_over_the_terminal_is_told_in_plain_characters(
    stack: Stack,
) -> None:
    put(stack, IMPOSSIBLE[-1], Status.REJECTED, 1)
    told = novaloop("list").stdout
    assert "No experiments yet." in told
    assert r"Folders of no experiment: a\x1b[2Jb: " in told


@pytest.mark.parametrize("many", [False, True])
def test_what_lies_in_no_folder_is_told_with_where_it_belongs(stack: Stack, *, many: bool) -> None:
    """Nobody else can be told of it: it is no experiment's."""
    for number in range(MANY if many else 1):
        put(stack, f"shop-{number}", Status.COMPLETED, number, due_at=None)
    for key in ("inbox/", "inbox/sft.csv", "inbox//sft.csv", "inbox/shop-0/sft.csv"):
        stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=b"")
    (line,) = [each for each in novaloop("list").stdout.splitlines() if "Not used" in each]
    assert line == (
        "Not used: inbox/sft.csv lies in no folder; upload it to inbox/<experiment>/, "
        "inbox//... has an empty folder name; upload it to inbox/<experiment>/"
    )
    assert "Not used" not in novaloop("list", "--status", "COMPLETED").stdout
