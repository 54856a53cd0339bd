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
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from novaloop.experiment.record import CommandKind, Record
from tests.simulation.faults import second_controller
from tests.simulation.simulation import Call, Chaos, Crashes, Simulation, crash

RUN = timedelta(hours=13)
"""How long people upload, ask and tamper; then everything comes to rest."""


COMPONENT = b"plan: [sft, deploy: {inference_component: true}]\n"
LASTING = b"plan: [sft, deploy: {endpoint: bot}]\n"
ON_DEMAND = b"plan: [sft, deploy: {to: bedrock-on-demand}]\n"
PROVISIONED = b"plan: [sft, deploy: {to: bedrock-provisioned, model_units: 2}]\n"
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


class Stack(Simulation):
    """A simulation, and the kinds of fault that were drawn for it."""

    def __init__(self, seed: int, names: Sequence[str]) -> None:
        self.fates = Fates(seed)
        self.plans = [*PLANS]
        """From what its experiments choose: a fault can make some of them likelier."""
        crashes = Crashes(random=random.Random(seed))  # noqa: S311 - a simulation
        super().__init__(seed, Chaos(), crashes, fate=self.fates)
        self.names = names
        self.faults = [fault for kind in KINDS if (fault := copy.copy(kind)).enters(self, seed)]

    def good_weather(self) -> None:
        """Let no fault begin any more: what people ask for now must come to a good end."""
        self.chaos, self.lag.tags, self.lag.stale = Chaos(), 0.0, 0.0
        self.crashes.others.clear()
        for fault in self.faults:
            fault.end()


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


@dataclass
class FewMachines(Fault):
    """So few jobs may run at once that they queue; the twin counts whom it refuses."""

    def begin(self) -> None:
        self.stack.jobs.limit = self.dice.choice((1, 2))


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
            self.strike()
            self.stack.command(name, self.dice.choice(wishes))


def _fated(of: str, *fates: str, plan: bytes = b"", odds: float = 0.12) -> list[Fated]:
    return [Fated(fate, odds, fate=fate, of=of, weight=0.15, plan=plan) for fate in fates]


def _jobs(*fates: str) -> list[Fated]:
    return [Fated(f"training-job {fate}", fate=fate) for fate in fates]


KINDS: Sequence[Fault] = (
    # What carries hints and runs processes.
    Weather("event that came twice", of="duplicated"),
    Weather("event that was lost", of="lost"),
    Weather("event that was late", of="delayed"),
    Weather("batch of hints taken in part", of="refused_entries"),
    Interruption("crash", 0.5),
    HeldUp("controller held up at a call", 0.3),
    # What a service says late.
    Weather("tags shown late", 0.4, of="tags", probabilities=(0.5,)),
    Weather("not found, but there", 0.5, of="stale", probabilities=(0.02, 0.1)),
    # What a service refuses or loses.
    FewMachines("training-job queue for a quota", 0.5),
    *_jobs("quota", "throttled", "invalid", "no capacity", "service fault"),
    *_jobs("fails", "no manifest", "bad archive", "stopped outside", "hangs"),
    *_fated("job", "training fails", "training no capacity", plan=BEDROCK),
    *_fated("job", "training service fault", "model-customization-job quota", plan=BEDROCK),
    *_fated("job", "model-customization-job invalid", plan=BEDROCK),
    *_fated("deployment", "endpoint quota", "endpoint no capacity", "endpoint service fault"),
    *_fated("deployment", "endpoint invalid", "endpoint fails", "config invalid"),
    *_fated("deployment", "endpoint does not answer", "endpoint answers late"),
    *_fated("deployment", "component quota", "component no capacity", plan=COMPONENT),
    *_fated("deployment", "component service fault", "component throttled", plan=COMPONENT),
    *_fated("deployment", "component invalid", "component fails", plan=COMPONENT),
    *_fated("deployment", "update no capacity", "update fails", plan=LASTING),
    *_fated("deployment", "update breaks for capacity", plan=LASTING),
    *_fated("deployment", "custom-model quota", "custom-model service fault", plan=ON_DEMAND),
    *_fated("deployment", "custom-model-deployment quota", plan=ON_DEMAND),
    *_fated("deployment", "custom-model-deployment no capacity", plan=ON_DEMAND),
    *_fated("deployment", "provisioned-model quota", plan=PROVISIONED),
    *_fated("deployment", "provisioned-model no capacity", plan=PROVISIONED),
    # What people do.
    Commands("command at an odd moment", 0.5),
)
