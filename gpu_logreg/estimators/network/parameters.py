"""Parameters of a network estimator: the values that each may have, and what they say of layers and solver."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Hidden, Interval, StrOptions

from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.initialisation import INITIALISATIONS
from gpu_logreg.mathematics.optimizers import SCHEDULES
from gpu_logreg.rows.storage import STORAGES

__all__ = ["CONSTRAINTS", "MAY_DIFFER", "STOCHASTIC", "hidden_sizes", "is_stochastic", "refuse_early_stopping"]

STOCHASTIC = ("sgd", "adam", "adamw")
"""Solvers that take a step for every batch of rows; the others walk over all rows for every step."""

CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(numbers.Integral, 1, None, closed="left")],
    "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
    "solver": [StrOptions({*STOCHASTIC, "lbfgs", "gradient-descent"})],
    "alpha": [Interval(numbers.Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(numbers.Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "learning_rate_init": [Interval(numbers.Real, 0, None, closed="neither")],
    "power_t": [Interval(numbers.Real, 0, None, closed="left")],
    "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(numbers.Real, 0, None, closed="left")],
    "verbose": ["verbose", Hidden(callable)],
    "warm_start": ["boolean"],
    "momentum": [Interval(numbers.Real, 0, 1, closed="left")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(numbers.Real, 0, 1, closed="neither")],
    "beta_1": [Interval(numbers.Real, 0, 1, closed="left")],
    "beta_2": [Interval(numbers.Real, 0, 1, closed="left")],
    "epsilon": [Interval(numbers.Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(numbers.Integral, 1, None, closed="left"), Hidden(float)],
    "max_fun": [Interval(numbers.Integral, 1, None, closed="left")],
    "max_time": [Interval(numbers.Real, 0, None, closed="neither"), None],
    "device": [str, list, tuple],
    "impl": [StrOptions({"auto", "reference", "cpu", "cuda"})],
    "init": [StrOptions(set(INITIALISATIONS))],
    "storage": [StrOptions({"auto", *STORAGES})],
}
"""Values that each parameter may have, in scikit-learn's form."""


MAY_DIFFER = ("max_time", "verbose")
"""Parameters with which a training goes on from a checkpoint whatever their values."""


def refuse_early_stopping(model: Any) -> None:
    """Raise a `DataError` where ``partial_fit`` is asked to stop early."""
    if model.early_stopping:
        raise DataError(
            "partial_fit does not support early_stopping=True: it sees some of the rows only and cannot hold any "
            "back; use early_stopping=False"
        )


def hidden_sizes(value: Any) -> tuple[int, ...]:
    """Sizes of the hidden layers as a tuple of positive whole numbers; empty for none.

    Raises
    ------
    DataError
        One line that names what is wrong.
    """
    sizes = tuple(np.atleast_1d(np.asarray(value, dtype=object)).tolist())
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size <= 0:
            raise DataError(
                f"hidden_layer_sizes={value!r} must be > 0 and whole, and holds {size!r}; "
                "give one positive integer for every hidden layer, such as (128,)"
            )
    return tuple(int(size) for size in sizes)


def is_stochastic(model: Any) -> bool:
    """Whether the solver of an estimator takes a step for every batch of rows.

    Raises
    ------
    AttributeError
        If it does not: such an estimator has no ``partial_fit``.
    """
    if model.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit takes a step for every batch of rows, and solver={model.solver!r} does not; use solver='adam'"
        )
    return True
