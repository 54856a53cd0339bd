"""Thin adapters: the use cases' ports on boto3."""
