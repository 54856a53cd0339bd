"""Files made to kill whoever reads them: refused in time, with a reason, whatever they hold."""

from __future__ import annotations

import contextlib
import io
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from novaloop.experiment.spec.yaml_file import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from novaloop.experiment.validation.reading import read_spec
from novaloop.problem import Invalid
from novaloop.usecases.ports import Upload
from novaloop.usecases.spec_upload import spec_item

SECONDS = 60
"""Of this process's own time: far more than the worst file here takes, less than ingest has."""


def errors_of(content: bytes) -> list[str]:
    started = time.process_time()
    with pytest.raises(Invalid) as refused:
        read_spec(content)
    assert time.process_time() - started < SECONDS
    return list(map(str, refused.value.problems))


def read_or_refuse(content: bytes) -> None:
    with contextlib.suppress(Invalid):
        read_spec(content)


def laughs(levels: int) -> str:
    first = "a0: &a0 [x, x, x, x, x, x, x, x, x]"
    rest = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels))
    return f"plan: [{{sft: {{overrides: {{{', '.join((first, *rest))}}}}}}}]"


def merges(levels: int) -> str:
    rest = (f"a{n}: {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}" for n in range(1, levels))
    return f"plan: [{{sft: {{overrides: {{a0: &a0 {{k: 1}}, {', '.join(rest)}}}}}}}]"


@pytest.mark.parametrize(
    ("text", "where", "advice"),
    [
        (laughs(10), "line 1, column 31: ", "anchors are refused"),
        (merges(40), "line 1, column 31: ", "anchors are refused"),
        ("labels: *a\n", "line 1, column 9: ", "aliases are refused; write the value out"),
        ("system_prompt: **Sort** this\n", "line 1, column 17: ", "with & or * in quotes"),
        ("<<: {model: nova-pro}\n", "line 1, column 1: ", "merge keys (<<) are refused"),
        ("plan:\n- sft: {<<: [a]}\n", "line 2, column 9: ", "merge keys (<<) are refused"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1, column 4: ", "tags are refused"),
        ("a: !!merge x\n", "line 1, column 4: ", "tags are refused"),
        ("a: !x!y z\n", "line 1, column 4: is not YAML", "begins with ! in quotes"),
        ("a: " + "[" * 200_000, f"line 1, column {4 + MAX_DEPTH - 1}: ", "nested deeper"),
        ("a: " + "{a: " * 60_000, "line 1, column ", "nested deeper"),
        ("\n".join(" " * n + "a:" for n in range(700)), "line ", "nested deeper"),
        ("- " * 100_000, "line 1, column ", "nested deeper"),
        ("? " * 100_000, "line 1, column ", "nested deeper"),
        ("labels: [" + "a," * 100_000 + "]", "line 1, column ", f"{MAX_VALUES:,} keys and values"),
        ("".join(f"k{n}: 1\n" for n in range(20_000)), "line 2500, ", "keys and values"),
        ("budget_usd: " + "9" * 200_000, "line 1, column 13: ", "this is no int"),
        ("budget_usd: 0x" + "f" * 200_000, "line 1, column 13: ", "this is no int"),
        ("budget_usd: " + "1:" * 100_000 + "1", "line 1, column 13: ", "this is no int"),
        ("budget_usd: " + "1" * 200_000 + ".5", "line 1, column 13: ", "this is no float"),
        ('system_prompt: "\\ud800"', "line 1, column 16: ", "half a character"),
        ('system_prompt: "\\Uffffffff"', "line 1, column ", "the code of no character"),
        ("%YAML 1." + "1" * 5_000 + "\n---\nmodel: x", "line 1, column ", "code of no character"),
        ("model: nova-pro\x07\n", "line 1: ", "U+0007 is not allowed"),
        ("model: nova-pro\n...\nmodel: nova-lite\n", "line 3, column 1: ", "expected '<document"),
        ("%TAG ! tag:x,2000:\n---\nmodel: !y x\n", "line 3, column 8: ", "tags are refused"),
    ],
)
def test_what_is_made_to_kill_is_refused_where_it_stands(
    text: str, where: str, advice: str
) -> None:
    (error,) = errors_of(text.encode())
    assert error.startswith(where)
    assert advice in error


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfem\x00:\x00", "model: nova-pro".encode("utf-16"), b"model: \xc3\x28", b"\x80" * 99],
)
def test_what_is_no_utf_8_is_told_with_the_byte(content: bytes) -> None:
    (error,) = errors_of(content)
    assert error.startswith("is not UTF-8 at byte ")


@pytest.mark.parametrize("content", ["budget_usd: 5\n", "budget_usd: 5\r\n", "{budget_usd: 5}"])
def test_a_byte_order_mark_is_no_fault(content: str) -> None:
    assert read_spec(content.encode("utf-8-sig")).budget_usd == 5


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{n}: 1\n" for n in range(MAX_VALUES // 2 - 1)),
        f"plan:\n- sft: {{overrides: {{{', '.join(f'k{n}: 1' for n in range(2_000))}}}}}",
        f"labels: [{', '.join(f'l{n}' for n in range(4_000))}]",
        f"columns: {{{', '.join(f'c{n}: x' for n in range(2_000))}}}",
        "k" * 200_000 + ": 1",
        "system_prompt: " + "x " * 120_000,
        "system_prompt: '" + "x\n\n  " * 40_000 + "'",
        'system_prompt: "' + "\\x41" * 60_000 + '"',
        "system_prompt: |\n" + " x\n" * 80_000,
        "#" * 250_000,
        "\n" * 250_000,
        f"reward: {{type: regex, pattern: {'(a' * 100_000}}}",
    ],
    ids=lambda text: text[:20],
)
def test_no_legal_file_takes_long(text: str) -> None:
    started = time.process_time()
    read_or_refuse(text.encode())
    assert time.process_time() - started < SECONDS


@given(
    st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
)
def test_whatever_the_bytes_it_is_a_spec_or_refused(content: bytes) -> None:
    read_or_refuse(content)


_WORDS = r"""
a 0x_ 1:9 2020-13-01 [ ] { } , &a *a !!int ! << = >- ' " \x4 \U # ~ yes .inf .nan 1e9 plan
"""
_SPACED = [": ", "? ", "- ", "\n", "\n  ", "|\n", "\t", " ", "%YAML 1.1\n", "---\n", "...\n"]
_TOKENS = st.sampled_from([*_WORDS.split(), *_SPACED])


@settings(max_examples=500)
@given(st.lists(_TOKENS, max_size=40).map("".join))
def test_whatever_the_tokens_it_is_a_spec_or_refused(text: str) -> None:
    read_or_refuse(text.encode())


class _Endless(io.RawIOBase):
    """A body that has as many bytes as anybody reads."""

    given = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "reads all there is"
        self.given += size
        return b"#" * size


def test_of_a_file_without_end_only_its_beginning_is_read() -> None:
    body = _Endless()
    world = cast("Any", SimpleNamespace(objects=SimpleNamespace(get=lambda *_: body)))
    upload = Upload("1", datetime(2026, 1, 1, tzinfo=UTC), 2 << 30)
    item = spec_item("inbox/x/experiment.yaml", upload, world)
    assert item.errors == (f"has more than {MAX_BYTES:,} bytes; make it shorter",)
    assert body.given == MAX_BYTES + 1


NUMBERS = """
budget_usd
max_rejects
plan: [sft: {instances
plan: [sft: {overrides: {max_steps
plan: [deploy: {ttl_hours
plan: [deploy: {context_length
plan: [deploy: {environment: {A
split: {eval
split: {seed
gate: {at_least
reward: {type: numeric, tolerance
"""


@pytest.mark.parametrize("value", ["9" * 60, "1e300", "-1e300", ".inf", "-.inf", ".nan"])
@pytest.mark.parametrize("setting", NUMBERS.strip().splitlines())
def test_a_number_that_nobody_can_calculate_with_is_refused_by_its_place(
    setting: str, value: str
) -> None:
    closing = "}" * setting.count("{") + "]" * setting.count("[")
    with pytest.raises(Invalid) as refused:
        read_spec(f"{setting}: {value}{closing}\n".encode())
    section = setting.partition(":")[0]
    assert all(line.startswith(section) for line in str(refused.value).splitlines())


@pytest.mark.parametrize("setting", ["budget_usd: 1e15", "max_rejects: 999999999999999"])
def test_the_largest_number_can_be_calculated_with(setting: str) -> None:
    read_spec(f"{setting}\n".encode())
