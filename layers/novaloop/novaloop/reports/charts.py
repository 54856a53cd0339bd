"""Charts as inline SVG, drawn by pygal and coloured by the page's own style sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pygal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from novaloop.reports.content import Evaluation

_SCRIPTS_AND_STYLES = {"script", "style"}


def class_bars(evaluations: Sequence[Evaluation], labels: Sequence[str]) -> str:
    """Draw strict recall by class, one bar per evaluation, with 95 % intervals."""
    chart = _chart(pygal.Bar, width=640, height=260, range=(0, 1))
    chart.x_labels = list(labels)
    chart.y_labels = [0, 0.25, 0.5, 0.75, 1]
    for evaluation in evaluations:
        if evaluation["score"] and (found := evaluation["score"]["classification"]):
            classes = found["strict"]["classes"]
            chart.add(evaluation["stage"], [_bar(classes[label]["recall"]) for label in labels])
    return _svg(chart)


def _bar(share: Mapping[str, Any]) -> dict[str, Any]:
    interval = {"low": share["low"] or 0, "high": share["high"] or 0}
    return {"value": share["value"] or 0, "ci": interval}


def length_histogram(lengths: Mapping[str, Any], bins: range) -> str:
    """Draw how many answers have which length in characters; right ones apart from wrong ones."""
    edges, counts, right = lengths["bin_edges"], lengths["counts"], lengths["counts_right"]
    chart = _chart(pygal.StackedBar, width=460, height=220)
    chart.x_labels = [_bin_name(edges, index) for index in bins]
    chart.add("exactly right", [right[index] for index in bins])
    chart.add("other", [counts[index] - right[index] for index in bins])
    return _svg(chart)


def common_bins(all_lengths: Sequence[Mapping[str, Any]]) -> range:
    """Return the bins from the first to the last that any of the distributions uses."""
    used = [
        index for lengths in all_lengths for index, count in enumerate(lengths["counts"]) if count
    ]
    return range(min(used, default=0), max(used, default=0) + 1)


def _bin_name(edges: Sequence[int], index: int) -> str:
    holds_one_length = index + 1 < len(edges) and edges[index + 1] == edges[index] + 1
    return f"{edges[index]:,}" if holds_one_length else f"{edges[index]:,}+"


def _chart(kind: Any, **settings: Any) -> Any:
    return kind(
        margin=8,
        js=[],
        css=[],
        no_prefix=True,
        legend_at_bottom=True,
        show_y_guides=True,
        max_scale=5,
        **settings,
    )


def _svg(chart: Any) -> str:
    """Return the drawing alone: pygal's script, style, dated comment and ids stay behind."""
    root = chart.render_tree()
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag in _SCRIPTS_AND_STYLES:
                parent.remove(child)
        parent.attrib.pop("id", None)
    return ElementTree.tostring(root, encoding="unicode")
