"""Files that are no experiment: what is wrong, where, and what to do."""

from __future__ import annotations

import pytest

from novaloop.experiment.validation.reading import MAX_PROBLEMS, read_spec
from novaloop.problem import Invalid

PROCESSOR = "arn:aws:lambda:us-east-1:123456789012:function:nova-SageMaker-scorer"


def errors_of(text: str) -> list[str]:
    with pytest.raises(Invalid) as refused:
        read_spec(text.encode())
    return list(map(str, refused.value.problems))


@pytest.mark.parametrize(
    ("text", "where", "advice"),
    [
        ("model: [nova\n", "line 2, column 1: is not YAML: ", "close what was opened"),
        ("gate:\n\tmetric: em\n", "line 2, column 1: is not YAML: ", "indent with spaces"),
        ("system_prompt: Sort: this\n", "line 1, column 20: ", "put a text with a colon in quotes"),
        ("model: nova-pro\nmodel: nova-lite\n", "line 2, column 1: ", "`model` stands twice"),
        ("gate:\n  at_least: 0\n  at_least: 1\n", "line 3, column 3: ", "`at_least` stands twice"),
        ("model: nova-lite\n---\nmodel: nova-pro\n", "line 2, column 1: ", "keep one of them"),
        ("system_prompt: @all\n", "line 1, column 16: ", "begins with it in quotes"),
        ("system_prompt: !!Important\n", "line 1, column 16: ", "begins with ! in quotes"),
        ("labels: [a, b]\nmodel: 'a\0b'\n", "line 2: ", "U+0000 is not allowed; remove it"),
        ("system_prompt: 2020-13-45\n", "line 1, column 16: ", "put a text in quotes"),
        ("budget_usd: 0b_\n", "line 1, column 13: ", "this is no int"),
        ("? [a, b]\n: x\n", "line 1, column 3: ", "unhashable key"),
        ("- sft\n- rft\n", "must hold `key: value` lines", "such as `model: nova-lite-2`"),
        ("hello\n", "must hold `key: value` lines", "such as `model: nova-lite-2`"),
    ],
)
def test_what_is_not_yaml_is_told_with_line_and_advice(text: str, where: str, advice: str) -> None:
    (error,) = errors_of(text)
    assert error.startswith(where)
    assert advice in error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("plan: sft", "plan: must be a list, such as `[a, b]`"),
        ("plan: []", "plan: must have at least 1 item after validation, not 0"),
        ("plan:", "plan: has no value; give it one, or leave it out"),
        ("plan: [evaluate]", "plan[0].evaluate.name: is missing; add it"),
        ("gate: exact_match", "gate: must be keys with values, such as `{key: value}`"),
        ("gate: {confidence: 95}", "gate.confidence: must be less than 1"),
        ("labels: [1, b]", "labels[0]: must be a text; put it in quotes"),
        ("system_prompt: 2020-01-01", "system_prompt: must be a text; put it in quotes"),
        ("dry_run: perhaps", "dry_run: must be true or false"),
        ("approval: yes", "approval: must be one of auto, manual"),
        ("budget_usd: -3", "budget_usd: must be greater than 0"),
        ("budget_usd: .inf", "budget_usd: must be a finite number"),
        ("budget_usd: lots", "budget_usd: must be a number"),
        ("delimiter: ';;'", "delimiter: must have at most 1 character"),
        ("delimiter: '\"'", "delimiter: divides no cells; write the character that does"),
        ('delimiter: "\\n"', "delimiter: divides no cells; write the character that does"),
        ('delimiter: "\\0"', "delimiter: divides no cells; write the character that does"),
        ("encoding: idna", "encoding: is not a known text encoding; try utf-8 or cp1252"),
        ('encoding: "utf_8\\0"', "encoding: is not a known text encoding; try utf-8 or cp1252"),
        ("encoding: base64", "encoding: is not a known text encoding; try utf-8 or cp1252"),
        ("encoding: ''", "encoding: is not a known text encoding; try utf-8 or cp1252"),
        ("split: {sft: many, eval: 1, rft: 1}", "split.sft: must be a number"),
        (
            "columns: {anwser: x}",
            "columns.anwser: is no field, and near to `answer`; correct or rename it",
        ),
        (
            "columns: {Question: x}",
            "columns.Question: is no field, and near to `question`; correct or rename it",
        ),
        ("columns: {int: [1]}", "columns.int: must be a text; put it in quotes"),
        ("checks: {label-leak: maybe}", "checks.label-leak: must be one of refuse, drop, warn"),
        (
            "plan: [{sft: {stop_on: [reward_collapse]}}]",
            "plan[0].sft.stop_on[0]: must be one of loss_divergence, no_learning, stalled_training",
        ),
        (
            f"labels: [{', '.join(f'l{n}' for n in range(151))}]",
            (
                "labels: 151 are given; at most 150 fit into a score with its confusion matrix; "
                "merge rare ones, or leave labels out, so that answers are compared as texts"
            ),
        ),
        (
            f"labels: [{', '.join(f'l{n}' for n in range(150))}]\ngate: {{at_least: 0.5, "
            "conditions: ["
            + "{not_worse_than: baseline, margin: 0.1, each_class: true}, " * 2
            + "]}",
            (
                "gate: asks for 301 things, and at most 300 fit into its verdict; ask for less of "
                "each class, or merge rare labels"
            ),
        ),
        (
            "gate: {at_least: 70}",
            (
                "gate.at_least: exact_match lies between 0 and 1, and 70 does not; write a level "
                "between them"
            ),
        ),
        (
            "labels: [good, bad]\ngate: {class_floors: {bad: 70}}",
            "gate.class_floors.bad: must be less than or equal to 1",
        ),
        (
            "gate: {at_least: 0,5, confidence: 0.9}",
            "line 1, column 18: this number has a comma before its decimals; write 0.5",
        ),
        (
            "gate: {confidence: 0.9, at_least: 1.234,5}",
            "line 1, column 35: this number has a comma before its decimals; write 1234.5",
        ),
        (
            "plan: [{sft: {overrides: {lr: 1,5e-5}}}]",
            "line 1, column 31: this number has a comma before its decimals; write 1.5e-5",
        ),
        (
            "budget_usd: 2.500,00",
            "budget_usd: must be a number; decimals stand behind a point: 2500.00",
        ),
        (
            'gate: {at_least: "0,5"}',
            "gate.at_least: must be a number; decimals stand behind a point: 0.5",
        ),
        ("budget_usd: much", "budget_usd: must be a number"),
        (
            "reward: {type: weighted, parts: [{reward: {type: nmeric}}]}",
            (
                "reward.parts[0].reward: type must be one of label, exact, numeric, regex, json, "
                "f1, custom"
            ),
        ),
    ],
)
def test_a_wrong_setting_is_told_once_with_its_path(text: str, error: str) -> None:
    assert errors_of(text) == [error]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "budget_usd: -1\ngate: {better_than: nothing}",
            ["budget_usd", "gate.better_than: no earlier evaluation is called nothing"],
        ),
        (
            (
                "plan: [{evaluate: first}, {sft: {overides: {}}}, {evaluate: last}]\n"
                "gate: {better_than: frist, at_least: 70}"
            ),
            ["plan[1].sft.overides", "gate.better_than", "gate.at_least"],
        ),
        (
            "labels: [a, b]\nsplit: {sft: 1, eval: x, rft: 1}\ngate: {class_floors: {c: 0.5}}",
            ["split.eval", "gate.class_floors: c is not one of labels"],
        ),
        (
            "dry_run: perhaps\nplan: [{rft: {}}, {sft: {}}, {evaluate: a}, {evaluate: a}]",
            ["dry_run", "plan: two stages are called a", "plan[1].sft: supervised"],
        ),
        (
            "split: {sft: 200, rft: 0.3, eval: 80}",
            ["split: rows (sft, eval) and fractions (rft) can't be mixed; give whole numbers"],
        ),
        (
            "split: {sft: 0.5, rft: 0, eval: 80, dpo: 0.1}",
            ["split: rows (eval) and fractions (sft, dpo) can't be mixed"],
        ),
        ("split: {sft: 0.5, rft: 0, eval: 0.6}", ["split: fractions add up to at most 1"]),
        ("gate: {confidance: 0.9, better_than: nothing}", ["gate.confidance", "gate.better_than"]),
        (
            "gate: {not_worse_than: baseline, each_class: true}",
            ["gate.each_class: the experiment has no labels", "gate.margin: not_worse_than needs"],
        ),
        ("gate: {margin: 0.1}", ["gate.margin: is for not_worse_than, which is not there"]),
        ("gate: {not_worse_than: baseline, margin: 1}", ["gate.margin: exact_match lies between"]),
        ("gate: {not_worse_than: baseline, margin: 0}", ["gate.margin: must be greater than 0"]),
        (
            "labels: [good, not so good]\ngate: {metric: bleu, at_least: 20}",
            ["gate.metric: bleu counts 4 words in a row, and no label has as many"],
        ),
        (
            (
                f"plan: [evaluate: {{name: a}}, evaluate: {{name: b, processor: '{PROCESSOR}'}}]\n"
                "gate: {metric: politeness, better_than: a}"
            ),
            ["gate.better_than: politeness is a total that a processor reports"],
        ),
        ("gate: {tier: could}", ["gate.tier: must be one of must, should"]),
        (
            "gate: {conditions: [{at_least: 2}, {}, {evaluation: none, at_least: 0}]}",
            [
                "gate.conditions[0].at_least: exact_match lies between 0 and 1",
                "gate.conditions[1]: asks for nothing",
                "gate.conditions[2].evaluation: no evaluation is called none",
            ],
        ),
        (
            "gate: {conditions: [{not_worse_than: baseline, margn: 0.1}]}",
            ["gate.conditions[0].margn: is not a known setting; did you mean margin?"],
        ),
    ],
)
def test_what_contradicts_itself_is_told_with_what_is_wrong_by_itself(
    text: str, expected: list[str]
) -> None:
    errors = errors_of(text)
    assert len(errors) == len(expected), errors
    for start in expected:
        assert any(error.startswith(start) for error in errors), start


@pytest.mark.parametrize(
    "text",
    [
        "plan: [{evaluate: {nmae: a}}, {evaluate: b}]\ngate: {evaluation: b, better_than: a}",
        "plan: [{evaluate: {name: A, task: mmlu}}]\ngate: {evaluation: a}",
        "plan: [{evaluate: {name: a, task: mlmu}}]\ngate: {metric: accuracy}",
        "plan: [{evaluate: {name: a, procesor: f}}]\ngate: {metric: mine}",
        "plan: [{evaluat: a}]\ngate: {evaluation: a}",
        "laebls: [a, b]\ngate: {class_floors: {a: 0.5}}",
        "labels: [1, a]\ngate: {class_floors: {a: 0.5}}",
        "plan: [{evaluate: {name: a, task: mmlu}}]\ngate: {metric: 7}",
        "plan: [{evaluate: {name: a, task: mmlu}}]\ngate: {metrc: accuracy}",
        "plan: [{sft: {peft: lroa}}, {rft: {peft: full}}]",
        "checkpont: s3://escrow/there/1\nplan: [{deploy: {}}]",
        "runtime: bedrok\ngate: {better_than: anything}",
    ],
)
def test_what_only_follows_from_another_error_is_not_told(text: str) -> None:
    errors = errors_of(text)
    assert not [
        each
        for each in errors
        if "no evaluation is called" in each
        or "no earlier evaluation" in each
        or "leaves no rows" in each
        or "is none of" in each
        or "not one of labels" in each
        or "must stay" in each
        or "nothing was trained" in each
    ], errors
    assert errors


def test_a_level_of_bleu_goes_up_to_100() -> None:
    gate = read_spec(b"gate: {metric: bleu, at_least: 30}").gate
    assert gate is not None
    assert gate.at_least == 30


def test_no_file_tells_more_errors_than_the_table_holds() -> None:
    errors = errors_of("".join(f"{'k' * 1000}{n}: 1\n" for n in range(200)))
    assert errors[-1] == f"and {200 - MAX_PROBLEMS} more problems; mend these first"
    assert len("".join(errors)) < 200_000


@pytest.mark.parametrize("model", ["nova-micro", "nova-lite", "nova-pro"])
def test_a_default_plan_that_does_not_suit_the_model_is_told_of_the_model(model: str) -> None:
    """Nobody wrote the lines of that plan, so nobody could find them."""
    written = f"model: {model}\ngate: {{metric: exact_match, evaluation: nothing}}\n"
    first, *others = errors_of(written)
    assert first == f"model: the default plan is for nova-lite-2; write a `plan:` for {model}"
    assert not any(error.startswith("plan[") for error in others)
    assert len(others) == 1


@pytest.mark.parametrize("written", [r"'\t'", r'"\t"', r"\t"])
def test_a_tab_may_be_written_as_it_is_shown(written: str) -> None:
    """The advice for a file of tabs says `delimiter: '\\t'`, and that was refused."""
    assert read_spec(f"delimiter: {written}".encode()).delimiter == "\t"


@pytest.mark.parametrize("field", ["question_id", "answers", "answer2", "difficulty", "source"])
def test_fields_that_rows_only_carry_may_be_called_anything_else(field: str) -> None:
    assert read_spec(f"columns: {{{field}: x}}".encode()).columns == {field: "x"}
