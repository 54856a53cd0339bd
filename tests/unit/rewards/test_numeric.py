"""Which number of a text counts."""

from __future__ import annotations

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
        ("- 5", None),
        ("between 3-5", 5),
        ("12-7=5", 5),
        ("5 - 3", None),
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
        ("5,000 and 6,000", None),
        ("8, 12", None),
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


@pytest.mark.parametrize("text", ["9" * 400, "1e400", "-1e999", "1e305 million", "1/0"])
def test_what_a_float_can_not_hold_is_no_number(text: str) -> None:
    assert number_of(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5 million", 5e6),
        ("The answer is 2.5 billion dollars", 2.5e9),
        ("5 Millionen", 5e6),
        ("3 milliards", 3e9),
        ("5 hundred thousand", 500_000),
        ("2 dozen eggs", 24),
        ("\u7b54\u6848:5\u4e07", 50_000),
        ("#### 5 million", 5e6),
        *(("5k", None), ("$5M", None), ("5 mil", None)),
    ],
)
def test_a_word_behind_a_number_multiplies_it(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5 000", 5000),
        ("1 234 567 people", 1_234_567),
        ("1 234", None),
        ("5 6", None),
        ("1'234", 1234),
        ("1\u2019200\u2019300", 1_200_300),
        ("1_000", 1000),
        (r"3{,}5", None),
        ("0.(3)", None),
        (r"0.\overline{3}", None),
    ],
)
def test_groups_of_three_are_thousands_where_nothing_else_is_meant(
    text: str, number: float | None
) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("negative 5", -5),
        ("The answer is minus 7 degrees", -7),
        ("10 minus 7 is 3", 3),
        ("The answer is \u20135", -5),
        ("\u2013 5", None),
        ("- $5", None),
        ("not 5 but 6", 6),
        ("The answer is not 5 but 6.", 6),
        ("The answer is not 5.", None),
        ("it isn't 5", None),
        *(
            ("\xb15", None),
            ("x = \xb15", None),
            ("x > 5", None),
            ("x<-5", None),
            ("\u2265 5", None),
        ),
        *(("at least 4", None), ("The answer is more than 10", None), ("x \u2260 5", None)),
        *(("5 < x", 5), ("<b>5</b>", 5), ("> 5", 5), ("a -> 5", 5)),
    ],
)
def test_what_is_denied_or_a_bound_is_no_number(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5\xd710\xb3", 5000),
        ("5*10^3", 5000),
        ("3\xd710\u207b\xb2", 0.03),
        ("\xbd", 0.5),
        ("-\xbd", -0.5),
        ("2\xbd cups", 2.5),
        (r"\boxed{\frac12}", 0.5),
        (r"\boxed{5^\circ}", 5),
        (r"\boxed{12\ \text{cm}}", 12),
        (r"\boxed{x = 5}", 5),
        (r"\boxed{0.5 = \frac{1}{2}}", 0.5),
        (r"\boxed{17 \text{ is the answer}}", 17),
        *((r"\boxed{\sqrt{2}}", None), (r"\boxed{2\sqrt{3}}", None), (r"\sqrt[3]{8}", None)),
        *(
            (r"\boxed{2\pi}", None),
            (r"\boxed{\frac{x}{2}}", None),
            (r"\boxed{\frac{1.5}{2}}", None),
        ),
        *((r"\boxed{5!}", None), (r"\boxed{3x + 2}", None), (r"\boxed{1, 2}", None)),
        *(
            (r"\boxed{[0, 1]}", None),
            (r"\boxed{x=2,y=3}", None),
            (r"\boxed{3 \text{ or } 5}", None),
        ),
        *(("0x10", None), ("\u221a9", None), ("3\u221a2", None)),
    ],
)
def test_what_is_worked_out_counts_and_nothing_else(text: str, number: float | None) -> None:
    assert number_of(text) == (None if number is None else pytest.approx(number))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("<answer>5</answer> 6", 5),
        ("<answer>\n$1,200\n</answer> in 3 steps", 1200),
        ("<answer>3 or 4</answer>", None),
        ("R\xe9ponse : 6. V\xe9rifi\xe9 2 fois.", 6),
        ("Die Antwort ist 42. In 3 Schritten.", 42),
        ("The answer is 7, not 8", 7),
        ("The answer is 7 km (4.3 miles)", 7),
        ("The answer is 5\xb74=20", 20),
        ("The answer is 5 times 4, which is 20", 20),
        ("The answer is 20 mod 7 = 6", 6),
        ("The answer is 100 times 2.", None),
        *(("The answer is 3 or 5", None), ("The answer is between 3 and 5", None)),
        *(("The answer is 3 to 5 days", None), ("The answer is 3\u20135", None)),
        *(("The answer is 5 out of 8", None), ("The answer is 3 hours 30 minutes", None)),
        *(("The answer: x=3, y=4", None), ("The answer is 10 more than 5", None)),
    ],
)
def test_an_answer_is_one_number(text: str, number: float | None) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *((text, None) for text in ("5k", "5m", "5b", "$5M", "5 M", "5 bn", "5mn", "5 B")),
        *((text, None) for text in ("12th", "1st", "2nd", "3rd", "1h30", "5cm2", "--5", "is --5")),
        *((text, 5) for text in ("5km", "5 km", "5m/s", "5 m", "5 meters", "5-day", "5MB", "5 K")),
        ("the 2nd try gave 7", 7),
        ("$5M/year", None),
        ("- -5", -5),
        ("3--5", None),
    ],
)
def test_letters_behind_a_number_are_its_unit_or_make_it_none(
    text: str, number: float | None
) -> None:
    assert number_of(text) == number
