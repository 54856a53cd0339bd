"""An experiment that went live: three evaluations of 300 answers each, scored for real."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from novaloop.experiment.record import (
    Attempt,
    DatasetItem,
    DatasetRef,
    DatasetStatus,
    Endpoint,
    GateVerdict,
    HistoryEntry,
    Progress,
    Record,
    ScoreItem,
    Stage,
    StageState,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec, Gate
from novaloop.experiment.spec.stages import StageKind, default_plan
from novaloop.metrics.flips import Flips, listed_rows, pair_up, read_answers
from novaloop.metrics.inferences import read_inferences
from novaloop.metrics.results import Score
from novaloop.metrics.score import score_lines

if TYPE_CHECKING:
    from novaloop.metrics.rows import RowScores

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")
SYSTEM = "Sort this question by quality.\nAnswer with <HQ>, LQ_EDIT or LQ_CLOSE.\n"
NAME = "quality"
ENDPOINT = f"novaloop-{NAME}--deploy-1"
QUALITIES = {"baseline": (0.3, 0.8), "after-sft": (0.7, 0.01), "after-rft": (0.71, 0.01)}


def chat(question: str) -> str:
    """Write a prompt as the evaluation job does: the turns as Python shows them."""
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return str(turns)


def answers(stage: str, seed: int = 3) -> list[bytes]:
    right, verbose = QUALITIES[stage]
    draw, golds = random.Random(seed), random.Random(1)  # noqa: S311
    lines: list[dict[str, object]] = []
    for row in range(300):
        gold = golds.choice(LABELS)
        answer = gold if draw.random() < right else draw.choice(LABELS)
        if draw.random() < verbose:
            answer = f"It is {answer} because " + "it explains itself and " * draw.randint(1, 20)
        prompt = chat(f'<p>question {row}:\nwhat\'s "this"?')
        line: dict[str, object] = {"prompt": prompt, "inference": [answer], "gold": gold}
        if stage == "after-rft":
            line["logprobs"] = [-draw.random() / 2, -0.05]
        lines.append(line)
    return [json.dumps(line).encode() for line in lines]


@cache
def scores() -> dict[tuple[str, int], ScoreItem]:
    earlier: dict[str, RowScores] = {}
    items = {}
    for stage in QUALITIES:
        score, rows = score_lines(
            answers(stage),
            labels=LABELS,
            reported={"em": 0.5, "bleu": 0.0, "bleu_stderr": 0.09},
            max_new_tokens=50,
            earlier=earlier,
        )
        earlier[stage] = rows
        items[stage, 1] = ScoreItem(stage, 1, START, score=score.to_dict())
    return items


def flips() -> dict[str, dict[str, Flips]]:
    names = list(QUALITIES)
    return {
        later: {earlier: flips_between(earlier, later)}
        for earlier, later in itertools.pairwise(names)
    }


def flips_between(earlier: str, later: str) -> Flips:
    comparison = Score.from_dict(scores()[later, 1].score).comparisons[earlier]
    wanted = listed_rows(comparison)
    before, after = (
        read_answers(read_inferences(answers(stage)), wanted) for stage in (earlier, later)
    )
    return pair_up(comparison, before, after)


def stages() -> tuple[Stage, ...]:
    return tuple(
        Stage(
            kind=plan.kind,
            name=plan.name,
            state=StageState.SUCCEEDED,
            checkpoint=f"s3://escrow/{plan.name}/40"
            if plan.kind in {StageKind.SFT, StageKind.RFT}
            else None,
            reason="answered the smoke request: HQ" if plan.kind is StageKind.DEPLOY else None,
            attempt=Attempt(
                job_name=f"novaloop-{NAME}--{plan.name}-1",
                job_arn=f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{plan.name}",
                claimed_at=START + timedelta(minutes=20 * index),
                started_at=START + timedelta(minutes=20 * index + 1),
                ended_at=START + timedelta(minutes=20 * index + 18),
                progress=Progress("Completed"),
                billable_seconds=900,
            ),
        )
        for index, plan in enumerate(default_plan())
    )


def record() -> Record:
    verdict = GateVerdict(
        "PROMOTE",
        promotes=True,
        ledger=(
            {
                "condition": "exact_match better than baseline",
                "observed": "+0.4100, p = 0.0000",
                "needed": "a gain at 95% confidence",
                "outcome": "met",
            },
        ),
    )
    return Record(
        experiment_id=NAME,
        spec=ExperimentSpec(labels=LABELS, gate=Gate(better_than="baseline")),
        created_at=START - timedelta(minutes=5),
        status=Status.LIVE,
        reason=f"{ENDPOINT} serves until 2026-05-05 14:00 UTC",
        stages=stages(),
        datasets={
            role: DatasetRef(f"version-{role}", f"{index}f" * 32, rows, {role: f"{role}.jsonl"})
            for index, (role, rows) in enumerate({"sft": 3500, "rft": 700, "eval": 300}.items())
        },
        gate=verdict,
        endpoint=Endpoint(ENDPOINT, START + timedelta(hours=2), START + timedelta(hours=26)),
        started_at=START,
    )


def dataset(role: str, rows: int) -> DatasetItem:
    return DatasetItem(
        role=role,
        status=DatasetStatus.ACCEPTED,
        source_key=f"inbox/{NAME}/{role}.csv",
        version_id=f"version-{role}",
        uploaded_at=START,
        fingerprint="0" * 16,
        updated_at=START,
        rows=rows,
        sha256="ab" * 32,
    )


HISTORY = (HistoryEntry(START, "RUNNING", "started with <b>4,500</b> rows"),)
