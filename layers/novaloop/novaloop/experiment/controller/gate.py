"""The gate: whether the evaluations allow a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from novaloop.experiment.record import NO_GATE, GateVerdict, Record, ScoreItem
from novaloop.metrics import gate
from novaloop.metrics.results import Score, TaskScore, read_score


def judge(record: Record, scores: Mapping[tuple[str, int], ScoreItem]) -> GateVerdict:
    """Judge evaluations by the spec's gate; without a gate, everything is promoted."""
    asked = record.spec.gate
    if asked is None:
        return GateVerdict(gate.GateDecision.PROMOTE, promotes=True, summary=NO_GATE)
    result = gate.judge(
        (
            (name, conditions, _score_of(record, scores, name))
            for _, name, conditions in record.spec.judged()
        ),
        asked.tries,
    )
    promotes = result.verdict is gate.GateDecision.PROMOTE or (
        result.verdict is gate.GateDecision.INCONCLUSIVE and asked.when_inconclusive == "promote"
    )
    ledger = tuple(asdict(entry) for entry in result.ledger)
    summary = "" if ledger else "the gate asks for nothing"
    return GateVerdict(result.verdict, promotes, summary, ledger)


def _score_of(
    record: Record, scores: Mapping[tuple[str, int], ScoreItem], name: str
) -> Score | TaskScore | None:
    stage = next(stage for stage in record.stages if stage.name == name)
    item = scores.get((name, stage.attempt.number))
    return None if item is None else read_score(item.score)
