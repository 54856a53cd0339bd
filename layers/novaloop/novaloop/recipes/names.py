"""Names of jobs, models and endpoints: always legal, and readable back."""

from __future__ import annotations

import re
from dataclasses import dataclass

# SageMaker's pattern for training-job, model, endpoint-config and endpoint names.
LEGAL_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
# Bedrock's pattern for models and deployments; its limit of 63 counts the separators.
LEGAL_BEDROCK_NAME = re.compile(r"(?=.{1,63}$)(?:[0-9a-zA-Z][_-]?)+")
_PART = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_RESOURCE_NAME = re.compile(
    rf"(?P<prefix>[a-z0-9]+)-(?P<experiment>{_PART})(?:--|_)(?P<stage>{_PART})-(?P<attempt>[1-9][0-9]*)"
)
_LIMITS = {"prefix": 8, "experiment": 32, "stage": 16}


@dataclass(frozen=True)
class ResourceName:
    """One attempt at one stage of one experiment; ``str()`` of it is at most 63 characters."""

    prefix: str
    experiment: str
    stage: str
    attempt: int

    def __post_init__(self) -> None:
        if not 1 <= self.attempt <= 999:
            raise ValueError(f"attempt must be from 1 to 999, not {self.attempt}")
        for part, limit in _LIMITS.items():
            text = getattr(self, part)
            pattern = "[a-z0-9]+" if part == "prefix" else _PART
            if len(text) > limit or not re.fullmatch(pattern, text):
                raise ValueError(
                    f"{part} {text!r} must be at most {limit} lower-case letters, digits"
                    " and single hyphens between them"
                )

    def __str__(self) -> str:
        return f"{self.prefix}-{self.experiment}--{self.stage}-{self.attempt}"

    @property
    def bedrock(self) -> str:
        """The same name for Bedrock's models and deployments, which forbid double hyphens."""
        return str(self).replace("--", "_")

    @classmethod
    def parse(cls, name: str) -> ResourceName:
        """Read a name back.

        Raises:
            ValueError: if it was not made by this class.
        """
        match = _RESOURCE_NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} is not named <prefix>-<experiment>--<stage>-<attempt>")
        return cls(match["prefix"], match["experiment"], match["stage"], int(match["attempt"]))
