"""How late what is new shows in the local cloud."""

from __future__ import annotations

from localcloud.lag import Lag


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
