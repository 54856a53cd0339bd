"""Novaloop: an event-driven serverless controller for customizing Amazon Nova models."""

__version__ = "0.2.0.dev0"
