"""The names that Novaloop gives are legal wherever they are used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaloop.experiment.names import (
    MAX_EXPERIMENT,
    MAX_EXPERIMENT_WITHOUT_UID,
    MAX_PREFIX,
    MAX_STAGE,
    experiment_of_job,
    job_name,
)
from novaloop.recipes.names import LEGAL_BEDROCK_NAME, LEGAL_NAME, bedrock_name

UID = "c0ffee00-0000-4000-8000-000000000001"


def words(longest: int) -> st.SearchStrategy[str]:
    some = st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=9)
    return some.map("-".join).filter(lambda text: len(text) <= longest)


@given(words(MAX_PREFIX), words(MAX_EXPERIMENT), words(MAX_STAGE), st.integers(1, 999))
def test_a_job_name_is_legal(prefix: str, experiment: str, stage: str, attempt: int) -> None:
    name = job_name(prefix, experiment, UID, stage, attempt)
    assert experiment_of_job(prefix, name) == experiment

    assert LEGAL_NAME.fullmatch(name)
    assert LEGAL_BEDROCK_NAME.fullmatch(bedrock_name(name))


def test_the_longest_job_name_is_legal() -> None:
    name = job_name("p" * MAX_PREFIX, "e" * MAX_EXPERIMENT, UID, "s" * MAX_STAGE, 999)

    assert len(name) == 63
    assert LEGAL_NAME.fullmatch(name)


def test_what_has_no_uid_keeps_its_names() -> None:
    experiment = "e" * MAX_EXPERIMENT_WITHOUT_UID
    name = job_name("p" * MAX_PREFIX, experiment, None, "s" * MAX_STAGE, 999)
    assert name == f"pppppppp-{experiment}--ssssssssssssssss-999"
    assert LEGAL_NAME.fullmatch(name)
    assert experiment_of_job("pppppppp", name) == experiment


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "a b", "a" * 64, "a\n"])
def test_sagemaker_refuses(name: str) -> None:
    assert not LEGAL_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a--b", "a-_b", "a" * 64, "a\n"])
def test_bedrock_refuses(name: str) -> None:
    assert not LEGAL_BEDROCK_NAME.fullmatch(name)
