"""One file into disjoint roles: exact counts, no shared question, no dependence on file order."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from novaloop.datasets.errors import DatasetRefused
from novaloop.datasets.options import DatasetOptions, RowFormat
from novaloop.datasets.rejects import RejectLog
from novaloop.datasets.split import Split, SplitSummary, convert_split, placed_rows_of

ROLES = {
    "sft": (RowFormat.SFT, RowFormat.RFT),
    "eval": (RowFormat.EVALUATION,),
    "rft": (RowFormat.RFT,),
}


def table(questions: Sequence[str], labels: Sequence[str] = ("a",)) -> bytes:
    cells = ((text, labels[row % len(labels)]) for row, text in enumerate(questions))
    lines = ["question,answer", *(f"{question},{label}" for question, label in cells)]
    return "\n".join(lines).encode()


def run(
    data: bytes,
    shares: Mapping[str, int | float],
    seed: int = 7,
    **options: int | tuple[str, ...],
) -> tuple[SplitSummary, dict[str, list[str]]]:
    blocks: dict[str, dict[RowFormat, list[bytes]]] = {
        role: {each: [] for each in ROLES[role]} for role in shares
    }
    outputs = {
        role: {each: written.append for each, written in formats.items()}
        for role, formats in blocks.items()
    }
    summary = convert_split(
        lambda: [data],
        Split(shares, seed),
        outputs,
        DatasetOptions(**options),  # type: ignore[arg-type]
        lambda _: None,
    )
    return summary, {
        role: [question(line) for line in b"".join(formats[ROLES[role][0]]).splitlines()]
        for role, formats in blocks.items()
    }


def question(line: bytes) -> str:
    row = json.loads(line)
    text: str = row["query"] if "query" in row else row["messages"][-1]["content"]
    if "schemaVersion" in row:
        text = row["messages"][0]["content"][0]["text"]
    return text


def placed(
    data: bytes, role: str, shares: Mapping[str, int | float], **options: int
) -> list[tuple[int, str]]:
    """The lines and questions of the rows that a role gets."""
    read = DatasetOptions(**options)  # type: ignore[arg-type]
    batches = placed_rows_of(
        role,
        lambda: [data],
        Split(shares, 7),
        formats={each: ROLES[each] for each in shares},
        options=read,
        log=RejectLog(lambda _: None),
        divided_by=read,
    )
    return [
        (place(index).line, question(line))
        for rows, place in batches
        for index, line in enumerate(rows.lines[0])
    ]


@pytest.mark.parametrize(
    "shares",
    [
        {"sft": 200, "rft": 100, "eval": 80},
        {"sft": 0.5, "rft": 0.2, "eval": 0.2},
        {"eval": 0.1, "sft": 0.9},
    ],
)
@pytest.mark.parametrize("same", [1, 2, 7])
def test_a_role_is_looked_at_by_the_rows_that_it_gets(
    shares: dict[str, int | float], same: int
) -> None:
    data = table([f"question {number // same}" for number in range(600)], ("a", "b", ""))
    _, got = run(data, shares, max_rejects=200)
    lines = data.decode().splitlines()
    for role in shares:
        found = placed(data, role, shares, max_rejects=200)
        assert [text for _, text in found] == got[role]
        assert all(lines[line - 1].startswith(f"{text},") for line, text in found)


def test_rows_for_which_a_file_is_refused_hide_no_others() -> None:
    data = table(QUESTIONS[:90], ("a", "b", ""))
    assert run(data, {"sft": 30, "eval": 20})[0].refusal is not None
    assert len(placed(data, "sft", {"sft": 30, "eval": 20})) == 30
    with pytest.raises(DatasetRefused, match="asks for 80 rows"):
        placed(data, "sft", {"sft": 80, "eval": 20})


QUESTIONS = [f"question {number}" for number in range(1_000)]


def test_counts_are_exact_and_roles_disjoint() -> None:
    summary, got = run(table(QUESTIONS), {"sft": 600, "eval": 50, "rft": 250})

    assert {role: len(rows) for role, rows in got.items()} == {"sft": 600, "eval": 50, "rft": 250}
    assert len({text for rows in got.values() for text in rows}) == 900
    assert (summary.rows_in, summary.rows_left_out) == (1_000, 100)
    assert summary.datasets["sft"].outputs[RowFormat.RFT].rows == 600


def test_fractions_share_out_all_rows() -> None:
    summary, got = run(table(QUESTIONS), {"sft": 0.7, "eval": 0.1, "rft": 0.2})

    assert {role: len(rows) for role, rows in got.items()} == {"sft": 700, "eval": 100, "rft": 200}
    assert summary.rows_left_out == 0


def test_split_depends_on_the_seed_and_not_on_the_order_of_the_file() -> None:
    shuffled = random.Random(1).sample(QUESTIONS, len(QUESTIONS))  # noqa: S311
    shares = {"sft": 500, "eval": 100}

    first = run(table(QUESTIONS), shares)[1]

    assert {role: set(rows) for role, rows in run(table(shuffled), shares)[1].items()} == {
        role: set(rows) for role, rows in first.items()
    }
    assert set(run(table(QUESTIONS), shares, seed=8)[1]["eval"]) != set(first["eval"])
    assert first["sft"] == sorted(first["sft"], key=QUESTIONS.index)


@pytest.mark.parametrize("seed", range(20))
def test_repeated_questions_never_stand_in_two_roles(seed: int) -> None:
    repeated = [f"question {number % 90}" for number in range(1_000)]

    _, got = run(table(repeated), {"sft": 500, "eval": 100, "rft": 200}, seed)

    assert {role: len(rows) for role, rows in got.items()} == {"sft": 500, "eval": 100, "rft": 200}
    sets = [set(rows) for rows in got.values()]
    assert not sets[0] & sets[1]
    assert not sets[0] & sets[2]
    assert not sets[1] & sets[2]


def test_questions_that_look_the_same_never_stand_in_two_roles() -> None:
    seen = [f"cl\xe9 {number}" for number in range(100)]
    questions = [
        *(*seen, *(text.replace("\xe9", "e\u0301") for text in seen)),
        *(f"{text}\u200b" for text in seen),
    ]
    _, got = run(table(questions), {"sft": 0.5, "rft": 0.3, "eval": 0.2})
    numbers = [{row.strip("\u200b").split()[1] for row in rows} for rows in got.values()]
    assert sum(map(len, numbers)) == 100


def test_rejected_rows_take_no_place() -> None:
    data = table(QUESTIONS) + b"\nonly one cell"

    summary, got = run(data, {"sft": 500, "eval": 500}, max_rejects=1)

    assert summary.refusal is None
    assert summary.rows_in == 1_001
    assert summary.rejects["ragged-row"].rows == 1
    assert len(got["sft"]) == len(got["eval"]) == 500


@pytest.mark.parametrize("shares", [{"sft": 999, "eval": 2}, {"sft": 0}, {"sft": 0.0001}])
def test_impossible_split_is_refused(shares: dict[str, int | float]) -> None:
    summary, got = run(table(QUESTIONS), shares)

    assert summary.refusal is not None
    assert summary.refusal.rule == "split"
    assert not summary.datasets
    assert not any(got.values())


def test_bad_file_is_refused_as_a_whole() -> None:
    summary, _ = run(table(QUESTIONS) + b"\nragged", {"sft": 10, "eval": 10})

    assert summary.refusal is not None
    assert summary.refusal.line == 1_002


def before_repeats_stayed_whole(
    questions: Sequence[str], shares: Mapping[str, int | float], seed: int
) -> dict[str, set[str]]:
    """What each role got of distinct questions when a split was one cut of their order."""

    def rank(text: str) -> bytes:
        quoted = json.dumps(text, ensure_ascii=False).encode()
        return blake2b(quoted, digest_size=8, key=str(seed).encode()).digest()

    ordered, got = sorted(questions, key=rank), {}
    for role, share in shares.items():
        rows = share if isinstance(share, int) else min(round(share * len(questions)), len(ordered))
        got[role], ordered = set(ordered[:rows]), ordered[rows:]
    return got


@given(
    rows=st.integers(30, 200),
    shares=st.sampled_from(
        [
            {"sft": 0.8, "eval": 0.1, "rft": 0.1},
            {"sft": 1 / 3, "eval": 1 / 3, "rft": 1 / 3},
            {"sft": 0.3, "eval": 0.2},
            {"sft": 10, "eval": 5, "rft": 15},
            {"eval": 7},
        ]
    ),
    seed=st.integers(0, 1_000),
)
def test_a_seed_keeps_the_rows_that_it_always_gave(
    rows: int, shares: Mapping[str, int | float], seed: int
) -> None:
    _, got = run(table(QUESTIONS[:rows]), shares, seed)

    assert {role: set(part) for role, part in got.items()} == before_repeats_stayed_whole(
        QUESTIONS[:rows], shares, seed
    )


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "questions",
    [
        ["again" if row % 2 else QUESTIONS[row] for row in range(1_000)],
        [f"again {row % 2}" if row % 10 < 6 else QUESTIONS[row] for row in range(1_000)],
        [f"again {row % 20}" for row in range(1_000)],
        [QUESTIONS[row // 3] for row in range(1_000)],
    ],
)
def test_fractions_are_of_rows_also_where_questions_repeat(questions: list[str], seed: int) -> None:
    summary, got = run(table(questions), {"sft": 0.8, "rft": 0.1, "eval": 0.1}, seed)

    # A question in three rows that a cut would part stands on its nearer side, at each cut.
    wanted = {"sft": 800, "rft": 100, "eval": 100}
    assert all(abs(len(got[role]) - rows) <= 2 for role, rows in wanted.items())
    assert sum(map(len, got.values())) == 1_000
    assert summary.rows_left_out == 0
    assert summary.rows_asked == wanted


COUNTS = st.fixed_dictionaries(
    {"sft": st.integers(1, 60), "eval": st.integers(1, 20)}, optional={"rft": st.integers(1, 30)}
)
FRACTIONS = st.sampled_from(
    [
        {"sft": 0.8, "eval": 0.2},
        {"sft": 0.5, "rft": 0.25, "eval": 0.25},
        {"sft": 0.4, "eval": 0.1, "rft": 0.2},
        {"sft": 0.05, "eval": 0.9},
    ]
)


@given(
    sizes=st.lists(st.integers(1, 9) | st.integers(1, 60), min_size=1, max_size=40),
    shares=COUNTS | FRACTIONS,
    seed=st.integers(0, 50),
    labels=st.sampled_from([(), ("a", "b", "c")]),
)
@example(sizes=[1] * 28 + [3], shares={"sft": 30, "eval": 1}, seed=0, labels=())
@example(sizes=[2] * 50, shares={"sft": 51, "eval": 49}, seed=0, labels=())
@example(sizes=[1] * 5, shares={"sft": 0.5, "rft": 0.25, "eval": 0.25}, seed=0, labels=())
@example(sizes=[2] * 3 + [1] * 3, shares={"sft": 0.5, "rft": 0.25, "eval": 0.25}, seed=0, labels=())
@example(sizes=[34, 33, 33], shares={"sft": 0.8, "rft": 0.1, "eval": 0.1}, seed=0, labels=())
def test_no_row_vanishes_uncounted_and_no_question_is_in_two_roles(
    sizes: list[int], shares: Mapping[str, int | float], seed: int, labels: tuple[str, ...]
) -> None:
    questions = [text for text, size in zip(QUESTIONS, sizes, strict=False) for _ in range(size)]
    data = table(questions, labels or ("a",))

    summary, got = run(data, shares, seed, labels=labels)

    assert run(data, shares, seed, labels=labels)[1] == got
    if summary.refusal is not None:
        assert "split." in str(summary.refusal)
        assert not any(got.values())
        return
    placed = Counter(text for part in got.values() for text in part)
    assert placed.total() + summary.rows_left_out == summary.rows_in == len(questions)
    assert sum(len(set(part)) for part in got.values()) == len(placed)
    if any(isinstance(share, int) for share in shares.values()):
        assert {role: len(part) for role, part in got.items()} == shares
        return
    whole = Counter(questions)
    assert all(rows == whole[text] for text, rows in placed.items())
    assert all(2 * len(got[role]) >= rows for role, rows in summary.rows_asked.items())
    if sum(shares.values()) == 1:
        # Each share is rounded by itself, as it always was: a row or two may be in none.
        rounded_off = len(questions) - sum(summary.rows_asked.values())
        assert summary.rows_left_out <= max(rounded_off, 0) <= len(shares) - 1


@pytest.mark.parametrize("shares", [{"sft": 80, "eval": 10}, {"sft": 0.8, "eval": 0.1}])
def test_each_label_is_evaluated_that_two_questions_have(
    shares: Mapping[str, int | float],
) -> None:
    labels = ("rare", "rare", *["common"] * 97, "single")
    of = dict(zip(QUESTIONS[:100], labels, strict=True))
    changed = 0
    for seed in range(20):
        data = table(QUESTIONS[:100], labels)
        _, got = run(data, shares, seed, labels=("rare", "common", "single"))
        _, plain = run(data, shares, seed)

        found = {of[text] for text in got["eval"]}
        assert {"rare", "common"} <= found
        assert {role: len(part) for role, part in got.items()} == {"sft": 80, "eval": 10}
        # No more than one question changes its place with another, and where none has to, none.
        lacked = "rare" not in {of[text] for text in plain["eval"]}
        assert len({*got["eval"]} - {*plain["eval"]}) == lacked
        assert not lacked or "rare" in {of[text] for text in {*of} - {*got["eval"]}}
        changed += lacked
    assert 0 < changed < 20


def test_questions_that_fill_a_count_are_found_behind_the_one_that_does_not_fit() -> None:
    questions = [text for text in QUESTIONS[:40] for _ in range(3)] + QUESTIONS[40:80]

    for seed in range(20):
        summary, got = run(table(questions), {"sft": 100, "eval": 60}, seed)

        assert {role: len(part) for role, part in got.items()} == {"sft": 100, "eval": 60}
        assert summary.rows_left_out == 0


def test_what_does_not_fit_is_refused_with_the_reason() -> None:
    summary, _ = run(table([f"again {row % 3}" for row in range(100)]), {"sft": 0.9, "eval": 0.1})

    assert str(summary.refusal) == (
        "`split.eval` asks for 10 rows, but equal questions stay together, which leaves 0 for it; "
        "change the split, or remove repeated questions"
    )
