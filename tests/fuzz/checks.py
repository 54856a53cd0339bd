"""What must hold for any bytes at all; the fuzzer looks for bytes for which it doesn't."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING

from novaloop.datasets.convert import convert
from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.reading.csv_records import ScannedRecords
from novaloop.datasets.reading.csv_table import Batch, open_csv
from novaloop.datasets.reading.decoding import read_text
from novaloop.datasets.rows.columns import FIELDS
from novaloop.rewards.reward import batch_summary, score_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Row = tuple[int, list[str]]

ONE_ANSWER = {16: RowFormat.SFT, 32: RowFormat.RFT, 64: RowFormat.EVALUATION}
OTHER_FORMATS = (RowFormat.DPO, RowFormat.CPT, RowFormat.LLM_JUDGE, RowFormat.RFT_MULTITURN)
LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")
LABEL = {"type": "label", "labels": LABELS}
REWARDS: tuple[dict[str, object], ...] = (
    LABEL,
    {**LABEL, "reading": "strict"},
    {"type": "exact"},
    {"type": "numeric", "tolerance": 0.5},
    {"type": "regex", "pattern": r"x = (\d+)"},
    {"type": "json", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    {"type": "f1", "length_penalty": {"free": 2, "per_character": 0.1}},
    {"type": "weighted", "parts": [{"weight": 3, "reward": LABEL}, {"reward": {"type": "f1"}}]},
)


def check_conversion(data: bytes) -> None:
    """Any bytes make a summary, the same wherever they are cut; accepted rows survive a rewrite.

    The first byte chooses the settings, the second where the file is cut in two.
    """
    choice, cut, content = data[:1], data[1:2], data[2:]
    bits = choice[0] if choice else 0
    formats = _formats(bits)
    if bits & 1:
        content = ",".join(FIELDS[formats[0]].required).encode() + b"\r\n" + content
    options = DatasetOptions(
        model="nova-lite" if formats == [RowFormat.DPO] else "nova-lite-2",
        source_format=SourceFormat.JSONL if bits & 2 else SourceFormat.CSV,
        delimiter=";" if bits & 4 else None,
        max_rejects=1000 if bits & 8 else 0,
    )
    at = len(content) * cut[0] // 256 if cut else 0

    summary, lines = _convert([content], formats, options)
    again, same = _convert([content[:at], content[at:]], formats, options)
    # Which of several reasons comes first depends on the cut; whether there is one must not.
    assert (again.refusal is None) == (summary.refusal is None)
    if summary.refusal is not None:
        return
    assert same == lines
    for each, written in lines.items():
        assert len(written) == summary.rows_out == summary.outputs[each].rows
        assert all(isinstance(json.loads(line), dict) for line in written)
    if bits & 2 == 0 and formats == [RowFormat.RFT]:
        _check_rewrite(lines[RowFormat.RFT])


def _formats(bits: int) -> list[RowFormat]:
    if bits & 128:
        return [OTHER_FORMATS[bits >> 4 & 3]]
    return [each for bit, each in ONE_ANSWER.items() if bits & bit] or [RowFormat.RFT]


def _convert(
    chunks: Sequence[bytes], formats: Sequence[RowFormat], options: DatasetOptions
) -> tuple[DatasetSummary, dict[RowFormat, list[bytes]]]:
    written: dict[RowFormat, list[bytes]] = {each: [] for each in formats}
    rejects: list[bytes] = []
    sinks = {each: blocks.append for each, blocks in written.items()}
    summary = convert(iter(chunks), sinks, options, rejects.append)
    assert isinstance(summary, DatasetSummary)
    assert all(json.loads(reject)["rule"] for reject in rejects)
    return summary, {each: b"".join(blocks).splitlines() for each, blocks in written.items()}


def _check_rewrite(lines: list[bytes]) -> None:
    """The same texts, written as plain CSV, must give the same rows."""
    rows = [json.loads(line) for line in lines]
    if any(set(row) != {"messages", "reference_answer"} for row in rows):
        return  # the file had columns beyond question and answer
    texts = [(*(turn["content"] for turn in r["messages"]), r["reference_answer"]) for r in rows]
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerows([("system", "question", "answer"), *texts])
    again, same = _convert([file.getvalue().encode()], [RowFormat.RFT], DatasetOptions())
    assert again.refusal is None
    assert same[RowFormat.RFT] == lines


def check_reward(data: bytes) -> None:
    """Any sample gets a finite score that JSON can hold, and its neighbour's score stays.

    Data are JSON to stand in place of the samples, or an answer, a zero byte and a reference.
    """
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        _check_scores([_rollout(data, settings) for settings in REWARDS])
    else:
        if b'"pattern"' not in data:  # a pattern that backtracks without end is the user's own
            _check_scores(event)
            answers = (b"HQ\0HQ", b'{"a": [1]}\0{}')
            _check_scores([{**_rollout(answer, {}), "reward": event} for answer in answers])


def _rollout(data: bytes, settings: dict[str, object]) -> dict[str, object]:
    answer, _, reference = data.partition(b"\0")
    turn = {"role": "assistant", "content": answer.decode("utf-8", "surrogateescape")}
    text = reference.decode("utf-8", "surrogateescape")
    return {"id": "fuzzed", "messages": [turn], "reference_answer": text, "reward": settings}


def _check_scores(event: object) -> None:
    right = _rollout(b"HQ\0HQ", LABEL)
    samples = event if isinstance(event, list) else [event]
    scores = score_batch([*samples, right])
    assert scores[-1]["aggregate_reward_score"] == 1.0
    assert len(scores) == len(samples) + 1
    assert all(math.isfinite(score["aggregate_reward_score"]) for score in scores)
    assert all(isinstance(score["id"], str) for score in scores)
    json.dumps([scores, batch_summary(scores)], allow_nan=False)
    assert len(score_batch(event)) == len(samples)


def check_records(data: bytes) -> None:
    """Records and their lines are those of the csv module, wherever the text is cut.

    The first byte chooses the delimiter, the second where the text is cut in two.
    """
    try:
        text = data[2:].decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return
    if not text or "\0" in text:
        return
    delimiter = ",;\t|"[data[0] % 4]
    expected, broken = as_the_csv_module_reads(text, delimiter)
    content = text.encode()
    at = len(content) * data[1] // 256
    rows, refused = as_we_read([content[:at], content[at:]], delimiter)
    if broken is None and refused is None:
        assert rows == expected
    elif broken is not None:
        assert refused is not None
        assert refused <= broken


def as_the_csv_module_reads(text: str, delimiter: str) -> tuple[list[Row], int | None]:
    """Return header and rows with their lines, and the line of the record that is broken."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    line = 1
    try:
        for row in reader:
            one_column = bool(rows) and len(rows[0][1]) == 1
            if len(row) > 1 or (row and (one_column or row[0].strip())):
                rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error:
        return rows, line
    return rows, None


def as_we_read(chunks: Sequence[bytes], delimiter: str) -> tuple[list[Row], int | None]:
    """As above; rows before what is broken may lack, since a refused file is not used."""
    rows: list[Row] = []
    try:
        table = open_csv(read_text(chunks), delimiter)
        rows.append((table.header_line, table.header))
        for batch in table.batches:
            rows += one_by_one(batch)
    except DatasetRefused as refusal:
        return rows, refusal.line or 1  # or no line of the file is one of CSV
    return rows, None


def one_by_one(batch: Batch) -> Iterator[Row]:
    """Yield the records of a batch with their lines."""
    line, records = batch
    for index in range(len(records)):
        record = records[index : index + 1]
        if isinstance(record, ScannedRecords):
            columns = record.columns(range(record.starts.shape[1]))
            yield line, [text for (text,) in columns]
        else:
            yield line, record.records[0]  # type: ignore[attr-defined]
        line += record.count_lines()


CHECKS: dict[str, Callable[[bytes], None]] = {
    "convert": check_conversion,
    "records": check_records,
    "reward": check_reward,
}
