from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from novaloop.cloud.failures import cause_of
from novaloop.experiment.controller.observation import Cause
from novaloop_localcloud.sagemaker.faults import Fault, Faults

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


def test_a_lasting_fault_strikes_until_it_is_withdrawn(tmp_path: Path) -> None:
    faults = Faults(tmp_path)
    with faults.lasting(Fault("endpoint", "bot")):
        struck = [faults.strike("endpoint", name) for name in ("bot", "bot", "other")]
    assert struck == [Fault("endpoint", "bot", lasts=True)] * 2 + [None]
    assert faults.strike("endpoint", "bot") is None


def test_what_is_held_stays_until_it_is_let_go(tmp_path: Path) -> None:
    faults, went_on = Faults(tmp_path), threading.Event()
    faults.plan(Fault("endpoint", "bot", reason="made up"))

    def go_on() -> None:
        fault = faults.strike("endpoint", "bot")
        assert fault is not None
        assert fault.reason == "made up"
        went_on.set()

    with faults.lasting(Fault("endpoint", "bot", outcome="Held")):
        threading.Thread(target=go_on, daemon=True).start()
        faults.wait("endpoint", "other")
        assert not went_on.wait(0.3)
    assert went_on.wait(300)


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
