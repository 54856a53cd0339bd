"""What a job left: found by a search under its prefix, whatever its runtime's layout.

Training jobs leave `<job>/output/output.tar.gz`; serverless jobs leave
`<job>/output/output/manifest.json` and `<job>/output/output/<run>/eval_results/...`; HyperPod jobs
`<job>/manifest.json` and `<job>/eval-result/...`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from io import BufferedReader, RawIOBase
from typing import cast

from novaloop.metrics.archive import ArchiveError, Member, archive_members, is_wanted
from novaloop.usecases.ports import ObjectMissing, Objects

ARCHIVE = "output.tar.gz"


def find_output(objects: Objects, prefix: str) -> Iterator[Member]:
    """Yield the files that a job wrote under `prefix` (its key prefix, ending in a slash).

    An archive counts before loose files: one stray manifest must not hide it. Raises
    ObjectMissing if the job left neither, ArchiveError for several archives.
    """
    sizes = {key: upload.size for key, upload in objects.uploads(prefix)}
    archives = [key for key in sizes if posixpath.basename(key) == ARCHIVE]
    if len(archives) > 1:
        raise ArchiveError(f"there are several {ARCHIVE} under {prefix}")
    if archives:
        with objects.get(archives[0]) as stream:
            yield from archive_members(stream)
        return
    wanted = {key: size for key, size in sizes.items() if is_wanted(key)}
    if not wanted:
        raise ObjectMissing(f"{prefix}: the job left no {ARCHIVE} and no result files")
    yield from _loose_members(objects, prefix, wanted)


def _loose_members(objects: Objects, prefix: str, sizes: Mapping[str, int]) -> Iterator[Member]:
    for key, size in sizes.items():
        # An S3 body by itself finds the ends of lines byte by byte. As a context manager it would
        # hand out the connection's stream, which counts as closed once its last byte was read.
        with BufferedReader(cast("RawIOBase", objects.get(key))) as stream:
            yield Member(key.removeprefix(prefix), size, stream)
