"""Service Quotas for SageMaker's machines: what an account may use, and what it has asked for.

A quota is `GRANTED` unless the fault `quota` says another value by its name; the fault
`quota-request` is an increase that AWS has yet to grant. Shapes and bounds: botocore's model.
Names of quotas: https://docs.aws.amazon.com/general/latest/gr/sagemaker.html
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any

import botocore.session

from novaloop_localcloud.host import Response, emulator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from novaloop_localcloud.sagemaker.faults import Faults

GRANTED = 20
USES = ("training job usage", "endpoint usage")
MOST_RESULTS = 100
_HEADERS = {"Content-Type": "application/x-amz-json-1.1"}


class ServiceQuotas:
    """The service as the emulator sees it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        model = botocore.session.get_session().get_service_model("sagemaker")
        types: Any = model.shape_for("TrainingInstanceType")
        self._names = sorted(f"{name} for {use}" for name in types.enum for use in USES)

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        """Answer one HTTP request."""
        del method, path
        return await asyncio.to_thread(self._answer, headers, body, query)

    def _answer(
        self, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Response:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        answers = {
            "ListServiceQuotas": ("Quotas", self._quotas),
            "ListRequestedServiceQuotaChangeHistory": ("RequestedQuotas", self._requests),
        }
        if operation not in answers:
            return _error("UnknownOperationException", f"The stand-in does not do {operation}.")
        denied = emulator.denial(headers, query, f"servicequotas:{operation}", "*")
        if denied is not None:
            return _error("AccessDeniedException", denied)
        request = json.loads(body)
        if request["ServiceCode"] != "sagemaker":
            return _error("NoSuchResourceException", "The stand-in knows SageMaker's alone.")
        name, listed = answers[operation]
        start, most = int(request.get("NextToken", 0)), request.get("MaxResults", MOST_RESULTS)
        found = listed()
        answer: dict[str, Any] = {name: found[start : start + most]}
        if start + most < len(found):
            answer["NextToken"] = str(start + most)
        return 200, _HEADERS, json.dumps(answer).encode()

    def _quotas(self) -> list[dict[str, Any]]:
        return [self._quota(name) for name in self._names]

    def _quota(self, name: str) -> dict[str, Any]:
        fault = self._faults.strike("quota", name)
        value = float(fault.outcome) if fault else GRANTED
        return {**_named(name), "Value": value, "Adjustable": True}

    def _requests(self) -> list[dict[str, Any]]:
        asked = ((name, self._faults.strike("quota-request", name)) for name in self._names)
        return [
            {**_named(name), "DesiredValue": float(fault.outcome), "Status": "CASE_OPENED"}
            for name, fault in asked
            if fault
        ]


def _named(name: str) -> dict[str, str]:
    code = f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"
    return {"ServiceCode": "sagemaker", "QuotaName": name, "QuotaCode": code}


def _error(code: str, message: str) -> Response:
    return 400, _HEADERS, json.dumps({"__type": code, "Message": message}).encode()
