"""The gate: whether the last evaluation allows a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from novaloop.experiment.record import NO_GATE, GateVerdict, Record, ScoreItem
from novaloop.metrics import gate
from novaloop.metrics.results import read_score


def judge(record: Record, scores: Mapping[tuple[str, int], ScoreItem]) -> GateVerdict:
    """Judge an evaluation by the spec's gate; without a gate, everything is promoted."""
    conditions = record.spec.gate
    if conditions is None:
        return GateVerdict(gate.GateDecision.PROMOTE, promotes=True, summary=NO_GATE)
    item = _judged_score(record, scores, conditions.evaluation)
    if item is None:
        reason = "there is no score to judge"
        return GateVerdict(gate.GateDecision.HOLD, promotes=False, summary=reason)
    result = gate.judge(conditions, read_score(item.score))
    promotes = result.verdict is gate.GateDecision.PROMOTE or (
        result.verdict is gate.GateDecision.INCONCLUSIVE
        and conditions.when_inconclusive == "promote"
    )
    ledger = tuple(asdict(entry) for entry in result.ledger)
    summary = "" if ledger else "the gate asks for nothing"
    return GateVerdict(result.verdict, promotes, summary, ledger)


def _judged_score(
    record: Record, scores: Mapping[tuple[str, int], ScoreItem], name: str | None
) -> ScoreItem | None:
    """Return the score of the evaluation called `name`, or of the last one."""
    found = [
        stage for stage in record.stages if stage.kind.is_scored and name in {None, stage.name}
    ]
    return scores.get((found[-1].name, found[-1].attempt.number)) if found else None
