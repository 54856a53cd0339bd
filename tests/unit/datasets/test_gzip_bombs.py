"""A gzip file that unpacks to more than a call can convert is refused."""

from __future__ import annotations

import gzip

import pytest

from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.reading import decoding


def test_much_out_of_little_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_UNPACKED_BYTES", 1 << 20)
    assert sum(len(block.utf8) for block in decoding.read_text([gzip.compress(b"a\n" * 500_000)]))
    with pytest.raises(DatasetRefused, match="unpacks to more than 1,048,576 bytes; split it"):
        list(decoding.read_text([gzip.compress(b"a\n" * 600_000)]))
