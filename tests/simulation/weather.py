"""Every kind of fault that `make chaos` knows: each has a name, and one line in `KINDS`.

A kind is drawn or not for each stack, and then arranges what is to strike: a setting of the
simulation, something on its agenda, or what happens around the calls of a service. It has dice of
its own, so one more kind changes nothing of what the others draw.

To add one: write a class with `begin` or `around` that calls `strike` whenever it strikes, and name
it in `KINDS`. A stack is copied while it runs, so what a fault puts on the agenda is a method of
its own, or a `partial` of one, and its state is in its fields.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from novaloop.experiment.record import CommandKind, Record, Status
from tests.simulation.faults import second_controller
from tests.simulation.simulation import (
    SPEC,
    Call,
    Chaos,
    Crash,
    Crashes,
    Simulation,
    crash,
)
from tests.simulation.twin_service import UNANSWERED, refusal
from tests.simulation.twins import HostClock, questions_csv

RUN = timedelta(hours=13)
"""How long people upload, ask and tamper; then everything comes to rest."""
AGAIN = timedelta(hours=4)
"""How long after a deletion a name is used again, at most."""

MAX_HINTS = 50_000
"""A stack's hints, a few hundred as a rule, and thousands where somebody sends many commands."""

COMPONENT = b"plan: [sft, deploy: {inference_component: true}]\n"
LASTING = b"plan: [sft, deploy: {endpoint: bot}]\n"
ON_DEMAND = b"plan: [sft, deploy: {to: bedrock-on-demand}]\n"
PROVISIONED = b"plan: [sft, deploy: {to: bedrock-provisioned, model_units: 2}]\n"
FOR_AN_HOUR = b"plan: [sft, deploy: {ttl_hours: 1}]\n"
DEPLOYMENTS = (COMPONENT, ON_DEMAND, PROVISIONED, FOR_AN_HOUR)
"""The same stages, each served another way: a retry may change one for another."""
BEDROCK = b"runtime: bedrock\n"
PLANS = (
    b"",
    b"approval: manual\n",
    COMPONENT,
    LASTING,
    ON_DEMAND,
    PROVISIONED,
    b"plan: [evaluate: baseline, sft, evaluate: after-sft]\n",
    b"runtime: serverless\n",
    BEDROCK,
)


LOOKS = ("jobs.describe_training_job", "sagemaker.describe_", "bedrock.get_")
SHOWS_AGAIN = timedelta(minutes=20)
FAILURES = (ClientError, MemoryError, OSError)
"""What a call raises that a service, or the want of memory, makes fail."""


class Fates:
    """What becomes of jobs and deployments: by the seed and the name alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.weights: dict[str, dict[str, float]] = {"job": {}, "deployment": {}}

    def __call__(self, name: str) -> str:
        of = "deployment" if "-deploy-" in name else "job"
        dice = random.Random(f"{self._seed} {name}")  # noqa: S311 - a simulation
        fates = {**self.weights[of], "completes": max(0.3, 1 - sum(self.weights[of].values()))}
        return dice.choices(tuple(fates), tuple(fates.values()))[0]


def clear_away(stack: Simulation, name: str) -> None:
    """Stop and clean up as a person would, in good weather, and assert that it comes to rest."""
    if not stack.record(name).status.is_final:
        stack.command(name, CommandKind.STOP)
        _assert_soon(stack, name, lambda record: record.status.is_final)
    stack.command(name, CommandKind.CLEANUP)
    stack.passes(timedelta(minutes=1))
    _assert_soon(stack, name, lambda record: record.cleanup is None)
    stack.check(name)


def _assert_soon(stack: Simulation, name: str, done: Callable[[Record], bool]) -> None:
    there = done(stack.record(name)) or stack.run(lambda: done(stack.record(name)))
    record = stack.record(name)
    assert there, f"{name} is stuck: {record.status}, {record.reason}, {record.cleanup}"


HELD_UP = "controller held up at a call"


@dataclass
class Promises:
    """Asserts at each commit that it promises nothing, and starts with nothing, that is not so.

    No experiment starts by settings or data that are not the newest in the bucket, whatever became
    of the events that tell of them. No schedule ends what serves before the record says so. A
    controller that was held up may set a schedule as it was before a newer `keep`: Scheduler has
    no conditional update. The next hourly look puts that right, so it has to be in good time.
    """

    stack: Simulation
    started: set[str | None] = field(default_factory=set)

    def around(self, call: Call) -> Any:
        """Carry out a call, and look at what it has committed."""
        answer = call()
        if call.name == "store.commit":
            self.check(call.args[0])
            self.check_start(call.args[0])
        return answer

    def check_start(self, record: Record) -> None:
        if record.started_at is None or record.uid in self.started:
            return
        self.started.add(record.uid)
        folder = f"inbox/{record.experiment_id}/"
        settings = self.stack.objects.newest(f"{folder}experiment.yaml")
        newest = settings.version_id if settings else ""
        assert record.spec_upload == newest, f"{record.experiment_id} starts by former settings"
        if record.spec.origin is not None:
            told = f"{record.experiment_id} starts without {record.spec.checkpoint}"
            assert record.base_checkpoint not in {None, record.spec.checkpoint}, told
        for role, ref in record.datasets.items():
            upload = self.stack.objects.newest(f"{folder}{role}.csv")
            is_newest = upload is not None and upload.version_id == ref.version_id
            assert is_newest, f"{record.experiment_id} starts with a former {role}.csv"

    def check(self, record: Record) -> None:
        endpoint, backstop = record.endpoint, record.stages and record.stages[-1].backstop
        if record.status is not Status.LIVE or not endpoint or not backstop:
            return
        served = self.stack.hosting.endpoints.get(backstop.name)
        if served and served.described["EndpointConfigName"] != record.stages[-1].attempt.job_name:
            return  # a successor has taken it over, which this experiment has not seen yet
        schedule = self.stack.scheduler.schedules.get(backstop.name)
        until = endpoint.expires_at
        if schedule is not None and "StartDate" in schedule and until is not None:
            if self.stack.struck[HELD_UP]:
                until = min(until, self.stack.clock.now() + timedelta(hours=2))
            early = schedule["StartDate"] < until
            assert not early, f"{backstop.name} is to serve until {until}, and ends before"


class Stack(Simulation):
    """A simulation, and the kinds of fault that were drawn for it."""

    def __init__(self, seed: int, names: Sequence[str]) -> None:
        self.fates = Fates(seed)
        self.plans = [*PLANS]
        """From what its experiments choose: a fault can make some of them likelier."""
        self.origins: dict[str, bytes] = {}
        """By their names, what those add to their settings that go on from a checkpoint."""
        self.lost_lives: set[str] = set()
        """Experiments whose record was deleted: what it had launched is nobody's any more."""
        self.endless: set[str] = set()
        """What has lost its schedule with its record: the daily search alone brings its end."""
        crashes = Crashes(random=random.Random(seed))  # noqa: S311 - a simulation
        super().__init__(seed, Chaos(), crashes, fate=self.fates)
        self.names = names
        self.interposed.append(Promises(self))
        self.faults = [fault for kind in KINDS if (fault := copy.copy(kind)).enters(self, seed)]

    def deliver(
        self, experiment_id: str, receive: int, depth: int, by_stream: bool = False
    ) -> None:
        """Deliver a hint, unless there were so many that looks must call for each other."""
        assert self.hints_delivered < MAX_HINTS, f"{experiment_id} spins"
        super().deliver(experiment_id, receive, depth, by_stream)

    def good_weather(self) -> None:
        """Let no fault begin any more: what people ask for now must come to a good end."""
        self.chaos, self.lag.tags, self.lag.stale, self.lag.former = Chaos(), 0.0, 0.0, 0.0
        self.crashes.others.clear()
        for fault in self.faults:
            fault.end()
        self.passes(timedelta(minutes=10))


@dataclass
class Fault:
    """One kind of fault. `odds`: in which share of the stacks it is."""

    name: str
    odds: float = 0.3
    stack: Stack = field(init=False, repr=False)
    dice: random.Random = field(init=False, repr=False)

    def enters(self, stack: Stack, seed: int) -> bool:
        """Draw whether this stack has such faults; if it does, begin with them."""
        self.stack = stack
        self.dice = random.Random(f"{self.name} {seed}")  # noqa: S311 - a simulation
        if self.dice.random() >= self.odds:
            return False
        stack.interposed.append(self)
        self.begin()
        return True

    def begin(self) -> None:
        """Arrange what is to strike."""

    def end(self) -> None:
        """Be over."""

    def around(self, call: Call) -> Any:
        """Carry out a call of a service: a fault may raise before or after, or change its answer.

        Every call of every process comes by, so `call.name` is looked at first.
        """
        return call()

    def check(self) -> None:
        """Assert, once all is cleaned up in good weather, what it must not have done."""

    def strike(self, times: int = 1) -> None:
        """Count that it struck."""
        self.stack.struck[self.name] += times

    def sometime(self, action: Callable[[], None]) -> None:
        """Let something happen at a time of its own, while the stack runs."""
        self.stack.later(self.within(RUN), action)

    def within(self, at_most: timedelta) -> timedelta:
        """Draw a time."""
        return timedelta(seconds=self.dice.uniform(0, at_most.total_seconds()))

    def someone(self) -> str:
        """Draw an experiment."""
        return self.dice.choice(self.stack.names)

    def record_of(self, experiment_id: str) -> Record | None:
        """Return its record, if there is one."""
        return self.stack.store.load(experiment_id).record


@dataclass
class Weather(Fault):
    """A probability of `Chaos` or of `Lag`; the simulation draws and counts under the same name."""

    of: str = ""
    probabilities: Sequence[float] = (0.3,)

    def begin(self) -> None:
        probability = self.dice.choice(self.probabilities)
        if hasattr(self.stack.lag, self.of):
            setattr(self.stack.lag, self.of, probability)
        else:
            self.stack.chaos = replace(self.stack.chaos, **{self.of: probability})  # type: ignore[arg-type]


@dataclass
class StaleAbsence(Fault):
    """A look at what is there says "not found", at any time: once or twice in a few minutes.

    AWS is known to answer so right after a Create. That it does for minutes on end is not, and
    could not be told from what is gone.
    """

    per_look: Sequence[float] = (0.02, 0.1)
    probability: float = 0.0
    hidden: dict[object, list[datetime]] = field(default_factory=dict)

    def begin(self) -> None:
        self.hidden = {}
        self.probability = self.dice.choice(self.per_look)

    def end(self) -> None:
        self.probability = 0.0

    def around(self, call: Call) -> Any:
        answer = call()
        if call.name.startswith(LOOKS) and self.dice.random() < self.probability:
            now = self.stack.clock.now()
            lately = [at for at in self.hidden.get(call.first, ()) if now - at < SHOWS_AGAIN]
            if len(lately) < 2:
                self.hidden[call.first] = [*lately, now]
                self.strike()
                is_bedrock = call.name.startswith("bedrock")
                code = "ResourceNotFoundException" if is_bedrock else "ValidationException"
                raise refusal(code, f"Could not find {call.first}")
        return answer


@dataclass
class Interruption(Fault):
    """A process ends at one of its calls, before or after its effect."""

    per_call: Sequence[float] = (0.005, 0.02)

    def begin(self) -> None:
        self.stack.crashes.others.append((self.dice.choice(self.per_call), self.interrupt))

    def interrupt(self) -> None:
        self.strike()
        crash()


@dataclass
class HeldUp(Interruption):
    """A process is held up at one of its calls while another one goes as far as it can."""

    def interrupt(self) -> None:
        self.strike()
        with suppress(*self.stack.failures):
            second_controller(self.stack)


@dataclass
class Fated(Fault):
    """Some jobs or deployments are refused or lost; the twins count it under the same name."""

    fate: str = ""
    of: str = "job"
    weight: float = 0.1
    plan: bytes = b""

    def begin(self) -> None:
        self.stack.fates.weights[self.of][self.fate] = self.weight
        if self.plan:
            self.stack.plans += [self.plan] * len(PLANS)

    def end(self) -> None:
        """Stay: the name's fate is what it is, however often it is looked up."""


WRITES: tuple[str, ...] = (
    "create_",
    "update_",
    "stop_",
    "delete_",
    "import_",
    "add_tags",
    "put",
    "publish",
)
WRITES += ("commit", "concatenate", "invoke", "request_", "send_message")


@dataclass
class TookEffect(Fault):
    """A call takes effect and answers an error, whichever of the known ones."""

    per_call: Sequence[float] = (0.01, 0.05)
    per_create: Sequence[float] = (0.05, 0.5)
    """What is made once has few chances."""
    probability: float = 0.0
    of_creation: float = 0.0

    def begin(self) -> None:
        self.stack.unseen = True
        self.probability = self.dice.choice(self.per_call)
        self.of_creation = self.dice.choice(self.per_create)

    def end(self) -> None:
        self.probability = self.of_creation = 0.0

    def around(self, call: Call) -> Any:
        answer = call()
        method = call.name.partition(".")[2]
        probability = self.of_creation if method.startswith("create_") else self.probability
        if method.startswith(WRITES) and self.dice.random() < probability:
            self.strike()
            raise UNANSWERED[self.dice.choice(tuple(UNANSWERED))]
        return answer


@dataclass
class FewMachines(Fault):
    """So few jobs may run at once that they queue; the twin counts whom it refuses."""

    def begin(self) -> None:
        self.stack.jobs.limit = self.dice.choice((1, 2))


@dataclass
class SkewedClocks(Fault):
    """Each process runs on a host whose clock differs by up to three minutes; services' do too."""

    most: timedelta = timedelta(minutes=3)

    def begin(self) -> None:
        stack = self.stack
        stack.host.draw = self.skew
        for twin in (stack.jobs, stack.hosting, stack.bedrock, stack.scheduler, stack.objects):
            twin._clock = HostClock(stack.clock, self.skew())

    def skew(self) -> timedelta:
        self.strike()
        return self.dice.uniform(-1, 1) * self.most


ERRORS: Sequence[Exception] = (
    refusal("AccessDenied", "not authorized"),
    refusal("KMSAccessDeniedException", "the key is disabled"),
    MemoryError(),
    ConnectionError("the connection was reset"),
)


@dataclass
class Outage(Fault):
    """Some calls fail from some time on, for hours or days, in whatever process makes them.

    `of`: the calls; `key`: only if the first argument ends with that. For ever: until a person
    mends it in the end.
    """

    of: Sequence[str] = ()
    key: str = ""
    errors: Sequence[BaseException] = ERRORS
    hours: tuple[float, float] = (0.2, 90)
    begins: Any = None
    ends: Any = None
    error: BaseException | None = None

    def begin(self) -> None:
        now = self.stack.clock.now()
        self.begins = now + self.within(RUN / 2)
        self.ends = self.begins + timedelta(hours=self.dice.uniform(*self.hours))
        self.error = self.dice.choice(self.errors)
        self.stack.failures = (Crash, *FAILURES)
        self.stack.unseen = True

    def end(self) -> None:
        self.ends = self.stack.clock.now()

    def around(self, call: Call) -> Any:
        now = self.stack.clock.now()
        if self.error is not None and self.concerns(call) and self.begins <= now < self.ends:
            self.strike()
            raise copy.copy(self.error)
        return call()

    def concerns(self, call: Call) -> bool:
        """Whether the call fails."""
        return call.name.startswith(tuple(self.of)) and (
            not self.key or str(call.first).endswith(self.key)
        )


@dataclass
class Flapping(Outage):
    """Such an outage that comes and goes: half an hour and more of each, by turns."""

    every: timedelta = timedelta(hours=1)

    def begin(self) -> None:
        super().begin()
        self.every = timedelta(hours=self.dice.uniform(0.7, 2))

    def concerns(self, call: Call) -> bool:
        is_down = (self.stack.clock.now() - self.begins) % self.every < self.every / 2
        return is_down and super().concerns(call)


@dataclass
class Throttling(Fault):
    """A service throttles some calls at random: their effect does not come about."""

    of: Sequence[str] = ()
    code: str = "ThrottlingException"
    per_call: float = 0.05

    def begin(self) -> None:
        self.stack.failures = (Crash, *FAILURES)
        self.stack.unseen = True

    def around(self, call: Call) -> Any:
        if self.per_call and call.name in self.of and self.dice.random() < self.per_call:
            self.strike()
            raise refusal(self.code, "Rate exceeded")
        return call()

    def end(self) -> None:
        self.per_call = 0.0


@dataclass
class DeadlyFile(Fault):
    """Whoever reads one of the uploaded files dies of it, each time, until another is there."""

    key: str = ""

    def begin(self) -> None:
        self.key = f"inbox/{self.someone()}/{self.dice.choice(('sft.csv', 'experiment.yaml'))}"

    def around(self, call: Call) -> Any:
        if call.name == "objects.get" and call.first == self.key:
            self.strike()
            crash()
        return call()

    def end(self) -> None:
        self.key = ""


@dataclass
class DeadlyScore(Fault):
    """The metrics function dies over the output of an evaluation, each time."""

    experiment: str = ""

    def begin(self) -> None:
        self.experiment = self.someone()

    def around(self, call: Call) -> Any:
        if call.name == "store.put_score" and call.first == self.experiment:
            self.strike()
            crash()
        return call()

    def end(self) -> None:
        self.experiment = ""


@dataclass
class StrayFiles(Fault):
    """Somebody drops a folder's whole content: dozens to hundreds of files that no plan uses."""

    def begin(self) -> None:
        self.sometime(self.drop)

    def drop(self) -> None:
        name, lost = self.someone(), self.dice.random() < 0.5
        chaos = self.stack.chaos
        if lost:  # no event tells, so all of them come up at once, with the sweep
            self.stack.chaos = replace(chaos, lost=1.0)
        for number in range(self.dice.choice((24, 60, 130))):
            self.strike()
            self.stack.upload(name, f"notes-{number}.txt", b"what I did")
        self.stack.chaos = chaos


@dataclass
class DeletedUploads(Fault):
    """Somebody deletes what was uploaded, and uploads it again hours later."""

    def begin(self) -> None:
        self.sometime(self.delete)

    def delete(self) -> None:
        name = self.someone()
        key = f"inbox/{name}/{self.dice.choice(('experiment.yaml', 'sft.csv'))}"
        if self.stack.objects.newest(key) is not None:
            self.strike()
            with self.stack.objects.get(key) as body:
                again = partial(self.stack.upload, name, key.rpartition("/")[2], body.read())
            self.stack.objects.deleted.add(key)
            self.stack.later(self.within(timedelta(hours=30)), again)


@dataclass
class UploadBurst(Fault):
    """The same file is uploaded again and again, unchanged or changed, within minutes."""

    def begin(self) -> None:
        self.sometime(self.burst)

    def burst(self) -> None:
        name = self.someone()
        for number in range(self.dice.randint(5, 25)):
            rows = self.dice.choice((240, 240 + number))
            later = self.within(timedelta(minutes=10))
            self.stack.later(later, partial(self.upload, name, questions_csv(rows, 0)))

    def upload(self, name: str, body: bytes) -> None:
        self.strike()
        self.stack.upload(name, "sft.csv", body)


@dataclass
class KeepCron(Fault):
    """A cron job asks for every experiment to be kept, every few minutes: hundreds of commands."""

    every: timedelta = timedelta(minutes=4)
    hours: float = 0.1
    left: int = 0

    def begin(self) -> None:
        self.left = self.dice.choice((60, 200))
        self.hours = self.dice.choice((0.1, 2, 2))
        self.sometime(self.keep)

    def keep(self) -> None:
        for name in self.stack.names:
            if self.left and self.record_of(name) is not None:
                self.left -= 1
                self.strike()
                self.stack.command(name, CommandKind.KEEP, hours=self.hours)
        if self.left:
            self.stack.later(self.every, self.keep)

    def end(self) -> None:
        self.left = 0


@dataclass
class DeletedByHand(Fault):
    """Somebody deletes items of an experiment: its record, all of them, or single ones."""

    fields: Sequence[Sequence[str]] = ()
    again: float = 0.0
    schedules: bool = False
    """Whether the schedules that end what it serves are deleted with it."""

    def begin(self) -> None:
        for _ in range(self.dice.randint(1, 2)):
            self.sometime(self.delete)

    def delete(self) -> None:
        name = self.someone()
        snapshot = self.stack.store.snapshots.get(name)
        if snapshot is None:
            return
        gone = self.dice.choice(self.fields)
        if self.schedules and not self.delete_schedules(snapshot.record):
            self.stack.later(timedelta(minutes=30), self.delete)  # nothing of it serves yet
            return
        if "record" in gone:
            self.stack.lost_lives.add(name)
            self.stack.lives += 1
        bare: dict[str, Any] = {
            "record": None,
            "spec": None,
            "datasets": {},
            "checks": None,
            "score_items": (),
        }
        self.stack.store.snapshots[name] = replace(
            snapshot, **{each: bare[each] for each in gone if each in bare}
        )
        self.strike()
        if self.dice.random() < self.again:  # the name is used again, some time later
            spec = SPEC + self.dice.choice(self.stack.plans)
            self.stack.later(self.within(AGAIN), partial(self.stack.submit, name, spec, 220))

    def delete_schedules(self, record: Record | None) -> bool:
        """Delete the schedules of what it serves by alone; say whether there were any."""
        backstop = record.stages[-1].backstop if record and record.stages else None
        schedules = self.stack.scheduler.schedules
        if backstop is None or backstop.lasting or backstop.name not in schedules:
            return False
        for name in (backstop.name, f"{backstop.name}."):
            schedules.pop(name, None)
        self.stack.endless.add(backstop.name)
        return True


@dataclass
class TableDeleted(Outage):
    """The table is deleted with all that is in it, and made anew some hours later, empty."""

    of: Sequence[str] = ("store.",)
    errors: Sequence[BaseException] = (refusal("ResourceNotFoundException", "no table"),)
    hours: tuple[float, float] = (0.5, 8)

    def begin(self) -> None:
        super().begin()
        self.stack.later(self.begins - self.stack.clock.now(), self.delete)

    def delete(self) -> None:
        store = self.stack.store
        self.stack.lost_lives.update(store.snapshots)
        self.stack.lives += 1
        store.snapshots.clear()
        store.attempts.clear()
        store.round = None
        self.strike()


@dataclass
class ScheduleTouched(Fault):
    """Somebody deletes the schedule that ends a live endpoint, or changes it.

    It acts as another role then, or lacks a member that Scheduler does not require.

    The next look at that notices. Not where it could not be set anew, or its record is lost before
    anybody looks.
    """

    def begin(self) -> None:
        names = {fault.name for fault in self.stack.interposed if isinstance(fault, Fault)}
        if names.isdisjoint(NOBODY_LOOKS):
            for touch in (self.delete, self.change, self.delete, self.remove_a_time):
                self.sometime(partial(self.touch, touch))

    def touch(self, touch: Callable[[str], None]) -> None:
        record = self.record_of(self.someone())
        backstop = record.stages[-1].backstop if record and record.stages else None
        if record is not None and record.status is Status.LIVE and backstop is not None:
            for name in (backstop.name, f"{backstop.name}."):
                if name in self.stack.scheduler.schedules:
                    touch(name)
                    self.strike()

    def delete(self, name: str) -> None:
        del self.stack.scheduler.schedules[name]

    def change(self, name: str) -> None:
        self.stack.scheduler.schedules[name]["Target"]["RoleArn"] += "-of-nobody"

    def remove_a_time(self, name: str) -> None:
        del self.stack.scheduler.schedules[name][self.dice.choice(["StartDate", "EndDate"])]


NOBODY_LOOKS = {
    *("schedules refused", "record deleted by hand", "name used again after a deletion"),
    "record and schedule deleted by hand",
    "table deleted",
}


@dataclass
class Neighbour(Fault):
    """Another stack in the same account and region, with a prefix of its own, has the same names.

    Nothing of this one's weather is its own, but for the services that both use. Neither may take
    what the other has made for its own, whatever their names.
    """

    prefix: str = "other"
    """The same where the guard of the prefix was deleted by hand, or is of an older release."""
    other: Simulation | None = None

    def begin(self) -> None:
        self.other = Simulation(
            account=self.stack, prefix=self.prefix, stack_name=f"neighbour-{self.prefix}"
        )
        self.other.lives = 0x1000  # its uids begin otherwise
        self.other.later(self.within(RUN / 4), self.submit)

    def submit(self) -> None:
        assert self.other is not None
        self.strike()
        self.other.submit(self.stack.names[0], SPEC + self.dice.choice(PLANS), 240)

    def check(self) -> None:
        """Assert that it ran, serves what it served, and can be cleaned up alone."""
        assert self.other is not None
        name = self.stack.names[0]
        status = self.other.settles(name)
        endpoint = self.other.record(name).endpoint
        if status is Status.LIVE and endpoint is not None:
            serving = {*self.stack.hosting.endpoints, *self.stack.bedrock.deployments}
            serving |= {*self.stack.bedrock.throughputs}
            assert endpoint.name in serving, f"the other stack's {endpoint.name} was deleted"
        clear_away(self.other, name)


@dataclass
class PrefixChanged(Fault):
    """An update gives the stack another prefix, once nothing of it runs or serves.

    While something does, its guard refuses. What waits keeps its names, under which the roles may
    create nothing any more.
    """

    former: str = ""

    def begin(self) -> None:
        self.former = ""
        self.sometime(self.change)

    def change(self) -> None:
        stack = self.stack
        bills = (*stack.jobs.running, *stack.bedrock.running, *stack.hosting.endpoints)
        if bills or stack.bedrock.throughputs or stack.bedrock.deployments:
            stack.later(timedelta(minutes=10), self.change)
            return
        self.strike()
        self.former, stack.prefix = stack.prefix, "renamed"
        stack.world, stack.undisturbed = (
            stack.world_with(stack.crashes),
            stack.world_with(Crashes()),
        )

    def around(self, call: Call) -> Any:
        creates = call.name.partition(".")[2].startswith("create_")
        if self.former and creates and f"{self.former}-" in str(call.first):
            raise refusal("AccessDeniedException", f"not authorized to create {call.first}")
        return call()


@dataclass
class Following(Fault):
    """Some go on from another one's checkpoint, which may not have come yet, or never does.

    They name whatever there is: themselves, each other, who goes on from something else, a stage
    that trains nothing, and what nobody has submitted.
    """

    seen: set[str] = field(default_factory=set)

    def begin(self) -> None:
        self.seen = set()
        for name in self.stack.names:
            if self.dice.random() < 0.4:
                others = [each for each in self.stack.names if each != name]
                origin = self.dice.choice([*others * 3, name, "nobody"])
                stage = self.dice.choice(("sft", "sft", "sft", "sft", "after-sft"))
                self.stack.origins[name] = f"checkpoint: {origin}/{stage}\n".encode()

    def around(self, call: Call) -> Any:
        if call.name == "store.commit" and call.args[0].spec.origin is not None:
            if call.args[0].experiment_id not in self.seen:
                self.strike()
            self.seen.add(call.args[0].experiment_id)
        return call()


@dataclass
class Commands(Fault):
    """People stop, retry, approve and reject, whatever the experiment does at that moment."""

    def begin(self) -> None:
        for _ in range(self.dice.randint(1, 6)):
            self.sometime(self.ask)

    def ask(self) -> None:
        name = self.someone()
        wishes = (CommandKind.STOP, CommandKind.RETRY, CommandKind.APPROVE, CommandKind.REJECT)
        if self.record_of(name) is not None:
            wish = self.dice.choice(wishes)
            for _ in range(self.dice.choice((1, 1, 1, 2, 5))):  # somebody is impatient
                self.strike()
                self.stack.command(name, wish)


@dataclass
class OtherSettings(Fault):
    """Somebody stops an experiment and retries it soon, to be served in another way.

    Minutes later that is asked for again, in yet another way, whatever has come of the first.
    """

    def begin(self) -> None:
        self.stack.plans += DEPLOYMENTS * 4
        for _ in range(self.dice.randint(2, 5)):
            self.sometime(self.stop)

    def stop(self) -> None:
        name = self.someone()
        if self.record_of(name) is not None:
            self.stack.command(name, CommandKind.STOP)
            for _ in range(self.dice.choice((1, 1, 2))):
                self.stack.later(self.within(timedelta(minutes=40)), partial(self.retry, name))

    def retry(self, name: str) -> None:
        record = self.record_of(name)
        if record is None:
            return
        plan = self.dice.choice(DEPLOYMENTS)
        spec = SPEC + plan + self.stack.origins.get(name, b"")
        stage = self.dice.choice((None, "sft", "deploy", "deploy"))
        is_same = [each.name for each in record.stages] == ["sft", "deploy"]
        self.strike(is_same and record.status.is_final)
        self.stack.command(name, CommandKind.RETRY, stage=stage, spec=spec.decode())


def _fated(
    of: str, *fates: str, plan: bytes = b"", odds: float = 0.12, weight: float = 0.15
) -> list[Fated]:
    return [Fated(fate, odds, fate=fate, of=of, weight=weight, plan=plan) for fate in fates]


def _jobs(*fates: str) -> list[Fated]:
    return [Fated(f"training-job {fate}", fate=fate) for fate in fates]


KINDS: Sequence[Fault] = (
    # What carries hints and runs processes.
    Weather("event that came twice", of="duplicated"),
    Weather("event that was lost", of="lost"),
    Weather("event that was late", of="delayed"),
    Weather("batch of hints taken in part", of="refused_entries"),
    Interruption("crash", 0.5),
    HeldUp(HELD_UP, 0.3),
    TookEffect("effect of a call that answered an error", 0.3),
    SkewedClocks("clocks that differ", 0.4),
    # What a service says late.
    Weather("tags shown late", 0.4, of="tags", probabilities=(0.5,)),
    StaleAbsence("not found, but there", 0.5),
    Weather("answer as before a change", 0.5, of="former", probabilities=(0.3, 1.0)),
    # What a service refuses or loses.
    FewMachines("training-job queue for a quota", 0.5),
    *_jobs("quota", "throttled", "invalid", "no capacity", "service fault"),
    *_jobs("fails", "no manifest", "bad archive", "stopped outside", "hangs"),
    *_fated("job", "training fails", "training no capacity", plan=BEDROCK),
    *_fated("job", "training service fault", "model-customization-job quota", plan=BEDROCK),
    *_fated("job", "model-customization-job invalid", plan=BEDROCK),
    *_fated("deployment", "endpoint quota", "endpoint no capacity", "endpoint service fault"),
    *_fated("deployment", "endpoint invalid", "endpoint fails", "config invalid"),
    *_fated("deployment", "model not found"),
    *_fated("deployment", "endpoint does not answer", "endpoint answers late"),
    *_fated("deployment", "component quota", plan=COMPONENT),
    *_fated("deployment", "component no capacity", plan=COMPONENT, weight=0.4),
    *_fated("deployment", "component service fault", plan=COMPONENT),
    *_fated("deployment", "component throttled", plan=COMPONENT, weight=0.4),
    *_fated("deployment", "component invalid", "component fails", plan=COMPONENT),
    # Two experiments in turn must come to serve by one endpoint, for which there are few chances.
    *_fated("deployment", "update no capacity", "update fails", plan=LASTING, odds=0.3, weight=0.5),
    *_fated("deployment", "update breaks for capacity", plan=LASTING, odds=0.4, weight=0.6),
    *_fated("deployment", "custom-model quota", "custom-model service fault", plan=ON_DEMAND),
    *_fated("deployment", "custom-model-deployment quota", plan=ON_DEMAND),
    *_fated("deployment", "custom-model-deployment no capacity", plan=ON_DEMAND),
    *_fated("deployment", "provisioned-model quota", plan=PROVISIONED),
    *_fated("deployment", "provisioned-model no capacity", plan=PROVISIONED, odds=0.2, weight=0.5),
    # What people do.
    Commands("command at an odd moment", 0.5),
    OtherSettings("retry with other settings", 0.2),
    Following("checkpoint of another experiment", 0.3),
    KeepCron("keep from a cron job", 0.2),
    StrayFiles("stray file", 0.15),
    UploadBurst("upload of the same file again", 0.15),
    DeletedUploads("upload deleted from the bucket", 0.15),
    DeletedByHand(
        "record deleted by hand",
        0.12,
        fields=(("record",), ("record", "spec", "datasets", "checks", "score_items")),
    ),
    DeletedByHand(
        "name used again after a deletion",
        0.12,
        fields=(("record",), ("record", "spec", "datasets", "checks", "score_items")),
        again=1.0,
    ),
    DeletedByHand(
        "record and schedule deleted by hand", 0.12, fields=(("record",),), schedules=True
    ),
    DeletedByHand(
        "single item deleted by hand",
        0.12,
        fields=(("spec",), ("datasets",), ("checks",), ("score_items",)),
    ),
    TableDeleted("table deleted", 0.06),
    Neighbour("second stack in the account", 0.2),
    Neighbour("second stack with the same prefix", 0.1, prefix="novaloop"),
    PrefixChanged("prefix changed under way", 0.15),
    # What can't be read or reached, for hours or days.
    Outage(
        "output that can't be read",
        0.25,
        of=("objects.get",),
        key="output.tar.gz",
        hours=(0.2, 400),
    ),
    Outage("job that can't be seen", 0.1, of=("jobs.describe_tr", "bedrock.get_model_c")),
    Outage("endpoint that can't be seen", 0.1, of=("sagemaker.describe", "bedrock.get_")),
    Outage("tags that can't be read", 0.1, of=("jobs.list_t", "sagemaker.list_t", "tagging.")),
    Flapping(
        "endpoint that can't be seen by turns",
        0.1,
        of=("sagemaker.describe", "bedrock.get_"),
        hours=(12, 60),
    ),
    Flapping("tags that can't be read by turns", 0.1, of=("sagemaker.list_t",), hours=(12, 60)),
    Outage("log that can't be read", 0.1, of=("logs.",)),
    Outage("upload that can't be looked up", 0.1, of=("objects.newest",)),
    Outage("upload that can't be read", 0.1, of=("objects.get",), key=".csv"),
    Outage("item that can't be written", 0.1, of=("store.put_dataset", "store.put_spec")),
    Outage("ingest that can't be asked", 0.1, of=("ingester.",)),
    Outage("queue that can't be read", 0.1, of=("store.queue",)),
    Outage("schedules refused", 0.1, of=("scheduler.",), hours=(0.2, 30)),
    Outage("notifications refused", 0.1, of=("notifier.",), hours=(0.2, 30)),
    Throttling("table throttled", 0.1, of=("store.commit", "store.load", "store.load_record")),
    Throttling(
        "describe throttled", 0.1, of=("jobs.describe_training_job", "sagemaker.describe_endpoint")
    ),
    ScheduleTouched("schedule deleted or changed by hand", 0.3),
    DeadlyFile("file that ingest dies of", 0.1),
    DeadlyScore("output that scoring dies of", 0.1),
)
