"""Outputs of every runtime's layout are found under the job's prefix, in a bucket like S3's."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import urllib3
from botocore.response import StreamingBody
from moto import mock_aws

from novaloop.cloud.objects import Bucket
from novaloop.metrics.archive import ArchiveError, checkpoint_of
from novaloop.metrics.score import score_output
from novaloop.usecases.outputs import find_output
from novaloop.usecases.ports import ObjectMissing, Upload

if TYPE_CHECKING:
    from collections.abc import Iterator

JOB = "jobs/demo/novaloop-demo--sft-1/"
URI = "s3://customer-escrow-123456789012-smtj-x/job/step_100"
MANIFEST = json.dumps({"checkpoint_s3_bucket": URI}).encode()
STRAY = json.dumps({"checkpoint_s3_bucket": "s3://elsewhere/step_1"}).encode()
ANSWERS = b"".join(
    json.dumps({"prompt": f"q{n}", "inference": ["HQ"], "gold": gold}).encode() + b"\n"
    for n, gold in enumerate(["HQ", "HQ", "HQ", "LQ"])
)
RESULTS = b'{"results": {"all": {"em": 0.75}}}'


def tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="application-bucket")
        yield Bucket(s3, "application-bucket")


def put(bucket: Bucket, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        bucket.put(JOB + name, content, "application/octet-stream")
    bucket.put("jobs/demo/novaloop-demo--sft-10/manifest.json", STRAY, "application/json")


TRAINING_LAYOUTS = {
    "training job": {
        "recipe.yaml": b"run: {}",
        "output/output.tar.gz": tar({"manifest.json": MANIFEST}),
    },
    "serverless": {
        "output/output/manifest.json": MANIFEST,
        "output/output/run/step_wise_training_metrics.csv": b"step,loss\n",
    },
    "HyperPod": {"manifest.json": MANIFEST, "tensorboard_results/events": b"\0"},
}
EVALUATION_LAYOUTS = {
    "training job": {
        "output/output.tar.gz": tar(
            {
                "run/eval_results/inference_output.jsonl": ANSWERS,
                "run/eval_results/results_1.json": RESULTS,
            }
        )
    },
    "serverless": {
        "output/output/run/eval_results/inference_output.jsonl": ANSWERS,
        "output/output/run/eval_results/results_1.json": RESULTS,
        "output/output/run/eval_results/details/model/x.parquet": b"\0" * 10_000,
    },
    "HyperPod": {
        "eval-result/inference_output.jsonl": ANSWERS,
        "eval-result/results_1.json": RESULTS,
    },
}


@pytest.mark.parametrize("layout", TRAINING_LAYOUTS)
def test_the_checkpoint_is_found_in_every_layout(bucket: Bucket, layout: str) -> None:
    put(bucket, TRAINING_LAYOUTS[layout])
    assert checkpoint_of(find_output(bucket, JOB)) == URI


@pytest.mark.parametrize("layout", EVALUATION_LAYOUTS)
def test_answers_and_reported_metrics_are_found_in_every_layout(
    bucket: Bucket, layout: str
) -> None:
    put(bucket, EVALUATION_LAYOUTS[layout])
    score, _ = score_output(find_output(bucket, JOB))
    assert (score.n, score.metrics["em"].value) == (4, 0.75)
    assert score.reported is not None
    assert score.reported.values == {"em": 0.75}


def test_a_stray_manifest_does_not_hide_the_archive(bucket: Bucket) -> None:
    put(bucket, {**TRAINING_LAYOUTS["training job"], "manifest.json": STRAY})
    assert checkpoint_of(find_output(bucket, JOB)) == URI


def test_loose_manifests_that_disagree_are_refused(bucket: Bucket) -> None:
    put(bucket, {"output/a/manifest.json": MANIFEST, "output/b/manifest.json": STRAY})
    with pytest.raises(ArchiveError, match="disagree"):
        checkpoint_of(find_output(bucket, JOB))


def test_several_archives_are_refused(bucket: Bucket) -> None:
    archive = tar({"manifest.json": MANIFEST})
    put(bucket, {"output/output.tar.gz": archive, "old/output.tar.gz": archive})
    with pytest.raises(ArchiveError, match="several"):
        checkpoint_of(find_output(bucket, JOB))


def test_a_job_that_left_nothing_is_told_from_one_that_left_the_wrong_thing(
    bucket: Bucket,
) -> None:
    put(bucket, {"recipe.yaml": b"run: {}"})
    with pytest.raises(ObjectMissing, match="left no output"):
        checkpoint_of(find_output(bucket, JOB))
    put(bucket, {"output/output/run/eval_results/results_1.json": RESULTS})
    with pytest.raises(ArchiveError, match="holds no manifest"):
        checkpoint_of(find_output(bucket, JOB))


class CountingBody(io.RawIOBase):
    """A body that can't seek and counts the reads of it."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)
        self.reads = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.reads += 1
        return self._content.readinto(buffer)


def test_long_files_are_not_read_byte_by_byte(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, {"eval-result/inference_output.jsonl": b""})
    body = CountingBody(ANSWERS * 500)
    monkeypatch.setattr(bucket, "get", lambda _: body)
    assert sum(1 for member in find_output(bucket, JOB) for _ in member.lines()) == 2000
    assert body.reads < 100


class Connection:
    """A socket from which one answer of S3 can be read."""

    def __init__(self, body: bytes) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._answer)


class OverHttp:
    """A bucket whose bodies come as botocore hands them out."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def uploads(self, prefix: str, after: str = "") -> Iterator[tuple[str, Upload]]:
        yield f"{prefix}output/output/run/{NAME}", Upload("", NOW, len(self.body))

    def get(self, _: str) -> Any:
        answer = HTTPResponse(Connection(self.body))  # type: ignore[arg-type]
        answer.begin()
        return StreamingBody(urllib3.HTTPResponse(answer, preload_content=False), len(self.body))


NAME = "eval_results/inference_output.jsonl"
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_lines_of_a_body_that_ends_before_they_are_read() -> None:
    """Its connection closes with the last byte, while lines of it still wait to be read."""
    for member in find_output(OverHttp(ANSWERS), JOB):  # type: ignore[arg-type]
        assert b"".join(member.lines()) == ANSWERS
