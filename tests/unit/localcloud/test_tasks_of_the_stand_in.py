"""The stand-in's preference training and its tasks do what the real ones are for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from novaloop.metrics.archive import metrics_by_task
from novaloop.metrics.tasks import estimates
from novaloop_localcloud import methods
from novaloop_localcloud.answers import converse_prompt
from novaloop_localcloud.container import JobError, Recipe, check_consistency
from novaloop_localcloud.learner import Model, hash_prompts, softmax
from novaloop_localcloud.tasks import benchmark, judge, reward_evaluation

DPO = {
    "global_batch_size": 8,
    "trainer": {"max_epochs": 5},
    "model": {"optim": {"lr": 1e-5, "sched": {"warmup_steps": 1}}, "dpo_cfg": {"beta": 0.1}},
}
INFERENCE = {"max_new_tokens": 50, "top_k": -1, "top_p": 1.0, "temperature": 0.0}


class Job:
    name = "job-1"


class FakeContainer:
    job = Job()

    def __init__(
        self,
        recipe: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]] = (),
        validation: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.recipe = Recipe({"run": {"name": "test"}, **recipe})
        self.random = np.random.default_rng(0)
        self.lines: list[str] = []
        self.saved: list[Model] = []
        self._rows, self._validation = list(rows), list(validation)

    def rows(self) -> list[Any]:
        return self._rows

    def validation_rows(self) -> list[Any]:
        return self._validation

    def model(self) -> Model:
        return Model()

    def log(self, line: str) -> None:
        self.lines.append(line)

    def save_checkpoint(self, model: Model, step: int) -> str:
        self.saved.append(model)
        return f"s3://escrow/{step}"

    def graded(self, samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                "id": sample["id"],
                "aggregate_reward_score": 1.0 if number % 2 else -1.0,
                "metrics_list": [{"name": "correct", "value": number % 2, "type": "Metric"}],
            }
            for number, sample in enumerate(samples)
        ]


def preference(number: int) -> dict[str, Any]:
    return {
        "system": [{"text": "Answer with one of: HQ, LQ_EDIT, LQ_CLOSE"}],
        "messages": [
            {"role": "user", "content": [{"text": f"question {number}"}]},
            {
                "role": "assistant",
                "candidates": [
                    {"content": [{"text": "LQ_EDIT"}], "preferenceLabel": "non-preferred"},
                    {"content": [{"text": "HQ"}], "preferenceLabel": "preferred"},
                ],
            },
        ],
    }


def test_preferences_move_the_model_from_the_one_answer_to_the_other() -> None:
    container = FakeContainer({"training_config": DPO}, [preference(n) for n in range(20)])
    files = methods.prefer(container)  # type: ignore[arg-type]
    assert json.loads(files["manifest.json"])["checkpoint_s3_bucket"] == "s3://escrow/15"
    losses = [
        float(line.split("reduced_train_loss: ")[1].split(",")[0]) for line in container.lines
    ]
    assert losses[0] == pytest.approx(np.log(2), abs=1e-6)
    assert losses[-1] < losses[0]

    (trained,) = container.saved
    prompts, fresh = [converse_prompt(preference(3))], Model()
    fresh.read_labels(prompts)
    batch = hash_prompts(prompts)
    share = {m: softmax(model.logits(batch))[0] for m, model in (("new", trained), ("old", fresh))}
    wanted, other = (fresh.answers.index(label) for label in ("HQ", "LQ_EDIT"))
    assert share["new"][wanted] / share["new"][other] > share["old"][wanted] / share["old"][other]


def test_a_supervised_training_tells_the_loss_on_its_validation_rows() -> None:
    row = {
        "messages": [
            {"role": "user", "content": [{"text": "question"}]},
            {"role": "assistant", "content": [{"text": "HQ"}]},
        ]
    }
    config = {
        "global_batch_size": 2,
        "trainer": {"max_epochs": 2},
        "model": {"optim": {"lr": 1e-5, "sched": {"warmup_steps": 1}}},
    }
    container = FakeContainer({"training_config": config}, [row] * 4, [row] * 3)
    methods.fine_tune(container)  # type: ignore[arg-type]
    assert container.lines[-1].startswith("validation rows: 3, val_loss: ")
    assert len(container.lines) == 5  # 4 rows in batches of 2, twice


def test_a_benchmark_is_a_matter_of_chance_to_the_stand_in() -> None:
    recipe = {"evaluation": {"task": "mmlu", "strategy": "zs_cot", "metric": "accuracy"}}
    scores = benchmark(FakeContainer(recipe), Model())  # type: ignore[arg-type]
    assert scores["accuracy"] == pytest.approx(0.25, abs=4 * scores["accuracy_stderr"])
    assert 0 < scores["accuracy_stderr"] < 0.05
    other = {"evaluation": {**recipe["evaluation"], "subtask": "anatomy"}}
    assert benchmark(FakeContainer(other), Model()) != scores  # type: ignore[arg-type]


def test_results_have_the_layout_that_the_application_reads() -> None:
    recipe = {"evaluation": {"task": "mmlu", "strategy": "zs_cot", "metric": "accuracy"}}
    files = methods.evaluate(FakeContainer(recipe))  # type: ignore[arg-type]
    ((path, text),) = files.items()
    assert path.startswith("test/eval_results/results_")
    found = estimates(metrics_by_task(text.encode()))
    assert found["accuracy"].stderr is not None


def test_rft_eval_scores_answers_by_the_reward_function() -> None:
    rows = [
        {"id": f"r{n}", "messages": [{"role": "user", "content": f"q{n}"}], "reference_answer": "a"}
        for n in range(4)
    ]
    container = FakeContainer({"inference": INFERENCE}, rows)
    scores = reward_evaluation(container, Model())  # type: ignore[arg-type]
    assert scores["lambda_reward_score"] == 0
    assert scores["lambda_correct"] == 0.5
    assert scores["lambda_correct_stderr"] == pytest.approx(0.2887, abs=1e-4)


def test_a_judge_prefers_what_its_model_would_rather_say() -> None:
    model = Model()
    model.learn_answers(["good", "bad"])
    model.weights[0, model.answers.index("good")] += 50
    row = {"prompt": "q", "response_A": "bad", "response_B": "good"}
    rows = [row, row, {**row, "response_B": "never heard of", "response_A": "neither of"}]
    scores = judge(FakeContainer({}, rows), model)  # type: ignore[arg-type]
    assert (scores["a_scores"], scores["b_scores"], scores["ties"]) == (0, 2, 1)
    assert scores["winrate"] == scores["upper_rate"] == 1


def test_a_benchmark_must_not_be_given_data() -> None:
    recipe = Recipe({"run": {"data_s3_path": ""}, "evaluation": {"task": "mmlu"}})
    image = "1.dkr.ecr.us-east-1.amazonaws.com/nova-evaluation-repo:SM-TJ-Eval-V2-latest"
    data = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/k"}}
    request = {
        "AlgorithmSpecification": {"TrainingImage": image},
        "ResourceConfig": {"InstanceCount": 1},
        "HyperParameters": {},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": data}],
    }
    with pytest.raises(JobError, match="train channel"):
        check_consistency(request, recipe)
