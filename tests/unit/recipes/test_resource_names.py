"""Names are legal for SageMaker whatever the experiment is called, and can be read back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaloop.recipes import ResourceName

# The pattern of TrainingJobName in SageMaker's API reference; its length limit is 63.
SAGEMAKER = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")


def parts(limit: int) -> st.SearchStrategy[str]:
    words = st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=9)
    return words.map("-".join).filter(lambda text: len(text) <= limit)


@given(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), parts(32), parts(16), st.integers(1, 999))
def test_names_are_legal_and_read_back(
    prefix: str, experiment: str, stage: str, attempt: int
) -> None:
    name = ResourceName(prefix, experiment, stage, attempt)

    assert len(str(name)) <= 63
    assert SAGEMAKER.fullmatch(str(name))
    assert ResourceName.parse(str(name)) == name


@pytest.mark.parametrize(
    ("prefix", "experiment", "stage", "attempt"),
    [
        ("toolongprefix", "exp", "sft", 1),
        ("nova-loop", "exp", "sft", 1),
        ("novaloop", "exp--1", "sft", 1),
        ("novaloop", "-exp", "sft", 1),
        ("novaloop", "exp_1", "sft", 1),
        ("novaloop", "x" * 33, "sft", 1),
        ("novaloop", "exp", "after-sft-", 1),
        ("novaloop", "exp", "s" * 17, 1),
        ("novaloop", "exp", "sft", 0),
        ("novaloop", "exp", "sft", 1000),
        ("novaloop", "", "sft", 1),
    ],
)
def test_what_could_not_be_read_back_is_refused(
    prefix: str, experiment: str, stage: str, attempt: int
) -> None:
    with pytest.raises(ValueError, match="must be"):
        ResourceName(prefix, experiment, stage, attempt)


@pytest.mark.parametrize(
    "name", ["novaloop-exp-sft-1", "novaloop-exp--sft", "novaloop-exp--sft-01", "other job", ""]
)
def test_a_foreign_name_is_not_read(name: str) -> None:
    with pytest.raises(ValueError, match="is not named"):
        ResourceName.parse(name)
