"""Checks of fitted attributes: weights are finite arrays whose shapes fit together, and classes are distinct.

The checksum of a file proves only that nobody changed the file since it was written. Whoever writes a file can compute
its checksum, so the values themselves are checked before a model predicts with them.
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
_NUMBER_LISTS = ("loss_curve_", "validation_scores_")
_COUNTS = ("n_layers_", "n_outputs_", "t_")
_MAY_BE_NONE = ("best_loss_", "best_validation_score_", "validation_scores_")

_LONGEST_TEXT = 10_000
"""Most letters of a text such as `stop_reason_`. The longest that a fit writes are a few hundred letters."""

_LONGEST_SHOWN = 40
"""Most letters of a wrong value in a message, so that the message stays one line."""

_LARGEST_FLOAT = 2**1023
"""Whole numbers below convert to a float without an OverflowError."""


def check_fitted(kind: str, fitted: Mapping[str, Any]) -> None:
    """Refuse fitted attributes of a model that contradict each other or hold what no fit gives.

    Parameters
    ----------
    kind : {"logistic-regression", "logistic-regression-cv", "neural-network"}
    fitted : mapping
        Attributes by name. Attributes that no check here knows may hold anything.

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
    """Refuse an attribute that describes the fit and is not of the type that a fit gives it."""
    if name in _TEXTS:
        is_right = isinstance(value, str) and len(value) <= _LONGEST_TEXT
    elif name in _NUMBERS:
        is_right = _is_number(value)
    elif name in _NUMBER_LISTS:
        is_right = _is_array(value, "f", 1) or (isinstance(value, list) and all(map(_is_number, value)))
    elif name in _COUNTS:
        is_right = _is_count(value)
    elif name == "n_iter_":
        is_array = isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.size > 0
        is_right = _is_count(value) or (is_array and bool((value >= 0).all()))
    elif name == "converged_":
        is_right = isinstance(value, bool | np.bool_)
    else:
        return
    if not is_right:
        raise ValueError(f"{name} is {_short(value)}")


def _check_coef(fitted: Mapping[str, Any]) -> tuple[int, int]:
    """The number of columns and the number of logits of a linear model."""
    coef = _weights("coef_", fitted["coef_"], 2)
    intercept = _weights("intercept_", fitted["intercept_"], 1)
    if len(intercept) != len(coef):
        raise ValueError(f"coef_ is of shape {coef.shape}, and intercept_ of {intercept.shape}")
    return coef.shape[1], len(coef)


def _check_layers(fitted: Mapping[str, Any]) -> tuple[int, int]:
    """The number of columns and the number of logits of a network."""
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
    """Refuse classes that are not distinct, or whose number does not go with the number of logits.

    One logit stands for two classes, K > 2 softmax logits for K classes, L > 1 logistic logits for L labels.
    """
    classes = fitted["classes_"]
    if not (isinstance(classes, np.ndarray) and classes.ndim == 1):
        raise ValueError(f"classes_ is {_short(classes)}")
    if classes.dtype.kind == "f" and not np.isfinite(classes).all():
        raise ValueError("classes_ holds numbers that are not finite")
    if len(set(classes.tolist())) != len(classes):
        raise ValueError("classes_ holds a class twice")
    activation = fitted.get("out_activation_", "softmax" if n_outputs > 1 else "logistic")
    is_multilabel = activation == "logistic" and n_outputs > 1
    if activation not in ("logistic", "softmax") or (activation == "softmax" and n_outputs == 1):
        raise ValueError(f"out_activation_ is {_short(activation)}, for {n_outputs} logits")
    if is_multilabel and classes.tolist() != list(range(n_outputs)):
        raise ValueError(f"classes_ are not the numbers of {n_outputs} labels")
    if not is_multilabel and (n_outputs == 2 or len(classes) != max(2, n_outputs)):
        raise ValueError(f"{len(classes)} classes_ for {n_outputs} logits")


def _weights(name: str, value: Any, ndim: int) -> NDArray[Any]:
    """``value``, if it is an array of finite float32 or float64 numbers with ``ndim`` dimensions; else ValueError."""
    if not (_is_array(value, "f", ndim) and value.dtype.itemsize >= 4):
        raise ValueError(f"{name} is {_short(value)}")
    if not np.isfinite(value).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    return np.asarray(value)


def _is_array(value: object, kinds: str, ndim: int) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in kinds and value.ndim == ndim


def _is_number(value: object) -> bool:
    """Whether a value is a number that converts to a float; NaN and infinity are such numbers."""
    if isinstance(value, int | np.integer):
        return not isinstance(value, bool) and abs(int(value)) < _LARGEST_FLOAT
    return isinstance(value, float | np.floating)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= int(value) < 2**63


def _short(value: object) -> str:
    """A value as a message shows it: an array by its dtype and shape, another value cut to `_LONGEST_SHOWN` letters."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
