"""The dataset card: what a person wants to know of a dataset before it costs anything."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from novaloop.datasets.profile.checks import Finding
from novaloop.datasets.profile.histogram import Distribution
from novaloop.datasets.profile.summary import DatasetSummary

_TEMPLATES = Environment(
    loader=PackageLoader("novaloop.datasets.profile", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def dataset_card(
    role: str, summary: DatasetSummary, findings: Sequence[Finding] = ()
) -> dict[str, Any]:
    """Return the card as plain JSON values; sizes in bytes, the samples are dataset text."""
    refusal = summary.refusal
    return {
        "role": role,
        "accepted": summary.ok,
        "refusal": refusal
        and {"rule": refusal.rule, "line": refusal.line, "message": str(refusal)},
        "rows_in": summary.rows_in,
        "rows_out": summary.rows_out,
        "rows_excluded": summary.rows_excluded,
        "rejects": {rule: asdict(rejected) for rule, rejected in summary.rejects.items()},
        "outputs": {name: asdict(output) for name, output in summary.outputs.items()},
        "label_counts": summary.label_counts and dict(summary.label_counts),
        "duplicate_rows": summary.duplicate_rows,
        "question_bytes": _distribution(summary.question_bytes),
        "tokens": _distribution(summary.tokens),
        "row_hash_sum": summary.row_hash_sum,
        "findings": [finding_content(finding) for finding in findings if role in finding.roles],
        "samples": [
            {"question": question, "answer": answer} for question, answer in summary.samples
        ],
    }


def card_html(card: Mapping[str, Any]) -> str:
    """Return the card as a self-contained HTML page; everything from the dataset is escaped."""
    return _TEMPLATES.get_template("card.html").render(card=card)


def _distribution(sizes: Distribution) -> dict[str, Any]:
    """Return the figures, and the rows by power of two."""
    bars: Counter[int] = Counter()
    for bound, rows in sizes.buckets:
        bars[1 << bound.bit_length() - 1 if bound else 0] += rows
    histogram = [{"from": bound, "rows": rows} for bound, rows in sorted(bars.items())]
    figures = {"total": sizes.total, "p50": sizes.p50, "p95": sizes.p95, "max": sizes.max}
    return {**figures, "histogram": histogram}


def finding_content(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain JSON values, without the hashes of its questions."""
    return {
        "check": finding.check,
        "policy": finding.policy,
        "roles": list(finding.roles),
        "rows": finding.rows,
        "message": finding.message,
    }
