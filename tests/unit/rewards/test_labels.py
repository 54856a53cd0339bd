import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaloop.rewards.answers import strip_solution_markers
from novaloop.rewards.labels import LabelReader

QUALITY = LabelReader(["HQ", "LQ_EDIT", "LQ_CLOSE"])
DIGITS = LabelReader(["0", "1", "-1"])
LANGUAGES = LabelReader(["C", "C++", "C#", "Objective C"])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("HQ", "HQ"),
        ("  LQ_EDIT\n", "LQ_EDIT"),
        ("<|begin_of_solution|>HQ<|end_of_solution|>", "HQ"),
        ("let me think<|begin_of_solution|> HQ <|end_of_solution|> LQ_EDIT", "HQ"),
        ("HQ<|end_of_solution|>", "HQ"),
        ("HQ.", None),
        ("hq", None),
        ("LQ EDIT", None),
        ("", None),
    ],
)
def test_strict_reading_takes_the_whole_answer(text: str, label: str | None) -> None:
    assert QUALITY.strict(text) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("HQ", "HQ"),
        ("HQ.", "HQ"),
        ("The answer is HQ", "HQ"),
        ("**LQ_EDIT**", "LQ_EDIT"),
        ("__HQ__", "HQ"),
        ("_LQ_CLOSE_", "LQ_CLOSE"),
        ("lq edit", "LQ_EDIT"),
        ("LQ-EDIT", "LQ_EDIT"),
        ("lqedit", "LQ_EDIT"),
        ("`HQ`\n\nIt has a clear title.", "HQ"),
        ("\u201cHQ\u201d", "HQ"),
        ("HQ's my choice", "HQ"),
        ("", None),
        ("no idea", None),
    ],
)
def test_lenient_reading_of_one_mention(text: str, label: str | None) -> None:
    assert QUALITY.lenient(text) == label


@pytest.mark.parametrize(
    "text", ["HQs", "XHQ", "non-HQ", "HQ-like", "HQ_EDIT", "preHQ", "LQ_EDITED", "LQ", "shqip"]
)
def test_never_a_label_inside_a_longer_word(text: str) -> None:
    assert QUALITY.lenient(text) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("not HQ", None),
        ("It isn't an HQ question", None),
        ("neither HQ nor LQ_EDIT", None),
        ("It's not **HQ** but LQ_CLOSE", "LQ_CLOSE"),
        ("LQ_EDIT rather than LQ_CLOSE", "LQ_EDIT"),
        ("LQ_CLOSE instead of the HQ", "LQ_CLOSE"),
        ("a category of HQ", "HQ"),
    ],
)
def test_a_negated_mention_is_none(text: str, label: str | None) -> None:
    assert QUALITY.lenient(text) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("HQ or LQ_EDIT", None),
        ("HQ, LQ_EDIT, LQ_CLOSE", None),
        ("LQ_CLOSE could fit, but the answer is HQ since LQ_EDIT needs edits", "HQ"),
        ("The answer is HQ. Wait. Final answer: LQ_EDIT", "LQ_EDIT"),
        ("Between HQ and LQ_EDIT I classify this question as LQ_EDIT, over HQ", "LQ_EDIT"),
        ("**Category:** **LQ_CLOSE**\nHQ would need more detail", "LQ_CLOSE"),
        ("Answer:\nHQ\nAn LQ_EDIT has a low score", "HQ"),
        ("**HQ**\n\nAn LQ_EDIT has a low score, an LQ_CLOSE too", "HQ"),
        ("HQ has no edits.\nLQ_EDIT has.\nSo I choose LQ_EDIT", "LQ_EDIT"),
        ("- HQ\n- LQ_EDIT\n- LQ_CLOSE\nNone of HQ, LQ_EDIT", None),
    ],
)
def test_several_labels_are_decided_by_rule_or_not_at_all(text: str, label: str | None) -> None:
    assert QUALITY.lenient(text) == label


@pytest.mark.parametrize(
    ("reader", "text", "label"),
    [
        (DIGITS, "-1", "-1"),
        (DIGITS, "-1.", "-1"),
        (DIGITS, "The answer is 1.", "1"),
        (DIGITS, "10", None),
        (DIGITS, "1.5", None),
        (DIGITS, "3.1", None),
        (LabelReader(["0", "1"]), "-1", None),
        (LANGUAGES, "It's C++.", "C++"),
        (LANGUAGES, "c#", "C#"),
        (LANGUAGES, "objective-c", "Objective C"),
        (LabelReader(["LQ", "LQ_EDIT"]), "lq edit", "LQ_EDIT"),
        (LabelReader(["LQ", "LQ_EDIT"]), "lq editing", "LQ"),
        (LabelReader(["ПЛОХО", "ХОРОШО"]), "Ответ: хорошо!", "ХОРОШО"),
    ],
)
def test_other_label_sets(reader: LabelReader, text: str, label: str | None) -> None:
    assert reader.lenient(text) == label


SPAM = LabelReader(["Spam", "Ham"])
TOPICS = LabelReader(["billing", "shipping", "returns"])
TRUTH = LabelReader(["true", "false"])
FEELINGS = LabelReader(["positive", "negative", "neutral"])


@pytest.mark.parametrize(
    ("reader", "text", "label"),
    [
        (SPAM, "Spam. Actually: Ham", "Ham"),
        (SPAM, "Spam. Actually, Ham.", "Ham"),
        (SPAM, "Spam\n\nActually, it is Ham.", "Ham"),
        (SPAM, "Spam - no wait, Ham", "Ham"),
        (SPAM, "Spam\nCorrection: Ham", "Ham"),
        (SPAM, "Answer: Spam\nEdit: Ham", "Ham"),
        (SPAM, "Spam. On second thought, ham.", "Ham"),
        (SPAM, "Spam. Sorry, I meant Ham.", "Ham"),
        (SPAM, "Spam: 3%", None),
        (SPAM, "Spam: 97%", "Spam"),
        (SPAM, "Spam: 3%\nHam: 97%", None),
        (SPAM, "Spam (0.03)", None),
        (SPAM, "Spam (0.97)", "Spam"),
        (SPAM, "Spam (confidence: 90%)", "Spam"),
        (SPAM, "Spam: 0", None),
        (SPAM, "Spam (95% sure)", "Spam"),
        (SPAM, "if it has links Spam, otherwise Ham", None),
        (SPAM, "If the sender is known: Ham, otherwise Spam.", None),
        (SPAM, "If it has links, it is Spam; otherwise it is Ham.", None),
        (SPAM, "Spam if it has links, else Ham", None),
        (SPAM, "[x] Spam [ ] Ham", "Spam"),
        (SPAM, "- [ ] Spam\n- [X] Ham", "Ham"),
        (SPAM, "[ ] Spam [ ] Ham", None),
        (SPAM, "[x] Spam [x] Ham", None),
        (SPAM, "☐ Spam ☒ Ham", "Ham"),
        (SPAM, "☒ Spam ☑ Ham", "Ham"),
        (SPAM, "☒ Spam", None),
        (SPAM, "[x] Spam: it has links\n[ ] Ham", "Spam"),
        (TRUTH, "!true", None),
        (TRUTH, "¬true", None),
        (TRUTH, "not(true)", None),
        (TRUTH, "!= true", None),
        (TRUTH, "Great! true", "true"),
        (TRUTH, "it's !false", None),
        (
            SPAM,
            "<|channel|>analysis<|message|>Spam?<|end|><|channel|>final<|message|>Ham<|return|>",
            "Ham",
        ),
        (SPAM, "<|channel|>analysis<|message|>Looks like Spam", None),
        (
            SPAM,
            "<|channel|>analysis<|message|>Spam?<|end|><|start|>assistant<|channel|>commentary<|message|>Spam<|end|>",
            None,
        ),
        (SPAM, '<|channel|>final <|constrain|>json<|message|>{"label": "Ham"}', "Ham"),
        (SPAM, "analysisWe need to classify. Spam probably.assistantfinalHam", "Ham"),
        (SPAM, "analysis of the text: Spam", "Spam"),
        (SPAM, "<cot>Spam?</cot>Ham", "Ham"),
        (SPAM, "<cot>Spam", None),
        (SPAM, "<chain_of_thought>Spam</chain_of_thought>\nHam", "Ham"),
        (SPAM, "<rationale>Spam words</rationale>Ham", "Ham"),
        (SPAM, "<reason>Spam words</reason>Ham", "Ham"),
        (SPAM, "Ham\n<explanation>not Spam</explanation>", "Ham"),
        (SPAM, "<explanation>Spam words</explanation>", None),
        (SPAM, "<thinking>Spam</thinking>Ham", "Ham"),
        (SPAM, "<seed:think>Spam</seed:think>Ham", "Ham"),
        (TOPICS, "Primary category: billing\nSecondary category: shipping", "billing"),
        (TOPICS, "Category: billing\nAlternative category: shipping", "billing"),
        (TOPICS, "Label: billing (second choice: returns)", "billing"),
        (TOPICS, "wrong answer: billing", None),
        (TOPICS, "Incorrect label: billing\nCorrect label: shipping", "shipping"),
        (FEELINGS, "Sentiment: negative\nConfidence: neutral", "negative"),
        (TOPICS, '{"chosen": "billing", "rejected": "shipping"}', "billing"),
        (SPAM, "Spam: none", None),
        (SPAM, "Spam: no\nHam: yes", "Ham"),
        (SPAM, "It is spam, no doubt.", "Spam"),
        (SPAM, "free of spam", None),
        (SPAM, "Is it spam? Absolutely.", "Spam"),
        (SPAM, "p(spam)=0.9", None),
        (SPAM, "No, this is ham.", "Ham"),
        (SPAM, "The mail is not spam. No, it's ham.", "Ham"),
        (SPAM, "Is this spam? No, ham.", "Ham"),
        (FEELINGS, "Positive words, but actually: negative", "negative"),
        (LabelReader(["yes", "no"]), "No. 5 is the largest.", None),
        (LabelReader(["1", "2", "3"]), "Rating: 3+", None),
    ],
)
def test_what_is_taken_back_shared_out_ticked_or_set_aside(
    reader: LabelReader, text: str, label: str | None
) -> None:
    assert reader.lenient(text) == label


@pytest.mark.parametrize(
    ("reader", "text", "label"),
    [
        (SPAM, "<answer>spam</answer><answer>ham</answer>", None),
        (SPAM, "<label>spam</label>\n\n<label>ham</label>", None),
        (SPAM, "<answer>ham</answer> and once more <answer>Ham.</answer>", "Ham"),
        (SPAM, "<answer>spam</answer> Hmm, I misread it. <answer>ham</answer>", "Ham"),
        (SPAM, "I write it in <answer> tags. <answer>ham</answer>", "Ham"),
        (SPAM, "<category>spam</category><answer>ham</answer>", "Ham"),
        (TOPICS, "Category: billing\nCategory: shipping", None),
        (TOPICS, "- **Category:** billing\n- **Category:** returns\n", None),
        (TOPICS, "Ticket 1\nTopic: billing\nTicket 2\nTopic: returns", None),
        (TOPICS, '{"topic": "billing"}\n{"topic": "returns"}', None),
        (TOPICS, "Label: billing\nLabel: billing", "billing"),
        (
            TOPICS,
            "Label: billing\nThat was too quick: he sends it back.\nLabel: returns",
            "returns",
        ),
        (TOPICS, "Label: billing\n\nFinal label: returns", "returns"),
        (TOPICS, "Answer: billing\nSummary: a double charge", "billing"),
        (FEELINGS, 'He says "it is positive", and means the contrary: negative', "negative"),
        (
            FEELINGS,
            "The title \u201cnot a negative review\u201d aside, it is negative.",
            "negative",
        ),
        (FEELINGS, 'The text says "positive" three times.', None),
        (FEELINGS, "I am positive that this is negative.", "negative"),
        (SPAM, 'It asks: "Is this spam?" \u2013 it is ham', "Ham"),
        (LabelReader(["bug", "question"]), "Great question! I will look it up.", None),
        (LabelReader(["yes", "no"]), "No worries! Which order is it?", None),
        (LabelReader(["yes", "no"]), "Yes, I'd be happy to help.", None),
        (LabelReader(["yes", "no"]), "Yes, I think so.", "yes"),
        (LabelReader(["긍정", "부정"]), "긍정이라고 보기에는 어렵고 부정에 가깝다.", "부정"),
    ],
)
def test_what_is_given_twice_reported_or_only_a_phrase(
    reader: LabelReader, text: str, label: str | None
) -> None:
    assert reader.lenient(text) == label


@pytest.mark.parametrize(
    "labels", [[], [""], [" HQ"], ["yes", "Yes"], ["LQ_EDIT", "LQ EDIT"], ["a", "a"]]
)
def test_labels_that_cannot_be_told_apart_are_refused(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="label"):
        LabelReader(labels)


def test_only_the_last_solution_block_counts() -> None:
    text = "<|begin_of_solution|>a<|end_of_solution|><|begin_of_solution|> b <|end_of_solution|>c"
    assert strip_solution_markers(text) == "b"


@given(st.text(alphabet="HQLEDITCOS_- .\n*not:is", max_size=80))
def test_strict_implies_lenient_and_only_known_labels_come_out(text: str) -> None:
    strict, lenient = QUALITY.strict(text), QUALITY.lenient(text)
    assert lenient in {None, *QUALITY.labels}
    assert strict is None or strict == lenient


@pytest.mark.parametrize("unit", ["HQ LQ_EDIT ", "HQ\nLQ_EDIT\n", "lq_", "not ", "classified x "])
def test_reading_time_grows_with_the_length_only(unit: str) -> None:
    started = time.process_time()
    QUALITY.lenient(unit * 50_000)
    assert time.process_time() - started < 60  # two at most here


SENTIMENT = ("positive", "negative", "neutral")
ARABIC = ("\u0625\u064a\u062c\u0627\u0628\u064a", "\u0633\u0644\u0628\u064a")
CHINESE = ("\u6b63\u9762", "\u8d1f\u9762", "\u4e2d\u6027")


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        (SENTIMENT, "Positive\n\n(Wait, re-reading: it's sarcastic. Final: negative)", "negative"),
        (SENTIMENT, "Positive. **Final:** neutral", "neutral"),
        (SENTIMENT, "The sentiment isn't so much negative as neutral.", "neutral"),
        (SENTIMENT, "It's not so much positive as negative.", "negative"),
        (SENTIMENT, "No: negative.", "negative"),
        (SENTIMENT, "No: positive\nYes: negative", "negative"),
        (SENTIMENT, "My answer: ~~positive~~ negative", "negative"),
        (SENTIMENT, "<del>positive</del> negative", "negative"),
        (SENTIMENT, "~~positive~~", None),
        (("HQ", "LQ_EDIT"), "LQ\\_EDIT", "LQ_EDIT"),
        (("HQ", "LQ_EDIT"), "The category is **LQ\\_EDIT**", "LQ_EDIT"),
        (tuple("ABCD"), "C++", None),
        (tuple("ABCD"), "C#", None),
        (tuple("ABCD"), "D.C. is the capital", None),
        (tuple("ABCD"), "D. C is wrong", "D"),
        (tuple("ABCD"), "C.", "C"),
        (ARABIC, ARABIC[0] + "\u0651", ARABIC[0]),
        (CHINESE, "\u8d1f\u9762\u60c5\u7eea\u4e0d\u591a\uff0c\u603b\u4f53\u6b63\u9762", CHINESE[0]),
    ],
)
def test_what_was_misread_in_the_field(
    labels: tuple[str, ...], text: str, label: str | None
) -> None:
    assert LabelReader(labels).lenient(text) == label
