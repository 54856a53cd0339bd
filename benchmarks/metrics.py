"""Our metrics against rouge_score, sacrebleu and the reference definitions, in the same run.

    python benchmarks/metrics.py [--pairs 15000] [--rss-pairs 100000]

Three regimes: short (a label or nearly one, against a label), verbose (about 150 words against a
label) and long (about 150 words against as many). Both sides compute em, qem, f1, f1_score_quasi,
ROUGE-1/2/L and corpus BLEU of the same generated pairs, in one process each on one core, and their
results are compared. The peers' environment is made once with

    python benchmarks/metrics.py --install
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import string
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".tools" / "bench-metrics"
PEER_PYTHON = PEERS / "bin" / "python"
PEER_PACKAGES = ("rouge_score==0.1.2", "sacrebleu==2.6.0", "nltk==3.9.1")
LABELS = ("HQ", "LQ_EDIT", "LQ_CLOSE")
REGIMES = ("short", "verbose", "long")
NAMES = ("em", "qem", "f1", "f1_score_quasi", "rouge1", "rouge2", "rougeL", "bleu")
Pair = tuple[str, str]


def pairs(regime: str, n: int) -> Iterator[Pair]:
    """Prediction and gold, the same in every process."""
    rng = random.Random(regime)  # noqa: S311
    letters = string.ascii_lowercase
    words = [
        "".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(14_000)
    ]  # about as many distinct words as real posts
    frequent = [1 / (rank + 3) for rank in range(len(words))]
    suffixes = ("", ",", ".", "-like", "'s")
    text = iter(rng.choices(words, frequent, k=1 << 20))

    def prose() -> str:
        nonlocal text
        chosen = []
        for _ in range(rng.randint(120, 180)):
            word = next(text, None)
            if word is None:
                text = iter(rng.choices(words, frequent, k=1 << 20))
                word = next(text)
            chosen.append(word + rng.choices(suffixes, (80, 8, 8, 2, 2))[0])
        return " ".join(chosen)

    for _ in range(n):
        label = rng.choice(LABELS)
        if regime == "short":
            yield rng.choice((*LABELS, f"{label}.", f"The answer is {label}")), label
        elif regime == "verbose":
            yield f"{prose()} so it is {rng.choice(LABELS)} {prose()[:99]}", label
        else:
            gold = prose()
            yield f"{gold[: rng.randint(0, 600)]} {prose()[:500]}", gold


def ours(regime: str, n: int) -> dict[str, float]:
    """Score as the metrics function does, from the pair on."""
    sys.path.insert(0, str(ROOT / "layers" / "novaloop"))
    import numpy as np  # noqa: PLC0415

    from novaloop.metrics.bleu import corpus_bleu  # noqa: PLC0415
    from novaloop.metrics.pairs import PairScorer  # noqa: PLC0415
    from novaloop.metrics.rows import NO_LABEL, RowScoresBuilder  # noqa: PLC0415

    def score(batch: Iterator[Pair]) -> list[float]:
        scorer, builder = PairScorer(), RowScoresBuilder(())
        for key, (prediction, gold) in enumerate(batch):
            pair = scorer.score(prediction, scorer.gold(gold))
            builder.add(key, pair, (NO_LABEL,) * 3, len(prediction))
        rows = builder.build()
        return [*rows.values.mean(axis=0).tolist(), float(corpus_bleu(np.sum(rows.bleu, axis=0)))]

    return timed(score, regime, n)


def reference(regime: str, n: int) -> dict[str, float]:
    """Score with the libraries that lighteval uses and with its definitions."""
    # Installed in the peers' environment only.
    import sacrebleu  # type: ignore[import-not-found]  # noqa: PLC0415
    from nltk.metrics.scores import (  # type: ignore[import-not-found]  # noqa: PLC0415
        f_measure,
    )
    from rouge_score import rouge_scorer  # type: ignore[import-not-found]  # noqa: PLC0415

    rouge = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])

    def quasi(text: str) -> str:
        tokens = []
        excluded = set(string.punctuation)
        for piece in re.split(" |-", text):
            bare = "".join(c for c in piece.lower() if c not in excluded)
            try:
                bare = str(float(bare))
            except ValueError:
                bare = bare.strip()
            tokens.append(" ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split()))
        return " ".join(filter(None, tokens)).strip()

    def f1(prediction: str, gold: str) -> float:
        return f_measure(set(gold.split()), set(prediction.split())) or 0.0

    def score(batch: Iterator[Pair]) -> list[float]:
        totals = [0.0] * 7
        predictions, golds = [], []
        for prediction, gold in batch:
            rouges = rouge.score(gold, prediction)
            values = (
                float(prediction.strip() == gold.strip()),
                float(quasi(prediction.strip()) == quasi(gold.strip())),
                f1(prediction, gold),
                f1(quasi(prediction), quasi(gold)),
                *(rouges[name].fmeasure for name in ("rouge1", "rouge2", "rougeL")),
            )
            totals = [total + value for total, value in zip(totals, values, strict=True)]
            predictions.append(prediction)
            golds.append(gold)
        bleu = sacrebleu.corpus_bleu(predictions, [golds]).score
        return [*(total / len(golds) for total in totals), bleu]

    return timed(score, regime, n)


def timed(score: Callable[[Iterator[Pair]], list[float]], regime: str, n: int) -> dict[str, float]:
    """Results, and seconds of CPU for `n` pairs that lie ready."""
    batch = list(pairs(regime, n))
    started = time.process_time()
    values = score(iter(batch))
    seconds = time.process_time() - started
    return {**dict(zip(NAMES, values, strict=True)), "seconds": seconds}


def peak_memory(regime: str, n: int) -> dict[str, float]:
    """Seconds of CPU and peak memory in MB of `score_lines` over `n` rows of a file."""
    sys.path.insert(0, str(ROOT / "layers" / "novaloop"))
    from novaloop.metrics.score import score_lines  # noqa: PLC0415

    with tempfile.TemporaryFile() as lines:
        for index, (prediction, gold) in enumerate(pairs(regime, n)):
            row = {"prompt": f"question {index}", "inference": [prediction], "gold": gold}
            lines.write(json.dumps(row).encode() + b"\n")
        lines.seek(0)
        started = time.process_time()
        score_lines(lines, labels=() if regime == "long" else LABELS)
        seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mb": peak}


WORKERS = {"ours": ours, "reference": reference, "peak-memory": peak_memory}


def run(python: Path | str, worker: str, regime: str, n: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [str(python), __file__, "--worker", worker, regime, str(n)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(finished.stdout)
    return result


def install() -> None:
    """Make the peers' environment."""
    venv.create(PEERS, with_pip=True)
    subprocess.run([PEER_PYTHON, "-m", "pip", "install", "--quiet", *PEER_PACKAGES], check=True)


def compare(n: int, rss_pairs: int) -> None:
    """Print the tables."""
    print(f"{n:,} pairs, CPU seconds")
    print(
        f"{'regime':<9}{'reference':>11}{'ours':>9}{'ratio':>8}{'pairs/s':>10}  largest difference"
    )
    for regime in REGIMES:
        theirs = run(PEER_PYTHON, "reference", regime, n)
        mine = run(sys.executable, "ours", regime, n)
        worst = max(abs(theirs[name] - mine[name]) for name in NAMES)
        seconds = mine["seconds"]
        ratio = theirs["seconds"] / seconds
        print(
            f"{regime:<9}{theirs['seconds']:>11.2f}{seconds:>9.3f}{ratio:>7.0f}x"
            f"{n / seconds:>10,.0f}  {worst:.1e}"
        )
    print(f"\n{rss_pairs:,} rows through score_lines, bootstrap and statistics included")
    print(f"{'regime':<9}{'CPU seconds':>12}{'peak MB':>9}")
    for regime in REGIMES:
        result = run(sys.executable, "peak-memory", regime, rss_pairs)
        print(f"{regime:<9}{result['seconds']:>12.1f}{result['peak_mb']:>9.0f}")


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description="Metrics benchmark against the reference libraries"
    )
    parser.add_argument("--pairs", type=int, default=15_000)
    parser.add_argument("--rss-pairs", type=int, default=100_000)
    parser.add_argument("--install", action="store_true", help="make the peers' environment first")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    asked: Any = parser.parse_args()
    if asked.worker:
        worker, regime, n = asked.worker
        print(json.dumps(WORKERS[worker](regime, int(n))))
        return
    if asked.install:
        install()
    if not PEER_PYTHON.exists():
        sys.exit(f"the peers are not installed; run: {sys.executable} {sys.argv[0]} --install")
    compare(asked.pairs, asked.rss_pairs)


if __name__ == "__main__":
    main()
