"""One training job, run as its own process: reads S3, learns or evaluates, writes S3.

Started by the SageMaker stand-in with the job as JSON on standard input. Every change of status
goes to standard output as one JSON object per line; exit status 0 means Completed. Data, logs and
rewards are reached with the credentials of the job's execution role, so its policy has to allow
them; only the escrow bucket belongs to the service and is written with the service's own.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from botocore.exceptions import BotoCoreError, ClientError

from localcloud import job_metrics
from localcloud.answers import (
    chat_prompt,
    converse_prompt,
    cut,
    predictions,
    preferences,
    text_of,
)
from localcloud.container import (
    JobError,
    Recipe,
    channel_uri,
    check_consistency,
    has_channel,
    serverless_recipe,
)
from localcloud.credentials import Credentials
from localcloud.learner import (
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
from localcloud.schedules import Schedule
from localcloud.tasks import TASKS, benchmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import boto3

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
_REWARD_BATCH_ROWS = 256
_REWARD_BATCH_BYTES = 2_000_000  # a third of what one synchronous invocation may carry


@dataclass(frozen=True)
class Job:
    """What the stand-in hands to a worker."""

    request: Mapping[str, Any]
    role: Credentials
    service: Credentials
    escrow_bucket: str
    source_uri: str | None = None
    reward_function_arn: str | None = None

    @classmethod
    def parse(cls, text: str) -> Job:
        """Read the JSON that the stand-in writes."""
        document = json.loads(text)
        return cls(
            document["request"],
            Credentials(**document["role"]),
            Credentials(**document["service"]),
            document["escrow_bucket"],
            **document["references"],
        )

    @property
    def is_serverless(self) -> bool:
        """Whether the job runs without machines, image and recipe."""
        return "ServerlessJobConfig" in self.request

    @property
    def name(self) -> str:
        """The training job's name."""
        return str(self.request["TrainingJobName"])

    @property
    def output_prefix(self) -> str:
        """Where the job's archive goes, without a trailing slash."""
        path = self.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        return f"{path}/{self.name}/output"


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class Container:
    """The job's view of the world: input channels, model, reward function, logs, output."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._role = job.role.session()
        self._s3 = self._role.client("s3")
        self._logs = JobLog(self._role, job.name)
        self.recipe = self._recipe()
        self.random = np.random.default_rng(crc32(str(self.recipe.get("run.name")).encode()))

    def _recipe(self) -> Recipe:
        request = self.job.request
        if self.job.is_serverless:
            return serverless_recipe(request, self.job.reward_function_arn)
        recipe = Recipe.parse(self.read("recipe"))
        check_consistency(request, recipe)
        return recipe

    def read(self, channel: str) -> str:
        """The text of a channel's single object."""
        bucket, key = split_uri(channel_uri(self.job.request, channel))
        try:
            body: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise JobError(
                f"ClientError: Data download failed: channel {channel}: {_told(error)}"
            ) from error
        return body.decode("utf-8")

    def rows(self, channel: str = "train") -> list[dict[str, Any]]:
        """A channel's JSON lines."""
        try:
            rows = [json.loads(line) for line in self.read(channel).split("\n") if line.strip()]
        except json.JSONDecodeError as error:
            raise JobError(f"ClientError: line {error.lineno} of {channel} is not JSON") from error
        if not rows:
            raise JobError(f"ClientError: the {channel} channel has no rows")
        return rows

    def validation_rows(self) -> list[dict[str, Any]]:
        """The validation channel's JSON lines, if the request has one."""
        return self.rows("validation") if has_channel(self.job.request, "validation") else []

    def model(self) -> Model:
        """The base model, or the one in the checkpoint or package that the request names."""
        if self.job.source_uri is not None:  # the service's own: no role of the account reads it
            return load_checkpoint(self.job.service.session().client("s3"), self.job.source_uri)
        location = self.job.request["HyperParameters"].get("base_model_location")
        return Model() if location is None else load_checkpoint(self._s3, location)

    def reward(self, samples: Sequence[dict[str, Any]]) -> list[float]:
        """The reward function's score of each sample."""
        place = "training_config.rollout.rewards.api_endpoint"
        concurrency = int(self.recipe.number(f"{place}.lambda_concurrency_limit"))
        function = RewardFunction(self._role, self.recipe.get(f"{place}.lambda_arn"))
        with ThreadPoolExecutor(concurrency) as pool:
            batches = pool.map(function.grade, _in_payloads(samples))
            return [score_of(entry) for batch in batches for entry in batch]

    def graded(self, samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What the reward function of an evaluation says of each sample."""
        function = RewardFunction(self._role, self.recipe.get("rl_env.reward_lambda_arn"))
        return [entry for batch in _in_payloads(samples) for entry in function.grade(batch)]

    def log(self, line: str) -> None:
        """Add a line to the job's CloudWatch log stream."""
        self._logs.add(line)

    def save_checkpoint(self, model: Model, step: int) -> str:
        """Put the weights in the escrow bucket; return the checkpoint's URI."""
        escrow = self.job.service.session().client("s3")
        with tempfile.TemporaryDirectory() as directory:
            model.save(Path(directory))
            for file in Path(directory).iterdir():
                key = f"{self.job.name}/{step}/{file.name}"
                escrow.upload_file(str(file), self.job.escrow_bucket, key)
        uri = f"s3://{self.job.escrow_bucket}/{self.job.name}/{step}"
        _tell(checkpoint=uri)
        return uri

    def write_output(self, files: Mapping[str, str]) -> None:
        """Upload the files: one by one if serverless, else as output.tar.gz."""
        if not self.job.is_serverless:
            self._upload("output.tar.gz", _archive(files))
            return
        for name, text in files.items():
            self._upload(f"output/{name}", text.encode())

    def _upload(self, name: str, body: bytes) -> None:
        bucket, key = split_uri(f"{self.job.output_prefix}/{name}")
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=body)
        except ClientError as error:
            raise JobError(f"ClientError: Artifact upload failed: {_told(error)}") from error

    def close(self) -> None:
        """Send what is left of the log."""
        self._logs.flush()


def _archive(files: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            content = text.encode("utf-8")
            member.size, member.mtime = len(content), int(time.time())
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


FLUSH_SECONDS = 1.0
"""A log is worth reading while its job runs: lines are sent about this soon."""


class JobLog:
    """The stream `<job>/algo-1-<epoch seconds>` of the training jobs' log group."""

    def __init__(self, session: boto3.Session, job_name: str) -> None:
        self._client = session.client("logs")
        self._stream = f"{job_name}/algo-1-{int(time.time())}"
        self._events: list[dict[str, Any]] = []
        self._created = False
        self._flushed = time.monotonic()

    def add(self, line: str) -> None:
        """Buffer a line, and send what has been waiting."""
        self._events.append({"timestamp": int(time.time() * 1000), "message": line})
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send the buffered lines; a role that may not write logs does not fail the job."""
        events, self._events = self._events, []
        self._flushed = time.monotonic()
        if not events:
            return
        try:
            self._create()
            self._client.put_log_events(
                logGroupName=LOG_GROUP, logStreamName=self._stream, logEvents=events
            )
        except ClientError as error:
            sys.stderr.write(f"logs not written: {_told(error)}\n")

    def _create(self) -> None:
        if self._created:
            return
        with suppress(self._client.exceptions.ResourceAlreadyExistsException):
            self._client.create_log_group(logGroupName=LOG_GROUP)
        self._client.create_log_stream(logGroupName=LOG_GROUP, logStreamName=self._stream)
        self._created = True


class RewardFunction:
    """The reward Lambda, called as the training container calls it: a list in, a list out."""

    def __init__(self, session: boto3.Session, arn: str) -> None:
        self._client = session.client("lambda")
        self._arn = arn

    def grade(self, samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One entry per sample, matched by id; raise JobError for any other answer."""
        payload = json.dumps(samples).encode("utf-8")
        try:
            answer = self._client.invoke(FunctionName=self._arn, Payload=payload)
        except ClientError as error:
            raise JobError(f"AlgorithmError: reward function: {_told(error)}") from error
        body = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise JobError(f"AlgorithmError: reward function raised {body.get('errorType')}")
        try:
            entries = {entry["id"]: entry for entry in body}
            found = [entries[sample["id"]] for sample in samples]
        except (KeyError, TypeError) as error:
            raise JobError("AlgorithmError: reward function answered no list of scores") from error
        for entry in found:
            score_of(entry)
        return found


def score_of(entry: Mapping[str, Any]) -> float:
    """The score of a reward function's entry; raise JobError where there is none."""
    try:
        return float(entry["aggregate_reward_score"])
    except (KeyError, TypeError, ValueError) as error:
        raise JobError("AlgorithmError: reward function answered no list of scores") from error


def _in_payloads(samples: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for sample in samples:
        length = len(json.dumps(sample))
        if batch and (len(batch) == _REWARD_BATCH_ROWS or size + length > _REWARD_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(sample)
        size += length
    if batch:
        yield batch


def load_checkpoint(s3: Any, uri: str) -> Model:
    """Read a model from a checkpoint's URI; raise JobError when there is none to read."""
    bucket, prefix = split_uri(uri.rstrip("/"))
    with tempfile.TemporaryDirectory() as directory:
        try:
            for name in ("model.json", "weights.npz"):
                s3.download_file(bucket, f"{prefix}/{name}", str(Path(directory, name)))
        except ClientError as error:
            raise JobError(
                f"ClientError: Model configuration not found at {uri}: {_told(error)}"
            ) from error
        return Model.load(Path(directory))


def _told(error: ClientError) -> str:
    return f"{error.response['Error']['Code']}: {error.response['Error'].get('Message', '')}"


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


_METHODS: dict[str, Callable[[Container], Files]] = {
    "sft": fine_tune,
    "dpo": prefer,
    "rft": reinforce,
    "evaluation": evaluate,
}


def run(job: Job) -> None:
    """Run one job to its end; raise JobError for whatever its owner can mend."""
    _tell(secondary_status="Downloading")
    container = Container(job)
    _tell(secondary_status="Training")
    try:
        files = _METHODS[container.recipe.method](container)
    finally:
        container.close()
    _tell(secondary_status="Uploading")
    container.write_output(files)


def _tell(**news: str) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Read the job from standard input and run it."""
    try:
        run(Job.parse(sys.stdin.read()))
    except JobError as failure:
        _tell(failure=str(failure))
        return 1
    except (KeyError, TypeError, BotoCoreError, ClientError) as error:
        _tell(failure=f"AlgorithmError: {type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
