"""No text of a dataset, names of columns and keys included, gets where others read it.

A canary stands in every place of a file that an error may be about; then nothing that the
application keeps or sends may hold it: items, history, logs and notifications.
"""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from novaloop.datasets.convert import convert
from novaloop.datasets.options import DatasetOptions, RowFormat, SourceFormat
from novaloop.experiment.record import Status
from tests.simulation.simulation import SPEC, Simulation

CANARY = "ZCANARYZ"
MAX_ITEMS = 20_000
"""Characters of all that is kept of an experiment, whatever its files' size."""
SPECS = {
    "sft": SPEC + b"plan: [sft]\n",
    "dpo": SPEC + b"model: nova-lite\nplan: [dpo]\n",
    "rft": SPEC + b"plan: [rft]\n",
    "eval": SPEC + b"plan: [evaluate: one]\n",
    "sft without labels": b"columns: {question: Body, answer: Y}\nplan: [sft]\n",
    "sft without settings": b"plan: [sft]\n",
    "sft of pictures": b"columns: {image_format: F}\nmodel: nova-lite\nplan: [sft]\n",
    "split": SPEC + b"plan: [sft, evaluate: one]\nsplit: {sft: 0.5, eval: 0.5}\n",
}
CSV: dict[str, str | bytes] = {
    "long row": f"Body,Y\nq,HQ,{CANARY}\n",
    "short row": f"Body,Y\n{CANARY}\n",
    "label": f"Body,Y\nq,{CANARY}\n",
    "unterminated quote": f'Body,Y\n"q{CANARY},HQ\n',
    "stray quote": f'Body,Y\n"q"{CANARY},HQ\n',
    "NUL": f"Body,Y\n{CANARY}\0,HQ\n",
    "NUL in the header": f"Body,Y,{CANARY}\0\nq,HQ,1\n",
    "header again": f"Body,Y,{CANARY}\nBody,Y,{CANARY}\n",
    "line for Excel": f"sep=;\nBody;Y;{CANARY}\n",
    "JSON": '{"Body": "' + CANARY + '", "Y": "HQ"}\n',
    "web page": f"<html>{CANARY}</html>",
    "pointer of Git LFS": f"version https://git-lfs.github.com/spec/v1\noid {CANARY}\n",
    "workbook": b"PK\x03\x04" + bytes(26) + b"xl/" + CANARY.encode(),
    "UTF-16": f"Body,Y\n{CANARY},HQ\n".encode("utf-16-le"),
    "no header, and long": f'17,"{CANARY * 75_000}",HQ\n18,more,HQ\n',
    "reserved word": f"Body,Y\nUser: {CANARY},HQ\n",
    "two names": f"{CANARY},{CANARY}\n1,2\n",
    "two names beside those wanted": f"Body,Y,{CANARY},{CANARY}\nq,HQ,1,2\n",
    "blank name": f"{CANARY},,Y\n1,2,HQ\n",
    "no header": f"{CANARY},HQ\nmore,HQ\n",
    "one column": f"{CANARY}\n",
    "one column missing": f"Body,{CANARY}\nq,HQ\n",
    "near name": f"Bodi{CANARY[:1]},Y,{CANARY}\nq,HQ,1\n",
    "other delimiter": f"Body;{CANARY}\nq;HQ\n",
    "wrong bytes": f"Body,Y\n{CANARY}\n".encode() + b"\xff\xfe,HQ\n",
    "blank answer": f"Body,Y\n{CANARY},\n",
    "accepted": "Body,Y\n" + "".join(f"{CANARY} {row},{CANARY}{row % 2}\n" for row in range(90)),
    "giving itself away": "question,answer\n"
    + "".join(f"{'thanks' if row % 3 else 'why'} {row},{CANARY}{row % 3}\n" for row in range(90)),
}
CONVERSATION = "bedrock-conversation-2024"


def said(role: str, **part: object) -> dict[str, object]:
    return {"role": role, "content": [part or {"text": "hi"}]}


JSON_LINES: dict[str, object] = {
    "broken": '{"Body": "' + CANARY + '", ',
    "list": [CANARY],
    "text": CANARY,
    "nested": {"Body": {CANARY: 1}, "Y": "HQ"},
    "label": {"Body": "q", "Y": CANARY},
    "types": {"Body": 5, "Y": [CANARY]},
    "other keys": {CANARY: 1},
    "one key more": {"Body": "q", "Y": CANARY, CANARY: 1},
    "repeated key": '{"Body":"q","Body":"' + CANARY + '","Y":"HQ"}',
    "repeated key that is one": '{"Body":"q","' + CANARY + '":1,"' + CANARY + '":2,"Y":"HQ"}',
    "no number": '{"Body":"' + CANARY + '","Y":NaN}',
    "number of any size": '{"Body":"' + CANARY + '","Y":"HQ","n":1e999}',
    "escaped NUL": '{"Body":"' + CANARY + '\\u0000","Y":"HQ"}',
    "OpenAI's key": {"messages": [{"role": "user", "content": CANARY, CANARY: 1}], "tools": []},
    "OpenAI's weight": {"messages": [{"role": "assistant", "content": CANARY, "weight": 0}]},
    "OpenAI's key of the row": {"messages": [{"role": "user", "content": "x"}], CANARY: 1},
    "reward of the row": {"messages": [{"role": "user", "content": "x"}], "reward": {CANARY: 1}},
    "pattern of the row": {
        "messages": [{"role": "user", "content": "x"}],
        "reference_answer": "y",
        "reward": {"type": "regex", "pattern": f"(?P<{CANARY} >a)"},
    },
    "metadata": {"query": "q", "response": "r", "metadata": {CANARY: CANARY}},
    "lone surrogate": '{"Body":"' + CANARY + '\\ud800","Y":"HQ"}',
    "schema": {"schemaVersion": CANARY, "messages": [said(CANARY, text=CANARY)]},
    "key of a part": {
        "schemaVersion": CONVERSATION,
        "messages": [said("user", **{CANARY: 1}), said("assistant")],
    },
    "key of the row": {
        "schemaVersion": CONVERSATION,
        "messages": [said("user"), said("assistant")],
        CANARY: 1,
    },
    "key of a tool": {
        "schemaVersion": CONVERSATION,
        "messages": [said("user"), said("assistant")],
        "toolConfig": {"tools": [{"toolSpec": {"name": CANARY, CANARY: 1, "inputSchema": 1}}]},
    },
    "key of a tool's answer": {
        "schemaVersion": CONVERSATION,
        "messages": [
            said("user", toolResult={"toolUseId": CANARY, "content": [{CANARY: 1}]}),
            said("assistant"),
        ],
    },
    "unknown tool": {
        "schemaVersion": CONVERSATION,
        "messages": [
            said("user"),
            said("assistant", toolUse={"toolUseId": CANARY, "name": CANARY, "input": {CANARY: 1}}),
        ],
    },
    "picture": {
        "schemaVersion": CONVERSATION,
        "messages": [
            said(
                "user",
                image={
                    "format": CANARY,
                    "source": {"s3Location": {"uri": CANARY, CANARY: CANARY}},
                },
            ),
            said("assistant"),
        ],
    },
    "OpenAI's role": {"messages": [{"role": CANARY, "content": CANARY}]},
    "OpenAI's part": {
        "messages": [{"role": "user", "content": [{"type": CANARY, "text": CANARY}]}],
        "tools": [{CANARY: CANARY}],
    },
    "prompt's key": {
        "messages": [{"role": "user", "content": "x", CANARY: 1}],
        "reference_answer": {CANARY: CANARY},
    },
    "prompt's tools": {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": CANARY, CANARY: 1}}],
    },
    "candidates": {
        "schemaVersion": CONVERSATION,
        "messages": [
            said("user"),
            {
                "role": "assistant",
                "candidates": [{"content": [{"text": CANARY}], "preferenceLabel": CANARY}],
            },
        ],
    },
    "candidate's key": {
        "schemaVersion": CONVERSATION,
        "messages": [said("user"), {"role": "assistant", "candidates": [{CANARY: 1}, {}]}],
    },
    "evaluation": {"query": CANARY, "response": {CANARY: CANARY}, "system": [CANARY]},
    "late system": [{"Body": "q", "Y": "HQ"}, {"Body": "q", "Y": "HQ", "system": CANARY}],
    "late key": [{"Body": "q", "Y": "HQ"}, {CANARY: "q", "Y": "HQ"}],
}


def files() -> Iterator[tuple[str, str, bytes]]:
    for name, text in CSV.items():
        yield f"csv, {name}", "csv", text if isinstance(text, bytes) else text.encode()
    for name, rows in JSON_LINES.items():
        if isinstance(rows, list) and isinstance(rows[0], dict):
            lines = [json.dumps(row) for row in rows]
        else:
            lines = [rows if isinstance(rows, str) and rows[0] == "{" else json.dumps(rows)]
        yield f"json, {name}", "jsonl", "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize("settings", SPECS)
def test_nothing_found_in_a_file_is_kept_or_sent(
    settings: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    stem = "data" if settings == "split" else settings.partition(" ")[0]
    leaks = []
    for name, extension, body in files():
        simulation = Simulation()
        simulation.upload("demo", "experiment.yaml", SPECS[settings])
        simulation.upload("demo", f"{stem}.{extension}", body)
        simulation.passes(timedelta(minutes=30))
        store = simulation.world.store
        told: dict[str, Any] = {
            "items": store.load("demo"),
            "history": store.history("demo"),
            "notifications": simulation.notifier.messages,
            "log": [caplog.text, *capfd.readouterr()],
        }
        assert told["items"].datasets, name
        leaks += [(name, place) for place, text in told.items() if CANARY in repr(text)]
        assert len(repr(told["items"])) < MAX_ITEMS, name
        assert len(simulation.notifier.messages) <= 1, name
    assert leaks == []


@pytest.mark.parametrize("row_format", RowFormat)
def test_no_format_tells_in_messages_what_it_found(row_format: RowFormat) -> None:
    """Rejects are listed for each row, with their messages, beside the refusal of the file."""
    leaks = []
    for name, extension, body in files():
        rejects: list[bytes] = []
        options = DatasetOptions(SourceFormat(extension), {"question": "Body", "answer": "Y"})
        summary = convert([body], {row_format: len}, options, rejects.append)
        told = {"refusal": [summary.refusal], "rejects": rejects}
        leaks += [(name, place) for place, text in told.items() if CANARY in repr(text)]
    assert leaks == []


def test_nothing_that_a_failed_container_wrote_is_kept_or_sent() -> None:
    simulation = Simulation(fate=lambda _: "fails")
    simulation.submit("demo", SPECS["sft"], 240)
    assert simulation.settles("demo")
    simulation.passes(timedelta(minutes=5))
    record = simulation.record("demo")
    assert record.status is Status.FAILED
    assert "AlgorithmError: ValueError, exit code 1" in record.reason
    assert "novaloop logs" in record.reason
    store = simulation.world.store
    assert CANARY not in repr(store.load("demo"))
    assert CANARY not in repr(store.history("demo"))
    assert simulation.notifier.messages
    assert CANARY not in repr(simulation.notifier.messages)
