"""A conversion that takes long is not taken for one that died."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from novaloop.experiment.record import Status
from novaloop.usecases.big_files import run_step
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.ingest_events import read_ingest_event
from tests.simulation.simulation import SPEC, Simulation
from tests.simulation.twins import questions_csv

DRY = SPEC + b"plan: [sft]\ndry_run: true\n"


class SlowMachine:
    """Runs the steps one after the other in virtual time; whatever runs shares its speed."""

    smallest = 2_000

    def __init__(self, sim: Simulation, each: timedelta, dies: int) -> None:
        self.sim, self.each, self.dies = sim, each, dies
        self.running: dict[str, bool] = {}
        self.most = 0

    def start(self, name: str, request: Mapping[str, object]) -> bool:
        if name in self.running:
            return self.running[name]
        self.running[name] = True
        self.most = max(self.most, sum(self.running.values()))
        given = json.loads(json.dumps(request))
        self._later(partial(self._scan, name, given, list(given["ranges"]), []))
        return True

    def runs(self, name: str) -> bool | None:
        return self.running.get(name)

    def _later(self, step: Any) -> None:
        self.sim.later(self.each * sum(self.running.values()), step)

    def _step(self, given: Any, **more: Any) -> Any:
        event = json.loads(json.dumps({"file": given["file"], **more}))
        return run_step(read_ingest_event(event), self.sim._ingest_world())  # type: ignore[arg-type]

    def _scan(self, name: str, given: Any, todo: list[Any], scans: list[Any]) -> None:
        if todo:
            scans.append(self._step(given, step="scan", range=todo.pop(0)))
            return self._later(partial(self._scan, name, given, todo, scans))
        ranges = self._step(given, step="plan", scans=scans)
        return self._later(partial(self._convert, name, given, ranges, list(ranges)))

    def _convert(self, name: str, given: Any, ranges: list[Any], todo: list[Any]) -> None:
        if todo:
            self._step(given, step="convert", range=todo.pop(0))
            return self._later(partial(self._convert, name, given, ranges, todo))
        if self.dies:
            self.dies -= 1
        else:
            self._step(given, step="join", ranges=ranges)
        self.running[name] = False
        return None


@pytest.mark.parametrize(
    ("seconds", "dies"), [(30, 0), (100, 0), (600, 0), (1800, 0), (100, 1), (100, 9)]
)
def test_a_slow_conversion_runs_once_and_ends(seconds: int, dies: int) -> None:
    sim = Simulation()
    machine = SlowMachine(sim, timedelta(seconds=seconds), dies)
    sim._ingest_world = lambda: IngestWorld(  # type: ignore[method-assign]
        sim.world.store, sim.world.objects, sim.host, machine
    )
    sim.upload("demo", "experiment.yaml", DRY)
    sim.passes(timedelta(seconds=30))
    sim.upload("demo", "sft.csv", questions_csv(240, 0))
    over = partial(sim.is_in, "demo", Status.REJECTED, Status.COMPLETED)
    assert sim.run(over, timedelta(days=6))
    assert machine.most == 1
    told = [text for _, text in sim.notifier.messages]
    assert not any("nothing has come" in text for text in told)  # it goes on, for days if need be
    assert len(machine.running) == min(1 + dies, 6)
    assert sim.record("demo").status is (Status.COMPLETED if dies < 6 else Status.REJECTED)
