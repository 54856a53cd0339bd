"""A spec under a name that is not read must not start the default plan instead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.controller.observation import Observation
from novaloop.experiment.record import (
    DatasetItem,
    DatasetStatus,
    Record,
    Snapshot,
    SpecItem,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def uploaded(file: str, at: datetime = NOW) -> Snapshot:
    key = f"inbox/demo/{file}"
    item = DatasetItem(file, DatasetStatus.REJECTED, key, "v1", at, "", at)
    return Snapshot("demo", Record("demo", ExperimentSpec(), NOW), datasets={file: item})


def decided(snapshot: Snapshot) -> Record:
    return decide(Observation(snapshot), NOW, Policy()).record


def test_it_is_told_what_to_call_it() -> None:
    after = decided(uploaded("experiment.yml"))
    assert after.status is Status.REJECTED
    assert after.reason == "experiment.yml: is not read; call it experiment.yaml"


def test_the_right_file_after_it_settles_that() -> None:
    spec = SpecItem("v1", NOW + timedelta(seconds=1), ExperimentSpec())
    assert decided(replace(uploaded("experiment.yml"), spec=spec)).status is Status.COLLECTING


def test_it_is_not_passed_over_when_it_comes_after_the_right_file() -> None:
    spec = SpecItem("v1", NOW - timedelta(seconds=1), ExperimentSpec())
    assert decided(replace(uploaded("experiment.yml"), spec=spec)).status is Status.REJECTED


def test_other_files_hold_nothing_up() -> None:
    assert decided(uploaded("notes.txt")).status is Status.COLLECTING
