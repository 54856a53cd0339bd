"""The application's bucket."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, cast

from botocore.exceptions import ClientError

from novaloop.cloud.parts import LARGEST, SMALLEST, Part, Span, is_copied, plan_parts
from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.usecases.errors import code_of
from novaloop.usecases.ports import ObjectMissing, Upload

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

PART_BYTES = 8 * 1024 * 1024
COPIES_AT_ONCE = 10
"""As many as botocore keeps connections."""
_ROWS = "application/jsonl"
_MADE_OF = "made-of"
"""The key, in an object's metadata, of the digest of what it was joined from."""
_MISSING = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}


class Bucket:
    """Objects of one bucket; implements the port `Objects`."""

    def __init__(
        self, s3: S3Client, name: str, smallest_part: int = SMALLEST, largest_part: int = LARGEST
    ) -> None:
        self._s3 = s3
        self._name = name
        self._smallest, self._largest = smallest_part, largest_part

    def newest(self, key: str) -> Upload | None:
        """Return the newest version of an object, or None if there is none."""
        try:
            head = self._head(key)
        except ObjectMissing:
            return None
        at = _second(head["LastModified"])
        return Upload(head.get("VersionId", "null"), at, head["ContentLength"])

    def _head(self, key: str) -> HeadObjectOutputTypeDef:
        try:
            return self._s3.head_object(Bucket=self._name, Key=key)
        except ClientError as error:
            if code_of(error) in _MISSING:
                raise ObjectMissing(key) from None
            raise

    def uploads(self, prefix: str, after: str = "") -> Iterator[tuple[str, Upload]]:
        """Return the objects under a prefix, in the order of their keys, from `after` on.

        A listing does not know their version ids. Each thousand is one request, made when the
        thousand before was taken. S3 lists by the bytes of the keys' UTF-8, and `StartAfter` need
        not be the key of an object that is still there (docs.aws.amazon.com, ListObjectsV2).
        """
        pages = self._s3.get_paginator("list_objects_v2")
        start = {"StartAfter": after} if after else {}
        for page in pages.paginate(Bucket=self._name, Prefix=prefix, **start):  # type: ignore[arg-type]
            for item in page.get("Contents", []):
                yield item["Key"], Upload("", _second(item["LastModified"]), item["Size"])

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Write a small object."""
        self._s3.put_object(Bucket=self._name, Key=key, Body=body, ContentType=content_type)

    def get(
        self, key: str, version_id: str | None = None, span: ByteRange | None = None
    ) -> BinaryIO:
        """Open an object, or a span of its bytes, for streaming. Raises ObjectMissing."""
        which = {"VersionId": version_id} if version_id and version_id != "null" else {}
        if span is not None:
            which["Range"] = f"bytes={span.start}-{span.end - 1}"
        try:
            response = self._s3.get_object(Bucket=self._name, Key=key, **which)  # type: ignore[arg-type]
        except ClientError as error:
            if code_of(error) in _MISSING:
                raise ObjectMissing(key) from None
            raise
        if span is not None and response["ContentLength"] != span.end - span.start:
            raise OSError(f"{key} has no bytes {span.start} to {span.end}")
        return cast("BinaryIO", response["Body"])

    @contextmanager
    def writer(self, key: str, content_type: str) -> Iterator[Callable[[bytes], object]]:
        """Open an object for streamed writing; an exception inside leaves no object."""
        writer = _Writer(self._s3, self._name, key, content_type)
        try:
            yield writer.write
        except BaseException:
            writer.abort()
            raise
        writer.complete()

    def concatenate(self, keys: Sequence[str], target: str) -> None:
        """Write the contents of `keys`, one after the other, to `target`, unless they stand there.

        Who repeats a launch so makes no further version of what may be gigabytes: the target's
        metadata tell of what it was made. S3 copies the bytes by itself, many parts at once, except
        for pieces of less than 5 MiB. Raises ObjectMissing.
        """
        sources = [(key, self._head(key)) for key in keys]
        made_of = json.dumps([[key, head["ETag"]] for key, head in sources])
        metadata = {_MADE_OF: hashlib.sha256(made_of.encode()).hexdigest()}
        with suppress(ObjectMissing):
            if self._head(target)["Metadata"] == metadata:
                return
        sizes = [(key, head["ContentLength"]) for key, head in sources]
        parts = list(plan_parts(sizes, self._smallest, self._largest))
        if len(parts) > 1 or any(is_copied(part, self._smallest) for part in parts):
            self._join(parts, target, metadata)
            return
        body = b"".join(map(self._read, parts))
        self._s3.put_object(
            Bucket=self._name, Key=target, Body=body, ContentType=_ROWS, Metadata=metadata
        )

    def _join(self, parts: Sequence[Part], target: str, metadata: Mapping[str, str]) -> None:
        upload = _MultipartUpload(self._s3, self._name, target, _ROWS, metadata)

        def put(number: int, part: Part) -> str:
            if is_copied(part, self._smallest):
                return upload.copy(number, part[0])
            return upload.put(number, self._read(part))

        try:
            # Leaving it waits for what has begun, as an upload that is aborted while parts arrive
            # may keep them (API_AbortMultipartUpload). `map` cancels what has not begun.
            with ThreadPoolExecutor(COPIES_AT_ONCE) as copiers:
                etags = list(copiers.map(put, range(1, len(parts) + 1), parts))
            upload.complete(etags)
        except BaseException:
            upload.abort()
            raise

    def _read(self, part: Part) -> bytes:
        pieces = []
        for span in part:
            with self.get(span.key, span=ByteRange(span.start, span.end)) as body:
                pieces.append(body.read())
        return b"".join(pieces)


def _second(at: datetime) -> datetime:
    """Return an object's time as HeadObject tells it: in an HTTP date, which has whole seconds.

    A listing may have parts of them, so that an object would look later than itself.
    """
    return at.replace(microsecond=0)


class _MultipartUpload:
    """One object that is written in parts, numbered from 1."""

    def __init__(
        self,
        s3: S3Client,
        bucket: str,
        key: str,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._key = key
        started = s3.create_multipart_upload(
            Bucket=bucket, Key=key, ContentType=content_type, Metadata=dict(metadata or {})
        )
        self._id = started["UploadId"]

    def put(self, number: int, body: bytes | bytearray) -> str:
        """Write a part and return its tag."""
        part = self._s3.upload_part(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._id,
            PartNumber=number,
            Body=body,  # type: ignore[arg-type] # boto3 takes a bytearray, and no copy is made
        )
        return part["ETag"]

    def copy(self, number: int, span: Span) -> str:
        """Copy a part inside of S3 and return its tag."""
        ranged = {} if span.is_whole else {"CopySourceRange": f"bytes={span.start}-{span.end - 1}"}
        part = self._s3.upload_part_copy(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._id,
            PartNumber=number,
            CopySource={"Bucket": self._bucket, "Key": span.key},
            **ranged,  # type: ignore[arg-type]
        )
        return part["CopyPartResult"]["ETag"]

    def complete(self, etags: Sequence[str]) -> None:
        """Make an object of the parts."""
        self._s3.complete_multipart_upload(
            Bucket=self._bucket,
            Key=self._key,
            UploadId=self._id,
            MultipartUpload={
                "Parts": [{"ETag": tag, "PartNumber": n} for n, tag in enumerate(etags, start=1)]
            },
        )

    def abort(self) -> None:
        """Let nothing be left of it."""
        self._s3.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)


class _Writer:
    """Writes one object in parts as its bytes come; a small one in a single request."""

    def __init__(self, s3: S3Client, bucket: str, key: str, content_type: str) -> None:
        self._s3 = s3
        self._target = bucket, key, content_type
        self._pending = bytearray()
        self._upload: _MultipartUpload | None = None
        self._etags: list[str] = []

    def write(self, block: bytes) -> None:
        self._pending += block
        if len(self._pending) >= PART_BYTES:
            self._put_part()

    def complete(self) -> None:
        if self._upload is None:
            bucket, key, kind = self._target
            body = bytes(self._pending)
            self._s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind)
            return
        if self._pending:
            self._put_part()
        self._upload.complete(self._etags)

    def abort(self) -> None:
        if self._upload is not None:
            self._upload.abort()

    def _put_part(self) -> None:
        if self._upload is None:
            self._upload = _MultipartUpload(self._s3, *self._target)
        self._etags.append(self._upload.put(len(self._etags) + 1, self._pending))
        self._pending = bytearray()
