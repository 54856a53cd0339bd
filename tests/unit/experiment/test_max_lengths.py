"""How long a row may be for the stages that train on it."""

from __future__ import annotations

from typing import Any

from novaloop.experiment.controller.intake import data_fingerprint, max_lengths
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Role


def planned(*stages: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate({"plan": stages})


def sft(max_length: int) -> dict[str, Any]:
    return {"sft": {"overrides": {"max_length": max_length}}}


def rft(max_length: int, include_sft_rows: bool) -> dict[str, Any]:
    overrides = {"max_length": max_length, "save_steps": 10}
    return {"rft": {"overrides": overrides, "include_sft_rows": include_sft_rows}}


def test_the_shortest_max_length_of_the_stages_that_use_a_role_counts() -> None:
    assert max_lengths(planned("sft")) == {"sft": 32_768}
    assert max_lengths(planned(sft(16_384), rft(4_096, False))) == {"sft": 16_384, "rft": 4_096}
    assert max_lengths(planned(sft(16_384), rft(4_096, True))) == {"sft": 4_096, "rft": 4_096}
    assert max_lengths(planned({"evaluate": "baseline"})) == {}


def test_another_max_length_has_the_checks_made_again() -> None:
    short, long = planned(sft(8_192)), planned(sft(16_384))
    assert data_fingerprint(short, Role.SFT) != data_fingerprint(long, Role.SFT)
    assert data_fingerprint(short, Role.EVAL) == data_fingerprint(long, Role.EVAL)
