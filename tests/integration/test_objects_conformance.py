"""The bucket and its in-memory twin keep the same promises."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from novaloop.cloud.objects import PART_BYTES, Bucket
from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.usecases.ports import ObjectMissing
from tests.simulation.twins import TwinObjects, VirtualClock

if TYPE_CHECKING:
    Objects = Bucket | TwinObjects

KEY, TEXT = "inbox/questions/sft.csv", "text/csv"
BLOCK_BYTES = PART_BYTES // 8


@pytest.fixture
def real(bucket: str) -> Bucket:
    return Bucket(boto3.client("s3"), bucket)


@pytest.fixture(params=["bucket", "twin"])
def objects(request: pytest.FixtureRequest) -> Objects:
    if request.param == "twin":
        return TwinObjects(VirtualClock())
    real: Bucket = request.getfixturevalue("real")
    return real


def read(objects: Objects, key: str = KEY, version_id: str | None = None) -> bytes:
    with objects.get(key, version_id) as body:
        return body.read()


def crash_after(objects: Objects, block: bytes) -> None:
    with objects.writer(KEY, TEXT) as write:
        write(block)
        raise RuntimeError


def test_what_is_missing_is_said_to_be_missing(objects: Objects) -> None:
    assert objects.newest(KEY) is None
    with pytest.raises(ObjectMissing, match=KEY):
        objects.get(KEY)


def test_a_version_stays_readable_when_it_is_replaced(objects: Objects) -> None:
    objects.put(KEY, b"first", TEXT)
    first = objects.newest(KEY)
    objects.put(KEY, b"second, longer", TEXT)
    second = objects.newest(KEY)
    assert first is not None
    assert second is not None
    assert (first.size, second.size) == (5, 14)
    assert first.version_id != second.version_id
    assert read(objects, version_id=first.version_id) == b"first"
    assert read(objects, version_id=second.version_id) == b"second, longer"
    assert read(objects) == b"second, longer"


def test_a_span_is_read_alone(objects: Objects) -> None:
    objects.put(KEY, b"0123456789", TEXT)
    first = objects.newest(KEY)
    assert first is not None
    objects.put(KEY, b"newer", TEXT)
    with objects.get(KEY, first.version_id, ByteRange(2, 5)) as body:
        assert body.read() == b"234"


def test_uploads_are_the_newest_objects_under_the_prefix(objects: Objects) -> None:
    for key in ("inbox/b/x", "inbox/a/x", "datasets/a", "inbox/a/x"):
        objects.put(key, b"12", TEXT)
    assert [(key, upload.size) for key, upload in objects.uploads("inbox/")] == [
        ("inbox/a/x", 2),
        ("inbox/b/x", 2),
    ]


ODD = (
    "inbox/\t/x",
    "inbox/a-b/x",
    "inbox/a/x",
    "inbox/a/\u00e4",
    "inbox/a/\uff5e",
    "inbox/a/\U0001f600",
)
"""In the order of their UTF-8 bytes, as S3 lists: that of Python's strings, but not of UTF-16."""


def test_uploads_go_on_after_any_key(objects: Objects) -> None:
    for key in reversed(ODD):
        objects.put(key, b"12", TEXT)
    for number, key in enumerate(ODD):
        assert [key for key, _ in objects.uploads("inbox/", after=key)] == [*ODD[number + 1 :]]
    assert [key for key, _ in objects.uploads("inbox/", after="inbox/a/gone")] == [*ODD[2:]]
    assert not list(objects.uploads("inbox/", after="inboy/"))


def test_a_listing_and_a_look_tell_the_same_time() -> None:
    """Some stores list parts of seconds; HeadObject has an HTTP date, of whole ones."""
    client: Any = boto3.client("s3", region_name="us-east-1")
    bucket, at = Bucket(client, "bucket"), datetime(2026, 5, 4, 12, 0, 7, 321_000, tzinfo=UTC)
    whole = at.replace(microsecond=0)
    with Stubber(client) as s3:
        listed = {"Contents": [{"Key": KEY, "LastModified": at, "Size": 3}], "IsTruncated": False}
        s3.add_response("list_objects_v2", listed)
        s3.add_response("head_object", {"LastModified": whole, "ContentLength": 3})
        ((_, upload),) = bucket.uploads("inbox/")
        newest = bucket.newest(KEY)
    assert newest is not None
    assert upload.uploaded_at == newest.uploaded_at == whole


def test_a_listing_is_asked_for_page_by_page(real: Bucket, bucket: str) -> None:
    client: Any = boto3.client("s3")
    asked: list[dict[str, Any]] = []

    def ask_for_ten(params: dict[str, Any], **_: Any) -> None:
        asked.append(params)
        params["MaxKeys"] = 10

    client.meta.events.register("before-parameter-build.s3.ListObjectsV2", ask_for_ten)
    for number in range(11):
        real.put(f"inbox/x/{number:02}", b"", TEXT)
    uploads = Bucket(client, bucket).uploads("inbox/")
    assert [next(uploads)[0] for _ in range(10)][-1] == "inbox/x/09"
    assert len(asked) == 1
    assert len(list(uploads)) == 1
    assert len(asked) == 2


@pytest.mark.parametrize("blocks", [[], [b""], [b"one line\n"], [b"a", b"b" * 1000, b"\r\nc"]])
def test_a_writer_writes_what_it_is_given(objects: Objects, blocks: list[bytes]) -> None:
    with objects.writer(KEY, TEXT) as write:
        for block in blocks:
            write(block)
    assert read(objects) == b"".join(blocks)


def test_a_writer_that_fails_leaves_nothing(objects: Objects) -> None:
    with pytest.raises(RuntimeError):
        crash_after(objects, b"x" * (PART_BYTES + 1))
    assert objects.newest(KEY) is None


def test_concatenate_keeps_the_order(objects: Objects) -> None:
    objects.put("a", b"1\n", TEXT)
    objects.put("b", b"2\n", TEXT)
    objects.concatenate(["b", "a"], "joined")
    assert read(objects, "joined") == b"2\n1\n"


def test_large_parts_are_joined_without_being_read(real: Bucket, bucket: str) -> None:
    parts = [letter * (5 << 20) for letter in (b"a", b"b", b"c")]
    for number, part in enumerate(parts):
        real.put(f"part-{number}", part, TEXT)
    real.concatenate(["part-2", "part-0", "part-1"], "joined")
    assert read(real, "joined") == parts[2] + parts[0] + parts[1]
    head = boto3.client("s3").head_object(Bucket=bucket, Key="joined")
    assert head["ETag"].endswith('-3"')
    assert head["ContentType"] == "application/jsonl"


@dataclass
class Calls:
    """What a client asked for, and how many bytes it read."""

    names: Counter[str] = field(default_factory=Counter)
    read: float = 0

    def of(self, client: Any) -> Any:
        client.meta.events.register("before-parameter-build.s3", self._count)
        return client

    def _count(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.names[model.name] += 1
        if model.name == "GetObject":
            start, end = params.get("Range", "bytes=0-inf").removeprefix("bytes=").split("-")
            self.read += float(end) - float(start) + 1


def test_a_small_object_and_a_huge_one_are_joined_without_reading_the_huge_one(
    real: Bucket, bucket: str
) -> None:
    huge = bytes(range(256)) * (40 << 12)
    real.put("small", b"1\n", TEXT)
    with real.writer("huge", TEXT) as write:
        write(huge)
    for keys in (["small", "huge"], ["huge", "small"], ["small", "huge", "small"]):
        calls = Calls()
        joining = Bucket(calls.of(boto3.client("s3")), bucket, largest_part=16 << 20)
        joining.concatenate(keys, "joined")
        assert read(real, "joined") == b"".join(huge if key == "huge" else b"1\n" for key in keys)
        assert calls.read <= (5 << 20) + 4
        assert calls.names["UploadPartCopy"] == 3
        assert calls.names.total() <= 14


SMALL, LARGE = 256, 700
EDGES = (0, 1, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, LARGE, LARGE + 1, 2 * LARGE + 1)
ALONE, BETWEEN = ((n,) for n in EDGES), ((SMALL - 1, n, 1) for n in EDGES)


@pytest.mark.parametrize("sizes", [*ALONE, *product(EDGES, repeat=2), *BETWEEN], ids=str)
def test_joined_objects_are_exact_whatever_their_sizes(
    bucket: str, sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With parts of 256 bytes where S3's have 5 MiB, so that every edge is met."""
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", SMALL)
    client: Any = boto3.client("s3")
    lengths = {f"{number} ä": size for number, size in enumerate(sizes)}

    def check(params: dict[str, Any], **_: Any) -> None:
        # S3 copies a range only out of what is larger than the smallest part, says UploadPartCopy.
        if "CopySourceRange" in params:
            assert lengths[params["CopySource"]["Key"]] > SMALL

    client.meta.events.register("provide-client-params.s3.UploadPartCopy", check)
    objects = Bucket(client, bucket, SMALL, LARGE)
    bodies = [random.Random(f"{n} {size}").randbytes(size) for n, size in enumerate(sizes)]  # noqa: S311
    for key, body in zip(lengths, bodies, strict=True):
        objects.put(key, body, TEXT)
    objects.concatenate([*lengths], "joined")
    assert read(objects, "joined") == b"".join(bodies)
    assert client.head_object(Bucket=bucket, Key="joined")["ContentType"] == "application/jsonl"
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_joining_again_makes_no_further_version(objects: Objects) -> None:
    """A version that is replaced is kept and paid for 90 days, and a launch is repeated often."""
    for key, body in {"a": b"1\n", "b": b"2\n"}.items():
        objects.put(key, body, TEXT)
    objects.concatenate(["a", "b"], "joined")
    first = objects.newest("joined")
    objects.concatenate(["a", "b"], "joined")
    assert objects.newest("joined") == first
    objects.concatenate(["b", "a"], "joined")
    assert read(objects, "joined") == b"2\n1\n"
    objects.put("b", b"3\n", TEXT)
    objects.concatenate(["b", "a"], "joined")
    assert read(objects, "joined") == b"3\n1\n"


@pytest.mark.parametrize("call", ["UploadPart", "UploadPartCopy", "CompleteMultipartUpload"])
def test_a_joining_that_fails_leaves_nothing_and_can_be_repeated(
    real: Bucket, bucket: str, call: str
) -> None:
    real.put("small", b"1\n", TEXT)
    real.put("large", b"2" * (12 << 20), TEXT)
    client: Any = boto3.client("s3")

    def fail(**_: Any) -> None:
        raise ConnectionError(call)

    client.meta.events.register(f"before-call.s3.{call}", fail)
    failing = Bucket(client, bucket, largest_part=10 << 20)
    with pytest.raises(ConnectionError):
        failing.concatenate(["small", "large", "large"], "joined")
    assert real.newest("joined") is None
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    client.meta.events.unregister(f"before-call.s3.{call}", fail)
    failing.concatenate(["small", "large", "large"], "joined")
    assert read(real, "joined") == b"1\n" + b"2" * (24 << 20)


def test_concatenate_needs_every_part(objects: Objects) -> None:
    objects.put("a", b"1\n", TEXT)
    with pytest.raises(ObjectMissing):
        objects.concatenate(["a", "missing"], "joined")
    assert objects.newest("joined") is None


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
def test_a_large_object_is_written_in_parts(real: Bucket, bucket: str, size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    with real.writer(KEY, TEXT) as write:
        for start in range(0, size, BLOCK_BYTES):
            write(body[start : start + BLOCK_BYTES])
    assert read(real) == body
    head = boto3.client("s3").head_object(Bucket=bucket, Key=KEY)
    assert head["ContentType"] == TEXT
    parts = -(-size // PART_BYTES)
    assert head["ETag"].endswith(f'-{parts}"') is (size >= PART_BYTES)


def test_an_aborted_upload_leaves_no_parts_that_cost(real: Bucket, bucket: str) -> None:
    with pytest.raises(RuntimeError):
        crash_after(real, b"x" * PART_BYTES)
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=bucket)


def test_an_unknown_version_is_missing(real: Bucket) -> None:
    real.put(KEY, b"first", TEXT)
    with pytest.raises(ObjectMissing):
        real.get(KEY, "0" * 32)


def test_other_errors_are_not_taken_for_a_missing_object(real: Bucket) -> None:
    with pytest.raises(boto3.client("s3").exceptions.ClientError, match="NoSuchBucket"):
        Bucket(boto3.client("s3"), "nobodys-bucket").get(KEY)
