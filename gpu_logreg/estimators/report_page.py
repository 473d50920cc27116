"""What of a fitted model and labelled rows goes on the page of a report."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpu_logreg.arrays.checks import check_sample_weight
from gpu_logreg.arrays.csr import dense_coef
from gpu_logreg.arrays.device import device_of, numpy_defaults, to_numpy, using
from gpu_logreg.arrays.interchange import as_array
from gpu_logreg.errors import DataError
from gpu_logreg.estimators.inputs import given_column
from gpu_logreg.estimators.streamed import logits_by_block, stream_of
from gpu_logreg.reports.content import Facts, Page, Section, Table, Text
from gpu_logreg.reports.page import html_of
from gpu_logreg.reports.report import Report
from gpu_logreg.reports.scores import Labelled
from gpu_logreg.reports.sections import Coefficients, coefficient_section, fit_section, score_facts, score_sections
from gpu_logreg.reports.strengths import choice_section

__all__ = ["labelled_rows", "report_of", "summary_or_reason"]

MOST_PARAMETERS = 500
"""Most parameters of a model whose standard errors are computed for a report: they take a matrix of their square."""

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "matplotlib", "Jinja2")


def labelled_rows(
    model: Any, X: Any, y: Any, sample_weight: Any = None, names: Sequence[str] | None = None
) -> Labelled:
    """Class numbers, probabilities and weights of rows; ``names`` are those of the classes, if not their labels.

    Raises
    ------
    DataError
    """
    target = model._target()
    if target.several:
        raise DataError("a report is on classes, and the network has several labels; report on each by one of its own")
    stream = stream_of(X, y, sample_weight)
    if stream is not None:
        parts = list(logits_by_block(model, stream, labelled=True))
        if any(y is None for _, y, _ in parts):
            raise DataError("the blocks hold no labels; yield (X, y) or (X, y, sample_weight)")
        z, y = (np.concatenate([np.asarray(part[at]) for part in parts]) for at in (0, 1))
        s = None if parts[0][2] is None else np.concatenate([part[2] for part in parts])
    elif y is None:
        raise DataError("report requires y, but it is None; only a stream brings its own labels")
    else:
        z = to_numpy(as_array(model.decision_function(X)))
        with numpy_defaults():
            y = to_numpy(model._labels(y))
            if y.shape != z.shape[:1]:
                raise DataError(f"X has {len(z)} rows, and y has shape {y.shape}")
            s = given_column(sample_weight, "sample_weight")
            with using(device_of(s)):
                s = check_sample_weight(s, len(z))
    codes = np.asarray(target.encode(y), dtype=np.int64)
    p = np.asarray(target.loss.probabilities(z.astype(np.float64)), dtype=np.float64)
    classes = tuple(map(str, model.classes_)) if names is None else tuple(names)
    return Labelled(codes, p, None if s is None else np.asarray(to_numpy(s), np.float64), classes)


def report_of(
    model: Any,
    rows: Mapping[str, Labelled],
    *,
    names: Sequence[str] | None = None,
    summary: Any = None,
    why: str = "",
    title: str | None = None,
    lead: str = "",
    reads: Sequence[tuple[float, float]] = (),
    columns: Sequence[Section] = (),
    timings: Mapping[str, str] | None = None,
) -> Report:
    """The report of a fitted model.

    Parameters
    ----------
    model : estimator
    rows : dict of Labelled
        By what they are; the figures are of the first.
    names : sequence of str, optional
        Of the columns.
    summary : Summary, optional
    why : str
        Why there is none.
    title, lead : str, optional
    reads : sequence of (float, float)
        Reads of the data and the objective after each iteration; ``loss_curve_`` where it is empty.
    columns : sequence of Section
        On the columns of the rows.
    timings : dict of str, optional
    """
    own = importlib.import_module("gpu_logreg").__version__  # a room below the door does not import from it
    (first, shown), kind = next(iter(rows.items())), type(model).__name__
    scores = {name: score_facts(part) for name, part in rows.items()}
    facts = list(dict.fromkeys(fact for of_part in scores.values() for fact in of_part))
    cells = [[fact, *(of_part.get(fact, "") for of_part in scores.values())] for fact in facts]
    sections = [Section("Scores", [Table("How good the model is", ["score", *scores], cells)])]
    sections += score_sections(shown)
    values, at = [v for _, v in reads] or list(getattr(model, "loss_curve_", ())), [r for r, _ in reads] or None
    from_one = len(values) == int(np.ravel(getattr(model, "n_iter_", 0)).max())  # after each epoch, and not before them
    sections.append(fit_section(_fit_facts(model), values, at, int(from_one)))
    if isinstance(getattr(model, "scores_", None), np.ndarray):  # a dict in the legacy shapes
        sections.append(_choice(model))
    if hasattr(model, "coef_"):
        sections.append(coefficient_section(_coefficients(model, names, shown.classes, summary, why)))
    sections += columns or [_column_section(model)]
    if timings:
        sections.append(Section("Timings", [Facts(timings)]))
    sections.append(Section("Parameters and versions", [Facts(_parameters(model)), Facts(_versions(own))]))
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    lead = " ".join(filter(None, [lead, f"Figures are of {first}. Written by gpu-logreg {own} on {made}."]))
    return Report(html_of(Page(title or f"Report of a {kind}", lead, sections)))


def summary_or_reason(model: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Any, str]:
    """The summary of a model of two classes whose rows these are, or None and the reason."""
    if not hasattr(model, "summary") or len(model.classes_) > 2:
        return None, ""
    if model.n_features_in_ > MOST_PARAMETERS:
        return None, f"No intervals: they are computed for at most {MOST_PARAMETERS} columns."
    try:
        return model.summary(X, y, sample_weight), ""
    except DataError as error:
        return None, f"No intervals: {error}."


def _choice(model: Any) -> Section:
    """Scores of the values of C that a model with folds was chosen from."""
    is_loss = model.scoring == "neg_log_loss"
    name = "log loss" if is_loss else model.scoring if isinstance(model.scoring, str) else "score"
    ratios = np.atleast_1d(model.l1_ratios_).tolist() if model.scores_.shape[1] > 1 else [None]
    return choice_section(
        np.asarray(model.Cs_, np.float64),
        np.asarray(-model.scores_ if is_loss else model.scores_, np.float64),
        ratios,
        float(np.ravel(model.C_)[0]),
        name,
    )


def _coefficients(
    model: Any, names: Sequence[str] | None, classes: tuple[str, ...], summary: Any, why: str
) -> Coefficients:
    if names is None:
        names = getattr(model, "feature_names_in_", None)
    if names is None:
        names = [f"x{j}" for j in range(model.n_features_in_)]
    intervals = None
    if summary is not None and len(classes) == 2:
        d = model.n_features_in_
        intervals, why = (
            summary.intervals[:d],
            f"Intervals are of {100 * summary.level:g} % ({summary.covariance_kind}).",
        )
    return Coefficients(names, np.asarray(dense_coef(model.coef_), np.float64), classes, intervals, why)


def _fit_facts(model: Any) -> dict[str, str]:
    """What is known of the fit; a model from elsewhere lacks some of it."""
    facts = {}
    if hasattr(model, "stop_reason_"):
        facts["converged"] = f"{'yes' if model.converged_ else 'NO'}: {model.stop_reason_}"
    if hasattr(model, "n_iter_"):
        facts["iterations"] = f"{int(np.ravel(model.n_iter_).max()):,}"
    if hasattr(model, "n_reads_"):
        facts["reads of the data"] = f"{model.n_reads_:.1f}"
    if hasattr(model, "objective_"):
        facts["objective"] = f"{model.objective_:.10g}"
    for name in ("solver", "device", "impl"):
        if hasattr(model, f"{name}_"):
            reason = getattr(model, f"{name}_reason_", "")
            facts[name] = f"{getattr(model, f'{name}_')}{f' ({reason})' if reason else ''}"
    return facts or {"fit": "elsewhere; nothing is known of it"}


def _column_section(model: Any) -> Section:
    d = f"{model.n_features_in_:,} columns of numbers. Rows with missing values are refused, so that there are none."
    return Section("Columns", [Text(d)])


def _parameters(model: Any) -> dict[str, str]:
    """Those that are not the defaults."""
    defaults = type(model)().get_params()
    changed = {name: value for name, value in model.get_params().items() if repr(value) != repr(defaults.get(name))}
    shown = ", ".join(f"{name}={value!r}"[:200] for name, value in changed.items() if name != "verbose")
    return {"estimator": type(model).__name__, "parameters": shown or "defaults"}


def _versions(own: str) -> dict[str, str]:
    found = {"gpu-logreg": own, "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}"}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
