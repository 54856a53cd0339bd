"""experiment.yaml asks for every method and task that the recipes have; the rest is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from novaloop.experiment.costs.prices import packaged_prices
from novaloop.experiment.planning import ExperimentPlan, plan_experiment
from novaloop.experiment.record import DatasetRef, Record
from novaloop.experiment.runtimes.registry import check_functions, check_image, steps_of
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.inputs import roles, row_formats, split_roles
from novaloop.experiment.spec.stages import EvaluateStage, SftStage, Task
from novaloop.experiment.stack import StackConfig
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.recipes.catalog import families
from novaloop.recipes.jobs import Deployment
from tests.unit.recipes.wire import assert_valid

REWARD = "arn:aws:lambda:us-east-1:123456789012:function:nova-SageMaker-reward"
SCORER = "arn:aws:lambda:us-east-1:123456789012:function:nova-SageMaker-scorer"
ESCROW = "s3://customer-escrow-123456789012-smtj-abc/earlier/40"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/earlier/3"
JUDGE = "arn:aws:lambda:us-east-1:123456789012:function:my-SageMaker-judge"
FAR_JUDGE = JUDGE.replace("us-east-1", "us-west-2")
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/my/nova:v1"
MIRROR = "arn:aws:ecr:us-east-1:123456789012:repository/my/*"
ROLE = "arn:aws:iam::123456789012:role/N"
SITE = StackConfig(
    "bucket",
    Deployment(
        "us-east-1",
        ROLE,
        REWARD,
        image_repositories=(MIRROR,),
        processor_functions=(SCORER,),
        reward_functions=(JUDGE, FAR_JUDGE),
    ),
)
ROWS = 130

# One experiment.yaml per method and task, and what its last job reads as `train`.
EXAMPLES = {
    "sft-lora": ("plan: [sft]", "sft/sft.jsonl"),
    "sft-full": ("plan: [{sft: {peft: full}}]", "sft/sft.jsonl"),
    "dpo-lora": ("model: nova-lite\nplan: [dpo]", "dpo/dpo.jsonl"),
    "dpo-full": ("model: nova-lite\nplan: [sft: {peft: full}, dpo: {peft: full}]", "dpo/dpo.jsonl"),
    "rft-lora": ("plan: [rft: {include_sft_rows: false}]", "rft/rft.jsonl"),
    "rft-full": ("plan: [{rft: {peft: full, include_sft_rows: false}}]", "rft/rft.jsonl"),
    "gen_qa": ("plan: [evaluate: baseline]", "eval/gen_qa.jsonl"),
    "rft_eval": ("plan: [evaluate: {name: rewards, task: rft_eval}]", "eval/rft.jsonl"),
    "llm_judge": (
        "model: nova-pro\nplan: [evaluate: {name: judged, task: llm_judge}]",
        "llm-judge/llm_judge.jsonl",
    ),
    "rubric_llm_judge": (
        "plan: [evaluate: {name: judged, task: rubric_llm_judge}]",
        "llm-judge/llm_judge.jsonl",
    ),
    **{
        task: (f"plan: [evaluate: {{name: known, task: {task}}}]", None)
        for task in ("mmlu", "mmlu_pro", "bbh", "gpqa", "math", "strong_reject", "ifeval", "mmmu")
    },
}


def record(text: str) -> Record:
    spec = read_spec(text.encode())
    datasets = {
        role: DatasetRef(
            "1",
            "sha",
            ROWS,
            {each: f"datasets/{role}/{each.file_name}" for each in row_formats(spec, role)},
        )
        for role in roles(spec)
    }
    return Record("demo", spec, created_at=datetime(2026, 5, 1, tzinfo=UTC), datasets=datasets)


def planned(text: str) -> ExperimentPlan:
    return plan_experiment(record(text), SITE, packaged_prices())


def request(text: str) -> dict[str, Any]:
    return dict(planned(text).stages[-1].requests[0].parameters)


def channels(asked: dict[str, Any]) -> dict[str, tuple[str, str]]:
    sources = {c["ChannelName"]: c["DataSource"]["S3DataSource"] for c in asked["InputDataConfig"]}
    return {name: (s["S3Uri"], s["S3DataType"]) for name, s in sources.items() if name != "recipe"}


def test_there_is_an_example_of_everything_the_recipes_have() -> None:
    methods = {method for family in families().values() for method in family.methods}
    assert set(EXAMPLES) == methods
    assert {str(task) for task in Task} == {m for m in methods if "-" not in m}


@pytest.mark.parametrize("method", EXAMPLES)
def test_every_method_and_task_is_planned(method: str) -> None:
    text, data = EXAMPLES[method]
    stage = planned(text).stages[-1]
    asked = request(text)
    assert stage.method == method
    assert stage.cost is not None
    assert_valid("sagemaker", "CreateTrainingJob", asked)
    read = channels(asked)
    assert set(read) == ({"train"} if data else set())
    if data:
        assert read["train"][0] == f"s3://bucket/datasets/{data}"


def test_validation_rows_travel_in_the_format_of_the_training() -> None:
    text = "plan: [{sft: {validation: true, overrides: {max_steps: 20, val_check_interval: 5}}}]"
    assert roles(read_spec(text.encode())) == ("sft", "validation")
    assert channels(request(text))["validation"] == (
        "s3://bucket/datasets/validation/sft.jsonl",
        "Converse",
    )
    pairs = "model: nova-lite\nplan: [{dpo: {validation: true}}]"
    uri, _ = channels(request(pairs))["validation"]
    assert uri == "s3://bucket/datasets/validation/dpo.jsonl"


def test_subtask_processor_and_image_reach_the_job() -> None:
    anatomy = planned("plan: [evaluate: {name: a, task: mmlu, subtask: anatomy}]")
    assert "subtask: anatomy" in str(anatomy.stages[0].uploads[-1].text)
    scored = request(f"plan: [evaluate: {{name: a, processor: '{SCORER}'}}]")
    assert scored["HyperParameters"]["eval_lambda_arn"] == SCORER
    own = request(f"plan: [{{sft: {{image: '{IMAGE}'}}}}]")
    assert own["AlgorithmSpecification"]["TrainingImage"] == IMAGE


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        (None, True),
        (IMAGE, True),
        (IMAGE.replace("my/", "mine/"), False),
        (IMAGE.replace("us-east-1", "us-west-2"), False),
        (IMAGE.replace("123456789012", "999999999999"), False),
        ("708977205387.dkr.ecr.us-east-1.amazonaws.com/nova-fine-tune-repo:SM-TJ-SFT-V2", True),
        ("708977205387.dkr.ecr.us-east-1.amazonaws.com/other:v1", False),
        ("708977205387.dkr.ecr.us-west-2.amazonaws.com/nova-fine-tune-repo:v1", False),
    ],
)
def test_only_images_of_repositories_that_the_stack_names_run(
    image: str | None, allowed: bool
) -> None:
    stage = SftStage(image=image)
    problems = list(check_image(stage, SITE, "plan[0].sft"))
    assert bool(problems) is not allowed
    for problem in map(str, problems):
        assert "is from a repository that the stack does not name; leave it out" in problem
        assert "stack's parameter ImageRepositoryArns" in problem
        with pytest.raises(Invalid, match=r"^image: "):
            planned(f"plan: [{{sft: {{image: '{image}'}}}}]")


@pytest.mark.parametrize(
    ("function", "allowed"),
    [(None, True), (SCORER, True), (REWARD, True), (SCORER.replace("scorer", "other"), False)],
)
@pytest.mark.parametrize("runtime", ["training-job", "serverless"])
def test_only_functions_that_the_stack_names_process(
    runtime: str, function: str | None, allowed: bool
) -> None:
    """Others the jobs' role may not call, which would show after the job has been paid for."""
    stage = EvaluateStage(name="a", processor=function)
    problems = list(check_functions(ExperimentSpec(plan=(stage,)), SITE))
    assert bool(problems) is not allowed
    for problem in map(str, problems):
        assert "stack's parameter ProcessorFunctionArns" in problem
        text = f"runtime: {runtime}\nplan: [evaluate: {{name: a, processor: '{function}'}}]"
        with pytest.raises(Invalid, match=r"^plan\[0\]\.evaluate\.processor: "):
            planned(text)


SCORED = {
    "training-job": "plan: [rft, evaluate: {name: a, task: rft_eval}]",
    "serverless": "runtime: serverless\nplan: [rft]",
    "bedrock": "runtime: bedrock\nplan: [rft]",
}


@pytest.mark.parametrize("runtime", SCORED)
def test_a_reward_function_of_ones_own_takes_the_place_of_the_stacks(runtime: str) -> None:
    text = f"{SCORED[runtime]}\nreward: {{function: '{JUDGE}'}}\n"
    told = json.dumps(planned(text).to_dict())
    assert JUDGE in told
    assert REWARD not in told
    assert REWARD in json.dumps(planned(SCORED[runtime]).to_dict())


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (JUDGE, ""),
        (REWARD, ""),
        (SCORER, "the stack's jobs may not call; leave it out, or have it added to the stack's p"),
        (JUDGE.replace("123456789012", "999999999999"), "may not call"),
        (FAR_JUDGE, "can't be called from us-east-1, where the jobs run; deploy it there too"),
    ],
)
@pytest.mark.parametrize("runtime", SCORED)
def test_only_functions_that_the_stack_names_score(runtime: str, function: str, says: str) -> None:
    text = f"{SCORED[runtime]}\nreward: {{function: '{function}'}}\n"
    if not says:
        assert planned(text)
        return
    with pytest.raises(Invalid, match=r"^reward\.function: ") as refused:
        planned(text)
    assert says in str(refused.value)
    assert ("RewardFunctionArns" in str(refused.value)) is ("may not call" in says)


def test_mlflow_settings_are_overrides_of_the_recipe() -> None:
    for kind in ("sft", "rft"):
        text = (
            f"plan: [{{{kind}: {{overrides: {{mlflow_tracking_uri: arn, mlflow_run_name: r}}}}}}]"
        )
        recipe = str(planned(text).stages[0].uploads[-1].text)
        assert "mlflow_tracking_uri: arn" in recipe
        assert "mlflow_run_name: r" in recipe


@pytest.mark.parametrize("checkpoint", [ESCROW, PACKAGE])
def test_an_earlier_checkpoint_takes_the_base_models_place(checkpoint: str) -> None:
    stages = planned(f"checkpoint: {checkpoint}\nplan: [evaluate: base, sft, evaluate: after]")
    first, _, last = ([*stage.requests][-1].parameters for stage in stages.stages)
    named = first.get("ModelPackageConfig", {}).get("SourceModelPackageArn")
    assert first["HyperParameters"].get("base_model_location", named) == checkpoint
    assert "base_model" not in first["HyperParameters"]
    assert last["HyperParameters"]["base_model_location"] != checkpoint


def test_an_earlier_checkpoint_can_be_deployed_as_it_is() -> None:
    (stage,) = planned(f"checkpoint: {ESCROW}\nplan: [deploy]").stages
    assert ESCROW in str(stage.requests[0].parameters)


def test_another_experiments_checkpoint_is_a_placeholder_in_a_plan() -> None:
    first, _ = planned("checkpoint: other/sft\nplan: [rft, deploy]").stages
    location = first.requests[-1].parameters["HyperParameters"]["base_model_location"]
    assert location.startswith("s3://customer-escrow-000000000000-smtj-placeholder/")
    assert "novaloop-other--0000-sft-1" in location


def test_epochs_are_counted_in_steps() -> None:
    found = record("model: nova-lite\nplan: [{dpo: {overrides: {global_batch_size: 64}}}]")
    assert steps_of(found, found.spec.plan[0]) == 2 * 3  # type: ignore[arg-type]
    assert found.spec.plan[0].method == "dpo-lora"  # type: ignore[arg-type]


def test_a_split_gives_what_it_names_and_leaves_the_rest_to_files() -> None:
    spec = read_spec(
        b"model: nova-lite\nsplit: {sft: 70, eval: 20, rft: 0, validation: 10}\n"
        b"plan: [{sft: {validation: true}}, dpo, evaluate: e, "
        b"evaluate: {name: j, task: llm_judge}]"
    )
    assert roles(spec) == ("sft", "dpo", "eval", "validation", "llm-judge")
    assert split_roles(spec) == ("sft", "eval", "validation")


def test_the_rows_of_one_file_are_made_in_every_format_that_is_read() -> None:
    spec = read_spec(b"plan: [evaluate: e, evaluate: {name: r, task: rft_eval}, sft, rft]")
    assert row_formats(spec, "eval") == ("evaluation", "rft")
    assert row_formats(spec, "sft") == ("sft", "rft")
    assert row_formats(spec, "dpo") == ("dpo",)


MMLU = "{name: m, task: mmlu}"
REFUSED = {
    "plan: [dpo]": "plan[0].dpo: nova-lite-2 has no 'dpo-lora'",
    "plan: [evaluate: {name: j, task: llm_judge}]": "nova-lite-2 has no 'llm_judge'",
    "plan: [evaluate: {name: m, task: mmul}]": "plan[0].evaluate.task",
    "plan: [evaluate: {name: m, task: mmlu, subtask: nope}]": "plan[0].evaluate.subtask: mmlu has",
    "plan: [evaluate: {name: m, task: gpqa, subtask: nope}]": "gpqa has no subtasks",
    f"plan: [evaluate: {{name: m, task: mmlu, processor: '{SCORER}'}}]": "takes no processor",
    "plan: [evaluate: {name: m, processor: scorer}]": "plan[0].evaluate.processor",
    "plan: [{sft: {image: nova}}]": "plan[0].sft.image: 'nova' must be <account>.dkr.ecr.",
    "plan: [{rft: {validation: true}}]": "plan[0].rft.validation: is not a known setting",
    "plan: [{sft: {validation: true}}]": "val_check_interval is 2500, more than max_steps (10)",
    "model: nova-lite\nplan: [{sft: {peft: full}}, dpo]": "plan[1].dpo: peft must stay full",
    "checkpoint: earlier": "checkpoint: 'earlier' must be s3://bucket/key, a model package's ARN",
    f"runtime: serverless\ncheckpoint: {ESCROW}": "takes no escrow URI",
    "checkpoint: s3://customer-escrow-123456789012-hp-abc/x": "trained on HyperPod",
    f"runtime: serverless\nplan: [evaluate: {MMLU}]": "plan[0].evaluate.task",
    f"runtime: serverless\nplan: [{{sft: {{image: '{IMAGE}'}}}}]": "plan[0].sft.image",
    f"plan: [evaluate: e, evaluate: {MMLU}]\ngate: {{at_least: 0.5}}": "gate.metric: exact_match",
    f"plan: [evaluate: e, evaluate: {MMLU}]\ngate: {{metric: accuracy, better_than: e}}": (
        "gate.better_than: m runs mmlu, but e ran gen_qa"
    ),
    f"plan: [evaluate: {MMLU}]\ngate: {{metric: accuracy, max_truncated: 0.1}}": "leaves no rows",
    "plan: [evaluate: e]\ngate: {metric: accurracy}": "gate.metric: accurracy is none of",
    "plan: [evaluate: e]\ngate: {evaluation: f}": "gate.evaluation: no evaluation is called f",
    "model: nova-pro\nplan: [evaluate: {name: a, task: llm_judge}, "
    "evaluate: {name: b, task: llm_judge}]\ngate: {metric: winrate, better_than: a}": (
        "judges the answers in the dataset"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_can_not_be_is_refused_at_its_field(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_spec(text.encode())
    assert REFUSED[text] in str(refused.value)


def test_a_misspelled_task_is_told_once_and_with_the_right_one() -> None:
    text = b"plan: [evaluate: {name: m, task: mmluu, subtask: anatomy}]\napproval: manul"
    with pytest.raises(Invalid) as refused:
        read_spec(text)
    task, approval = map(str, refused.value.problems)
    assert task.startswith("plan[0].evaluate.task: must be one of gen_qa, ")
    assert task.endswith("did you mean mmlu?")
    assert approval == "approval: must be one of auto, manual; did you mean manual?"


@pytest.mark.parametrize(
    "gate",
    [
        "{metric: accuracy, at_least: 0.5, better_than: m}",
        "{evaluation: e, metric: exact_match, at_least: 0.5}",
        "{evaluation: m, metric: accuracy}",
    ],
)
def test_a_gate_judges_the_evaluation_that_it_names_or_the_last(gate: str) -> None:
    plan = f"[evaluate: e, evaluate: {MMLU}, sft, evaluate: {{name: n, task: mmlu}}]"
    assert read_spec(f"plan: {plan}\ngate: {gate}".encode()).gate is not None
