"""The report of an experiment, or of what is compared: as JSON content, HTML page and Markdown."""

from novaloop.reports.content import comparison, report
from novaloop.reports.pages import comparison_html, comparison_markdown, html, markdown
from novaloop.reports.schema import ComparisonReport, Report

__all__ = [
    "ComparisonReport",
    "Report",
    "comparison",
    "comparison_html",
    "comparison_markdown",
    "html",
    "markdown",
    "report",
]
