"""What the methods of a training job do: learn from examples, pairs or rewards, or evaluate."""

from __future__ import annotations

import csv
import io
import json
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from novaloop_localcloud import job_metrics
from novaloop_localcloud.answers import (
    chat_prompt,
    converse_prompt,
    cut,
    predictions,
    preferences,
    text_of,
)
from novaloop_localcloud.container import (
    JobError,
)
from novaloop_localcloud.job_io import (
    Container,
)
from novaloop_localcloud.learner import (
    MODEL_ID,
    Adagrad,
    Batch,
    Integers,
    Model,
    Prompt,
    draw,
    hash_prompts,
    policy_step,
    preference_step,
    sampling_distribution,
    shuffled_batches,
    supervised_loss,
    supervised_step,
    warmed_up,
)
from novaloop_localcloud.schedules import Schedule
from novaloop_localcloud.tasks import TASKS, benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Files = dict[str, str]


def fine_tune(container: Container) -> Files:
    """Supervised fine-tuning on Converse rows."""
    rows, model = container.rows(), container.model()
    prompts = [converse_prompt(row) for row in rows]
    answers = [text_of(row["messages"][-1]["content"]) for row in rows]
    model.read_labels(prompts)
    model.learn_answers(answers)
    targets = np.array([_index(model, answer) for answer in answers])
    hashed, optimiser = hash_prompts(prompts), Adagrad(model)

    def take(chosen: Integers, rate: float) -> float:
        return supervised_step(model, optimiser, hashed.take(chosen), targets[chosen], rate)

    files = _train(container, model, len(rows), take)
    if validation := container.validation_rows():
        loss = _validation_loss(model, validation)
        container.log(f"validation rows: {len(validation)}, val_loss: {loss:.6f}")
    return files


def _validation_loss(model: Model, rows: Sequence[dict[str, Any]]) -> float:
    answers = [text_of(row["messages"][-1]["content"]) for row in rows]
    model.learn_answers(answers)
    targets = np.array([_index(model, answer) for answer in answers])
    return supervised_loss(model, hash_prompts([converse_prompt(row) for row in rows]), targets)


def prefer(container: Container) -> Files:
    """Direct preference optimization on pairs of answers."""
    rows, model = container.rows(), container.model()
    prompts, pairs = [converse_prompt(row) for row in rows], [preferences(row) for row in rows]
    model.read_labels(prompts)
    model.learn_answers([answer for pair in pairs for answer in pair])
    chosen_answers, others = (
        np.array([_index(model, pair[place]) for pair in pairs]) for place in (0, 1)
    )
    reference, hashed, optimiser = model.copy(), hash_prompts(prompts), Adagrad(model)
    beta = container.recipe.number("training_config.model.dpo_cfg.beta")

    def take(chosen: Integers, rate: float) -> float:
        return preference_step(
            model,
            optimiser,
            reference,
            hashed.take(chosen),
            preferred=chosen_answers[chosen],
            other=others[chosen],
            rate=rate,
            beta=beta,
        )

    return _train(container, model, len(rows), take)


def _train(
    container: Container, model: Model, rows: int, take: Callable[[Integers, float], float]
) -> Files:
    """Take the recipe's steps; `take` takes one on the given rows and returns their loss."""
    schedule, losses = Schedule.of(container.recipe, rows), list[float]()
    size = schedule.batch_size
    batches = shuffled_batches(rows, size, container.random)
    for step, chosen in enumerate(islice(batches, schedule.steps)):
        rate = warmed_up(schedule.rate, step, schedule.warmup)
        losses.append(take(chosen, rate))
        container.log(
            f"Epoch {step * size // rows}: global_step: {step + 1}, "
            f"reduced_train_loss: {losses[-1]:.6f}, lr: {rate:.3e}, "
            f"consumed_samples: {(step + 1) * size}"
        )
    return _training_files(container, model, schedule.steps, _step_table(losses, size, rows))


def _index(model: Model, answer: str) -> int:
    try:
        return model.answers.index(answer)
    except ValueError:
        raise JobError(
            "AlgorithmError: the stand-in model learns at most 256 different answers"
        ) from None


def _step_table(losses: Sequence[float], batch_size: int, rows: int) -> str:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["step_number", "epoch_number", "training_loss"])
    for step, loss in enumerate(losses):
        writer.writerow([step + 1, step * batch_size // rows, f"{loss:.6f}"])
    return table.getvalue()


def reinforce(container: Container) -> Files:
    """Reinforcement fine-tuning: sample rollouts, ask the reward function, step."""
    recipe, rows, model = container.recipe, container.rows(), container.model()
    prompts = [chat_prompt(row["messages"]) for row in rows]
    model.read_labels(prompts)
    reference, optimiser, hashed = model.copy(), Adagrad(model), hash_prompts(prompts)
    steps = int(recipe.number("training_config.trainer.max_steps"))
    batch_size = int(recipe.number("training_config.global_batch_size"))
    batches = shuffled_batches(len(rows), batch_size, container.random)
    longest = recipe.number("training_config.rollout.generator.max_new_tokens")
    rewards_by_step = []
    for step, chosen in enumerate(islice(batches, steps)):
        batch = hashed.take(chosen)
        rollouts, texts = _rollouts(container, model, batch)
        samples = _samples([rows[row] for row in chosen], texts)
        scores = container.reward(samples)
        rewards = np.array(scores, dtype=np.float32).reshape(rollouts.shape)
        measured = policy_step(
            model,
            optimiser,
            reference,
            batch,
            rollouts=rollouts,
            rewards=rewards,
            rate=recipe.number("training_config.trainer.optim_config.lr"),
            kl_coefficient=recipe.number("training_config.trainer.kl_loss_coef"),
            entropy_coefficient=recipe.number("training_config.trainer.ent_coeff"),
        )
        rewards_by_step.append(float(rewards.mean()))
        lengths = np.array([len(text.split(" ")) for group in texts for text in group])
        container.log(
            f"global_step:{step + 1} - critic/score/mean:{rewards.mean():.6f} - "
            f"critic/rewards/mean:{rewards.mean():.6f} - critic/rewards/max:{rewards.max():.6f} - "
            f"critic/rewards/min:{rewards.min():.6f} - actor/pg_loss:{measured.loss:.6f} - "
            f"actor/kl_loss:{measured.kl:.6f} - actor/entropy:{measured.entropy:.6f} - "
            f"response_length/mean:{lengths.mean():.3f} - response_length/max:{lengths.max()} - "
            f"response_length/clip_ratio:{(lengths >= longest).mean():.4f}"
        )
    return _training_files(
        container, model, steps, _step_table(rewards_by_step, batch_size, len(rows))
    )


def _rollouts(container: Container, model: Model, batch: Batch) -> tuple[Integers, list[list[str]]]:
    generator, recipe = "training_config.rollout.generator", container.recipe
    distribution = sampling_distribution(
        model.logits(batch),
        temperature=recipe.number(f"{generator}.temperature"),
        top_k=int(recipe.number(f"{generator}.top_k")),
        top_p=1.0,
    )
    generations = "training_config.rollout.advantage_strategy.number_generation"
    rollouts = draw(distribution, int(recipe.number(generations)), container.random)
    limit = int(recipe.number(f"{generator}.max_new_tokens"))
    return rollouts, [[cut(model.answers[i], limit) for i in group] for group in rollouts]


def _samples(
    rows: Sequence[dict[str, Any]], texts: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """One reward sample per rollout: the row, its id made unique, and the generated turn."""
    return [
        {
            **row,
            "id": f"{row.get('id', number)}#{rollout}",
            "messages": [*row["messages"], {"role": "assistant", "content": text}],
        }
        for number, (row, group) in enumerate(zip(rows, texts, strict=True))
        for rollout, text in enumerate(group)
    ]


def _training_files(container: Container, model: Model, steps: int, table: str) -> Files:
    uri = container.save_checkpoint(model, steps)
    manifest = {"checkpoint_s3_bucket": uri, "model": MODEL_ID}
    return {"manifest.json": json.dumps(manifest), "step_wise_training_metrics.csv": table}


def evaluate(container: Container) -> Files:
    """Run the recipe's evaluation task."""
    task = container.recipe.get("evaluation.task")
    return answer_rows(container) if task == "gen_qa" else _run_task(container, task)


def _run_task(container: Container, task: str) -> Files:
    name, strategy = (container.recipe.get(path) for path in ("run.name", "evaluation.strategy"))
    container.log(f"[{name}] Inferencing server has started.")
    container.log(f"[{name}] Starting evaluation with task {task}")
    scores = TASKS.get(task, benchmark)(container, container.model())
    container.log(f"[{name}] Finished evaluation, closing the inference server")
    # AWS's sample of rft_eval shows no `all`.
    overall = {} if task == "rft_eval" else {"all": scores}
    return _results_file(container, {f"custom|{task}_{strategy}|0": scores, **overall})


def _results_file(container: Container, results: Mapping[str, Any]) -> Files:
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())
    content = {
        "config_general": {"model_name": MODEL_ID, "job_id": container.job.name},
        "results": results,
    }
    path = f"{container.recipe.get('run.name')}/eval_results/results_{stamp}.json"
    return {path: json.dumps(content, indent=2)}


def answer_rows(container: Container) -> Files:
    """Generate an answer for every row and score it."""
    rows, model, name = container.rows(), container.model(), container.recipe.get("run.name")
    prompts = [Prompt(row.get("system") or "", row["query"]) for row in rows]
    model.read_labels(prompts)
    container.log(f"[{name}] Inferencing server has started.")
    container.log(f"[{name}] Starting evaluation with task gen_qa")
    answers = predictions(container.recipe, model, prompts, container.random)
    scores = job_metrics.evaluate(answers, [row["response"] for row in rows])
    container.log(f"[{name}] Finished evaluation, closing the inference server")
    lines = [_inference(*each) for each in zip(rows, prompts, answers, strict=True)]
    return {
        **_results_file(container, {"custom|gen_qa_gen_qa|0": scores, "all": scores}),
        f"{name}/eval_results/inference_output.jsonl": "".join(line + "\n" for line in lines),
    }


def _inference(row: Mapping[str, Any], prompt: Prompt, prediction: str) -> str:
    turns = [{"role": "system", "content": prompt.system}] if prompt.system else []
    turns.append({"role": "user", "content": prompt.text})
    line = {
        "prompt": str(turns),
        "inference": [prediction],
        "gold": row["response"],
        "metadata": row.get("metadata", ""),
    }
    return json.dumps(line, ensure_ascii=False)
