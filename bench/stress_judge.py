"""Fits one random problem and says all that is wrong with it."""

from __future__ import annotations

import time
import warnings
from typing import Any, NamedTuple

import numpy as np
from certificate import Truth, find_truth
from exact_objective import Exact
from sklearn.exceptions import ConvergenceWarning
from stress_problems import Drawn

EXCESS = 1e-7
"""Largest relative excess over the minimum of a fit that says it converged."""
OBJECTIVE = 1e-9
"""Largest relative distance of ``objective_`` from the value at ``coef_`` and ``intercept_``."""
SLOW, SLOWER = 0.5, 20.0
"""Seconds that are never too long, and the largest ratio to scikit-learn's time beyond them."""


class Verdict(NamedTuple):
    """What was found of one problem."""

    seed: int
    text: str
    faults: list[tuple[str, str]]
    notes: list[tuple[str, str]]
    excess: float
    seconds: float
    ratio: float


def fit(model: Any, drawn: Drawn) -> tuple[list[Any], float, Exception | None]:
    """Warnings, seconds and the exception of a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        begun = time.perf_counter()
        try:
            model.fit(drawn.X, drawn.y, drawn.sample_weight)
            raised = None
        except Exception as error:
            raised = error
    return caught, time.perf_counter() - begun, raised


def exact_of(drawn: Drawn) -> Exact:
    """The objective of a drawn problem in long double."""
    params = drawn.params
    return Exact(
        drawn.rows,
        drawn.labels,
        drawn.row_weights,
        drawn.n_classes,
        params["C"],
        params.get("l1_ratio", 0.0),
        params.get("fit_intercept", True),
    )


def judge(drawn: Drawn, estimator: Any, expected_error: type[Exception]) -> Verdict:
    """Fit and judge.

    Parameters
    ----------
    drawn : Drawn
    estimator : class
        With scikit-learn's interface and the package's attributes.
    expected_error : class
        The root of the errors that are raised on purpose.
    """
    rng = np.random.default_rng([drawn.seed, 1])
    model = estimator(**drawn.params)
    caught, seconds, raised = fit(model, drawn)
    faults: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []

    def verdict(excess: float = float("nan"), ratio: float = float("nan")) -> Verdict:
        return Verdict(drawn.seed, drawn.text, faults, notes, excess, seconds, ratio)

    if raised is not None:
        faults.append(("refused" if isinstance(raised, expected_error) else "raw exception", _told(raised)))
        if "\n" in str(raised):
            faults.append(("message of many lines", _told(raised)))
        return verdict()
    faults += _warned(model, caught) + _attributes(model)
    if any(kind == "not finite" for kind, _ in faults):
        return verdict()
    exact = exact_of(drawn)
    with np.errstate(all="ignore"):
        truth = find_truth(exact)
        excess = _optimum(model, exact, truth, faults, notes)
        if rng.random() < 0.2:
            faults += _other_scale(drawn, model, estimator, exact, rng)
        if rng.random() < 0.2:
            faults += _from_afar(drawn, model, estimator, exact, truth, rng)
    ratio, seconds = _against_theirs(drawn, estimator, seconds)
    if ratio > SLOWER:
        faults.append(("slow", f"{seconds:.2f} s, {ratio:.0f} times scikit-learn's"))
    return verdict(excess, ratio)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def _warned(model: Any, caught: list[Any]) -> list[tuple[str, str]]:
    faults = []
    of_convergence = [w for w in caught if issubclass(w.category, ConvergenceWarning)]
    if bool(of_convergence) != (not model.converged_):
        faults.append(("wrong warning", f"{len(of_convergence)} warnings, converged_={model.converged_}"))
    others = [w for w in caught if not issubclass(w.category, ConvergenceWarning)]
    faults += [("wrong warning", f"{w.category.__name__}: {str(w.message)[:150]}") for w in others]
    return faults


def _attributes(model: Any) -> list[tuple[str, str]]:
    faults = []
    for name, held in vars(model).items():
        if not name.endswith("_") or name.startswith("_"):
            continue
        values = np.asarray(held)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            faults.append(("not finite", f"{name} holds {values[~np.isfinite(values)].ravel()[0]}"))
    return faults


def relative_excess(value: float, least: float) -> float:
    """``value / least - 1``; infinite where the least value is 0."""
    if value == least:
        return 0.0
    return float("inf") if least <= 0 else float((value - least) / least)


def _optimum(model: Any, exact: Exact, truth: Truth, faults: list[Any], notes: list[Any]) -> float:
    """Hold the fit against the truth; its excess over the best value that is known."""
    value = exact.value(model.coef_, model.intercept_)
    off = abs(float(model.objective_ / value - 1)) if value > 0 else abs(model.objective_)
    if off > OBJECTIVE:
        faults.append(("objective_", f"{off:.1e} off the value at coef_ and intercept_, converged_={model.converged_}"))
    if truth.separable:
        if model.converged_:
            faults.append(("converged where there is no minimum", f"value {float(value):.2e}: {model.stop_reason_}"))
        return float("nan")
    at_least = relative_excess(value, min(value, truth.upper))
    at_most = relative_excess(value, truth.lower)
    figures = f"excess {at_least:.1e} (at most {at_most:.1e}), {model.n_iter_[0]} iterations, {model.stop_reason_}"
    if not model.converged_:
        notes.append(("said that it did not converge", figures))
    elif at_least > EXCESS:
        faults.append(("not the optimum", figures))
    elif at_most > EXCESS:
        notes.append(("undecided", figures))
    return at_least


def _other_scale(
    drawn: Drawn, model: Any, estimator: Any, exact: Exact, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Weights times a constant and C divided by it are the same problem."""
    factor = float(rng.choice([2.0**20, 2.0**-20, 1e-6, 1e6]))
    s = np.ones(len(drawn.y)) if drawn.sample_weight is None else np.asarray(drawn.sample_weight, np.float64)
    other = estimator(**{**drawn.params, "C": drawn.params["C"] / factor})
    _, _, raised = fit(other, drawn._replace(sample_weight=s * factor))
    if raised is not None:
        return [("scale of the weights", f"times {factor:.3g}: {_told(raised)}")]
    if other.converged_ != model.converged_:
        return [("scale of the weights", f"times {factor:.3g}: converged_ {model.converged_} and {other.converged_}")]
    if not model.converged_:
        return []
    one, two = (exact.value(fitted.coef_, fitted.intercept_) for fitted in (model, other))
    off = abs(relative_excess(two, one))
    return [("scale of the weights", f"times {factor:.3g}: objective {off:.1e} off")] if off > OBJECTIVE else []


def _from_afar(
    drawn: Drawn, model: Any, estimator: Any, exact: Exact, truth: Truth, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """A warm start from anywhere ends at the optimum where a cold start does."""
    if not model.converged_ or truth.separable:
        return []
    size = 10.0 ** int(rng.choice([0, 2, 4, 8, 16, 30]))
    other = estimator(warm_start=True, **drawn.params)
    other.coef_ = (size * rng.standard_normal(model.coef_.shape)).astype(model.coef_.dtype)
    other.intercept_ = rng.choice([0.0, size]) * rng.standard_normal(model.intercept_.shape)
    other.classes_, other.n_features_in_ = model.classes_, model.n_features_in_
    if not drawn.params.get("fit_intercept", True):
        other.intercept_ = np.zeros_like(model.intercept_)
    if hasattr(model, "feature_names_in_"):
        other.feature_names_in_ = model.feature_names_in_
    caught, _, raised = fit(other, drawn)
    if raised is not None:
        return [("warm start", f"from {size:.0e}: {_told(raised)}")]
    faults = [("warm start", f"from {size:.0e}: {kind}: {told}") for kind, told in _warned(other, caught)]
    excess = relative_excess(exact.value(other.coef_, other.intercept_), truth.upper)
    if not other.converged_ or not excess <= EXCESS:
        faults.append(
            ("warm start", f"from {size:.0e}: excess {excess:.1e}, converged_={other.converged_}: {other.stop_reason_}")
        )
    return faults


def _against_theirs(drawn: Drawn, estimator: Any, seconds: float) -> tuple[float, float]:
    """The ratio to scikit-learn's time, where ours is long in two fits, and our time."""
    if seconds <= SLOW:
        return float("nan"), seconds
    seconds = min(seconds, fit(estimator(**drawn.params), drawn)[1])
    if seconds <= SLOW:
        return float("nan"), seconds
    from sklearn.linear_model import LogisticRegression

    params = {name: value for name, value in drawn.params.items() if name != "solver"}
    if params.get("l1_ratio", 0.0) > 0.0:
        params |= {"solver": "saga", "max_iter": 1000}
    theirs = fit(LogisticRegression(**params), drawn)[1]
    return seconds / theirs, seconds
