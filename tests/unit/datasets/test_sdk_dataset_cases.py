"""The verified behaviour of the Nova Forge SDK, case by case: equal, or different for a reason."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.datasets.profile.summary import DatasetSummary
from novaloop.datasets.reading.csv_table import open_csv
from novaloop.datasets.reading.decoding import read_lines, read_text
from novaloop.datasets.rejects import RejectLog
from novaloop.datasets.rows.json_lines import objects
from novaloop.recipes.bedrock import bedrock
from novaloop.recipes.checks import check_rows
from novaloop_cli.main import main

ROOT = Path(__file__).parents[3]
CASES = Path(os.environ.get("NOVALOOP_SHARED", ROOT.parent / "shared")) / "contract"
TABLE = ROOT / "docs" / "datasets.md"

METHODS = {
    "SFT": RowFormat.SFT,
    "RFT": RowFormat.RFT,
    "DPO": RowFormat.DPO,
    "CPT": RowFormat.CPT,
    "EVALUATION": RowFormat.EVALUATION,
}
TASKS = {
    "LLM_JUDGE": RowFormat.LLM_JUDGE,
    "RUBRIC_LLM_JUDGE": RowFormat.LLM_JUDGE,
    "RFT_MULTITURN_EVAL": RowFormat.RFT_MULTITURN,
}
MODELS = {
    "NOVA_LITE_2": "nova-lite-2",
    "NOVA_LITE": "nova-lite",
    "NOVA_MICRO": "nova-micro",
    "NOVA_PRO": "nova-pro",
}
OPTIONAL = ("system", "id", "reasoning_text", "metadata", "images")


def load_cases() -> list[dict[str, Any]]:
    path = CASES / "dataset-cases.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def row_format(case: Mapping[str, Any]) -> RowFormat:
    if case["kind"] == "record":
        return RowFormat.CPT if "cpt" in case["fn"] else RowFormat.SFT
    if case.get("platform") == "SMTJServerless":
        return RowFormat.RFT_MULTITURN_SERVERLESS
    return TASKS.get(case["eval_task"]) or METHODS[case["method"].split("_")[0]]


def model(case: Mapping[str, Any]) -> str:
    if case["kind"] == "record":
        return "nova-lite" if case["fn"].endswith("nova_one") else "nova-lite-2"
    return MODELS.get(case["model"], "nova-lite-2")


def source(case: Mapping[str, Any]) -> tuple[bytes, SourceFormat | None]:
    given = case["input"]
    if "rec" in given or "rows" in given:
        rows = [given["rec"]] if "rec" in given else given["rows"]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        return lines.encode("utf-8", "surrogatepass"), SourceFormat.JSONL
    data = base64.b64decode(given["b64"]) if "b64" in given else given["text"].encode()
    return data, SourceFormat.of(given["name"])


def run(case: Mapping[str, Any]) -> tuple[DatasetSummary, list[Any], list[int]]:
    wanted = row_format(case)
    data, source_format = source(case)
    assert source_format is not None
    mapping = dict.fromkeys(OPTIONAL) | (case.get("mapping") or {})
    if case["kind"] in {"validate", "filter_invalid"}:
        mapping = {}
    options = DatasetOptions(
        source_format=source_format,
        columns=mapping,
        model=model(case),
        max_rejects=10**6 if case["kind"] == "filter_invalid" else 0,
    )
    written: list[bytes] = []
    rejects: list[bytes] = []
    summary = convert([data], {wanted: written.append}, options, rejects.append)
    rows = [json.loads(line) for line in b"".join(written).splitlines()]
    return summary, rows, [json.loads(line)["line"] - 1 for line in rejects]


def without_duplicates(rows: list[Any], case: Mapping[str, Any]) -> list[Any]:
    """Drop the fields that the SDK repeats at the top level of RFT rows."""
    if row_format(case) is not RowFormat.RFT:
        return rows
    repeated = {"question", "system"}
    return [{k: v for k, v in row.items() if k not in repeated} for row in rows]


def sdk_verdict(case: Mapping[str, Any]) -> tuple[bool, list[Any] | None]:
    """Return whether the SDK takes the data and, where the case says, its rows."""
    expected = case["expected"]
    if case["kind"] == "validate":
        return bool(expected.get("accepted")), None
    if not expected["ok"] or expected.get("kept") == []:
        return False, None
    if case["kind"] == "filter_invalid":
        return True, None
    if case["kind"] == "pipeline":
        rows = [json.loads(line) for line in expected["jsonl"].splitlines()]
        return bool(expected["validate"]["accepted"]), without_duplicates(rows, case)
    return True, without_duplicates(
        [expected["row"]] if "row" in expected else expected["rows"], case
    )


def is_equal(case: Mapping[str, Any]) -> bool:
    if case["kind"] == "load":
        return load_is_equal(case)
    if case["kind"] == "row_count":
        return row_count_is_refused(case) is bool(case["expected"]["errors"])
    if "fn" not in case and case["method"] is None:
        return command_refuses(__file__) is not case["expected"]["ok"]
    return conversion_is_equal(case)


def conversion_is_equal(case: Mapping[str, Any]) -> bool:
    accepted, rows = sdk_verdict(case)
    if source(case)[1] is None:
        return not accepted
    summary, ours, rejected = run(case)
    if not accepted or not summary.ok:
        return accepted is summary.ok
    if case["kind"] == "filter_invalid":
        return bool(rejected == case["expected"]["removed"])
    return rows is None or rows == ours


def load_is_equal(case: Mapping[str, Any]) -> bool:
    """Compare what the readers find in a file before anything is made of it."""
    if case["input"].get("absent"):
        return command_refuses(case["input"]["name"], "--method", "sft")
    data, source_format = source(case)
    if source_format is None or not case["expected"]["ok"]:
        return (source_format is not None) is case["expected"]["ok"]
    if source_format is SourceFormat.JSONL:
        runs = objects(read_lines([data]), RejectLog(lambda _: None))
        rows = [row for _, run in runs for row in run]
    else:
        table = open_csv(read_text([data]), None)
        every = range(len(table.header))
        columns = (records.columns(every) for _, records in table.batches)
        records = (record for each in columns for record in zip(*each, strict=True))
        rows = [dict(zip(table.header, record, strict=True)) for record in records]
    return bool(rows == case["expected"]["loaded"])


def command_refuses(source_name: str, *options: str) -> bool:
    arguments = ["convert", source_name, "nowhere/out.jsonl", *options]
    return CliRunner().invoke(main, arguments).exit_code == 2


def row_count_is_refused(case: Mapping[str, Any]) -> bool:
    method, rows = case["method"].lower().replace("_", "-"), case["input"]["n"]
    if method == "evaluation":
        return not _evaluation_of(rows).ok
    if case["platform"] == "SMTJ":
        return any(check_rows(method, MODELS[case["model"]], rows, {}))
    offered = bedrock().methods.get(method)
    least, most = offered.rows.get(MODELS[case["model"]], (1, 0)) if offered else (1, 0)
    return not least <= rows <= most


def _evaluation_of(rows: int) -> DatasetSummary:
    data = b"question,answer\n" + b"q,a\n" * rows
    return convert([data], {RowFormat.EVALUATION: len}, DatasetOptions(), len)


ALL = load_cases()
# Each reason is a row of the table in docs/datasets.md.
DIFFERENT = {
    "LOAD-029": "format-by-name",
    "CNT-001": "bedrock-methods",
    "CNT-004": "row-limits",
    "CNT-006": "row-limits",
    "CNT-018": "row-limits",
    "CNT-022": "bedrock-methods",
    "CNT-024": "row-limits",
    "CNT-030": "bedrock-methods",
    "CNT-031": "batch-size",
    "CNT-032": "batch-size",
    "TR-009": "blank-text",
    "TR-069": "blank-text",
    "TR-061": "multi-turn-formats",
    "TR-064": "multi-turn-formats",
    "PIPE-059": "dpo-rows",
    "VAL-171": "dpo-rows",
    "PIPE-099": "judge-rows",
    "PIPE-100": "judge-rows",
    "PIPE-006": "line-breaks-kept",
    "PIPE-008": "line-breaks-kept",
    "PIPE-021": "empty-file",
    "PIPE-022": "empty-file",
    "VAL-103": "empty-file",
    "VAL-128": "empty-file",
    "PIPE-035": "nul",
    "PIPE-067": "default-model",
    "PIPE-076": "absent-column",
    "PIPE-086": "extra-field-kept",
    "PIPE-088": "one-set-of-names",
    "PIPE-095": "one-set-of-names",
    "PIPE-139": "broken-json-line",
    "PIPE-142": "broken-json-line",
    "PIPE-155": "broken-json-line",
    "PIPE-151": "repeated-key",
    "PIPE-156": "json-array",
    "PIPE-157": "json-array",
    "PIPE-177": "two-system-messages",
    "VAL-087": "blank-text",
    "VAL-088": "blank-text",
    "VAL-096": "blank-text",
    "VAL-104": "plain-rows",
    "VAL-155": "null-metadata",
    "REC-032": "undeclared-tool",
    "REC-034": "undeclared-tool",
}


@pytest.mark.skipif(not ALL, reason="the SDK's verified cases are not beside this checkout")
@pytest.mark.parametrize("case", ALL, ids=[case["id"] for case in ALL])
def test_same_as_the_sdk_or_different_for_a_documented_reason(case: dict[str, Any]) -> None:
    reason = DIFFERENT.get(case["id"])
    if reason is None:
        assert is_equal(case)
    else:
        assert not is_equal(case), "listed as different, but equal"
        assert f"`{reason}`" in TABLE.read_text("utf-8")
