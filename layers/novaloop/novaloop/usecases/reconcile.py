"""Reconcile one experiment: look, decide, commit, act, until nothing changes.

Every trigger is only a hint to come here. A crash anywhere heals at the next look: what was
committed is carried out again under the same names, and what exists already is adopted.

Most looks only look. What a stage needs once is imported where it is needed, so that no cold start
pays for it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TypeVar

from novaloop.experiment.controller.backstop import needs_backstop
from novaloop.experiment.controller.decide import decide
from novaloop.experiment.controller.decision import (
    Announce,
    AnnounceStart,
    CheckDatasets,
    Command,
    Decision,
    DeleteTagged,
    IngestCommand,
    Policy,
    RemoveBackstop,
    SetBackstop,
    StageCommand,
    UpdateReport,
    Warn,
    WritePlan,
    condensed,
)
from novaloop.experiment.controller.intake import compared, is_misnamed
from novaloop.experiment.controller.notifications import told, why_told
from novaloop.experiment.controller.observation import (
    Blind,
    End,
    Feedback,
    Observation,
    Outcome,
    Phase,
    Refusal,
    ResourceStatus,
    Sense,
    TaggedResource,
    TrainingNews,
    Unset,
    Version,
    needs_outcome,
    needs_resource,
    needs_tagged,
    needs_training,
)
from novaloop.experiment.controller.queue import (
    MOST_PASSED_OVER,
    QueuePlace,
    can_ask,
    followers_of,
    held_place,
    others,
    sought_place,
)
from novaloop.experiment.controller.transitions import Action
from novaloop.experiment.lineage import Origin, check_origin, circle_of, origin_of
from novaloop.experiment.names import experiment_of_job
from novaloop.experiment.record import (
    Backstop,
    CommandItem,
    CommandKind,
    Obstacle,
    Owner,
    Record,
    Snapshot,
    Stage,
    Status,
)
from novaloop.experiment.runtimes.jobs import PlannedUpload
from novaloop.experiment.runtimes.registry import (
    check_functions,
    check_image,
    check_region,
    launch_of,
)
from novaloop.experiment.runtimes.serving import endpoint_ref, plan_deployment, shared_endpoint
from novaloop.experiment.spec.experiment import ExperimentSpec
from novaloop.experiment.spec.stages import Runtime
from novaloop.experiment.stack import StackConfig, tags
from novaloop.experiment.summary import next_steps
from novaloop.experiment.versions import Damaged, NewerVersion
from novaloop.problem import Invalid, Problem
from novaloop.usecases.errors import DEFECTS, code_of
from novaloop.usecases.inbox import InboxFile, read_key
from novaloop.usecases.ports import (
    Clock,
    Defects,
    Endpoints,
    EndRefused,
    Hints,
    Ingester,
    JobLogs,
    Jobs,
    LaunchRefused,
    Notifier,
    ObjectMissing,
    Objects,
    Schedules,
    Scorer,
    Store,
    TaggedResources,
    Upload,
    VersionConflict,
)
from novaloop.usecases.training import training_news

T = TypeVar("T")
logger = logging.getLogger(__name__)
MAX_ROUNDS = 50
MOST_OF_A_NAME = 1_000
"""Of how many files that are called like a dataset, up to the first dot, it is looked which are
later: those of one listing. There are six formats."""
FIRST_FILE_WITHIN = timedelta(days=2)
"""How long a command waits for its experiment. By then the sweep tells of an upload that is not
taken (`TOLD_AFTER` there)."""
SHOWN = 20
"""How many commands for no experiment a message names."""
_DROPPING, MOST_DROPPED = "dropping", 2
"""The count of how often people were told of such commands, and how often they are at most: a look
that dies before it has told them counts, too."""
SHORTEST_DELAY = timedelta(seconds=5)
"""Of a hint that another one leads to, so that no chain of them can spin. A commit shows in the
queue for a quota by then."""
MAX_DEPTH = 500
"""How many hints lead to one another before the sweep has to begin anew. Ending what can't be ended
yet takes a look each half minute: 500 of them last over four hours, and a chain as fast as
SHORTEST_DELAY allows ends after 42 minutes. Lambda would end it after 16 hops, but for
RecursiveLoop in the template."""
MISNAMED, MOST_MISNAMED, MOST_REFUSED = "misnamed/", 5, 5
"""The collection, under a name that no folder has, in which the messages about folders with
impossible names are counted, and of how many of those people are told in an hour: a whole tree of
folders may be uploaded by mistake. Of how many refused uploads of one experiment: a script may try
again and again."""
_MORE_MISNAMED = (
    "Of more folders with such a name you are not told one by one in this hour: `novaloop list` "
    "shows each as REJECTED, with the reason. What you did not mean to upload, delete it."
)
_MORE_REFUSED = (
    "Of more uploads that are refused you are not told one by one in this hour: `novaloop show` "
    "tells of the last."
)
LONGEST_CIRCLE = 10
"""Of how many experiments that wait for each other it is told that they do: each costs a query, in
each look. Those in a longer one are told that they wait, as all are."""
MOST_WOKEN = 50
"""How many of those that go on from an experiment's checkpoint are woken by what it comes to: each
is a call. The others look by themselves within the hour."""
MAY_END_LOOKS = (Sense.TRAINING, Sense.OUTCOME, Sense.TAGGED)
"""What takes a look's whole time or memory: it reads as much as a job wrote, asks a model, or looks
at as much as carries a tag."""
RECEIVES = 3
"""From this one on of the same hint, a look does without MAY_END_LOOKS: the looks before it failed
or were ended from outside, of which nothing can tell but the queue. Of the five receives that it
allows (RedrivePolicy in the template) the first two see everything, since most failures pass."""
SOON = timedelta(minutes=4)
"""What is due sooner than this gets a delayed hint; the sweep sees to the rest. Less than its
period: what it sees to anyway must not keep a chain of hints going."""


@dataclass(frozen=True)
class World:
    """Everything the controller works with."""

    store: Store
    jobs: Mapping[Runtime, Jobs]
    logs: JobLogs
    endpoints: Endpoints
    schedules: Schedules
    tagged: TaggedResources
    objects: Objects
    scorer: Scorer
    ingester: Ingester
    hints: Hints
    notifier: Notifier
    defects: Defects
    clock: Clock
    new_uid: Callable[[], str]
    stack_config: StackConfig
    policy: Policy


@dataclass
class _Eyes:
    """What the present look has heard already, and what it could not see.

    Each job's log is read once in each of the job's phases: read again and again, one that grows
    meanwhile would keep the look from coming to rest. So would a job or endpoint that is told
    otherwise each time, such as by the seconds that it was billed: it is looked at once, and again
    when something was done about it. What can't be seen is not tried again: a service that answers
    in time or not by turns would do the same, and one that never answers would take the function's
    whole time.
    """

    world: World
    trainings: dict[tuple[str, Phase], TrainingNews | None] = field(default_factory=dict)
    resources: dict[tuple[str | None, Owner | None], ResourceStatus] = field(default_factory=dict)
    newest: dict[str, Version | None] = field(default_factory=dict)
    listed: dict[str, list[tuple[str, Upload]]] = field(default_factory=dict)
    """By their keys, the uploads that were looked at: once, like a job."""
    blind: dict[Sense, Blind] = field(default_factory=dict)
    backstop_seen: bool = False
    """Whether the schedule was looked at: once, since what was just set may not show."""
    faults: set[str] = field(default_factory=set)
    wanted: set[Sense] = field(default_factory=set)
    """What the present round wants to see."""

    def see(self, sense: Sense, look: Callable[[], T]) -> T | None:
        """Return what a look sees. One that fails is an observation, too, whatever it raises."""
        self.wanted.add(sense)
        if sense in self.blind:
            return None
        try:
            return look()
        except Exception as error:
            self.blind[sense] = Blind(sense, _reported(error, str(sense), self.world))
        return None

    def report(self, faults: Iterable[Exception]) -> None:
        """Report what failed in a decision, each once in a look, however many rounds it has."""
        for fault in faults:
            if repr(fault) not in self.faults:
                self.faults.add(repr(fault))
                _reported(fault, "deciding", self.world)


def _reported(error: Exception, what: str, world: World) -> str:
    """Log what went wrong, count it if it is the program's fault, and return its code.

    AWS's error code or the error's type, and where it was raised: its text may quote data.
    """
    code = code_of(error)
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s: %s\n%s", what, code, where)
    if isinstance(error, DEFECTS):
        world.defects.report(error)
    return code


@dataclass(frozen=True)
class _Chain:
    """The hints that a look of this depth leads to; none where the chain has grown too long.

    The `depth` of `look_at` counts from here.
    """

    hints: Hints
    depth: int

    def look_at(
        self, experiment_id: str, delay: timedelta = SHORTEST_DELAY, depth: int = 1
    ) -> None:
        if self.depth + depth <= MAX_DEPTH:
            self.hints.look_at(experiment_id, max(delay, SHORTEST_DELAY), self.depth + depth)


def reconcile(experiment_id: str, world: World, depth: int = 0, receives: int = 1) -> Record | None:
    """Bring one experiment as far as it goes now, and return its record.

    None if there is no such experiment: an upload makes one, or the cleanup of what is left of one
    whose record is gone; a hint alone, which may be mistyped, does not. `depth` is that of the hint
    that led here, and `receives` how often the queue has handed it out, this time included. Raises
    RuntimeError if the experiment does not come to rest, which would be a defect of `decide`.
    """
    world = replace(world, hints=_Chain(world.hints, depth))
    snapshot = world.store.load(experiment_id)
    if snapshot.record is None and not snapshot.has_uploads:
        # Its first file may be on the way to being ingested. After that each sweep would ask for a
        # look at what does not exist.
        until = world.clock.now() - FIRST_FILE_WITHIN
        if late := [each for each in snapshot.commands if each.at < until]:
            _drop(experiment_id, late, world)
        if late or not _is_to_clear_up(snapshot, world):
            return None
    feedback = Feedback()
    done: set[Command] = set()
    failed: set[Command] = set()
    eyes = _Eyes(world)
    if receives >= RECEIVES:
        logger.error("a hint has come %s times; without reading what a job wrote", receives)
        eyes.blind |= {sense: Blind(sense, "earlier looks broke off") for sense in MAY_END_LOOKS}
    rounds = 0
    while rounds < MAX_ROUNDS:
        seen = observe(snapshot, feedback, world, eyes)
        decision = decide(seen, world.clock.now(), world.policy)
        eyes.report(decision.faults)
        if _is_at_rest(decision, snapshot, done):
            return decision.record
        try:
            record = _commit(decision, snapshot, world)
        except VersionConflict:
            rounds += 1
            before, snapshot = snapshot, world.store.load(experiment_id)
            eyes.resources.clear()  # whoever has committed may have acted, too
            eyes.newest.clear()
            eyes.listed.clear()
            feedback = _still_true(feedback, before, snapshot)
            continue
        # A command that is applied is gone, so any number of them comes to an end.
        rounds += not decision.applied
        feedback = act(decision.commands, record, world, failed)
        if any(isinstance(command, StageCommand) for command, _ in feedback.asked):
            eyes.resources.clear()
        done.update(decision.commands)
        pending = tuple(c for c in snapshot.commands if c not in decision.applied)
        record = _with_told(record, feedback, world)
        snapshot = replace(snapshot, record=record, commands=pending)
    raise RuntimeError(f"experiment {experiment_id} does not come to rest")


def _is_to_clear_up(snapshot: Snapshot, world: World) -> bool:
    """Whether a name without a record has left what its tag tells of, which somebody wants gone.

    Where nothing of it shows, the command is let go of: who gave it sees that there is no record.
    """
    cleanups = [each for each in snapshot.commands if each.kind is CommandKind.CLEANUP]
    if not cleanups:
        return False
    try:
        if world.tagged.find(snapshot.experiment_id):
            return True
    except Exception as error:  # each sweep asks for a look as long as the command is there
        _reported(error, "looking for what a name without a record has left", world)
        return False
    world.store.drop(snapshot.experiment_id, cleanups)
    return False


def _drop(experiment_id: str, commands: Sequence[CommandItem], world: World) -> None:
    """Tell people that nothing comes of commands, and let go of them once that is told.

    It is counted first, so that it is not told at each look where they can't be deleted.
    """
    last = max(each.at for each in commands).isoformat()
    if world.store.begin(experiment_id, _DROPPING, last, world.clock.now()).number > MOST_DROPPED:
        world.store.drop(experiment_id, commands)
        return
    subject = f"Novaloop: nothing comes of the commands for {experiment_id}"
    lines = [f"{each.kind} by {each.by}, {each.at:%Y-%m-%d %H:%M} UTC" for each in commands]
    more = [f"and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    why = (
        "There is no experiment of that name, and none came within two days. What serves under it "
        "all the same, the daily search tells of, with the command that ends it."
    )
    try:
        message = "\n".join((subject, "", *lines[:SHOWN], *more, "", why, ""))
        world.notifier.publish(subject, message, {"experiment": experiment_id})
    except Exception as error:  # each sweep asks for a look as long as they are there
        _reported(error, "telling that commands name no experiment", world)
        world.store.take_back(experiment_id, _DROPPING, last)  # nobody was told
        return
    world.store.drop(experiment_id, commands)


def _with_told(record: Record, feedback: Feedback, world: World) -> Record:
    """Commit at once what people were told: a look that dies over what comes next tells it again.

    Where somebody else has committed meanwhile, the next decision takes it up.
    """
    after = told(record, feedback)
    if after == record:
        return record
    try:
        return world.store.commit(replace(after, updated_at=world.clock.now()), ())
    except VersionConflict:
        return record


def _is_at_rest(decision: Decision, snapshot: Snapshot, done: set[Command]) -> bool:
    unchanged = decision.record == snapshot.record and not decision.applied
    return unchanged and done.issuperset(decision.commands)


def _still_true(feedback: Feedback, before: Snapshot, after: Snapshot) -> Feedback:
    """Return what acting taught that holds whoever commits: what was made, requested or set."""
    if _resource_in_focus(before) != _resource_in_focus(after):
        return Feedback()
    return Feedback(
        proceeded=feedback.proceeded,
        made=feedback.made,
        backstop=feedback.backstop,
        was_gone=feedback.was_gone,
    )


def _resource_in_focus(snapshot: Snapshot) -> str | None:
    stage = snapshot.record.focus if snapshot.record else None
    return stage.attempt.job_name if stage else None


def observe(snapshot: Snapshot, feedback: Feedback, world: World, eyes: _Eyes) -> Observation:
    """Look at what the next decision needs, and at nothing else.

    None of the looks keeps the others from being taken, or the experiment from being stopped,
    ended and cleaned up: one that fails is told in `blind`.
    """
    stage = snapshot.record.focus if snapshot.record else None
    eyes.wanted.clear()
    seen = Observation(
        snapshot,
        **vars(feedback),
        endpoint_problem=eyes.see(Sense.ENDPOINT, partial(_why_not_here, snapshot, world)),
        origin=eyes.see(Sense.ORIGIN, partial(_origin, snapshot, world)),
        tagged=eyes.see(Sense.TAGGED, partial(_tagged, snapshot, world)),
        before=eyes.see(Sense.QUEUE, partial(_before, snapshot.record, world)),
        newest=eyes.see(Sense.UPLOADS, partial(_newest, snapshot, world, eyes)) or {},
        files_of_datasets=tuple(key for listed in eyes.listed.values() for key, _ in listed),
        new_uid=None if snapshot.record else world.new_uid(),
    )
    if snapshot.record is not None and stage is not None:
        seen = _look_at_stage(seen, snapshot.record, stage, world, eyes)
    blind = tuple(each for each in eyes.blind.values() if each.of in eyes.wanted)
    return replace(seen, blind=blind)


def _look_at_stage(
    seen: Observation, record: Record, stage: Stage, world: World, eyes: _Eyes
) -> Observation:
    if needs_resource(seen.snapshot):
        resource = eyes.see(Sense.RESOURCE, partial(_resource_of, record, stage, world, eyes))
        seen = replace(seen, resource=resource)
    taken_over = seen.resource is not None and seen.resource.is_replaced
    if taken_over and record.status is Status.LIVE:
        lives = eyes.see(Sense.SUCCESSOR, partial(_is_succeeded, record, seen.resource, world))
        seen = replace(seen, is_succeeded=bool(lives))
    if needs_backstop(record) and stage.backstop is not None and not taken_over:
        unset = eyes.see(Sense.BACKSTOP, partial(_unset, stage.backstop, world, eyes))
        seen = replace(seen, unset=unset)
    if needs_training(seen.snapshot) and seen.resource is not None:
        listen = partial(_listen, record, stage, seen.resource, world, eyes)
        seen = replace(seen, training=eyes.see(Sense.TRAINING, listen))
    if not needs_outcome(seen.snapshot):
        return seen
    look = partial(_outcome, record, stage, seen.snapshot, world)
    return replace(seen, outcome=eyes.see(Sense.OUTCOME, look))


def _is_succeeded(record: Record, resource: ResourceStatus | None, world: World) -> bool:
    """Look up whether what serves in a live experiment's place is another one's for good.

    The endpoint's tag should say so, but it may be denied to set it.
    """
    other = _maker_of(resource.serving if resource is not None else None, record, world)
    return other is not None and other.status is Status.LIVE


def _maker_of(config: str | None, record: Record, world: World) -> Record | None:
    """Return the record of another experiment if it made a configuration in a present attempt."""
    name = experiment_of_job(record.prefix, config or "")
    if name is None or name == record.experiment_id:
        return None
    other = world.store.load_record(name)
    made = other is not None and any(stage.attempt.job_name == config for stage in other.stages)
    return other if made else None


def _unset(backstop: Backstop, world: World, eyes: _Eyes) -> Unset | None:
    if eyes.backstop_seen:
        return None
    eyes.backstop_seen = True
    changed = world.schedules.unset(backstop, world.clock.now())
    return None if changed is None else Unset(backstop, changed)


def _outcome(record: Record, stage: Stage, snapshot: Snapshot, world: World) -> Outcome:
    from novaloop.usecases.outcomes import outcome_of  # noqa: PLC0415 - once a stage

    return outcome_of(
        record,
        stage,
        snapshot,
        objects=world.objects,
        jobs=world.jobs[record.spec.runtime],
        endpoints=world.endpoints,
    )


def _tagged(snapshot: Snapshot, world: World) -> tuple[TaggedResource, ...] | None:
    if not needs_tagged(snapshot):
        return None
    return world.tagged.find(snapshot.experiment_id)


def _before(record: Record | None, world: World) -> str | None:
    """Look up, when a job could be launched, who has waited longer for its quota."""
    place = sought_place(record, world.clock.now()) if record is not None else None
    first = _first_other(place, world) if place is not None else None
    if first is None or place is None or first.since >= place.since:
        return None
    return first.experiment_id


def _first_other(place: QueuePlace, world: World) -> QueuePlace | None:
    """Return the first in a queue that can ask for the quota, but for who holds `place`."""
    now = world.clock.now()
    for first in islice(others(world.store.queue(place.quota), place), MOST_PASSED_OVER):
        try:
            record = world.store.load_record(first.experiment_id)
        except (NewerVersion, Damaged) as problem:
            why = str(problem)
        else:
            if record is not None and can_ask(record, now):
                return first
            why = "nothing has looked at it for long, or it can't be looked at"
        logger.warning("%s is passed over in its queue: %s", first.experiment_id, why)
    return None


def _newest(snapshot: Snapshot, world: World, eyes: _Eyes) -> dict[str, Version | None]:
    """Look up, before an experiment starts, whether its files are still the newest."""
    wanted = compared(snapshot, world.clock.now(), world.policy)
    keys = dict.fromkeys(wanted.keys)
    for prefix, since in wanted.later.items():
        if prefix not in eyes.listed:
            listed = islice(world.objects.uploads(prefix), MOST_OF_A_NAME)
            eyes.listed[prefix] = [(key, at) for key, at in listed if _is_data(key)]
        keys |= {key: None for key, at in eyes.listed[prefix] if (at.uploaded_at, key) > since}
    for key in keys:
        if key not in eyes.newest:
            upload = world.objects.newest(key)
            found = Version(upload.version_id, upload.uploaded_at) if upload else None
            eyes.newest[key] = found
    return {key: eyes.newest[key] for key in keys}


def _is_data(key: str) -> bool:
    file = read_key(key)
    return isinstance(file, InboxFile) and not file.is_stray


def _origin(snapshot: Snapshot, world: World) -> Origin | None:
    """Look up, before an experiment starts, the checkpoint of another one that its spec names."""
    record, item = snapshot.record, snapshot.spec
    if record is None or not record.status.takes_uploads or item is None or item.spec is None:
        return None
    if item.spec.origin is None:
        return None
    if itself := next(check_origin(item.spec, record.experiment_id), None):
        return Origin(problem=itself)
    first = source = world.store.load_record(item.spec.origin[0])
    chain = [record.experiment_id]
    while source is not None and source.status.takes_uploads and len(chain) < LONGEST_CIRCLE:
        chain.append(source.experiment_id)
        following = source.spec.origin
        if following is None or following[0] in chain[1:]:
            break
        if following[0] == chain[0]:
            return circle_of(chain)
        source = world.store.load_record(following[0])
    return origin_of(item.spec, first)


def _why_not_here(snapshot: Snapshot, world: World) -> str | None:
    """Say, before an experiment starts, why this stack can't do what its spec asks for."""
    record = snapshot.record
    if record is None or not record.status.takes_uploads:
        return None
    spec = snapshot.spec.spec if snapshot.spec else ExperimentSpec()
    if spec is None:
        return None
    first: dict[str, Problem] = {}
    for problem in _check_site(record, spec, world):
        first.setdefault(problem.what, problem)  # what a region lacks, each stage says
    told = "; ".join(map(str, first.values()))
    return f"experiment.yaml: {told}" if told else None


def _check_site(record: Record, spec: ExperimentSpec, world: World) -> Iterator[Problem]:
    """Yield where a plan asks for what this region and stack can't do, and what that is."""
    for at, plan in spec.places:
        yield from check_region(spec, plan, world.stack_config.deployment.region, at)
        yield from check_image(plan, world.stack_config, at)
        endpoint = shared_endpoint(record, plan)
        if endpoint is not None:
            yield from world.endpoints.check_endpoint(endpoint, f"{at}.endpoint")
    yield from check_functions(spec, world.stack_config)


def _listen(
    record: Record, stage: Stage, resource: ResourceStatus, world: World, eyes: _Eyes
) -> TrainingNews | None:
    key = stage.attempt.job_name or "", resource.phase
    if key not in eyes.trainings:
        eyes.trainings[key] = training_news(
            record, stage, resource, logs=world.logs, objects=world.objects, clock=world.clock
        )
    return eyes.trainings[key]


def _resource_of(record: Record, stage: Stage, world: World, eyes: _Eyes) -> ResourceStatus:
    owner = _owner(record, stage)
    key = stage.attempt.job_name, owner
    if key not in eyes.resources:
        eyes.resources[key] = (
            world.endpoints.describe(endpoint_ref(record, stage), owner)
            if stage.kind.serves
            else world.jobs[record.spec.runtime].describe(stage.attempt.job_name or "", owner)
        )
    return eyes.resources[key]


def _owner(record: Record, stage: Stage) -> Owner | None:
    """Return whose tag tells what is ours, where we have no answer to our Create that does."""
    return None if stage.attempt.job_arn else record.owner


def _commit(decision: Decision, snapshot: Snapshot, world: World) -> Record:
    """Commit what changed; what is due soon gets a hint of its own.

    Before people are told anything, also what did not change: where nothing can be written, it
    could not be noted that they were told, and each look would tell them again.
    """
    former = snapshot.record
    tells = any(isinstance(each, Announce | AnnounceStart | Warn) for each in decision.commands)
    if decision.record == former and not decision.applied and not tells:
        return decision.record
    written = replace(decision.record, updated_at=world.clock.now())
    record = world.store.commit(written, condensed(decision.history), decision.applied)
    _send_hints(former, record, world)
    return record


def _send_hints(former: Record | None, record: Record, world: World) -> None:
    """Hint at the next look, and at who is next in the queue for a quota that is free now.

    A hint that can't be sent ends no look: `due_at` says the same, and the sweep goes by that.
    """
    try:
        delay = _delay(record, former.due_at if former else None, world.clock.now())
        if delay is not None:
            world.hints.look_at(record.experiment_id, delay)
        if former is not None:
            _wake_next(former, record, world)
        _wake_followers(former, record, world)
    except Exception as error:
        _reported(error, "sending a hint", world)


def _wake_next(former: Record, record: Record, world: World) -> None:
    """Hint at the next in the queue for a quota when this experiment has left it."""
    left = held_place(former)
    if left is None or held_place(record) is not None:
        return
    following = _first_other(left, world)
    if following is not None:
        world.hints.look_at(following.experiment_id)


def _wake_followers(former: Record | None, record: Record, world: World) -> None:
    """Hint at those that are to go on from this one's checkpoints, when what they see changes."""
    if _as_origin(former) != _as_origin(record):
        for each in islice(world.store.queue(followers_of(record.experiment_id)), MOST_WOKEN):
            world.hints.look_at(each.experiment_id)


def _as_origin(record: Record | None) -> object:
    """Return what of an experiment matters to those that are to go on from it."""
    if record is None:
        return None
    checkpoints = [stage.checkpoint for stage in record.stages if stage.checkpoint]
    return record.status.is_final, record.spec_upload, checkpoints


def _delay(record: Record, before: datetime | None, now: datetime) -> timedelta | None:
    if record.due_at is None or record.due_at == before or record.due_at - now >= SOON:
        return None
    return record.due_at - now


def act(
    commands: Iterable[Command], record: Record, world: World, failed: set[Command]
) -> Feedback:
    """Carry the commands out; every one is harmless when repeated.

    One that fails, such as a notification that can't be sent, keeps no other from being carried
    out. It is not tried again in the same look, but decided on again in the next.
    """
    feedback, asked = Feedback(), list[tuple[Command, str]]()
    for command in commands:
        if command in failed:
            continue
        code = ""
        try:
            feedback = _carried_out(command, record, world, feedback)
        except Exception as error:
            code = _reported(error, type(command).__name__, world)
            failed.add(command)
        asked.append((command, code))
    return replace(feedback, asked=tuple(asked))


def _carried_out(command: Command, record: Record, world: World, feedback: Feedback) -> Feedback:
    match command:
        case StageCommand():
            feedback = _act_on_stage(command, record, world, feedback)
        case SetBackstop() | RemoveBackstop():
            feedback = _act_on_backstop(command, record, world, feedback)
        case DeleteTagged():
            feedback = _delete_tagged(command, world, feedback)
        case IngestCommand():
            world.ingester.request_ingest(command.source_key)
        case CheckDatasets():
            world.ingester.request_checks(record.experiment_id)
        case WritePlan():
            feedback = _write_plan(record, world)
        case Announce() | AnnounceStart() | Warn():
            feedback = _tell(command, record, world, feedback)
        case UpdateReport():
            world.scorer.request_report(record.experiment_id)
            feedback = replace(feedback, reported=command.mark)
    return feedback


def _tell(
    command: Announce | AnnounceStart | Warn, record: Record, world: World, feedback: Feedback
) -> Feedback:
    match command:
        case Announce():
            _announce(record, world)
            return replace(feedback, notified=command.mark)
        case AnnounceStart():
            _announce_start(command, record, world)
            return replace(feedback, start_told=True)
        case Warn():
            _warn(command, record, world)
            told = (command.stage, command.note.kind)
            return replace(feedback, warned=(*feedback.warned, told))


def _write_plan(record: Record, world: World) -> Feedback:
    from novaloop.usecases.planning import write_plan  # noqa: PLC0415 - for a dry run alone

    try:
        return Feedback(planned=write_plan(record, world.stack_config, world.objects))
    except Invalid as error:
        return Feedback(refusal=Refusal("; ".join(map(str, error.problems))))


def _act_on_backstop(
    command: SetBackstop | RemoveBackstop, record: Record, world: World, feedback: Feedback
) -> Feedback:
    if isinstance(command, RemoveBackstop):
        if command.backstop.lasting:
            _give_back(command.backstop, record, world)
        else:
            world.schedules.remove(command.backstop)
        return replace(feedback, removed=command.backstop)
    backstop = record.stage(command.stage).backstop
    if backstop is None:
        return feedback
    try:
        missing = world.schedules.put(backstop, world.clock.now(), sooner=command.sooner)
    except LaunchRefused as refused:
        return replace(feedback, exposed=refused.reason)
    except Exception as error:  # such as a connection that timed out, which no service refused
        code = _reported(error, f"setting the schedule of {command.stage}", world)
        return replace(feedback, exposed=f"the schedule that ends {backstop.name}: {code}")
    return replace(feedback, backstop=backstop, was_gone=missing and command.again)


def _give_back(backstop: Backstop, record: Record, world: World) -> None:
    """Set a lasting endpoint's schedule to what the experiment has promised that it serves again.

    A trial that came to nothing had moved it to later. Where nobody serves as before the trial, it
    stays: a successor may be about to, behind the schedule that it has just set. What is left for
    nobody deletes nothing but what is past its time, and then itself.
    """
    tried = next((each for each in record.stages if each.backstop == backstop), None)
    former = tried.attempt.previous_config if tried is not None else None
    other = _maker_of(former, record, world)
    if other is None or other.status is not Status.LIVE:
        return
    stage = other.stages[-1]
    if stage.attempt.job_name != former or stage.backstop is None:
        return
    resource = world.endpoints.describe(endpoint_ref(other, stage), None)
    if resource.phase is Phase.READY and resource.serving is None:
        world.schedules.put(stage.backstop, world.clock.now(), sooner=True)


def _act_on_stage(
    command: StageCommand, record: Record, world: World, feedback: Feedback
) -> Feedback:
    stage = record.stage(command.stage)
    if command.action in {Action.END, Action.CLEAR}:
        try:
            end = _end(record, stage, world, gone=command.action is Action.CLEAR)
        except EndRefused as denied:
            return replace(feedback, denied=str(denied))
        except Exception as error:
            return replace(feedback, denied=_reported(error, f"ending {stage.name}", world))
        return replace(feedback, end=end)
    if command.action is Action.SET_OWNER:
        _hold(record, stage, world)
    elif command.action is Action.CHECK:
        if stage.kind.is_scored:
            world.scorer.request_score(record.experiment_id, stage.name, stage.attempt.number)
    else:
        return _launch(record, stage, world, feedback, proceed=command.action is Action.PROCEED)
    return feedback


def _launch(
    record: Record, stage: Stage, world: World, feedback: Feedback, *, proceed: bool
) -> Feedback:
    try:
        if not proceed:
            # Whatever becomes of the record from here on, what is made now ends.
            if stage.backstop is not None:
                world.schedules.put(stage.backstop, world.clock.now())
            made = _send(record, stage, world)
            return replace(feedback, made=made, backstop=stage.backstop)
        _proceed(record, stage, world)
    except LaunchRefused as refused:
        return replace(feedback, refusal=Refusal(refused.reason, refused.cause))
    except Invalid as error:
        return replace(feedback, refusal=Refusal("; ".join(map(str, error.problems))))
    except ObjectMissing as missing:
        reason = (
            f"{missing} was deleted; restore that version in the bucket, then retry, or submit the "
            "files under a new experiment name"
        )
        return replace(feedback, refusal=Refusal(reason))
    except Exception as error:  # such as a read that timed out: the service may have acted
        code = _reported(error, f"launching {stage.name}", world)
        refusal = Refusal(f"the launch broke off: {code}", Obstacle.UNCLEAR)
        return replace(feedback, refusal=refusal)
    return replace(feedback, proceeded=True)


def _send(record: Record, stage: Stage, world: World) -> str | None:
    """Send the requests of a launch and return the ARN of what the last of them created."""
    if stage.kind.serves:
        return world.endpoints.launch(plan_deployment(record, stage, world.stack_config))
    launch, made = launch_of(record, stage, world.stack_config), None
    for upload in launch.uploads:
        _write(upload, world)
    for request in launch.requests:
        made = world.jobs[record.spec.runtime].create(request)
    return made


def _write(upload: PlannedUpload, world: World) -> None:
    key = world.stack_config.key(upload.uri)
    if upload.text is None:
        world.objects.concatenate([world.stack_config.key(uri) for uri in upload.joined], key)
    else:
        world.objects.put(key, upload.text.encode(), "application/yaml")


_ON_TRIAL = {Status.DEPLOYING, Status.STOPPING}


def _proceed(record: Record, stage: Stage, world: World) -> None:
    """Request a deployment's second step. Raises LaunchRefused.

    An endpoint's tags name its creator from the beginning, so only the creator's record tells that
    what serves there is still on trial: an update that broke then would end both. And only the
    record tells that it is not, where it was denied to tag the endpoint.
    """
    other = _maker_of(stage.attempt.previous_config, record, world)
    if other is not None and other.status in _ON_TRIAL:
        reason = f"the endpoint is being deployed to by experiment {other.experiment_id}"
        raise LaunchRefused(reason, Obstacle.BUSY)
    if stage.backstop is not None and stage.backstop.lasting:
        # While this one waited for its turn, another trial may have given it back as it was before.
        world.schedules.put(stage.backstop, world.clock.now())
    is_tried = other is not None and other.status is Status.LIVE
    world.endpoints.proceed(plan_deployment(record, stage, world.stack_config), is_tried=is_tried)


def _hold(record: Record, stage: Stage, world: World) -> None:
    if stage.kind.serves:
        ref = endpoint_ref(record, stage)
        before = world.endpoints.set_owner(ref, tags(record, stage, world.stack_config))
        if before is not None:
            world.hints.look_at(before)


def _end(record: Record, stage: Stage, world: World, *, gone: bool) -> End:
    if stage.kind.serves:
        ref = endpoint_ref(record, stage)
        return world.endpoints.delete(ref, _owner(record, stage), gone=gone)
    return world.jobs[record.spec.runtime].stop(stage.attempt.claimed_name)


def _delete_tagged(command: DeleteTagged, world: World, feedback: Feedback) -> Feedback:
    try:
        world.tagged.delete(command.tagged)
    except EndRefused as denied:
        return replace(feedback, denied=str(denied))
    except Exception as error:
        return replace(feedback, denied=_reported(error, "deleting what is left", world))
    return feedback


def _announce(record: Record, world: World) -> None:
    subject = f"Novaloop: {record.experiment_id} is {record.status}"
    attributes = {"experiment": record.experiment_id, "status": str(record.status)}
    why = why_told(record)
    steps = [
        step for step in next_steps(record, bucket=world.stack_config.bucket) if step not in why
    ]
    message = "\n".join((subject, "", why, "", *steps, ""))
    if record.status is not Status.REJECTED:
        world.notifier.publish(subject, message, attributes)
        return
    counted, most, last = record.experiment_id, MOST_REFUSED, _MORE_REFUSED
    if is_misnamed(record):
        counted, most, last = MISNAMED, MOST_MISNAMED, _MORE_MISNAMED
    now = world.clock.now()
    hour = f"{now:%Y-%m-%dT%H}"
    number = world.store.begin(counted, "telling", hour, now).number
    if number > most:
        return
    try:
        more = f"\n{last}\n" if number == most else ""
        world.notifier.publish(subject, message + more, attributes)
    except Exception:
        world.store.take_back(counted, "telling", hour)  # nobody was told
        raise


def _announce_start(command: AnnounceStart, record: Record, world: World) -> None:
    subject = f"Novaloop: {record.experiment_id} has started"
    attributes = {"experiment": record.experiment_id, "status": str(Status.RUNNING)}
    stop = f"End it: novaloop stop {record.experiment_id}"
    world.notifier.publish(
        subject, "\n".join((subject, "", command.text, "", stop, "")), attributes
    )


def _warn(warning: Warn, record: Record, world: World) -> None:
    kind, stage = warning.note.kind, warning.stage
    subject = f"Novaloop: {record.experiment_id} {stage}: {kind.replace('_', ' ')}"
    attributes = {
        "experiment": record.experiment_id,
        "status": str(record.status),
        "health": str(kind),
    }
    message = f"{subject}\n\n{warning.note.message}\n"
    world.notifier.publish(subject, message, attributes)
