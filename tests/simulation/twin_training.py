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

from novaloop.cloud.failures import judged
from novaloop.experiment.launching import PlannedRequest
from novaloop.experiment.observation import Phase, Work
from novaloop.experiment.record import Progress
from novaloop.training.lines import LogLine
from novaloop.usecases.ports import LaunchRefused, LogPage
from tests.simulation.twin_service import LOSSES, Fate, Later, Scheduled
from tests.simulation.twins import TwinObjects, VirtualClock


@dataclass
class SimulatedJob:
    """One training job: how it stands and what becomes of it."""

    request: Mapping[str, Any]
    ending: str
    created_at: datetime
    phase: Phase = Phase.ACTIVE
    ended_at: datetime | None = None
    reason: str | None = None
    stop_asked: bool = False


REFUSALS = {"quota": True, "throttled": True, "invalid": False}
ENDINGS = {
    "completes": (Phase.READY, None),
    "no manifest": (Phase.READY, None),
    "bad archive": (Phase.READY, None),
    "fails": (Phase.FAILED, "AlgorithmError: it did not converge"),
    "stopped outside": (Phase.STOPPED, None),
    **{fate: (Phase.FAILED, reason) for fate, reason in LOSSES.items()},
}
TRAINING = timedelta(minutes=40)


class TwinJobs(Scheduled):
    """Training jobs: unique names, endings by fate, archives like the real ones."""

    def __init__(
        self,
        clock: VirtualClock,
        objects: TwinObjects,
        fate: Fate,
        later: Later,
        on_change: Callable[[str], None],
    ) -> None:
        super().__init__(clock, fate, later, on_change)
        self.jobs: dict[str, SimulatedJob] = {}
        self.existing: set[str] = set()
        self.packages: dict[str, str] = {}
        self.refused: dict[str, int] = {}
        self.limit = 1_000
        self.asked: list[str] = []
        self._objects = objects

    def describe(self, name: str, owner: str | None) -> Work:
        job = self.jobs.get(name)
        if job is None:
            return Work()
        tags = {tag["Key"]: tag["Value"] for tag in job.request.get("Tags", [])}
        work = Work(
            phase=job.phase,
            ours=owner is None or tags.get("novaloop:experiment") == owner,
            arn=f"arn:job/{name}",
            progress=Progress("Training" if job.phase is Phase.ACTIVE else str(job.phase)),
            reason=job.reason,
            started_at=job.created_at,
            ended_at=job.ended_at,
            billable_seconds=0 if job.ending in LOSSES else 60,
            model_arn=self.packages.get(name),
        )
        return judged(work)

    def create(self, request: PlannedRequest) -> None:
        match request.operation, request.parameters:
            case "CreateTrainingJob", parameters:
                self._create_job(parameters)
            case "CreateModelPackageGroup", {"ModelPackageGroupName": name}:
                self.existing.add(f"{_OWN}:model-package-group/{name}")
            case "CreateHub", {"HubName": name}:
                self.existing.add(f"{_OWN}:hub/{name}")
            case "ImportHubContent", {"HubName": hub, "HubContentName": name}:
                assert f"{_OWN}:hub/{hub}" in self.existing
                self.existing.add(f"{_OWN}:hub-content/{hub}/JsonDoc/{name}/0.0.1")
            case other:
                raise AssertionError(f"no such request: {other}")

    def _create_job(self, request: Mapping[str, Any]) -> None:
        name = request["TrainingJobName"]
        if name in self.jobs:
            return
        missing = set(_references(request)) - {*self.existing, *self.packages.values()}
        assert not missing, f"{name} was launched before {missing}"
        fate = self._fate(name)
        if fate in REFUSALS and (fate == "invalid" or self.refused.get(name, 0) < 2):
            self.refused[name] = self.refused.get(name, 0) + 1
            quota = fate == "quota"
            raise LaunchRefused(f"{fate}: not now", for_now=REFUSALS[fate], quota=quota)
        self.asked.append(name)
        if len(self.running) >= self.limit:
            raise LaunchRefused("the quota is used up", for_now=True, quota=True)
        assert self.claimed(name), f"{name} was launched without a record that claims it"
        self.launches.append(name)
        ending = "completes" if fate in REFUSALS else fate
        self.jobs[name] = SimulatedJob(request, ending, self._clock.now())
        if ending != "hangs":
            self._later(TRAINING, partial(self._end, name))
        self._on_change(name)

    def _end(self, name: str) -> None:
        job = self.jobs[name]
        if job.ended_at is not None:
            return
        stopped = (Phase.STOPPED, None)
        ending = ENDINGS.get(job.ending, ENDINGS["completes"])
        job.phase, job.reason = stopped if job.stop_asked else ending
        job.ended_at = self._clock.now()
        if job.phase is Phase.READY and "ServerlessJobConfig" in job.request:
            self._write_loose_files(name, job)
        elif job.phase is Phase.READY:
            self._write_archive(name, job)
        self._on_change(name)

    def stop(self, name: str) -> None:
        job = self.jobs.get(name)
        if job is None or job.ended_at is not None or job.stop_asked:
            return
        job.stop_asked = True
        job.phase = Phase.ENDING
        self._later(timedelta(minutes=3), partial(self._end, name))

    def _write_archive(self, name: str, job: SimulatedJob) -> None:
        output = job.request["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://bucket/")
        files = {} if job.ending == "no manifest" else self._files(name, job.request)
        body = b"not an archive" if job.ending == "bad archive" else _tar(files)
        self._objects.put(f"{output}/{name}/output/output.tar.gz", body, "application/gzip")

    def _write_loose_files(self, name: str, job: SimulatedJob) -> None:
        output = job.request["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://bucket/")
        if job.ending == "no manifest":
            return
        for path, body in self._files(name, job.request).items():
            told = b"no JSON" if job.ending == "bad archive" else body
            self._objects.put(f"{output}/{name}/output/output/{path}", told, "text/plain")
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
        rows = self._objects.get(data.removeprefix("s3://bucket/")).read().splitlines()
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
    reward = -0.5 if course == "collapses" and step > 12 else 0.6
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
