"""The application's bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from botocore.exceptions import ClientError

from novaloop.cloud.errors import code_of
from novaloop.datasets.ranges import ByteRange
from novaloop.usecases.ports import ObjectMissing, Upload

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PART_BYTES = 8 * 1024 * 1024
_MIN_COPY, _MAX_COPY = 5 << 20, 5 << 30
"""What S3 takes as a part of a multipart upload."""
_MISSING = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}


class Bucket:
    """Objects of one bucket; implements the port `Objects`."""

    def __init__(self, s3: S3Client, name: str) -> None:
        self._s3 = s3
        self._name = name

    def newest(self, key: str) -> Upload | None:
        """Return the newest version of an object, or None if there is none."""
        try:
            head = self._s3.head_object(Bucket=self._name, Key=key)
        except ClientError as error:
            if code_of(error) in _MISSING:
                return None
            raise
        return Upload(head.get("VersionId", "null"), head["LastModified"], head["ContentLength"])

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
                yield item["Key"], Upload("", item["LastModified"], item["Size"])

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
        upload = _MultipartUpload(self._s3, self._name, key, content_type)
        try:
            yield upload.write
        except BaseException:
            upload.abort()
            raise
        upload.complete()

    def concatenate(self, keys: Sequence[str], target: str) -> None:
        """Write the contents of `keys`, one after the other, to `target`."""
        sizes = [self._size(key) for key in keys]
        if len(keys) > 1 and all(_MIN_COPY <= size <= _MAX_COPY for size in sizes):
            self._copy(keys, target)
        else:
            self._rewrite(keys, target)

    def _size(self, key: str) -> int:
        upload = self.newest(key)
        if upload is None:
            raise ObjectMissing(key)
        return upload.size

    def _copy(self, keys: Sequence[str], target: str) -> None:
        upload = _MultipartUpload(self._s3, self._name, target, "application/jsonl")
        try:
            for key in keys:
                upload.copy(key)
        except BaseException:
            upload.abort()
            raise
        upload.complete()

    def _rewrite(self, keys: Sequence[str], target: str) -> None:
        with self.writer(target, "application/jsonl") as write:
            for key in keys:
                with self.get(key) as body:
                    while block := body.read(PART_BYTES):
                        write(block)


class _MultipartUpload:
    """One object written in parts; a small one in a single request."""

    def __init__(self, s3: S3Client, bucket: str, key: str, content_type: str) -> None:
        self._s3 = s3
        self._target = {"Bucket": bucket, "Key": key}
        self._content_type = content_type
        self._pending = bytearray()
        self._upload_id: str | None = None
        self._etags: list[str] = []

    def write(self, block: bytes) -> None:
        self._pending += block
        if len(self._pending) >= PART_BYTES:
            self._put_part()

    def complete(self) -> None:
        if self._upload_id is None:
            body, kind = bytes(self._pending), self._content_type
            self._s3.put_object(**self._target, Body=body, ContentType=kind)  # type: ignore[arg-type]
            return
        if self._pending:
            self._put_part()
        parts = [{"ETag": tag, "PartNumber": n} for n, tag in enumerate(self._etags, start=1)]
        self._s3.complete_multipart_upload(
            **self._target,  # type: ignore[arg-type]
            UploadId=self._upload_id,
            MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
        )

    def copy(self, key: str) -> None:
        """Append an object of 5 MiB to 5 GiB inside of S3."""
        part = self._s3.upload_part_copy(
            **self._target,  # type: ignore[arg-type]
            UploadId=self._started(),
            PartNumber=len(self._etags) + 1,
            CopySource={"Bucket": self._target["Bucket"], "Key": key},
        )
        self._etags.append(part["CopyPartResult"]["ETag"])

    def abort(self) -> None:
        if self._upload_id is not None:
            self._s3.abort_multipart_upload(**self._target, UploadId=self._upload_id)  # type: ignore[arg-type]

    def _started(self) -> str:
        if self._upload_id is None:
            started = self._s3.create_multipart_upload(
                **self._target,  # type: ignore[arg-type]
                ContentType=self._content_type,
            )
            self._upload_id = started["UploadId"]
        return self._upload_id

    def _put_part(self) -> None:
        part = self._s3.upload_part(
            **self._target,  # type: ignore[arg-type]
            UploadId=self._started(),
            PartNumber=len(self._etags) + 1,
            Body=self._pending,  # type: ignore[arg-type] # boto3 takes it, and no copy is made
        )
        self._pending = bytearray()
        self._etags.append(part["ETag"])
