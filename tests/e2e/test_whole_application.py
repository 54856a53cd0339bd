"""The built template in the local cloud, IAM enforced: from an upload to cleaned up."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from cli.stack import Stack, local_stack
from localcloud import questions
from localcloud.cloud import LocalCloud, up
from localcloud.sagemaker.faults import Fault
from novaloop.experiment.record import Record, StageState, Status

pytestmark = pytest.mark.e2e

SPEC = f"""
columns: {{question: Body, answer: Y}}
labels: [HQ, LQ_EDIT, LQ_CLOSE]
system_prompt: {json.dumps(questions.SYSTEM_PROMPT)}
gate: {{metric: exact_match, better_than: baseline}}
"""
ONLY_BASELINE = SPEC.partition("gate")[0] + "plan: [evaluate: baseline]\n"
GOOD_EVAL = 'Id,Body,Y\n1,what is this?,HQ\n2,"and\r\nthat?",LQ_EDIT\n3,or those?,LQ_CLOSE\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def cloud(home: Path) -> Iterator[LocalCloud]:
    parameters = {"StartDelaySeconds": "0", "LookSeconds": "2"}
    with up(home / "local", parameters=parameters) as running:
        yield running


@pytest.fixture
def stack(cloud: LocalCloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.chdir(home)
    monkeypatch.setattr("cli.stack.attach", lambda: cloud)
    with local_stack(cloud) as found:
        yield found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--local"], catch_exceptions=False)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.3)
    return False


def reaches(stack: Stack, name: str, *statuses: Status, seconds: float = 240) -> Record:
    def there() -> bool:
        record = stack.table.load(name).record
        return record is not None and record.status in statuses

    assert wait_for(there, seconds), stack.table.load(name).record
    return stack.load(name)[1]


def goes_live(stack: Stack, name: str, spec: str) -> Record:
    questions.write(Path(name), sft=300, rft=80, eval=90)
    Path(name, "experiment.yaml").write_text(spec, encoding="utf-8")
    assert run("submit", name).exit_code == 0
    assert run("watch", name).exit_code == 0
    snapshot, record = stack.load(name)
    assert record.status is Status.LIVE
    assert [stage.state for stage in record.stages] == [StageState.SUCCEEDED] * 6
    assert record.stage("after-sft").metrics["em"] > record.stage("baseline").metrics["em"] + 0.2
    assert (record.stage("deploy").reason or "").startswith("answered the smoke request")
    assert {stage for stage, _ in snapshot.scores} == {"baseline", "after-sft", "after-rft"}
    return record


def test_default_plan_from_csv_files_to_cleaned_up(stack: Stack, cloud: LocalCloud) -> None:
    goes_live(stack, "demo", SPEC)

    report = run("report", "demo", "--json")
    assert json.loads(report.stdout)["status"] == "LIVE"
    page = stack.s3.get_object(Bucket=stack.bucket, Key="reports/demo/report.html")
    assert b"after-rft" in page["Body"].read()
    answer = run("invoke", "demo", "plz fix my code its broken")
    assert answer.stdout.strip() in questions.LABELS

    assert run("cleanup", "demo").exit_code == 0
    assert stack.load("demo")[1].status is Status.COMPLETED
    sagemaker = cloud.session().client("sagemaker")
    assert sagemaker.list_endpoints()["Endpoints"] == []


def test_the_same_files_go_live_without_machines(stack: Stack, cloud: LocalCloud) -> None:
    record = goes_live(stack, "hands-off", SPEC + "runtime: serverless\n")
    sagemaker = cloud.session().client("sagemaker")
    jobs = {
        stage.name: sagemaker.describe_training_job(TrainingJobName=stage.job_name)
        for stage in record.stages[:-1]
        if stage.job_name
    }
    assert not any(
        job.keys() & {"AlgorithmSpecification", "ResourceConfig"} for job in jobs.values()
    )

    group = "arn:aws:sagemaker:us-east-1:000000000000:model-package/novaloop-hands-off"
    assert [record.stage(name).checkpoint for name in ("sft", "rft")] == [
        f"{group}/1",
        f"{group}/2",
    ]
    sources = {
        name: job.get("ModelPackageConfig", {}).get("SourceModelPackageArn")
        for name, job in jobs.items()
    }
    trained = {"after-sft": f"{group}/1", "rft": f"{group}/1", "after-rft": f"{group}/2"}
    assert sources == {"baseline": None, "sft": None, **trained}
    model = sagemaker.describe_model(ModelName=record.stage("deploy").job_name)
    assert model["PrimaryContainer"]["ModelPackageName"] == f"{group}/2"

    prefix = f"jobs/hands-off/{record.stage('after-rft').job_name}/"
    left = stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix=prefix)["Contents"]
    assert not any(each["Key"].endswith((".tar.gz", "recipe.yaml")) for each in left)
    assert run("cleanup", "hands-off").exit_code == 0
    assert sagemaker.list_endpoints()["Endpoints"] == []


BEDROCK = {
    "imported": "plan: [evaluate: baseline, sft, evaluate: after, deploy: {to: bedrock-on-demand}]",
    "packaged": "runtime: serverless\nplan: [sft, deploy: {to: bedrock-provisioned}]",
    "customized": "runtime: bedrock",
    "reinforced": """
runtime: bedrock
plan:
  - rft: {include_sft_rows: false, overrides: {batchSize: 64}}
  - deploy: {to: bedrock-provisioned, model_units: 2}
""",
}
"""Ways of a model into Bedrock: imported from a checkpoint or a package, or trained there."""


def test_bedrock_trains_and_serves(stack: Stack, cloud: LocalCloud) -> None:
    for name, plan in BEDROCK.items():
        questions.write(Path(name), sft=200, rft=120, eval=60)
        needed = {"imported": {"sft", "eval"}, "reinforced": {"rft"}}.get(name, {"sft"})
        for role in {"sft", "rft", "eval"} - needed:
            Path(name, f"{role}.csv").unlink()
        spec = f"{SPEC.partition('gate')[0]}{plan}\n"
        Path(name, "experiment.yaml").write_text(spec, encoding="utf-8")
        assert run("submit", name).exit_code == 0
    bedrock = cloud.session().client("bedrock")
    for name in BEDROCK:
        record = reaches(stack, name, Status.LIVE, seconds=240)
        assert (record.stage("deploy").reason or "").startswith("answered the smoke request")
        for options in ([], ["--no-stream"]):
            answer = run("invoke", name, "plz fix my code its broken", *options)
            assert answer.stdout.strip() in questions.LABELS
        assert run("cleanup", name).exit_code == 0
        assert stack.load(name)[1].status is Status.COMPLETED
    kept = {model["modelName"] for model in bedrock.list_custom_models()["modelSummaries"]}
    assert kept == {"novaloop-customized_sft-1", "novaloop-reinforced_rft-1"}
    assert bedrock.list_custom_model_deployments()["modelDeploymentSummaries"] == []


IN_PLACE = SPEC.partition("gate")[0] + "plan: [sft, deploy: {endpoint: bot}]\n"


def test_one_experiment_takes_the_place_of_the_other(
    stack: Stack, cloud: LocalCloud, tmp_path: Path
) -> None:
    """Two serve one after the other under one name; what fails there changes nothing."""
    questions.write(tmp_path, sft=80, rft=1, eval=1)
    rows = (tmp_path / "sft.csv").read_bytes()

    def submit(name: str) -> None:
        for file, body in {"experiment.yaml": IN_PLACE.encode(), "sft.csv": rows}.items():
            stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/{name}/{file}", Body=body)

    sagemaker = cloud.session().client("sagemaker")

    def serving() -> str:
        described = sagemaker.describe_endpoint(EndpointName="novaloop-bot")
        return str(described["EndpointConfigName"])

    submit("former")
    reaches(stack, "former", Status.LIVE)
    submit("next")
    reaches(stack, "next", Status.LIVE)
    assert serving() == "novaloop-next--deploy-1"
    assert "serves experiment next" in reaches(stack, "former", Status.COMPLETED).reason

    cloud.inject(Fault("endpoint", "novaloop-bot", reason="no healthy machine"))
    submit("unlucky")
    assert "no healthy machine" in reaches(stack, "unlucky", Status.FAILED).reason
    assert serving() == "novaloop-next--deploy-1"
    assert run("invoke", "next", "plz fix my code").stdout.strip() in questions.LABELS

    printed = run("cleanup", "next").stdout
    assert "sagemaker:endpoint novaloop-bot" in printed
    assert "nothing is left" in printed
    tagging = cloud.session().client("resourcegroupstaggingapi")
    kinds = ["endpoint", "endpoint-config", "model", "inference-component"]
    left = tagging.get_resources(ResourceTypeFilters=[f"sagemaker:{kind}" for kind in kinds])
    assert left["ResourceTagMappingList"] == []


def test_no_text_of_a_dataset_is_logged(stack: Stack, home: Path) -> None:
    """Runs after the default plan and reads what its functions and jobs have logged."""
    stack.load("demo")
    log = (home / "local" / "emulator.log").read_text(encoding="utf-8")
    rows = Path("demo/eval.csv").read_text(encoding="utf-8").splitlines()
    texts = [row for row in rows if len(row) > 40 and "," not in row]
    assert len(texts) > 50
    assert not [text for text in texts if text in log]


@pytest.mark.parametrize(
    ("name", "file", "content", "says"),
    [
        ("no-column", "eval.csv", "Id,Text,Y\n1,a,HQ\n", "no column 'Body'"),
        ("empty", "eval.csv", "", "empty"),
        ("header-only", "eval.csv", "Id,Body,Y\n", "no rows"),
        ("encoding", "eval.csv", b"Id,Body,Y\n1,caf\xe9,HQ\n", "UTF-8"),
        ("ragged", "eval.csv", "Id,Body,Y\n1,a,HQ\n2,b\n", "line 3"),
        ("quote", "eval.csv", 'Id,Body,Y\n1,"a,HQ\n', "quote"),
        ("label", "eval.csv", "Id,Body,Y\n1,a,HQ\n2,b,BAD\n", "line 3"),
        ("key", "experiment.yaml", ONLY_BASELINE + "modle: nova-pro\n", "did you mean model"),
        (
            "range",
            "experiment.yaml",
            ONLY_BASELINE.partition("plan")[0]
            + "plan: [{evaluate: {name: baseline, overrides: {temperature: 3}}}]\n",
            "plan[0].evaluate.overrides.temperature",
        ),
    ],
)
def test_bad_input_launches_nothing(
    stack: Stack, name: str, file: str, content: str | bytes, says: str
) -> None:
    files = {"experiment.yaml": ONLY_BASELINE, "eval.csv": GOOD_EVAL, file: content}
    for each, body in files.items():
        data = body if isinstance(body, bytes) else body.encode()
        stack.s3.put_object(Bucket=stack.bucket, Key=f"inbox/bad-{name}/{each}", Body=data)
    record = reaches(stack, f"bad-{name}", Status.REJECTED, seconds=60)
    assert says in record.reason
    assert file in record.reason
    assert "\n" not in record.reason
    assert not record.stages


def test_a_corrected_upload_goes_on(stack: Stack) -> None:
    """Runs after the bad inputs and corrects one of them."""
    key = "inbox/bad-label/eval.csv"
    stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=GOOD_EVAL.encode())
    record = reaches(stack, "bad-label", Status.COMPLETED)
    assert record.datasets["eval"].rows == 3
    rows = stack.s3.get_object(
        Bucket=stack.bucket, Key=record.datasets["eval"].outputs["evaluation"]
    )
    second = json.loads(rows["Body"].read().splitlines()[1])
    assert second["query"] == "and\r\nthat?"

    stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=(GOOD_EVAL + "4,d,HQ\n").encode())
    assert wait_for(lambda: bool(stack.load("bad-label")[1].notices), 30)
    assert stack.load("bad-label")[1].datasets == record.datasets


def test_unknown_experiment_is_one_line(stack: Stack) -> None:
    result = run("show", "nobody")
    assert result.exit_code == 2
    assert "no experiment is called nobody" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_refused_launch_waits_and_a_failed_job_fails(stack: Stack, cloud: LocalCloud) -> None:
    cloud.inject(
        Fault("CreateTrainingJob", "*quota*", code="ResourceLimitExceeded", reason="no quota")
    )
    for name in ("quota", "failing"):
        files = {"experiment.yaml": ONLY_BASELINE, "eval.csv": GOOD_EVAL}
        if name == "failing":
            cloud.inject(
                Fault("training-job", "*failing*", outcome="Failed", reason="AlgorithmError: no")
            )
        for each, body in files.items():
            key = f"inbox/{name}/{each}"
            stack.s3.put_object(Bucket=stack.bucket, Key=key, Body=body.encode())
    failed = reaches(stack, "failing", Status.FAILED, seconds=60)
    assert "AlgorithmError" in failed.reason
    waiting = stack.load("quota")[1].stages[0]
    assert waiting.state is StageState.WAITING
    assert "ResourceLimitExceeded" in (waiting.reason or "")
    assert reaches(stack, "quota", Status.COMPLETED, seconds=120).stages[0].attempt == 1


NOVA_1 = f"""
model: nova-lite
columns: {{question: Body, answer: Y}}
labels: [HQ, LQ_EDIT, LQ_CLOSE]
system_prompt: {json.dumps(questions.SYSTEM_PROMPT)}
plan:
  - evaluate: baseline
  - sft: {{validation: true, overrides: {{global_batch_size: 16}}}}
  - dpo: {{overrides: {{global_batch_size: 16, max_epochs: 1}}}}
  - evaluate: after
  - evaluate: {{name: rewarded, task: rft_eval}}
  - evaluate: {{name: known, task: mmlu, subtask: anatomy}}
  - evaluate: {{name: judged, task: llm_judge}}
  - deploy
gate: {{evaluation: after, metric: exact_match, better_than: baseline}}
"""


def write_pairs(folder: Path) -> None:
    """Add the files of preference optimization, of validation and of a judge."""
    rows = questions.questions(120, seed=11)
    other = {"HQ": "LQ_EDIT", "LQ_EDIT": "LQ_CLOSE", "LQ_CLOSE": "HQ"}
    tables: dict[str, list[tuple[str, ...]]] = {
        "dpo": [
            ("Body", "preferred", "non_preferred"),
            *((row.body, row.label, other[row.label]) for row in rows[:60]),
        ],
        "validation": [("Body", "Y"), *((row.body, row.label) for row in rows[60:90])],
        "llm-judge": [
            ("Body", "response_A", "response_B"),
            *((row.body, other[row.label], row.label) for row in rows[90:]),
        ],
    }
    for name, table in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(table)


def test_preferences_benchmarks_judges_and_rewards_from_experiment_yaml(stack: Stack) -> None:
    folder = Path("nova-1")
    questions.write(folder, sft=300, rft=1, eval=90)
    write_pairs(folder)
    (folder / "experiment.yaml").write_text(NOVA_1, encoding="utf-8")

    assert run("submit", "nova-1").exit_code == 0
    record = reaches(stack, "nova-1", Status.LIVE, seconds=150)
    assert record.stage("after").metrics["em"] > record.stage("baseline").metrics["em"]
    assert -1 <= record.stage("rewarded").metrics["lambda_reward_score"] <= 1
    assert 0.1 < record.stage("known").metrics["accuracy"] < 0.4
    judged = record.stage("judged").metrics
    assert judged["a_scores"] + judged["b_scores"] + judged["ties"] == 30
    assert record.stage("dpo").progress is not None
    assert record.stage("dpo").checkpoint != record.stage("sft").checkpoint

    report = json.loads(run("report", "nova-1", "--json").stdout)
    assert [task["title"] for task in report["tasks"]] == [
        "rft_eval",
        "mmlu anatomy",
        "llm_judge",
    ]
    (accuracy,) = report["tasks"][1]["metrics"]
    assert accuracy["measurements"][0]["stderr"] > 0
    assert "mmlu accuracy" in run("show", "nova-1").stdout
    assert run("cleanup", "nova-1").exit_code == 0
