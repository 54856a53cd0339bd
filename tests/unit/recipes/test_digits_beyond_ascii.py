"""What AWS takes as a number has ASCII digits: any other is refused before anything is paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from novaloop.problem import Problem
from novaloop.recipes.bedrock_serving import CUSTOM_MODEL_ARN
from novaloop.recipes.checks import (
    check_checkpoint,
    check_function,
    check_image,
)
from novaloop.recipes.jobs import MODEL_PACKAGE_ARN

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/nova:tag"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:reward"
PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/demo/1"
CUSTOM = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite/abc"


@pytest.mark.parametrize("digit", ["\u0661", "\uff11", "\u0967"])
@pytest.mark.parametrize(
    ("check", "text"),
    [
        (check_image, IMAGE),
        (check_image, IMAGE.replace("tag", "tag1")),
        (check_function, FUNCTION),
        (check_checkpoint, PACKAGE),
    ],
)
def test_a_digit_beyond_ascii_is_a_problem(
    check: Callable[[str, str], Iterator[Problem]], text: str, digit: str
) -> None:
    assert not any(check(text, "at"))
    first, _, last = text.rpartition("1")
    assert any(check(text.replace("1", digit, 1), "at"))
    assert any(check(f"{first}{digit}{last}", "at"))


@pytest.mark.parametrize(
    ("pattern", "arn"), [(CUSTOM_MODEL_ARN, CUSTOM), (MODEL_PACKAGE_ARN, PACKAGE)]
)
def test_no_arn_has_a_digit_beyond_ascii(pattern: object, arn: str) -> None:
    fits = pattern.fullmatch  # type: ignore[attr-defined]
    assert fits(arn)
    assert not fits(arn.replace(":1234", ":\u0661234"))


def test_a_tag_of_an_image_is_ascii() -> None:
    assert any(check_image(IMAGE.replace("tag", "t\u00e4g"), "at"))
