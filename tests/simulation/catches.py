"""Whether the chaos would find what was mended: `make chaos-catches`.

Each break takes one mend out of a copy of the sources, by a small replacement, and runs the chaos
over that copy until it is found. What the chaos can't see, a named test must. A break that nothing
catches is a failure, and so is one whose text is not in the sources any more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.edits import Edit, copy_sources, edited, failing, run, write


@dataclass(frozen=True)
class Break:
    """A mend that is taken out, by what the fault did.

    `test`: what catches it, if not the chaos.
    """

    fault: str
    edits: Sequence[Edit]
    test: str | None = None


def _one(fault: str, file: str, old: str, new: str, test: str | None = None) -> Break:
    return Break(fault, (Edit(file, old, new),), test)


BREAKS: Sequence[Break] = (
    _one(
        "each stray file is kept, and read at each look",
        "store/table.py",
        "(size(names) < most_strays(file))",
        "(size(names) < 50_000)",
        "tests/integration/test_stray_files.py",
    ),
    _one(
        "a command that was applied is applied again",
        "usecases/reconcile.py",
        "condensed(decision.history), decision.applied)",
        "condensed(decision.history))",
    ),
    _one(
        "a look that fails ends the whole look",
        "usecases/reconcile.py",
        "self.blind[sense] = Blind(sense, _reported(error, str(sense), self.world))",
        "raise error",
    ),
    _one(
        "a name used again adopts what the former experiment launched",
        "experiment/controller/decide.py",
        "uid=seen.new_uid,",
        "uid=None,",
    ),
    _one(
        "a cleanup deletes what another stack's experiment of that name serves",
        "cloud/tagged_resources.py",
        "own = is_of_stack(resource.name, tags, self._prefix, self._stack_name)",
        "own = True",
    ),
    _one(
        "an endpoint without a schedule that ends it",
        "usecases/reconcile.py",
        "            if stage.backstop is not None:\n"
        "                world.schedules.put(stage.backstop, world.clock.now())\n"
        "            made",
        "            made",
    ),
    _one(
        "the schedule of what was billed by the hour stays where a retry serves on demand",
        "experiment/controller/backstop.py",
        "        decision = _with_backstop(decision, stage)\n",
        "        if decision.record.plan_of(stage).bills_idle:\n"
        "            decision = _with_backstop(decision, stage)\n",
        "tests/simulation/test_backstops.py",
    ),
    _one(
        "a schedule that somebody deletes stays deleted",
        "usecases/reconcile.py",
        "return None if changed is None else Unset(backstop, changed)",
        "return None",
    ),
    _one(
        "kept by the record before its schedule is moved",
        "experiment/controller/decide.py",
        "until is not None and is_promised(record, until)",
        "until is not None",
    ),
    _one(
        "what runs for nobody is never looked for",
        "usecases/sweep.py",
        'search = look_for_orphans(orphans, now, after or "", in_time)',
        'search = look_for_orphans(orphans, now, "~", in_time)',
    ),
    _one(
        "a launch is repeated by the claim of the one before",
        "experiment/controller/transitions.py",
        "claimed = replace(moved.attempt, claimed_at=step.now)",
        "claimed = moved.attempt",
        "tests/simulation/test_absence.py",
    ),
    _one(
        "each look that fails makes a claim anew, so that it is never overdue",
        "experiment/controller/transitions.py",
        "if step.action is not Action.LAUNCH:",
        "if step.condition in {Condition.SUSPECT, Condition.LAUNCHING}:",
        "tests/unit/experiment/test_transitions.py",
    ),
    _one(
        '"not found" at a launch is waited for without end',
        "experiment/controller/transitions.py",
        "Obstacle.NOT_FOUND: timedelta(minutes=15)",
        "Obstacle.NOT_FOUND: None",
    ),
    _one(
        "what waits for a quota and is stopped stays STOPPING for minutes",
        "experiment/controller/transitions.py",
        "if refused and not _is_unclear",
        "if False and not _is_unclear",
        "tests/simulation/test_leases.py",
    ),
    _one(
        "the sweep walks round the inbox from its beginning each time",
        "usecases/sweep.py",
        "world.objects.uploads(INBOX, place.after)",
        'world.objects.uploads(INBOX, "")',
        "tests/simulation/test_sweep.py",
    ),
    Break(
        "what ingest dies of is tried for ever",
        (
            Edit(
                "usecases/attempts.py",
                "return attempts.number > MAX_ATTEMPTS and now - attempts.since > CONVERSION",
                "return False",
            ),
            Edit("usecases/ingest.py", "if attempts > MAX_ATTEMPTS:", "if False:"),
            Edit("usecases/ingest.py", " and attempts <= MAX_ATTEMPTS else ()", " else ()"),
        ),
    ),
    _one(
        "what ingest reads by newer settings is asked for at each look",
        "experiment/controller/intake.py",
        " if set_at is not None and _is_before(item, set_at)]",
        "]",
        "tests/simulation/test_ingest_that_fails.py",
    ),
    Break(
        "aliases in experiment.yaml are followed",
        (
            Edit(
                "experiment/spec/yaml_file.py",
                "if isinstance(event, yaml.AliasEvent):",
                "if False:",
            ),
        ),
        "tests/unit/experiment/test_hostile_experiment_files.py",
    ),
    _one(
        "a whole experiment.yaml is read, however big",
        "usecases/spec_upload.py",
        "content = body.read(MAX_BYTES + 1)",
        "content = body.read()",
        "tests/unit/experiment/test_hostile_experiment_files.py",
    ),
    _one(
        "any image may run under the execution role",
        "experiment/runtimes/registry.py",
        'check_repository(getattr(plan, "image", None), stack_config.deployment, f"{at}.image")',
        "iter(())",
        "tests/simulation/test_other_stages.py",
    ),
    _one(
        "a reward pattern whose time doubles with each character",
        "rewards/patterns.py",
        "if steps > MAX_STEPS or _all_steps(pattern, REACHES[-1]) > MOST_STEPS:",
        "if False:",
        "tests/unit/rewards/test_patterns.py",
    ),
    _one(
        "an archive's giant header is read whole",
        "metrics/archive.py",
        "if self.type in _EXTENDED and self.size > MAX_HEADER_BYTES:",
        "if False:",
        "tests/unit/metrics/test_hostile_archives.py",
    ),
    _one(
        "somebody else's at the first look, though the tag shows late",
        "experiment/controller/suspicion.py",
        "return Suspicion(of, now, now + apart, why=why)",
        "return Suspicion(of, now, now + apart, confirmed=of is Suspect.FOREIGN, why=why)",
    ),
    _one(
        'gone at the first look that says "not found"',
        "experiment/controller/suspicion.py",
        "return Suspicion(of, now, now + apart, why=why)",
        "return Suspicion(of, now, now + apart, confirmed=of is Suspect.ABSENT, why=why)",
    ),
    _one(
        "AccessDenied for what is gone keeps it from being over",
        "cloud/errors.py",
        "if look() is not None:",
        "if True:",
    ),
    _one(
        "an endpoint that is lost to capacity ends its experiment",
        "cloud/failures.py",
        "return replace(resource, phase=Phase.LOST, cause=cause) if cause else resource",
        "return resource",
    ),
    _one(
        "a hint does not tell the depth of its chain",
        "usecases/reconcile.py",
        "max(delay, SHORTEST_DELAY), self.depth + depth)",
        "max(delay, SHORTEST_DELAY), depth)",
    ),
    _one(
        "each try of what waits for a quota is a line of history",
        "experiment/controller/decide.py",
        "if changed and not _is_old_news(stage, moved)",
        "if changed",
    ),
    _one(
        "what can be read by turns is told at each turn",
        "experiment/controller/notifications.py",
        "now < each.gone_at + QUIET",
        "now < each.gone_at",
    ),
    _one(
        "a file of its own takes the place of what `split:` makes, if it comes last",
        "experiment/spec/inputs.py",
        "if source_stem(spec, each) == stem]",
        'if each == stem or stem == "data"]',
        "tests/simulation/test_files_that_are_not_used.py",
    ),
    _one(
        "a topic that fails is asked at each look",
        "experiment/controller/decide.py",
        "        partial(with_patience, former=former, seen=seen, now=now),\n",
        "",
        "tests/simulation/test_messages_that_fail.py",
    ),
    _one(
        "what waits for a person is looked at each hour for ever",
        "experiment/controller/requeue.py",
        "    Status.HELD,\n    Status.AWAITING_APPROVAL,\n}",
        "}",
        "tests/simulation/test_cost_of_the_control_plane.py",
    ),
    _one(
        "who waits for another one's checkpoint is told nothing",
        "experiment/controller/notifications.py",
        "    found += _long_awaited(record)\n",
        "",
    ),
    _one(
        "an experiment starts without the other one's checkpoint that it names",
        "experiment/controller/intake.py",
        "base_checkpoint=origin, refused={}",
        "base_checkpoint=None, refused={}",
    ),
    _one(
        "experiments that wait for each other wait without end",
        "usecases/reconcile.py",
        "if following[0] == chain[0]:",
        "if following is None:",
        "tests/simulation/test_checkpoints_of_others.py",
    ),
    _one(
        "a checkpoint that has come wakes nobody who waits for it",
        "usecases/reconcile.py",
        "        _wake_followers(former, record, world)\n",
        "",
        "tests/simulation/test_checkpoints_of_others.py",
    ),
    _one(
        "a newer file of another format is not looked for before the start",
        "usecases/reconcile.py",
        "in wanted.later.items():",
        "in ():",
        "tests/simulation/test_starts_on_the_newest.py",
    ),
    _one(
        "what was told of what bills for nobody is told each day",
        "usecases/orphans.py",
        "if end.known not in told]",
        "]",
        "tests/simulation/test_orphans.py",
    ),
    _one(
        "a file of settings that was read is refused for the seventh ask",
        "usecases/spec_upload.py",
        "if _is_read(world.store.load(experiment_id).spec, upload):",
        "if False:",
        "tests/unit/usecases/test_deaths_of_ingest.py",
    ),
    _one(
        "what one file makes no more keeps the file waiting for ever",
        "experiment/controller/intake.py",
        "needed = _found(spec, snapshot.datasets.values()) if spec else ()",
        "needed = tuple(snapshot.datasets.values())",
        "tests/simulation/test_corrected_uploads.py",
    ),
    _one(
        "an experiment starts without a file of which no event told",
        "experiment/controller/intake.py",
        "if newest is not None and any(_is_later(newest, each)",
        "if () and any(_is_later(newest, each)",
    ),
    _one(
        "a command whose event is lost waits for the next hint",
        "store/serialisation.py",
        '    values["due_at"] = values["at"]\n',
        "",
        "tests/integration/test_store_conformance.py",
    ),
    _one(
        "what is asked for and does not come is waited for in silence",
        "experiment/controller/decide.py",
        "asked = (*decision.commands, *decision.awaits) if waits else ()",
        "asked = ()",
        "tests/simulation/test_what_is_asked_for_in_vain.py",
    ),
    _one(
        "two are LIVE on one endpoint where its tag can't be set",
        "usecases/reconcile.py",
        "seen = replace(seen, is_succeeded=bool(lives))",
        "seen = replace(seen, is_succeeded=False)",
        "tests/simulation/test_updates_in_place.py",
    ),
    _one(
        "a job that is told otherwise each time keeps a look from coming to rest",
        "usecases/reconcile.py",
        "if key not in eyes.resources:",
        "if True:",
        "tests/simulation/test_answers_that_never_stay.py",
    ),
)


def caught_by(each: Break, runs: int, seed: int) -> str | None:
    """Return what finds it: after how many runs of the chaos, or which test; None if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_sources(root)
        write(edited(each.edits, root), root)
        if each.test is not None:
            return each.test if failing(root, each.test) else None
        chaos = ["-m", "tests.simulation.chaos", "--until-found"]
        done = run(root, *chaos, "--runs", str(runs), "--seed", str(seed))
        if done.returncode == 0:
            return None
        return done.stdout.strip() or done.stderr[-500:]


def main() -> int:
    """Print a Markdown table of what catches each break; return 1 if something catches none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300, help="of the chaos, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--only", default="", help="breaks whose fault has this in its words")
    options = parser.parse_args()
    print("| the fault, without its mend | found by | as |")
    print("|---|---|---|")
    missed = 0
    for each in BREAKS:
        if options.only not in each.fault:
            continue
        found = caught_by(each, options.runs, options.seed)
        number, _, problem = (found or "nothing").partition("\t")
        by = f"seed {number}" if problem else f"`{number}`"
        print(f"| {each.fault} | {by} | {problem[:70]} |", flush=True)
        missed += found is None
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
