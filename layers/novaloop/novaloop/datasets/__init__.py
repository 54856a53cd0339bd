"""Datasets: from what a user uploads to the exact rows that Nova's jobs read."""

from .card import card_html, dataset_card
from .checks import Check, Finding, Policy, check_datasets
from .convert import Sink, Source, convert
from .errors import DatasetRefused
from .options import DatasetOptions, RowFormat, SourceFormat
from .profile import DatasetProfile
from .split import Split, SplitSummary, convert_split
from .summary import DatasetSummary, OutputSummary

__all__ = [
    "Check",
    "DatasetOptions",
    "DatasetProfile",
    "DatasetRefused",
    "DatasetSummary",
    "Finding",
    "OutputSummary",
    "Policy",
    "RowFormat",
    "Sink",
    "Source",
    "SourceFormat",
    "Split",
    "SplitSummary",
    "card_html",
    "check_datasets",
    "convert",
    "convert_split",
    "dataset_card",
]
