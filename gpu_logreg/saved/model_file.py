"""Models in a file: safetensors with a description in JSON and a checksum. Nothing is pickled.

A file is a safetensors file whose tensors are the fitted arrays (those of a list are ``name/0``, ``name/1``, ...) and
whose metadata, all strings, are::

    format           "gpu-logreg model"
    format_version   "1"; a reader refuses larger ones
    kind             which estimator: "logistic-regression", "logistic-regression-cv" or "neural-network"
    gpu_logreg       version of the package that wrote the file
    params           JSON of ``get_params()``
    fitted           JSON of the fitted attributes that are not tensors (``classes_``, ``n_iter_``, ...)
    schema           JSON of the columns of the table, or ""
    notes            JSON of what else the caller passed: name of the target, positive label, ...
    sha256           over all tensors and all other metadata, in sorted order

Whoever writes a file can compute its checksum: `gpu_logreg.saved.checks` judges the attributes as well.
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
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray
from safetensors.numpy import save as tensor_bytes

from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.saved.attributes import by_class, fitted_attributes, is_fitted_name, join_lists, split_lists, tensors_of
from gpu_logreg.saved.checks import check_fitted
from gpu_logreg.saved.tensor_files import read_safetensors, sort_header
from gpu_logreg.saved.values import encode, from_json, to_json
from gpu_logreg.saved.whole_files import check_destination, write_whole

if TYPE_CHECKING:
    from gpu_logreg.estimators.cross_validation.model import LogisticRegressionCV
    from gpu_logreg.estimators.linear.model import LogisticRegression
    from gpu_logreg.estimators.network.model import MLPClassifier

    Estimator: TypeAlias = LogisticRegression | LogisticRegressionCV | MLPClassifier

__all__ = ["FORMAT_VERSION", "StoredModel", "load_model", "load_model_file", "save_model"]

FORMAT_VERSION = 1
"""Version of the layout above. It rises when an older gpu-logreg could no longer read a new file."""

_FORMAT = "gpu-logreg model"

_ESTIMATORS = {
    "logistic-regression": ("gpu_logreg.estimators.linear.model", "LogisticRegression"),
    "logistic-regression-cv": ("gpu_logreg.estimators.cross_validation.model", "LogisticRegressionCV"),
    "neural-network": ("gpu_logreg.estimators.network.model", "MLPClassifier"),
}
"""Module and class of an estimator by the ``kind`` of its file, imported when a file of that kind is read."""

_REQUIRED = {
    **{kind: {"coef_", "intercept_", "classes_", "n_features_in_"} for kind in list(_ESTIMATORS)[:2]},
    "neural-network": {"coefs_", "intercepts_", "classes_", "n_features_in_"},
}
"""Attributes without which a model of that kind cannot predict."""

_TEXTS = ("fitted", "gpu_logreg", "notes", "params", "schema", "sha256")
"""Metadata that every file has, besides its format and kind."""

_VERSION = re.compile(r"[0-9A-Za-z.+!_-]{1,64}")
"""A version of a Python package: the letters that PEP 440 allows."""

_LONGEST_REASON = 300
"""Most letters of the reason in a message, so that the message stays one line."""

_PARAMETERS_OF_THE_FIT = ("cv", "random_state", "scoring", "verbose")
"""Parameters that predictions do not depend on. They are left out where JSON has no value for them: a callback, say."""

_REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)
"""What checks and constructors raise on parameters or attributes that no model of ours can have."""


@dataclass(frozen=True)
class StoredModel:
    """What a model file holds.

    Attributes
    ----------
    estimator : fitted estimator
    schema : str or None
        JSON of the columns of the table that the model was trained on; None for a model trained on arrays.
    notes : dict
        The ``notes`` of `save_model`, such as ``target`` and ``positive``.
    kind : str
        As in the file.
    version : str
        Version of gpu-logreg that wrote the file.
    """

    estimator: Estimator
    schema: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    kind: str = "logistic-regression"
    version: str = ""


def save_model(
    model: Estimator, path: str | os.PathLike[str], *, schema: str | None = None, notes: Mapping[str, Any] | None = None
) -> None:
    """Write a fitted estimator to ``path``, whole or not at all.

    The file is written under another name beside ``path``, brought to the disk and then renamed, so that a full disk
    or an interruption leaves an older file at ``path`` as it was.

    Parameters
    ----------
    model : fitted LogisticRegression, LogisticRegressionCV or MLPClassifier
    path : path
    schema : str or None
        ``Schema.to_json()`` of the training rows, with which `gpu-logreg predict` encodes raw files.
    notes : mapping or None
        Further values by name, returned by `load_model_file`: texts, numbers, booleans, None, lists and dicts of them.

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
    if not _REQUIRED[kind].issubset(vars(model)):
        raise DataError(f"this {type(model).__name__} is not fitted; call fit before saving it")
    attributes = split_lists(fitted_attributes(model))
    tensors = tensors_of(attributes)
    metadata = {
        "format": _FORMAT,
        "format_version": str(FORMAT_VERSION),
        "kind": kind,
        "gpu_logreg": str(importlib.import_module("gpu_logreg").__version__),
        "params": to_json(_storable_params(model), "parameter"),
        "fitted": to_json({name: attributes[name] for name in attributes.keys() - tensors.keys()}, "fitted attribute"),
        "schema": schema or "",
        "notes": to_json(dict(notes or {}), "note"),
    }
    try:
        _build(kind, tensors, metadata)  # what could not be loaded is not saved
    except _REFUSALS as error:
        raise DataError(f"this {type(model).__name__} cannot be saved: {_reason(error)}") from error
    metadata["sha256"] = _checksum(tensors, metadata)
    write_whole(path, sort_header(tensor_bytes(tensors, metadata)))


def load_model(path: str | os.PathLike[str]) -> Estimator:
    """Read the fitted estimator that `save_model` wrote; see `load_model_file` for what else the file holds.

    Parameters
    ----------
    path : path

    Returns
    -------
    fitted LogisticRegression, LogisticRegressionCV or MLPClassifier

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
    """Read all that a model file holds. No code from the file is run.

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
        estimator, notes = _build(kind, tensors, metadata)
    except _REFUSALS as error:  # the checksum is right, so whoever wrote the file had other rules than these
        raise ModelFileError(
            f"{path}: holds what this gpu-logreg does not know, or a model that cannot be: {_reason(error)}; "
            "upgrade it, or train again"
        ) from error
    return StoredModel(estimator, metadata["schema"] or None, notes, kind, metadata["gpu_logreg"])


def _reason(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}..."


def _build(
    kind: str, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]
) -> tuple[Estimator, dict[str, Any]]:
    """Build the estimator of a file and decode its notes; raises one of `_REFUSALS` where no model can be so."""
    if not _VERSION.fullmatch(metadata["gpu_logreg"]):
        raise ValueError(f"it was written by {metadata['gpu_logreg'][:40]!r}, which is no version")
    estimator = _estimator_class(kind)(**from_json(metadata["params"]))
    estimator._validate_params()
    others = from_json(metadata["fitted"])
    attributes = join_lists({**tensors, **others})
    # An attribute with the name of a method or a parameter would replace it.
    has_wrong_names = any(not is_fitted_name(name) or hasattr(estimator, name) for name in attributes)
    if has_wrong_names or tensors.keys() & others.keys() or not _REQUIRED[kind].issubset(attributes):
        raise ValueError(f"the attributes {', '.join(sorted(attributes))}")
    check_fitted(kind, attributes)
    for name, value in by_class(attributes).items():
        setattr(estimator, name, value)
    return estimator, from_json(metadata["notes"])


def _estimator_class(kind: str) -> type[Estimator]:
    module, name = _ESTIMATORS[kind]
    estimator_class: type[Estimator] = getattr(importlib.import_module(module), name)
    return estimator_class


def _kind(model: object) -> str:
    for kind in _ESTIMATORS:
        if type(model) is _estimator_class(kind):
            return kind
    names = ", ".join(name for _, name in _ESTIMATORS.values())
    why = "give its to_local()" if hasattr(model, "to_local") else f"a model file holds one of: {names}"
    raise DataError(f"a {type(model).__name__} cannot be saved; {why}")


def _storable_params(model: Estimator) -> dict[str, Any]:
    """Parameters of an estimator, without those of `_PARAMETERS_OF_THE_FIT` that JSON cannot hold."""
    params: dict[str, Any] = model.get_params(deep=False)
    for name in set(_PARAMETERS_OF_THE_FIT) & set(params):
        try:
            encode(params[name])
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
