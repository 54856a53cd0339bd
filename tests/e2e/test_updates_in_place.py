"""Experiments that serve under one name, one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from novaloop.experiment.record import Status
from novaloop.experiment.stack import EXPERIMENT_TAG
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud
from novaloop_localcloud.sagemaker.faults import Fault
from tests.e2e.application import (
    WITHOUT_PLAN,
    has_told,
    names_a_label,
    put,
    reaches,
    run,
    wait_for,
)

pytestmark = pytest.mark.e2e

IN_PLACE = WITHOUT_PLAN + "plan: [sft, deploy: {endpoint: bot}]\n"


def test_one_experiment_takes_the_place_of_the_other(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    """Two serve one after the other under one name; what fails there changes nothing."""
    questions.write(tmp_path, sft=80, rft=1, eval=1)
    files = {"experiment.yaml": IN_PLACE, "sft.csv": (tmp_path / "sft.csv").read_text("utf-8")}
    sagemaker = cloud.session().client("sagemaker")

    def serving() -> str:
        described = sagemaker.describe_endpoint(EndpointName="novaloop-bot")
        return str(described["EndpointConfigName"])

    def attempt(name: str) -> str:
        return stack.load(name)[1].stage("deploy").attempt.claimed_name

    put(stack, "former", files)
    reaches(stack, "former", Status.LIVE)
    with cloud.under(Fault("endpoint", "novaloop-bot", outcome="NoCapacity")):
        put(stack, "next", files)
        wait_for(lambda: has_told(stack, "next", "deploy WAITING: "))
        assert serving() == attempt("former")
    reaches(stack, "next", Status.LIVE)
    assert serving() == attempt("next")
    assert "serves experiment next" in reaches(stack, "former", Status.COMPLETED).reason

    with cloud.under(Fault("endpoint", "novaloop-bot", reason="no healthy machine")):
        put(stack, "unlucky", files)
        assert "no healthy machine" in reaches(stack, "unlucky", Status.FAILED).reason
        assert serving() == attempt("next")
    assert names_a_label(run("invoke", "next", "plz fix my code").stdout)

    printed = " ".join(run("cleanup", "next").stdout.split())
    assert "sagemaker:endpoint novaloop-bot" in printed
    assert "nothing is left" in printed
    tagging = cloud.session().client("resourcegroupstaggingapi")
    kinds = ["endpoint", "endpoint-config", "model", "inference-component"]
    left = tagging.get_resources(
        TagFilters=[{"Key": EXPERIMENT_TAG, "Values": ["former", "next", "unlucky"]}],
        ResourceTypeFilters=[f"sagemaker:{kind}" for kind in kinds],
    )
    assert left["ResourceTagMappingList"] == []
