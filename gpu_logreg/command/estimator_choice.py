"""The estimator for the options of ``gpu-logreg train``: a network with ``--hidden``, else logistic regression.

With ``--cv`` its strength of the penalty is chosen by cross-validation.
"""

from __future__ import annotations

import math
from typing import Any

from gpu_logreg.errors import DataError
from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
from gpu_logreg.estimators.cross_validation.parameters import read_Cs, read_grid
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.linear.parameters import read_parameters
from gpu_logreg.estimators.linear.solver_names import SOLVER_NAMES
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.estimators.network.parameters import STOCHASTIC

__all__ = ["make_estimator", "needs_dense_rows"]

_LINEAR_ONLY = {
    "C": ("--C", 1.0, "use --alpha"),
    "penalty": ("--penalty", None, "use --alpha"),
    "l1_ratio": ("--l1-ratio", None, "use --alpha"),
    "class_weight": ("--class-weight", None, "leave it out"),
    "fit_intercept": ("--no-intercept", True, "leave it out"),
    "cv": ("--cv", None, "leave it out"),
    "Cs": ("--Cs", None, "leave it out"),
    "device_memory_budget": ("--device-memory-budget", None, "leave it out"),
}
"""Parameters that a network does not have: the option, its default, and the advice in the error."""

_NETWORK_ONLY = {
    "activation": "--activation",
    "alpha": "--alpha",
    "batch_size": "--batch-size",
    "early_stopping": "--early-stopping",
}
"""Parameters that logistic regression does not have, with their options. Their default is None."""

_NOT_SET = {"hidden": (), "solver": "auto", "tol": None, "learning_rate": None, **dict.fromkeys(_NETWORK_ONLY)}
"""Defaults of the other options."""

_LINEAR_SOLVERS = ("auto", *SOLVER_NAMES)
_NETWORK_SOLVERS = ("auto", "adam", "adamw", "sgd", "lbfgs", "gradient-descent")


def make_estimator(parameters: dict[str, Any]) -> LogisticRegression | LogisticRegressionCV | MLPClassifier:
    """The estimator that the options ask for.

    Parameters
    ----------
    parameters : dict
        ``hidden``, the sizes of the hidden layers, empty for logistic regression; and parameters of either estimator,
        where None stands for an option that the user did not set. ``learning_rate`` is a number for both.

    Raises
    ------
    DataError
        If an option does not go with, or without, hidden layers.
    """
    parameters = {name: default for name, (_, default, _) in _LINEAR_ONLY.items()} | _NOT_SET | parameters
    hidden = parameters.pop("hidden")
    solvers = _NETWORK_SOLVERS if hidden else _LINEAR_SOLVERS
    if parameters["solver"] not in solvers:
        which = "with" if hidden else "without"
        raise DataError(
            f"--solver {parameters['solver']} is not for training {which} --hidden; use one of {', '.join(solvers)}"
        )
    return _network(hidden, parameters) if hidden else _linear(parameters)


def needs_dense_rows(parameters: dict[str, Any]) -> bool:
    """Whether the options ask for a device, a pass or a storage that only takes dense rows.

    ``parameters`` are those of `make_estimator`.
    """
    on_gpu = str(parameters.get("device", "auto")).startswith("cuda") or parameters.get("impl") in ("cuda", "cublas")
    return on_gpu or parameters.get("storage") in ("float16", "bfloat16", "uint8")


def _linear(parameters: dict[str, Any]) -> LogisticRegression | LogisticRegressionCV:
    for name, option in _NETWORK_ONLY.items():
        if parameters.pop(name) is not None:
            raise DataError(f"{option} is for networks; give --hidden UNITS too, or leave it out")
    cv, Cs = parameters.pop("cv"), parameters.pop("Cs")
    if cv is not None:
        return _cross_validated(cv, Cs, parameters)
    if Cs is not None:
        raise DataError("--Cs gives values to choose from by --cv; give that too, or one value by --C")
    if parameters["tol"] is None and parameters["solver"] in ("sgd", "adam"):
        parameters["tol"] = 1e-4
    model = LogisticRegression(**_without_none(parameters | _penalty(parameters.pop("penalty"), parameters)))
    read_parameters(model)  # raises on a wrong parameter now, before a large file is read
    return model


def _cross_validated(cv: int, Cs: str | None, parameters: dict[str, Any]) -> LogisticRegressionCV:
    penalty = parameters.pop("penalty")
    if penalty == "none" or parameters["C"] != 1.0:
        given = "--penalty none" if penalty == "none" else "--C"
        raise DataError(f"{given} sets the strength that --cv is to choose; leave one of them out")
    if parameters["solver"] in ("sgd", "adam", "gradient-descent"):
        raise DataError(
            f"--solver {parameters['solver']} does not go with --cv, whose fits go to the optimum; leave it out"
        )
    parameters |= _penalty(penalty, parameters)
    for name, option in (("learning_rate", "--learning-rate"), ("max_time", "--max-time")):
        if parameters.pop(name, None) is not None:
            raise DataError(f"{option} is for one fit, and --cv makes many; leave one of them out")
    del parameters["C"]
    parameters["l1_ratios"] = [parameters.pop("l1_ratio") or 0.0]
    grid = {"cv": cv, "Cs": _values_of(Cs), "scoring": "neg_log_loss", "use_legacy_attributes": False}
    model = LogisticRegressionCV(**_without_none(parameters | grid))
    read_grid(model)  # raises on a wrong parameter now, before a large file is read
    return model


def _values_of(Cs: str | None) -> Any:
    """``--Cs``: how many values, or the values themselves, of which there may be one."""
    if Cs is None:
        return None
    try:
        values = [float(value) for value in Cs.split(",")]
    except ValueError:
        raise DataError(f"--Cs {Cs} is neither a number of values nor values, as in 0.1,1,10") from None
    if "," not in Cs and values[0].is_integer() and values[0] >= 1:
        return int(values[0])
    if len(set(values)) < len(values):
        raise DataError(f"--Cs {Cs} holds a value twice; leave one out")
    return read_Cs(values).tolist()


def _penalty(penalty: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
    """``C`` or ``l1_ratio`` for ``--penalty``: scikit-learn has deprecated the parameter ``penalty`` for these two."""
    ratio = parameters["l1_ratio"]
    if penalty == "elasticnet" and ratio is None:
        raise DataError("--penalty elasticnet needs the share of L1 in it; give --l1-ratio too")
    if penalty in ("l1", "l2") and ratio not in (None, float(penalty == "l1")):
        raise DataError(f"--penalty {penalty} and --l1-ratio {ratio:g} contradict each other; leave one out")
    if penalty == "none" and (parameters["C"], ratio) not in ((1.0, None), (math.inf, None)):
        raise DataError("--penalty none leaves nothing for --C and --l1-ratio to weigh; leave them out")
    return {"none": {"C": math.inf}, "l1": {"l1_ratio": 1.0}, "l2": {"l1_ratio": 0.0}}.get(penalty or "", {})


def _network(hidden: tuple[int, ...], parameters: dict[str, Any]) -> MLPClassifier:
    for name, (option, default, advice) in _LINEAR_ONLY.items():
        if parameters.pop(name) != default:
            raise DataError(f"{option} is not for networks, which --hidden asks for; {advice}")
    if parameters.get("storage") == "uint8":
        raise DataError("--storage uint8 is not for networks, whose columns are standardised; use --storage float16")
    if parameters["activation"] is None:
        parameters["activation"] = "tanh"
    if parameters["solver"] == "auto":
        parameters["solver"] = "adam"
    if parameters["early_stopping"] and parameters["solver"] not in STOCHASTIC:
        raise DataError(f"--early-stopping is for {', '.join(STOCHASTIC)}, not --solver {parameters['solver']}")
    parameters["learning_rate_init"] = parameters.pop("learning_rate")
    return MLPClassifier(hidden, **_without_none(parameters))


def _without_none(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that the user or a default set."""
    return {name: value for name, value in parameters.items() if value is not None}
