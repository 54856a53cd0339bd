"""Checks that need more than one dataset, or a whole one; pure functions of their profiles."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from novaloop.datasets.policies import DEFAULT_POLICIES, DROPPABLE, Check, FindingPolicy
from novaloop.datasets.profile.label_leaks import FEATURES, find_leaks
from novaloop.datasets.profile.profile import DatasetProfile
from novaloop.datasets.profile.sketch import NO_ANSWER, Answers, RowSketch
from novaloop.datasets.rows.encoded import EncodedRows, Questions
from novaloop.datasets.rows.text_sizes import tokens_of

EVALUATION_ROLE = "eval"
REWARDED_ROLE = "rft"
MAX_IMBALANCE = 10
_AT_LEAST = "at least"
FEWEST_PAIRS = 10
"""Of unlike references, before it is said that a reward can't tell them apart."""
MOST = 0.5
"""The share of a dataset's rows from which on repeated ones look like a mistake."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    `rows` is a number of rows in the first of `roles`, a lower bound where the message says so;
    `questions` are the hashes of what they ask, to pass as DatasetOptions.exclude_questions;
    `longer_than` is the number of tokens by which they were found instead.
    """

    check: Check
    policy: FindingPolicy
    roles: tuple[str, ...]
    rows: int
    message: str
    questions: frozenset[int] = field(default=frozenset(), repr=False)
    longer_than: int | None = None

    def concerns(self, rows: EncodedRows) -> Iterator[int]:
        """Yield which of some rows of the first role it is about, by their index."""
        found = zip(rows.question_hashes.tolist(), rows.text_sizes, strict=True)
        for index, (question, size) in enumerate(found):
            is_long = self.longer_than is not None and tokens_of(size) > self.longer_than
            if is_long or question in self.questions:
                yield index


def check_datasets(
    profiles: Mapping[str, DatasetProfile],
    policies: Mapping[Check, FindingPolicy] | None = None,
    max_lengths: Mapping[str, int] | None = None,
    labels: Collection[str] = (),
    column: str = "question",
) -> list[Finding]:
    """Return the findings of all checks, by role; raises ValueError for a policy that can't be.

    `max_lengths` is the number of tokens that a row of a role may have. Messages name only those of
    `labels`: other answers are text of the dataset. `column` is what the settings call the one of
    the questions.
    """
    chosen = {**DEFAULT_POLICIES, **(policies or {})}
    for check, policy in chosen.items():
        if policy is FindingPolicy.DROP and check not in DROPPABLE:
            raise ValueError(f"{check} concerns the dataset, not rows; use refuse or warn")
    findings = [
        finding
        for each in (
            *(_shared, _near, _contradictions, _repeated_questions, _repeated_rows),
            *(_same, _any),
        )
        for finding in each(profiles, chosen)
    ]
    findings += _imbalance(profiles, chosen, labels)
    findings += _leaks(profiles, chosen, labels, column)
    findings += _long_rows(profiles, chosen, max_lengths or {})
    return [_dropped(each) if each.policy is FindingPolicy.DROP else each for each in findings]


_Policies = Mapping[Check, FindingPolicy]
_Profiles = Mapping[str, DatasetProfile]


def _shared(profiles: _Profiles, policies: _Policies) -> Iterator[Finding]:
    for evaluation, role, training in _evaluation_pairs(profiles):
        hits = np.isin(evaluation.sketch.questions, training.sketch.questions)
        questions = evaluation.sketch.questions[hits]
        exact = evaluation.sketch.exact and training.sketch.exact
        found = _those(hits.sum(), exact, EVALUATION_ROLE, "also stands", "also stand")
        message = f"{found} in {role}"
        if hits.any():
            check = Check.SHARED_QUESTIONS
            yield _finding(check, policies[check], (EVALUATION_ROLE, role), questions, message)


def _near(profiles: _Profiles, policies: _Policies) -> Iterator[Finding]:
    for evaluation, role, training in _evaluation_pairs(profiles):
        questions = evaluation.signatures.near(training.signatures)
        exact = not (evaluation.signatures.sampling_bits or training.signatures.sampling_bits)
        found = _those(len(questions), exact, EVALUATION_ROLE, "resembles", "resemble")
        message = f"{found} one in {role}"
        if len(questions):
            check = Check.NEAR_DUPLICATES
            yield _finding(check, policies[check], (EVALUATION_ROLE, role), questions, message)


def _contradictions(profiles: _Profiles, policies: _Policies) -> Iterator[Finding]:
    # Free-text answers to one question may differ, and a pair of them differs from any label.
    labelled = {role: each for role, each in profiles.items() if each.label_counts}
    if not labelled:
        return
    everywhere = _contradicting([profile.sketch for profile in labelled.values()])
    for role, profile in labelled.items():
        hits = np.isin(profile.sketch.questions, everywhere)
        found = _those(hits.sum(), profile.sketch.exact, role, "has", "have")
        message = f"{found} another answer elsewhere"
        if hits.any():
            questions, check = profile.sketch.questions[hits], Check.CONTRADICTIONS
            yield _finding(check, policies[check], (role,), questions, message)


def _contradicting(sketches: list[RowSketch]) -> Questions:
    """Return the questions with more than one answer."""
    questions: Questions = np.concatenate([sketch.questions for sketch in sketches])
    answers: Answers = np.concatenate([sketch.answers for sketch in sketches])
    order = np.lexsort((answers, questions))
    questions, answers = questions[order], answers[order]
    changed = (questions[1:] == questions[:-1]) & (answers[1:] != answers[:-1])
    unique: Questions = np.unique(questions[1:][changed])
    return unique


def _repeated_questions(profiles: _Profiles, policies: _Policies) -> Iterator[Finding]:
    """Rows that repeat a question tell nothing new, and errors count each question once."""
    evaluation = profiles.get(EVALUATION_ROLE)
    if evaluation is None:
        return
    sketch, check = evaluation.sketch, Check.REPEATED_QUESTIONS
    again = len(sketch.questions) - len(np.unique(sketch.questions))
    if again:
        message = (
            f"{_those(again, sketch.exact, EVALUATION_ROLE, 'repeats', 'repeat')} the question of "
            "another: errors and the gate count each question once, so these add little; keep one "
            "of each"
        )
        hashes = _repeated(sketch.questions)
        yield Finding(check, policies[check], (EVALUATION_ROLE,), again, message, hashes)


def _repeated(questions: Questions) -> frozenset[int]:
    unique, counts = np.unique(questions, return_counts=True)
    return frozenset(unique[counts > 1].tolist())


def _repeated_rows(profiles: _Profiles, policies: _Policies) -> Iterator[Finding]:
    """Training sets that look joined twice, and those most of whose rows an earlier one has."""
    trained = {role: each for role, each in profiles.items() if role != EVALUATION_ROLE}
    for role, profile in trained.items():
        rows, distinct = len(profile.sketch.questions), len(profile.sketch.distinct_rows())
        again, check = rows - distinct, Check.REPEATED_ROWS
        if again and again >= MOST * rows:
            count = _count(again, profile.sketch.exact)
            message = f"{count} of {role} repeat another, as if a file had been joined twice"
            yield Finding(check, policies[check], (role,), again, message)
    sft, rft = trained.get("sft"), trained.get("rft")
    if sft is None or rft is None:
        return
    mine, theirs = rft.sketch.distinct_rows(), sft.sketch.distinct_rows()
    both = int(np.isin(mine, theirs).sum())
    if both and both >= MOST * len(mine):
        count = _count(both, rft.sketch.exact and sft.sketch.exact)
        message = (
            f"{count} of rft also stand in sft: what was learned by heart leaves nothing to be "
            "rewarded for; give each its own"
        )
        check = Check.SHARED_ROWS
        yield Finding(check, policies[check], ("rft", "sft"), both, message)


def _imbalance(
    profiles: _Profiles, policies: _Policies, declared: Collection[str]
) -> Iterator[Finding]:
    named = {role: set(each.label_counts or ()) for role, each in profiles.items()}
    for role, profile in profiles.items():
        if not profile.label_counts:
            continue
        # Answers of a dataset with which this one has few in common are no labels of it.
        own = named[role]
        alike = (each for each in named.values() if 2 * len(each & own) >= min(len(each), len(own)))
        known = set().union(*alike)
        counts = {
            label: profile.label_counts.get(label, 0) for label in (*declared, *sorted(known))
        }
        rarest = min(counts, key=counts.__getitem__)
        fewest, commonest = counts[rarest], max(counts.values())
        if commonest > MAX_IMBALANCE * fewest:
            name = f", {rarest!r}," if rarest in declared else ""
            message = (
                f"the rarest label of {role}{name} has {fewest} rows, the commonest {commonest}"
            )
            yield Finding(Check.IMBALANCE, policies[Check.IMBALANCE], (role,), fewest, message)


def _same(profiles: _Profiles, policies: _Policies) -> Iterator[Finding]:
    rewarded = profiles.get(REWARDED_ROLE)
    if rewarded is None or rewarded.rows < 2:
        return
    answers = np.unique(rewarded.sketch.answers)
    if len(answers) == 1 and answers[0] != NO_ANSWER:
        message = (
            f"all {rewarded.rows:,} rows of {REWARDED_ROLE} have the same reference answer: who "
            "always gives it, whatever is asked, earns the full reward"
        )
        check = Check.SAME_REFERENCES
        yield Finding(check, policies[check], (REWARDED_ROLE,), rewarded.rows, message)


def _any(profiles: _Profiles, policies: _Policies) -> Iterator[Finding]:
    """Unlike references that the reward can't tell apart, such as within a wide tolerance."""
    rewarded = profiles.get(REWARDED_ROLE)
    if rewarded is None:
        return
    tried, earned = rewarded.pairs
    if tried >= FEWEST_PAIRS and tried == earned:
        message = (
            f"the reference answer of one row of {REWARDED_ROLE} earned the full reward of another "
            f"in each of {tried} pairs of unlike ones: the reward does not tell right from wrong"
        )
        check = Check.ANY_REFERENCE
        yield Finding(check, policies[check], (REWARDED_ROLE,), tried, message)


def _leaks(
    profiles: _Profiles, policies: _Policies, declared: Collection[str], column: str
) -> Iterator[Finding]:
    """Yield one finding for all datasets: what gives labels away in one mostly does in all."""
    found = {
        role: find_leaks(signed.questions, signed.features, profile.sketch, profile.label_counts)
        for role, profile in profiles.items()
        if profile.label_counts is not None
        for signed in (profile.signatures,)
    }
    roles = tuple(role for role, leaks in found.items() if leaks.found)
    told: list[str] = []
    most = 0
    for feature in FEATURES:
        leaks = [
            (role, each) for role in roles for each in found[role].found if each.feature == feature
        ]
        # A question has one value of a feature, so those with its values add up.
        with_it = {
            role: sum(each.questions for of, each in leaks if of == role) for role, _ in leaks
        }
        if not with_it:
            continue
        most = max(most, with_it.get(roles[0], 0))
        _, clearest = max(leaks, key=lambda leak: leak[1].questions)
        label = repr(clearest.label) if clearest.label in declared else "one label"
        places = (
            f"{n:,} of the {found[role].questions:,} questions of {role}"
            for role, n in with_it.items()
        )
        told.append(
            f"by its {feature} in {', '.join(places)} (of those {clearest.in_words}, "
            f"{clearest.purity:.0%} have {label}, of all {clearest.base:.0%})"
        )
    if told:
        message = (
            f"`{column}` gives labels away {'; '.join(told)}; remove from the data what questions "
            "in use will not have"
        )
        yield Finding(Check.LABEL_LEAK, policies[Check.LABEL_LEAK], roles, most, message)


def _long_rows(
    profiles: _Profiles, policies: _Policies, max_lengths: Mapping[str, int]
) -> Iterator[Finding]:
    policy = policies[Check.LONG_ROWS]
    for role, profile in profiles.items():
        tokens, max_length = profile.tokens, max_lengths.get(role)
        if max_length is None:
            continue
        if rows := tokens.count_above(max_length):
            message = (
                f"{_those(rows, True, role, 'has', 'have')} more than max_length ({max_length}) "
                f"tokens, the longest {tokens.max}, by an estimate; shorten them or raise "
                "max_length"
            )
            yield Finding(Check.LONG_ROWS, policy, (role,), rows, message, longer_than=max_length)


def _evaluation_pairs(profiles: _Profiles) -> Iterator[tuple[DatasetProfile, str, DatasetProfile]]:
    evaluation = profiles.get(EVALUATION_ROLE)
    if evaluation:
        for role, profile in profiles.items():
            if role != EVALUATION_ROLE:
                yield evaluation, role, profile


def _dropped(finding: Finding) -> Finding:
    at_least = f"{_AT_LEAST} " in finding.message
    which = "those that were found" if at_least else "they"
    return replace(
        finding, message=f"{finding.message}; {which} are left out of {finding.roles[0]}"
    )


def _finding(
    check: Check, policy: FindingPolicy, roles: tuple[str, ...], questions: Questions, message: str
) -> Finding:
    hashes = frozenset(int(question) for question in questions)
    return Finding(check, policy, roles, len(questions), message, hashes)


def _those(rows: int, exact: bool, role: str, one_does: str, several_do: str) -> str:
    return f"{_count(rows, exact)} of {role} {one_does if rows == 1 else several_do}"


def _count(rows: int, exact: bool) -> str:
    count = f"{rows} row{'' if rows == 1 else 's'}"
    return count if exact else f"{_AT_LEAST} {count}"
