"""Models in a file: safetensors with a description in JSON and a checksum. Nothing is pickled.

A file is a safetensors file whose tensors are the fitted arrays (those of a list are ``name/0``, ``name/1``, ...) and
whose metadata, all strings, are::

    format           "gpu-logreg model"
    format_version   "1"; a reader refuses larger ones
    kind             which estimator: "logistic-regression" or "neural-network"
    gpu_logreg       version of the package that wrote the file
    params           JSON of ``get_params()``
    fitted           JSON of the fitted attributes that are not tensors (``classes_``, ``n_iter_``, ...)
    schema           JSON of the columns of the table, or ""
    notes            JSON of what else the caller kept: name of the target, positive label, ...
    sha256           over all tensors and all other metadata, in sorted order

Whoever writes a file can write its checksum: what it holds is checked as well, when it is saved and when it is loaded.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as tensor_bytes

from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.estimators.linear.sparse_coef import dense_coef
from gpu_logreg.saved.checks import check_fitted
from gpu_logreg.saved.tensor_files import in_order, read_safetensors
from gpu_logreg.saved.values import encode, from_json, to_json
from gpu_logreg.saved.whole_files import check_destination, write_whole

__all__ = ["FORMAT_VERSION", "StoredModel", "load_model", "load_model_file", "save_model"]

FORMAT_VERSION = 1

_FORMAT = "gpu-logreg model"
# By name, so that this module stays below the estimators: it needs their class only to build one.
_ESTIMATORS = {
    "logistic-regression": ("gpu_logreg.estimators.linear.model", "LogisticRegression"),
    "neural-network": ("gpu_logreg.estimators.network.model", "MLPClassifier"),
}
_NEEDED = {
    "logistic-regression": {"coef_", "intercept_", "classes_", "n_features_in_"},
    "neural-network": {"coefs_", "intercepts_", "classes_", "n_features_in_"},
}
_TEXTS = ("fitted", "gpu_logreg", "notes", "params", "schema", "sha256")
_VERSION = re.compile(r"[0-9A-Za-z.+!_-]{1,64}")
_LONGEST_REASON = 300
# Parameters that a fitted model no longer depends on: stored where JSON can hold them, else left at their default.
_PASSING = ("random_state", "verbose")


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds.

    Attributes
    ----------
    estimator : fitted estimator
    schema : str or None
        JSON of the columns of the table it was trained on; None where it was trained on arrays without a schema.
    notes : dict
        What else `save_model` was given, such as ``target`` and ``positive``.
    kind : str
        ``"logistic-regression"`` or ``"neural-network"``.
    version : str
        Version of gpu-logreg that wrote the file.
    """

    estimator: Any
    schema: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    kind: str = "logistic-regression"
    version: str = ""


def save_model(
    model: Any, path: str | os.PathLike[str], *, schema: str | None = None, notes: Mapping[str, Any] | None = None
) -> None:
    """Write a fitted estimator to ``path``, whole or not at all.

    The file is written under another name beside ``path``, brought to the disk and then renamed, so that a full disk
    or an interruption leaves an older file at ``path`` as it was.

    Parameters
    ----------
    model : fitted LogisticRegression or MLPClassifier
    path : path
    schema : str or None
        ``Schema.to_json()``, to predict from raw files.
    notes : mapping or None
        Names and values to keep beside the model: texts, numbers, booleans, None, and lists and dicts of them.

    Raises
    ------
    DataError
        A model that is not fitted or of another class, a parameter or label that cannot be stored, weights that
        contradict each other, a directory that is not there.
    ModelFileError
        If the file cannot be written, for example because the disk is full.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from gpu_logreg import LogisticRegression, load_model, save_model
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = LogisticRegression().fit(X, y)
    >>> save_model(model, "cancer.model")
    >>> bool((load_model("cancer.model").predict(X) == model.predict(X)).all())
    True
    """
    path = Path(path)
    check_destination(path)
    kind = _kind(model)
    if not _NEEDED[kind].issubset(vars(model)):
        raise DataError(f"this {type(model).__name__} is not fitted; call fit before saving it")
    fitted = _without_lists({name: _dense(value) for name, value in vars(model).items() if _is_fitted_name(name)})
    tensors = {name: _stored(value) for name, value in fitted.items() if _is_tensor(value)}
    metadata = {
        "format": _FORMAT,
        "format_version": str(FORMAT_VERSION),
        "kind": kind,
        "gpu_logreg": str(importlib.import_module("gpu_logreg").__version__),
        "params": to_json(_storable_params(model), "parameter"),
        "fitted": to_json({name: fitted[name] for name in fitted.keys() - tensors.keys()}, "fitted attribute"),
        "schema": schema or "",
        "notes": to_json(dict(notes or {}), "note"),
    }
    try:
        _restored(kind, tensors, metadata)
    except _WRONG as error:
        raise DataError(f"this {type(model).__name__} cannot be saved: {_reason(error)}") from error
    metadata["sha256"] = _checksum(tensors, metadata)
    write_whole(path, in_order(tensor_bytes(tensors, metadata)))


def load_model(path: str | os.PathLike[str]) -> Any:
    """Read the fitted estimator that `save_model` wrote; see `load_model_file` for what else the file holds.

    Parameters
    ----------
    path : path

    Returns
    -------
    fitted LogisticRegression or MLPClassifier

    Raises
    ------
    ModelFileError
        As for `load_model_file`.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from gpu_logreg import MLPClassifier, load_model, save_model
    >>> X, y = make_moons(100, random_state=0)
    >>> save_model(MLPClassifier((8,), activation="tanh", solver="lbfgs").fit(X, y), "moons.model")
    >>> load_model("moons.model").hidden_layer_sizes
    [8]
    """
    return load_model_file(path).estimator


def load_model_file(path: str | os.PathLike[str]) -> StoredModel:
    """Read all that a model file holds. Runs no code from the file.

    Raises
    ------
    ModelFileError
        One line that names the file: it is missing, is not a model file, is truncated or damaged, or was written by
        a newer gpu-logreg.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path, lambda metadata: _check_format(path, metadata))
    for name in _TEXTS:
        if name not in metadata:
            raise ModelFileError(f"{path}: lacks its {name}; fetch it again or train again")
    if metadata["sha256"] != _checksum(tensors, metadata):
        raise ModelFileError(f"{path}: is damaged (its checksum does not match); fetch it again or train again")
    kind = metadata.get("kind", "")
    if kind not in _ESTIMATORS:
        raise ModelFileError(f"{path}: holds a {kind[:40]!r} model, unknown to this gpu-logreg; upgrade it")
    try:
        estimator, notes = _restored(kind, tensors, metadata)
    except _WRONG as error:  # whole, yet written by other rules than these
        raise ModelFileError(
            f"{path}: holds what this gpu-logreg does not know, or a model that cannot be: {_reason(error)}; "
            "upgrade it, or train again"
        ) from error
    return StoredModel(estimator, metadata["schema"] or None, notes, kind, metadata["gpu_logreg"])


_WRONG = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


def _reason(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}..."


def _restored(
    kind: str, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> tuple[Any, dict[str, Any]]:
    """The estimator and the notes that tensors and metadata stand for; one of `_WRONG` where they stand for none."""
    if not _VERSION.fullmatch(metadata["gpu_logreg"]):
        raise ValueError(f"it was written by {metadata['gpu_logreg'][:40]!r}, which is no version")
    estimator = _class(kind)(**from_json(metadata["params"]))
    estimator._validate_params()
    others = from_json(metadata["fitted"])
    fitted = _with_lists({**tensors, **others})
    strange = [name for name in fitted if not _is_fitted_name(name) or hasattr(estimator, name)]
    if strange or tensors.keys() & others.keys() or not _NEEDED[kind].issubset(fitted):
        raise ValueError(f"the attributes {', '.join(sorted(fitted))}")
    check_fitted(kind, fitted)
    for name, value in fitted.items():
        setattr(estimator, name, value)
    return estimator, from_json(metadata["notes"])


def _class(kind: str) -> Any:
    module, name = _ESTIMATORS[kind]
    return getattr(importlib.import_module(module), name)


def _kind(model: Any) -> str:
    for kind in _ESTIMATORS:
        if type(model) is _class(kind):
            return kind
    known = ", ".join(name for _, name in _ESTIMATORS.values())
    raise DataError(f"a {type(model).__name__} cannot be saved; a model file holds one of: {known}")


def _is_fitted_name(name: str) -> bool:
    """Whether scikit-learn's convention makes ``name`` a fitted attribute."""
    return name.endswith("_") and not name.startswith("_") and name.isidentifier()


def _dense(value: Any) -> Any:
    return dense_coef(value) if hasattr(value, "toarray") else value  # after `sparsify`


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _stored(value: NDArray[Any]) -> NDArray[Any]:
    """The array in the order of rows and bytes of the file."""
    return np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))


def _without_lists(fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Every array of a list of arrays under a name of its own, ``name/0``, ``name/1``, ..."""
    apart: dict[str, Any] = {}
    for name, value in fitted.items():
        if isinstance(value, list) and value and all(map(_is_tensor, value)):
            apart |= {f"{name}/{k}": item for k, item in enumerate(value)}
        else:
            apart[name] = value
    return apart


def _with_lists(apart: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `_without_lists`."""
    fitted: dict[str, Any] = {}
    for name, value in apart.items():
        if "/" not in name:
            fitted[name] = value
    for name in sorted({name.split("/", 1)[0] for name in apart if "/" in name}):
        if name in fitted:
            raise ValueError(f"{name}, once as a list and once as a whole")
        count = sum(other.startswith(f"{name}/") for other in apart)
        fitted[name] = [apart[f"{name}/{k}"] for k in range(count)]
    return fitted


def _storable_params(model: Any) -> dict[str, Any]:
    params: dict[str, Any] = model.get_params(deep=False)
    for name in _PASSING:
        try:
            encode(params.get(name))
        except TypeError:  # a RandomState, a callable
            del params[name]
    return params


def _checksum(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    digest.update(
        json.dumps({name: text for name, text in metadata.items() if name != "sha256"}, sort_keys=True).encode()
    )
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, tensor.dtype.str, tensor.shape]).encode())
        digest.update(tensor.data)
    return digest.hexdigest()


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != _FORMAT:
        raise ModelFileError(f"{path}: is a safetensors file, but not a model of gpu-logreg")
    version = metadata.get("format_version", "")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise ModelFileError(
            f"{path}: is damaged (format_version {version[:40]!r} is not a whole number); fetch it again or train again"
        )
    if int(version) > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: was written by a newer gpu-logreg ({metadata.get('gpu_logreg', 'unknown')[:40]}, format "
            f"{version}; this one reads up to {FORMAT_VERSION}); upgrade gpu-logreg"
        )
