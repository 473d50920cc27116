"""Figures as SVG within a page: its colours are those of the page, light or dark, and its text is text.

matplotlib writes every colour as a number. The figures are drawn in colours that stand for the variables of the page's
style sheet, and the numbers are then replaced by those.
"""

from __future__ import annotations

import io
import re
from typing import Any

from gpu_logreg.reports.content import Figure, Series

__all__ = ["N_COLOURS", "svg_of"]

N_COLOURS = 8
"""Colours of the style sheet for series: ``--s0`` to ``--s7``."""

_INK, _LINE = "#0a0b01", "#0a0b02"
_VARIABLES = {_INK: "var(--ink)", _LINE: "var(--line)"} | {f"#0a0c0{k}": f"var(--s{k})" for k in range(N_COLOURS)}

_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D")

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gpu-logreg",
    "text.parse_math": False,  # names of classes and columns may hold a dollar
    "font.family": "sans-serif",
    "font.size": 11.0,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    "legend.facecolor": "none",
    "legend.edgecolor": _LINE,
    "grid.color": _LINE,
    "axes.grid": True,
    "grid.linewidth": 0.5,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def svg_of(figure: Figure, prefix: str) -> str:
    """The ``<svg>`` element of a figure.

    Parameters
    ----------
    figure : Figure
    prefix : str
        Of the ids in it, which are to be distinct within a page.
    """
    import matplotlib
    from matplotlib import figure as drawn

    with matplotlib.rc_context(_STYLE):
        height = max(3.6, 1.0 + 0.24 * len(figure.names))
        canvas = drawn.Figure(figsize=(5.2, height), layout="constrained")
        axes = canvas.subplots()
        for number, series in enumerate(figure.series):
            _draw(axes, series, number)
        _label(axes, figure)
        file = io.StringIO()
        canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return _within_page(file.getvalue(), figure, prefix)


def _draw(axes: Any, series: Series, number: int) -> None:
    label, colour = series.name or None, f"#0a0c0{number % N_COLOURS}"
    dashes, marker = _DASHES[number % len(_DASHES)], _MARKERS[number % len(_MARKERS)]
    if series.kind == "guide":
        axes.plot(series.x, series.y, color=_INK, linewidth=0.8, linestyle=":", label=label)
    elif series.kind == "points":
        axes.plot(series.x, series.y, color=colour, marker=marker, linestyle="none", label=label)
    else:
        style = "steps-post" if series.kind == "steps" else "default"
        few = len(series.x) <= 30
        axes.plot(
            series.x,
            series.y,
            color=colour,
            linestyle=dashes,
            linewidth=1.8,
            drawstyle=style,
            marker=marker if few and series.kind == "line" else None,
            markersize=4,
            label=label,
        )
    if len(series.low):
        axes.hlines(series.y, series.low, series.high, color=colour, linewidth=1.4)


def _label(axes: Any, figure: Figure) -> None:
    axes.set(xlabel=figure.x_label, ylabel=figure.y_label)
    if figure.is_unit:
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if figure.log_y:
        axes.set_yscale("log")
    if figure.log_x:
        axes.set_xscale("log")
    if figure.names:
        axes.set_yticks(range(len(figure.names)), figure.names)
        axes.invert_yaxis()
    if any(series.name for series in figure.series):
        beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(figure.series) > 3 else {}
        axes.legend(fontsize=9, **beside)


def _within_page(text: str, figure: Figure, prefix: str) -> str:
    """What matplotlib wrote as an element of a page: without prolog and size, with ids and colours of the page."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', text)
    for number, variable in _VARIABLES.items():
        text = text.replace(number, variable)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 sans-serif", text)
    head, _, rest = text.partition(">")
    (box,) = re.findall(r'viewBox="[^"]*"', head)
    names = f'role="img" aria-labelledby="{prefix}-title" aria-describedby="{prefix}-words"'
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {space} {box} {names}>{rest}"
