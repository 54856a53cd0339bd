"""The report of an experiment: as JSON content, as one HTML page, as Markdown."""

from novaloop.reports.content import Report, report
from novaloop.reports.pages import html, markdown

__all__ = ["Report", "html", "markdown", "report"]
