"""Training jobs: their states, their supervisor threads and their events."""

from __future__ import annotations

import contextvars
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from novaloop_localcloud import service_acts
from novaloop_localcloud.host import emulator
from novaloop_localcloud.sagemaker.errors import ServiceError, invalid
from novaloop_localcloud.sagemaker.serverless import (
    References,
    is_serverless,
    require_runtime,
    resolved,
    trains,
)

if TYPE_CHECKING:
    from novaloop_localcloud.credentials import Credentials
    from novaloop_localcloud.sagemaker.faults import Faults
    from novaloop_localcloud.sagemaker.registry import Registry

_SOURCES = Path(__file__).resolve().parents[2]

_STATUS_OF_SECONDARY = {
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopping": "Stopping",
    "Stopped": "Stopped",
    "MaxRuntimeExceeded": "Stopped",
}
_ENDED = {"Completed", "Failed", "Stopped"}
_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job stopped: it ran longer than MaxRuntimeInSeconds",
}


@dataclass(frozen=True)
class Setting:
    """What jobs need to know of the process that runs them."""

    faults: Faults
    logs: Path
    service: Credentials
    starting_seconds: float
    escrow_bucket: Callable[[], str]
    registry: Registry

    def start_worker(self) -> subprocess.Popen[str]:
        """Start the process that a job is; it reads the job from its standard input."""
        with (self.logs / "training-jobs.log").open("a", encoding="utf-8") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "novaloop_localcloud.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=_SOURCES,
            )


@dataclass
class TrainingJob:
    """One training job; its lock guards every change of state."""

    request: dict[str, Any]
    arn: str
    created: float
    references: References
    model_package_arn: str | None = None
    secondary_status: str = "Starting"
    transitions: list[dict[str, Any]] = field(default_factory=list)
    started: float | None = None
    ended: float | None = None
    failure: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    stop_requested: threading.Event = field(default_factory=threading.Event)
    overran: bool = False
    process: subprocess.Popen[str] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.request["TrainingJobName"])

    @property
    def status(self) -> str:
        """TrainingJobStatus."""
        return _STATUS_OF_SECONDARY.get(self.secondary_status, "InProgress")

    def move_to(self, secondary_status: str) -> None:
        """Enter a secondary status now and close the one before."""
        now = time.time()
        with self.lock:
            if self.transitions:
                self.transitions[-1]["EndTime"] = now
            entry = {"Status": secondary_status, "StartTime": now}
            self.transitions.append({**entry, "StatusMessage": _MESSAGES[secondary_status]})
            self.secondary_status = secondary_status
            if secondary_status == "Downloading":
                self.started = now
            if self.status in _ENDED:
                self.ended = now
                self.transitions[-1]["EndTime"] = now

    def described(self) -> dict[str, Any]:
        """The answer to DescribeTrainingJob; times are epoch seconds."""
        with self.lock:
            answer = {key: value for key, value in self.request.items() if key != "Tags"}
            answer |= {
                "TrainingJobArn": self.arn,
                "TrainingJobStatus": self.status,
                "SecondaryStatus": self.secondary_status,
                "SecondaryStatusTransitions": [dict(entry) for entry in self.transitions],
                "CreationTime": self.created,
                "LastModifiedTime": self.transitions[-1]["StartTime"],
            }
            answer |= self._times()
            if self.failure is not None:
                answer["FailureReason"] = self.failure
            if self.model_package_arn is not None:
                answer["OutputModelPackageArn"] = self.model_package_arn
            if self.status == "Completed" and not is_serverless(self.request):
                output = self.request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
                artifact = f"{output}/{self.name}/output/model.tar.gz"
                answer["ModelArtifacts"] = {"S3ModelArtifacts": artifact}
            return answer

    def _times(self) -> dict[str, Any]:
        times: dict[str, Any] = {}
        if self.started is not None:
            times["TrainingStartTime"] = self.started
        if self.ended is not None:
            seconds = math.ceil(self.ended - self.started) if self.started is not None else 0
            times["TrainingEndTime"] = self.ended
            times["TrainingTimeInSeconds"] = times["BillableTimeInSeconds"] = seconds
        return times

    def event_detail(self) -> dict[str, Any]:
        """The detail of a state-change event: as described, times in milliseconds as strings."""
        described = in_milliseconds(self.described())
        for absent in ("TrainingTimeInSeconds", "BillableTimeInSeconds", "TensorBoardOutputConfig"):
            described.pop(absent, None)
        return {**described, "Tags": dict(self.tags)}


def in_milliseconds(value: Any) -> Any:
    """Replace every epoch time in a described resource by the form that events carry."""
    if isinstance(value, Mapping):
        return {
            key: str(int(item * 1000))
            if key.endswith("Time") and isinstance(item, float)
            else in_milliseconds(item)
            for key, item in value.items()
        }
    return [in_milliseconds(item) for item in value] if isinstance(value, list) else value


class TrainingJobs:
    """All training jobs of the emulator's process."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._jobs: dict[str, TrainingJob] = {}

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """CreateTrainingJob."""
        name = request["TrainingJobName"]
        arn = arn_of("training-job", name)
        if name in self._jobs:
            raise ServiceError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a "
                f"training job with this name already exists ({arn})",
            )
        require_runtime(request)
        references = resolved(request, self._setting.registry)
        require_assumable(request["RoleArn"])
        job = TrainingJob(request, arn, time.time(), references, tags=tags_of(request))
        self._jobs[name] = job
        job.move_to("Starting")
        in_background(lambda: _Supervisor(job, self._setting).run())
        return {"TrainingJobArn": arn}

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """DescribeTrainingJob."""
        return self.named(request["TrainingJobName"]).described()

    def stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """StopTrainingJob."""
        job = self.named(request["TrainingJobName"])
        with job.lock:
            if job.status in _ENDED:
                raise invalid(
                    f"The request was rejected because the training job is in status {job.status}."
                )
            job.stop_requested.set()
            if job.process is not None:
                job.process.terminate()
        return {}

    def list(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListTrainingJobs, newest first, filtered by name and status, in one page."""
        wanted = [
            job
            for job in sorted(self._jobs.values(), key=lambda job: -job.created)
            if request.get("NameContains", "") in job.name
            and request.get("StatusEquals", job.status) == job.status
        ]
        return {"TrainingJobSummaries": [_summary(job.described()) for job in wanted]}

    def tagged(self) -> Iterator[tuple[str, dict[str, str]]]:
        """ARN and tags of every job."""
        return iter([(job.arn, job.tags) for job in self._jobs.values()])

    def named(self, name: str) -> TrainingJob:
        """The job of this name; raise as AWS does when there is none."""
        try:
            return self._jobs[name]
        except KeyError:
            raise self.missing() from None

    def missing(self) -> ServiceError:
        """The error for a job that is not there."""
        return invalid("Requested resource not found.")


def _summary(described: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "SecondaryStatus")
    times = ("CreationTime", "TrainingEndTime", "LastModifiedTime")
    return {key: described[key] for key in (*keys, *times) if key in described}


class _Supervisor:
    """Runs one job's worker process and turns what it says into states and events."""

    def __init__(self, job: TrainingJob, setting: Setting) -> None:
        self._job = job
        self._setting = setting

    def run(self) -> None:
        """Take the job from Starting to its end."""
        self._emit()
        stopped = self._job.stop_requested.wait(self._setting.starting_seconds)
        fault = self._setting.faults.strike("training-job", self._job.name)
        if stopped or (fault is not None and fault.outcome == "Stopped"):
            self._stop()
        elif fault is not None:
            self._move("Downloading", "Training")
            self._fail(fault.told)
        elif denied := self._denial():
            self._fail(denied)
        else:
            self._work()

    def _denial(self) -> str | None:
        """Which act of SageMaker's the job's role does not allow, if there is one."""
        request = self._job.request
        acts = service_acts.of_training_job(request, here())
        return service_acts.problem(request["RoleArn"], acts, emulator.denial_of_role)

    def _work(self) -> None:
        process = self._start_worker()
        stopping = self._job.request.get("StoppingCondition", {})
        limit = stopping.get("MaxRuntimeInSeconds", 86400)
        overrun = threading.Timer(limit, self._overrun)
        overrun.daemon = True
        overrun.start()
        news = self._follow(process)
        overrun.cancel()
        self._end(process.wait(), news)

    def _start_worker(self) -> subprocess.Popen[str]:
        job, process = self._job, self._setting.start_worker()
        with job.lock:
            job.process = process
            if job.stop_requested.is_set():
                process.terminate()
        self._hand_over(process)
        return process

    def _hand_over(self, process: subprocess.Popen[str]) -> None:
        role = emulator.role_credentials(self._job.request["RoleArn"], "SageMaker")
        document = {
            "request": self._job.request,
            "role": asdict(role),
            "service": asdict(self._setting.service),
            "escrow_bucket": self._setting.escrow_bucket(),
            "references": asdict(self._job.references),
        }
        if process.stdin is not None:
            try:
                process.stdin.write(json.dumps(document))
                process.stdin.close()
            except BrokenPipeError:  # it was stopped before it read its job
                return

    def _follow(self, process: subprocess.Popen[str]) -> dict[str, str]:
        """Move as the worker says; return the last of everything that it told."""
        told: dict[str, str] = {}
        for line in process.stdout or ():
            news = json.loads(line)
            told |= news
            if "secondary_status" in news and not self._job.stop_requested.is_set():
                self._move(news["secondary_status"])
        return told

    def _overrun(self) -> None:
        self._job.overran = True
        if self._job.process is not None:
            self._job.process.terminate()

    def _end(self, exit_status: int, told: Mapping[str, str]) -> None:
        if self._job.stop_requested.is_set():
            self._stop()
        elif self._job.overran:
            self._move("MaxRuntimeExceeded")
        elif exit_status == 0:
            self._register(told.get("checkpoint"))
            self._move("Completed")
        else:
            died = "InternalServerError: the stand-in's worker died; see its log."
            self._fail(told.get("failure", died))

    def _register(self, checkpoint: str | None) -> None:
        request = self._job.request
        if checkpoint is not None and is_serverless(request) and trains(request):
            group = request["ModelPackageConfig"]["ModelPackageGroupArn"]
            self._job.model_package_arn = self._setting.registry.add_package(group, checkpoint)

    def _stop(self) -> None:
        self._move("Stopping", "Stopped")

    def _fail(self, reason: str) -> None:
        self._job.failure = reason[:1024]
        self._move("Failed")

    def _move(self, *secondary_statuses: str) -> None:
        for status in secondary_statuses:
            self._job.move_to(status)
            self._emit()

    def _emit(self) -> None:
        job = self._job
        detail = job.event_detail()
        emit(self._setting.faults, "SageMaker Training Job State Change", job.name, job.arn, detail)


def emit(faults: Faults, detail_type: str, name: str, arn: str, detail: Mapping[str, Any]) -> None:
    """Publish a state change, unless a planned fault loses or doubles it."""
    fault = faults.strike("event", name)
    times = {"lost": 0, "duplicated": 2}.get(fault.outcome, 1) if fault is not None else 1
    for _ in range(times):
        emulator.publish(detail_type, arn, detail)


def in_background(work: Callable[[], None]) -> None:
    """Run in a daemon thread that keeps the current request's account and region."""
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), daemon=True).start()


def arn_of(kind: str, name: str) -> str:
    """The ARN of a SageMaker resource of the current account and region."""
    return f"arn:aws:sagemaker:{emulator.region()}:{emulator.account_id()}:{kind}/{name.lower()}"


def here() -> service_acts.Place:
    """The account and the region of the current request."""
    return service_acts.Place(emulator.region(), emulator.account_id())


def tags_of(request: Mapping[str, Any]) -> dict[str, str]:
    """A request's tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}


def require_assumable(role_arn: str) -> None:
    """Raise as AWS does unless SageMaker may assume the role."""
    if not emulator.role_trusts(role_arn, "sagemaker.amazonaws.com"):
        raise invalid(
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows "
            "principal 'sagemaker.amazonaws.com' to assume the role."
        )
