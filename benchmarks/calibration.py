"""How often the tests of a change are wrong, and how often they see one that is there.

    make calibration
    python -m benchmarks.calibration [--runs 20000]

Of two evaluations on the same rows, with a true change of 0 or not: `says` is how often a change
is told (at 0 that is the size, else the power), `covers` how often the interval holds the true
change, `peer` what the best valid test says of the same runs (mid-p McNemar of right and wrong;
random signs of symmetric grades), `contradicts` where the interval and the p-value don't agree.

Right and wrong answers are enumerated: every outcome, weighted by its probability. Grades are
drawn; there a limit counts as broken where the 99.9 % interval of what was seen lies beyond it.
Size at most .055, coverage at least .94, power at most .03 below the peer's: exits with 1 if not.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from novaloop.metrics.bleu import corpus_bleu
from novaloop.metrics.estimates import resampled_sums, score_interval
from novaloop.metrics.paired import (
    Evidence,
    graded,
    mid_p,
    repeated_yes_no,
    resampled,
    yes_no,
)

ROWS = (30, 100, 500, 5_000)
FLIPS = (0.01, 0.05, 0.10, 0.30)
CONFIDENCE = 0.95
MOST_SIZE, LEAST_COVERAGE, MOST_LOST_POWER = 0.055, 0.94, 0.03
_NEGLIGIBLE = 1e-9
_SIGNS, _SIGNED_RUNS = 499, 2_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One line of the table: shares from 0 to 1, and what each of them is out of.

    runs: drawn ones, None where all outcomes were enumerated. decided: the share in which there was
    enough to give an interval.
    """

    case: str
    n: int
    change: float
    says: float
    covers: float
    decided: float
    peer: float | None
    contradicts: float
    runs: int | None

    def broken(self) -> list[str]:
        """Return the limits that it breaks, beyond the error of its own runs."""
        found = []
        if self.change == 0 and self._least(self.says) > MOST_SIZE:
            found.append("size")
        if self.decided and self._most(self.covers) < LEAST_COVERAGE:
            found.append("coverage")
        if self.change and self.peer is not None and self.peer - self.says > MOST_LOST_POWER:
            found.append("power")
        if self.contradicts:
            found.append("contradiction")
        return found

    def _least(self, share: float) -> float:
        return share if self.runs is None else self._bounds(share)[0]

    def _most(self, share: float) -> float:
        return share if self.runs is None else self._bounds(share)[1]

    def _bounds(self, share: float) -> tuple[float, float]:
        return score_interval(share, self.runs or 1, 0.999)


def right_and_wrong(n: int, flips: float, change: float) -> Cell:
    """Enumerate the outcomes of n rows, of which a share of `flips` change."""
    says = covers = peer = contradicts = whole = 0.0
    for improved, regressed, weight in _outcomes(n, (flips + change) / 2, (flips - change) / 2):
        evidence = _yes_no(improved, regressed, n)
        low, high = _bounds(evidence)
        told = low > 0 or high < 0
        whole += weight
        says += weight * told
        covers += weight * (low <= change <= high)
        peer += weight * (mid_p(improved, regressed) <= 1 - CONFIDENCE)
        contradicts += weight * (told != (evidence.p_value <= 1 - CONFIDENCE))
    shares = (each / whole for each in (says, covers, peer, contradicts))
    says, covers, peer, contradicts = shares
    case = f"right or wrong, {flips:.0%} flip"
    return Cell(case, n, change, says, covers, 1.0, peer, contradicts, None)


@cache
def _yes_no(improved: int, regressed: int, n: int) -> Evidence:
    return yes_no(improved, regressed, n, CONFIDENCE)


def _outcomes(n: int, better: float, worse: float) -> Iterator[tuple[int, int, float]]:
    """Yield how many rows improved and regressed, with its probability, where that counts."""
    for improved, first in _binomial(n, better):
        rest = n - improved
        for regressed, second in _binomial(rest, min(1.0, worse / (1 - better))):
            if first * second > _NEGLIGIBLE * 1e-3:
                yield improved, regressed, first * second


@cache
def _binomial(n: int, p: float) -> list[tuple[int, float]]:
    if p <= 0 or n == 0:
        return [(0, 1.0)]
    spread = 8 * math.sqrt(n * p * (1 - p)) + 8
    counts = np.arange(max(0, int(n * p - spread)), min(n, int(n * p + spread)) + 1)
    logs = np.array(
        [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in counts]
    )
    weights = np.exp(logs + counts * math.log(p) + (n - counts) * math.log1p(-p))
    return [(int(k), float(w)) for k, w in zip(counts, weights, strict=True) if w > _NEGLIGIBLE]


Draw = Callable[[np.random.Generator, int, int], Floats]
"""Changes of (runs, n) rows whose true mean is 0."""


def _normal(random: np.random.Generator, runs: int, n: int) -> Floats:
    return random.normal(0, 0.2, (runs, n))


def _skewed(random: np.random.Generator, runs: int, n: int) -> Floats:
    """Many lose a little, few gain much: an exponential distribution, of skewness 2."""
    return random.exponential(0.2, (runs, n)) - 0.2


def _rare(draw: Draw, share: float) -> Draw:
    def drawn(random: np.random.Generator, runs: int, n: int) -> Floats:
        return np.where(random.random((runs, n)) < share, draw(random, runs, n), 0.0)

    return drawn


SHAPES: dict[str, tuple[Draw, float, bool]] = {
    "normal": (_normal, 1.0, True),
    "skewed": (_skewed, 1.0, False),
    "30 % change, normal": (_rare(_normal, 0.3), 0.3, True),
    "10 % change, normal": (_rare(_normal, 0.1), 0.1, True),
    "30 % change, skewed": (_rare(_skewed, 0.3), 0.3, False),
    "10 % change, skewed": (_rare(_skewed, 0.1), 0.1, False),
}
"""How grades change: the draw, which share of the rows changes, and whether it is symmetric."""


def grades(shape: str, n: int, effect: float, runs: int) -> Cell:
    """Draw runs of n graded rows; effect: the true change in standard errors."""
    draw, share, symmetric = SHAPES[shape]
    change = effect * 0.2 * math.sqrt(share / n)
    random = np.random.default_rng((n, runs, int(1000 * share), int(10 * effect), len(shape)))
    ones = np.ones(n)
    evidence: list[Evidence] = []
    reference: list[bool] = []
    block = max(1, 2_000_000 // n)
    for start in range(0, runs, block):
        drawn = draw(random, min(block, runs - start), n)
        changes = np.where(drawn != 0, drawn + change / share, 0.0)
        evidence += [graded(each, ones, CONFIDENCE, math.inf) for each in changes]
        if symmetric and len(reference) < _SIGNED_RUNS:
            wanted = changes[: _SIGNED_RUNS - len(reference)]
            reference += _random_signs(random, wanted).tolist()
    peer = None
    if reference:
        # The same runs on both sides, of those in which enough rows changed to say anything: what
        # the two differ by hangs little on which runs they are.
        pairs = list(zip(evidence, reference, strict=False))
        lost = sum(by_signs - _told(each) for each, by_signs in pairs if each.low is not None)
        peer = sum(map(_told, evidence)) / runs + lost / len(pairs)
    return _drawn(f"graded, {shape}", n, change, evidence, peer)


def _random_signs(random: np.random.Generator, changes: Floats) -> NDArray[np.bool_]:
    """Say of each run whether fewer than 5 % of random signs give as large a sum."""
    signs = random.choice((-1.0, 1.0), (changes.shape[1], _SIGNS))
    larger = (np.abs(changes @ signs) >= np.abs(changes.sum(axis=1))[:, None] - 1e-12).sum(axis=1)
    seldom: NDArray[np.bool_] = (1 + larger) / (_SIGNS + 1) <= 1 - CONFIDENCE
    return seldom


REPEATED = (
    (250, 2, 1.0, 0.0),
    (100, 5, 1.0, 0.0),
    (20, 25, 1.0, 0.0),
    (250, 2, 0.2, 0.0),
    (250, 2, 0.02, 0.0),
    (250, 2, 0.02, 0.05),
)
"""How many questions there are, how often a share of them stands there, and the true change."""


def repeated(questions: int, times: int, share: float, change: float, runs: int) -> Cell:
    """Draw right and wrong answers to questions of which a share stands several times.

    A question changes in one of ten runs; its rows all do so, or, in one of five of those that are
    repeated, a part of them does.
    """
    random = np.random.default_rng((questions, times, runs, int(1000 * share), int(1000 * change)))
    odds = ((0.1 - change) / 2, 0.9, (0.1 + change) / 2)
    rows = np.where(np.arange(questions) < share * questions, float(times), 1.0)
    signs = random.choice((-1.0, 0.0, 1.0), (runs, questions), p=odds)
    in_part = (random.random((runs, questions)) < 0.2) & (rows > 1)
    changes = signs * np.where(in_part, random.integers(1, max(2, times), rows.shape), rows)
    evidence = [repeated_yes_no(each, rows, CONFIDENCE) for each in changes]
    # Of the questions; those that change in part change by half on the average.
    true = change * float(np.where(rows > 1, 0.8 + 0.2 * 0.5, 1.0).mean())
    signed = (mid_p(int((each > 0).sum()), int((each < 0).sum())) for each in changes)
    peer = sum(each <= 1 - CONFIDENCE for each in signed) / runs if change else None
    case = f"{share:.0%} of the questions {times} times"
    return _drawn(case, int(rows.sum()), true, evidence, peer)


def bleu(n: int, runs: int) -> Cell:
    """Draw two answers of equal quality to each of n questions, of 10 to 20 words."""
    random = np.random.default_rng((n, runs))
    evidence = []
    for _ in range(runs):
        lengths = random.integers(10, 21, n)
        pair = [_answers(random, lengths) for _ in range(2)]
        before, after = np.hsplit(resampled_sums(np.hstack(pair), random), 2)
        evidence.append(resampled(corpus_bleu(after) - corpus_bleu(before), n, CONFIDENCE))
    return _drawn("BLEU, 10 to 20 words", n, 0, evidence, None)


def _answers(random: np.random.Generator, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sentence statistics as `bleu.WIDTH` has them: each word is right 7 times in 10."""
    widest = int(lengths.max())
    inside = np.arange(widest) < lengths[:, None]
    right = (random.random((len(lengths), widest)) < 0.7) & inside
    matches = [right.sum(axis=1)]
    run = right
    for order in range(1, 4):
        run = run[:, :-1] & right[:, order:]
        matches.append(run.sum(axis=1))
    totals = [np.maximum(0, lengths - order) for order in range(4)]
    return np.column_stack([lengths, lengths, *matches, *totals])


def _drawn(case: str, n: int, change: float, evidence: list[Evidence], peer: float | None) -> Cell:
    runs = len(evidence)
    decided = [each for each in evidence if each.low is not None]
    held = [low <= change <= high for low, high in map(_bounds, decided)]
    wrong = sum(_told(each) != (each.p_value <= 1 - CONFIDENCE) for each in evidence)
    return Cell(
        case=case,
        n=n,
        change=change,
        says=sum(map(_told, evidence)) / runs,
        covers=sum(held) / len(held) if held else math.nan,
        decided=len(decided) / runs,
        peer=peer,
        contradicts=wrong / runs,
        runs=runs,
    )


def _bounds(evidence: Evidence) -> tuple[float, float]:
    low = -math.inf if evidence.low is None else evidence.low
    return low, math.inf if evidence.high is None else evidence.high


def _told(evidence: Evidence) -> bool:
    low, high = _bounds(evidence)
    return low > 0 or high < 0


def cells(runs: int) -> Iterator[Cell]:
    """Yield the whole table. Grades of which fewer than 10 rows change are left to `decided`."""
    for n in ROWS:
        for flips in FLIPS:
            for change in (0.0, flips / 2):
                yield right_and_wrong(n, flips, change)
    for shape, (_, share, _) in SHAPES.items():
        for n in ROWS:
            if n * share >= 10:
                for effect in (0.0, 2.0):
                    yield grades(shape, n, effect, runs)
    for case in REPEATED:
        yield repeated(*case, runs)
    for n in (30, 100, 500):
        yield bleu(n, min(runs, 2_000))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000, help="of each cell that is drawn")
    options = parser.parse_args()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for heading in ("rows", "change", "says", "peer", "covers", "decided", "broken"):
        table.add_column(heading, justify="right")
    broken = []
    for cell in cells(options.runs):
        found = cell.broken()
        broken += found
        peer = "" if cell.peer is None else f"{cell.peer:.3f}"
        table.add_row(
            cell.case,
            f"{cell.n:,}",
            f"{cell.change:.4f}",
            f"{cell.says:.3f}",
            peer,
            f"{cell.covers:.3f}",
            f"{cell.decided:.2f}",
            ", ".join(found),
        )
    console = Console()
    console.print(table)
    console.print(f"{table.row_count} cells, {len(broken)} limits broken")
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
