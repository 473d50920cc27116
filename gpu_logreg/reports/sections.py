"""The sections of a report on the scores of labelled rows, and on a fit and its coefficients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.reports.content import Facts, Figure, Item, Section, Series, Table, Text
from gpu_logreg.reports.drawing import N_COLOURS
from gpu_logreg.reports.scores import (
    BinaryCurves,
    Calibration,
    Labelled,
    binary_curves,
    calibration,
    thinned,
    thresholds,
)

__all__ = ["Coefficients", "coefficient_section", "fit_section", "score_facts", "score_sections"]

MOST_SHOWN = 12
"""Classes whose confusion matrix is shown whole, and mistakes that are listed for more classes."""

MOST_COEFFICIENTS = 20
"""Coefficients that are shown, the largest."""


def score_facts(rows: Labelled) -> dict[str, str]:
    """Number of rows, accuracy, areas, log loss and Brier score, as texts by name."""
    facts = {"rows": f"{rows.n_rows:,}", "accuracy": f"{rows.accuracy:.4f}", "log loss": f"{rows.log_loss:.5f}"}
    if len(rows.classes) != 2:
        return facts
    curves = binary_curves(rows, 1)
    total = rows.weight_of(0) + rows.weight_of(1)
    facts[f"share of {rows.classes[1]}"] = f"{100 * rows.weight_of(1) / total:.2f} %"
    if curves is not None:
        facts["ROC AUC"] = f"{curves.auc:.4f}"
        facts["average precision"] = f"{curves.average_precision:.4f}"
    facts["Brier score"] = f"{calibration(rows.codes == 1, rows.probabilities[:, 1], rows.weights).brier:.5f}"
    return facts


def score_sections(rows: Labelled) -> list[Section]:
    """Curves, calibration, thresholds and confusion of labelled rows."""
    of_two = len(rows.classes) == 2
    sections = [Section("Ranking", list(_ranking(rows))), Section("Calibration", list(_calibration(rows)))]
    if of_two:
        sections.append(Section("Thresholds", [_threshold_table(rows)]))
    return [*sections, Section("Confusion", [_confusion_table(rows)])]


def fit_section(
    facts: dict[str, str], values: Sequence[float], reads: Sequence[float] | None, first: int = 0
) -> Section:
    """How a fit went: its facts, and the objective by reads of the data, or by iterations from ``first`` on."""
    items: list[Item] = [Facts(facts)]
    x = list(range(first, first + len(values))) if reads is None else list(reads)
    y = [float(value) for value in values]
    unit = "iterations" if reads is None else "reads of the data"
    if len(y) > 1 and np.isfinite(y).all():
        items.append(
            Figure(
                "Objective",
                f"The objective goes from {y[0]:.6g} to {y[-1]:.6g} in {x[-1]:.4g} {unit}.",
                unit,
                "objective",
                [Series("", *_as_lists(thinned(np.asarray(x, float), np.asarray(y))))],
                log_y=min(y) > 0.0 and max(y) > 10.0 * min(y),
            )
        )
        rows = [[f"{a:.4g}", f"{b:.10g}"] for a, b in _some(list(zip(x, y, strict=True)), 40)]
        items.append(Table(f"Objective by {unit}", [unit, "objective"], rows, folded=True))
    return Section("Fit", items)


def _as_lists(curve: tuple[NDArray[np.float64], NDArray[np.float64]]) -> tuple[list[float], list[float]]:
    return curve[0].tolist(), curve[1].tolist()


def _some(pairs: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    step = max(1, -(-len(pairs) // most))
    return pairs[:-1:step] + pairs[-1:]


def _ranking(rows: Labelled) -> Iterator[Item]:
    shown = [1] if len(rows.classes) == 2 else range(len(rows.classes))
    found = {k: curves for k in shown if (curves := binary_curves(rows, k)) is not None}
    if not found:
        yield Text("All rows are of one class, so that there is nothing to rank.")
        return
    drawn = dict(sorted(found.items(), key=lambda item: -rows.weight_of(item[0]))[:N_COLOURS])
    names = {k: f"{rows.classes[k]}" for k in drawn}
    areas = ", ".join(f"{c.auc:.4f} for {names[k]}" for k, c in drawn.items())
    series = [Series(names[k], list(c.false_positive), list(c.true_positive), "line") for k, c in drawn.items()]
    yield Figure(
        "Receiver operating characteristic",
        f"Share of a class that is found, against the share of other rows taken for it. The area under it is {areas}; "
        "0.5 is chance and 1 is perfect.",
        "false positive rate",
        "true positive rate",
        [*series, Series("chance", [0.0, 1.0], [0.0, 1.0], "guide")],
        is_unit=True,
    )
    areas = ", ".join(f"{c.average_precision:.4f} for {names[k]}" for k, c in drawn.items())
    series = [Series(names[k], list(c.recall), list(c.precision), "line") for k, c in drawn.items()]
    yield Figure(
        "Precision and recall",
        f"Share of the rows taken for a class that are of it, against the share of the class that is found. Average "
        f"precision is {areas}.",
        "recall",
        "precision",
        series,
        is_unit=True,
    )
    if len(rows.classes) > 2:
        yield _class_table(rows, found)


def _class_table(rows: Labelled, found: dict[int, BinaryCurves]) -> Table:
    cells = [
        [rows.classes[k], f"{rows.weight_of(k):,.10g}", f"{c.auc:.4f}", f"{c.average_precision:.4f}"]
        for k, c in found.items()
    ]
    headings = ["class", "rows", "ROC AUC", "average precision"]
    mean = float(np.mean([c.auc for c in found.values()]))
    return Table(f"Each class against all others; the mean area is {mean:.4f}", headings, cells)


def _calibration(rows: Labelled) -> Iterator[Item]:
    if len(rows.classes) == 2:
        what, found = rows.classes[1], calibration(rows.codes == 1, rows.probabilities[:, 1], rows.weights)
    else:
        what = "the class that is predicted"
        found = calibration(rows.predicted == rows.codes, rows.probabilities.max(axis=1), rows.weights)
    yield Figure(
        f"Reliability of the probability of {what}",
        f"Rows in bins by their predicted probability, against the share that is {what}. On the diagonal "
        f"probabilities are right. Their mean distance from it is {found.expected_error:.4f}, and the Brier score "
        f"{found.brier:.5f}.",
        "mean predicted probability",
        "observed share",
        [
            Series("bins", list(found.predicted), list(found.observed)),
            Series("perfect", [0.0, 1.0], [0.0, 1.0], "guide"),
        ],
        is_unit=True,
    )
    yield _calibration_table(found)


def _calibration_table(found: Calibration) -> Table:
    columns = zip(found.predicted, found.observed, found.weight, strict=True)
    cells = [
        [f"{number}", f"{weight:,.10g}", f"{p:.4f}", f"{o:.4f}"] for number, (p, o, weight) in enumerate(columns, 1)
    ]
    return Table("Bins of the reliability", ["bin", "rows", "predicted", "observed"], cells, folded=True)


def _threshold_table(rows: Labelled) -> Table:
    headings = ["probability from", "rows taken", "precision", "recall", "specificity", "F1"]
    cells = [
        [
            f"{row.threshold:g}",
            f"{100 * row.taken:.2f}\N{NO-BREAK SPACE}%",
            *map(_number, (row.precision, row.recall, row.specificity, row.f1)),
        ]
        for row in thresholds(rows)
    ]
    return Table(f"Rows taken for {rows.classes[1]} from a probability on", headings, cells)


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.4f}"


def _confusion_table(rows: Labelled) -> Table:
    counts, classes = rows.confusion, rows.classes
    if len(classes) <= MOST_SHOWN:
        cells = [[name, *(f"{count:,.10g}" for count in counts[k])] for k, name in enumerate(classes)]
        return Table("Rows of a class (down) that are taken for a class (across)", ["class", *classes], cells)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    most = np.argsort(-wrong, axis=None, kind="stable")[:MOST_SHOWN]
    pairs = [divmod(int(at), len(classes)) for at in most]
    cells = [[f"{classes[true]} taken for {classes[other]}", f"{wrong[true, other]:,.10g}"] for true, other in pairs]
    return Table("The most frequent mistakes", ["mistake", "rows"], cells)


class Coefficients:
    """Coefficients of a linear model, with intervals where there are.

    Parameters
    ----------
    names : sequence of str
        Of the d columns.
    values : ndarray of shape (1, d) or (K, d)
    classes : tuple of str
    intervals : ndarray of shape (d, 2) or None
        Of two classes.
    why : str
        What the intervals are, or why there are none.
    """

    def __init__(
        self,
        names: Sequence[str],
        values: NDArray[np.float64],
        classes: tuple[str, ...],
        intervals: NDArray[np.float64] | None,
        why: str,
    ) -> None:
        self.names, self.values, self.classes = names, values, classes
        self.intervals, self.why = intervals, why

    def largest(self, k: int, most: int) -> list[int]:
        """Columns of the largest coefficients of a row, the largest first; those that are zero are left out."""
        size = np.abs(self.values[k])
        at = np.argsort(-size, kind="stable")[:most] if len(size) <= 4 * most else _largest(size, most)
        return [int(j) for j in at if size[j] > 0.0]


def _largest(size: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Positions of the largest values without sorting all, which may be millions."""
    at = np.argpartition(-size, most)[:most]
    return at[np.lexsort((at, -size[at]))]


def coefficient_section(found: Coefficients) -> Section:
    """The largest coefficients, as a figure for two classes and a table."""
    n_zero = int((found.values == 0.0).all(axis=0).sum())
    zeros = f" {n_zero:,} of {found.values.shape[1]:,} columns have no weight." if n_zero else ""
    lead = Text(
        "A coefficient is the change of the logarithm of the odds by one unit of its column, so that sizes "
        f"depend on the units of the columns. {found.why}{zeros}"
    )
    if len(found.classes) > 2:
        return Section("Coefficients", [lead, *_by_class(found)])
    largest = found.largest(0, MOST_COEFFICIENTS)
    names, values = [str(found.names[j]) for j in largest], found.values[0, largest]
    if not largest:
        return Section("Coefficients", [lead])
    ends = None if found.intervals is None else found.intervals[largest]
    low, high = ([], []) if ends is None else (ends[:, 0].tolist(), ends[:, 1].tolist())
    positions = list(range(len(largest)))
    figure = Figure(
        f"The {len(largest)} largest coefficients",
        f"Those above zero speak for {found.classes[1]}; the largest is {values[0]:.4g}, of {names[0]}.",
        "coefficient",
        "",
        [
            Series("", values.tolist(), positions, "points", low, high),
            Series("", [0.0, 0.0], [-0.5, len(largest) - 0.5], "guide"),
        ],
        names=[name if len(name) <= 28 else f"{name[:25]}..." for name in names],
    )
    headings = ["column", "coefficient", "odds ratio", *([] if ends is None else ["lower", "upper"])]
    cells = [
        [
            name,
            f"{value:+.5g}",
            f"{math.exp(min(value, 700.0)):.5g}",
            *(() if ends is None else map("{:+.5g}".format, ends[at])),
        ]
        for at, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    return Section("Coefficients", [lead, figure, Table("The largest coefficients", headings, cells)])


def _by_class(found: Coefficients) -> Iterator[Item]:
    rows = []
    for k, name in enumerate(found.classes[:MOST_SHOWN]):
        for j in found.largest(k, 3):
            rows.append([name, str(found.names[j]), f"{found.values[k, j]:+.5g}"])
    yield Table("The three largest coefficients of a class", ["class", "column", "coefficient"], rows)
