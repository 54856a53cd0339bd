"""Novaloop: an event-driven serverless controller for customizing Amazon Nova models."""
