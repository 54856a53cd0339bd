"""JSON is read and written without loss: digits, keys and characters are kept or refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaloop.datasets.convert import convert
from novaloop.datasets.errors import RowRejected
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.reading.json_text import read_json, to_json

USER = {"role": "user", "content": "q"}


def converted(
    data: bytes, row_format: RowFormat, **options: Any
) -> tuple[DatasetSummary, bytes, list[dict[str, Any]]]:
    written: list[bytes] = []
    rejects: list[bytes] = []
    options = {"source_format": SourceFormat.JSONL, **options}
    summary = convert(
        [data], {row_format: written.append}, DatasetOptions(**options), rejects.append
    )
    return summary, b"".join(written), [json.loads(line) for line in rejects]


NUMBERS = [
    *(
        "12345678901234567890123",
        "-9223372036854775809",
        "18446744073709551615",
        "9007199254740993",
    ),
    *("0.1234567890123456789", "1.50", "100.0", "-0", "-0.0", "0", "0.0", "1E5", "1e-400", "7"),
    *("123456789012345678.0", "3.14159265358979323846264338327950288", "2.5e+3", "1e308"),
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_keeps_its_digits(number: str) -> None:
    for text in (
        number,
        f'{{"a":{number}}}',
        f'[{{"a":[1,{number}]}}]',
        f'{{"a":{number},"b":""}}',
    ):
        assert to_json(read_json(text)).decode() == text


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_of_a_reference_an_argument_and_a_field_keeps_its_digits(number: str) -> None:
    rft = f'{{"messages":[{{"role":"user","content":"q"}}],"reference_answer":{{"n":{number}}}}}'
    assert converted(rft.encode(), RowFormat.RFT)[1] == rft.encode() + b"\n"

    extra = f'{{"question":"q","answer":"a","level":{number}}}'.encode()
    assert (
        f'"level":{number}}}'.encode()
        in converted(extra, RowFormat.RFT, columns={"level": "level"})[1]
    )

    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": f'{{"n":{number}}}'},
    }
    turns = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
        {"role": "assistant", "content": "a"},
    ]
    chat = {"messages": turns, "tools": [{"type": "function", "function": function}]}
    assert (
        f'"input":{{"n":{number}}}'.encode()
        in converted(json.dumps(chat).encode(), RowFormat.SFT)[1]
    )

    arguments = f'{{"name":"f","arguments":{{"n":{number}}}}}'
    call_text = f'{{"id":"c","type":"function","function":{arguments}}}'
    prompt = f'{{"role":"assistant","tool_calls":[{call_text}]}}'
    for row_format in (RowFormat.RFT_MULTITURN, RowFormat.RFT_MULTITURN_SERVERLESS):
        row = f'{{"id":"1","metadata":{{"prompt":[{prompt}]}}}}'
        _, written, _ = converted(row.encode(), row_format)
        assert number in written.decode().replace("\\", "").replace(" ", "")


REFUSED = [
    ('{"question":"a","question":"b","answer":"c"}', "duplicate-key", "the same key twice"),
    ('{"question":"a" ,"answer" :"b", "answer":"c"}', "duplicate-key", "the same key twice"),
    ('{"question":"a","answer":"b","x":{"y":1,"y":2}}', "duplicate-key", "remove or rename"),
    ('{"question":"a","answer":"b","x":[{"y":1,"\\u0079":2}]}', "duplicate-key", "twice"),
    ('{"question":"a","answer":"b","answer":"b","x\\\\":1}', "duplicate-key", "twice"),
    ('{"question":"a\\u0000b","answer":"c"}', "nul", "the character NUL"),
    ('{"question":"a","answer":"c","x":{"\\u0000":1}}', "nul", "remove it"),
    ('{"question":"a\0b","answer":"c"}', "nul", "remove it"),
    ('{"question":"a","answer":NaN}', "invalid-json", "NaN is no number of JSON"),
    ('{"question":"a","answer":-Infinity}', "invalid-json", "-Infinity is no number of JSON"),
    ('{"question":"a","answer":1e400}', "invalid-json", "larger than a double"),
    ('{"question":"a","answer":' + "9" * 5_000 + "}", "invalid-json", "larger than a double"),
    ('{"question":"a","answer":"\\ud800"}', "invalid-json", "not valid JSON at character"),
    ('{"question":"a","x":' + "[" * 101 + "]" * 101 + "}", "invalid-json", "100 levels"),
    ('{"question":"a","x":' + "[" * 5000 + "]" * 5000 + "}", "invalid-json", "100 levels"),
    ("<<<<<<< HEAD", "invalid-json", "is a mark of a merge conflict"),
    (">>>>>>> other", "invalid-json", "is a mark of a merge conflict"),
    ('{"question":"a","answer":+1}', "invalid-json", "not valid JSON at character 26"),
]


@pytest.mark.parametrize(("row", "rule", "says"), REFUSED)
@pytest.mark.parametrize("row_format", [RowFormat.SFT, RowFormat.RFT])
def test_what_json_readers_disagree_on_is_refused_with_its_line(
    row_format: RowFormat, row: str, rule: str, says: str
) -> None:
    good = '{"question":"q","answer":"\\\\u0000 and \\": "}'
    data = f"{good}\n{row}\n\n{good}\n".encode()
    summary, _, (reject,) = converted(data, row_format, max_rejects=1)
    assert (summary.rows_out, reject["line"], reject["rule"]) == (2, 2, rule)
    assert says in reject["message"]


def test_the_json_of_a_cell_is_read_as_strictly() -> None:
    tool = '{"type":"function","function":{"name":"f","name":"f","description":"d"}}'
    with pytest.raises(RowRejected, match=r"^tools: an object has the same key twice"):
        read_json(f"[\n{tool}\n]", "tools")
    data = "question,answer,tools\nq,a," + f'"[{tool.replace(chr(34), chr(34) * 2)}]"\n'
    summary, _, (reject,) = converted(data.encode(), RowFormat.RFT, source_format=SourceFormat.CSV)
    assert str(summary.refusal).startswith("line 2: tools: an object has the same key twice")
    assert reject["rule"] == "duplicate-key"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.sampled_from('":, \t{}[]\\0aé'), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.sampled_from('":, \\a'), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values, st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
def test_any_json_comes_back_as_it_was(value: Any, separators: tuple[str, str]) -> None:
    compact = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    read = read_json(json.dumps(value, separators=separators, ensure_ascii=False))
    assert to_json(read).decode() == compact


@given(values, values)
def test_no_doubled_key_gets_through(one: Any, other: Any) -> None:
    text = f'{{"b:\\\\":{json.dumps(one)},"a":{json.dumps(one)},"a":{json.dumps(other)}}}'
    with pytest.raises(RowRejected, match="the same key twice"):
        read_json(text)


def test_rejected_lines_are_told_in_the_order_of_the_file() -> None:
    rows = ['{"question":"","answer":"a"}', "{", '{"question":"q","answer":"a"}', "[]", "", "nope"]
    summary, _, rejects = converted("\n".join(rows).encode(), RowFormat.SFT)
    assert [each["line"] for each in rejects] == [1, 2, 4, 6]
    assert str(summary.refusal).startswith("line 1: `question` is empty")


def test_a_byte_order_mark_between_joined_files_is_no_part_of_a_row() -> None:
    row = b'{"question":"q","answer":"a"}\n'
    summary, written, _ = converted(b"\xef\xbb\xbf" + row + b"\xef\xbb\xbf" + row, RowFormat.SFT)
    assert summary.refusal is None
    assert b"\xef\xbb\xbf" not in written


def test_metadata_may_stand_in_some_rows_of_an_evaluation_only() -> None:
    bare = {"query": "q", "response": "r"}
    rows = [bare, {**bare, "metadata": "m"}, {**bare, "metadata": None}]
    for each in (rows, rows[::-1], [rows[1], rows[0]]):
        data = "\n".join(map(json.dumps, each)).encode()
        summary, written, _ = converted(data, RowFormat.EVALUATION)
        assert summary.refusal is None
        assert [json.loads(line) for line in written.splitlines()] == [
            {name: value for name, value in row.items() if value is not None} for row in each
        ]


def test_metadata_of_another_name_must_stand_in_the_first_row() -> None:
    """Else a name that is written wrongly would be taken for one that no row has."""
    rows = [{"query": "q", "response": "r"}, {"query": "q", "response": "r", "M": "m"}]
    data = "\n".join(map(json.dumps, rows)).encode()
    mapped = {"metadata": "M"}
    refused, _, _ = converted(data, RowFormat.EVALUATION, columns=mapped)
    assert "no column 'M' for `metadata`" in str(refused.refusal)
    turned = "\n".join(map(json.dumps, rows[::-1])).encode()
    summary, written, _ = converted(turned, RowFormat.EVALUATION, columns=mapped)
    assert summary.refusal is None
    assert written.count(b"metadata") == 1
    both, _, _ = converted(data, RowFormat.EVALUATION, columns={"metadata": None})
    assert both.refusal is None


@pytest.mark.parametrize(
    "name", ["reward", "model_response", "aggregate_reward_score", "metrics_list"]
)
def test_what_rewards_are_computed_by_is_no_field_of_a_row(name: str) -> None:
    row = json.dumps({"messages": [USER], "reference_answer": "a", name: {"mine": 1}}).encode()
    own: dict[str, Any] = {"reward": {"type": "exact"}}
    for options in (own, {"labels": ("a", "b")}, {} if name != "reward" else own):
        summary, _, (reject,) = converted(row, RowFormat.RFT, **options)
        assert str(summary.refusal).startswith(f"line 1: the row: has `{name}`")
        assert reject["rule"] == "reserved-field"
    plain = b'{"question":"q","answer":"a","x":"y"}'
    refusal = converted(plain, RowFormat.RFT, columns={name: "x"})[0].refusal
    assert f"can't set '{name}'" in str(refusal)
