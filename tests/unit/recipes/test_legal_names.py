"""The names that Novaloop gives are legal wherever they are used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaloop.experiment.names import MAX_EXPERIMENT, MAX_PREFIX, MAX_STAGE, job_name
from novaloop.recipes.names import LEGAL_BEDROCK_NAME, LEGAL_NAME, bedrock_name


def words(longest: int) -> st.SearchStrategy[str]:
    some = st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=9)
    return some.map("-".join).filter(lambda text: len(text) <= longest)


@given(words(MAX_PREFIX), words(MAX_EXPERIMENT), words(MAX_STAGE), st.integers(1, 999))
def test_a_job_name_is_legal(prefix: str, experiment: str, stage: str, attempt: int) -> None:
    name = job_name(prefix, experiment, stage, attempt)

    assert LEGAL_NAME.fullmatch(name)
    assert LEGAL_BEDROCK_NAME.fullmatch(bedrock_name(name))


def test_the_longest_job_name_is_legal() -> None:
    name = job_name("p" * MAX_PREFIX, "e" * MAX_EXPERIMENT, "s" * MAX_STAGE, 999)

    assert LEGAL_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "a b", "a" * 64, "a\n"])
def test_sagemaker_refuses(name: str) -> None:
    assert not LEGAL_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a--b", "a-_b", "a" * 64, "a\n"])
def test_bedrock_refuses(name: str) -> None:
    assert not LEGAL_BEDROCK_NAME.fullmatch(name)
