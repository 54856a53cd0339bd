"""Novaloop: an event-driven serverless controller for customizing Amazon Nova models."""

__version__ = "0.1.0"
