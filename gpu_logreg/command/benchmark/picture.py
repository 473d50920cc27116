"""The figures of ``gpu-logreg bench`` as one picture in SVG."""

from __future__ import annotations

import io
from typing import Any

from gpu_logreg.command.benchmark.measurements import Measurements

__all__ = ["picture_of"]

_COLOURS = {"reference": "#b35806", "cpu": "#2166ac", "cuda": "#1b7837", "cublas": "#762a83"}
"""Of the engines; told apart by readers who see no difference of red and green, too."""

_MARKERS = {"float32": "o", "float64": "s", "float16": "^", "uint8": "v"}


def picture_of(found: Measurements) -> bytes:
    """An SVG file: shares of the read rate by width, times of fits, and of those on the CPU and on a GPU."""
    import matplotlib
    from matplotlib.figure import Figure

    panels = [
        (draw, something)
        for draw, something in ((_passes, found.passes), (_fits, found.fits), (_devices, found.devices))
    ]
    drawn = [draw for draw, something in panels if something]
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gpu-logreg", "font.size": 9}):
        figure = Figure(figsize=(8.0, 3.6 * len(drawn)), layout="constrained")
        for draw, axes in zip(drawn, figure.subplots(len(drawn), squeeze=False)[:, 0], strict=True):
            draw(axes, found)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _passes(axes: Any, found: Measurements) -> None:
    series: dict[tuple[str, str, str], list[tuple[int, float, float, float]]] = {}
    for item in found.passes:
        for engine, share in item.shares.items():
            if item.storage in _MARKERS:
                points = series.setdefault((item.device, engine, item.storage), [])
                points.append((item.d, share.median, share.low, share.high))
    for (device, engine, storage), points in series.items():
        d, median, low, high = zip(*points, strict=True)
        below = [m - lower for m, lower in zip(median, low, strict=True)]
        above = [upper - m for m, upper in zip(median, high, strict=True)]
        axes.errorbar(
            d,
            median,
            [below, above],
            color=_COLOURS[engine],
            marker=_MARKERS[storage],
            linestyle="-" if device == "cpu" else "--",
            capsize=2,
            label=f"{engine}, {storage}, {device}",
        )
    axes.set(xscale="log", xlabel="columns", ylabel="rate over that of a plain read", ylim=(0, None))
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set_title("One pass over the rows: median and quartiles")
    axes.legend(fontsize=7, ncols=2)


def _fits(axes: Any, found: Measurements) -> None:
    names = [f"{item.n:,} x {item.d:,}, {item.problem}" for item in found.fits]
    medians = [item.seconds.median for item in found.fits]
    errors = [
        [item.seconds.median - item.seconds.low for item in found.fits],
        [item.seconds.high - item.seconds.median for item in found.fits],
    ]
    bars = axes.barh(names, medians, xerr=errors, color="#2166ac", ecolor="black", capsize=2)
    axes.bar_label(bars, [f"{item.plain_reads.median:,.0f} plain reads" for item in found.fits], padding=8, fontsize=7)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="seconds")
    axes.margins(x=0.25)
    axes.set_title("Fits with the defaults: median and quartiles")


def _devices(axes: Any, found: Measurements) -> None:
    n = [item.n for item in found.devices]
    for name, colour in (("cpu", _COLOURS["cpu"]), ("gpu", _COLOURS["cuda"])):
        times = [getattr(item, name) for item in found.devices]
        errors = [[t.median - t.low for t in times], [t.high - t.median for t in times]]
        axes.errorbar(n, [t.median for t in times], errors, color=colour, marker="o", capsize=2, label=name.upper())
    axes.set(xscale="log", yscale="log", xlabel=f"rows of {found.devices[0].d} columns", ylabel="seconds of a fit")
    if found.crossover is not None:
        axes.axvline(found.crossover, color="grey", linewidth=0.8)
    axes.set_title("Fits on the CPU and on the GPU")
    axes.legend()
