"""Charts for the reports, as inline SVG that takes its text colour from the page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    import numpy
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# Told apart by people who see no red or green (Okabe and Ito 2008), on light and on dark pages.
PALETTE = ("#3b82c4", "#e08a1e", "#2a9d74", "#c25ba0", "#8d7b3c", "#6f6fd0")
# A colour that no chart uses otherwise; the page's own text colour takes its place.
_TEXT = "#010203"
_SIZE = (6.4, 3.4)
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kfp-llm-tuning",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": "#8b95a3",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "grid.color": "#8b95a3",
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


def histogram(
    values: Sequence[int] | NDArray[numpy.int64],
    title: str,
    x_label: str,
    y_label: str,
    limit: int | None = None,
    bins: int = 30,
) -> str:
    """Draws how often whole numbers occur.

    Args:
        values: What to count; an empty sequence gives an empty chart.
        title: Above the chart.
        x_label: The values' name and unit.
        y_label: What has these values.
        limit: Drawn as a vertical line, where given.
        bins: Most columns; each holds as many whole numbers as every other.

    Returns:
        An ``<svg>`` element.
    """
    with rc_context(_STYLE):
        figure, axes = _chart(title, x_label, y_label)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        if len(values):
            axes.hist(values, bins=_edges(min(values), max(values), bins), color=PALETTE[0])
        if limit is not None:
            axes.axvline(limit, color=PALETTE[1], linestyle="--", label=f"limit {limit:,.0f}")
            axes.legend()
        return _svg(figure, title)


def bars(labels: Sequence[str], values: Sequence[float], title: str, x_label: str = "") -> str:
    """Draws one horizontal bar a label, the first on top.

    Args:
        labels: Names, shortened to 40 characters.
        values: One length a label.
        title: Above the chart.
        x_label: The values' name and unit.

    Returns:
        An ``<svg>`` element.
    """
    names = [label if len(label) <= 40 else label[:39] + "…" for label in labels]
    with rc_context(_STYLE):
        figure, axes = _chart(title, x_label, "", height=max(1.6, 0.28 * len(names) + 1.0))
        positions = range(len(names))
        axes.barh(positions, values, color=PALETTE[0])
        axes.xaxis.set_major_locator(MaxNLocator(integer=all(v == int(v) for v in values)))
        axes.set_yticks(positions, names)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        return _svg(figure, title)


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    x_label: str,
    y_label: str,
) -> str:
    """Draws one line a series.

    Args:
        series: The x and the y values of each name.
        title: Above the chart.
        x_label: Name and unit of x.
        y_label: Name and unit of y.

    Returns:
        An ``<svg>`` element.
    """
    with rc_context(_STYLE):
        figure, axes = _chart(title, x_label, y_label)
        for number, (name, (xs, ys)) in enumerate(series.items()):
            marker = "o" if len(xs) <= 25 else None
            color = PALETTE[number % len(PALETTE)]
            axes.plot(xs, ys, label=name, color=color, marker=marker, markersize=4)
        if len(series) > 1:
            axes.legend()
        return _svg(figure, title)


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draws counts of true against predicted labels.

    Args:
        matrix: Square; row = true label, column = predicted label.
        labels: One name a row.

    Returns:
        An ``<svg>`` element.
    """
    size = max(3.6, 0.42 * len(labels) + 2.0)
    names = [label if len(label) <= 18 else label[:17] + "…" for label in labels]
    with rc_context(_STYLE):
        figure, axes = _chart("Confusion matrix", "predicted", "true", width=size, height=size)
        axes.grid(visible=False)
        axes.imshow(matrix, cmap="Blues", vmin=0)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
        axes.set_yticks(range(len(names)), names)
        most = max((count for row in matrix for count in row), default=0)
        for y, row in enumerate(matrix):
            for x, count in enumerate(row):
                if count:
                    ink = "#ffffff" if count > most / 2 else "#10233a"
                    axes.text(x, y, f"{count:,}", ha="center", va="center", color=ink, fontsize=9)
        return _svg(figure, "Confusion matrix")


def _edges(low: int, high: int, most: int) -> list[float]:
    """Cuts between whole numbers, so that no column holds more of them than its neighbours."""
    width = -(-(high - low + 1) // most)
    return [edge - 0.5 for edge in range(low, high + width + 1, width)]


def _chart(
    title: str, x_label: str, y_label: str, width: float = _SIZE[0], height: float = _SIZE[1]
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(_TEXT, "currentColor")
