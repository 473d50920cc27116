"""From the options of ``gpu-logreg train`` to an estimator: linear, or a network where hidden layers are asked for."""

from __future__ import annotations

import math
from typing import Any

from gpu_logreg.errors import DataError
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.linear.parameters import read_parameters
from gpu_logreg.estimators.network.model import MLPClassifier

__all__ = ["make_estimator", "needs_dense_rows"]

# What one of the two has and the other has not: the option, its value where it is not given, what to do.
_LINEAR_ONLY = {
    "C": ("--C", 1.0, "use --alpha"),
    "penalty": ("--penalty", None, "use --alpha"),
    "l1_ratio": ("--l1-ratio", None, "use --alpha"),
    "class_weight": ("--class-weight", None, "leave it out"),
    "fit_intercept": ("--no-intercept", True, "leave it out"),
    "storage": ("--storage", "auto", "leave it out"),
}
_NETWORK_ONLY = {"activation": "--activation", "alpha": "--alpha", "batch_size": "--batch-size"}
_ABSENT = {"hidden": (), "solver": "auto", "tol": None, "learning_rate": None, **dict.fromkeys(_NETWORK_ONLY)}
_LINEAR_SOLVERS = ("auto", "subsampled-newton", "lbfgs", "proximal", "gradient-descent", "sgd", "adam")
_NETWORK_SOLVERS = ("auto", "adam", "adamw", "sgd", "lbfgs", "gradient-descent")


def make_estimator(given: dict[str, Any]) -> LogisticRegression | MLPClassifier:
    """The estimator that the options ask for.

    Parameters
    ----------
    given : dict
        ``hidden``, the sizes of the hidden layers, empty for none; and parameters of either estimator, of which None is
        not given. ``learning_rate`` is a number for both.

    Raises
    ------
    DataError
        If an option does not go with, or without, hidden layers.
    """
    given = {name: default for name, (_, default, _) in _LINEAR_ONLY.items()} | _ABSENT | given
    hidden = given.pop("hidden")
    known = _NETWORK_SOLVERS if hidden else _LINEAR_SOLVERS
    if given["solver"] not in known:
        which = "with" if hidden else "without"
        raise DataError(
            f"--solver {given['solver']} is not for training {which} --hidden; use one of {', '.join(known)}"
        )
    return _network(hidden, given) if hidden else _linear(given)


def needs_dense_rows(given: dict[str, Any]) -> bool:
    """Whether the options ask for a device, a pass or a storage that takes dense rows alone; ``given`` as above."""
    on_gpu = str(given.get("device", "auto")).startswith("cuda") or given.get("impl") in ("cuda", "cublas")
    return on_gpu or given.get("storage") in ("float16", "bfloat16", "uint8")


def _linear(given: dict[str, Any]) -> LogisticRegression:
    for name, option in _NETWORK_ONLY.items():
        if given.pop(name) is not None:
            raise DataError(f"{option} is for networks; give --hidden UNITS too, or leave it out")
    if given["tol"] is None and given["solver"] in ("sgd", "adam"):
        given["tol"] = 1e-4
    model = LogisticRegression(**_given(given | _penalty(given.pop("penalty"), given)))
    read_parameters(model)  # refused before a file is read
    return model


def _penalty(penalty: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """``C`` and ``l1_ratio`` for the name of a penalty, which scikit-learn has deprecated as a parameter."""
    ratio = given["l1_ratio"]
    if penalty == "elasticnet" and ratio is None:
        raise DataError("--penalty elasticnet needs the share of L1 in it; give --l1-ratio too")
    if penalty in ("l1", "l2") and ratio not in (None, float(penalty == "l1")):
        raise DataError(f"--penalty {penalty} and --l1-ratio {ratio:g} contradict each other; leave one out")
    if penalty == "none" and (given["C"], ratio) not in ((1.0, None), (math.inf, None)):
        raise DataError("--penalty none leaves nothing for --C and --l1-ratio to weigh; leave them out")
    return {"none": {"C": math.inf}, "l1": {"l1_ratio": 1.0}, "l2": {"l1_ratio": 0.0}}.get(penalty or "", {})


def _network(hidden: tuple[int, ...], given: dict[str, Any]) -> MLPClassifier:
    for name, (option, default, advice) in _LINEAR_ONLY.items():
        if given.pop(name) != default:
            raise DataError(f"{option} is not for networks, which --hidden asks for; {advice}")
    if given["activation"] is None:
        given["activation"] = "tanh"
    if given["solver"] == "auto":
        given["solver"] = "adam"
    given["learning_rate_init"] = given.pop("learning_rate")
    return MLPClassifier(hidden, **_given(given))


def _given(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
