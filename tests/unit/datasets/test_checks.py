"""What only shows when datasets are looked at as a whole, or side by side."""

import io
import json
import random
import unicodedata
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.policies import Check, FindingPolicy
from novaloop.datasets.profile.checks import Finding, check_datasets
from novaloop.datasets.profile.histogram import Histogram
from novaloop.datasets.profile.near_duplicates import SignatureSketch, SignatureSketcher
from novaloop.datasets.profile.profile import DatasetProfile
from novaloop.datasets.profile.sketch import RowSketch
from novaloop.datasets.profile.summary import DatasetSummary

WORDS = [f"word{number}" for number in range(2_000)]
LABELS = ("A", "B", "C")


def question(number: int, words: int = 40) -> str:
    return " ".join(random.Random(number).choices(WORDS, k=words))  # noqa: S311


def summary(
    rows: Iterable[tuple[str, str]], exclude_questions: frozenset[int] = frozenset()
) -> DatasetSummary:
    lines = [f'"{text}",{label}\n' for text, label in rows]
    data = ("question,answer\n" + "".join(lines)).encode()
    options = DatasetOptions(exclude_questions=exclude_questions)
    return convert([data], {RowFormat.SFT: lambda _: None}, options, lambda _: None)


def profile(rows: Iterable[tuple[str, str]]) -> DatasetProfile:
    converted = summary(rows)
    assert converted.ok
    return converted.profile


def labelled(numbers: Iterable[int]) -> list[tuple[str, str]]:
    return [(question(number), LABELS[number % 3]) for number in numbers]


def found(
    profiles: Mapping[str, DatasetProfile], check: Check, policy: FindingPolicy | None = None
) -> list[Finding]:
    findings = check_datasets(profiles, {check: policy} if policy else None)
    return [finding for finding in findings if finding.check is check]


def test_clean_datasets_have_no_findings() -> None:
    profiles = {
        "sft": profile(labelled(range(600))),
        "rft": profile(labelled(range(600, 800))),
        "eval": profile(labelled(range(800, 1_000))),
    }

    assert check_datasets(profiles) == []


def test_shared_question_is_found_and_can_be_left_out() -> None:
    training, evaluation = labelled(range(300)), labelled(range(280, 400))
    profiles = {"sft": profile(training), "eval": profile(evaluation)}

    (finding,) = found(profiles, Check.SHARED_QUESTIONS)

    assert finding.policy is FindingPolicy.REFUSE
    assert finding.rows == 20
    assert finding.message == "20 rows of eval also stand in sft"

    cleaned = summary(evaluation, exclude_questions=finding.questions)
    assert cleaned.ok
    assert (cleaned.rows_in, cleaned.rows_out, cleaned.rows_excluded) == (120, 100, 20)
    assert found({"sft": profiles["sft"], "eval": cleaned.profile}, Check.SHARED_QUESTIONS) == []


@pytest.mark.parametrize(
    "spelled",
    [
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: text.replace(" ", "\u200b "),
        lambda text: f"\ufeff{text}",
        lambda text: text.replace("\xe9", "\xe9\ufe0f"),
        lambda text: f"{text}\u2060\xad",
    ],
    ids=["nfd", "zero-width", "mark", "variation", "end"],
)
def test_what_no_reader_sees_makes_no_other_question(spelled: Callable[[str], str]) -> None:
    training = [(f"O\xf9 est la cl\xe9 {number} ?", "A") for number in range(50)]
    evaluation = [(spelled(text), label) for text, label in training]
    profiles = {"sft": profile(training), "eval": profile(evaluation)}
    (finding,) = found(profiles, Check.SHARED_QUESTIONS)
    assert finding.rows == 50
    assert not summary(evaluation, finding.questions).rows_out


def test_other_letters_and_accents_are_other_questions() -> None:
    profiles = {"sft": profile([("Hat er was", "A")]), "eval": profile([("H\xe4t er was", "A")])}
    assert not found(profiles, Check.SHARED_QUESTIONS)


def test_training_datasets_may_share_questions() -> None:
    profiles = {"sft": profile(labelled(range(100))), "rft": profile(labelled(range(100)))}

    assert found(profiles, Check.SHARED_QUESTIONS) == []


def test_nearly_the_same_question_is_found() -> None:
    training = labelled(range(200))
    altered = [(text.replace("word", "WORD", 1) + "\nthanks", label) for text, label in training]
    evaluation = altered[:7] + labelled(range(200, 250))

    (finding,) = found(
        {"sft": profile(training), "eval": profile(evaluation)}, Check.NEAR_DUPLICATES
    )

    assert finding.rows == 7
    assert finding.policy is FindingPolicy.WARN


def test_near_duplicates_agree_with_the_exact_similarity() -> None:
    pairs = [(question(number), keep) for number in range(200) for keep in (36, 39)]
    first, second = SignatureSketcher(), SignatureSketcher()
    for number, (text, keep) in enumerate(pairs):
        other = text.split()[:keep] + question(number + 10_000).split()[keep:]
        first.add([2 * number], [text.encode()])
        second.add([2 * number + 1], [" ".join(other).encode()])

    near = set(first.sketch().near(second.sketch()))

    # 36 of 40 words kept: 35 of 43 pairs of words in common (0.81), at the threshold; 39: 0.95.
    clearly = {2 * number for number, (_, keep) in enumerate(pairs) if keep == 39}
    assert len(near & clearly) >= 0.98 * len(clearly)


def test_the_same_question_is_no_near_duplicate() -> None:
    profiles = {"sft": profile(labelled(range(50))), "eval": profile(labelled(range(40, 60)))}

    assert found(profiles, Check.NEAR_DUPLICATES) == []


def test_signatures_beyond_their_number_are_a_sample_by_hash() -> None:
    sketcher = SignatureSketcher(max_rows=100)
    for number in range(1_000):
        if sketcher.wanted(np.array([number], np.uint64)):
            sketcher.add([number], [question(number).encode()])

    sketch = sketcher.sketch()

    assert 50 <= len(sketch.questions) <= 100
    assert set(sketch.questions) == set(range(0, 1_000, 1 << sketch.sampling_bits))
    alone = SignatureSketcher()
    alone.add([992], [question(992).encode()])
    (row,) = np.flatnonzero(sketch.questions == 992)
    assert (sketch.signatures[row] == alone.sketch().signatures[0]).all()


def test_contradicting_labels_are_found_within_and_across() -> None:
    training = labelled(range(100))
    flipped = [(training[0][0], "B"), (training[1][0], "C")]
    profiles = {"sft": profile([*training, flipped[0]]), "rft": profile([flipped[1]])}

    findings = found(profiles, Check.CONTRADICTIONS)

    assert {finding.roles: finding.rows for finding in findings} == {("sft",): 3, ("rft",): 1}


def test_free_text_answers_are_no_contradictions() -> None:
    rows = [(question(number % 50), f"answer {number}") for number in range(100)]

    assert found({"sft": profile(rows)}, Check.CONTRADICTIONS) == []


def test_answers_of_another_dataset_are_no_labels_of_this_one() -> None:
    numbers = [(question(number), str(number)) for number in range(60)]
    profiles = {"sft": profile(labelled(range(300, 360))), "eval": profile(numbers)}
    assert not found(profiles, Check.IMBALANCE)
    two = [(text, label) for text, label in labelled(range(400, 460)) if label != "C"]
    (finding,) = found({"sft": profiles["sft"], "eval": profile(two)}, Check.IMBALANCE)
    assert finding.roles == ("eval",)


def test_imbalance_counts_a_label_that_another_dataset_has() -> None:
    profiles = {
        "sft": profile(labelled(range(300))),
        "eval": profile([row for row in labelled(range(300, 600)) if row[1] != "B"]),
    }

    (finding,) = found(profiles, Check.IMBALANCE)

    assert finding.roles == ("eval",)
    assert finding.message == "the rarest label of eval has 0 rows, the commonest 100"


FEATURES: dict[str, Callable[[str], str]] = {
    "line ends": lambda text: text + "\r\nend",
    "length": lambda text: text * 8,
    "first word": lambda text: "hello " + text,
}


def with_feature(rows: list[tuple[str, str]], feature: str) -> list[tuple[str, str]]:
    change = FEATURES[feature]
    return [(change(text) if label == "B" else text, label) for text, label in rows]


@pytest.mark.parametrize("feature", FEATURES)
def test_feature_that_gives_a_label_away_is_found(feature: str) -> None:
    rows = with_feature(labelled(range(600)), feature)

    findings = check_datasets({"sft": profile(rows)}, labels=LABELS)
    undeclared = check_datasets({"sft": profile(rows)})

    told = {"line ends": "with line end CRLF", "length": "from ", "first word": "with the same"}
    begin = f"`question` gives labels away by its {feature} in 200 of the 600 questions of sft"
    assert findings[0].check is Check.LABEL_LEAK
    assert findings[0].message.startswith(f"{begin} (of those {told[feature]}")
    assert ", 100% have 'B', of all 33%)" in findings[0].message
    assert ", 100% have one label, of all 33%)" in undeclared[0].message


def test_a_leak_in_several_datasets_is_one_finding_that_names_the_column() -> None:
    profiles = {
        role: profile(with_feature(labelled(numbers), "line ends"))
        for role, numbers in {"sft": range(600), "eval": range(900, 1200)}.items()
    }

    findings = check_datasets(profiles, column="Body")

    (only,) = (each for each in findings if each.check is Check.LABEL_LEAK)
    assert only.roles == ("sft", "eval")
    assert only.rows == 200
    assert only.message.startswith("`Body` gives labels away by its line ends in 200 of the 600")
    assert only.message.count("line ends") == 1
    assert (
        "questions of sft, 100 of the 300 questions of eval (of those with line end CRLF"
        in only.message
    )


def test_all_values_of_a_feature_are_told_by_the_rows_that_have_them() -> None:
    rows = [
        (f"{LABELS[number % 3]}{number % 15} {text}", label)
        for number, (text, label) in enumerate(labelled(range(600)))
    ]

    (only,) = found({"sft": profile(rows)}, Check.LABEL_LEAK)

    assert only.rows == 600
    assert "by its first word in 600 of the 600 questions of sft" in only.message
    assert only.message.count("first word") == 1


def test_feature_that_all_labels_share_is_no_leak() -> None:
    rows = [(text + "\r\nend", label) for text, label in labelled(range(600))]

    assert found({"sft": profile(rows)}, Check.LABEL_LEAK) == []


def test_feature_of_the_commonest_label_is_no_leak_for_that_alone() -> None:
    rows = [(question(number), "A" if number % 20 else "B") for number in range(600)]

    assert found({"sft": profile(rows)}, Check.LABEL_LEAK) == []


def test_a_question_gives_its_label_away_once_however_often_it_is_repeated() -> None:
    """Twenty questions, each with a first word and a length of its own, prove nothing."""
    questions = [(f"case{number} {question(number, 5 + 3 * number)}") for number in range(20)]
    rows = [(text, LABELS[number % 2]) for number, text in enumerate(questions)] * 25

    findings = check_datasets({"eval": profile(rows)}, labels=LABELS[:2])

    assert [each.check for each in findings] == [Check.REPEATED_QUESTIONS]
    assert findings[0].rows == 480
    assert findings[0].message == (
        "480 rows of eval repeat the question of another: errors and the gate count each "
        "question once, so these add little; keep one of each"
    )


def test_a_leak_is_found_among_repeated_questions_too() -> None:
    rows = with_feature(labelled(range(600)), "first word") * 3

    (only,) = found({"eval": profile(rows)}, Check.LABEL_LEAK)

    assert "in 200 of the 600 questions of eval" in only.message


def test_a_profile_of_an_earlier_version_gives_no_label_away() -> None:
    before = profile(with_feature(labelled(range(600)), "length"))
    with np.load(io.BytesIO(before.to_bytes())) as file:
        arrays = {name: file[name] for name in file if name != "features"}
    earlier = io.BytesIO()
    np.savez(earlier, **arrays)

    after = DatasetProfile.from_bytes(earlier.getvalue())

    assert found({"sft": before}, Check.LABEL_LEAK)
    assert found({"sft": after}, Check.LABEL_LEAK) == []


def test_a_training_set_may_repeat_questions_and_some_rows() -> None:
    some = labelled(range(100))
    profiles = {"sft": profile([*some, *some[:90]]), "rft": profile(labelled(range(60, 160)))}

    assert check_datasets(profiles) == []


@pytest.mark.parametrize("role", ["sft", "rft", "dpo"])
def test_a_file_joined_twice_is_found(role: str) -> None:
    rows = labelled(range(100))

    (finding,) = check_datasets({role: profile([*rows, *reversed(rows)])})

    assert (finding.check, finding.policy) == (Check.REPEATED_ROWS, FindingPolicy.WARN)
    assert (finding.roles, finding.rows) == ((role,), 100)
    assert "100 rows of" in finding.message


def test_the_same_rows_in_both_trainings_are_found_whatever_their_order() -> None:
    rows = labelled(range(100))
    profiles = {"sft": profile(labelled(range(250))), "rft": profile(rows[::-1])}

    (finding,) = check_datasets(profiles)

    assert (finding.check, finding.roles, finding.rows) == (Check.SHARED_ROWS, ("rft", "sft"), 100)
    # Another answer makes another row.
    other = profile([(text, {"A": "B", "B": "C", "C": "A"}[label]) for text, label in rows])
    assert found({**profiles, "rft": other}, Check.SHARED_ROWS) == []


def test_a_declared_label_without_rows_is_named_and_another_is_not() -> None:
    profiles = {"sft": profile(labelled(range(300)))}

    (finding,) = check_datasets(profiles, labels=(*LABELS, "D"))

    assert finding.message == "the rarest label of sft, 'D', has 0 rows, the commonest 100"


def test_an_imbalance_is_told_without_labels() -> None:
    rows = [(question(number), "no" if number % 50 else "yes") for number in range(300)]

    (finding,) = check_datasets({"sft": profile(rows)})

    assert finding.message == "the rarest label of sft has 6 rows, the commonest 294"


@pytest.mark.parametrize(("rare", "findings"), [(30, 0), (29, 1)])
def test_imbalance_begins_beyond_ten_to_one(rare: int, findings: int) -> None:
    rows = [(question(number), "A" if number < 300 else "B") for number in range(300 + rare)]

    assert len(found({"sft": profile(rows)}, Check.IMBALANCE)) == findings


def test_leak_message_holds_no_word_of_the_text() -> None:
    rows = with_feature(labelled(range(600)), "first word")

    findings = check_datasets({"sft": profile(rows)})

    assert findings
    assert "hello" not in str(findings)


def test_profile_survives_storage() -> None:
    before = profile(labelled(range(300)))

    after = DatasetProfile.from_bytes(before.to_bytes())

    other = profile(labelled(range(250, 400)))
    assert check_datasets({"sft": after, "eval": other}) == check_datasets(
        {"sft": before, "eval": other}
    )
    with pytest.raises(ValueError, match="not a dataset profile"):
        DatasetProfile.from_bytes(b"something else")


def test_policy_is_the_users_choice_but_not_to_drop_what_is_no_row() -> None:
    profiles = {"sft": profile(labelled(range(100))), "eval": profile(labelled(range(99, 150)))}

    assert (
        found(profiles, Check.SHARED_QUESTIONS, FindingPolicy.DROP)[0].policy is FindingPolicy.DROP
    )
    with pytest.raises(ValueError, match="use refuse or warn"):
        check_datasets(profiles, {Check.IMBALANCE: FindingPolicy.DROP})


def test_rows_longer_than_the_model_reads_are_counted() -> None:
    rows = [(question(number, words), "A") for number, words in enumerate([10, 10, 2_000, 4_000])]
    profiles = {"sft": profile(rows), "rft": profile(rows), "eval": profile(labelled(range(9)))}
    longest = profiles["sft"].tokens.max

    findings = check_datasets(profiles, None, {"sft": 3_000, "rft": longest, "dpo": 1})

    (finding,) = [each for each in findings if each.check is Check.LONG_ROWS]
    assert (finding.roles, finding.rows, finding.policy) == (("sft",), 2, FindingPolicy.WARN)
    assert f"max_length (3000) tokens, the longest {longest}" in finding.message


def test_sampled_profiles_give_a_lower_bound_and_say_so() -> None:
    hashes = np.arange(1_000, dtype=np.uint64)
    none = SignatureSketch(hashes[:0], np.zeros((0, 64), np.uint32), np.zeros((0, 3), np.uint16), 0)

    def of(sketch: RowSketch) -> DatasetProfile:
        return DatasetProfile(1_000, None, sketch, none, Histogram().distribution())

    every = RowSketch(hashes, np.ones(1_000, np.uint32), 0)
    half = RowSketch(hashes[::2], np.ones(500, np.uint32), 1)

    (finding,) = check_datasets({"sft": of(half), "eval": of(every)})

    assert finding.message == "at least 500 rows of eval also stand in sft"


def test_one_reference_for_all_questions_is_told() -> None:
    """A model that always gives it earns the full reward, and learns nothing else."""
    long = "the same words again and again and more of them than a label ever has " * 2
    for answer in ("A", long):
        same = profile([(question(number), answer) for number in range(50)])
        (finding,) = found({"rft": same}, Check.SAME_REFERENCES)
        assert finding.rows == 50
        assert finding.policy is FindingPolicy.WARN
        assert "all 50 rows of rft have the same reference answer" in finding.message
        assert answer not in finding.message.split()
        assert not found({"sft": same}, Check.SAME_REFERENCES)
    several = profile([(question(number), "AB"[number == 49]) for number in range(50)])
    alone = profile([(question(1), "A")])
    assert not found({"rft": several}, Check.SAME_REFERENCES)
    assert not found({"rft": alone}, Check.SAME_REFERENCES)


def test_rows_without_references_have_not_the_same_one() -> None:
    turns = [[{"role": "user", "content": f"q{number}"}] for number in range(9)]
    data = "".join(json.dumps({"messages": messages}) + "\n" for messages in turns).encode()
    options = DatasetOptions(source_format=SourceFormat.JSONL)
    converted = convert([data], {RowFormat.RFT: lambda _: None}, options, lambda _: None)
    assert converted.ok
    assert not found({"rft": converted.profile}, Check.SAME_REFERENCES)
