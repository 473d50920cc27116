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
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as tensor_bytes

from gpu_logreg.errors import DataError, ModelFileError
from gpu_logreg.model_values import encode, from_json, to_json
from gpu_logreg.sparse_coef import dense_coef
from gpu_logreg.whole_files import check_destination, in_order, read_safetensors, write_whole

__all__ = ["FORMAT_VERSION", "StoredModel", "load_model", "load_model_file", "save_model"]

FORMAT_VERSION = 1

_FORMAT = "gpu-logreg model"
# By name, so that this module stays below the estimators: it needs their class only to build one.
_ESTIMATORS = {
    "logistic-regression": ("gpu_logreg.linear_model", "LogisticRegression"),
    "neural-network": ("gpu_logreg.neural_network", "MLPClassifier"),
}
_NEEDED = {
    "logistic-regression": {"coef_", "intercept_", "classes_", "n_features_in_"},
    "neural-network": {"coefs_", "intercepts_", "classes_", "n_features_in_"},
}
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
        A model that is not fitted or of another class, a parameter or label that cannot be stored, a directory that
        is not there.
    ModelFileError
        If the file cannot be written, for example because the disk is full.
    """
    path = Path(path)
    check_destination(path)
    kind = _kind(model)
    if not _NEEDED[kind].issubset(vars(model)):
        raise DataError(f"this {type(model).__name__} is not fitted; call fit before saving it")
    fitted = _without_lists({name: _dense(value) for name, value in vars(model).items() if _is_fitted_name(name)})
    tensors = {name: np.ascontiguousarray(value) for name, value in fitted.items() if _is_tensor(value)}
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
    metadata["sha256"] = _checksum(tensors, metadata)
    write_whole(path, in_order(tensor_bytes(tensors, metadata)))


def load_model(path: str | os.PathLike[str]) -> Any:
    """Read the fitted estimator that `save_model` wrote; see `load_model_file` for what else the file holds.

    Raises
    ------
    ModelFileError
        As for `load_model_file`.
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
    tensors, metadata = read_safetensors(path)
    _check_format(path, metadata)
    if metadata.get("sha256") != _checksum(tensors, metadata):
        raise ModelFileError(f"{path}: is damaged (its checksum does not match); fetch it again or train again")
    kind = metadata.get("kind", "")
    if kind not in _ESTIMATORS:
        raise ModelFileError(f"{path}: holds a {kind!r} model, unknown to this gpu-logreg; upgrade it")
    try:
        estimator = _class(kind)(**from_json(metadata["params"]))
        fitted = _with_lists({**tensors, **from_json(metadata["fitted"])})
        notes = from_json(metadata["notes"])
        if not _NEEDED[kind].issubset(fitted) or not all(map(_is_fitted_name, fitted)):
            raise ValueError(f"the attributes {', '.join(sorted(fitted))}")
        schema, version = metadata["schema"] or None, metadata["gpu_logreg"]
    except (KeyError, TypeError, ValueError) as error:  # whole, yet written by other rules than these
        raise ModelFileError(f"{path}: holds what this gpu-logreg does not know ({error}); upgrade it") from error
    for name, value in fitted.items():
        setattr(estimator, name, value)
    return StoredModel(estimator, schema, notes, kind, version)


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
    for name in {name.split("/", 1)[0] for name in apart if "/" in name}:
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
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != _FORMAT:
        raise ModelFileError(f"{path}: is a safetensors file, but not a model of gpu-logreg")
    version = metadata.get("format_version", "")
    if version.isdecimal() and int(version) > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: was written by a newer gpu-logreg ({metadata.get('gpu_logreg', 'unknown')}, format {version}; "
            f"this one reads up to {FORMAT_VERSION}); upgrade gpu-logreg"
        )
