"""Model customization jobs: checked as Bedrock documents, run by the training jobs' worker."""

from __future__ import annotations

import json
import math
import subprocess
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from novaloop_localcloud import service_acts
from novaloop_localcloud.bedrock.resources import (
    Catalogue,
    CustomModels,
    Resource,
    invalid,
    now,
    require,
    require_assumable,
)
from novaloop_localcloud.container import JobError
from novaloop_localcloud.host import emulator
from novaloop_localcloud.job_io import load_checkpoint, split_uri
from novaloop_localcloud.sagemaker.errors import ServiceError
from novaloop_localcloud.sagemaker.training_jobs import in_background

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from novaloop_localcloud.sagemaker.training_jobs import Setting

_BASE = "amazon.nova-2-lite-v1:0:256k"
_ROWS = {"FINE_TUNING": (200, 20_000), "REINFORCEMENT_FINE_TUNING": (100, 20_000)}
_EVENT = "Model Customization Job State Change"


@dataclass
class Job:
    """What a job in a catalogue needs beside its answer when described."""

    request: Mapping[str, Any]
    resource: Resource
    stop_requested: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[str] | None = None


_SUMMARY = (
    "jobArn",
    "baseModelArn",
    "jobName",
    "status",
    "creationTime",
    "endTime",
    "customModelName",
    "customizationType",
)


class CustomizationJobs:
    """All customization jobs of the emulator's process."""

    def __init__(self, setting: Setting, models: CustomModels) -> None:
        self._setting, self._models = setting, models
        self.catalogue = Catalogue("model-customization-job", "job", "ConflictException")
        self._jobs: dict[str, Job] = {}

    def create(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateModelCustomizationJob."""
        require_assumable(request["roleArn"])
        if request["customizationType"] not in _ROWS:
            raise invalid(f"The stand-in has no {request['customizationType']}.")
        if not request["baseModelIdentifier"].endswith(f"foundation-model/{_BASE}"):
            raise invalid("The stand-in customizes Nova 2 Lite only.")
        if self._models.models.find(request["customModelName"]) is not None:
            raise invalid(f"A model named {request['customModelName']} already exists.")
        resource, is_new = self.catalogue.add(
            request["jobName"], request, f"{_BASE}/", **_described(request)
        )
        resource.described["jobArn"] = resource.arn
        if is_new:
            job = self._jobs[resource.name] = Job(request, resource)
            in_background(lambda: self._run(job))
        return {"jobArn": resource.arn}

    def describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """GetModelCustomizationJob."""
        return self.catalogue.named(request["jobIdentifier"]).described

    def list(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListModelCustomizationJobs, filtered by name and status, in one page."""
        summaries = [
            {key: job.resource.described[key] for key in _SUMMARY if key in job.resource.described}
            for job in self._jobs.values()
            if request.get("nameContains", "") in job.resource.name
            and request.get("statusEquals", job.resource.status) == job.resource.status
        ]
        return {"modelCustomizationJobSummaries": summaries}

    def stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """StopModelCustomizationJob."""
        job = self._jobs[self.catalogue.named(request["jobIdentifier"]).name]
        if job.resource.status != "InProgress":
            raise ServiceError("ConflictException", f"The job is {job.resource.status}.")
        self._move(job, "Stopping")
        job.stop_requested.set()
        if job.process is not None:
            job.process.terminate()
        return {}

    def _run(self, job: Job) -> None:
        fault = None
        if not job.stop_requested.wait(self._setting.starting_seconds):
            fault = self._setting.faults.strike(self.catalogue.kind, job.resource.name)
        try:
            if fault is None and not job.stop_requested.is_set():
                require(job.request["roleArn"], service_acts.of_customization_job(job.request))
                self._register(job, self._work(job))
        except JobError as failure:
            self._end(job, "Failed", str(failure))
            return
        self._end(job, "Failed" if fault else "Completed", fault.told if fault else None)

    def _end(self, job: Job, status: str, reason: str | None) -> None:
        if job.stop_requested.is_set():
            status, reason = "Stopped", None
        told = {"endTime": now()} | ({"failureMessage": reason} if reason else {})
        self._move(job, status, **told)

    def _move(self, job: Job, status: str, **told: Any) -> None:
        described = job.resource.described
        described |= {"status": status, "lastModifiedTime": now(), **told}
        detail = {**described, "version": "0.0", "jobStatus": status}
        emulator.publish(_EVENT, job.resource.arn, detail, source="aws.bedrock")

    def _work(self, job: Job) -> str:
        """Run the worker; return the URI of the checkpoint that it left."""
        role = emulator.role_credentials(job.request["roleArn"], "Bedrock")
        rows = self._rows(job, role.session().client("s3"))
        grader = job.request.get("customizationConfig", {}).get("rftConfig", {})
        function = grader.get("graderConfig", {}).get("lambdaGrader", {}).get("lambdaArn")
        document = {
            "request": _as_serverless(job.request, rows),
            "role": asdict(role),
            "service": asdict(self._setting.service),
            "escrow_bucket": self._setting.escrow_bucket(),
            "references": {"source_uri": None, "reward_function_arn": function},
        }
        told: dict[str, str] = {}
        for news in self._follow(job, json.dumps(document)):
            told |= news
        if "checkpoint" not in told:
            raise JobError(told.get("failure", "The job was interrupted."))
        return told["checkpoint"]

    def _rows(self, job: Job, s3: Any) -> int:
        bucket, key = split_uri(job.request["trainingDataConfig"]["s3Uri"])
        try:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise JobError(f"The training data can't be read: {error}") from error
        rows = sum(1 for line in body.split(b"\n") if line.strip())
        least, most = _ROWS[job.request["customizationType"]]
        if not least <= rows <= most:
            raise JobError(
                f"The training data has {rows} rows; between {least} and {most} are taken."
            )
        return rows

    def _follow(self, job: Job, document: str) -> Iterator[dict[str, str]]:
        job.process = self._setting.start_worker()
        assert job.process.stdin is not None  # noqa: S101 - asked for above
        job.process.stdin.write(document)
        job.process.stdin.close()
        for line in job.process.stdout or ():
            yield json.loads(line)
        job.process.wait()

    def _register(self, job: Job, uri: str) -> None:
        """Make a custom model of what was learned."""
        name = job.request["customModelName"]
        request = {
            "modelTags": job.request.get("customModelTags", []),
            "clientRequestToken": job.resource.arn,
        }
        model, _ = self._models.models.add(
            name,
            request,
            f"{_BASE}/",
            modelName=name,
            customizationType=job.request["customizationType"],
            modelStatus="Active",
            creationTime=now(),
        )
        model.described["modelArn"] = model.arn
        s3 = self._setting.service.session().client("s3")
        model.model = load_checkpoint(s3, uri)
        job.resource.described["outputModelArn"] = model.arn


def _described(request: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("jobName", "roleArn", "customizationType", "trainingDataConfig", "outputDataConfig")
    return {
        **{key: request[key] for key in kept},
        "outputModelName": request["customModelName"],
        "baseModelArn": request["baseModelIdentifier"],
        "hyperParameters": request.get("hyperParameters", {}),
        "validationDataConfig": {"validators": []},
        "status": "InProgress",
        "creationTime": now(),
        "lastModifiedTime": now(),
    }


def _as_serverless(request: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The job in the worker's words: those of a serverless training job."""
    reinforced = request["customizationType"] == "REINFORCEMENT_FINE_TUNING"
    told = request.get("hyperParameters") or request["customizationConfig"]["rftConfig"].get(
        "hyperParameters", {}
    )
    batch_size = int(told.get("batchSize", 128 if reinforced else 1))
    epochs = int(told.get("epochCount", 1 if reinforced else 2))
    data = {"S3Uri": request["trainingDataConfig"]["s3Uri"], "S3DataType": "S3Prefix"}
    return {
        "TrainingJobName": request["jobName"],
        "ServerlessJobConfig": {
            "JobType": "FineTuning",
            "CustomizationTechnique": "RLVR" if reinforced else "SFT",
        },
        "HyperParameters": {
            "name": request["jobName"],
            "max_steps": str(math.ceil(rows / batch_size) * epochs),
            "global_batch_size": str(batch_size),
            "warmup_steps": str(told.get("learningRateWarmupSteps", 10)),
            "learning_rate": str(told.get("learningRate", 1e-5)),
        },
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": data}}],
        "OutputDataConfig": {"S3OutputPath": request["outputDataConfig"]["s3Uri"]},
    }
