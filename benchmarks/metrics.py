"""Our metrics against lighteval 0.10, rouge_score and sacrebleu, in the same run.

    make bench-metrics
    python benchmarks/metrics.py [--pairs 15000] [--rss-pairs 100000]

Three regimes: short (a label or nearly one, against a label), verbose (about 150 words against a
label) and long (about 150 words against as many). Both sides compute em, qem, f1, f1_score_quasi,
ROUGE-1/2/L and corpus BLEU of the same generated pairs, in one process each on one core, and their
results are compared. The reference is lighteval 0.10's own code, a scorer per metric as it has
them, and one call of sacrebleu with the references the right way round. Modules that lighteval
imports and these metrics don't use (torch, transformers ...) are replaced by empty ones.

BLEU's error is a table of its own: 1,000 resamples, on the reference's side projected from two.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import json
import random
import resource
import string
import subprocess
import sys
import tempfile
import time
import types
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".tools" / "bench-metrics"
PEER_PYTHON = PEERS / "bin" / "python"
PEER_PACKAGES = ("rouge_score==0.1.2", "sacrebleu==2.6.0", "nltk==3.9.1")
LIGHTEVAL = "lighteval==0.10.0"  # without its dependencies: they are 6 GB
UNUSED_BY_THE_METRICS = {"aenum", "datasets", "huggingface_hub", "latex2sympy2_extended", "litellm"}
UNUSED_BY_THE_METRICS |= {"openai", "pandas", "pydantic", "pytablewriter", "requests", "scipy"}
UNUSED_BY_THE_METRICS |= {"sklearn", "spacy", "sympy", "termcolor", "torch", "transformers"}
RESAMPLES = 1000
MEASURED_RESAMPLES = 2
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
    from novaloop.metrics.estimates import resampled_sums  # noqa: PLC0415
    from novaloop.metrics.overlap import MAX_PAIRS  # noqa: PLC0415
    from novaloop.metrics.pairs import PairScorer  # noqa: PLC0415
    from novaloop.metrics.rows import NO_LABEL, RowScoresBuilder  # noqa: PLC0415

    statistics = []

    def score(pairs: list[Pair]) -> list[float]:
        scorer, builder = PairScorer(), RowScoresBuilder(())
        for start in range(0, n, MAX_PAIRS):
            batch = pairs[start : start + MAX_PAIRS]
            scored = scorer.score([(prediction, scorer.gold(gold)) for prediction, gold in batch])
            for key, (pair, (prediction, _)) in enumerate(zip(scored, batch, strict=True)):
                builder.add((key, key), pair, (NO_LABEL,) * 3, len(prediction))
        rows = builder.build()
        statistics.append(rows.bleu)
        return [*rows.values.mean(axis=0).tolist(), float(corpus_bleu(np.sum(rows.bleu, axis=0)))]

    def bleu_error() -> None:
        corpus_bleu(resampled_sums(statistics[0], np.random.default_rng(0), RESAMPLES)).std()

    return timed(score, regime, n) | {"bleu_error_seconds": cpu_seconds(bleu_error)}


def reference(regime: str, n: int) -> dict[str, float]:
    """Score with lighteval's own metrics, and with sacrebleu."""
    replace_unused_modules()
    # Installed in the peers' environment only.
    import sacrebleu  # type: ignore[import-not-found]  # noqa: PLC0415
    from lighteval.metrics.metrics_sample import (  # type: ignore[import-not-found]  # noqa: PLC0415
        ROUGE,
        ExactMatches,
        F1_score,
    )
    from lighteval.metrics.normalizations import (  # type: ignore[import-not-found]  # noqa: PLC0415
        helm_normalizer,
    )

    normalised = {"normalize_gold": helm_normalizer, "normalize_pred": helm_normalizer}
    metrics = [
        ExactMatches(strip_strings=True),
        ExactMatches(strip_strings=True, **normalised),
        F1_score(),
        F1_score(**normalised),
        *map(ROUGE, ("rouge1", "rouge2", "rougeL")),
    ]

    def score(pairs: list[Pair]) -> list[float]:
        values = [
            [metric.compute(golds=[gold], predictions=[prediction]) for metric in metrics]
            for prediction, gold in pairs
        ]
        return [*(sum(column) / n for column in zip(*values, strict=True)), corpus_bleu(pairs)]

    def corpus_bleu(pairs: list[Pair]) -> float:
        predictions, golds = zip(*pairs, strict=True)
        return float(sacrebleu.corpus_bleu(predictions, [golds]).score)

    def bleu_error() -> None:
        for seed in range(MEASURED_RESAMPLES):
            corpus_bleu(random.Random(seed).choices(batch, k=n))  # noqa: S311

    result = timed(score, regime, n)
    batch = list(pairs(regime, n))
    projected = cpu_seconds(bleu_error) * RESAMPLES / MEASURED_RESAMPLES
    return result | {"bleu_error_seconds": projected}


def replace_unused_modules() -> None:
    """Make lighteval's metrics importable without what they don't use."""

    class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
            unused = name.partition(".")[0] in UNUSED_BY_THE_METRICS
            return importlib.machinery.ModuleSpec(name, self, is_package=True) if unused else None

        def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
            return MagicMock(name=spec.name, __path__=[], BaseModel=object)

        def exec_module(self, module: Any) -> None:
            module.nn.Module = object

    sys.meta_path.append(Finder())
    package = types.ModuleType("lighteval.metrics")  # its own one imports every metric
    found = importlib.util.find_spec("lighteval")
    locations = found.submodule_search_locations if found else None
    package.__path__ = [str(Path(location) / "metrics") for location in locations or ()]
    sys.modules[package.__name__] = package


def cpu_seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def timed(score: Callable[[list[Pair]], list[float]], regime: str, n: int) -> dict[str, float]:
    """Results, and seconds of CPU for `n` pairs that lie ready."""
    batch = list(pairs(regime, n))
    started = time.process_time()
    values = score(batch)
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
    pip = [str(PEER_PYTHON), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *PEER_PACKAGES], check=True)
    subprocess.run([*pip, "--no-deps", LIGHTEVAL], check=True)


def compare(n: int, rss_pairs: int) -> None:
    """Print the tables."""
    print(f"{n:,} pairs, CPU seconds")
    print(
        f"{'regime':<9}{'reference':>11}{'ours':>9}{'ratio':>8}{'pairs/s':>10}  largest difference"
    )
    errors = []
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
        errors.append((regime, theirs["bleu_error_seconds"], mine["bleu_error_seconds"]))
    print(f"\nBLEU's error from {RESAMPLES:,} resamples, CPU seconds")
    print(f"{'regime':<9}{'projected':>11}{'ours':>9}{'ratio':>8}")
    for regime, projected, measured in errors:
        print(f"{regime:<9}{projected:>11,.0f}{measured:>9.2f}{projected / measured:>7,.0f}x")
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
    parser.add_argument("--install", action="store_true", help="only make the peers' environment")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    asked: Any = parser.parse_args()
    if asked.worker:
        worker, regime, n = asked.worker
        print(json.dumps(WORKERS[worker](regime, int(n))))
        return
    if asked.install:
        install()
        return
    if not PEER_PYTHON.exists():
        sys.exit(f"the peers are not installed; run: {sys.executable} {sys.argv[0]} --install")
    compare(asked.pairs, asked.rss_pairs)


if __name__ == "__main__":
    main()
