"""Put the stand-ins for SageMaker, Bedrock and the Tagging API together, in whichever emulator."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

from novaloop_localcloud.bedrock.jobs import CustomizationJobs
from novaloop_localcloud.bedrock.resources import CustomModels
from novaloop_localcloud.bedrock.service import Bedrock
from novaloop_localcloud.credentials import ADMINISTRATOR
from novaloop_localcloud.host import emulator
from novaloop_localcloud.lag import Lag
from novaloop_localcloud.quotas import ServiceQuotas
from novaloop_localcloud.sagemaker.faults import Faults
from novaloop_localcloud.sagemaker.hosting import Hosting
from novaloop_localcloud.sagemaker.registry import Registry
from novaloop_localcloud.sagemaker.service import SageMaker
from novaloop_localcloud.sagemaker.training_jobs import Setting, TrainingJobs
from novaloop_localcloud.tagging import Tagging

if TYPE_CHECKING:
    from pathlib import Path


class EscrowBucket:
    """The service's own bucket for weights, made when the first job needs it."""

    def __init__(self) -> None:
        self._identifier = uuid.uuid4().hex[:8]
        self._lock = threading.Lock()
        self._name: str | None = None

    def name(self) -> str:
        """The bucket's name, with the account of the current request in it."""
        with self._lock:
            if self._name is None:
                name = f"customer-escrow-{emulator.account_id()}-smtj-{self._identifier}"
                ADMINISTRATOR.session().client("s3").create_bucket(Bucket=name)
                self._name = name
            return self._name


def install(
    directory: Path, *, starting_seconds: float, endpoint_seconds: float, lag: Lag | None = None
) -> None:
    """Let the emulator serve SageMaker, Bedrock, the Tagging API and Service Quotas.

    Planned faults are read from `directory / "faults"`, the jobs' own log is written there. A job
    and an endpoint spend so many seconds before they start; `lag` says how late things show.
    """
    faults, lag = Faults(directory / "faults"), lag or Lag()
    registry = Registry()
    setting = Setting(
        faults, directory, ADMINISTRATOR, starting_seconds, EscrowBucket().name, registry
    )
    hosting = Hosting(faults, endpoint_seconds, registry.package_uri, ADMINISTRATOR)
    jobs = TrainingJobs(setting)
    service = SageMaker(jobs, hosting, registry, faults, lag)
    emulator.register("sagemaker", service.handle, "SageMaker.")
    models = CustomModels(faults, endpoint_seconds, registry.package_uri)
    bedrock = Bedrock(models, CustomizationJobs(setting, models), faults, lag)
    for name in ("bedrock", "bedrock-runtime"):
        emulator.register(name, bedrock.handle)
    tagging = Tagging(lag, jobs.tagged, hosting.tagged, models.tagged)
    emulator.register("servicequotas", ServiceQuotas(faults).handle, "ServiceQuotasV20190624.")
    emulator.register("tagging", tagging.handle, "ResourceGroupsTaggingAPI_20170126")
