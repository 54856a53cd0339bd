"""The report of an experiment: as JSON content, as one HTML page, as Markdown."""

from novaloop.reports.content import report
from novaloop.reports.pages import html, markdown
from novaloop.reports.schema import Report

__all__ = ["Report", "html", "markdown", "report"]
