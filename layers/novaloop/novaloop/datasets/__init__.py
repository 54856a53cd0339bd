"""Datasets: from what a user uploads to the exact rows that Nova's jobs read."""

from .convert import Sink, Source, convert
from .errors import DatasetRefused
from .options import DatasetOptions, RowFormat, SourceFormat
from .split import Split, SplitSummary, convert_split
from .summary import DatasetSummary, OutputSummary

__all__ = [
    "DatasetOptions",
    "DatasetRefused",
    "DatasetSummary",
    "OutputSummary",
    "RowFormat",
    "Sink",
    "Source",
    "SourceFormat",
    "Split",
    "SplitSummary",
    "convert",
    "convert_split",
]
