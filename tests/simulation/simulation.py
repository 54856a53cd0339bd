"""Runs the production use cases under a seeded scheduler with a virtual clock.

Hints are duplicated, delayed, reordered and lost; calls crash before or after their effect; jobs
fail, stop and wait for capacity. `Report` says what must never differ from zero.
"""

from __future__ import annotations

import copy
import heapq
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import chain
from types import MethodType
from typing import Any, Never, Protocol

from novaloop.cloud.deployments import Deployments
from novaloop.cloud.messages import HintQueue
from novaloop.cloud.tagged_resources import TaggedResources
from novaloop.experiment.controller.commands import wait_of
from novaloop.experiment.controller.decision import Policy
from novaloop.experiment.names import experiment_of_job, job_name
from novaloop.experiment.record import (
    CommandItem,
    CommandKind,
    Record,
    Snapshot,
    StageState,
    Status,
)
from novaloop.experiment.spec.stages import Runtime
from novaloop.experiment.stack import StackConfig
from novaloop.recipes.jobs import Deployment
from novaloop.usecases.conversion import IngestWorld
from novaloop.usecases.dataset_checks import check_experiment
from novaloop.usecases.ingest import ingest
from novaloop.usecases.orphans import OrphanWorld
from novaloop.usecases.ports import Billing
from novaloop.usecases.reconcile import MAX_DEPTH, World, reconcile
from novaloop.usecases.score import ScoreWorld, score
from novaloop.usecases.sweep import SweepWorld, sweep
from tests.simulation.twin_account import TwinAccount
from tests.simulation.twin_bedrock import TwinBedrock
from tests.simulation.twin_sagemaker import STACK, TwinSageMaker
from tests.simulation.twin_scheduler import TwinScheduler
from tests.simulation.twin_service import Lag, Unanswered
from tests.simulation.twin_training import TwinJobs, TwinLogs
from tests.simulation.twins import (
    HostClock,
    TwinNotifier,
    TwinObjects,
    TwinStore,
    VirtualClock,
    claims,
    questions_csv,
)

SPEC = b"""
columns: {question: Body, answer: Y}
labels: [HQ, LQ_EDIT, LQ_CLOSE]
"""
SWEEP_EVERY = timedelta(minutes=5)
VISIBILITY = timedelta(minutes=12)
MAX_RECEIVES = 5
MAX_MESSAGE_BYTES = 262_144
MAX_DELAY_SECONDS = 900


BEDROCK_ROLE = "arn:aws:iam::123456789012:role/Bedrock"


class Crash(BaseException):
    """The process ends here, as when a Lambda times out or its host fails."""


AT_REST = (
    *(status for status in Status if status.is_final),
    *(Status.LIVE, Status.HELD, Status.AWAITING_APPROVAL, Status.REJECTED),
)
"""The statuses in which nothing more happens by itself."""


@dataclass(frozen=True)
class Chaos:
    """What may go wrong, as probabilities: of deliveries, of entries of a batch that are refused,
    of crashes per call, and Lag's."""

    duplicated: float = 0.0
    lost: float = 0.0
    delayed: float = 0.0
    refused_entries: float = 0.0
    crash: float = 0.0
    late_tags: float = 0.0
    stale: float = 0.0
    former: float = 0.0
    sweeps: bool = True


ROUGH = Chaos(duplicated=0.3, lost=0.2, delayed=0.3, crash=0.02)


def crash(*_: object) -> Never:
    """End the process."""
    raise Crash


@dataclass
class Crashes:
    """What happens at the nth call of a port, once, or at random calls: the process crashes.

    Any other `fault` is not the end of it: the process is held up at the call, that happens
    meanwhile, and the process goes on.
    """

    at: int | None = None
    after_effect: bool = False
    fault: Callable[[], object] = crash
    probability: float = 0.0
    others: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    """What else happens at random calls, each with its probability."""
    random: random.Random = field(default_factory=random.Random)
    calls: list[str] = field(default_factory=list)

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        number = len(self.calls)
        self.calls.append(name)
        hit = self.fault if number == self.at else self._drawn()
        after = self.after_effect if number == self.at else self.random.random() < 0.5
        if hit and not after:
            hit()
        try:
            return call()
        finally:
            if hit and after:
                hit()

    def _drawn(self) -> Callable[[], object] | None:
        for probability, fault in ((self.probability, self.fault), *self.others):
            if self.random.random() < probability:
                return fault
        return None


@dataclass(frozen=True)
class Call:
    """A call of a port, such as `jobs.describe_training_job`; calling it carries it out."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    carry_out: Callable[[], Any]

    @property
    def first(self) -> object:
        """Its first argument, such as a key."""
        return next(iter((*self.args, *self.kwargs.values())), None)

    def __call__(self) -> Any:
        return self.carry_out()


class Interposed(Protocol):
    """What stands between a process and a service, whichever process it is."""

    def around(self, call: Call) -> Any:
        """Carry the call out and return its answer; or raise, before or after its effect."""
        ...


class Interruptible:
    """A port whose every call may be the last of its process."""

    def __init__(
        self, port: object, name: str, crashes: Crashes, interposed: Sequence[Interposed] = ()
    ) -> None:
        self._port, self._name, self._crashes = port, name, crashes
        self._interposed = interposed

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("__"):  # what copying asks for
            raise AttributeError(method)
        target = getattr(self._port, method)
        name = f"{self._name}.{method}"

        def called(*args: Any, **kwargs: Any) -> Any:
            call = Call(name, args, kwargs, lambda: target(*args, **kwargs))
            for each in self._interposed:
                call = Call(name, args, kwargs, partial(each.around, call))
            return self._crashes.around(name, call)

        return called


class Simulation:
    """One stack, virtual time, any number of experiments."""

    def __init__(
        self,
        seed: int = 0,
        chaos: Chaos = Chaos(),
        crashes: Crashes | None = None,
        fate: Callable[[str], str] = lambda _: "completes",
        course: Callable[[str], str] = lambda _: "healthy",
        *,
        account: Simulation | None = None,
        prefix: str = "novaloop",
        stack_name: str = STACK,
    ) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a simulation
        self.chaos = chaos
        self.crashes = crashes or Crashes(probability=chaos.crash, random=self.random)
        self.account = account or self
        """The one whose time, services and agenda this one shares: a stack beside it."""
        self.prefix, self.stack_name = prefix, stack_name
        self.bucket = "bucket" if account is None else stack_name
        self.stacks: list[Simulation] = [self]
        self.clock: VirtualClock = account.clock if account else VirtualClock()
        self.host = HostClock(self.clock)
        """That of the process which runs now."""
        self.agenda: list[tuple[Any, int, Callable[[], None]]] = []
        self.sequence = 0
        self.dead_letters: list[str] = []
        self.store = TwinStore(self.item_changed)
        self.objects = TwinObjects(self.clock)
        self.failures: tuple[type[BaseException], ...] = (Crash, Unanswered)
        """What ends a function, which is then called again."""
        self.struck: Counter[str] = Counter()
        """How often each kind of fault struck."""
        self.interposed: list[Interposed] = []
        self.lag = Lag(self.random, chaos.late_tags, chaos.stale, chaos.former, self.struck)
        if account is None:
            self._make_services(fate, course)
        else:
            self._share_services(account)
        self.notifier = TwinNotifier()
        self.defects: list[Exception] | None = None
        self.unseen = False
        """Whether looks fail, also the sweep's."""
        self.uids, self.lives = 0, 0
        self.commands: Counter[str] = Counter()
        """How often each experiment was told to do something."""
        self.hints_delivered = 0
        self.hops: int | None = None
        """How many hints led to the one that is being handled; None while none is."""
        self.deepest = 0
        self.is_deleted = False
        """Whether the stack is: there is neither table nor function any more."""
        self.world = self.world_with(self.crashes)
        self.undisturbed = self.world_with(Crashes())
        if chaos.sweeps:
            self.later(SWEEP_EVERY, self.run_sweep)

    def _make_services(self, fate: Callable[[str], str], course: Callable[[str], str]) -> None:
        services = (fate, self.later, self.job_changed, self.lag)
        self.jobs = TwinJobs(self.objects, self.clock, *services)
        self.jobs.claimed = self.is_claimed
        self.logs = TwinLogs(self.jobs, self.clock, course)
        self.hosting = TwinSageMaker(self.clock, *services, jobs=self.jobs)
        self.bedrock = TwinBedrock(self.clock, *services)
        self.bedrock.claimed = self.is_claimed
        self.scheduler = TwinScheduler(self.clock, self.later, self.hosting, self.bedrock)
        self.hosting.is_bounded = self.scheduler.bounds
        self.bedrock.is_bounded = self.scheduler.bounds

    def _share_services(self, account: Simulation) -> None:
        """Work with another stack's: they tell both of what changes, by its name."""
        self.jobs, self.logs, self.hosting = account.jobs, account.logs, account.hosting
        self.bedrock, self.scheduler = account.bedrock, account.scheduler
        self.jobs.buckets[self.bucket] = self.objects
        account.stacks.append(self)

    def world_with(self, crashes: Crashes) -> World:
        def port(target: object, name: str) -> Any:
            return Interruptible(target, name, crashes, self.interposed)

        deployment = Deployment(
            region="us-east-1",
            execution_role_arn="arn:aws:iam::123456789012:role/Nova",
            reward_function_arn="arn:aws:lambda:us-east-1:123456789012:function:x-SageMaker-reward",
        )
        return World(
            store=port(self.store, "store"),
            jobs={
                Runtime.TRAINING_JOB: self.jobs.adapter(port),
                Runtime.SERVERLESS: self.jobs.adapter(port),
                Runtime.BEDROCK: self.bedrock.customizations(port),
            },
            logs=port(self.logs, "logs"),
            endpoints=Deployments(self.hosting.adapter(port), *self.bedrock.adapters(port)),
            schedules=self.scheduler.adapter(port),
            tagged=self._tagged(port),
            objects=port(self.objects, "objects"),
            scorer=port(self, "scorer"),
            ingester=port(self, "ingester"),
            hints=HintQueue(port(self, "hints"), "hints"),
            notifier=port(self.notifier, "notifier"),
            defects=self,
            clock=self.host,
            new_uid=self.new_uid,
            stack_config=StackConfig(self.bucket, deployment, BEDROCK_ROLE, self.stack_name),
            policy=Policy(self.prefix, start_delay=timedelta(seconds=30)),
        )

    def new_uid(self) -> str:
        """Return an id that was never given before.

        How it begins, which is what names hold of it, is the same until somebody deletes a record.
        """
        self.uids += 1
        return f"{self.lives:04x}0000-0000-4000-8000-{self.uids:012x}"

    # ------------------------------------------------------------------ scheduling
    def later(self, delay: timedelta, action: Callable[[], None]) -> None:
        if self.account is not self:
            self.account.later(delay, action)
            return
        self.sequence += 1
        heapq.heappush(self.agenda, (self.clock.now() + delay, self.sequence, action))

    def run(self, until: Callable[[], bool], at_most: timedelta = timedelta(days=10)) -> bool:
        """Let virtual time pass until the condition holds; False if it never does."""
        if self.account is not self:
            return self.account.run(until, at_most)
        end = self.clock.now() + at_most
        while self.agenda and self.agenda[0][0] <= end:
            self.step()
            if until():
                return True
        return False

    def passes(self, time: timedelta) -> None:
        """Let that much virtual time pass."""
        end = self.clock.now() + time
        self.run(lambda: False, time)
        self.clock.time = end

    def step(self) -> None:
        """Do what comes next."""
        self.clock.time, _, action = heapq.heappop(self.agenda)
        action()

    def copied(self) -> Simulation:
        """Return another one that stands where this one stands, and goes on by itself.

        Its adapters are new ones, as in a new process: those of this one hold its ports.
        """
        for _, _, action in self.agenda:
            called = action.func if isinstance(action, partial) else action
            assert isinstance(called, MethodType), f"{called} would act on the original"
        shared = [*self.store.snapshots.values(), *chain(*self.store.entries.values())]
        memo: dict[int, object] = {id(frozen): frozen for frozen in shared}
        memo |= {id(self.world): None, id(self.undisturbed): None}
        other = copy.deepcopy(self, memo)
        other.world, other.undisturbed = (
            other.world_with(other.crashes),
            other.world_with(Crashes()),
        )
        return other

    # ------------------------------------------------------------------ deliveries
    def item_changed(self, experiment_id: str) -> None:
        """Deliver a hint of the table's stream, which counts no receives."""
        self.emit(experiment_id, by_stream=True)

    def emit(self, experiment_id: str, *, by_stream: bool = False) -> None:
        """Deliver a hint as the cloud does: late, twice, or not at all."""
        copies = 2 if self._strikes("event that came twice", self.chaos.duplicated) else 1
        for _ in range(copies):
            if not self._strikes("event that was lost", self.chaos.lost):
                self.later(self._delay(), partial(self.deliver, experiment_id, 1, 0, by_stream))

    def _strikes(self, fault: str, probability: float) -> bool:
        """Draw whether a fault strikes now, and count it."""
        strikes = self.random.random() < probability
        self.struck[fault] += strikes
        return strikes

    def _delay(self) -> timedelta:
        late = self._strikes("event that was late", self.chaos.delayed)
        return timedelta(seconds=self.random.uniform(0, 3000 if late else 2))

    def send_message(self, QueueUrl: str, MessageBody: str, DelaySeconds: int) -> None:  # noqa: N803
        """SQS's, under the production adapter of the port `Hints`.

        Bounds of a message: the API's reference of SendMessage, and the quotas of SQS. The depth
        that the message tells is compared with that of the hint which is being handled.
        """
        assert QueueUrl == "hints"
        assert len(MessageBody.encode()) <= MAX_MESSAGE_BYTES
        assert 0 <= DelaySeconds <= MAX_DELAY_SECONDS
        hint = json.loads(MessageBody)
        depth = hint["depth"]
        if self.hops is not None:
            assert DelaySeconds > 0, "a hint that comes at once can spin"
            assert depth == self.hops + 1, "a hint does not tell the depth of its chain"
        assert depth <= MAX_DEPTH
        self.deepest = max(self.deepest, depth)
        deliver = partial(self.deliver, hint["experiment_id"], 1, depth)
        self.later(timedelta(seconds=DelaySeconds), deliver)

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803
        """SQS's: it may take some entries and refuse others, with a success of the whole call.

        Bounds of a batch: the API's reference of SendMessageBatch.
        """
        assert 1 <= len(Entries) <= 10
        assert len({entry["Id"] for entry in Entries}) == len(Entries)
        failed = [
            entry
            for entry in Entries
            if self._strikes("batch of hints taken in part", self.chaos.refused_entries)
        ]
        for entry in Entries:
            if entry not in failed:
                self.send_message(QueueUrl, entry["MessageBody"], 0)
        return {"Failed": [{"Id": entry["Id"]} for entry in failed]} if failed else {}

    def job_changed(self, name: str) -> None:
        for stack in self.stacks:
            experiment_id = experiment_of_job(stack.prefix, name)
            if experiment_id:
                stack.emit(experiment_id)

    def is_claimed(self, name: str) -> bool:
        return any(
            claims(record, name, StageState.CLAIMED)
            for stack in self.stacks
            if (experiment_id := experiment_of_job(stack.prefix, name))
            and (record := stack.store.load(experiment_id).record) is not None
        )

    def deliver(
        self, experiment_id: str, receive: int, depth: int, by_stream: bool = False
    ) -> None:
        """Hand a hint to the controller; a crash brings it back after the visibility timeout.

        A message of the queue says how often it was received (ApproximateReceiveCount).
        """
        if self.is_deleted:
            return
        self.hints_delivered += 1
        self.hops = depth
        self.host.changes()
        try:
            reconcile(experiment_id, self.world, depth, 1 if by_stream else receive)
        except self.failures:
            if receive >= MAX_RECEIVES:
                self.dead_letters.append(experiment_id)
                return
            again = partial(self.deliver, experiment_id, receive + 1, depth, by_stream)
            self.later(VISIBILITY, again)
        finally:
            self.hops = None

    def asynchronously(self, call: Callable[[], object], attempt: int = 1) -> None:
        """Run a function as an asynchronous invocation does: a failure is tried twice more."""
        self.later(timedelta(seconds=1), partial(self._invoke, call, attempt))

    def _invoke(self, call: Callable[[], object], attempt: int) -> None:
        if self.is_deleted:
            return
        self.host.changes()
        try:
            call()
        except self.failures:
            if attempt < 3:
                again = partial(self.asynchronously, call, attempt + 1)
                self.later(timedelta(minutes=attempt), again)

    def request_score(self, experiment_id: str, stage: str, attempt: int) -> None:
        """The port `Scorer`."""
        self.asynchronously(partial(score, experiment_id, stage, attempt, self._score_world()))

    def request_report(self, experiment_id: str) -> None:
        """The port `Scorer`; the report is tested with its own room."""

    def report(self, error: Exception) -> None:
        """The port `Defects`. Unless one is expected, a defect or what a twin asserts ends it."""
        if self.defects is None:
            raise error
        self.defects.append(error)

    def request_ingest(self, source_key: str) -> None:
        """The port `Ingester`."""
        self.asynchronously(partial(ingest, source_key, self._ingest_world()))

    def request_checks(self, experiment_id: str) -> None:
        """The port `Ingester`."""
        self.asynchronously(partial(check_experiment, experiment_id, self._ingest_world()))

    def _score_world(self) -> ScoreWorld:
        return ScoreWorld(self.world.store, self.world.objects, self.host)

    def _ingest_world(self) -> IngestWorld:
        return IngestWorld(self.world.store, self.world.objects, self.host)

    def run_sweep(self) -> None:
        if self.is_deleted:
            return
        self.later(SWEEP_EVERY, self.run_sweep)
        self.host.changes()
        crashes = Crashes(
            probability=self.chaos.crash, others=self.crashes.others, random=self.random
        )
        ports = {"store": self.store, "objects": self.objects, "sqs": self, "ingester": self}
        calls: dict[str, Any] = {
            name: Interruptible(port, name, crashes, self.interposed)
            for name, port in ports.items()
        }
        # In one thread: the order of what happens is that of the seed.
        hints = HintQueue(calls.pop("sqs"), "hints", senders=1)
        with suppress(*self.failures):
            calls |= {"hints": hints, "notifier": self.world.notifier, "clock": self.host}
            orphans = OrphanWorld(calls["store"], self, self.world.schedules, calls["notifier"])
            world = SweepWorld(**calls, orphans=lambda: orphans)
            for failure in sweep(world).failures:
                assert self.unseen or "hints were not taken" in failure, failure

    def billing(self) -> tuple[Sequence[Billing], Sequence[str]]:
        """The port `BillingFinder`, by the production adapter over both twins."""
        return self._tagged().billing()

    def serves(self, billing: Billing) -> str | None:
        return self._tagged().serves(billing)

    def end(self, billing: Billing) -> None:
        self._tagged().end(billing)

    def _tagged(self, port: Callable[[object, str], Any] = lambda twin, _: twin) -> TaggedResources:
        account = TwinAccount(self.hosting, self.bedrock, self.jobs)
        return account.tagged(port, self.prefix, self.stack_name)

    # ------------------------------------------------------------------ what people do
    def upload(self, experiment_id: str, file: str, body: bytes) -> None:
        key = f"inbox/{experiment_id}/{file}"
        self.objects.put(key, body, "text/csv")
        if not self._strikes("event that was lost", self.chaos.lost):
            self.request_ingest(key)

    def delete_stack(self) -> None:
        self.is_deleted = True
        self.store.snapshots.clear()

    def submit(self, experiment_id: str, spec: bytes = SPEC, sft_rows: int = 70) -> None:
        self.upload(experiment_id, "experiment.yaml", spec)
        for seed, (role, rows) in enumerate({"sft": sft_rows, "rft": 20, "eval": 24}.items()):
            self.upload(experiment_id, f"{role}.csv", questions_csv(rows, seed))

    def command(self, experiment_id: str, kind: CommandKind, **details: Any) -> None:
        self.commands[experiment_id] += 1
        identity = f"{self.clock.now().isoformat()}-{self.sequence}"
        record = self.store.load(experiment_id).record
        seen = {"answers": wait_of(record) if record else None}  # as the command line has it
        item = CommandItem(identity, kind, "somebody", self.clock.now(), **{**seen, **details})
        self.store.put_command(experiment_id, item)

    def forget(self, experiment_id: str, *kept: str) -> None:
        """Delete an experiment's items by hand, but for those of these fields of its snapshot."""
        snapshot = self.store.snapshots.pop(experiment_id)
        left = {name: getattr(snapshot, name) for name in kept}
        self.store.snapshots[experiment_id] = Snapshot(experiment_id, **left)
        self.lives += 1

    # ------------------------------------------------------------------ what is asked of it
    def record(self, experiment_id: str) -> Record:
        return self.store.record(experiment_id)

    def is_in(self, experiment_id: str, *statuses: Status) -> bool:
        record = self.store.load(experiment_id).record
        return record is not None and record.status in statuses

    def reaches(self, experiment_id: str, *statuses: Status) -> bool:
        """Run until the experiment has one of these statuses."""
        there = partial(self.is_in, experiment_id, *statuses)
        return there() or self.run(there)

    def settles(self, experiment_id: str) -> Status:
        """Run until nothing more happens by itself; raise if it is stuck on the way."""
        if not self.reaches(experiment_id, *AT_REST):
            raise AssertionError(f"stuck: {self.record(experiment_id)}")
        return self.record(experiment_id).status

    def check(self, experiment_id: str) -> None:
        """Assert what must hold whatever happened."""
        launches = [*self.jobs.launches, *self.hosting.launches, *self.bedrock.launches]
        assert len(launches) == len(set(launches)), "a job was launched twice"
        record = self.record(experiment_id)
        if record.status.is_final:
            # What a former experiment of the name has left, nobody knows of but schedules and tags.
            own = job_name(record.prefix, experiment_id, record.uid, "", 1).removesuffix("-1")
            running = [
                name for name in (*self.jobs.running, *self.bedrock.running) if name.startswith(own)
            ]
            assert not running, f"{record.status} but {running} runs"
            left = self._left(record)
            if left:  # a deletion that is accepted and under way
                self.passes(timedelta(minutes=6))
                left = self._left(record)
            assert not left, f"{record.status} but {left} is left"
            if any(name.startswith(own) for name in self.scheduler.schedules):
                self.passes(
                    VISIBILITY * 2
                )  # the look that was to remove it crashed, and comes again
            schedules = [name for name in self.scheduler.schedules if name.startswith(own)]
            refused = self.struck["schedules refused"]  # what has nothing to end ends by itself
            assert not schedules or refused, (
                f"{record.status} but the schedules {schedules} are left"
            )

    def _left(self, record: Record) -> list[str]:
        return [
            each
            for twin in (self.hosting, self.bedrock)
            for each in twin.left(record.experiment_id, self.stack_name, record.uid)
        ]
