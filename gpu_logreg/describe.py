"""What a person reads of the machine and of a model in a file: ``gpu-logreg info``."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpu_logreg import __version__
from gpu_logreg.backend import AUTO_CUDA_BYTES, cuda_problem, resolve_device
from gpu_logreg.lines import printable
from gpu_logreg.model_file import StoredModel, load_model_file
from gpu_logreg.network_target import known_target
from gpu_logreg.report import class_names, describe_fit, print_facts, print_table
from gpu_logreg.stored_columns import positive_of, schema_of

__all__ = ["describe_machine", "describe_model"]

_SHOWN_COEFFICIENTS = 12
_SHOWN_CLASSES = 12


def describe_machine(in_one_line: bool = False) -> None:
    """Versions, threads, and which device a fit would take and why."""
    from joblib import cpu_count

    problem = cuda_problem()
    if in_one_line:
        gpu = "no usable GPU (gpu-logreg info tells why)" if problem else _gpu_name()
        print(f"gpu-logreg {__version__}, scikit-learn {_version('scikit-learn')}, {cpu_count()} CPUs, {gpu}")
        return
    packages = ("numpy", "scikit-learn", "numba", "safetensors", "pyarrow", "cupy-cuda12x", "cupy-cuda13x")
    device = resolve_device("auto").name
    print_facts(
        {
            "gpu-logreg": __version__,
            "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
            **{name: version for name in packages if (version := _version(name)) is not None},
            "CPUs": str(cpu_count()),
            "GPU": f"not usable: {problem}" if problem else _gpu_name(),
            "device": f"auto takes {device} for rows of {AUTO_CUDA_BYTES >> 20} MiB and more, cpu for fewer"
            if device != "cpu"
            else "auto takes cpu",
        }
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu_name() -> str:
    from gpu_logreg.backend import import_cupy

    properties = import_cupy().cuda.runtime.getDeviceProperties(0)
    return f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB"


def describe_model(path: Path) -> None:
    """Classes, columns, fit and parameters of a model, and its largest coefficients."""
    stored = load_model_file(path)
    model = stored.estimator
    schema = schema_of(stored, path)
    columns = f"{model.n_features_in_:,} after encoding"
    if schema is not None:
        columns = f"{len(schema.numeric):,} of numbers, {len(schema.text):,} of text; {columns}"
    defaults = type(model)().get_params()
    changed = {name: value for name, value in model.get_params().items() if not _is_same(value, defaults[name])}
    classes = class_names(model.classes_, positive_of(stored, path))
    print_facts(
        {
            "model": f"{stored.kind}, written by gpu-logreg {stored.version}",
            "classes": " | ".join(classes[:_SHOWN_CLASSES]) + (" | ..." if len(classes) > _SHOWN_CLASSES else ""),
            **_target(stored),
            "columns": columns,
            **_fit(model),
            "parameters": ", ".join(f"{name}={value!r}" for name, value in changed.items()) or "defaults",
        }
    )
    if hasattr(model, "coefs_"):
        _describe_layers(model)
        return
    names = schema.feature_names if schema is not None else [f"c{j}" for j in range(model.n_features_in_)]
    if len(classes) > 2:
        _describe_classes(model, names, classes)
        return
    coef, second = model.coef_[0], classes[1]
    largest = np.argsort(-np.abs(coef), kind="stable")[:_SHOWN_COEFFICIENTS]
    cells = {"(intercept)": f"{model.intercept_[0]:+.6g}"} | {str(names[j]): f"{coef[j]:+.6g}" for j in largest}
    of_all = f"the {len(largest)} largest of {len(coef):,}" if len(coef) > len(largest) else "all"
    print(f"\nCoefficients, {of_all}; those above zero speak for {printable(second)}")
    print_table({"": cells})


def _describe_classes(model: Any, names: Any, classes: Sequence[str]) -> None:
    """The column that speaks most for every class, and the one that speaks most against it."""
    print("\nCoefficients of the columns that speak most for a class, and most against it")
    shown = classes[:_SHOWN_CLASSES]
    most, least = model.coef_.argmax(axis=1), model.coef_.argmin(axis=1)
    table: dict[str, dict[str, str]] = {"for": {}, "against": {}}
    for k, name in enumerate(shown):
        table["for"][name] = f"{names[most[k]]} {model.coef_[k, most[k]]:+.4g}"
        table["against"][name] = f"{names[least[k]]} {model.coef_[k, least[k]]:+.4g}"
    print_table(table)


def _describe_layers(model: Any) -> None:
    """Units, parameters and size of the weights of every layer of a network."""
    units = [W.shape[1] for W in model.coefs_]
    activations = [model.activation] * (len(units) - 1) + [known_target(model).out_activation]
    cells = {
        "units": [f"{m:,}" for m in units],
        "activation": activations,
        "parameters": [f"{W.size + b.size:,}" for W, b in zip(model.coefs_, model.intercepts_, strict=True)],
        "largest weight": [f"{np.abs(W).max():.4g}" for W in model.coefs_],
    }
    rows = [f"layer {k}" for k in range(1, len(units) + 1)]
    print()
    print_table({heading: dict(zip(rows, column, strict=True)) for heading, column in cells.items()})


def _is_same(value: Any, default: Any) -> bool:
    """Whether a parameter is the default; files know lists alone, and an array is compared as a whole."""
    return repr(value) == repr(list(default) if isinstance(value, list) and isinstance(default, tuple) else default)


def _fit(model: Any) -> dict[str, str]:
    """Facts of the fit, which a model that another library fitted has not all."""
    try:
        objective = model.loss_ if hasattr(model, "coefs_") else model.objective_
        return {**describe_fit(model), "objective": f"{objective:.10g}"}
    except AttributeError:
        return {"fit": "elsewhere; nothing is known of it"}


def _target(stored: StoredModel) -> dict[str, str]:
    target = stored.notes.get("target")
    return {"target": str(target)} if target is not None else {}
