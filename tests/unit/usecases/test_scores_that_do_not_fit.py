"""A score fits into its item, or says that it does not."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from novaloop.experiment.record import Attempt, Record, ScoreItem, Stage, StageState, Status
from novaloop.experiment.spec.experiment import MAX_LABELS
from novaloop.experiment.spec.stages import StageKind
from novaloop.experiment.validation.reading import read_spec
from novaloop.metrics.score import score_lines
from novaloop.store.serialisation import plain
from novaloop.usecases.score import MAX_SCORE_BYTES, ScoreWorld, _fitting, _Scored, score
from tests.dynamodb import ITEM_BYTES, check_item
from tests.simulation.twins import START, TwinObjects, TwinStore, VirtualClock

JOB = "novaloop-demo--mmlu-1"


@pytest.mark.parametrize("text", ["x" * 60, "漢" * 96], ids=["usual", "longest"])
def test_as_many_labels_as_an_experiment_may_have_fit(text: str) -> None:
    labels = [f"{number:03} {text}" for number in range(MAX_LABELS)]
    lines = (
        json.dumps(
            {
                "prompt": str(number),
                "inference": [labels[(7 * number) % MAX_LABELS]],
                "gold": labels[number % MAX_LABELS],
            }
        ).encode()
        for number in range(2_000)
    )
    scored, _ = score_lines(lines, labels=labels)
    content = scored.to_dict()
    size = len(json.dumps(content, ensure_ascii=False).encode())
    assert _fitting(_Scored(content)).error is None
    item = ScoreItem("baseline", 1, START, None, content)
    assert 100_000 < check_item({"experiment_id": "a", "item": "b", **plain(item)}) <= size
    assert size <= MAX_SCORE_BYTES < ITEM_BYTES - 10_000


def test_a_job_that_reports_too_much_ends_in_an_error_that_says_so() -> None:
    clock = VirtualClock()
    world = ScoreWorld(TwinStore(lambda _: None), TwinObjects(clock), clock)
    metrics = {f"{'m' * 60}{number}": 0.5 for number in range(10_000)}
    content = json.dumps({"results": {"all": metrics}}).encode()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        entry = tarfile.TarInfo("run/eval_results/results_1.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    world.objects.put(
        f"jobs/demo/{JOB}/output/output.tar.gz", stream.getvalue(), "application/gzip"
    )
    spec = read_spec(b"plan: [{evaluate: {name: mmlu, task: mmlu}}]")
    stage = Stage(StageKind.EVALUATE, "mmlu", StageState.SCORING, attempt=Attempt(job_name=JOB))
    world.store.commit(Record("demo", spec, START, status=Status.RUNNING, stages=(stage,)), ())
    item = score("demo", "mmlu", 1, world)
    assert item is not None
    assert item.error is not None
    assert "are kept; the evaluation reports 10,000 metrics" in item.error
