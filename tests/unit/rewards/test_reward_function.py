import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

APP = Path(__file__).parents[3] / "functions" / "reward" / "app.py"


@pytest.fixture(scope="module")
def app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reward_app", APP)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rollout(answer: str) -> dict[str, object]:
    turns = [{"role": "user", "content": "secret"}, {"role": "assistant", "content": answer}]
    settings = {"type": "label", "labels": ["HQ", "LQ"]}
    return {"id": answer, "messages": turns, "reference_answer": "HQ", "reward": settings}


def test_replies_and_emits_one_line_of_embedded_metrics(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = app.handler([rollout("HQ"), rollout("dunno")], None)
    (line,) = capsys.readouterr().out.splitlines()
    emitted = json.loads(line)
    assert [score["id"] for score in reply] == ["HQ", "dunno"]
    assert emitted["MeanReward"] == 0
    assert emitted["WithoutValidAnswer"] == 0.5
    assert emitted["MeanResponseCharacters"] == 3.5
    declared = emitted["_aws"]["CloudWatchMetrics"][0]
    assert all(isinstance(emitted[metric["Name"]], int | float) for metric in declared["Metrics"])


def test_no_text_of_the_dataset_is_logged(
    app: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    app.handler([rollout("dunno"), "secret", {"secret": rollout("x")}], None)
    captured = capsys.readouterr()
    assert not any(text in captured.out + captured.err for text in ("secret", "dunno"))
