"""The rows that changed are kept in the bucket, and nowhere where they are not wanted."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import pytest

from novaloop.experiment.names import report_prefix
from novaloop.metrics.flips import MAX_EXCERPT, excerpt
from novaloop.metrics.prompts import read_prompt
from novaloop.usecases.report import write_report
from novaloop.usecases.score import ScoreWorld, load_flips, score
from tests.simulation.twins import TwinObjects, TwinStore, VirtualClock
from tests.unit.reports import finished_experiment as example


def archive(lines: list[bytes]) -> bytes:
    content = b"\n".join(lines)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        entry = tarfile.TarInfo("run/eval_results/inference_output.jsonl")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def archive_key(stage: str) -> str:
    return f"jobs/{example.NAME}/novaloop-{example.NAME}--{stage}-1/output/output.tar.gz"


@pytest.fixture
def world() -> ScoreWorld:
    clock = VirtualClock()
    world = ScoreWorld(TwinStore(lambda _: None), TwinObjects(clock), clock)
    for stage in example.QUALITIES:
        world.objects.put(archive_key(stage), archive(example.answers(stage)), "application/gzip")
    return world


def run(world: ScoreWorld, *, report_rows: bool = True) -> None:
    record = example.record()
    record = replace(record, spec=record.spec.model_copy(update={"report_rows": report_rows}))
    world.store.commit(record, ())
    for stage in example.QUALITIES:
        item = score(example.NAME, stage, 1, world)
        assert item is not None
        assert item.error is None
        assert "question " not in json.dumps(item.score)
    write_report(example.NAME, world)


def page(world: ScoreWorld) -> str:
    return world.objects.get(f"{report_prefix(example.NAME)}.html").read().decode()


def test_both_stages_answers_stand_side_by_side(world: ScoreWorld) -> None:
    run(world)
    flips = load_flips(example.record(), world.objects)
    assert {stage: set(found) for stage, found in flips.items()} == {
        "after-sft": {"baseline"},
        "after-rft": {"baseline", "after-sft"},
    }
    changed = flips["after-sft"]["baseline"]
    assert len(changed.improved) == 50
    rows = [json.loads(line) for line in example.answers("after-sft")]
    golds = {read_prompt(row["prompt"])[1]: row["gold"] for row in rows}
    assert len(golds) == len(rows)
    for flip in changed.improved:
        assert flip.system == example.SYSTEM
        assert flip.after == flip.gold == golds[flip.question] != flip.before
    for flip in changed.regressed:
        assert flip.before == flip.gold == golds[flip.question] != flip.after
    assert "&lt;p&gt;question" in page(world)


def test_no_text_is_kept_when_the_experiment_says_so(world: ScoreWorld) -> None:
    run(world, report_rows=False)
    assert not [key for key, _ in world.objects.uploads("scores/") if "flips" in key]
    assert "question 1" not in page(world)


def test_rows_kept_before_are_not_shown_once_they_are_unwanted(world: ScoreWorld) -> None:
    run(world)
    record = world.store.load(example.NAME).record
    assert record is not None
    unwanted = record.spec.model_copy(update={"report_rows": False})
    assert load_flips(replace(record, spec=unwanted), world.objects) == {}


def test_an_earlier_archive_that_has_gone_costs_no_score(
    world: ScoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = example.record()
    world.store.commit(record, ())
    score(example.NAME, "baseline", 1, world)
    assert isinstance(world.objects, TwinObjects)
    monkeypatch.delitem(world.objects._versions, archive_key("baseline"))
    item = score(example.NAME, "after-sft", 1, world)
    assert item is not None
    assert item.error is None
    assert load_flips(record, world.objects) == {}


def test_an_excerpt_keeps_both_ends() -> None:
    assert excerpt("a" * MAX_EXCERPT) == "a" * MAX_EXCERPT
    text = "system prompt " * 100 + "the question"
    cut = excerpt(text)
    assert len(cut) <= MAX_EXCERPT
    assert cut.startswith("system prompt")
    assert cut.endswith("the question")


def test_a_try_on_the_same_rows_counts_over_experiments_and_once_however_often_it_is_scored(
    world: ScoreWorld,
) -> None:
    """Only the evaluation that the gate judges is one, and only what could be scored."""
    run(world)
    last = [*example.QUALITIES][-1]
    tries = {
        stage: world.store.load(example.NAME).scores[stage, 1].score["tries"]
        for stage in example.QUALITIES
    }
    assert tries == {stage: 1 if stage == last else None for stage in example.QUALITIES}
    record = world.store.load(example.NAME).record
    assert record is not None
    for uid, expected in (("second", 2), ("second", 2), ("third", 3)):
        stack = ScoreWorld(TwinStore(lambda _: None), world.objects, world.clock)
        stack.store.tries = world.store.tries  # type: ignore[attr-defined]
        stack.store.commit(replace(record, uid=uid, version=0), ())
        item = score(example.NAME, last, 1, stack)
        assert item is not None
        assert item.score["tries"] == expected
