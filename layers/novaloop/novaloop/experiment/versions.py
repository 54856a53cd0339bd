"""Versions of everything that may outlive the code that wrote it, and how older ones are read.

Items of the table, hints, requests between functions and running executions carry
`schema_version`. What carries none is of version 1: release 0.1.0 wrote it.

**When a version goes up.** Whenever anything in a shape differs from what the last release wrote,
even by a field that has a default: the older release would read such an item, and drop the field
at its next write. One step for each release is enough. `tests/integration/stored/` holds one of
each shape as each release wrote it; a test compares, and another one reads them all.

**Older** than the code: read by `current`, which takes it from version to version.

**Newer** than the code, as after a rollback: `current` raises NewerVersion, and nothing is written
over it. An experiment whose record is newer is left alone, which the functions log and count (an
alarm on the count tells people once), until the newer release is back. Of other items each is left
alone by itself, and the experiment says so: whatever needs it waits, and all else goes on. What is
damaged is treated alike. That holds for releases from 0.2.0 on: 0.1.0 looks for no version. What
0.1.0 must not touch needs a form that it can't read; records have one, without a `spec`.

**Counts and places** (SWEEP, ATTEMPTS), which a release may begin anew, have a key of their own for
each version: so no release meets those of another, and none is held up by them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

FIELD = "schema_version"
Values = Mapping[str, Any]


class Shape(StrEnum):
    """What is stored or sent. Those of the table have the names of its kinds of items."""

    RECORD = "RECORD"
    RESOLVED_SPEC = "RESOLVED_SPEC"
    SPEC = "SPEC"
    DATASET = "DATASET"
    STRAYS = "STRAYS"
    CHECKS = "CHECKS"
    SCORE = "SCORE"
    COMMAND = "COMMAND"
    HISTORY = "HISTORY"
    SWEEP = "SWEEP"
    ATTEMPTS = "ATTEMPTS"
    TRY = "TRY"
    HINT = "HINT"
    REQUEST = "REQUEST"
    BIG_FILE = "BIG_FILE"


PRESENT: Mapping[Shape, int] = {
    Shape.RECORD: 3,
    Shape.RESOLVED_SPEC: 1,
    Shape.SPEC: 2,
    Shape.DATASET: 2,
    Shape.STRAYS: 1,
    Shape.CHECKS: 1,
    Shape.SCORE: 2,
    Shape.COMMAND: 2,
    Shape.HISTORY: 2,
    Shape.SWEEP: 1,
    Shape.ATTEMPTS: 1,
    Shape.TRY: 1,
    Shape.HINT: 2,
    Shape.REQUEST: 1,
    Shape.BIG_FILE: 1,
}
"""The versions that this code writes."""

_LATE = "came after the start and was not used; submit it under a new experiment name"


def _record_2(record: Values) -> Values:
    """Leave out the notices of late uploads: what they say is said in one sentence now."""
    notices = [text for text in record.get("notices", ()) if not text.endswith(_LATE)]
    return {**record, "notices": notices}


def mark_of(what: str, text: str = "") -> str:
    """Return by what it is known again that people were told of a status, or the like, with a text.

    The text itself stands where it is told from: a record says nothing twice.
    """
    return f"{what} {hashlib.sha256(text.encode()).hexdigest()[:12]}" if text else what


def _record_3(record: Values) -> Values:
    """Give attributes their present names, and put the metrics of all stages in one place; say by a
    mark what people were told last.

    A record of before has `spec` and `datasets` in itself, and still has them then: the store
    writes them beside it with the next commit.
    """
    metrics = {
        stage["name"]: {_METRICS_3.get(name, name): {"value": value} for name, value in found}
        for stage in record.get("stages", ())
        if (found := (stage.get("metrics") or {}).items())
    }
    stages = [
        {_STAGE_3.get(name, name): each for name, each in stage.items() if name != "metrics"}
        for stage in record.get("stages", ())
    ]
    status, _, reason = (record.get("notified") or "").partition(": ")
    notified = mark_of(status, "" if status == "LIVE" else reason)
    return {**record, "stages": stages, "metrics": metrics, "notified": notified}


_STAGE_3 = {"former": "previous_config", "proceeded_at": "second_step_at"}
_METRICS_3 = {"em": "exact_match", "qem": "quasi_exact_match"}


def _score_2(item: Values) -> Values:
    """Give each change the one two-sided p-value, and the metrics what was read of labels.

    Release 0.1.0 tested at 95 % in its own ways, and gave both one-sided p-values; balanced
    accuracy and macro F1 had no error.
    """
    score = dict(item.get("score") or {})
    compared = {
        name: {**each, "metrics": _tested_2(each.get("metrics", {}), each.get("n"))}
        for name, each in score.get("comparisons", {}).items()
    }
    changes = {name: _tested_2(each, None) for name, each in score.get("changes", {}).items()}
    readings = score.get("classification") or {}
    plain = {
        name: {**each, **{key: {"value": each[key], "stderr": None} for key in _PLAIN_2}}
        for name, each in readings.items()
        if name != "labels"
    }
    shares = {
        "strict_accuracy": readings.get("strict", {}).get("accuracy"),
        "lenient_accuracy": readings.get("lenient", {}).get("accuracy"),
        "no_valid_label": readings.get("strict", {}).get("without_label"),
    }
    of_labels = {
        name: {**{key: share.get(key) for key in ("value", "low", "high")}, "stderr": None}
        for name, share in shares.items()
        if share and share.get("value") is not None
    }
    score |= {"comparisons": compared} if compared else {}
    score |= {"changes": changes} if changes else {}
    score |= {"metrics": {**score["metrics"], **of_labels}} if of_labels else {}
    score |= {"classification": {**readings, **plain}} if readings else {}
    return {**item, "score": score}


def _tested_2(differences: Values, n: int | None) -> Values:
    return {
        name: {
            "confidence": 0.95,
            "method": "a test of release 0.1.0",
            "n": n,
            "p_value": min(1.0, 2 * float(min(each["p_no_gain"], each["p_no_loss"]))),
            **{key: value for key, value in each.items() if key not in _UNTOLD_2},
        }
        for name, each in differences.items()
    }


_PLAIN_2 = ("balanced_accuracy", "macro_f1")
_UNTOLD_2 = {"p_no_gain", "p_no_loss", "smallest_detectable", "rows_to_settle"}

_UPCASTS: Mapping[tuple[Shape, int], Callable[[Values], Values]] = {
    (Shape.RECORD, 1): _record_2,
    (Shape.RECORD, 2): _record_3,
    (Shape.SCORE, 1): _score_2,
}
"""How a shape of a version becomes one of the next, where defaults don't do."""


def _words(shape: Shape) -> str:
    return shape.lower().replace("_", " ")


class NewerVersion(Exception):  # noqa: N818 - nothing is wrong with it
    """What was met was written by a newer release; it must be left as it is."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(
            f"this {_words(shape)} was written by a newer Novaloop "
            f"(this one knows version {PRESENT[shape]}); upgrade"
        )


class Damaged(Exception):  # noqa: N818
    """A stored item that no release wrote like this; what it says of itself is not quoted."""

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"this {what} is damaged: {problem}")


def key_of_version(shape: Shape) -> str:
    """Return the first part of the key under which this version keeps its counts and places."""
    return f"{shape}#{PRESENT[shape]}"


def stamped(shape: Shape, values: Values) -> dict[str, Any]:
    """Return what is to be stored or sent, with the present version."""
    return {FIELD: PRESENT[shape], **values}


def current(shape: Shape, values: Values) -> dict[str, Any]:
    """Return what was stored or sent as the present version has it.

    Raises NewerVersion; and Damaged for what no release writes as a version. Whoever may send
    something may send anything, so neither quotes it.
    """
    version = values.get(FIELD)
    version = 1 if version is None else version
    if type(version) is not int or version < 1:
        raise Damaged(_words(shape), f"its {FIELD} is no number from 1 on")
    if version > PRESENT[shape]:
        raise NewerVersion(shape)
    for older in range(version, PRESENT[shape]):
        values = _UPCASTS.get((shape, older), dict)(values)
    return {name: value for name, value in values.items() if name != FIELD}
