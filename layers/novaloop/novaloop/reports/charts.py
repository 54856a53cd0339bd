"""Charts as inline SVG, drawn by pygal and coloured by the page's own style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pygal

if TYPE_CHECKING:
    from novaloop.reports.schema import Evaluation

Lines = Mapping[str, Sequence[tuple[int, float]]]
_SCRIPTS_AND_STYLES = {"script", "style"}


def class_bars(evaluations: Sequence[Evaluation], labels: Sequence[str]) -> str:
    """Draw strict recall by class, one bar per evaluation, with 95 % intervals."""
    chart = _chart(pygal.Bar, width=640, height=260, range=(0, 1), y_title="recall")
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


def length_histogram(lengths: Mapping[str, Any], bins: range, most: int) -> str:
    """Draw how many answers have which length in characters; right ones apart from wrong ones.

    most: the top of the scale.
    """
    edges, counts, right = lengths["bin_edges"], lengths["counts"], lengths["counts_right"]
    chart = _chart(
        pygal.StackedBar,
        width=460,
        height=250,
        range=(0, most),
        x_title="characters",
        y_title="answers",
    )
    chart.x_labels = [_bin_name(edges, index) for index in bins]
    chart.add("exactly right", [right[index] for index in bins])
    chart.add("other", [counts[index] - right[index] for index in bins])
    return _svg(chart)


def curve(lines: Lines, scale: tuple[float, float]) -> str:
    """Draw a measurement over the steps, then what goes with it; two extremes become a band.

    scale: from which value to which, the same for all that are compared.
    """
    first, *others = lines.values()
    is_band = len(others) == 2
    drawn = [[*others[0], *reversed(others[1])]] if is_band else others
    chart = _chart(
        pygal.XY,
        width=400,
        height=230,
        show_legend=False,
        show_dots=False,
        range=scale,
        x_title="step",
    )
    chart.config.classes = ("pygal-chart", "band") if is_band else ("pygal-chart",)
    for points in (first, *drawn):
        chart.add("", list(points))
    chart.x_labels = _ticks([step for step, _ in first])
    return _svg(chart)


def reward_histogram(bins: Sequence[tuple[float, int]]) -> str:
    """Draw how many of the logged steps had which mean reward."""
    chart = _chart(
        pygal.Bar,
        width=400,
        height=230,
        show_legend=False,
        x_title="mean reward, from",
        y_title="steps",
    )
    chart.x_labels = [f"{low:.3g}" for low, _ in bins]
    chart.add("", [count for _, count in bins])
    return _svg(chart)


def _ticks(steps: Sequence[int]) -> list[int]:
    """Return the first step, the last and the middle."""
    return sorted({steps[0], steps[len(steps) // 2], steps[-1]})


def common_scale(all_lines: Iterable[Lines]) -> tuple[float, float]:
    """Return the lowest and the highest value of all; a little apart where there is but one."""
    values = [value for lines in all_lines for line in lines.values() for _, value in line]
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


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
