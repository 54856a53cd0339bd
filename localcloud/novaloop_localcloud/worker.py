"""One training job, run as its own process: reads S3, learns or evaluates, writes S3.

Started by the SageMaker stand-in with the job as JSON on standard input. Every change of status
goes to standard output as one JSON object per line; exit status 0 means Completed. Data, logs and
rewards are reached with the credentials of the job's execution role, so its policy has to allow
them; only the escrow bucket belongs to the service and is written with the service's own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from novaloop_localcloud.container import (
    JobError,
)
from novaloop_localcloud.job_io import (
    Container,
    Job,
    tell,
)
from novaloop_localcloud.methods import (
    Files,
    evaluate,
    fine_tune,
    prefer,
    reinforce,
)

if TYPE_CHECKING:
    from collections.abc import Callable


_METHODS: dict[str, Callable[[Container], Files]] = {
    "sft": fine_tune,
    "dpo": prefer,
    "rft": reinforce,
    "evaluation": evaluate,
}


def run(job: Job) -> None:
    """Run one job to its end; raise JobError for whatever its owner can mend."""
    tell(secondary_status="Downloading")
    container = Container(job)
    tell(secondary_status="Training")
    try:
        files = _METHODS[container.recipe.method](container)
    finally:
        container.close()
    tell(secondary_status="Uploading")
    container.write_output(files)


def main() -> int:
    """Read the job from standard input and run it."""
    try:
        run(Job.parse(sys.stdin.read()))
    except JobError as failure:
        tell(failure=str(failure))
        return 1
    except (KeyError, TypeError, BotoCoreError, ClientError) as error:
        tell(failure=f"AlgorithmError: {type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
