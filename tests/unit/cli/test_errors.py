from __future__ import annotations

import pytest
from botocore import exceptions as aws
from click.testing import CliRunner
from pynamodb.exceptions import QueryError

from novaloop_cli import stack as stacks
from novaloop_cli.errors import explain
from novaloop_cli.main import main
from tests.unit.cli.conftest import novaloop


def answer(code: str, message: str = "because") -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": message}}, "Query")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aws.NoCredentialsError(), "no AWS credentials were found; run `aws configure`"),
        (aws.ProfileNotFound(profile="jane"), "jane"),
        (aws.NoRegionError(), "give --region"),
        (aws.SSOTokenLoadError(error_msg="x"), "sign in again"),
        (aws.UnauthorizedSSOTokenError(), "sign in again"),
        (answer("ExpiredTokenException"), "your AWS credentials have expired"),
        (answer("UnrecognizedClientException"), "AWS does not know these credentials"),
        (answer("AccessDeniedException", "may not x"), "Query was denied; ask for this"),
        (answer("ThrottlingException"), "try again"),
        (aws.EndpointConnectionError(endpoint_url="https://there"), "check the network"),
        (answer("SomethingNew"), "Query failed: SomethingNew: because"),
        (QueryError("wrapped", cause=answer("ExpiredToken")), "credentials have expired"),
        (QueryError("nothing inside"), "nothing inside"),
    ],
)
def test_every_failure_of_aws_is_one_line_that_helps(error: Exception, words: str) -> None:
    explained = explain(error)
    assert explained is not None
    assert words in explained.message
    assert "\n" not in explained.message


def test_a_defect_of_our_own_is_not_explained_away() -> None:
    assert explain(KeyError("x")) is None


def test_aws_errors_end_the_command_with_code_1_and_no_traceback(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise answer("AccessDenied", "not you")

    monkeypatch.setattr(stacks, "find_stack", fail)
    result = novaloop("list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "novaloop: Query was denied; ask for this permission: not you\n"


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["list", "--nonsense"], ["show"], ["keep", "x", "--hours", "0"]]
)
def test_usage_errors_are_one_line_and_code_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("novaloop: ")
    assert len(result.stderr.splitlines()) == 1


def test_without_a_local_cloud_the_command_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none() -> None:
        raise stacks.LocalCloudError("No local cloud is running. Start one: novaloop local up")

    monkeypatch.setattr(stacks.LocalCloud, "attach", none)
    result = novaloop("list", "--local")
    assert result.exit_code == 2
    assert "novaloop local up" in result.stderr


def test_stopping_a_local_cloud_that_does_not_run_is_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("novaloop_localcloud.cloud.down", lambda: False)
    result = novaloop("local", "down")
    assert (result.exit_code, result.output) == (0, "No local cloud is running.\n")


def test_a_profile_wins_over_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from the environment")
    with stacks.aws_account("jane", "eu-west-1"):
        seen = dict(stacks.os.environ)
    assert "AWS_ACCESS_KEY_ID" not in seen
    assert (seen["AWS_PROFILE"], seen["AWS_REGION"]) == ("jane", "eu-west-1")
    assert stacks.os.environ["AWS_ACCESS_KEY_ID"] == "from the environment"
