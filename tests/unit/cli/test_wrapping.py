from __future__ import annotations

import pytest

from novaloop_cli.wrapping import wrapped


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_items_of_a_list_can_be_told_apart_though_they_are_broken() -> None:
    told = "novaloop: these can't be used:\n  one: is what it is for a good while\n  two: is short"
    assert wrapped(told).splitlines() == [
        "novaloop: these can't be used:",
        "  one: is what it is for a good while",
        "  two: is short",
    ]
    told = "these:\n  one: is what it is, and for more than one line\n  two: is short"
    assert wrapped(told).splitlines() == [
        "these:",
        "  one: is what it is, and for more than",
        "    one line",
        "  two: is short",
    ]


def test_what_can_be_pasted_stays_whole() -> None:
    setting = "`split: {sft: 0.6, rft: 0.2, eval: 0.2}`"
    assert setting in wrapped(f"a sentence of some words, then write {setting} in the file")
