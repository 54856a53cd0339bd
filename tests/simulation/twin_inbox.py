"""A stack with a long history, made up as it is asked for: calls are counted and take time.

A million uploads fit in no test's memory and no test's time, so they are computed from their place
in the order of the keys. Nothing here can be had without a call that is counted.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, overload

from novaloop.experiment.record import (
    Backstop,
    DatasetItem,
    DatasetStatus,
    Endpoint,
    Record,
    Snapshot,
    SpecItem,
    Status,
)
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.usecases.orphans import OrphanWorld
from novaloop.usecases.ports import Billing, Round, Standing, Upload
from novaloop.usecases.sweep import SweepWorld, Swept, sweep
from tests.simulation.twins import START, VirtualClock

FILES = ("eval.csv", "experiment.yaml", "rft.csv", "sft.csv")
PAGE = 1_000
"""S3 lists so many keys in one request."""
DUE_PAGE = 5_000
"""So many keys of the due index are in the megabyte that DynamoDB returns at once."""
CALL = timedelta(milliseconds=40)
"""What a call takes; 10 to 100 ms are usual within a region."""
SWEEP_EVERY = timedelta(minutes=5)
QUERIES_OF_A_LOAD = 2
"""The table reads around an experiment's history: what is sorted before it, and what behind it."""


class Folders(Sequence[str]):
    """The keys of the files of so many experiments, in order."""

    def __init__(self, name: str, experiments: int) -> None:
        self._name = name
        self._experiments = experiments

    def __len__(self) -> int:
        return self._experiments * len(FILES)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        assert isinstance(index, int)
        if not 0 <= index < len(self):
            raise IndexError(index)
        experiment, file = divmod(index, len(FILES))
        return f"inbox/{self._name}{experiment:07}/{FILES[file]}"


class LongHistory:
    """Store, objects, hints and ingester of a stack with old, live and lost uploads."""

    def __init__(self, old: int = 0, live: int = 0) -> None:
        self.clock = VirtualClock()
        self.old, self.live = Folders("a", old // len(FILES)), Folders("live", live)
        self.others: dict[str, Upload] = {}
        """Any other uploads, with keys behind those; none of them has an item."""
        self.calls: Counter[str] = Counter()
        self.call_takes = CALL
        self.asked: list[str] = []
        self.hinted: list[str] = []
        self.refused: set[str] = set()
        self.unreadable: set[str] = set()
        self.down: set[str] = set()
        self.round: Round | None = None
        self.serving: list[str] = []
        """The experiments of which an endpoint is tagged."""
        self.schedules: dict[str, datetime] = {}
        """When each schedule begins, by the name of what it ends."""
        self.told: list[str] = []
        hour = timedelta(hours=1)
        self.due_at = {f"live{number:07}": START + hour * (number / live) for number in range(live)}

    def sweep(self) -> tuple[Swept, int, timedelta]:
        """Sweep once; return what was done, in how many calls, and how long it took.

        The next sweep comes five minutes after this one began.
        """
        self.calls.clear()
        began, ports = self.clock.time, self
        port: Any = ports
        orphans = OrphanWorld(port, port, port, port)
        swept = sweep(SweepWorld(port, port, port, port, port, self.clock, lambda: orphans))
        took = self.clock.time - began
        self.clock.time = began + SWEEP_EVERY
        return swept, self.calls.total(), took

    def _call(self, name: str, at_once: int = 1, calls: int = 1) -> None:
        self.calls[name] += calls
        self.clock.time += self.call_takes * math.ceil(calls / at_once)
        if name in self.down:
            raise ConnectionError(name)

    # ------------------------------------------------------------------ the bucket
    def lose(self, key: str, ago: timedelta = timedelta(0)) -> None:
        """Upload a file of which no event tells."""
        self.others[key] = Upload("", self.clock.time - ago, 1)

    def uploads(self, prefix: str, after: str = "") -> Iterator[tuple[str, Upload]]:
        self._call("list")
        given = 0
        for keys in (self.old, self.live, sorted(self.others)):
            for index in range(bisect_right(keys, after), len(keys)):
                if given and given % PAGE == 0:
                    self._call("list")
                given += 1
                yield keys[index], self.upload_of(keys[index])

    def upload_of(self, key: str) -> Upload:
        if key in self.others:
            return self.others[key]
        folder = key.split("/")[1]
        if folder.startswith("live"):
            day = timedelta(hours=24)
            return Upload("", START - day * (int(folder[4:]) / (len(self.live) / len(FILES))), 1)
        return Upload("", START - timedelta(days=30, minutes=int(folder[1:])), 1)

    # ------------------------------------------------------------------ the table
    def due(self, now: datetime) -> Iterator[str]:
        self._call("query commands")
        self._call("query due")
        due = sorted((at, name) for name, at in self.due_at.items() if at <= now)
        for number, (_, name) in enumerate(due):
            if number and number % DUE_PAGE == 0:
                self._call("query due")
            yield name

    def load_all(self, experiment_ids: Sequence[str]) -> dict[str, Snapshot | None]:
        self._call("query", at_once=8, calls=QUERIES_OF_A_LOAD * len(experiment_ids))
        assert all(experiment_ids), "DynamoDB takes no empty key"
        return {each: self._load(each) for each in experiment_ids if each not in self.unreadable}

    def load_records(self, experiment_ids: Sequence[str]) -> dict[str, Snapshot | None]:
        self._call("query record", at_once=8, calls=len(experiment_ids))
        return {each: self._load(each) for each in experiment_ids if each not in self.unreadable}

    def _load(self, experiment_id: str) -> Snapshot:
        keys = [f"inbox/{experiment_id}/{file}" for file in FILES]
        if keys[0] in self.others or not experiment_id.startswith(("a0", "live")):
            return Snapshot(experiment_id)
        at = self.upload_of(keys[0]).uploaded_at
        spec = ExperimentSpec()
        endpoint = Endpoint(f"novaloop-{experiment_id}--deploy-1", at, None)
        return Snapshot(
            experiment_id,
            Record(experiment_id, spec, at, status=Status.LIVE, endpoint=endpoint),
            SpecItem("v1", at, spec),
            {
                file.removesuffix(".csv"): DatasetItem(
                    file.removesuffix(".csv"), DatasetStatus.ACCEPTED, key, "v1", at, "", at
                )
                for file, key in zip(FILES, keys, strict=True)
            },
        )

    def sweep_round(self) -> Round | None:
        self._call("get round")
        return self.round

    def put_sweep_round(self, place: Round) -> None:
        self._call("put round")
        self.round = place

    # ------------------------------------------------------------------ the account
    def billing(self) -> tuple[Sequence[Billing], Sequence[str]]:
        """Each tag page has 100 resources (GetResources, ResourcesPerPage)."""
        self._call("look for what bills", calls=3 + len(self.serving) // 100)
        return [
            Billing("sagemaker:endpoint", f"novaloop-{name}--deploy-1", name, "sagemaker")
            for name in self.serving
        ], ()

    def serves(self, billing: Billing) -> str | None:
        self._call("describe")
        return billing.name

    def end(self, billing: Billing) -> None:
        self._call("delete")

    def standing(self, backstop: Backstop) -> Standing:
        self._call("get schedule")
        begins = self.schedules.get(backstop.name)
        return Standing(begins is not None, begins)

    def put(self, backstop: Backstop, now: datetime, *, sooner: bool = False) -> bool:
        self._call("create schedule")
        self.schedules[backstop.name] = backstop.at
        return True

    def publish(self, subject: str, message: str, attributes: Mapping[str, str]) -> None:
        self._call("publish")
        self.told.append(message)

    # ------------------------------------------------------------------ queue and function
    def look_at_all(self, experiment_ids: Sequence[str]) -> Sequence[str]:
        self._call("send", at_once=4, calls=math.ceil(len(experiment_ids) / 10))
        refused = [each for each in experiment_ids if each in self.refused]
        for experiment_id in experiment_ids:
            if experiment_id not in refused:
                self._looked(experiment_id)
        return refused

    def _looked(self, experiment_id: str) -> None:
        self.hinted.append(experiment_id)
        if experiment_id in self.due_at:
            self.due_at[experiment_id] = self.clock.time + timedelta(hours=1)

    def request_ingest(self, source_key: str) -> None:
        self._call("invoke")
        self.asked.append(source_key)
