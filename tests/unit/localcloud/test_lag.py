"""How late what is new shows in the local cloud."""

from __future__ import annotations

import pytest

from novaloop_localcloud.lag import Lag
from novaloop_localcloud.sagemaker.errors import ServiceError, invalid


def test_what_is_new_shows_late_and_its_tags_later() -> None:
    now = [100.0]
    lag = Lag(resource_seconds=1.0, tag_seconds=2.0, clock=lambda: now[0])
    lag.created("new")
    seen = []
    for now[0] in (100.0, 100.9, 101.0, 101.9, 102.0):
        seen.append((lag.hides("new"), lag.hides_tags("new")))
    assert seen == [(True, True), (True, True), (False, True), (False, True), (False, False)]
    assert not lag.hides("of old")
    assert not lag.hides_tags("of old")


def test_without_lag_everything_shows_at_once() -> None:
    lag = Lag()
    lag.created("new")
    assert not lag.hides("new")
    assert not lag.hides_tags("new")


def test_a_change_shows_late_and_so_does_a_deletion() -> None:
    now = [100.0]
    lag = Lag(change_seconds=2.0, clock=lambda: now[0])
    there = ["InService"]

    def look() -> str:
        if not there:
            raise invalid("Could not find it.")
        return there[-1]

    assert lag.told("endpoint", look) == '"InService"'
    there.append("Updating")
    seen = []
    for now[0] in (101.0, 102.9, 103.0):
        seen.append(lag.told("endpoint", look))
    assert seen == ['"InService"', '"InService"', '"Updating"']
    there.clear()
    assert lag.told("endpoint", look) == '"Updating"'
    now[0] = 105.0
    with pytest.raises(ServiceError):
        lag.told("endpoint", look)
