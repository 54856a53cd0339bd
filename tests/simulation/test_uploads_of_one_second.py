"""Of two versions of a file that were uploaded within a second, the bucket's newest is used."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from novaloop.experiment.record import DatasetStatus, Status
from novaloop.usecases.ingest import ingest
from tests.simulation.simulation import SPEC, Call, Simulation
from tests.simulation.twins import questions_csv

SPEC_KEY, DATA_KEY = "inbox/demo/experiment.yaml", "inbox/demo/sft.csv"
OLDER, NEWER = 70, 200
HELD = timedelta(seconds=20)
"""Before the experiment starts, which is half a minute after the last upload."""


class Slower:
    """Holds up the first of these calls until a newer version was uploaded and ingested.

    What was asked of the bucket is answered by what was there before; a write is made after.
    """

    def __init__(self, sim: Simulation, call: str, key: str, body: bytes, apart: float) -> None:
        self.sim, self.call, self.key, self.body = sim, call, key, body
        self.apart, self.struck = timedelta(seconds=apart), False

    def around(self, call: Call) -> Any:
        meant = call.args[0] == self.key if call.name == "objects.newest" else True
        if call.name == "store.put_dataset":
            meant = call.args[1].status is DatasetStatus.ACCEPTED
        if self.struck or call.name != self.call or not meant:
            return call()
        self.struck = True
        asks = call.name == "objects.newest"
        answer = call() if asks else None
        self.sim.clock.time += self.apart
        self.sim.objects.put(self.key, self.body, "text/plain")
        ingest(self.key, self.sim._ingest_world())
        self.sim.passes(HELD)
        return answer if asks else call()


@pytest.mark.parametrize("apart", [0.5, 1.5])
@pytest.mark.parametrize("call", ["store.put_dataset", "objects.newest"])
def test_the_newer_file_is_used_however_slow_the_older_ones_ingest_is(
    call: str, apart: float
) -> None:
    sim = Simulation()
    sim.objects.put(SPEC_KEY, SPEC + b"plan: [sft]\ndry_run: true\n", "text/yaml")
    ingest(SPEC_KEY, sim._ingest_world())
    sim.clock.time = sim.clock.time.replace(microsecond=100_000)
    sim.objects.put(DATA_KEY, questions_csv(OLDER, 0), "text/csv")
    slower = Slower(sim, call, DATA_KEY, questions_csv(NEWER, 9), apart)
    sim.interposed.append(slower)
    sim.world = sim.world_with(sim.crashes)
    ingest(DATA_KEY, sim._ingest_world())
    sim.settles("demo")
    assert slower.struck
    record = sim.record("demo")
    assert record.status is Status.COMPLETED
    assert record.datasets["sft"].version_id == sim.objects.versions(DATA_KEY)[-1]
    assert record.datasets["sft"].rows == NEWER


@pytest.mark.parametrize("call", ["store.put_spec", "objects.newest"])
def test_the_newer_settings_are_used(call: str) -> None:
    sim = Simulation()
    sim.clock.time = sim.clock.time.replace(microsecond=100_000)
    older, newer = (SPEC + b"plan: [sft]\ndry_run: true\n# %d\n" % number for number in range(2))
    sim.objects.put(SPEC_KEY, older, "text/yaml")
    slower = Slower(sim, call, SPEC_KEY, newer, 0.5)
    sim.interposed.append(slower)
    sim.world = sim.world_with(sim.crashes)
    ingest(SPEC_KEY, sim._ingest_world())
    assert slower.struck
    spec = sim.store.load("demo").spec
    assert spec is not None
    assert spec.version_id == sim.objects.versions(SPEC_KEY)[-1]


INVALID, BAD = SPEC + b"plan: [nothing]\n", b"Id,Body,Z\n1,a question,HQ\n"
PLAN = SPEC + b"plan: [sft]\ndry_run: true\n"


@pytest.mark.parametrize(
    ("key", "older", "newer"),
    [
        (DATA_KEY, BAD, questions_csv(NEWER, 1)),
        (DATA_KEY, questions_csv(3, 0), questions_csv(NEWER, 1)),
        (DATA_KEY, questions_csv(OLDER, 0), questions_csv(NEWER, 1)),
        (SPEC_KEY, INVALID, PLAN),
        (SPEC_KEY, SPEC + b"plan: [sft, evaluate: more]\n", PLAN),
    ],
    ids=["no column", "few rows", "good rows", "invalid settings", "good settings"],
)
def test_the_newer_one_is_read_in_the_end_also_if_its_event_is_lost(
    key: str, older: bytes, newer: bytes
) -> None:
    """The sweep can't tell it from the older, which was read within the same second."""
    sim = Simulation()
    sim.clock.time = sim.clock.time.replace(microsecond=100_000)
    for other, body in ((SPEC_KEY, PLAN), (DATA_KEY, questions_csv(NEWER, 1))):
        if other != key:
            sim.objects.put(other, body, "text/plain")
            ingest(other, sim._ingest_world())
    sim.objects.put(key, older, "text/plain")
    ingest(key, sim._ingest_world())
    sim.objects.put(key, newer, "text/plain")
    assert sim.run(partial(sim.is_in, "demo", Status.COMPLETED), timedelta(hours=1))
    assert sim.record("demo").datasets["sft"].rows == NEWER
    assert sim.record("demo").spec.dry_run


def test_newer_settings_that_ask_for_less_are_read_also_if_their_event_is_lost() -> None:
    """What the older ones ask for is waited for, and nothing else would look at them again."""
    sim = Simulation()
    sim.clock.time = sim.clock.time.replace(microsecond=100_000)
    sim.objects.put(SPEC_KEY, PLAN.replace(b"[sft]", b"[sft, evaluate: more]"), "text/yaml")
    ingest(SPEC_KEY, sim._ingest_world())
    sim.objects.put(SPEC_KEY, PLAN, "text/yaml")
    sim.passes(timedelta(seconds=10))
    sim.upload("demo", "sft.csv", questions_csv(NEWER, 1))
    assert sim.run(partial(sim.is_in, "demo", Status.COMPLETED), timedelta(hours=1))


def test_a_refused_file_that_is_deleted_is_told_no_more() -> None:
    sim = Simulation()
    sim.upload("demo", "experiment.yaml", PLAN)
    sim.upload("demo", "sft.csv", BAD)
    assert sim.reaches("demo", Status.REJECTED)
    sim.passes(timedelta(minutes=3))
    told = len(sim.notifier.messages)
    sim.objects.deleted.add(DATA_KEY)
    sim.passes(timedelta(days=2))
    assert len(sim.notifier.messages) == told == 1
