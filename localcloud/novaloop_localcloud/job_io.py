"""What a training job reads and writes: S3, its log, its reward function, the escrow bucket."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from botocore.exceptions import ClientError

from novaloop_localcloud.container import (
    JobError,
    Recipe,
    channel_uri,
    check_consistency,
    has_channel,
    serverless_recipe,
)
from novaloop_localcloud.credentials import Credentials
from novaloop_localcloud.learner import (
    Model,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
        tell(checkpoint=uri)
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
        kms_key = self.job.request["OutputDataConfig"].get("KmsKeyId")
        under = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=body, **under)
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


def tell(**news: str) -> None:
    """Tell the stand-in what changed, as one JSON object in a line of standard output."""
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()
