"""A large file through bucket, events and function: every row arrives, in little memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.ingest_cloud import LIMIT_MB, measure
from novaloop_cli.stack import local_stack
from novaloop_localcloud.cloud import up

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read in /proc"),
]


def test_a_large_csv_becomes_a_dataset_in_little_memory(tmp_path: Path) -> None:
    with up(tmp_path / "local") as cloud, local_stack(cloud) as stack:
        arrival = measure(stack, cloud.state.pid, tmp_path, size_mb=40)
    assert arrival.identical
    assert arrival.idle_rss_mb < arrival.peak_rss_mb < LIMIT_MB
