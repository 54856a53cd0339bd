"""Which number of a text counts."""

from __future__ import annotations

import math

import pytest

from novaloop.rewards.numeric import number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        ("3 apples and 4 pears: 7", 7),
        (".5", 0.5),
        ("42.", 42),
        ("42%", 42),
        ("5km", 5),
        ("(5)", 5),
        ("1.5e3", 1500),
        ("7-year-old", 7),
        ("**12**", 12),
        ("forty-two", None),
        ("nan", None),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-5", -5),
        ("\u22125", -5),
        ("x = \u2212 5", -5),
        ("-$5", -5),
        ("$-5", -5),
        ("**-7**", -7),
        ("= (-3)", -3),
        ("-3,000", -3000),
        ("+7", 7),
        ("- 5", 5),
        ("between 3-5", 5),
        ("12-7=5", 5),
        ("5 - 3", 3),
        ("COVID-19", None),
        ("7 people had COVID-19", 7),
        ("x2", None),
        ("x_1", None),
    ],
)
def test_a_sign_is_told_from_what_joins(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", 1234),
        ("1,234,567", 1234567),
        ("100,000.5", 100000.5),
        ("1\u202f000", 1000),
        (r"9{,}500", 9500),
        (r"9\,500", 9500),
        ("8,12", None),
        ("(3,4)", None),
        ("1,5", None),
        ("0,123", None),
        ("1,23,456", None),
        ("12,345,67", None),
        ("1234,567", None),
        ("1.234.567", None),
        ("1.234,56", None),
        ("12\u00a0345,5", None),
        ("5,000 and 6,000", 6000),
        ("8, 12", 12),
    ],
)
def test_thousands_are_told_in_one_convention(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3.12.1", None),
        ("v2.1.0", None),
        ("192.168.0.1", None),
        ("2024-01-15", None),
        ("12/05/2024", None),
        ("May 5, 2024", None),
        ("10:30", None),
        ("3:4", None),
        ("42 on 2024-01-15", 42),
        ("We need 12 on 5 May 2024", 12),
        ("16 m^2", 16),
        ("10^3", None),
        ("10\xb3", None),
        (r"5 \times 10^3", 5000),
        ("5 x 10^{-3}", 0.005),
        ("1. First\n2. Second", None),
        ("1) 5 apples", 5),
        ("3*4=12", 12),
        ("2**3", 3),
    ],
)
def test_what_is_no_number(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3/4", 0.75),
        ("-1/2", -0.5),
        ("2 1/2", 2.5),
        ("1/0", None),
        (r"\frac{3}{4}", 0.75),
        (r"$\boxed{-\frac{1}{2}}$", -0.5),
        (r"\boxed{2\frac{1}{2}}", 2.5),
        ("1/2 of the 8", 8),
    ],
)
def test_a_fraction_is_its_value_where_nothing_else_counts(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\boxed{42}. Checked in 2 ways.", 42),
        (r"\boxed{1} No: \boxed{2} of 3", 2),
        ("99\n#### 42\nChecked 3 times", 42),
        ("#### $1,200", 1200),
        ("#### 5 apples", 5),
        ("#### Step 1: think\nso it is 7", 7),
        ("#### 1. Compute\n7 apples", 7),
        ("The answer is 42 (see step 3).", 42),
        ("Answer: 5 apples, as shown in step 3", 5),
        ("The answer is 3 + 4 = 7. Checked 2 times.", 7),
        ("The answer to question 3 is 12.", 12),
        ("The answer is 8,12", None),
        ("the answer is 7\n\nNote: 3 steps", 7),
    ],
)
def test_what_is_marked_as_the_answer_wins(text: str, number: float | None) -> None:
    assert number_of(text) == number


def test_a_number_beyond_all_bounds_is_infinite() -> None:
    assert number_of("9" * 400) == math.inf
