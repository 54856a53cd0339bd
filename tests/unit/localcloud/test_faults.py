from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.sagemaker.faults import Fault, Faults

if TYPE_CHECKING:
    from pathlib import Path


def test_a_fault_strikes_as_often_as_planned(tmp_path: Path) -> None:
    faults = Faults(tmp_path / "faults")
    fault = Fault("CreateTrainingJob", "*-sft-?", code="ThrottlingException")
    faults.plan(fault, times=2)
    struck = [faults.strike("CreateTrainingJob", "novaloop-exp--sft-1") for _ in range(3)]
    assert struck == [fault, fault, None]


def test_a_fault_waits_for_its_occasion(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    faults.plan(Fault("training-job", "*-rft-1", outcome="Failed"))
    assert faults.strike("training-job", "novaloop-exp--sft-1") is None
    assert faults.strike("endpoint", "novaloop-exp--rft-1") is None
    assert faults.strike("training-job", "novaloop-exp--rft-1") is not None


def test_planner_and_service_share_a_directory(tmp_path: Path) -> None:
    Faults(tmp_path).plan(Fault("endpoint"))
    assert Faults(tmp_path).strike("endpoint", "any") == Fault("endpoint")
