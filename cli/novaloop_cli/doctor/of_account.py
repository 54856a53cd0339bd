"""Checks of the account: what its quotas allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from novaloop.experiment.planning import Quota
from novaloop_cli.doctor.findings import Finding, fine, stops, warns

NEW_ACCOUNT = 10
"""How many functions Lambda runs at once for a new account (Lambda's user guide, Quotas)."""


def machines(quotas: Sequence[Quota], client: Any) -> Iterator[Finding]:
    """Whether SageMaker's quotas allow the machines of a plan."""
    if not quotas:
        yield fine("the plan needs no machines of a quota")
        return
    pages = client.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    found = {each["QuotaName"]: each for page in pages for each in page["Quotas"]}
    asked = _asked_for(client)
    for quota in quotas:
        there = found.get(quota.name)
        if there is None:
            what = f"SageMaker has no quota named {quota.name} in this region"
            yield stops(what, "choose another region or instance type")
            continue
        value, code = int(there["Value"]), there["QuotaCode"]
        told = f"{quota.name} ({code}): {value}, and the plan needs {quota.needed}"
        if value < quota.needed:
            yield stops(told, _remedy(quota, code, asked.get(code)))
        elif (quota.needed_to_update or 0) > value:
            what = f"{told}, or {quota.needed_to_update} where its lasting endpoint serves already"
            yield warns(what, _remedy(quota, code, asked.get(code)))
        else:
            yield fine(told)


def _asked_for(client: Any) -> dict[str, float]:
    """Return the values that were asked for and not yet granted, by the codes of quotas."""
    pages = client.get_paginator("list_requested_service_quota_change_history").paginate(
        ServiceCode="sagemaker"
    )
    return {
        each["QuotaCode"]: each["DesiredValue"]
        for page in pages
        for each in page["RequestedQuotas"]
        if each["Status"] in {"PENDING", "CASE_OPENED"}
    }


def _remedy(quota: Quota, code: str, asked: float | None) -> str:
    needed = max(quota.needed, quota.needed_to_update or 0)
    if asked is not None and asked >= needed:
        return f"{asked:g} were asked for; wait until AWS grants them"
    ask = (
        "`aws service-quotas request-service-quota-increase --service-code sagemaker "
        f"--quota-code {code} --desired-value {needed}`"
    )
    if "training job" in quota.name:
        return f"{ask}; or run it with `runtime: serverless`, which needs no machines"
    return ask


def concurrency(client: Any) -> Iterator[Finding]:
    """Whether Lambda lets enough functions run at once."""
    limit = client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    told = f"Lambda runs {limit:,} functions at once"
    if limit <= NEW_ACCOUNT:
        what = f"{told}, as for a new account: rollouts of a reinforcement fine-tuning need more"
        yield warns(what, "ask for 1,000 in Service Quotas (Lambda, Concurrent executions)")
    else:
        yield fine(told)
