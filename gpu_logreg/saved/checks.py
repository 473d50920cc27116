"""What a fitted model must be to predict: arrays of finite numbers that fit together, and classes told apart.

A file may hold anything, and a checksum says only that it holds what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_fitted"]

_TEXTS = (
    "device_",
    "device_reason_",
    "impl_",
    "impl_reason_",
    "out_activation_",
    "solver_",
    "solver_reason_",
    "stop_reason_",
    "storage_",
)
_NUMBERS = ("best_loss_", "best_validation_score_", "duality_gap_", "loss_", "n_reads_", "objective_")
_LISTS = ("loss_curve_", "validation_scores_")
_COUNTS = ("n_layers_", "n_outputs_", "t_")
_MAY_BE_NONE = ("best_loss_", "best_validation_score_", "validation_scores_")
_LONGEST_TEXT = 10_000


def check_fitted(kind: str, fitted: Mapping[str, Any]) -> None:
    """Refuse fitted attributes of a model that contradict each other or hold what no fit gives.

    Parameters
    ----------
    kind : {"logistic-regression", "neural-network"}
    fitted : mapping
        Attributes by name; those that are not known may hold anything.

    Raises
    ------
    ValueError
        One line that names the attribute.
    """
    for name, value in fitted.items():
        if not (value is None and name in _MAY_BE_NONE):
            _check_fact(name, value)
    n_features, n_outputs = _check_layers(fitted) if kind == "neural-network" else _check_coef(fitted)
    if n_features != fitted["n_features_in_"] or isinstance(fitted["n_features_in_"], bool):
        raise ValueError(f"n_features_in_ is {_short(fitted['n_features_in_'])}, and the weights are of {n_features}")
    _check_classes(fitted, n_outputs)
    names = fitted.get("feature_names_in_")
    if names is not None and not (_is_array(names, "OU", 1) and len(names) == n_features):
        raise ValueError(f"feature_names_in_ are not the names of {n_features} columns")


def _check_fact(name: str, value: Any) -> None:
    """Refuse a report of a fit that is of another type than the report."""
    if name in _TEXTS:
        right = isinstance(value, str) and len(value) <= _LONGEST_TEXT
    elif name in _NUMBERS:
        right = _is_number(value)
    elif name in _LISTS:
        right = _is_array(value, "f", 1) or (isinstance(value, list) and all(map(_is_number, value)))
    elif name in _COUNTS:
        right = _is_count(value)
    elif name == "n_iter_":
        right = _is_count(value) or (_is_array(value, "iu", 1) and len(value) > 0 and bool((value >= 0).all()))
    elif name == "converged_":
        right = isinstance(value, bool | np.bool_)
    else:
        return
    if not right:
        raise ValueError(f"{name} is {_short(value)}")


def _check_coef(fitted: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of columns and of logits of a linear model."""
    coef = _weights("coef_", fitted["coef_"], 2)
    intercept = _weights("intercept_", fitted["intercept_"], 1)
    if len(intercept) != len(coef):
        raise ValueError(f"coef_ is of shape {coef.shape}, and intercept_ of {intercept.shape}")
    return coef.shape[1], len(coef)


def _check_layers(fitted: Mapping[str, Any]) -> tuple[int, int]:
    """Numbers of columns and of logits of a network."""
    coefs, intercepts = fitted["coefs_"], fitted["intercepts_"]
    if not (isinstance(coefs, list) and isinstance(intercepts, list) and 0 < len(coefs) == len(intercepts)):
        raise ValueError("coefs_ and intercepts_ are not one array for each layer")
    width = None
    for k, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        _weights(f"coefs_[{k}]", W, 2)
        _weights(f"intercepts_[{k}]", b, 1)
        if W.shape[0] != (width or W.shape[0]) or len(b) != W.shape[1] or W.dtype != coefs[0].dtype:
            raise ValueError(f"layer {k + 1} takes {width} and has weights of {W.shape}, intercepts of {b.shape}")
        width = W.shape[1]
    for name, count in (("n_layers_", len(coefs) + 1), ("n_outputs_", width)):
        if fitted.get(name, count) != count:
            raise ValueError(f"{name} is {_short(fitted[name])}, and the layers make {count}")
    return coefs[0].shape[0], len(intercepts[-1])


def _check_classes(fitted: Mapping[str, Any], n_outputs: int) -> None:
    """Refuse classes that are not as many as the logits tell apart, or not distinct."""
    classes = fitted["classes_"]
    if not (isinstance(classes, np.ndarray) and classes.ndim == 1):
        raise ValueError(f"classes_ is {_short(classes)}")
    if classes.dtype.kind == "f" and not np.isfinite(classes).all():
        raise ValueError("classes_ holds numbers that are not finite")
    if len(set(classes.tolist())) != len(classes):
        raise ValueError("classes_ holds a class twice")
    activation = fitted.get("out_activation_", "softmax" if n_outputs > 1 else "logistic")
    several = activation == "logistic" and n_outputs > 1
    if activation not in ("logistic", "softmax") or (activation == "softmax" and n_outputs == 1):
        raise ValueError(f"out_activation_ is {_short(activation)}, for {n_outputs} logits")
    if several and classes.tolist() != list(range(n_outputs)):
        raise ValueError(f"classes_ are not the numbers of {n_outputs} labels")
    if not several and (n_outputs == 2 or len(classes) != max(2, n_outputs)):
        raise ValueError(f"{len(classes)} classes_ for {n_outputs} logits")


def _weights(name: str, value: Any, ndim: int) -> NDArray[Any]:
    """The array, if it is one of finite numbers, of so many dimensions, in a dtype of weights."""
    if not (_is_array(value, "f", ndim) and value.dtype.itemsize >= 4):
        raise ValueError(f"{name} is {_short(value)}")
    if not np.isfinite(value).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    return np.asarray(value)


def _is_array(value: Any, kinds: str, ndim: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in kinds and value.ndim == ndim


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can be; one that is not finite is."""
    if isinstance(value, int | np.integer):
        return not isinstance(value, bool) and abs(int(value)) < 2**1023
    return isinstance(value, float | np.floating)


def _is_count(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= int(value) < 2**63


def _short(value: Any) -> str:
    """A value in a message."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
