"""A pin that moves is told what of ours it breaks, name by name, before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from novaloop_localcloud.emulator import REPOSITORY
from tests.private_names import differences, everything, python_of, table, used

USED, TABLE = everything(), table()
BOTOCORE = TABLE["tests/unit/cli/conftest.py"]["botocore.client.BaseClient._make_api_call"]
HERE = [file for file in USED if python_of(file).is_relative_to(REPOSITORY / ".tools" / "emulator")]
HERE += [file for file in USED if str(python_of(file)) == sys.executable]


@pytest.mark.parametrize("file", HERE)
def test_what_others_do_not_promise_is_as_it_was(file: str) -> None:
    told = differences(TABLE[file], USED[file], python_of(file))
    assert not told, "\n".join(told)


def test_all_of_it_is_in_the_table() -> None:
    """Or `python -m tests.private_names` has to write it."""
    in_the_code = {f"{file}: {name}" for file, names in USED.items() for name in names}
    in_the_table = {f"{file}: {name}" for file, names in TABLE.items() for name in names}
    assert sorted(in_the_code ^ in_the_table) == []


def test_what_hangs_on_a_name_is_told(tmp_path: Path) -> None:
    """A name that went, a parameter that came, and what was replaced by its text."""
    code = """
import botocore.client as client
from email import message

def shorten():
    \"\"\"Cut calls short.\"\"\"
    client.BaseClient._make_api_call = client._gone

def test(monkeypatch):
    monkeypatch.setattr("botocore.session.get_session", None)
    monkeypatch.setattr(client.BaseClient, "_register_handlers", message._own)
"""
    file = tmp_path / "ours.py"
    file.write_text(code, encoding="utf-8")
    uses = used(file, tmp_path)
    before = {
        "botocore.client.BaseClient._make_api_call": "(self, operation_name)",
        "botocore.client._gone": "(call)",
        "botocore.session.get_session": "(env_vars=)",
        "botocore.client.BaseClient._register_handlers": "(self)",
    }
    assert uses.keys() == before.keys()
    assert differences(before, uses, Path(sys.executable)) == [
        f"botocore.client.{told}; on it hangs shorten: Cut calls short."
        for told in (
            f"BaseClient._make_api_call is {BOTOCORE}, was (self, operation_name)",
            "_gone is gone, was (call)",
        )
    ]
