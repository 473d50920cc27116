"""``gpu-logreg train --report``: the page on a training, its rows and its columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg.arrays.random import is_drawn
from gpu_logreg.command.training_request import TrainingRequest
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.estimators.report_page import labelled_rows, report_of, summary_or_reason
from gpu_logreg.estimators.stream import Stream
from gpu_logreg.files.columns import NumberedColumns, NumericColumn, TextColumn
from gpu_logreg.files.schema import Schema
from gpu_logreg.reports.content import Section, Table, Text
from gpu_logreg.reports.scores import Labelled
from gpu_logreg.saved.whole_files import write_whole
from gpu_logreg.solvers import Iteration, Observer

__all__ = ["History", "labelled_blocks", "labelled_parts", "write_report"]

MOST_COLUMNS = 200
"""Columns that are listed."""


class History:
    """The objective after every iteration of a fit, by the reads of the data up to then.

    Attributes
    ----------
    points : list of (float, float)
        Reads and value.
    """

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def watching(self, observer: Observer) -> Observer:
        """An observer that takes note of an iteration and then calls another."""

        def observe(iteration: Iteration) -> Any:
            if not math.isnan(iteration.n_reads):
                self.points.append((iteration.n_reads, iteration.value))
            return observer(iteration)

        return observe


def write_report(
    request: TrainingRequest,
    model: LogisticRegression | MLPClassifier,
    rows: Mapping[str, Labelled],
    schema: Schema,
    history: History,
    timings: Mapping[str, str],
    fitted: tuple[Any, NDArray[Any], Any] | None = None,
) -> None:
    """Write the page to ``request.report``.

    Parameters
    ----------
    request : TrainingRequest
    model : LogisticRegression or MLPClassifier
    rows : dict of Labelled
        By what they are; the figures are of the first.
    schema : Schema
    history : History
    timings : dict of str
    fitted : (X, y, sample_weight) or None
        The rows of the fit, where they are in memory: for missing values and intervals.
    """
    assert request.report is not None
    summary, why, sums, n_rows = None, "", None, 0
    if fitted is not None:
        summary, why = summary_or_reason(model, *fitted)
        n_rows = fitted[0].shape[0]
        sums = None if schema.is_plain else np.asarray(fitted[0].sum(axis=0)).ravel()
    title = f"Training on {request.data}" + (f": {request.target}" if request.target else "")
    report = report_of(
        model,
        rows,
        names=schema.feature_names,
        summary=summary,
        why=why,
        title=title,
        reads=history.points,
        columns=[_column_section(schema, sums, n_rows)],
        timings=timings,
    )
    write_whole(request.report, report.html.encode("utf-8"))


def labelled_parts(model: Any, parts: Mapping[str, tuple[Any, Any]], names: Sequence[str]) -> dict[str, Labelled]:
    """Rows and their classes by what they are, with the probabilities of a model; those it was not fitted on first."""
    return {part: labelled_rows(model, *parts[part], names=names) for part in reversed(list(parts))}


def labelled_blocks(model: Any, stream: Stream, names: Sequence[str], request: TrainingRequest) -> dict[str, Labelled]:
    """Labels and probabilities of streamed rows: of those of ``--test-size``, or else of all."""
    parts, first = [], 0
    for X, codes, _ in stream.encoded_blocks():
        z = np.asarray(model._logits_of_rows(X), np.float64)
        at = np.ones(len(codes), bool)
        if request.test_size is not None:
            at = is_drawn(first, len(codes), request.test_size, request.seed)
        parts.append((z[at], np.asarray(codes)[at]))
        first += len(codes)
    z, codes = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
    p = np.asarray(model._target().loss.probabilities(z), np.float64)
    name = "training" if request.test_size is None else "test"
    return {name: Labelled(codes.astype(np.int64), p, None, tuple(names))}


def _column_section(schema: Schema, sums: NDArray[np.float64] | None, n_rows: int) -> Section:
    """What the columns hold, with the missing cells where the sums of the columns of the matrix are known."""
    columns = schema.columns
    if isinstance(columns, NumberedColumns):
        return Section("Columns", [Text(f"{len(columns):,} columns of numbers without names.")])
    lead = Text(
        "A missing number becomes the mean, and a column of its own says where one was missing; a text becomes a "
        "column for each category, and a missing text one more category. Counts are of the rows of the fit."
    )
    missing = _missing(schema, sums, n_rows)
    cells = [
        [
            str(column.name),
            "numbers" if isinstance(column, NumericColumn) else "text",
            missing[column.name],
            _holds(column),
        ]
        for column in columns[:MOST_COLUMNS]
    ]
    more = len(columns) - len(cells)
    caption = f"{len(columns):,} columns, {len(schema.feature_names):,} after encoding"
    caption += f"; the first {len(cells):,} are listed" if more else ""
    return Section("Columns", [lead, Table(caption, ["column", "kind", "missing", "holds"], cells)])


def _missing(schema: Schema, sums: NDArray[np.float64] | None, n_rows: int) -> dict[str, str]:
    """Missing cells of every column, as the sums of the columns that stand for them say."""
    found, at = {}, len(schema.numeric)
    columns: list[NumericColumn | TextColumn] = [*schema.numeric, *schema.text]
    for column in columns:
        width = column.width if isinstance(column, TextColumn) else int(column.had_missing)
        at += width
        if not column.had_missing:
            found[column.name] = "0"
        elif sums is None:
            found[column.name] = "some"
        else:
            count = round(float(sums[at - 1]))
            found[column.name] = f"{count:,} ({100 * count / n_rows:.2g} %)"
    return found


def _holds(column: NumericColumn | TextColumn) -> str:
    if isinstance(column, TextColumn):
        shown = ", ".join(column.categories[:5]) + (", ..." if len(column.categories) > 5 else "")
        return f"{len(column.categories):,} categories: {shown}"
    form = f", as {column.form}" if column.form else ""
    return f"mean {column.mean:.6g}{form}" if column.mean is not None else "numbers"
