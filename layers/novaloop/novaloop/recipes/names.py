"""What SageMaker and Bedrock accept as a name."""

from __future__ import annotations

import re

# SageMaker's pattern for training-job, model, endpoint-config and endpoint names.
LEGAL_NAME = re.compile(r"(?=.{1,63}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*")
# Bedrock's pattern for models and deployments; its limit of 63 counts the separators.
LEGAL_BEDROCK_NAME = re.compile(r"(?=.{1,63}$)(?:[0-9a-zA-Z][_-]?)+")


def bedrock_name(name: str) -> str:
    """Return a SageMaker name for Bedrock, which forbids hyphens in a row."""
    return re.sub("--+", "_", name)


def sagemaker_name(name: str) -> str:
    """Return a name of Bedrock's as it was for SageMaker, which knows no underscores."""
    return name.replace("_", "--")
