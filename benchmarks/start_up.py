"""What each function imports at a cold start, in CPU seconds, against its libraries alone.

Both are imported by fresh interpreters that find bytecode, as in the layer: run once to fill a
cache of it, then RUNS times, of which the fewest CPU seconds count, less those of an interpreter
that imports nothing. `libraries` is what a function's own code is written against, without that
code but for one model, since pydantic loads half of itself with the first. `clients` is what the
first call adds for the clients of AWS that it is sure to use: a look at a running job, a sweep, a
dataset, a score. Exits with 1 if a function that only decides takes more than LIMIT of its
libraries.

    python -m benchmarks.start_up [PYTHON]

PYTHON is another interpreter to measure, with the layer's requirements, such as the functions' own.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.edits import ROOT
from tests.template.stack import REGION, deployed

RUNS = 15
LIMIT = 1.4
"""Held, with room for a busy machine. The aim is 1.2; what lies between is mostly the making of
dataclasses, half a millisecond each, of which the controller has some 95 and the sweeper 45."""
SHARED = """
import boto3
from aws_lambda_powertools import Logger, single_metric
from botocore.config import Config
from pydantic import BaseModel
from pynamodb.connection import Connection
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite
class Settings(BaseModel):
    table_name: str
"""
LIBRARIES = {
    "controller": f"{SHARED}\nfrom aws_lambda_powertools.utilities.batch import BatchProcessor",
    "sweeper": SHARED,
    "ingest": f"{SHARED}\nimport numpy, orjson, rensa, xxhash, yaml",
    "metrics": f"{SHARED}\nimport jinja2, numpy, orjson, pygal, rapidfuzz, yaml",
}
DECIDE = ("controller", "sweeper")
CODE = """
import sys
sys.path[:0] = ["functions/{}", "layers/novaloop"]
import app
"""
CLIENTS = {
    "controller": ("dynamodb", "sagemaker", "logs"),
    "sweeper": ("dynamodb", "s3"),
    "ingest": ("dynamodb", "s3"),
    "metrics": ("dynamodb", "s3"),
}
MADE = """
from novaloop.wiring.clients import USUAL, client
for name in {}:
    client(name, USUAL).meta
"""


def cpu_seconds(python: str, program: str, environment: Mapping[str, str]) -> float:
    """Return the CPU seconds of an interpreter that runs a program."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([python, "-c", program], cwd=ROOT, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def fewest(python: str, programs: Sequence[str], environment: Mapping[str, str]) -> list[float]:
    """Return the fewest CPU seconds that each program took of RUNS.

    In turns, since how fast a machine is changes by the minute. The first turn fills the cache.
    """
    turns = [[cpu_seconds(python, each, environment) for each in programs] for _ in range(RUNS + 1)]
    return [min(taken) for taken in zip(*turns[1:], strict=True)]


def main(python: str = sys.executable) -> int:
    """Print a line for each function; return 1 if one of DECIDE is above LIMIT."""
    table = Table("CPU seconds", "libraries", "function", "ratio", "clients", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    slow, stack = [], deployed()
    with TemporaryDirectory() as cache:
        inherited = {name: value for name, value in os.environ.items() if name[:3] != "AWS"}
        inherited |= {"PYTHONPYCACHEPREFIX": cache, "PYTHONDONTWRITEBYTECODE": ""}
        for name, libraries in LIBRARIES.items():
            given = stack.properties(f"{name.capitalize()}Function")["Environment"]["Variables"]
            environment = inherited | {key: str(value) for key, value in given.items()}
            environment |= {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
            code = CODE.format(name)
            bare, *others = fewest(
                python, ("pass", libraries, code, code + MADE.format(CLIENTS[name])), environment
            )
            alone, function, with_clients = (each - bare for each in others)
            numbers = (alone, function, function / alone, with_clients - function)
            table.add_row(name, *(f"{number:.2f}" for number in numbers))
            if name in DECIDE and function > alone * LIMIT:
                slow.append(name)
    Console(width=80).print(table)
    if slow:
        sys.stderr.write(f"more than {LIMIT} times the libraries: {', '.join(slow)}\n")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
