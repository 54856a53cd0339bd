"""A strict twin of training jobs and of what they log, under a virtual clock."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from novaloop.cloud.jobs import TrainingJobs
from novaloop.training.lines import LogLine
from novaloop.usecases.ports import LogPage
from tests.simulation.twin_service import LOSSES, TwinService, refusal
from tests.simulation.twins import TwinObjects, VirtualClock


@dataclass
class SimulatedJob:
    """One training job: how it stands and what becomes of it."""

    request: Mapping[str, Any]
    ending: str
    created_at: datetime
    status: str = "InProgress"
    ended_at: datetime | None = None
    reason: str | None = None
    stop_asked: bool = False

    @property
    def tags(self) -> Mapping[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.request.get("Tags", [])}


REFUSALS = {
    "quota": "ResourceLimitExceeded",
    "throttled": "ThrottlingException",
    "invalid": "ValidationException",
}
# What SageMaker says of a failed container is what that wrote, which may quote a row:
# https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-output.html
ENDINGS = {
    "completes": ("Completed", None),
    "no manifest": ("Completed", None),
    "bad archive": ("Completed", None),
    "fails": (
        "Failed",
        "AlgorithmError: ValueError: row 17: {'question': 'ZCANARYZ, a row'}, exit code: 1",
    ),
    "stopped outside": ("Stopped", None),
    **{fate: ("Failed", reason) for fate, reason in LOSSES.items()},
}
TRAINING = timedelta(minutes=40)
HANGING = timedelta(days=3)
"""What hangs outlives its longest run time, a day and an hour; but nothing runs for ever."""


class TwinJobs(TwinService):
    """Training jobs: unique names, endings by fate, archives like the real ones.

    The production adapter runs over it unmodified.
    """

    missing = "ValidationException"

    def __init__(self, objects: TwinObjects, *service: Any) -> None:
        super().__init__(*service)
        self.jobs: dict[str, SimulatedJob] = {}
        self.existing: set[str] = set()
        self.groups: dict[str, SimulatedJob] = {}
        self.packages: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        self.limit = 1_000
        self.wanted: list[str] = []
        self.buckets = {"bucket": objects}

    def adapter(self, port: Callable[[object, str], Any]) -> TrainingJobs:
        """Return the production adapter over this twin, every call through `port`."""
        return TrainingJobs(port(self, "jobs"))

    def _kinds(self) -> Mapping[str, dict[str, Any]]:
        return {"training-job": self.jobs, "model-package-group": self.groups}

    def _missing_message(self, kind: str, name: str) -> str:
        """Say it as SageMaker does of a job (boto/boto3#2808): without its name."""
        return "Requested resource not found."

    def describe_training_job(self, TrainingJobName: str) -> dict[str, Any]:  # noqa: N803
        job = self._looked_up("training-job", TrainingJobName)
        phase = {"InProgress": "Training"}.get(job.status, job.status)
        told: dict[str, Any] = {
            "TrainingJobArn": f"{_OWN}:training-job/{TrainingJobName}",
            "TrainingJobStatus": job.status,
            "SecondaryStatus": phase,
            "TrainingStartTime": job.created_at,
        }
        if job.ended_at is not None:
            lost = job.status == "Failed" and job.ending in {"no capacity", "service fault"}
            told |= {"TrainingEndTime": job.ended_at, "BillableTimeInSeconds": 0 if lost else 60}
        if job.reason is not None:
            told["FailureReason"] = job.reason
        if TrainingJobName in self.packages:
            told["OutputModelPackageArn"] = self.packages[TrainingJobName]
        return told

    def indexed(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        """Yield the ARNs and tags of the jobs that the index of tags names: also what is over."""
        for name, job in self.jobs.items():
            if not self.is_left_out("training-job", name):
                yield f"{_OWN}:training-job/{name}", job.tags

    def list_training_jobs(self, **request: Any) -> Iterator[dict[str, Any]]:
        """Answer, a job on each page."""
        for name, job in self.jobs.items():
            if job.status == request["StatusEquals"] and request["NameContains"] in name:
                told = {"TrainingJobName": name, "TrainingJobArn": f"{_OWN}:training-job/{name}"}
                yield {"TrainingJobSummaries": [told]}

    def list_tags(self, ResourceArn: str) -> dict[str, Any]:  # noqa: N803
        kind, name = ResourceArn.removeprefix(f"{_OWN}:").split("/")
        tags = self._shown_tags(kind, name)
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    # ------------------------------------------------------------------ what serverless jobs need
    def create_model_package_group(self, **request: Any) -> dict[str, str]:
        name, arn = request["ModelPackageGroupName"], f"{_OWN}:model-package-group/"
        if name in self.groups:
            raise refusal("ValidationException", "Model Package Group already exists")
        self.groups[name] = SimulatedJob(request, "", self._clock.now())
        self.existing.add(arn + name)
        self._tag("model-package-group", name)
        return {"ModelPackageGroupArn": arn + name}

    def describe_model_package_group(self, ModelPackageGroupName: str) -> dict[str, Any]:  # noqa: N803
        self._looked_up("model-package-group", ModelPackageGroupName)
        return {"ModelPackageGroupArn": f"{_OWN}:model-package-group/{ModelPackageGroupName}"}

    def create_hub(self, **request: Any) -> None:
        self._exist(f"{_OWN}:hub/{request['HubName']}")

    def describe_hub(self, HubName: str) -> dict[str, Any]:  # noqa: N803
        assert f"{_OWN}:hub/{HubName}" in self.existing
        return {"HubName": HubName, "HubStatus": "InService"}

    def import_hub_content(self, **request: Any) -> None:
        hub, name = request["HubName"], request["HubContentName"]
        assert f"{_OWN}:hub/{hub}" in self.existing
        self._exist(f"{_OWN}:hub-content/{hub}/JsonDoc/{name}/0.0.1")

    def describe_hub_content(self, **request: Any) -> dict[str, Any]:
        hub, kind, name = (request[f"Hub{word}"] for word in ("Name", "ContentType", "ContentName"))
        owner = "aws" if hub == "SageMakerPublicHub" else "123456789012"
        arn = f"arn:aws:sagemaker:us-east-1:{owner}:hub-content/{hub}/{kind}/{name}/0.0.1"
        return {"HubContentArn": arn, "HubContentStatus": "Available"}

    def _exist(self, arn: str) -> None:
        if arn in self.existing:
            raise refusal("ResourceInUse", "it exists")
        self.existing.add(arn)

    # ------------------------------------------------------------------ jobs
    def create_training_job(self, **request: Any) -> dict[str, str]:
        name = request["TrainingJobName"]
        if name in self.jobs:
            raise refusal("ResourceInUse", "Training job names must be unique")
        missing = set(_references(request)) - {*self.existing, *self.packages.values()}
        assert not missing, f"{name} was launched before {missing}"
        fate = self._fate(name)
        if fate in REFUSALS and (fate == "invalid" or self.refused.get(name, 0) < 2):
            self.refused[name] = self.refused.get(name, 0) + 1
            self._count("training-job", fate)
            raise refusal(REFUSALS[fate], f"{fate}: not now")
        self.wanted.append(name)
        if len(self.running) >= self.limit:
            self._count("training-job", "queue for a quota")
            raise refusal(REFUSALS["quota"], "the quota is used up")
        assert self.claimed(name), f"{name} was launched without a record that claims it"
        self.launches.append(name)
        ending = "completes" if fate in REFUSALS else fate
        if ending == "hangs":
            self._count("training-job", ending)
        self.jobs[name] = SimulatedJob(request, ending, self._clock.now())
        self._tag("training-job", name)
        self._later(HANGING if ending == "hangs" else TRAINING, partial(self._end, name))
        self._on_change(name)
        return {"TrainingJobArn": f"{_OWN}:training-job/{name}"}

    def _end(self, name: str) -> None:
        job = self.jobs[name]
        if job.ended_at is not None:
            return
        self._before_change("training-job", name)
        stopped = ("Stopped", None)
        ending = ENDINGS.get(job.ending, ENDINGS["completes"])
        job.status, job.reason = stopped if job.stop_asked else ending
        if job.ending != "completes" and not job.stop_asked:
            self._count("training-job", job.ending)
        job.ended_at = self._clock.now()
        if job.status == "Completed" and "ServerlessJobConfig" in job.request:
            self._write_loose_files(name, job)
        elif job.status == "Completed":
            self._write_archive(name, job)
        self._on_change(name)

    def stop_training_job(self, TrainingJobName: str) -> None:  # noqa: N803
        job = self._permitted("training-job", TrainingJobName)
        if job.status != "InProgress":
            raise refusal("ValidationException", f"The request was rejected: it is {job.status}.")
        self._before_change("training-job", TrainingJobName)
        job.stop_asked = True
        job.status = "Stopping"
        self._later(timedelta(minutes=3), partial(self._end, TrainingJobName))

    def _write_archive(self, name: str, job: SimulatedJob) -> None:
        objects, output = self._located(job.request["OutputDataConfig"]["S3OutputPath"])
        files = {} if job.ending == "no manifest" else self._files(name, job.request)
        body = b"not an archive" if job.ending == "bad archive" else _tar(files)
        objects.put(f"{output}/{name}/output/output.tar.gz", body, "application/gzip")

    def _located(self, uri: str) -> tuple[TwinObjects, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.buckets[bucket], key

    def _write_loose_files(self, name: str, job: SimulatedJob) -> None:
        objects, output = self._located(job.request["OutputDataConfig"]["S3OutputPath"])
        if job.ending == "no manifest":
            return
        for path, body in self._files(name, job.request).items():
            told = b"no JSON" if job.ending == "bad archive" else body
            objects.put(f"{output}/{name}/output/output/{path}", told, "text/plain")
        if _trains(job.request):
            group = job.request["ModelPackageConfig"]["ModelPackageGroupArn"]
            version = len(self.packages) + 1
            self.packages[name] = f"{group.replace('-group/', '/')}/{version}"

    def _files(self, name: str, request: Mapping[str, Any]) -> dict[str, bytes]:
        if _trains(request):
            manifest = {"checkpoint_s3_bucket": f"s3://customer-escrow-1-smtj-x/{name}/step_9"}
            return {"manifest.json": json.dumps(manifest).encode()}
        data = request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
        if not data.endswith("gen_qa.jsonl"):  # a benchmark's only channel is the recipe
            reported = {"results": {"all": {"accuracy": 0.6, "accuracy_stderr": 0.05}}}
            return {f"{name}/eval_results/results_1.json": json.dumps(reported).encode()}
        objects, key = self._located(data)
        rows = objects.get(key).read().splitlines()
        trained = (
            "base_model_location" in request["HyperParameters"] or "ModelPackageConfig" in request
        )
        lines = b"".join(_inference(json.loads(row), trained) for row in rows)
        return {f"{name}/eval_results/inference_output.jsonl": lines}

    @property
    def running(self) -> list[str]:
        return [name for name, job in self.jobs.items() if job.ended_at is None]


_OWN = "arn:aws:sagemaker:us-east-1:123456789012"


def _references(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield what must exist before a job that refers to it."""
    yield from request.get("ModelPackageConfig", {}).values()
    evaluator = request.get("ServerlessJobConfig", {}).get("EvaluatorArn")
    if evaluator:
        yield evaluator


def _trains(request: Mapping[str, Any]) -> bool:
    if "ServerlessJobConfig" in request:
        return bool(request["ServerlessJobConfig"]["JobType"] == "FineTuning")
    return "nova-evaluation-repo" not in request["AlgorithmSpecification"]["TrainingImage"]


Course = Callable[[str], str]
"""How the training of the job of this name goes: healthy, collapses, stalls or silent."""
LINES_PER_LOOK = 25


@dataclass
class TwinLogs:
    """What training jobs log: a step a minute, from their first; a look reads a few lines."""

    jobs: TwinJobs
    clock: VirtualClock
    course: Course
    reads: int = 0

    def read(self, job_name: str, after: str | None) -> LogPage:
        self.reads += 1
        if job_name not in self.jobs.jobs:  # its log outlives it, with nothing new
            return LogPage((), after)
        job, begin = self.jobs.jobs[job_name], int(after or 0)
        begun, end = job.created_at, job.ended_at or self.clock.now()
        course = self.course(job_name)
        steps = {"silent": 0, "stalls": 9}.get(course, (end - begun) // timedelta(minutes=1))
        last = min(steps, begin + LINES_PER_LOOK, (end - begun) // timedelta(minutes=1))
        lines = tuple(
            LogLine(begun + timedelta(minutes=step), _logged(course, step))
            for step in range(begin + 1, last + 1)
        )
        return LogPage(lines, str(max(last, begin)))


def _logged(course: str, step: int) -> str:
    reward = (-0.5 if course == "collapses" and step > 12 else 0.6) + step % 2 / 10_000
    return f"step:{step} - critic/rewards/mean:{reward} - actor/entropy:0.4 - actor/ppo_kl:0.01"


def _inference(row: Mapping[str, str], trained: bool) -> bytes:
    answer = row["response"] if trained or len(row["query"]) % 5 == 0 else "It depends."
    prompt = {"prompt": row["query"], "inference": [answer], "gold": row["response"]}
    return json.dumps({**prompt, "metadata": {}}).encode() + b"\n"


def _tar(files: Mapping[str, bytes]) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return body.getvalue()
