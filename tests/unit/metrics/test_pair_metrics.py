"""The metrics against values of lighteval 0.10 and sacrebleu 2.6, and against definitions."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaloop.metrics.bleu import corpus_bleu
from novaloop.metrics.defects import FirstPredictionBleu
from novaloop.metrics.estimates import Questions, mean
from novaloop.metrics.overlap import MAX_PAIRS, clipped_matches
from novaloop.metrics.pairs import VALUES, PairScorer, PairScores
from novaloop.metrics.tokens import (
    bare,
    mteval_13a,
    mteval_13a_count,
    quasi,
    quasi_set,
    rouge,
    rouge_count,
)

SHARED = Path(os.environ.get("NOVALOOP_SHARED", Path(__file__).parents[4] / "shared"))
CASES = SHARED / "contract" / "metric-cases.jsonl"
AGGREGATE = SHARED / "contract" / "metric-cases.aggregate.json"
TOLERANCE = 1e-9

LIGHTEVAL = ("em", "qem", "f1", "f1_score_quasi", "rouge1", "rouge2", "rougeL")
WHERE = [VALUES.index(name) for name in LIGHTEVAL]

# prediction, gold, then LIGHTEVAL as lighteval 0.10 gives them
RECORDED = [
    ("HQ", "HQ", (1, 1, 1, 1, 1, 0, 1)),
    ("HQ.", "HQ", (0, 1, 0, 1, 1, 0, 1)),
    (" HQ", "HQ", (1, 1, 1, 1, 1, 0, 1)),
    ("The answer is HQ", "HQ", (0, 0, 0.4, 0.5, 0.4, 0, 0.4)),
    ("LQ-EDIT", "LQ-EDIT", (1, 1, 1, 1, 1, 1, 1)),
    ("LQ-EDIT", "LQ_EDIT", (0, 0, 0, 0, 1, 1, 1)),
    ("LQ EDIT", "LQ-EDIT", (0, 1, 0, 1, 1, 1, 1)),
    ("LQ-EDIT", "LQ_CLOSE", (0, 0, 0, 0, 0.5, 0, 0.5)),
    ("LQ_CLOSE because it was closed", "LQ-EDIT", (0, 0, 0, 0, 0.25, 0, 0.25)),
    ("", "", (0, 0, 0, 0, 0, 0, 0)),
    ("nan", "HQ", (0, 0, 0, 0, 0, 0, 0)),
    ("1e999 Infinity", "inf inf", (0, 1, 0, 1, 0, 0, 0)),
    ("the 01", "1", (0, 1, 0, 1, 0, 0, 0)),
]

# predictions, golds, corpus BLEU as sacrebleu 2.6 gives it
RECORDED_BLEU = [
    (["The cat sat on the mat."], ["The cat sat on the mat."], 100.00000000000004),
    (["The cat sat on mat."], ["The cat sat on the mat."], 51.15078115793242),
    (["HQ", "HQ.", "LQ_EDIT"], ["HQ", "HQ", "LQ_CLOSE"], 0.0),
    (
        ["It costs $5.30, i.e. 5,30 &amp; not 6-7 more", "a b c d e"],
        ["It costs $5.30, i.e. 5,30 & not 6-8 more", "a b c x e"],
        79.55490387759717,
    ),
    (["", ""], ["a", "b"], 0.0),
    (["x y z w"], ["a b c d"], 0.0),
    (["a b c d e f"], ["d c b a f e"], 12.703318703865376),
]


def score(prediction: str, gold: str) -> PairScores:
    scorer = PairScorer()
    return scorer.score([(prediction, scorer.gold(gold))])[0]


def bleu_of(predictions: list[str], golds: list[str]) -> float:
    pairs = zip(predictions, golds, strict=True)
    statistics = [score(prediction, gold).bleu for prediction, gold in pairs]
    return float(corpus_bleu(np.sum(statistics, axis=0)))


@pytest.mark.parametrize(("prediction", "gold", "expected"), RECORDED)
def test_recorded_values(prediction: str, gold: str, expected: tuple[float, ...]) -> None:
    values = score(prediction, gold).values
    assert [values[index] for index in WHERE] == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(("predictions", "golds", "expected"), RECORDED_BLEU)
def test_recorded_corpus_bleu(predictions: list[str], golds: list[str], expected: float) -> None:
    assert bleu_of(predictions, golds) == pytest.approx(expected, abs=TOLERANCE)


def test_every_reference_case() -> None:
    if not CASES.exists():
        pytest.skip("the reference cases are not on this machine")
    scorer = PairScorer()
    cases = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    pairs = [(case["prediction"], scorer.gold(case["gold"])) for case in cases]
    batches = [pairs[at : at + MAX_PAIRS] for at in range(0, len(pairs), MAX_PAIRS)]
    results = [scores for batch in batches for scores in scorer.score(batch)]
    ours = np.array([result.values for result in results])[:, WHERE]
    reference = np.array([[case[name] for name in LIGHTEVAL] for case in cases])
    assert np.abs(ours - reference).max() < TOLERANCE

    aggregate = json.loads(AGGREGATE.read_text(encoding="utf-8"))
    all_different = Questions.of(np.arange(len(ours)))
    for name, column in zip(LIGHTEVAL, ours.T, strict=True):
        estimate = mean(column, all_different)
        assert estimate.value == pytest.approx(aggregate[name], abs=TOLERANCE)
        assert estimate.stderr == pytest.approx(aggregate[f"{name}_stderr"], abs=TOLERANCE)
    bleu = corpus_bleu(np.sum([result.bleu for result in results], axis=0))
    assert float(bleu) == pytest.approx(aggregate["corpus_bleu"], abs=TOLERANCE)


@pytest.mark.parametrize(
    ("predictions", "golds", "expected"),
    [
        (
            ["The answer is HQ because", "HQ", "LQ_EDIT"],
            ["HQ", "LQ_CLOSE", "LQ_EDIT"],
            10.68217515990,
        ),
        (["a b c d e", "zz"], ["a b c x y z", "b c d e"], 84.08964152537145),
    ],
)
def test_first_prediction_bleu_is_what_transposed_references_give(
    predictions: list[str], golds: list[str], expected: float
) -> None:
    scorer, defective = PairScorer(), FirstPredictionBleu()
    for prediction, gold in zip(predictions, golds, strict=True):
        defective.add(prediction, scorer.gold(gold))
    assert defective.value() == pytest.approx(expected)


PIECES = [
    "a",
    "the",
    "b",
    "1",
    "1e3",
    "-",
    ".",
    ",",
    " ",
    "  ",
    "\n",
    "-\n",
    "\t",
    "\xa0",
    "_",
    "%",
]
texts = st.lists(
    st.sampled_from([*PIECES, "(", "'", "&amp;", "&lt;", "<skipped>", "İ", "é", "nan", "3.5"]),
    max_size=25,
).map("".join)


def whole_text_13a(text: str) -> list[str]:
    """mteval-v13a's rules on the whole text: the way they are defined."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, character in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(entity, character)
    text = re.sub(r"([{-~\[-` -&(-+:-@/])", r" \1 ", f" {text} ")
    text = re.sub(r"([^0-9])([.,])", r"\1 \2 ", text)
    text = re.sub(r"([.,])([^0-9])", r" \1 \2", text)
    return re.sub(r"([0-9])(-)", r"\1 \2 ", text).split()


@given(texts)
def test_tokens_are_those_of_the_definitions(text: str) -> None:
    assert mteval_13a(text) == whole_text_13a(text)
    assert quasi_set(bare(text)) == set(quasi(text))
    assert rouge(text) == re.sub("[^a-z0-9]+", " ", text.lower()).split()
    assert rouge_count(text) in {None, len(rouge(text))}
    assert mteval_13a_count(text) in {None, len(mteval_13a(text))}


def longest_common_subsequence(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for token in one:
        previous = row
        row = [0]
        for index, theirs in enumerate(other):
            match = previous[index] + 1 if token == theirs else 0
            row.append(max(match, previous[index + 1], row[index]))
    return row[-1]


@given(
    st.lists(st.sampled_from(["ab", "b", "cc"]), max_size=90),
    st.lists(st.sampled_from(["ab", "b", "dd"]), max_size=90),
)
def test_rouge_l_is_that_of_the_longest_common_subsequence(
    one: list[str], other: list[str]
) -> None:
    expected = 2 * longest_common_subsequence(one, other) / (len(one) + len(other) or 1)
    rouge_l = score(" ".join(one), " ".join(other)).values[VALUES.index("rougeL")]
    assert rouge_l == pytest.approx(expected, abs=TOLERANCE)


def clipped(one: list[str], other: list[str], order: int) -> int:
    def grams(tokens: list[str]) -> Counter[tuple[str, ...]]:
        return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))

    return (grams(one) & grams(other)).total()


plain_texts = st.text(alphabet="ab_.,-' \n\t(\x1c\x00", max_size=40)


@given(plain_texts)
def test_tokens_of_a_plain_text_can_be_counted(text: str) -> None:
    assert rouge_count(text) == len(rouge(text))
    assert mteval_13a_count(text) in {None, len(whole_text_13a(text))}
    assert mteval_13a_count("It is (a-b), isn't it? So HQ_a") == 13


@given(plain_texts, plain_texts)
def test_long_answers_to_short_golds_score_as_any_others(prediction: str, gold: str) -> None:
    ours, theirs = whole_text_13a(prediction), whole_text_13a(gold)
    matches = [clipped(ours, theirs, order) for order in (1, 2, 3, 4)]
    assert score(prediction, gold).bleu[:6] == (len(ours), len(theirs), *matches)
    rouge_1, rouge_2 = score(prediction, gold).values[4:6]
    ours, theirs = rouge(prediction), rouge(gold)
    unigrams, bigrams = clipped(ours, theirs, 1), clipped(ours, theirs, 2)
    both = len(ours) + len(theirs)
    assert rouge_1 == pytest.approx(2 * unigrams / both if unigrams else 0)
    assert rouge_2 == pytest.approx(2 * bigrams / (both - 2) if bigrams else 0)


@given(texts, texts)
def test_bleu_statistics_equal_their_definition(prediction: str, gold: str) -> None:
    ours, theirs = whole_text_13a(prediction), whole_text_13a(gold)
    matches = [clipped(ours, theirs, order) for order in (1, 2, 3, 4)]
    totals = [max(0, len(ours) - order) for order in range(4)]
    assert score(prediction, gold).bleu == (len(ours), len(theirs), *matches, *totals)


words = st.lists(st.sampled_from("abcd"), max_size=30)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=MAX_PAIRS))
def test_pairs_of_a_batch_share_nothing(pairs: list[tuple[list[str], list[str]]]) -> None:
    expected = [[clipped(*pair, order) for order in (1, 2, 3, 4)] for pair in pairs]
    assert clipped_matches(*zip(*pairs, strict=True), 4).tolist() == expected


def test_n_grams_of_very_many_different_words_are_told_apart() -> None:
    gold = [str(word) for word in range(40_000)]
    prediction = [*gold[:30_000], *gold[35_000:], "new", *gold[2:7]]
    expected = [clipped(prediction, gold, order) for order in (1, 2, 3, 4)]
    assert clipped_matches([prediction], [gold], 4).tolist() == [expected]


@given(texts, texts)
def test_metrics_stay_in_range_and_memory_changes_nothing(prediction: str, gold: str) -> None:
    scorer = PairScorer()
    pair = (prediction, scorer.gold(gold))
    (first,) = scorer.score([pair])
    assert all(0 <= value <= 1 for value in first.values)
    assert scorer.score([pair, pair]) == [first, first] == [score(prediction, gold)] * 2


def test_texts_of_a_megabyte_take_seconds_at_most() -> None:
    text = "word, other-word. " * 30_000
    values = score(text + "end", text).values
    assert values[VALUES.index("rougeL")] > 0.99
