"""The reward function that docs/rewards.md writes from zero, deployed beside the stack."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from novaloop.experiment.record import Status
from novaloop_cli.main import main
from novaloop_cli.stack import Stack
from novaloop_localcloud import questions
from novaloop_localcloud.cloud import LocalCloud
from novaloop_localcloud.deployment import deploy_built
from novaloop_localcloud.emulator import REPOSITORY
from tests.e2e.application import REWARD_FUNCTION, WITHOUT_PLAN, put, reaches, run

pytestmark = pytest.mark.e2e

DOCS = (REPOSITORY / "docs" / "rewards.md").read_text(encoding="utf-8")
PLAN = """
plan:
  - rft: {overrides: {max_steps: 5, save_steps: 5}}
  - evaluate: {name: rewarded, task: rft_eval}
"""
ROWS = "Body,Y\nq,HQ\n"


@dataclass(frozen=True)
class Beside:
    """Another stack in the cloud of the application."""

    cloud: LocalCloud
    stack_name: str = "my-reward"
    region: str = "us-east-1"

    def environment(self) -> dict[str, str]:
        """Variables that send the SAM CLI there."""
        return self.cloud.environment()


def deploy_documented(cloud: LocalCloud, folder: Path) -> str:
    """Deploy the function of the how-to and return its ARN."""
    blocks = dict(re.findall(r"`my-reward/([\w/.]+)`.*?```\w+\n(.*?)```", DOCS, re.S))
    assert sorted(blocks) == ["src/app.py", "template.yaml"]
    for name, text in blocks.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    deploy_built(folder / "template.yaml", Beside(cloud), {}, folder / "sam.log")
    found = cloud.session().client("cloudformation").describe_stacks(StackName="my-reward")
    (output,) = found["Stacks"][0]["Outputs"]
    return str(output["OutputValue"])


def test_the_documented_function_scores_a_training(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    folder = Path("own-reward")
    questions.write(folder, sft=30, rft=80, eval=90)
    settings = f"reward: {{function: '{REWARD_FUNCTION}'}}\n"
    (folder / "experiment.yaml").write_text(WITHOUT_PLAN + settings + PLAN, encoding="utf-8")
    columns = ("--column", "question=Body", "--column", "answer=Y")
    command = ("convert", str(folder / "rft.csv"), "rft.jsonl", "--method", "rft", *columns)
    assert CliRunner().invoke(main, command).exit_code == 0

    missing = run("reward", "try", "rft.jsonl", "--function", REWARD_FUNCTION)
    assert missing.exit_code == 2
    assert "there is no such function in us-east-1" in missing.stderr
    assert deploy_documented(cloud, tmp_path / "my-reward") == REWARD_FUNCTION
    tried = run("reward", "try", "rft.jsonl", "--function", REWARD_FUNCTION, "--json")
    assert tried.exit_code == 0, tried.output
    right, empty = json.loads(tried.stdout)["tried"]
    assert (right["scores"], empty["scores"]) == ([1.0] * 3, [-1.0] * 3)

    submitted = run("submit", str(folder), "--yes")
    assert submitted.exit_code == 0, submitted.output
    record = reaches(stack, "own-reward", Status.COMPLETED)
    metrics = record.stage("rewarded").metrics
    assert -1 <= metrics["lambda_reward_score"].value <= 1
    assert 0 <= metrics["lambda_items"].value <= 1


def test_a_function_that_the_stack_does_not_name_scores_nothing(stack: Stack) -> None:
    settings = f"reward: {{function: '{REWARD_FUNCTION}-too'}}\n"
    files = {"experiment.yaml": WITHOUT_PLAN + settings + PLAN, "sft.csv": ROWS, "rft.csv": ROWS}
    put(stack, "not-named", files | {"eval.csv": ROWS})
    reason = reaches(stack, "not-named", Status.REJECTED).reason
    assert "reward.function: " in reason
    assert "RewardFunctionArns" in reason
