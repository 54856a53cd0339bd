"""What the disk, the terminal, the network and AWS do to every command: a line, no traceback.

Each command is run in the state of an experiment in which it does most, and something fails at
each of its calls, or of its outputs. A new command without words here fails the tests.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import MagicMock

import boto3
import click
import pytest
from botocore import exceptions as aws
from botocore.client import BaseClient
from botocore.config import Config

from novaloop.experiment.record import Status
from novaloop.store.table import ExperimentTable
from novaloop_cli import commands, logs, recipes, watch
from novaloop_cli import stack as stacks
from novaloop_cli.exits import Exit
from novaloop_cli.main import main
from tests.unit.cli.conftest import commands_of, novaloop
from tests.unit.cli.test_logs import write
from tests.unit.reports import finished_experiment as example

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from novaloop_cli.stack import Stack

NAME = example.NAME
LEAVES = {words for words, each in commands_of(main) if not isinstance(each, click.Group)}


@dataclass(frozen=True)
class Run:
    """The words after a command's, in a folder with an experiment, and the status that it needs."""

    words: tuple[str, ...] = ()
    status: Status = Status.LIVE


WITH_AWS = {
    ("approve",): Run((NAME,), Status.HELD),
    ("cleanup",): Run((NAME,), Status.FAILED),
    ("doctor",): Run(("new",)),
    ("invoke",): Run((NAME, "a question")),
    ("keep",): Run((NAME, "--hours", "1")),
    ("list",): Run(),
    ("logs",): Run((NAME, "--stage", "sft")),
    ("mlflow",): Run((NAME, "--tracking-uri", "file:runs")),
    ("plan",): Run(("new", "--stack", "novaloop")),
    ("recipes", "diff"): Run(("--model", "nova-lite-2")),
    ("reject",): Run((NAME,), Status.HELD),
    ("rejects",): Run((NAME,)),
    ("report",): Run((NAME,)),
    ("retry",): Run((NAME,), Status.FAILED),
    ("show",): Run((NAME,)),
    ("stop",): Run((NAME,)),
    ("submit",): Run(("new", "--yes")),
    ("watch",): Run((NAME,)),
}
ALONE = {
    ("compare",): Run(("answers.jsonl", "answers.jsonl")),
    ("convert",): Run(("new/sft.csv", "out.jsonl", "--method", "sft")),
    ("local", "status"): Run(),
    ("recipes", "list"): Run(),
    ("recipes", "show"): Run(("sft-lora", "nova-lite-2")),
    ("reward", "try"): Run(("rft.jsonl",)),
    ("schema",): Run(),
    ("score",): Run(("answers.jsonl",)),
}
OF_THE_MACHINE = {("demo",), ("local", "up"), ("local", "down")}
"""They start processes, and end those of whoever works here; tests of the local cloud run them."""


def test_every_command_is_among_these() -> None:
    assert WITH_AWS.keys() | ALONE.keys() | OF_THE_MACHINE == LEAVES


clients = cache(stacks.aws_client)
"""Those of all tests here: to make one reads its service's model, which takes longest of all."""
the_table = cache(ExperimentTable)


@pytest.fixture
def place(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A folder with all that the words above name, and a stack with an experiment and its log."""
    monkeypatch.chdir(tmp_path)
    for module in (stacks, recipes):
        monkeypatch.setattr(module, "aws_client", clients)
    monkeypatch.setattr(stacks, "ExperimentTable", the_table)
    (tmp_path / "new").mkdir()
    for name in ("sft", "rft", "eval"):
        rows = "".join(f"{name} question {n},answer {n}\n" for n in range(100))
        (tmp_path / "new" / f"{name}.csv").write_text(f"question,answer\n{name} is it?,é\n{rows}")
    Path("rft.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "q"}], "reference_answer": "é",'
        ' "reward": {"type": "exact"}}\n'
    )
    Path("answers.jsonl").write_text('{"prompt": "q", "inference": ["é"], "gold": "é"}\n')
    stack.table.commit(example.record(), example.HISTORY)
    write(f"novaloop-{NAME}--sft-1/algo-1", (example.START, "step é"))
    item = replace(example.dataset("sft", 9), rejected_rows=1, rejects_key="rejects/sft.jsonl")
    stack.table.put_dataset(NAME, item)
    rejected = {"row": 2, "line": 3, "rule": "blank_answer", "message": "is blank" * 200}
    listing = json.dumps(rejected).encode()
    stack.s3.put_object(Bucket=stack.bucket, Key=item.rejects_key or "", Body=listing)
    # Nobody obeys here: what a command waits for never comes.
    for module in (commands, watch, logs):
        monkeypatch.setattr(module.time, "sleep", lambda _: None)
    for limit in ("TAKEN_UP_WITHIN", "GONE_WITHIN"):
        monkeypatch.setattr(commands, limit, commands.timedelta(seconds=0.01))
    library = SimpleNamespace(MlflowClient=MagicMock(), MlflowException=ZeroDivisionError)
    monkeypatch.setitem(sys.modules, "mlflow", library)
    return stack


def as_it_needs(stack: Stack, run: Run) -> None:
    """Bring the experiment into the state in which a command does most."""
    record = stack.load(NAME)[1]
    if record.status is not run.status:
        stack.table.commit(replace(record, status=run.status), ())


STREAM = b'data: {"choices": [{"delta": {"content": "\\u00e9 \\ud800"}}]}\n\n'
ANSWERS: dict[str, Callable[[], Any]] = {
    "InvokeEndpointWithResponseStream": lambda: {"Body": [{"PayloadPart": {"Bytes": STREAM}}]},
    "DescribeHubContent": lambda: {"HubContentDocument": "{}"},
    "GetCallerIdentity": lambda: {"Arn": "arn:aws:sts::1:assumed-role/Admin/jane"},
    "ListStackResources": lambda: {"StackResourceSummaries": []},
    "GetAccountSettings": lambda: {"AccountLimit": {"ConcurrentExecutions": 1000}},
    "ListServiceQuotas": lambda: {"Quotas": []},
    "ListRequestedServiceQuotaChangeHistory": lambda: {"RequestedQuotas": []},
    "ListSubscriptionsByTopic": lambda: {"Subscriptions": []},
}
"""What moto has no answer for, or none without packages that nothing else here needs."""


class Calls:
    """Notes the calls to AWS; those of the operation `failing` raise the error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.failing = ""
        self.error: BaseException | None = None
        call = BaseClient._make_api_call

        def make(client: BaseClient, operation: str, parameters: dict[str, str]) -> object:
            self.made.append(operation)
            if self.error is not None and operation == self.failing:
                raise self.error
            if operation in ANSWERS:
                return ANSWERS[operation]()
            return call(client, operation, parameters)

        monkeypatch.setattr(BaseClient, "_make_api_call", make)

    def fail(self, operation: str, error: BaseException) -> None:
        self.failing, self.error = operation, error


def answered(code: str, message: str = "because") -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": message}}, "Query")


ERRORS = [
    answered("ExpiredToken"),
    answered("InternalServerError"),
    aws.EndpointConnectionError(endpoint_url="https://there"),
    PermissionError(13, "Permission denied", "there"),
    OSError(28, "No space left on device"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("words", WITH_AWS, ids=" ".join)
def test_whatever_fails_at_whichever_call_is_a_line(
    place: Stack, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Each call fails once; which error it is goes round, and differs from command to command."""
    run = WITH_AWS[words]
    as_it_needs(place, run)
    calls = Calls(monkeypatch)
    well = novaloop(*words, *run.words)
    made, turn = list(dict.fromkeys(calls.made)), list(WITH_AWS).index(words)
    assert made, well.output
    for number, operation in enumerate(made, turn):
        error = ERRORS[number % len(ERRORS)]
        calls.fail(operation, error)
        result = novaloop(*words, *run.words)
        told = f"{operation}, {error!r}: {result.output}"
        # A file is sent by a thread, which Ctrl-C does not reach.
        if isinstance(error, KeyboardInterrupt) and operation != "PutObject":
            assert result.exit_code == Exit.INTERRUPTED, told
        assert result.exit_code in set(Exit), told
        if result.exit_code in {Exit.FAILED, Exit.REFUSED}:
            assert result.stderr.splitlines()[-1].startswith(("novaloop: ", "  ")), told


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_each_of_these_is_a_line(
    place: Stack, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    Calls(monkeypatch).fail("DescribeStacks", error)
    result = novaloop("list")
    assert result.exit_code in {Exit.FAILED, Exit.INTERRUPTED}
    assert len(result.stderr.strip().splitlines()) == 1


class Answers(BaseHTTPRequestHandler):
    """Answers as what stands between a person and AWS does; `kind` says which."""

    kind: ClassVar[str]

    def do_POST(self) -> None:
        if self.kind == "closes":
            return
        if self.kind == "hangs":
            time.sleep(1)
            return
        status, page = PAGES[self.kind]
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_GET = do_PUT = do_POST  # noqa: N815 - names of the base class

    def log_message(self, *_: object) -> None:
        pass


PAGES = {
    "signs in": (200, b"<!doctype html><p>Sign in to the <b>airport's network" + b"!" * 9000),
    "signs in, in XML": (200, b"<html><body><p>Sign in</p></body></html>"),
    "says nothing": (200, b""),
    "forbids": (403, b"<html>Blocked by the proxy</html>"),
    "is down": (502, b"<html>Bad gateway</html>"),
    "is something else": (404, b"not found"),
}
TOLD = {
    "hangs": "check the network",
    "closes": "check the network",
    "refuses": "check the network",
    "is down": "try again",
}


@contextmanager
def between(kind: str) -> Iterator[str]:
    """Yield the address of what answers like this."""
    handler = type("Answering", (Answers,), {"kind": kind})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    address = f"http://127.0.0.1:{server.server_port}"
    if kind == "refuses":
        server.server_close()
        yield address
        return
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("words", [("list",), ("recipes", "diff")], ids=" ".join)
@pytest.mark.parametrize("kind", ["hangs", "closes", "refuses", *PAGES])
def test_whatever_stands_between_is_a_line(
    monkeypatch: pytest.MonkeyPatch, kind: str, words: tuple[str, ...]
) -> None:
    at_once = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    monkeypatch.setattr(stacks, "PATIENCE", at_once)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with between(kind) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        result = novaloop(*words)
    assert result.exit_code == Exit.FAILED
    (line,) = result.stderr.splitlines()
    assert TOLD.get(kind, "") in line
    assert len(line) < 500
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"AWS_ENDPOINT_URL": "localhost:4566"}, "localhost:4566"),
        ({"AWS_MAX_ATTEMPTS": "many"}, "many"),
        ({"AWS_REGION": "no region"}, "such as us-east-1"),
        ({"AWS_PROFILE": "nobody"}, "aws configure list-profiles"),
        ({"AWS_CA_BUNDLE": "/nowhere/ca.pem"}, "check AWS_CA_BUNDLE"),
        ({"AWS_CONFIG_FILE": "broken"}, "broken"),
        ({"AWS_CA_BUNDLE": "broken"}, "check AWS_CA_BUNDLE"),
        ({"HTTPS_PROXY": "http://127.0.0.1:1"}, "proxy"),
    ],
    ids=repr,
)
def test_whatever_the_shell_is_set_to_is_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken").write_text("[profile\nregion")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with between("forbids") as address:
        there = address.replace("http:", "https:" if "AWS_CA_BUNDLE" in variables else "http:")
        elsewhere = {} if "HTTPS_PROXY" in variables else {"AWS_ENDPOINT_URL": there}
        keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
        given = {"AWS_REGION": "us-east-1", **keys, **elsewhere, **variables}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        result = novaloop("list")
    assert result.exit_code in {Exit.FAILED, Exit.REFUSED}
    (line,) = result.stderr.splitlines()
    assert words in line
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@dataclass(frozen=True)
class Ended:
    """How a command ended in a process of its own, and what it wrote to standard error."""

    code: int
    stderr: str


def forked(words: tuple[str, ...], prepare: Callable[[], object]) -> Ended:
    """Run a command in a copy of this process, after what `prepare` does to its outputs."""
    read, errors = os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(errors, 2)
            prepare()
            sys.stdout, sys.stderr = (stream(descriptor) for descriptor in (1, 2))
            code = ended(words)
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(errors)
    _, status = os.waitpid(child, 0)
    with open(read, encoding="utf-8") as told:  # noqa: PTH123 - a descriptor
        return Ended(os.waitstatus_to_exitcode(status), told.read())


def stream(descriptor: int) -> Any:
    """Open an output as the interpreter does: it is None where the shell has closed it."""
    try:
        return open(
            descriptor, "w", encoding=os.environ.get("PYTHONIOENCODING", "utf-8"), closefd=False
        )
    except OSError:
        return None


def ended(words: tuple[str, ...]) -> int:
    """Return how the command ends, and how the interpreter does after that."""
    try:
        main(words)
    except SystemExit as done:
        code = int(done.code or 0)
    sys.stdout.flush()
    return code


def onto(path: str) -> Callable[[], object]:
    return lambda: os.dup2(os.open(path, os.O_WRONLY), 1)


def onto_a_closed_pipe() -> None:
    read, written = os.pipe()
    os.dup2(written, 1)
    os.close(read)


def on_a_poor_terminal() -> None:
    os.environ |= {"COLUMNS": "20", "PYTHONIOENCODING": "ascii"}
    os.environ.pop("HOME", None)


PLAIN = {
    "a full disk": onto("/dev/full"),
    "a closed pipe": onto_a_closed_pipe,
    "no output": lambda: os.close(1),
    "no output and no errors": lambda: os.closerange(1, 3),
    "20 columns of ASCII and no home": on_a_poor_terminal,
}
EVERY = {**WITH_AWS, **ALONE}


@pytest.mark.parametrize("kind", PLAIN)
def test_whatever_the_terminal_is_there_is_no_traceback(
    place: Stack, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    Calls(monkeypatch)
    for words, run in EVERY.items():
        as_it_needs(place, run)
        found = forked((*words, *run.words), PLAIN[kind])
        assert found.code in set(Exit), f"{words}: {found}"
        assert "Traceback" not in found.stderr, f"{words}: {found}"
        if kind == "a full disk" and found.code:
            assert len(found.stderr.splitlines()) == 1, f"{words}: {found}"


WRITERS = {
    ("convert",): {"out.jsonl"},
    ("report",): {f"{NAME}-report/report.{kind}" for kind in ("html", "json", "md")},
    ("rejects", NAME, "--to", "out"): {f"out/{example.dataset('sft', 9).file}.rejects.jsonl"},
    ("schema", "--write", "."): {"experiment.schema.json", "states.md"},
}


def files() -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in Path().rglob("*") if file.is_file()}


@pytest.mark.parametrize("words", WRITERS, ids=" ".join)
def test_a_file_is_written_whole_or_not_at_all(place: Stack, words: tuple[str, ...]) -> None:
    command = (*words, *(EVERY[words].words if words in EVERY else ()))
    before = files()
    for size in (0, 1, 1000):
        limits = (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        found = forked(command, lambda at=limits: resource.setrlimit(resource.RLIMIT_FSIZE, at))
        assert (found.code, len(found.stderr.splitlines())) == (Exit.FAILED, 1), found
        assert "File too large; make room" in found.stderr
        assert files() == before
    assert forked(command, lambda: None).code == 0
    whole = files()
    assert whole.keys() - before.keys() == WRITERS[words]
    assert forked(command, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))).code == 1
    assert files() == whole


def test_a_folder_that_takes_nothing_is_a_line(place: Stack) -> None:
    Path("taken").write_text("")
    for command in (("report", NAME, "--to", "taken/report"), ("report", NAME, "--to", "/proc/x")):
        result = novaloop(*command)
        assert result.exit_code == Exit.FAILED
        assert result.stderr.startswith(f"novaloop: {command[-1]}")


@pytest.mark.parametrize("target", ["/dev/null", "/dev/full", "fifo", "link"])
def test_only_a_file_gives_way_to_what_is_converted(place: Stack, target: str) -> None:
    os.mkfifo("fifo")
    Path("link").symlink_to("fifo")
    for name in ("null", "full"):
        assert Path(f"/dev/{name}").is_char_device()
    result = novaloop("convert", "new/sft.csv", target, "--method", "sft")
    assert (result.exit_code, "is no file" in result.stderr) == (Exit.REFUSED, True)
    for name in ("null", "full"):
        assert Path(f"/dev/{name}").is_char_device()


def test_what_a_link_points_to_is_written_and_not_the_link(place: Stack) -> None:
    Path("real.jsonl").write_text("")
    Path("link.jsonl").symlink_to("real.jsonl")
    assert novaloop("convert", "new/sft.csv", "link.jsonl", "--method", "sft").exit_code == 0
    assert Path("link.jsonl").is_symlink()
    assert Path("real.jsonl").read_text().count("\n") == 101


ON_THREE_CORES = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from novaloop_cli import ranges
from novaloop_cli.main import main
def wait(*_, **__):
    os.write(1, b".")
    if os.getpid() == first:  # and the others wait for more to do
        time.sleep(60)
first = os.getpid()
ranges.scan, ranges._cores = wait, lambda: 3
ranges.convert_on_all_cores.__defaults__ = (100,)
main(["convert", "new/sft.csv", "out.jsonl", "--method", "sft"])
"""


SLOW_TO_BEGIN = "import os, time; os.register_at_fork(after_in_child=lambda: time.sleep(1))"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(("before", "begun"), [("", "..."), (SLOW_TO_BEGIN, ".")])
def test_ctrl_c_is_told_once_where_several_processes_work(before: str, begun: str) -> None:
    """A terminal sends it to all of them, also to those that have just been made."""
    started = subprocess.Popen(
        [sys.executable, "-c", before + ON_THREE_CORES],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert started.stdout
    assert started.stdout.read(len(begun)) == begun
    os.killpg(started.pid, signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert (started.returncode, told.split()) == (Exit.INTERRUPTED, ["novaloop:", "interrupted"])
    assert not Path("out.jsonl").exists()
