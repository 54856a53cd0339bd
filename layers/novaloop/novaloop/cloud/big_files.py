"""The state machine that converts big files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions.client import SFNClient


class BigFileMachine:
    """Executions of the state machine; implements the port `BigFiles`."""

    def __init__(self, states: SFNClient, arn: str, smallest: int) -> None:
        self._states = states
        self._arn = arn
        self.smallest = smallest

    def start(self, name: str, request: Mapping[str, object]) -> bool:
        """Start an execution, unless there was one of that name; say whether it runs now.

        A running one of the same name and input is answered as if it began now. Source:
        https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html.
        """
        try:
            self._states.start_execution(
                stateMachineArn=self._arn, name=name, input=json.dumps(request)
            )
        except self._states.exceptions.ExecutionAlreadyExists:
            return False
        return True

    def runs(self, name: str) -> bool | None:
        """Say whether the execution of that name runs; None if none has been started.

        One that was started or has ended a moment ago may not show so yet. Source:
        https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html.
        """
        executions = self._arn.replace(":stateMachine:", ":execution:")
        try:
            told = self._states.describe_execution(executionArn=f"{executions}:{name}")
        except self._states.exceptions.ExecutionDoesNotExist:
            return None
        return told["status"] == "RUNNING"
