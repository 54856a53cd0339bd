"""The steps of a big file's conversion, in the order of the state machine, over a twin bucket."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from benchmarks.stackoverflow_like import generate
from novaloop.experiment.record import DatasetItem, DatasetStatus
from novaloop.usecases.big_files import MAX_RANGES, WEATHER, ServiceUnavailable, run_step
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.ingest import ingest
from novaloop.usecases.ingest_events import Step, read_ingest_event
from novaloop.usecases.ports import ObjectMissing
from tests.simulation.twin_service import refusal
from tests.simulation.twins import TwinObjects, TwinStore, VirtualClock

KEY = "inbox/demo/sft.csv"
SPEC = b"columns: {question: Body, answer: Y}\nlabels: [HQ, LQ_EDIT, LQ_CLOSE]\n"


def read_step(event: dict[str, Any]) -> Step:
    step = read_ingest_event(event)
    assert isinstance(step, Step)
    return step


@dataclass
class Machine:
    """The state machine: every step gets and gives JSON, as in the definition.

    A name is given once in 90 days. What runs under it may be started again with the same input,
    which changes nothing; what is closed, or began with another input, keeps its name:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html.
    """

    smallest: int
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    loses_answer: bool = False

    def start(self, name: str, request: Mapping[str, object]) -> bool:
        assert re.fullmatch(r"[-\w]{1,80}", name)
        if name in self.inputs:
            return name not in self.closed and self.inputs[name] == json.dumps(request)
        self.inputs[name] = json.dumps(request)
        self.requests.append(json.loads(self.inputs[name]))
        if self.loses_answer:
            raise ConnectionError
        return True

    def runs(self, name: str) -> bool | None:
        return name not in self.closed if name in self.inputs else None

    def close(self) -> None:
        """End what runs, as StopExecution, or a fault of its last step, does."""
        self.closed.update(self.inputs)

    def run(self, world: IngestWorld, before_join: Callable[[], None] = lambda: None) -> None:
        (request,) = self.requests
        file = request["file"]

        def step(name: str, **more: Any) -> Any:
            event = json.loads(json.dumps({"step": name, "file": file, **more}))
            return json.loads(json.dumps(run_step(read_step(event), world)))

        scans = [step("scan", range=each) for each in request["ranges"]]
        ranges = step("plan", scans=scans)
        for each in reversed(ranges):
            step("convert", range=each)
        before_join()
        step("join", ranges=ranges)


def world_with(data: bytes, machine: Machine | None, spec: bytes = SPEC) -> IngestWorld:
    clock = VirtualClock()
    objects = TwinObjects(clock)
    objects.put("inbox/demo/experiment.yaml", spec, "application/yaml")
    objects.put(KEY, data, "text/csv")
    world = IngestWorld(TwinStore(lambda _: None), objects, clock, machine)
    ingest(KEY, world)
    return world


def item_of(world: IngestWorld) -> DatasetItem:
    return world.store.load("demo").datasets["sft"]


def read(world: IngestWorld, key: str | None) -> bytes:
    return world.objects.get(key or "").read()


def by_both_ways(data: bytes, spec: bytes = SPEC) -> tuple[IngestWorld, IngestWorld]:
    machine = Machine(len(data))
    parts, stream = world_with(data, machine, spec), world_with(data, None, spec)
    assert item_of(parts).status is DatasetStatus.INGESTING
    machine.run(parts)
    return parts, stream


def assert_same(parts: IngestWorld, stream: IngestWorld) -> None:
    one, other = item_of(parts), item_of(stream)
    assert replace(one, sha256="", updated_at=other.updated_at) == replace(other, sha256="")
    for name in other.outputs:
        assert read(parts, one.outputs[name]) == read(stream, other.outputs[name])
    if other.rejects_key:
        assert read(parts, one.rejects_key) == read(stream, other.rejects_key)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("data") / "sft.csv"
    generate(path, 300_000)
    return path.read_bytes()


def test_parts_come_to_the_same_dataset(questions: bytes) -> None:
    parts, stream = by_both_ways(questions)
    assert item_of(parts).status is DatasetStatus.ACCEPTED
    assert_same(parts, stream)
    assert int(item_of(parts).sha256.partition("-")[2]) == 8


def test_rejected_rows_are_listed_by_their_lines(questions: bytes) -> None:
    data = questions.replace(b"\r\n200,", b"\r\n0,t,,tags,2020,HQ\r\n200,", 1)
    parts, stream = by_both_ways(data, SPEC + b"max_rejects: 5\n")
    assert item_of(parts).rejected_rows == 1
    assert_same(parts, stream)


def test_a_refused_file_leaves_no_rows(questions: bytes) -> None:
    parts, stream = by_both_ways(questions + b"1,t,b,tags,2020,nonsense\r\n")
    assert item_of(parts).status is DatasetStatus.REJECTED
    assert_same(parts, stream)


@pytest.mark.parametrize(
    "stray",
    [
        b'1,5" disk,body,tags,2020,HQ\r\n',
        b'1,5" disk,body,tags,2020,HQ\r\n2,3" disk,b,t,2020,HQ\r\n',
    ],
)
def test_stray_quotes_end_in_one_stream(questions: bytes, stray: bytes) -> None:
    header, _, rows = questions.partition(b"\r\n")
    parts, stream = by_both_ways(header + b"\r\n" + stray + rows)
    assert item_of(parts).status is DatasetStatus.ACCEPTED
    assert_same(parts, stream)


def test_cuts_that_look_right_but_are_not_end_in_one_stream() -> None:
    """Inside of this cell stands what looks like rows."""
    inside = b"1,t,body,tags,2020,HQ\r\n" * 400
    data = b'Id,Title,Body,Tags,Date,Y\r\n1,5" disk,body,t,2020,HQ\r\n2,t,"' + inside
    data += b'",t,2020,HQ\r\n3,5" disk,body,t,2020,HQ\r\n' + inside
    parts, stream = by_both_ways(data)
    assert item_of(parts).status is DatasetStatus.ACCEPTED
    assert_same(parts, stream)


def test_another_encoding_is_one_range(questions: bytes) -> None:
    parts, stream = by_both_ways(questions.decode().encode("utf-16"))
    assert item_of(parts).status is DatasetStatus.ACCEPTED
    assert_same(parts, stream)
    assert "-" not in item_of(parts).sha256


def test_a_file_that_is_replaced_meanwhile_is_given_up(questions: bytes) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)

    def replaced() -> None:
        world.objects.put(KEY, b"Body,Y\nwhat?,HQ\n", "text/csv")
        ingest(KEY, world)

    machine.run(world, before_join=replaced)
    assert item_of(world).rows == 1


def test_settings_that_change_meanwhile_end_the_conversion(questions: bytes) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    world.objects.put("inbox/demo/experiment.yaml", SPEC + b"max_rejects: 3\n", "text/yaml")
    machine.run(world)
    assert item_of(world).status is DatasetStatus.INGESTING
    assert not [key for key in world.objects.keys() if key.startswith("parts/")]  # type: ignore[attr-defined]  # noqa: SIM118


def test_what_cannot_be_cut_is_not_handed_over() -> None:
    for name in ("sft.csv.gz", "sft.jsonl"):
        machine = Machine(1)
        world = world_with(b"", None)
        key = f"inbox/demo/{name}"
        world.objects.put(key, b"{}", "text/plain")
        ingest(key, replace(world, big_files=machine))
        assert machine.requests == []


def test_a_huge_file_is_cut_into_a_bounded_number_of_ranges(questions: bytes) -> None:
    machine = Machine(1_000)
    world_with(questions, machine)
    (request,) = machine.requests
    assert MAX_RANGES - 5 <= len(request["ranges"]) <= MAX_RANGES
    assert request["ranges"][-1]["end"] == len(questions)


def rejected(world: IngestWorld, machine: Machine, error: str) -> None:
    (request,) = machine.requests
    run_step(read_step({"step": "reject", "file": request["file"], "error": error}), world)


def test_a_step_that_failed_for_good_rejects_the_file_at_once(questions: bytes) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    rejected(world, machine, "MemoryError")
    item = item_of(world)
    assert item.status is DatasetStatus.REJECTED
    assert "failed in each of four attempts (MemoryError)" in item.reason
    ingest(KEY, world)
    assert len(machine.requests) == 1  # nobody tries it again


def test_a_failure_says_nothing_of_a_file_that_took_its_place(questions: bytes) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    world.objects.put(KEY, questions + b"1,t,b,tags,2020,HQ\r\n", "text/csv")
    ingest(KEY, world)
    before = item_of(world)
    (first, _) = machine.requests
    run_step(read_step({"step": "reject", "file": first["file"], "error": "MemoryError"}), world)
    assert item_of(world) == before
    assert before.status is DatasetStatus.INGESTING


THROTTLED = refusal("SlowDown", "says a row of text")


class Failing:
    """A port that fails at calls of these names, for now."""

    def __init__(self, port: object, error: BaseException, *calls: str) -> None:
        self._port, self._error, self.calls = port, error, calls

    def __getattr__(self, name: str) -> Any:
        if name in self.calls:
            raise self._error
        return getattr(self._port, name)


@pytest.mark.parametrize("error", [THROTTLED, ConnectionError("reset"), refusal("503", "")])
@pytest.mark.parametrize("step", ["scan", "plan", "convert", "join"])
def test_a_services_error_says_nothing_of_the_file(
    questions: bytes, step: str, error: BaseException
) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    (request,) = machine.requests
    ranges = request["ranges"]
    scans = [{"start": 0}] * 8 if step == "plan" else []
    before = item_of(world)
    world.clock.time += timedelta(minutes=10)  # type: ignore[attr-defined]
    failing = replace(world, objects=Failing(world.objects, error, "get", "newest"))
    event = {"step": step, "file": request["file"], "range": ranges[0], "ranges": ranges}
    with pytest.raises(ServiceUnavailable) as raised:
        run_step(read_step({**event, "scans": scans}), failing)
    assert "a row of text" not in str(raised.value)
    assert item_of(world).status is DatasetStatus.INGESTING
    assert item_of(world).ingest_attempts == before.ingest_attempts


@pytest.mark.parametrize("hours", [1, 48])
def test_while_an_execution_runs_no_second_conversion_begins(questions: bytes, hours: int) -> None:
    """However long it takes: its steps may wait for a service, or for their turn."""
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    for _ in range(4 * hours):
        world.clock.time += timedelta(minutes=15)  # type: ignore[attr-defined]
        ingest(KEY, world)  # such as an event that Lambda held back, or the controller's ask
    assert len(machine.requests) == 1
    assert item_of(world).ingest_attempts == 1
    machine.run(world)
    assert item_of(world).status is DatasetStatus.ACCEPTED


def test_an_execution_that_ends_without_a_result_is_one_attempt_and_six_are_all(
    questions: bytes,
) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    for attempt in range(1, 10):
        assert item_of(world).ingest_attempts == min(attempt, 7)
        assert len(machine.requests) == min(attempt, 6)
        for _ in range(5):
            world.clock.time += timedelta(hours=1)  # type: ignore[attr-defined]
            ingest(KEY, world)
        machine.close()
        world.clock.time += timedelta(minutes=17)  # type: ignore[attr-defined]
        ingest(KEY, world)
    assert item_of(world).status is DatasetStatus.REJECTED


def test_what_a_stale_answer_hides_is_not_begun_beside_it(questions: bytes) -> None:
    """DescribeExecution may be behind; a start meets what runs under its name."""
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    world.clock.time += timedelta(minutes=17)  # type: ignore[attr-defined]
    machine.runs = lambda _: None  # type: ignore[method-assign]
    ingest(KEY, world)
    assert len(machine.requests) == 1


@pytest.mark.parametrize("error", sorted(WEATHER))
def test_a_service_that_fails_for_long_rejects_no_file_and_is_told_after_a_day(
    questions: bytes, error: str
) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    clock: Any = world.clock
    for _ in range(40):
        clock.time += timedelta(minutes=46)
        reject = {"step": "reject", "file": machine.requests[-1]["file"], "error": error}
        for _ in range(3):  # each of two ranges, and the map
            run_step(read_step(reject), world)
        machine.close()
        item = item_of(world)
        assert item.ingest_attempts == 0
        told = clock.now() >= item.uploaded_at + timedelta(days=1)
        assert (item.status is DatasetStatus.REJECTED) is told
        assert f"could not be converted yet: {error}" in item.reason
        clock.time += timedelta(minutes=16)
        ingest(KEY, world)
    assert len(machine.requests) == 41
    machine.requests = machine.requests[-1:]
    machine.run(world)
    assert item_of(world).status is DatasetStatus.ACCEPTED


def test_a_start_without_an_answer_is_repeated_and_begins_nothing_twice(questions: bytes) -> None:
    machine = Machine(len(questions), loses_answer=True)
    world = replace(world_with(b"", None), big_files=machine)
    world.objects.put(KEY, questions, "text/csv")
    with pytest.raises(ConnectionError):
        ingest(KEY, world)
    assert "could not be converted yet: ConnectionError" in item_of(world).reason
    machine.loses_answer = False
    ingest(KEY, world)
    assert len(machine.requests) == 1
    machine.run(world)
    assert item_of(world).status is DatasetStatus.ACCEPTED


def test_executions_that_ended_without_a_word_are_begun_anew(questions: bytes) -> None:
    machine = Machine(len(questions), loses_answer=True)
    world = world_with(questions, None)
    world.objects.put(KEY, questions + b"1,t,b,tags,2020,HQ\r\n", "text/csv")
    world = replace(world, big_files=machine)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            ingest(KEY, world)
        machine.close()
    assert item_of(world).ingest_attempts == 0
    assert len(machine.requests) == 3
    machine.loses_answer = False
    ingest(KEY, world)
    machine.requests = machine.requests[-1:]
    machine.run(world)
    assert item_of(world).status is DatasetStatus.ACCEPTED


def test_two_events_at_once_begin_one_conversion(questions: bytes) -> None:
    """Each has seen no item yet: what it starts has the same name."""
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    world.store.snapshots.clear()  # type: ignore[attr-defined]
    ingest(KEY, world)
    assert len(machine.requests) == 1


def test_other_settings_of_the_stack_begin_no_second_execution(questions: bytes) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    world.clock.time += timedelta(minutes=17)  # type: ignore[attr-defined]
    machine.smallest //= 2
    ingest(KEY, world)
    assert len(machine.requests) == 1
    machine.close()
    ingest(KEY, world)
    assert len(machine.requests) == 1  # it went on a moment ago
    world.clock.time += timedelta(minutes=17)  # type: ignore[attr-defined]
    ingest(KEY, world)
    assert [name[-2:] for name in machine.inputs] == ["-1", "-2"]


def test_deaths_over_a_big_file_reject_it_whatever_services_do(questions: bytes) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    for error in ("MemoryError", "States.Timeout", "Runtime.ExitError", "Sandbox.Timedout"):
        rejected(world, machine, error)
        assert item_of(world).status is DatasetStatus.REJECTED
        assert error not in WEATHER


def test_an_upload_that_is_gone_is_no_fault_of_a_service(questions: bytes) -> None:
    machine = Machine(len(questions))
    world = world_with(questions, machine)
    (request,) = machine.requests
    gone = replace(world, objects=Failing(world.objects, ObjectMissing(KEY), "get"))
    with pytest.raises(ObjectMissing):
        run_step(
            read_step({"step": "scan", "file": request["file"], "range": request["ranges"][0]}),
            gone,
        )
