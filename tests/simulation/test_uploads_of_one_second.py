"""Of two versions of a file that were uploaded within a second, the bucket's newest is used."""

from __future__ import annotations

from datetime import timedelta
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
