"""What each function is told by its environment; a wrong one fails at the cold start, by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from novaloop.experiment.names import MAX_PREFIX
from novaloop.experiment.spec.defaults import SpecDefaults


class Settings(BaseModel):
    """Read from environment variables of the fields' names in upper case."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Validate the variables. Raises pydantic's ValidationError naming each that is wrong."""
        return cls.model_validate({name.lower(): value for name, value in environment.items()})


class TableSettings(Settings):
    """The experiments table and where it is."""

    aws_region: str
    table_name: str


class BucketSettings(TableSettings):
    """The application's bucket too."""

    bucket_name: str


class IngestSettings(BucketSettings):
    """From which size on a file is big, and what converts it."""

    big_file_bytes: int = Field(ge=1_000_000)
    big_files_arn: str


class StackSettings(Settings):
    """Which stack this is: by what it finds what bills."""

    stack_name: str
    job_name_prefix: str = Field(pattern=rf"^[a-z0-9]{{1,{MAX_PREFIX}}}$")


class SweeperSettings(BucketSettings, StackSettings):
    """What the sweep hands on to."""

    hint_queue_url: str
    ingest_function_name: str
    topic_arn: str
    ending_role_arn: str


class ControllerSettings(SweeperSettings):
    """Everything that launching needs."""

    metrics_function_name: str
    execution_role_arn: str
    bedrock_role_arn: str
    reward_function_arn: str
    start_delay_seconds: float = Field(ge=0, le=900)
    look_seconds: float = Field(ge=1, le=3600)
    lag_seconds: float = Field(ge=1, le=3600)
    default_approval: Literal["auto", "manual"]
    default_budget_usd: float = Field(ge=0)
    default_gate: Literal["none", "better-than-baseline"]
    output_kms_key_arn: str = ""
    subnet_ids: str = ""
    security_group_ids: str = ""
    image_repository_arns: str = ""
    processor_function_arns: str = ""
    reward_function_arns: str = ""

    @property
    def start_delay(self) -> timedelta:
        """How long an experiment waits for a newer upload before it starts."""
        return timedelta(seconds=self.start_delay_seconds)

    @property
    def defaults(self) -> SpecDefaults:
        """What holds for what an experiment's settings leave out."""
        named = self.default_approval, self.default_budget_usd, self.default_gate
        return SpecDefaults.of_parameters(*named)

    @property
    def look_every(self) -> timedelta:
        """How long goes without a look what no event tells of."""
        return timedelta(seconds=self.look_seconds)

    @property
    def lag(self) -> timedelta:
        """How far AWS's answers may be behind."""
        return timedelta(seconds=self.lag_seconds)
