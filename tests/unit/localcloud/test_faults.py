from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.sagemaker.faults import Fault, Faults
from novaloop.cloud.failures import cause_of
from novaloop.experiment.observation import Cause

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


def test_what_is_lost_is_told_in_the_words_of_aws() -> None:
    """The application has these words from public threads, as the stand-in has."""
    told = {
        (on, outcome): cause_of(Fault(on, outcome=outcome).told)
        for on in ("training-job", "endpoint", "custom-model-deployment")
        for outcome in ("NoCapacity", "ServiceFault", "Failed")
    }
    causes = {"NoCapacity": Cause.CAPACITY, "ServiceFault": Cause.SERVICE_FAULT, "Failed": None}
    assert told == {(on, outcome): causes[outcome] for on, outcome in told}
    assert Fault("endpoint", reason="made up").told == "made up"
