"""What the page on comparing says of other harnesses' files, done with files of their form."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import novaloop

PAGE = (Path(__file__).parents[3] / "docs" / "comparing.md").read_text(encoding="utf-8")


def block(beginning: str, language: str = "") -> str:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [text for kind, text in blocks if kind == language and text.startswith(beginning)]
    return str(found)


def sample(doc: int, score: float, answer_filter: str) -> str:
    """Write a line as lm-evaluation-harness does."""
    return json.dumps(
        {
            "doc_id": doc,
            "doc": {"question": f"{doc} + 1"},
            "target": str(doc + 1),
            "arguments": {"gen_args_0": {"arg_0": f"{doc} + 1 = "}},
            "resps": [["…"]],
            "filtered_resps": [str(doc + 1)],
            "filter": answer_filter,
            "metrics": ["exact_match"],
            "doc_hash": f"{doc:064x}",
            "exact_match": score,
        }
    )


@pytest.mark.parametrize("filters", [("strict-match",), ("strict-match", "flexible-extract")])
def test_samples_of_lm_evaluation_harness(
    filters: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, right in (("base", 10), ("tuned", 30)):
        lines = [sample(doc, float(doc < right), each) for doc in range(40) for each in filters]
        (tmp_path / folder).mkdir()
        samples = tmp_path / folder / "samples_gsm8k.jsonl"
        samples.write_text("\n".join(lines) + "\n")
        if len(filters) > 1:
            keep = block("grep ").replace("samples_gsm8k.jsonl", str(samples))
            subprocess.run(["bash", "-c", keep], check=True)
            samples.write_bytes((tmp_path / "strict.jsonl").read_bytes())
    _, *words = shlex.split(block("novaloop compare base/samples").replace("\\\n", ""))
    result = novaloop(*words)
    assert result.exit_code == 0, result.stderr
    assert "Score, better: 25.0% to 75.0% on 40 rows" in " ".join(result.stdout.split())


def test_instances_of_helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = block("import csv", "python")
    for folder, right in (("base", 5), ("tuned", 15)):
        instances = [
            {
                "instance_id": f"id{instance}",
                "train_trial_index": trial,
                **({"perturbation": {"name": "typos"}} if is_perturbed else {}),
                "stats": [
                    {"name": {"name": name, "split": "test"}, "count": 1, "mean": mean}
                    for name, mean in (("num_prompt_tokens", 9.0), ("exact_match", score))
                ],
            }
            for instance in range(20)
            for trial in range(3)
            for is_perturbed, score in ((False, float(instance < right)), (True, 0.0))
        ]
        (tmp_path / folder).mkdir()
        stats = tmp_path / folder / "per_instance_stats.json"
        stats.write_text(json.dumps(instances))
        made = subprocess.run(
            [sys.executable, "-c", script, stats, "exact_match"], check=True, capture_output=True
        )
        (tmp_path / f"{folder}.csv").write_bytes(made.stdout)
    *_, last = block("python helm.py").splitlines()
    result = novaloop(*last.split()[1:])
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stdout.split())
    assert "25.0% to 75.0% on 60 rows of 20 different questions" in said
    assert "10 questions improved, 0 regressed, 10 stayed the same." in said
