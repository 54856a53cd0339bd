"""The default plan without machines of one's own."""

from __future__ import annotations

import pytest

from novaloop_cli.stack import Stack
from novaloop_localcloud.cloud import LocalCloud
from tests.e2e.application import SPEC, endpoints, goes_live, run

pytestmark = pytest.mark.e2e


def test_the_same_files_go_live_without_machines(stack: Stack, cloud: LocalCloud) -> None:
    record = goes_live(stack, "hands-off", SPEC + "runtime: serverless\n")
    sagemaker = cloud.session().client("sagemaker")
    jobs = {
        stage.name: sagemaker.describe_training_job(TrainingJobName=stage.attempt.job_name)
        for stage in record.stages[:-1]
        if stage.attempt.job_name
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
    model = sagemaker.describe_model(ModelName=record.stage("deploy").attempt.job_name)
    assert model["PrimaryContainer"]["ModelPackageName"] == f"{group}/2"

    prefix = f"jobs/hands-off/{record.stage('after-rft').attempt.job_name}/"
    left = stack.s3.list_objects_v2(Bucket=stack.bucket, Prefix=prefix)["Contents"]
    assert not any(each["Key"].endswith((".tar.gz", "recipe.yaml")) for each in left)
    assert run("cleanup", "hands-off").exit_code == 0
    assert endpoints(cloud, "hands-off") == []
