"""Intercepts for a population whose classes have other shares than the rows of the fit.

Where rows were drawn by their class, such as all positives and few of the negatives, the weights of a logistic model
are those of the population, and the intercepts alone are not: the odds of the rows are those of the population times
the ratio of the shares. With the shares ``t_k`` of the population and ``q_k`` of the rows, or the share ``r_k`` of the
rows of a class that was kept::

    b_k + log(t_k / q_k)        or        b_k - log(r_k)

G. King and L. Zeng, "Logistic regression in rare events data" (2001), section 4.1: for two classes it is their
``b - log((1 - t) / t  q / (1 - q))``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError

__all__ = ["intercept_shift"]

SUM_OF_SHARES = 1e-6
"""Most that shares may differ from 1 in all."""


def intercept_shift(model: Any, shares: Float64Vector) -> Float64Vector | None:
    """What is added to the intercepts of a fit; None where neither ``prior`` nor ``sampling_rates`` is given.

    Parameters
    ----------
    model : LogisticRegression
    shares : ndarray of shape (K,)
        Of the classes in the rows, by their weights times those of the classes.

    Returns
    -------
    ndarray of shape (1,) or (K,), or None
        Of K classes with the mean 0.

    Raises
    ------
    DataError
    """
    if model.prior is None and model.sampling_rates is None:
        return None
    if model.prior is not None and model.sampling_rates is not None:
        raise DataError("prior and sampling_rates both tell the shares of the classes; give one of them")
    name = "prior" if model.sampling_rates is None else "sampling_rates"
    if not model.fit_intercept:
        raise DataError(f"{name} changes the intercept, and fit_intercept=False leaves none; use fit_intercept=True")
    classes = model.classes_.tolist()
    if model.prior is not None:
        if not (shares > 0.0).all():
            raise DataError(
                f"prior: no row of the class {classes[int(shares.argmin())]!r} has weight; leave it out of y"
            )
        population = np.log(_shares(model.prior, classes)) - np.log(shares)
    elif model.class_weight is not None:
        raise DataError("sampling_rates and class_weight both weigh the classes; give prior, or leave out class_weight")
    else:
        rates = _by_class("sampling_rates", model.sampling_rates, classes)
        if rates.max() > 1.0:
            raise DataError(f"sampling_rates holds {rates.max():g}; a rate is the share of a class that was kept")
        population = -np.log(rates)
    if len(classes) == 2:
        return np.asarray(population[1:] - population[:1])
    return np.asarray(population - population.mean())


def _shares(prior: Any, classes: list[Any]) -> Float64Vector:
    if isinstance(prior, Mapping):
        found = _by_class("prior", prior, classes)
        if abs(found.sum() - 1.0) > SUM_OF_SHARES:
            raise DataError(f"prior holds shares that add up to {found.sum():g}; those of all classes add up to 1")
        return found
    if len(classes) > 2:
        raise DataError(f"prior={prior:g} is the share of one class, and y has {len(classes)}; give a dict of all")
    return np.array([1.0 - float(prior), float(prior)])


def _by_class(name: str, given: Mapping[Any, Any], classes: list[Any]) -> Float64Vector:
    """Positive numbers by class, in the order of the classes."""
    if set(given) != set(classes):
        wrong = [one for one in given if one not in set(classes)] or [one for one in classes if one not in given]
        raise DataError(f"{name} has the classes {list(given)}, and y {classes[:8]}: {wrong[0]!r} is in one alone")
    for one, value in given.items():
        if not isinstance(value, int | float | np.number) or not math.isfinite(value) or not value > 0.0:
            raise DataError(f"{name} has {value!r} for the class {one!r}; give a positive number")
    return np.array([float(given[one]) for one in classes])
