"""The verified behaviour of the Nova Forge SDK, case by case: equal, or different for a reason."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from novaloop.datasets import DatasetOptions, DatasetSummary, RowFormat, SourceFormat, convert

ROOT = Path(__file__).parents[3]
CASES = Path(os.environ.get("NOVALOOP_SHARED", ROOT.parent / "shared")) / "contract"
TABLE = ROOT / "docs" / "datasets.md"

METHODS = {"SFT": RowFormat.SFT, "RFT": RowFormat.RFT, "EVALUATION": RowFormat.EVALUATION}
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


def row_format(case: Mapping[str, Any]) -> RowFormat | None:
    if case.get("eval_task") == "RFT_MULTITURN_EVAL":
        return None
    if case["kind"] == "record":
        return RowFormat.SFT if "sft" in case["fn"] else None
    return METHODS.get(str(case.get("method")).split("_")[0])


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
    assert wanted is not None
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
    if case["kind"] == "filter_invalid":
        return True, [case["input"]["rows"][index] for index in expected["kept"]]
    if not expected["ok"]:
        return False, None
    if case["kind"] == "pipeline":
        rows = [json.loads(line) for line in expected["jsonl"].splitlines()]
        return bool(expected["validate"]["accepted"]), without_duplicates(rows, case)
    return True, without_duplicates(
        [expected["row"]] if "row" in expected else expected["rows"], case
    )


def is_equal(case: Mapping[str, Any]) -> bool:
    accepted, rows = sdk_verdict(case)
    if source(case)[1] is None:
        return not accepted
    summary, ours, rejected = run(case)
    if case["kind"] == "filter_invalid":
        removed: list[int] = case["expected"]["removed"]
        return rejected == removed
    if accepted != summary.ok:
        return False
    return not accepted or rows is None or rows == ours


RELEVANT = [case for case in load_cases() if row_format(case) and case["kind"] != "row_count"]
# Each reason is a row of the table in docs/datasets.md.
DIFFERENT = {
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
    "PIPE-156": "json-array",
    "PIPE-157": "json-array",
    "PIPE-177": "two-system-messages",
    "VAL-087": "blank-text",
    "VAL-088": "blank-text",
    "VAL-096": "blank-text",
    "VAL-104": "plain-rows",
    "REC-032": "undeclared-tool",
    "REC-034": "undeclared-tool",
}


@pytest.mark.skipif(not RELEVANT, reason="the SDK's verified cases are not beside this checkout")
@pytest.mark.parametrize("case", RELEVANT, ids=[case["id"] for case in RELEVANT])
def test_same_as_the_sdk_or_different_for_a_documented_reason(case: dict[str, Any]) -> None:
    reason = DIFFERENT.get(case["id"])
    if reason is None:
        assert is_equal(case), run(case)[0].refusal
    else:
        assert not is_equal(case), "listed as different, but equal"
        assert f"`{reason}`" in TABLE.read_text("utf-8")
