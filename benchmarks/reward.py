"""The reward function against a plain one: same samples, same process, one core.

Ours is the whole handler, its line of metrics included. The plain one is written here as a
straightforward scorer would be: it strips the solution markers, takes the first label that one
regular expression finds, and knows nothing of negations, statements or malformed samples. It is
faster; the last column says at what cost. Prints samples per CPU-second, the share of answers that
were read as a person would, what importing takes, and how many random JSON values raised.
"""

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
LAYER = ROOT / "layers" / "novaloop"
sys.path[:0] = [str(LAYER), str(ROOT)]

from functions.reward.app import handler  # noqa: E402
from novaloop.rewards.reward import score_batch  # noqa: E402

Scorer = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
LABELS = ["HQ", "LQ_EDIT", "LQ_CLOSE"]
REWARD = {"type": "label", "labels": LABELS}
BATCH = 256
SECONDS = 1.0
RANDOM_VALUES = 100_000
FASTEST_REQUIRED = 200_000
IMPORT_LIMIT_MS = 20

CLEAN = tuple((label, label) for label in LABELS)
SLOPPY = (
    ("The answer is HQ", "HQ"),
    ("lq edit", "LQ_EDIT"),
    ("Category: LQ-CLOSE.", "LQ_CLOSE"),
    ("**HQ**", "HQ"),
    ("<|begin_of_solution|>LQ_EDIT<|end_of_solution|>", "LQ_EDIT"),
    ("HQ.", "HQ"),
)
TALKATIVE = (
    ("I first thought of LQ_EDIT, but the answer is LQ_CLOSE", "LQ_CLOSE"),
    ("It isn't HQ; it needs an edit, so LQ_EDIT", "LQ_EDIT"),
    ("LQ_EDIT rather than LQ_CLOSE", "LQ_EDIT"),
    ("Neither LQ_EDIT nor LQ_CLOSE fits: HQ", "HQ"),
)
WORKLOADS = {"the label": CLEAN, "sloppy": SLOPPY, "talkative": TALKATIVE}
_PLAIN = re.compile(r"\b(HQ|LQ_EDIT|LQ_CLOSE)\b", re.IGNORECASE)


def plain(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Score a batch without any care."""
    return [_plain_score(sample) for sample in samples]


def _plain_score(sample: dict[str, Any]) -> dict[str, Any]:
    answer = sample["messages"][-1]["content"]
    answer = re.sub(r"<\|begin_of_solution\|>|<\|end_of_solution\|>", "", answer).strip()
    found = _PLAIN.search(answer)
    score = 1.0 if found and found.group(1).upper() == sample["reference_answer"] else -1.0
    return {
        "id": sample["id"],
        "aggregate_reward_score": score,
        "metrics_list": [
            {"name": "correctness", "value": float(score > 0), "type": "Metric"},
            {"name": "valid_answer", "value": float(found is not None), "type": "Metric"},
        ],
    }


def ours(samples: list[dict[str, Any]]) -> Any:
    """Score a batch as Lambda does, line of metrics included."""
    with redirect_stdout(StringIO()):
        return handler(samples, None)


SCORERS: dict[str, Scorer] = {"ours": ours, "plain": plain}


def main() -> int:
    """Print the table; 1 if a promise isn't kept."""
    print("answers | function | samples/s | ours / plain | read right")
    slowest = min(_print_workload(name, pairs) for name, pairs in WORKLOADS.items())
    extra = median(_import_ms("novaloop.rewards.reward") - _import_ms("sys") for _ in range(15))
    raised = _raised(RANDOM_VALUES)
    print(f"\nimport: {extra:.1f} ms beyond a bare interpreter")
    print(f"{RANDOM_VALUES:,} random JSON values as samples and as settings: {raised} exceptions")
    kept = slowest >= FASTEST_REQUIRED and extra <= IMPORT_LIMIT_MS and not raised
    return 0 if kept else 1


def _print_workload(name: str, pairs: tuple[tuple[str, str], ...]) -> float:
    samples = [_sample(number, *pairs[number % len(pairs)]) for number in range(BATCH)]
    speeds = _speeds(samples)
    for function, scorer in SCORERS.items():
        ratio = f"{speeds['ours'] / speeds['plain']:.2f}" if function == "ours" else ""
        right = sum(each["aggregate_reward_score"] > 0 for each in scorer(samples)) / BATCH
        print(f"{name} | {function} | {speeds[function]:,.0f} | {ratio} | {right:.0%}")
    return speeds["ours"] if name != "talkative" else float("inf")


def _sample(number: int, answer: str, reference: str) -> dict[str, Any]:
    turns = [
        {"role": "system", "content": "Classify the question as HQ, LQ_EDIT or LQ_CLOSE."},
        {"role": "user", "content": "how do i get the value of a list in python? " * 10},
        {"role": "assistant", "content": answer},
    ]
    return {
        "id": f"{number}#0",
        "messages": turns,
        "reference_answer": reference,
        "reward": REWARD,
    }


def _speeds(samples: list[dict[str, Any]]) -> dict[str, float]:
    """Return samples per CPU-second at each function's best, the functions taking turns."""
    best = dict.fromkeys(SCORERS, float("inf"))
    end = time.monotonic() + SECONDS * len(SCORERS)
    while time.monotonic() < end:
        for function, scorer in SCORERS.items():
            started = time.process_time()
            scorer(samples)
            best[function] = min(best[function], time.process_time() - started)
    return {function: len(samples) / seconds for function, seconds in best.items()}


def _import_ms(module: str) -> float:
    """Return the CPU time of an interpreter that imports one module and ends."""
    program = f"import {module}, time; print(time.process_time() * 1000)"
    command = [sys.executable, "-S", "-c", program]
    environment = {"PYTHONPATH": str(LAYER)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _raised(count: int) -> int:
    rng = random.Random(7)  # noqa: S311
    return sum(not _survives(_random_json(rng)) for _ in range(count))


def _survives(value: object) -> bool:
    try:
        rollout = {**_sample(0, "HQ", "HQ"), "reward": value}
        json.dumps(score_batch([value, rollout]), allow_nan=False)
    except Exception:
        return False
    return True


def _random_json(rng: random.Random, depth: int = 0) -> object:
    """Return a random value of words that mean something to the reward function."""
    words = ("messages", "role", "content", "text", "reference_answer", "response", "reward")
    settings = ("type", "labels", "parts", "weight", "schema", "length_penalty", "name", "id")
    if depth > 4 or rng.random() < 0.3:
        numbers = (None, True, -1, 10**400, 0.5, float("nan"), float("inf"))
        texts = ("", "HQ", "label", "json", "weighted", "custom", "f1", "\ud800", "1e999")
        return rng.choice((*numbers, *texts))
    if rng.random() < 0.3:
        return [_random_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = rng.choices(words + settings, k=rng.randrange(6))
    return {key: _random_json(rng, depth + 1) for key in keys}


if __name__ == "__main__":
    sys.exit(main())
