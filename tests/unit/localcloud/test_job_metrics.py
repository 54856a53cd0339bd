from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from novaloop_localcloud.job_metrics import evaluate

SHARED = Path(os.environ.get("NOVALOOP_SHARED", Path(__file__).resolve().parents[4] / "shared"))


def test_label_answers_score_as_lighteval_does() -> None:
    scores = evaluate(["LQ_EDIT", "HQ", "hq.", "LQ_CLOSE"], ["LQ_EDIT", "HQ", "HQ", "LQ_EDIT"])
    assert scores["em"] == 0.5
    assert scores["em_stderr"] == pytest.approx(math.sqrt(0.25 / 3))
    assert scores["qem"] == 0.75
    assert scores["f1"] == 0.5
    assert scores["rouge1"] == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert scores["rouge2"] == 0.25


def test_bleu_keeps_the_defect_of_its_model() -> None:
    sentence = "it is the second of the categories"
    first_right = evaluate([sentence, "no"], [sentence, "other words stand here instead"])
    first_wrong = evaluate(["no", sentence], ["other words stand here instead", sentence])
    assert first_right["bleu"] == pytest.approx(100)
    assert first_wrong["bleu"] == 0


def test_every_metric_has_its_error() -> None:
    scores = evaluate(["HQ", "LQ_EDIT"], ["HQ", "HQ"])
    names = {"rouge1", "rouge2", "rougeL", "em", "qem", "f1", "f1_score_quasi", "bleu"}
    assert set(scores) == names | {f"{name}_stderr" for name in names}


def test_the_verified_cases_agree() -> None:
    path = SHARED / "contract" / "metric-cases.jsonl"
    if not path.exists():
        pytest.skip(f"no verified cases at {path}")
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    expected = json.loads(path.with_suffix(".aggregate.json").read_text(encoding="utf-8"))
    scores = evaluate([c["prediction"] for c in cases], [c["gold"] for c in cases])
    shared = {name: value for name, value in expected.items() if name in scores}
    assert len(shared) == 14
    assert {name: scores[name] for name in shared} == pytest.approx(shared, abs=1e-9)
