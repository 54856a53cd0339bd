from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml
from botocore.client import BaseClient

from tests.unit.cli import conftest
from tests.unit.cli.conftest import novaloop
from tests.unit.recipes.captures import capture
from tests.unit.recipes.wire import assert_valid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WALKTHROUGH = """
columns: {question: Body, answer: Y}
labels: [HQ, LQ_EDIT, LQ_CLOSE]
plan:
  - evaluate: baseline
  - sft:
      instances: 4
      overrides:
        lr: 5e-6
        warmup_steps: 17
        max_steps: 100
        global_batch_size: 64
        max_length: 8192
  - evaluate: {name: after-sft, overrides: {max_new_tokens: 50}}
  - rft:
      instances: 2
      overrides:
        lr: 0.00001
        number_generation: 4
        reasoning_effort: "null"
        max_new_tokens: 50
        kl_loss_coef: 0.02
        temperature: 1
        ent_coeff: 0.01
        max_steps: 40
        save_steps: 30
        top_k: 5
        global_batch_size: 64
  - evaluate: after-rft
  - deploy
"""
LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")
CAPTURES = {
    "baseline": "01_eval_base_gen_qa",
    "sft": "02_sft_lora_x4",
    "after-sft": "03_eval_sft_checkpoint_gen_qa",
    "rft": "04_rft_lora_x2",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A walkthrough's folder; nothing on this machine tells of any AWS account."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "NOVALOOP_STACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(BaseClient, "_make_api_call", no_calls)
    folder = tmp_path / "walkthrough"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(WALKTHROUGH)
    for role, rows in {"sft": 70, "rft": 66, "eval": 20}.items():
        (folder / f"{role}.csv").write_text(csv_of(role, rows))
    return folder


def no_calls(*_: object, **__: object) -> None:
    raise AssertionError("a plan must call nothing")


def csv_of(role: str, rows: int) -> str:
    lines = [
        f"{n},{role} asks number {n * 7919} of {role * 3},{LABELS[n % 3]}" for n in range(rows)
    ]
    return "\n".join(["Id,Body,Y", *lines]) + "\n"


def planned(folder: Path, *options: str) -> dict[str, Any]:
    result = novaloop("plan", str(folder), "--json", *options)
    assert result.exit_code == 0, result.output
    content: dict[str, Any] = json.loads(result.stdout)
    return content


def without_names(value: Any) -> Any:
    """Drop what both sides name as they like: jobs, S3 URIs, roles, the reward function, tags."""
    if isinstance(value, dict):
        return {key: without_names(item) for key, item in value.items() if key != "Tags"}
    if isinstance(value, list):
        return [without_names(item) for item in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"arn:aws:(iam|lambda):[^\s]+", r"<\1 ARN>", value)
    return re.sub(r"s3://[^\s]+", "<URI>", re.sub(r"(?m)^  name: .+$", "  name: <name>", value))


@pytest.mark.parametrize("stage", CAPTURES)
def test_the_walkthroughs_requests_equal_the_captured_ones(folder: Path, stage: str) -> None:
    found = next(each for each in planned(folder)["stages"] if each["name"] == stage)
    (request,) = found["requests"]
    captured = capture(CAPTURES[stage])["CreateTrainingJob"][0]
    names = {"TrainingJobName": ""}
    assert request["operation"] == "CreateTrainingJob"
    assert without_names(request["parameters"] | names) == without_names(captured | names)


@pytest.mark.parametrize("stage", CAPTURES)
def test_the_walkthroughs_recipes_equal_the_captured_ones(folder: Path, stage: str) -> None:
    found = next(each for each in planned(folder)["stages"] if each["name"] == stage)
    (captured,) = capture(CAPTURES[stage])["recipe_uploads"].values()
    assert without_names(found["uploads"][-1]["text"]) == without_names(captured)


def test_every_request_is_valid_and_agrees_with_its_uploads(folder: Path) -> None:
    content = planned(folder)
    for stage in content["stages"]:
        for request in stage["requests"]:
            assert_valid("sagemaker", request["operation"], request["parameters"])
    rft = next(stage for stage in content["stages"] if stage["name"] == "rft")
    data, recipe = rft["uploads"]
    assert yaml.safe_load(recipe["text"])["run"]["data_s3_path"] == data["uri"]
    assert [uri.rpartition("/")[2] for uri in data["joined"]] == ["rft.jsonl", "rft.jsonl"]
    deploy = [request["operation"] for request in content["stages"][-1]["requests"]]
    assert deploy == ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"]


def flat(printed: str) -> str:
    """Return printed text without its line breaks."""
    return " ".join(printed.split())


def test_a_list_of_rejected_rows_goes_with_the_next_plan_that_rejects_none(folder: Path) -> None:
    listing = folder / "rejects" / "sft.csv.rejects.jsonl"
    good = (folder / "sft.csv").read_text()
    (folder / "sft.csv").write_text(f"{good}71,without an answer,\n")
    novaloop("plan", str(folder), "--rejects", str(listing.parent))
    assert listing.exists()
    (folder / "sft.csv").write_text(good)
    assert novaloop("plan", str(folder), "--rejects", str(listing.parent)).exit_code == 0
    assert not listing.exists()


def test_the_plan_is_told_in_words(folder: Path) -> None:
    result = novaloop("plan", str(folder))
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.splitlines())) <= 80
    for expected in (
        r"sft +accepted +70 +0",
        r"rft +rft-lora +2 ml\.p5\.48xlarge +40 +24\.0",
        r"4  ml\.p5\.48xlarge for training job usage",
        r"1  ml\.p5\.48xlarge for endpoint usage",
        r"placeholders in us-east-1;",
        r"steps +at most h +low",
        r"Nothing was launched\.",
    ):
        assert re.search(expected, result.output), expected


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (20, "20 rows of evaluation show no gain, if 10% of the answers change: from 77 on"),
        (500, "500 rows of evaluation show a gain of 4.0 points 8 times in 10, if 10% of the"),
    ],
)
def test_what_the_evaluation_rows_can_show_is_told_before_anything_is_paid_for(
    folder: Path, rows: int, said: str
) -> None:
    (folder / "eval.csv").write_text(csv_of("eval", rows))
    assert "of evaluation show" not in novaloop("plan", str(folder)).stdout
    spec = folder / "experiment.yaml"
    spec.write_text(f"{spec.read_text()}gate: {{better_than: baseline}}\n")
    told = novaloop("plan", str(folder)).stdout
    assert said in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (500, "500 rows of evaluation are too few to show 8 times in 10 that a model is not worse"),
        (2000, "by 2 points, if it is alike and 10% of the answers change; about 1,963 are needed"),
        (2000, "2,000 rows of evaluation are enough to show 8 times in 10"),
    ],
)
def test_whether_the_rows_can_exclude_the_loss_of_a_margin_is_told(
    folder: Path, rows: int, said: str
) -> None:
    (folder / "eval.csv").write_text(csv_of("eval", rows))
    spec = folder / "experiment.yaml"
    condition = "{evaluation: after-sft, not_worse_than: baseline, margin: 0.02}"
    spec.write_text(f"{spec.read_text()}gate: {{conditions: [{condition}]}}\n")
    told = novaloop("plan", str(folder)).stdout
    assert said in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 80


def test_an_update_of_an_endpoint_needs_the_quota_twice(folder: Path) -> None:
    spec = folder / "experiment.yaml"
    text = yaml.safe_load(spec.read_text()) if spec.exists() else {}
    plan = [{"evaluate": "base"}, "sft", {"deploy": {"endpoint": "bot", "instances": 2}}]
    text |= {"plan": plan, "gate": None}
    spec.write_text(yaml.safe_dump(text))
    quotas = {each["name"]: each for each in planned(folder)["quotas"]}
    assert quotas["ml.p5.48xlarge for endpoint usage"] == {
        "name": "ml.p5.48xlarge for endpoint usage",
        "needed": 2,
        "needed_to_update": 4,
    }
    assert quotas["ml.p5.48xlarge for training job usage"]["needed_to_update"] is None
    told = novaloop("plan", str(folder)).stdout
    assert "  2  ml.p5.48xlarge for endpoint usage (4 while it takes the place of another)" in told


def test_a_plan_names_the_files_that_it_leaves_out(folder: Path) -> None:
    (folder / "data.csv").write_text("question,answer\n")
    told = "data.csv is there, but not used: write `split: {sft: 0.6, rft: 0.2, eval: 0.2}`"
    assert told in " ".join(novaloop("plan", str(folder)).stdout.split())
    (only,) = planned(folder)["not_used"]
    assert only.startswith(told)


@pytest.mark.parametrize(
    ("settings", "divided"),
    [
        ("", "split: {sft: 0.6, rft: 0.2, eval: 0.2}"),
        ("plan: [{sft: {}}, {evaluate: end}]\n", "split: {sft: 0.75, eval: 0.25}"),
    ],
)
def test_one_file_under_a_name_of_its_own_is_told_all_that_is_to_be_written(
    tmp_path: Path, settings: str, divided: str
) -> None:
    (tmp_path / "experiment.yaml").write_text(settings)
    (tmp_path / "tickets.csv").write_text("body;team\nwhat?;A\n")
    told = novaloop("plan", str(tmp_path), "--name", "x").stderr
    write = f"to make them of tickets.csv, call it data.csv and write in experiment.yaml: {divided}"
    assert write in " ".join(told.split())
    assert "set `delimiter: ';'` in experiment.yaml" in " ".join(told.split())

    (tmp_path / "tickets.csv").rename(tmp_path / "data.csv")
    (tmp_path / "experiment.yaml").write_text(f"{settings}{divided}\ndelimiter: ';'\n")
    told = novaloop("plan", str(tmp_path), "--name", "x").stderr
    assert "set `columns: {question: ..., answer: ...}`" in " ".join(told.split())
    assert "found: 'body', 'team'" in " ".join(told.split())

    columns = "columns: {question: body, answer: team}"
    (tmp_path / "experiment.yaml").write_text(f"{settings}{divided}\ndelimiter: ';'\n{columns}\n")
    rows = "".join(f"question {number};{'AB'[number % 2]}\n" for number in range(400))
    (tmp_path / "data.csv").write_text(f"body;team\n{rows}")
    assert novaloop("plan", str(tmp_path), "--name", "x").exit_code == 0


def test_a_plan_that_has_its_files_says_nothing_of_dividing_another(folder: Path) -> None:
    (folder / "tickets.csv").write_text("question,answer\na,b\n")
    assert "split" not in novaloop("plan", str(folder)).stdout


def test_costs_add_up_and_follow_the_prices_given(folder: Path, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("usd_per_instance_hour: {ml.p5.48xlarge: 10}\nas_of: 2027-01-31\n")
    content = planned(folder, "--prices", str(prices))
    costs = {stage["name"]: stage["cost"] for stage in content["stages"]}
    assert costs["sft"]["most"] == pytest.approx(4 * 24 * 10)
    assert costs["deploy"]["expected"] == pytest.approx(24 * 10)
    assert all(cost["low"] <= cost["expected"] <= cost["most"] for cost in costs.values())
    assert content["cost"]["most"] == pytest.approx(sum(c["most"] for c in costs.values()))
    assert content["prices"].startswith("2027-01-31")


def test_a_budget_caps_the_run_times(folder: Path) -> None:
    (folder / "experiment.yaml").write_text(WALKTHROUGH + "budget_usd: 100\n")
    content = planned(folder)
    assert content["cost"]["most"] == 100
    assert all(stage["cost"]["most"] <= 100 for stage in content["stages"])


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [
        (lambda cost: cost["low"] / 2, "holds the experiment before its end: even at its fastest"),
        (lambda cost: (cost["low"] + cost["expected"]) / 2, "will probably hold the experiment"),
        (lambda cost: cost["expected"] + 1, "should be enough."),
        (lambda cost: cost["most"] - 1, "should be enough."),
        (lambda cost: cost["most"] + 1, "is enough, however long the jobs take."),
    ],
)
def test_what_a_budget_is_enough_for(
    folder: Path, budget: Callable[[dict[str, float]], float], verdict: str
) -> None:
    """What is certain is told as that."""
    (folder / "experiment.yaml").write_text(WALKTHROUGH)
    usd = round(budget(planned(folder)["cost"]), 2)
    (folder / "experiment.yaml").write_text(f"{WALKTHROUGH}budget_usd: {usd}\n")
    told = " ".join(novaloop("plan", str(folder)).output.split())
    assert f"The budget of {usd:,.2f} USD {verdict}" in told


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        (
            "usd_per_instance_hour: {ml.p5.48xlarge: much}",
            "usd_per_instance_hour.ml.p5.48xlarge: must be a number",
        ),
        (
            "usd_per_instance_hour: {ml.p5.48xlarge: -5}",
            "usd_per_instance_hour.ml.p5.48xlarge: must be greater than or equal to 0",
        ),
        ("run_times: {sft: {start_seconds: .inf}}", "start_seconds: must be a finite number"),
        ("as_of: tomorrow", "as_of: must be a date, such as 2026-11-01"),
        ("price: 1", "price: is not a known setting; remove it"),
        ("region: a\nregion: b", "line 2, column 1: `region` stands twice"),
        ("- 1", "must hold `key: value` lines, such as `as_of: 2026-11-01`"),
        ("\xff", "is not UTF-8 at byte 0; save it as UTF-8"),
    ],
)
def test_prices_that_can_not_be_used_are_refused(
    folder: Path, tmp_path: Path, prices: str, reason: str
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_bytes(prices.encode("latin-1"))
    result = novaloop("plan", str(folder), "--prices", str(file))
    assert result.exit_code == 2
    assert "prices.yaml can't be used" in result.stderr
    assert reason in result.stderr


def test_everything_that_is_wrong_with_the_settings_is_told_at_once(folder: Path) -> None:
    (folder / "experiment.yaml").write_text(
        """
modle: nova-lite-2
max_rejects: -1
plan:
  - evaluate: {name: baseline, instances: 3}
  - sft: {overrides: {lr: 7, max_step: 100}, instance_type: ml.g5.xlarge}
  - evaluate: baseline
  - deploy: {context_length: 1000000, ttl_hours: 0}
gate: {better_than: nothing}
"""
    )
    result = novaloop("plan", str(folder))
    assert result.exit_code == 2
    for path in (
        "modle: ",
        "max_rejects: ",
        "plan[0].evaluate.instances: ",
        "plan[1].sft.overrides.lr: ",
        "plan[1].sft.overrides.max_step: ",
        "plan[1].sft.instance_type: ",
        "plan[3].deploy.ttl_hours: ",
        "plan[3].deploy.context_length: ",
    ):
        assert f"\n  {path}" in result.stderr, path
    assert "Traceback" not in result.stderr


def test_everything_that_is_wrong_with_the_data_is_told_at_once(folder: Path) -> None:
    (folder / "sft.csv").write_text("Id,Body,Y\n1,a secret text,\n")
    (folder / "eval.csv").write_text("Id,Y\n1,HQ\n")
    result = novaloop("plan", str(folder))
    assert result.exit_code == 2
    assert "sft.csv line 2" in result.stderr
    assert "eval.csv line 1: no column" in result.stderr
    assert "secret" not in result.stderr


def test_what_is_wrong_with_settings_names_and_data_is_told_in_one_round(folder: Path) -> None:
    settings = (folder / "experiment.yaml").read_text().replace("lr: 5e-6", "lr: 7")
    (folder / "experiment.yaml").write_text(f"modle: nova-pro\n{settings}")
    (folder / "sft.csv").write_text("Id,Body,Y\n1,a secret text,\n")
    (folder / "rft.csv").unlink()
    (folder / "eval.csv").write_text("Id,Y\n1,HQ\n")

    result = novaloop("plan", str(folder), "--name", "Bad_Name")

    assert result.exit_code == 2
    for told in (
        "or give --name",
        "modle: is not a known setting; did you mean model?",
        "plan[1].sft.overrides.lr: ",
        "the plan needs rft.csv",
        "sft.csv line 2",
        "eval.csv line 1: no column 'Body'",
    ):
        assert told in result.stderr
    assert "secret" not in result.stderr


@pytest.mark.parametrize(
    "settings", ["colums: {question: Body}", "delimiter: ';;'", "split: {sft: 2.5}", "labels: [a"]
)
def test_files_that_nobody_can_read_yet_are_not_complained_about(
    folder: Path, settings: str
) -> None:
    (folder / "experiment.yaml").write_text(f"{settings}\n")
    (folder / "eval.csv").unlink()

    result = novaloop("plan", str(folder))

    assert result.exit_code == 2
    assert settings.partition(":")[0] in result.stderr or "is not YAML" in result.stderr
    assert "no column" not in result.stderr
    assert "the plan needs" not in result.stderr
    assert result.stderr.endswith("what the files hold is looked at once this is right\n")


def test_files_are_not_read_without_the_settings_of_a_misnamed_file(folder: Path) -> None:
    (folder / "experiment.yaml").rename(folder / "experiment.yml")

    result = novaloop("plan", str(folder))

    assert result.exit_code == 2
    assert "experiment.yml: is not read; call it experiment.yaml" in result.stderr
    assert "no column" not in result.stderr


def with_rejects(folder: Path, max_rejects: int) -> None:
    settings = (folder / "experiment.yaml").read_text()
    (folder / "experiment.yaml").write_text(f"max_rejects: {max_rejects}\n{settings}")
    lines = csv_of("sft", 70).splitlines()
    lines[1] = '0,"a question\nof two lines",HQ'
    for number in (5, 6, 20, 21):
        lines[number] = lines[number].rpartition(",")[0] + ","
    lines[30] += ",more"
    (folder / "sft.csv").write_text("\n".join(lines) + "\n")


def test_a_plan_tells_which_rows_are_rejected_and_where_all_of_them_are(
    folder: Path, tmp_path: Path
) -> None:
    with_rejects(folder, 5)
    told = novaloop("plan", str(folder))
    assert told.exit_code == 0
    assert max(map(len, told.stdout.splitlines())) <= 80
    flat = " ".join(told.stdout.split())
    assert (
        "sft.csv: 5 rows rejected: empty-text in row 5 (line 7), row 6 (line 8), row 20 (line 22) "
        "and 1 more; ragged-row in row 30 (line 32). All of them: novaloop plan"
    ) in flat

    lists = tmp_path / "lists"
    told = novaloop("plan", str(folder), "--rejects", str(lists))
    assert str(lists / "sft.csv.rejects.jsonl") in told.stdout.replace("\n", "")
    entries = [json.loads(line) for line in (lists / "sft.csv.rejects.jsonl").open()]
    assert [(each["row"], each["line"], each["rule"]) for each in entries] == [
        *((row, row + 2, "empty-text") for row in (5, 6, 20, 21)),
        (30, 32, "ragged-row"),
    ]


def test_a_refused_file_tells_its_rejected_rows_too(folder: Path, tmp_path: Path) -> None:
    with_rejects(folder, 1)
    told = novaloop("plan", str(folder), "--rejects", str(tmp_path / "lists"))
    assert told.exit_code == 2
    assert "5 of 70 rows rejected" in told.stderr
    assert "ragged-row in row 30 (line 32)" in told.stderr
    assert len((tmp_path / "lists" / "sft.csv.rejects.jsonl").read_text().splitlines()) == 5


def test_one_mistake_in_the_settings_is_told_once(folder: Path) -> None:
    settings = (folder / "experiment.yaml").read_text()
    (folder / "experiment.yaml").write_text(settings.replace("question: Body", "question: Text"))
    told = novaloop("plan", str(folder)).stderr
    assert "sft.csv line 1, rft.csv line 1, eval.csv line 1: no column 'Text'" in told
    assert told.count("no column") == 1


def test_the_names_that_stand_in_a_file_are_shown_to_whoever_has_it(folder: Path) -> None:
    """Ingest's code tells the expected names alone, since the cloud stores what it says."""
    (folder / "sft.csv").write_text("body,Answer\nwhy,HQ\n")
    result = novaloop("plan", str(folder))
    assert result.exit_code == 2
    assert "no column 'Body' for `question` and no column 'Y' for `answer`" in result.stderr
    assert "did you mean 'body'? (found: 'body', 'Answer')" in result.stderr


def test_too_few_rows_are_told_by_stage(folder: Path) -> None:
    (folder / "sft.csv").write_text(csv_of("sft", 10))
    result = novaloop("plan", str(folder))
    assert result.exit_code == 2
    told = "plan[1].sft.data: sft.csv has 10 rows, fewer than global_batch_size (64)"
    assert told in result.stderr
    assert "; add rows: it takes no less than 32" in result.stderr
    assert "lower" not in result.stderr

    (folder / "sft.csv").write_text(csv_of("sft", 40))
    result = novaloop("plan", str(folder))
    assert "add rows, or lower it in `overrides` to 32" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    "wrong",
    [
        "labels: A, B\nreward: {type: label}\n",
        "labels: [A, A]\nreward: {type: label}\n",
        "reward: {type: label}\n",
        "labels: [A, B]\nreward: {type: labl}\n",
    ],
)
def test_rows_are_not_blamed_for_a_reward_or_labels_that_are_wrong(
    folder: Path, wrong: str
) -> None:
    (folder / "experiment.yaml").write_text(f"columns: {{question: Body, answer: Y}}\n{wrong}")
    result = novaloop("plan", str(folder))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2, result.stderr


def test_too_few_rows_are_told_in_the_same_round_as_what_is_wrong_with_another_file(
    folder: Path,
) -> None:
    (folder / "sft.csv").write_text(csv_of("sft", 10))
    (folder / "rft.csv").write_text("Id,Body,Y\n1,a question,none\n")
    (folder / "eval.csv").unlink()
    result = novaloop("plan", str(folder))
    assert result.exit_code == 2
    assert "plan[1].sft.data: sft.csv has 10 rows" in result.stderr
    assert "rft.csv line 2" in result.stderr
    assert "the plan needs eval.csv" in result.stderr
    assert "plan[3].rft.data" not in result.stderr


def test_rows_shared_between_datasets_are_refused_as_in_the_cloud(folder: Path) -> None:
    (folder / "eval.csv").write_text(csv_of("sft", 20))
    (folder / "experiment.yaml").write_text(WALKTHROUGH + "checks: {shared-questions: refuse}\n")
    known = novaloop("plan", str(folder))
    assert known.exit_code == 2
    assert "Upload corrected files" in known.stderr


ROLE = "arn:aws:iam::111122223333:role/stack-ExecutionRole"


def deploy(monkeypatch: pytest.MonkeyPatch, region: str, **parameters: str) -> str:
    """Let a stack called `deployed` exist; return the ARN of its reward function."""
    reward = f"arn:aws:lambda:{region}:111122223333:function:stack-SageMaker-reward"
    outputs = {
        **conftest.OUTPUTS,
        "ExecutionRoleArn": ROLE,
        "BedrockRoleArn": "arn:aws:iam::123456789012:role/bedrock",
        "RewardFunctionArn": reward,
        "JobNamePrefix": "team",
    }
    monkeypatch.setitem(conftest.STACKS, "deployed", outputs)
    monkeypatch.setitem(conftest.PARAMETERS, "deployed", parameters)
    return reward


OF_STACK = {
    "DefaultApproval": "manual",
    "DefaultBudgetUsd": "2500.0",
    "DefaultGate": "better-than-baseline",
}


def test_a_stacks_defaults_hold_for_what_the_file_leaves_out(
    folder: Path, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(monkeypatch, "us-east-1", **OF_STACK)
    result = novaloop("plan", str(folder), "--stack", "deployed")
    assert result.exit_code == 0, result.output
    told = flat(result.stdout)
    assert (
        "By the stack's defaults: approval: manual, budget_usd: 2500, gate: {better_than: "
        "baseline}." in told
    )
    assert "The budget of 2,500.00 USD" in told
    assert "No gate is set" not in told
    assert max(map(len, result.stdout.splitlines())) <= 80
    (folder / "experiment.yaml").write_text(f"{WALKTHROUGH}budget_usd: null\ngate: null\n")
    told = flat(novaloop("plan", str(folder), "--stack", "deployed").stdout)
    assert "By the stack's defaults: approval: manual. No gate is set" in told
    assert "The budget" not in told


@pytest.mark.parametrize("parameters", [{}, {**OF_STACK, "DefaultGate": "none"}])
def test_a_deployment_without_a_gate_is_warned_of(
    folder: Path, aws: None, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, str]
) -> None:
    """Also by a stack of an earlier release, which has no defaults of its own."""
    deploy(monkeypatch, "us-east-1", **parameters)
    notes = planned(folder, "--stack", "deployed")["notes"]
    assert any("it is deployed whatever the evaluations show" in note for note in notes)


def test_without_a_stack_it_is_said_what_a_stack_may_add(folder: Path) -> None:
    told = flat(novaloop("plan", str(folder)).stdout)
    assert "leaves out (approval, budget_usd, gate) a stack may have defaults of its own" in told
    assert "No gate is set" in told


FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:my-SageMaker-scorer"


@pytest.mark.parametrize(("named", "accepted"), [("", False), (f"{FUNCTION}2,{FUNCTION}", True)])
def test_a_processor_is_checked_by_the_stacks_own_parameter(
    folder: Path, aws: None, monkeypatch: pytest.MonkeyPatch, named: str, accepted: bool
) -> None:
    deploy(monkeypatch, "us-east-1", ProcessorFunctionArns=named)
    settings = WALKTHROUGH.replace(
        "evaluate: after-rft", f"evaluate: {{name: last, processor: '{FUNCTION}'}}"
    )
    (folder / "experiment.yaml").write_text(settings)
    result = novaloop("plan", str(folder), "--stack", "deployed")
    assert (result.exit_code == 0) is accepted, result.stderr
    assert ("stack's parameter ProcessorFunctionArns" in result.stderr) is not accepted
    unknown = novaloop("plan", str(folder))
    assert unknown.exit_code == 0
    assert "The processor of last is not checked" in " ".join(unknown.stdout.split())


@pytest.mark.parametrize(("named", "accepted"), [("", False), (f"{FUNCTION}2,{FUNCTION}", True)])
def test_a_reward_function_is_checked_by_the_stacks_own_parameter(
    folder: Path, aws: None, monkeypatch: pytest.MonkeyPatch, named: str, accepted: bool
) -> None:
    deploy(monkeypatch, "us-east-1", RewardFunctionArns=named)
    settings = WALKTHROUGH + f"reward: {{function: '{FUNCTION}'}}\n"
    (folder / "experiment.yaml").write_text(settings)
    result = novaloop("plan", str(folder), "--stack", "deployed")
    assert (result.exit_code == 0) is accepted, result.stderr
    assert ("stack's parameter RewardFunctionArns" in result.stderr) is not accepted
    unknown = novaloop("plan", str(folder))
    assert unknown.exit_code == 0
    assert "The function of reward: is not checked" in " ".join(unknown.stdout.split())


def test_rows_that_can_not_earn_the_reward_are_told_with_their_line(folder: Path) -> None:
    (folder / "experiment.yaml").write_text(WALKTHROUGH + "reward: {type: numeric}\n")
    result = novaloop("plan", str(folder))
    assert result.exit_code == 2
    told = "rft.csv line 2 (66 of 66 rows rejected): `Y` can never earn the reward: reference_"
    assert told in " ".join(result.stderr.split()), result.stderr


MIRROR = "111122223333.dkr.ecr.us-east-1.amazonaws.com"
AWS_OWN = "708977205387.dkr.ecr.us-east-1.amazonaws.com/nova-evaluation-repo:x"


def ask_for_image(folder: Path, image: str) -> None:
    settings = WALKTHROUGH.replace(
        "evaluate: after-rft", f"evaluate: {{name: last, image: {image}}}"
    )
    (folder / "experiment.yaml").write_text(settings)


@pytest.mark.parametrize(
    ("named", "accepted"),
    [
        ("", False),
        ("arn:aws:ecr:us-east-1:111122223333:repository/other", False),
        ("arn:aws:ecr:us-east-1:111122223333:repository/mirror/*", True),
    ],
)
def test_an_image_is_checked_by_the_stacks_own_parameter(
    folder: Path, aws: None, monkeypatch: pytest.MonkeyPatch, named: str, accepted: bool
) -> None:
    deploy(monkeypatch, "us-east-1", ImageRepositoryArns=named)
    ask_for_image(folder, f"{MIRROR}/mirror/nova:1")
    result = novaloop("plan", str(folder), "--stack", "deployed")
    assert (result.exit_code == 0) is accepted
    assert ("stack's parameter ImageRepositoryArns" in result.output) is not accepted


@pytest.mark.parametrize(("image", "told"), [(f"{MIRROR}/mirror/nova:1", True), (AWS_OWN, False)])
def test_without_a_stack_an_image_that_is_not_awss_is_told_to_be_unchecked(
    folder: Path, image: str, told: bool
) -> None:
    ask_for_image(folder, image)
    result = novaloop("plan", str(folder))
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert ("The image of last is not AWS's: the stack checks at upload" in text) is told


def test_a_stack_fills_in_the_placeholders(
    folder: Path, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = deploy(monkeypatch, "us-east-1")
    content = planned(folder, "--stack", "deployed")
    request = content["stages"][3]["requests"][0]["parameters"]
    assert request["TrainingJobName"] == "team-walkthrough--0000-rft-1"
    assert request["RoleArn"] == ROLE
    assert request["HyperParameters"]["reward_lambda_arn"] == reward
    assert request["OutputDataConfig"]["S3OutputPath"].startswith("s3://application-bucket/")
    assert len(content["notes"]) == 3


def test_a_region_without_images_is_refused(folder: Path) -> None:
    result = novaloop("plan", str(folder), "--region", "eu-north-1")
    assert result.exit_code == 2
    assert "eu-north-1" in result.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [((), "us-west-2"), (("--region", "us-east-1"), "us-east-1")],
    ids=["of the account", "asked for"],
)
def test_a_stacks_region_is_the_accounts_unless_asked_otherwise(
    folder: Path,
    aws: None,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    boto3.DEFAULT_SESSION = None
    deploy(monkeypatch, expected)
    content = planned(folder, "--stack", "deployed", *options)
    request = content["stages"][0]["requests"][0]["parameters"]
    assert f".{expected}." in request["AlgorithmSpecification"]["TrainingImage"]


def test_a_serverless_plan_has_no_machines_and_no_price(folder: Path) -> None:
    settings = WALKTHROUGH.partition("plan:")[0] + "runtime: serverless\n"
    (folder / "experiment.yaml").write_text(settings)
    result = novaloop("plan", str(folder))
    assert result.exit_code == 0, result.output
    row = next(line for line in result.stdout.splitlines() if "rft-lora" in line)
    assert row.split() == ["rft", "rft-lora", "serverless", "40", "24.0", "?", "?", "?"]
    assert "billed by tokens" in result.stdout
    notes = " ".join(planned(folder)["notes"])
    assert "base model" in notes
    assert "price is not known" in notes


def test_the_checkpoint_of_another_experiment_is_told_as_a_placeholder(folder: Path) -> None:
    settings = WALKTHROUGH.partition("plan:")[0] + "plan: [evaluate: again, deploy]\n"
    (folder / "experiment.yaml").write_text(settings + "checkpoint: first/sft\n")
    content = planned(folder)
    (request,) = content["stages"][0]["requests"]
    started_from = request["parameters"]["HyperParameters"]["base_model_location"]
    assert started_from.startswith("s3://customer-escrow-000000000000-smtj-placeholder/")
    assert "novaloop-first--0000-sft-1" in started_from
    assert content["notes"][2].startswith("The checkpoint of first/sft is a placeholder")


def test_an_experiment_can_not_go_on_from_itself(folder: Path) -> None:
    (folder / "experiment.yaml").write_text(WALKTHROUGH + "checkpoint: first/sft\n")
    result = novaloop("plan", str(folder), "--name", "first")
    assert result.exit_code == 2
    told = " ".join(result.stderr.split())
    assert "checkpoint: first is this very experiment" in told
    assert novaloop("plan", str(folder), "--name", "second").exit_code == 0


def test_a_deployment_without_a_known_price_is_told(folder: Path) -> None:
    settings = WALKTHROUGH.replace("  - deploy\n", "  - deploy: {to: bedrock-on-demand}\n")
    (folder / "experiment.yaml").write_text(settings)
    content = planned(folder)
    assert content["cost"] is None
    assert any("Bedrock's deployments are not known" in note for note in content["notes"])


def test_rows_that_a_split_leaves_out_are_told(folder: Path) -> None:
    for file in folder.glob("*.csv"):
        file.unlink()
    spec, data = folder / "experiment.yaml", folder / "data.csv"

    def told(split: str) -> str | None:
        spec.write_text(f"{WALKTHROUGH}\nsplit: {{{split}}}\n")
        findings = {each["check"]: each["message"] for each in planned(folder)["findings"]}
        return findings.get("split-rows")

    data.write_text(csv_of("sft", 300))
    assert told("sft: 80, rft: 70, eval: 20") == "130 of the rows of data.csv are left out"
    assert told("sft: 160, rft: 100, eval: 40") is None

    data.write_text(csv_of("sft", 100) + csv_of("sft", 100).partition("\n")[2] * 2)
    deviating = told("sft: .503, rft: .299, eval: .198")
    assert deviating is not None
    assert "rows, not 151, since equal questions stay together" in deviating
    assert "left out" not in deviating

    refuse = "checks: {split-rows: refuse}\nsplit: {sft: 80, rft: 70, eval: 20}"
    spec.write_text(f"{WALKTHROUGH}\n{refuse}\n")
    refused = novaloop("plan", str(folder))
    assert refused.exit_code == 2
    assert "130 of the rows of data.csv are left out" in refused.output
