"""Bedrock serves what was trained elsewhere, and what it trained itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from novaloop.experiment.record import Status
from novaloop.recipes.names import bedrock_name
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud
from tests.e2e.application import WITHOUT_PLAN, names_a_label, reaches, run

pytestmark = pytest.mark.e2e

BEDROCK = {
    "imported": "plan: [evaluate: baseline, sft, evaluate: after, deploy: {to: bedrock-on-demand}]",
    "packaged": "runtime: serverless\nplan: [sft, deploy: {to: bedrock-provisioned}]",
    "customized": "runtime: bedrock",
    "reinforced": """
runtime: bedrock
plan:
  - rft: {include_sft_rows: false, overrides: {batchSize: 64}}
  - deploy: {to: bedrock-provisioned, model_units: 2}
""",
}
"""Ways of a model into Bedrock: imported from a checkpoint or a package, or trained there."""


def test_bedrock_trains_and_serves(stack: Stack, cloud: LocalCloud) -> None:
    for name, plan in BEDROCK.items():
        questions.write(Path(name), sft=200, rft=120, eval=60)
        needed = {"imported": {"sft", "eval"}, "reinforced": {"rft"}}.get(name, {"sft"})
        for role in {"sft", "rft", "eval"} - needed:
            Path(name, f"{role}.csv").unlink()
        spec = f"{WITHOUT_PLAN}{plan}\n"
        Path(name, "experiment.yaml").write_text(spec, encoding="utf-8")
        assert run("submit", name, "--yes").exit_code == 0
    bedrock = cloud.session().client("bedrock")
    for name in BEDROCK:
        record = reaches(stack, name, Status.LIVE)
        assert (record.stage("deploy").reason or "").startswith("answered the smoke request")
        for options in ([], ["--no-stream"]):
            answer = run("invoke", name, "plz fix my code its broken", *options)
            assert names_a_label(answer.stdout)
        assert run("cleanup", name).exit_code == 0
        assert stack.load(name)[1].status is Status.COMPLETED
    kept = {model["modelName"] for model in bedrock.list_custom_models()["modelSummaries"]}
    trained = (("customized", "sft"), ("reinforced", "rft"))
    names = {stack.load(name)[1].stage(stage).attempt.claimed_name for name, stage in trained}
    assert kept == {bedrock_name(name) for name in names}
    assert bedrock.list_custom_model_deployments()["modelDeploymentSummaries"] == []
