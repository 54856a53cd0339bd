"""The sweep's cost follows open work, and neither of its jobs keeps the other from being done."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novaloop.experiment.record import Status
from novaloop.usecases.ports import Round
from novaloop.usecases.sweep import AGES, KEYS, KEYS_AT_ONCE, is_time
from tests.simulation.simulation import SPEC, Chaos, Simulation
from tests.simulation.twin_inbox import QUERIES_OF_A_LOAD, SWEEP_EVERY, LongHistory
from tests.simulation.twins import START, questions_csv

MAX_CALLS, MAX_TIME = 2_000, timedelta(seconds=30)
FUNCTION_ENDS = timedelta(seconds=120)
"""The sweeper's timeout, in the template."""
LOST = "inbox/zz-lost/sft.csv"


def found_after(stack: LongHistory, key: str, sweeps: int) -> timedelta:
    """Sweep until the key is asked for, within limits; return how long after its upload."""
    for _ in range(sweeps):
        began = stack.clock.time
        _, calls, took = stack.sweep()
        assert calls <= MAX_CALLS
        assert took <= MAX_TIME
        if key in stack.asked:
            return began - stack.others[key].uploaded_at
    raise AssertionError(f"{key} was not found in {sweeps} sweeps")


def test_ten_thousand_live_experiments_and_a_million_old_uploads() -> None:
    """All 10,000 were uploaded within a day, so that many uploads are of an age to be compared."""
    stack = LongHistory(old=1_000_000, live=10_000)
    stack.round = Round("", started=START, since=START - timedelta(hours=2))
    stack.sweep()
    stack.lose(LOST)
    assert found_after(stack, LOST, 40) <= timedelta(hours=2, minutes=45)
    assert stack.asked == [LOST]
    hours = (stack.clock.time - START) / timedelta(hours=1)
    assert len(stack.hinted) == pytest.approx(10_000 * hours, rel=0.1)


def test_a_million_old_uploads() -> None:
    stack = LongHistory(old=1_000_000)
    stack.sweep()
    stack.lose(LOST)
    assert found_after(stack, LOST, 40) <= timedelta(hours=1, minutes=50)


def test_a_lost_upload_in_a_small_stack_is_found_by_the_next_sweep_after_its_grace() -> None:
    stack = LongHistory(old=40_000)
    stack.sweep()
    stack.lose(LOST, ago=timedelta(minutes=1))
    assert found_after(stack, LOST, 2) <= AGES[0] + SWEEP_EVERY


def test_a_sweep_with_nothing_to_do_costs_five_calls() -> None:
    stack = LongHistory()
    stack.sweep()
    assert stack.sweep()[1] == 5
    assert stack.calls == Counter(["query commands", "query due", "list", "get round", "put round"])


def test_everything_due_at_once_leaves_time_to_look_for_uploads() -> None:
    """As after an outage."""
    stack = LongHistory(live=10_000)
    stack.round = Round("", started=START - SWEEP_EVERY, since=START - SWEEP_EVERY)
    stack.due_at = dict.fromkeys(stack.due_at, START)
    stack.lose(LOST, ago=timedelta(minutes=3))
    swept, calls, took = stack.sweep()
    assert (swept.due, swept.failures) == (10_000, [])
    assert calls <= MAX_CALLS
    assert took <= MAX_TIME
    assert LOST in stack.asked


def test_a_slow_queue_takes_the_time_of_one_job_only_and_the_longest_overdue_come_first() -> None:
    stack = LongHistory(live=10_000)
    stack.due_at = {name: at - timedelta(hours=2) for name, at in stack.due_at.items()}
    names = sorted(stack.due_at)
    stack.call_takes = timedelta(seconds=1)
    stack.lose("inbox/0-lost/sft.csv", ago=timedelta(minutes=3))
    stack.live = LongHistory().live
    swept, _, took = stack.sweep()
    assert swept.due < 10_000
    assert stack.asked == ["inbox/0-lost/sft.csv"]
    assert took < timedelta(seconds=120)
    assert stack.hinted[: swept.due] == names[: swept.due]
    stack.sweep()
    assert set(names[: 2 * swept.due]) <= {*stack.hinted}


@pytest.mark.parametrize(("down", "told"), [("query due", "due"), ("list", "lost uploads")])
def test_a_job_that_fails_is_told_and_the_other_is_done(down: str, told: str) -> None:
    stack = LongHistory(live=10)
    stack.due_at = dict.fromkeys(stack.due_at, START)
    stack.lose(LOST, ago=timedelta(minutes=3))
    stack.down = {down}
    (failure,) = stack.sweep()[0].failures
    assert told in failure
    assert "ConnectionError" in failure
    assert (len(stack.hinted) >= 10) is (down == "list")
    assert (LOST in stack.asked) is (down == "query due")
    stack.down.clear()
    stack.clock.time += timedelta(hours=1)
    assert stack.sweep()[0].failures == []
    assert LOST in stack.asked


def test_hints_that_are_refused_are_told_and_the_others_are_sent() -> None:
    stack = LongHistory(live=30)
    stack.due_at = dict.fromkeys(stack.due_at, START)
    stack.refused = {"live0000007", "live0000011"}
    (failure,) = stack.sweep()[0].failures
    assert failure == "2 hints were not taken, such as live0000007's"
    assert len(stack.hinted) == 28


def test_an_experiment_is_loaded_once_in_a_sweep_however_many_files_lie_in_its_folder() -> None:
    stack = LongHistory()
    for number in range(2 * KEYS_AT_ONCE):
        stack.lose(f"inbox/crowded/notes-{number:05}.txt", ago=timedelta(minutes=3))
    stack.sweep()
    assert len(stack.asked) == 2 * KEYS_AT_ONCE
    assert stack.calls["query"] == QUERIES_OF_A_LOAD


def test_a_flood_of_lost_uploads_and_slow_calls_leave_the_function_its_time() -> None:
    stack = LongHistory()
    stack.call_takes = timedelta(seconds=1)
    keys = [f"inbox/x{number:05}/sft.csv" for number in range(600)]
    for key in keys:
        stack.lose(key, ago=timedelta(minutes=3))
    for _ in range(20):
        asked = len(stack.asked)
        _, _, took = stack.sweep()
        assert took < FUNCTION_ENDS
        assert len(stack.asked) > asked, "it goes on where it was"
    assert stack.asked == keys[: len(stack.asked)]


def test_what_bills_for_nobody_is_looked_for_before_any_upload() -> None:
    stack = LongHistory()
    stack.serving = ["lost"]
    stack.down = {"list"}
    stack.sweep()
    assert "experiment lost" in stack.told[0]
    looked = list(stack.calls)
    assert looked.index("look for what bills") < looked.index("list")


def test_ten_thousand_endpoints_are_looked_at_once_a_day_in_several_sweeps() -> None:
    stack = LongHistory()
    stack.round = Round("", started=START, since=START)
    stack.serving = [*(f"a{number:07}" for number in range(10_000)), "zz-lost"]
    total: Counter[str] = Counter()
    for _ in range(24 * 12):
        _, calls, took = stack.sweep()
        total += stack.calls
        assert calls <= MAX_CALLS
        assert took <= MAX_TIME
    assert total["query record"] == len(stack.serving)
    assert total["describe"] == 1, "only what nobody knows of"
    (message,) = stack.told
    assert "experiment zz-lost" in message


STRAY = (
    "inbox//sft.csv",
    "inbox/",
    "inbox/folder/",
    "inbox/sft.csv",
    "inbox///",
    "inbox/ /sft.csv",
    "inbox/\n/\t",
    "inbox/Größe 1/säft.csv",
    "inbox/x/../y",
    f"inbox/{'x' * 1000}/sft.csv",
)


def test_no_key_keeps_the_others_from_being_found() -> None:
    stack = LongHistory()
    for key in (*STRAY, LOST):
        stack.lose(key, ago=timedelta(minutes=3))
    swept = stack.sweep()[0]
    assert swept.failures == []
    assert sorted(swept.unusable) == ["inbox//sft.csv", "inbox/sft.csv"]
    assert LOST in stack.asked
    assert "inbox/x/../y" in stack.asked


def test_stray_keys_stop_nobody_in_the_whole_application() -> None:
    """Each is uploaded and its event delivered; then another experiment's events are all lost."""
    simulation = Simulation()
    for key in STRAY:
        simulation.objects.put(key, b"1", "text/plain")
        simulation.request_ingest(key)
    simulation.chaos = Chaos(lost=1.0)
    simulation.submit("demo")
    assert simulation.reaches("demo", Status.LIVE)


def test_an_experiment_that_cannot_be_read_keeps_no_other_from_being_looked_at() -> None:
    stack = LongHistory()
    stack.unreadable = {"broken"}
    for key in ("inbox/broken/sft.csv", "inbox/before/sft.csv", LOST):
        stack.lose(key, ago=timedelta(minutes=3))
    (failure,) = stack.sweep()[0].failures
    assert failure == "the items of broken can't be read"
    assert stack.asked == ["inbox/before/sft.csv", LOST]


def test_what_was_lost_while_the_sweep_stood_still_is_found_when_it_goes_on() -> None:
    stack = LongHistory()
    stack.sweep()
    stack.lose(LOST)
    stack.clock.time += timedelta(days=5)
    stack.sweep()
    assert stack.asked == [LOST]


def test_a_sweep_that_is_cut_off_is_made_up_for_by_the_next() -> None:
    stack = LongHistory(old=3 * KEYS)
    stack.sweep()
    assert stack.round is not None
    after = stack.round.after
    stack.down = {"put round"}
    assert stack.sweep()[0].failures
    assert stack.round.after == after
    stack.down.clear()
    stack.sweep()
    assert stack.round.after == stack.old[2 * KEYS - 1]


def test_a_file_that_a_later_one_replaced_in_its_role_is_not_asked_for_again() -> None:
    simulation = Simulation()
    simulation.submit("demo")
    simulation.passes(timedelta(seconds=30))
    simulation.upload("demo", "eval.jsonl", b"{}\n")
    simulation.passes(timedelta(seconds=30))
    simulation.upload("demo", "eval.csv", questions_csv(24, 2))
    simulation.passes(timedelta(seconds=30))
    asked: list[str] = []
    simulation.request_ingest = asked.append  # type: ignore[method-assign,assignment]
    simulation.passes(timedelta(hours=2))
    assert asked == []


@given(
    st.lists(st.integers(1, 7_200), min_size=3, max_size=300),
    st.integers(0, 3_600),
)
def test_an_upload_is_looked_at_when_the_walk_first_comes_by_and_seldom_after(
    gaps: list[int], uploaded: int
) -> None:
    """Rounds of any length, in seconds; the walk comes by at the end of each."""
    times = [START]
    for gap in gaps:
        times.append(times[-1] + timedelta(seconds=gap))
    upload = START + timedelta(seconds=uploaded)
    rounds = [(since, now) for since, now in pairwise(times) if now >= upload]
    looks = [now for since, now in rounds if is_time(upload, since, now)]
    for age in AGES:
        past = [now for _, now in rounds if now - upload >= age]
        assert {*past[:1]} <= {*looks}
    assert len(looks) <= len(AGES)


SPLIT = SPEC + b"split: {sft: 0.6, rft: 0.2, eval: 0.2}\n"
THREE = {"sft.csv": questions_csv(70, 0), "rft.csv": questions_csv(20, 1)}
THREE |= {"eval.csv": questions_csv(24, 2)}
DATA = {"data.csv": questions_csv(300, 4)}


@pytest.mark.parametrize(
    "files",
    [
        {"experiment.yaml": SPLIT, **DATA, **THREE},
        {"experiment.yaml": SPLIT, **THREE, **DATA},
        {"experiment.yaml": SPEC, **DATA, **THREE},
        {"experiment.yaml": SPEC, **THREE, **DATA},
        {**DATA, **THREE},
        {"experiment.yaml": SPEC, **DATA},
        {"Experiment.yaml": SPEC, "experiment.yml": SPEC, "experiment.yaml": SPEC, **THREE},
        {"experiment.yaml": b"plan: [nonsense]\n", **DATA, **THREE},
    ],
    ids=" ".join,
)
def test_files_of_which_nothing_is_to_come_are_not_asked_for(files: dict[str, bytes]) -> None:
    simulation = Simulation()
    for file, body in files.items():
        simulation.upload("demo", file, body)
        simulation.passes(timedelta(seconds=5))
    simulation.passes(timedelta(seconds=30))
    asked: list[str] = []
    simulation.request_ingest = asked.append  # type: ignore[method-assign,assignment]
    simulation.passes(timedelta(days=2, hours=1))
    assert asked == []
    assert not [text for text, _ in simulation.notifier.messages if "could not be" in text]


def test_a_split_file_whose_spec_was_lost_too_is_asked_for_with_it() -> None:
    simulation = Simulation(chaos=Chaos(lost=1.0))
    simulation.upload("demo", "data.csv", DATA["data.csv"])
    simulation.upload("demo", "experiment.yaml", SPLIT)
    simulation.passes(timedelta(minutes=10))
    assert simulation.store.load("demo").datasets.keys() >= {"sft", "rft", "eval"}


def test_lost_uploads_that_nobody_could_be_told_of_are_told_later() -> None:
    stack = LongHistory()
    stack.lose(LOST)
    stack.clock.time += timedelta(days=1, hours=23)
    stack.sweep()
    stack.down = {"publish"}
    for _ in range(24):
        assert stack.sweep()[0].place is not None
    assert stack.told == []
    stack.lose("inbox/zz-lost-meanwhile/sft.csv")
    stack.sweep()
    stack.clock.time += timedelta(minutes=5)
    stack.sweep()
    assert "inbox/zz-lost-meanwhile/sft.csv" in stack.asked, "the walk goes on"
    stack.down.clear()
    for _ in range(24):
        stack.sweep()
    (message,) = stack.told
    assert LOST in message
