"""The pictures of README and ``docs/benchmarks.md``, drawn from rows of ``bench/results/`` and nothing else.

``python bench/pictures.py`` writes ``docs/pictures/NAME-light.svg`` and ``-dark.svg``; `bench/figures.py` calls it with
``--write``. Each file has a digest of what it shows, by which a test knows a picture that newer rows have left behind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recorded import (
    Row,
    above,
    arrived,
    harness_races,
    is_ours,
    label,
    matches,
    newest_run,
    rows_of,
    run_of,
    specification,
)

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
THEMES = {
    "light": {"page": "#ffffff", "ink": "#1f2328", "quiet": "#59636e", "grid": "#d9dee3", "shade": "#f3e9e4"},
    "dark": {"page": "#0d1117", "ink": "#e6edf3", "quiet": "#9198a1", "grid": "#30363d", "shade": "#2a211d"},
}
COLOURS = {
    # name of a solver begins with: colour on light, on dark, marker
    "gpu-logreg": ("#0969da", "#58a6ff", "o"),
    "sklearn lbfgs": ("#bc4c00", "#f0883e", "o"),
    "sklearn newton-cholesky": ("#bc4c00", "#f0883e", "s"),
    "sklearn newton-cg": ("#bc4c00", "#f0883e", "D"),
    "sklearn liblinear": ("#bc4c00", "#f0883e", "^"),
    "sklearn saga": ("#bc4c00", "#f0883e", "v"),
    "sklearn sag": ("#bc4c00", "#f0883e", "P"),
    "intelex": ("#8250df", "#bc8cff", "o"),
    "glum": ("#1a7f37", "#3fb950", "X"),
    "skglm": ("#cf222e", "#ff7b72", "*"),
    "celer": ("#7d4e00", "#d29922", "p"),
    "torch": ("#0b7285", "#39c5cf", "h"),
    "liblinear-multicore": ("#8250df", "#bc8cff", "^"),
    "statsmodels": ("#59636e", "#9198a1", "s"),
    "adelie": ("#cf222e", "#ff7b72", "D"),
    "Vowpal": ("#1a7f37", "#3fb950", "v"),
}
LINES = {"s": "--", "D": "-.", "^": ":", "v": (0, (1, 1.5)), "P": (0, (5, 1.5, 1, 1.5, 1, 1.5))}
WIDTH = 8.0


class Picture:
    """A figure of one theme that is being drawn."""

    def __init__(self, theme: str) -> None:
        self.theme, self.dark = THEMES[theme], theme == "dark"

    def look(self, solver: str) -> tuple[str, str]:
        """Colour and marker of a solver."""
        known = solver.replace("scikit-learn-intelex", "intelex").replace("scikit-learn", "sklearn")
        for name, (light, dark, marker) in COLOURS.items():
            if known.startswith(name):
                return (dark if self.dark else light), marker
        return self.theme["quiet"], "d"

    def line(self, axes: Any, solver: str, points: list[Any]) -> None:
        """A line through the points of a solver; ours is wider."""
        colour, marker = self.look(solver)
        x, y = zip(*points, strict=True)
        axes.plot(
            x,
            y,
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=2.6 if is_ours({"solver": solver}) else 1.6,
            linestyle=LINES.get(marker, "-"),
            label=name_of(solver),
        )

    def axes(self, height: float, panels: int = 1) -> tuple[Any, list[Any]]:
        """A figure and its panels, side by side."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=self.theme["page"])
        found = list(figure.subplots(1, panels, squeeze=False)[0])
        for axes in found:
            axes.set_facecolor(self.theme["page"])
            axes.grid(color=self.theme["grid"], linewidth=0.6)
            axes.set_axisbelow(True)
            axes.tick_params(colors=self.theme["quiet"], which="both", labelsize=9)
            for spine in axes.spines.values():
                spine.set_color(self.theme["grid"])
            for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
                text.set_color(self.theme["ink"])
        return figure, found

    def legend(self, figure: Any, axes: Any, named: dict[str, Any] | None = None) -> None:
        """Names of what is drawn, above it, where they hide nothing."""
        if named is None:
            handles, names = axes.get_legend_handles_labels()
            named = dict(zip(names, handles, strict=True))
        figure.legend(
            named.values(),
            named,
            loc="outside upper center",
            ncols=4,
            fontsize=9,
            frameon=False,
            labelcolor=self.theme["ink"],
        )


def name_of(solver: str) -> str:
    """As a reader knows it: scikit-learn's solvers by its name, without what a run adds."""
    solver = solver.partition(",")[0]
    if solver.startswith("intelex"):
        return "Intel's extension, " + solver.removeprefix("intelex ")
    return solver.replace("sklearn ", "scikit-learn ")


def draw_paths(picture: Picture, rows: list[Row]) -> Any:
    """How far above the minimum, by time: each solver a line, its name at the end of it."""
    figure, (axes,) = picture.axes(4.2)
    for solver in dict.fromkeys(row["solver"] for row in rows):
        points = sorted((float(row["seconds"]), max(above(row), 1e-15)) for row in rows if row["solver"] == solver)
        # A fit that took longer and ended higher than another of the same solver says nothing new.
        best = [p for i, p in enumerate(points) if all(p[1] < q[1] for q in points[:i])]
        picture.line(axes, solver, best)
    first = rows[0]
    clock = (
        "seconds" if first.get("clock", "wall") == "wall" else f"seconds of the processor, {first['threads']} thread"
    )
    axes.set(
        xscale="log", yscale="log", ylim=(3e-16, 5), xlabel=clock, ylabel="objective above the minimum, relatively"
    )
    axes.set_title(f"{int(first['n']):,} x {first['d']}, correlated columns of mixed scales, ridge, C = 1", fontsize=11)
    picture.legend(figure, axes)
    return figure


def problems_of(tables: list[str]) -> list[tuple[str, list[Row]]]:
    """The problems of some tables of the documents: a label, and the rows of its newest run, ours first."""
    found = []
    for name in tables:
        spec = next(table for table in specification()["table"] if table["name"] == name)
        previous = ""
        for entry in spec["rows"]:
            where = spec.get("where", {}) | entry.get("where", {})
            rows = rows_of(entry.get("file", spec.get("file")))
            ours = newest_run(rows, where | spec["columns"][0]["where"])[-1]
            sparse = ours["solver"].endswith(", sparse")
            run = {r["solver"]: r for r in rows if run_of(r) == run_of(ours) and matches(r, where)}
            race = [r for r in run.values() if r["solver"].endswith(", sparse") == sparse and not is_ours(r)]
            text = label(entry.get("label", spec.get("label", "")), where).removesuffix(", float32")
            if text.startswith("the same"):
                text = previous.partition(", C =")[0] + text.removeprefix("the same")
            previous = text
            text = spec.get("picture", "{}").format(text)
            found.append((text, [ours, *race]))
    return found


def harness() -> list[tuple[str, list[Row]]]:
    """The problems of ``make bench``, and who came to the minimum."""
    return [(ours["problem"], [ours, *(row for row in others if row["per_ours"])]) for ours, others in harness_races()]


def draw_peers(picture: Picture, problems: list[tuple[str, list[Row]]]) -> Any:
    """Time of each peer over ours, by problem; on the left of the line at 1 the peer is faster."""
    figure, (axes,) = picture.axes(1.5 + 0.27 * len(problems))
    most = 1000.0
    axes.axvspan(0.1, 1.0, color=picture.theme["shade"], zorder=0)
    axes.axvline(1.0, color=picture.look("gpu-logreg")[0], linewidth=2, zorder=1)
    seen: dict[str, Any] = {}
    for k, (_, rows) in enumerate(problems):
        for row in rows[1:]:
            colour, marker = picture.look(row["solver"])
            ended = row.get("note") == "ended at the limit"
            full = arrived(row) and not ended
            (dot,) = axes.plot(
                min(float(row["per_ours"]), most),
                k,
                marker=">" if ended else marker,
                markersize=9 if marker == "*" else 6.5,
                color=colour,
                markerfacecolor=colour if full else picture.theme["page"],
                linestyle="none",
                zorder=3,
            )
            if full or name_of(row["solver"]) not in seen:
                seen[name_of(row["solver"])] = dot
    axes.set(xscale="log", xlim=(0.4, 1.3 * most), ylim=(len(problems) - 0.4, -0.6))
    axes.set_yticks(range(len(problems)), [text for text, _ in problems], color=picture.theme["ink"])
    axes.set_xticks([0.5, 1, 2, 5, 10, 100, 1000], ["0.5", "1", "2", "5", "10", "100", "1,000"])
    axes.minorticks_off()
    figure.supxlabel(
        "time over that of gpu-logreg; shaded: the other is faster\nhollow: ended above the minimum; >: was stopped",
        fontsize=10,
        color=picture.theme["ink"],
    )
    picture.legend(figure, axes, seen)
    return figure


def draw_passes(picture: Picture, rows: list[Row]) -> Any:
    """Share of the rate of a plain read, by width: a panel for each engine, a line for each storage."""
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    figure, panels = picture.axes(3.6, len(engines))
    looks = {"float32": "sklearn lbfgs", "float64": "gpu-logreg", "uint8": "glum", "float16": "intelex"}
    for axes, engine in zip(panels, engines, strict=True):
        for storage, like in looks.items():
            points = [row for row in rows if row["engine"] == engine and row["storage"] == storage]
            x, y = [int(row["d"]) for row in points], [100 * float(row["share"]) for row in points]
            low = [100 * (float(row["share"]) - float(row["low"])) for row in points]
            high = [100 * (float(row["high"]) - float(row["share"])) for row in points]
            colour, marker = picture.look(like)
            axes.errorbar(
                x, y, [low, high], color=colour, marker=marker, markersize=5, capsize=2, linewidth=1.8, label=storage
            )
        axes.axhline(100, color=picture.theme["quiet"], linewidth=1)
        axes.set(xscale="log", xlabel="columns", ylim=(0, 125))
        axes.set_title(
            {"cpu": "compiled pass (cpu)", "reference": "two reads by NumPy (reference)"}.get(engine, engine),
            fontsize=11,
        )
    panels[0].set_ylabel("% of the rate of a plain read")
    picture.legend(figure, panels[0])
    return figure


def scaling() -> list[Row]:
    last = {(row["n"], row["d"], row["solver"]): row for row in newest_run(rows_of("scaling"), {})}
    return list(last.values())


def draw_scaling(picture: Picture, rows: list[Row]) -> Any:
    """Seconds of a fit against rows, and against columns."""
    figure, panels = picture.axes(3.8, 2)
    for axes, (moving, still) in zip(panels, ("nd", "dn"), strict=True):
        values = [row[still] for row in rows]
        usual = max(set(values), key=lambda value: len({row[moving] for row in rows if row[still] == value}))
        for solver in dict.fromkeys(row["solver"] for row in rows):
            points = sorted(
                (int(row[moving]), float(row["seconds"]))
                for row in rows
                if row["solver"] == solver and row[still] == usual
            )
            picture.line(axes, solver, points)
        axes.set(xscale="log", yscale="log", xlabel={"n": "rows", "d": "columns"}[moving])
        axes.set_title({"n": f"{int(usual):,} columns", "d": f"{int(usual):,} rows"}[moving], fontsize=11)
    panels[0].set_ylabel("seconds to within 1e-8 of the minimum")
    picture.legend(figure, panels[0])
    return figure


SOME = ["summary"]
ALL = ["normal-columns", "correlated-columns", "classes", "sparse", "l1", "l1-sparse", "l1-columns"]
DRAWINGS: dict[str, tuple[Callable[[], list[Any]], Callable[[Picture, list[Any]], Any]]] = {
    "paths": (lambda: newest_run(rows_of("paths"), {}), draw_paths),
    "peers": (lambda: problems_of(SOME), draw_peers),
    "all-peers": (lambda: problems_of(ALL), draw_peers),
    "harness": (harness, draw_peers),
    "passes": (lambda: newest_run(rows_of("shares"), {}), draw_passes),
    "scaling": (scaling, draw_scaling),
}


def digest(content: list[Any]) -> str:
    """What a picture shows, in a few letters."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write(folder: Path = PICTURES) -> list[Path]:
    """Draw all pictures that there are rows for, in both themes."""
    import matplotlib

    folder.mkdir(exist_ok=True)
    written = []
    settings = {"svg.hashsalt": "gpu-logreg", "font.size": 10, "svg.fonttype": "path"}
    for name, (rows, draw) in DRAWINGS.items():
        content = rows()
        for theme in THEMES if content else ():
            with matplotlib.rc_context(settings):
                figure = draw(Picture(theme), content)
                path = folder / f"{name}-{theme}.svg"
                figure.savefig(path, metadata={"Date": None, "Creator": None, "Description": f"rows {digest(content)}"})
            written.append(path)
    return written


if __name__ == "__main__":
    print(*write(), sep="\n")
