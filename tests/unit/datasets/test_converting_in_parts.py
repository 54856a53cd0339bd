"""A CSV file that is converted in parts comes to exactly what one stream makes of it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from novaloop.datasets.convert import RecordsPlace, convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.parts import CutMistaken, Part, convert_part, merge_parts
from novaloop.datasets.profile.near_duplicates import SignatureSketcher
from novaloop.datasets.profile.sketch import RowSketcher
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.reading.byte_range import ByteRange
from novaloop.datasets.reading.ranges import (
    begins_with_record,
    equal_ranges,
    header_of,
    record_ranges,
    scan_range,
)
from novaloop.datasets.rejects import MAX_LINES_PER_RULE

HEADER = "question,answer,id\r\n"
FORMATS = (RowFormat.SFT, RowFormat.EVALUATION)
cells = st.text(alphabet='ab",;\r\né🙂 User:', max_size=12)
rows = st.lists(st.tuples(cells, st.sampled_from(["x", "y", "", "\n"]), cells), max_size=25)
sizes = st.integers(1, 90)


@dataclass
class Outcome:
    summary: DatasetSummary
    outputs: dict[RowFormat, bytes]
    rejects: bytes


def in_one_stream(data: bytes, options: DatasetOptions) -> Outcome:
    outputs, rejects = {each: bytearray() for each in FORMATS}, bytearray()
    sinks = {each: output.extend for each, output in outputs.items()}
    summary = convert([data], sinks, options, rejects.extend)
    return Outcome(summary, {each: bytes(out) for each, out in outputs.items()}, bytes(rejects))


def _pieces(text: bytes, size: int = 7) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def cut(data: bytes, range_bytes: int, chunk: int = 7) -> list[ByteRange]:
    scans = []
    for each in equal_ranges(len(data), range_bytes):
        text = data[each.start : each.end]
        scans.append(scan_range(_pieces(text, chunk), each.start))
    return record_ranges(scans, len(data))


def in_parts(data: bytes, ranges: Sequence[ByteRange], options: DatasetOptions) -> Outcome:
    header = header_of(data[: len(HEADER)], options)
    assert header is not None
    outputs, rejects = {each: bytearray() for each in FORMATS}, bytearray()
    sinks = {each: output.extend for each, output in outputs.items()}
    parts = []
    for each in ranges:
        listing = bytearray()
        text = data[each.start : each.end]
        part = convert_part(
            _pieces(text), RecordsPlace(each.start, header), sinks, options, listing.extend
        )
        parts.append((Part.from_bytes(part.to_bytes()), bytes(listing)))
    summary = merge_parts(parts, options, rejects.extend)
    return Outcome(summary, {each: bytes(out) for each, out in outputs.items()}, bytes(rejects))


def assert_equal(parts: Outcome, stream: Outcome) -> None:
    one, other = parts.summary, stream.summary
    assert str(one.refusal) == str(other.refusal)
    assert parts.rejects == stream.rejects
    assert one.rejects == other.rejects
    assert (one.rows_in, one.rows_out) == (other.rows_in, other.rows_out)
    assert one.row_hash_sum == other.row_hash_sum
    assert one.label_counts == other.label_counts
    assert one.duplicate_rows == other.duplicate_rows
    assert (one.question_bytes, one.tokens) == (other.question_bytes, other.tokens)
    assert one.samples == other.samples
    if other.refusal is None:
        assert parts.outputs == stream.outputs
    mine, theirs = one.profile, other.profile
    assert np.array_equal(mine.signatures.features, theirs.signatures.features)
    assert np.array_equal(mine.sketch.questions, theirs.sketch.questions)
    assert np.array_equal(mine.sketch.answers, theirs.sketch.answers)
    assert np.array_equal(mine.signatures.questions, theirs.signatures.questions)
    assert np.array_equal(mine.signatures.signatures, theirs.signatures.signatures)


def options(max_rejects: int = 1_000) -> DatasetOptions:
    return DatasetOptions(max_rejects=max_rejects)


def written(table: Sequence[Sequence[str]], line_end: str) -> bytes:
    text = io.StringIO(HEADER, newline="")
    text.seek(0, io.SEEK_END)
    csv.writer(text, lineterminator=line_end).writerows(table)
    return text.getvalue().encode()


@settings(deadline=None, max_examples=150)
@given(rows, st.sampled_from(["\r\n", "\n"]), sizes, st.integers(1, 9), st.sampled_from([0, 1000]))
def test_files_in_good_order(
    table: list[tuple[str, str, str]], end: str, range_bytes: int, chunk: int, max_rejects: int
) -> None:
    data, chosen = written(table, end), options(max_rejects)
    parts = in_parts(data, cut(data, range_bytes, chunk), chosen)
    assert_equal(parts, in_one_stream(data, chosen))


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet='ab",,""\r\n\n\ufeff\0é', max_size=120), sizes)
@example('a"b,x,1\nc,"d\n",2\ne"f,y,3\n', 8)
@example('a,x,1\n"b,y,2\nc,z,3\n', 6)
@example('a,x,1\n"b"c,y,2\nc,z,3\n', 6)
def test_files_in_no_order(text: str, range_bytes: int) -> None:
    """What the cuts get wrong is noticed; the rest is the same."""
    data, chosen = (HEADER + text).encode(), options()
    try:
        parts = in_parts(data, cut(data, range_bytes), chosen)
    except CutMistaken:
        return
    stream = in_one_stream(data, chosen)
    if stream.summary.refusal is None or parts.summary.refusal is None:
        assert_equal(parts, stream)


def big(rows: int = 400) -> bytes:
    return written([(f'q{n}\n"{n}"', f"a{n % 3}", str(n)) for n in range(rows)], "\r\n")


def test_a_file_is_cut_into_about_as_many_parts_as_asked_for() -> None:
    data = big()
    ranges = cut(data, len(data) // 8)
    assert len(ranges) == 8
    assert ranges[0].start == 0
    assert ranges[-1].end == len(data)
    for before, after in pairwise(ranges):
        assert before.end == after.start
        assert data[: after.start].endswith(b"\r\n")
        assert data[after.start : after.start + 2] == b'"q'
    assert in_parts(data, ranges, options()).summary.rows_out == 400


def test_rejects_and_refusals_keep_their_lines() -> None:
    table = [(f'q{n}\n"{n}"' if n % 25 else "", f"a{n % 3}", str(n)) for n in range(60)]
    bad = written(table, "\r\n")
    for chosen in (options(), options(0)):
        assert_equal(in_parts(bad, cut(bad, 200), chosen), in_one_stream(bad, chosen))
    broken = bad + b'one,"two" three,3\r\n' + b"four,five,6\r\n" * 30
    parts = in_parts(broken, cut(broken, 200), options()).summary.refusal
    assert str(parts) == str(in_one_stream(broken, options()).summary.refusal)
    undecodable = big(60) + b"caf\xe9,five,6\r\n" + b"four,five,6\r\n" * 30
    parts = in_parts(undecodable, cut(undecodable, 200), options()).summary.refusal
    assert str(parts) == str(in_one_stream(undecodable, options()).summary.refusal)


def test_many_rejects_are_cut_short_as_in_one_stream() -> None:
    data = HEADER.encode() + b",x,1\r\n" * 40 + b"good,x,1\r\n"
    parts = in_parts(data, cut(data, 50), options())
    assert_equal(parts, in_one_stream(data, options()))
    assert len(parts.summary.rejects["empty-text"].first_lines) == MAX_LINES_PER_RULE


def test_stray_quotes_are_noticed() -> None:
    row = 'one,"two\n{}\n",3\r\n'
    stray = '5" disk,x,1\r\n' + "".join(row.format(n) for n in range(40)) + '3" disk,x,1\r\n'
    data = (HEADER + stray).encode()
    ranges = cut(data, 60)
    assert len(ranges) > 3
    assert not all(begins_with_record(data[each.start : each.end], 3, None) for each in ranges[1:])
    with pytest.raises(CutMistaken):
        in_parts(data, ranges, options())


def test_quotes_that_do_not_come_in_pairs_leave_one_range() -> None:
    data = big() + b'5" disk,x,1\r\n'
    assert cut(data, 500) == [ByteRange(0, len(data))]


def test_a_true_cut_begins_with_a_record() -> None:
    data = big()
    for each in cut(data, 300)[1:]:
        assert begins_with_record(data[each.start : each.start + 100], 3, None)


@pytest.mark.parametrize(
    ("head", "chosen"),
    [
        (b"\x1f\x8bmore", DatasetOptions()),
        ("question,answer\n".encode("utf-16"), DatasetOptions()),
        (b"question,answer\n", DatasetOptions(encoding="cp1252")),
        (b'{"question": 1}\n', DatasetOptions(source_format=SourceFormat.JSONL)),
        (b'"question', DatasetOptions()),
        (b"", DatasetOptions()),
    ],
)
def test_what_cannot_be_cut_by_bytes_is_left_whole(head: bytes, chosen: DatasetOptions) -> None:
    assert header_of(head, chosen) is None


def test_a_byte_order_mark_is_no_part_of_the_header() -> None:
    assert header_of(b"\xef\xbb\xbfa,b\r\n1,", DatasetOptions()) == ["a", "b"]


def test_sampled_sketches_join_to_what_one_sketcher_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("novaloop.datasets.profile.sketch.MAX_ROWS", 64)
    random = np.random.default_rng(1)
    questions = random.integers(0, 2**64, 1_000, np.uint64)
    answers = random.integers(0, 3, 1_000).astype(np.uint32)
    whole, joined = RowSketcher(64), RowSketcher(64)
    whole.update(questions, answers)
    for start in range(0, 1_000, 300):
        part = RowSketcher(64)
        part.update(questions[start : start + 300], answers[start : start + 300])
        joined.absorb(part.sketch())
    assert whole.sketch().sampling_bits > 2
    assert joined.sketch().sampling_bits == whole.sketch().sampling_bits
    assert np.array_equal(joined.sketch().questions, whole.sketch().questions)
    assert np.array_equal(joined.sketch().answers, whole.sketch().answers)


def test_sampled_signatures_join_to_what_one_sketcher_takes() -> None:
    random = np.random.default_rng(1)
    questions = random.integers(0, 2**64, 400, np.uint64).tolist()
    whole = SignatureSketcher(50)
    parts = [SignatureSketcher(50) for _ in range(4)]
    for number, question in enumerate(questions):
        for sketcher in (whole, parts[number // 100]):
            if sketcher.wanted(np.array([question], np.uint64)):
                sketcher.add([question], [f"question {number}".encode()])
    first, *others = [part.sketch() for part in parts]
    for other in others:
        first = first.joined(other, 50)
    assert first.sampling_bits == whole.sketch().sampling_bits >= 2
    assert np.array_equal(first.questions, whole.sketch().questions)
    assert np.array_equal(first.signatures, whole.sketch().signatures)
