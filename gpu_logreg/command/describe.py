"""``gpu-logreg info``: a description of this machine, or of a model in a file, for a person to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_logreg import __version__
from gpu_logreg.arrays.blocks import n_threads
from gpu_logreg.arrays.device import cuda_problem, import_cupy
from gpu_logreg.command.lines import printable
from gpu_logreg.command.machine import machine_facts, version_of
from gpu_logreg.command.report import Estimator, class_names, duration, print_facts, print_table
from gpu_logreg.command.stored_columns import positive_of, schema_of
from gpu_logreg.command.strength_choice import describe_choice
from gpu_logreg.estimators.linear.model import LogisticRegression
from gpu_logreg.estimators.network.model import MLPClassifier
from gpu_logreg.estimators.target import known_target
from gpu_logreg.files.numbered import numbered_columns
from gpu_logreg.saved.model_file import StoredModel, load_model_file

__all__ = ["describe_machine", "describe_model"]

_SHOWN_COEFFICIENTS = 12
"""Coefficients of a model of two classes that are shown, the largest; a screen has 24 lines."""

_SHOWN_CLASSES = 12
"""Classes that are named, and whose largest coefficients are shown."""


def describe_machine(in_one_line: bool = False, as_json: bool = False) -> None:
    """Print what would run on this machine, what would not and why, and the versions of the packages.

    Parameters
    ----------
    in_one_line : bool
        Whether only the versions, the number of CPUs and the GPU are wanted.
    as_json : bool
        Whether to print `gpu_logreg.command.machine.machine_facts` as JSON, for a program to read.
    """
    if in_one_line:
        problem = cuda_problem()
        gpu = "no usable GPU (gpu-logreg info tells why)" if problem else _gpu_name()
        version = version_of("scikit-learn")
        print(f"gpu-logreg {__version__}, scikit-learn {version}, {n_threads()} CPUs, {gpu}")
        return
    facts = machine_facts()
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        print_facts(_machine_lines(facts))


def _machine_lines(facts: dict[str, Any]) -> dict[str, str]:
    """The facts of `machine_facts` as text: a line for each, by the heading of the line."""
    gpu, cpu, cache = facts["gpu"], facts["cpu"], facts["numba_cache"]
    vectors = f"{cpu['instructions'] or 'no vector instructions'} (Numba compiles for {cpu['compiled_for']})"
    return {
        "gpu-logreg": facts["gpu_logreg"],
        "Python": f"{facts['python']}, {facts['system']}",
        **facts["packages"],
        "CPU": f"{cpu['name']}, {_threads_text(cpu)}, {vectors}",
        "Numba cache": cache or "none: no folder can be written, so every process compiles anew; set NUMBA_CACHE_DIR",
        "CuPy": _cupy_line(facts["cupy"]),
        **({"kernel cache": facts["cupy"]["kernel_cache"]} if facts["cupy"]["kernel_cache"] else {}),
        "driver": _driver_line(facts["driver"]["cuda"], facts["cupy"], gpu["problem"]),
        "GPU": f"not usable: {gpu['problem']}" if gpu["problem"] else _usable_line(gpu["devices"]),
        **{device["device"]: _device_line(device) for device in gpu["devices"]},
        "device": _auto_line(facts["auto"], gpu["devices"]),
    }


def _threads_text(cpu: dict[str, Any]) -> str:
    """``4 threads on 8 processors (OMP_NUM_THREADS=4)``."""
    text = f"{cpu['threads']} thread{'s' if cpu['threads'] > 1 else ''} on {cpu['processors']} processors"
    limit = cpu["omp_num_threads"]
    return text if limit is None else f"{text} (OMP_NUM_THREADS={limit})"


def _cupy_line(cupy: dict[str, Any]) -> str:
    if cupy["version"] is None:
        return str(cupy["problem"])
    parts = [f"{cupy['version']} ({' and '.join(cupy['packages']) or 'its package is not known'})"]
    parts += [f"{name} {cupy[key]}" for name, key in (("CUDA", "runtime"), ("NVRTC", "nvrtc")) if cupy[key]]
    if len(cupy["packages"]) > 1:
        parts.append("which are in each other's way: uninstall all of them, and install one")
    return ", ".join(parts) + (f"; {cupy['problem']}" if cupy["problem"] else "")


def _driver_line(version: str | None, cupy: dict[str, Any], problem: str | None) -> str:
    """The CUDA version of the driver, the extra of ours to install for it, and what to do where CuPy cannot use it."""
    if version is None:
        return "none found; a GPU needs NVIDIA's driver, and a container to be started with its GPUs (--gpus all)"
    extra = "cuda13" if int(version.split(".", 1)[0]) >= 13 else "cuda12"
    if cupy["version"] is None:
        return f"for CUDA {version}: pip install 'gpu-logreg[{extra}]'"
    if cupy["runtime"] is not None and int(cupy["runtime"].split(".", 1)[0]) > int(version.split(".", 1)[0]):
        return (
            f"for CUDA {version}, and CuPy is for {cupy['runtime']}: update the driver, or "
            f"pip uninstall {cupy['packages'][0] if cupy['packages'] else 'cupy'} and "
            f"pip install 'gpu-logreg[{extra}]'"
        )
    if problem is not None and cupy["runtime"] is not None:
        return (
            f"for CUDA {version}; if nvidia-smi shows no GPU either, is there one, and was a container started with it "
            "(--gpus all)?"
        )
    return f"for CUDA {version}"


def _usable_line(devices: list[dict[str, Any]]) -> str:
    usable = [device["device"] for device in devices if device["problem"] is None]
    failing = [device["device"] for device in devices if device["problem"] is not None]
    parts = [f"usable: {', '.join(usable)}"] if usable else []
    return "; ".join([*parts, *([f"not usable: {', '.join(failing)}, as below"] if failing else [])])


def _device_line(device: dict[str, Any]) -> str:
    parts = [device["name"]] if device["name"] else []
    if device["compute_capability"]:
        parts.append(f"compute capability {device['compute_capability']}")
    if device["memory_free"] is not None:
        parts.append(f"{device['memory_free'] / 2**30:.1f} of {device['memory'] / 2**30:.1f} GiB free")
    works = device["problem"] or f"kernels compile and run (tried in {duration(device['kernels_seconds'])})"
    return ", ".join([*parts, works])


def _auto_line(auto: dict[str, Any], devices: list[dict[str, Any]]) -> str:
    if auto["device"] == "cpu":
        return "auto takes cpu"
    fails = any(device["device"] == auto["device"] and device["problem"] for device in devices)
    many = f"rows of {auto['from_bytes'] >> 20} MiB and more{', which fail there: use cpu' if fails else ''}"
    return f"auto takes {auto['device']} for {many}, cpu for fewer"


def _gpu_name() -> str:
    properties = import_cupy().cuda.runtime.getDeviceProperties(0)
    return f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB"


def describe_model(path: Path) -> None:
    """Print the classes, columns, fit and parameters of a model in a file, and its largest coefficients."""
    model_file = load_model_file(path)
    model = model_file.estimator
    schema = schema_of(model_file, path)
    columns = f"{model.n_features_in_:,} after encoding"
    if schema is not None:
        columns = f"{len(schema.numeric):,} of numbers, {len(schema.text):,} of text; {columns}"
    defaults = type(model)().get_params()
    changed = {name: value for name, value in model.get_params().items() if not _is_equal(value, defaults[name])}
    classes = class_names(model.classes_, positive_of(model_file, path))
    print_facts(
        {
            "model": f"{model_file.kind}, written by gpu-logreg {model_file.version}",
            "classes": " | ".join(classes[:_SHOWN_CLASSES]) + (" | ..." if len(classes) > _SHOWN_CLASSES else ""),
            **_target_fact(model_file),
            "columns": columns,
            **_fit_facts(model),
            "parameters": ", ".join(f"{name}={value!r}" for name, value in changed.items()) or "defaults",
        }
    )
    if isinstance(model, MLPClassifier):
        _describe_layers(model)
        return
    names = schema.feature_names if schema is not None else numbered_columns(model.n_features_in_)
    if len(classes) > 2:
        _describe_classes(model, names, classes)
        return
    coef, second = model.coef_[0], classes[1]
    largest = _largest(np.abs(coef), _SHOWN_COEFFICIENTS)
    cells = {"(intercept)": f"{model.intercept_[0]:+.6g}"} | {str(names[j]): f"{coef[j]:+.6g}" for j in largest}
    of_all = f"the {len(largest)} largest of {len(coef):,}" if len(coef) > len(largest) else "all"
    print(f"\nCoefficients, {of_all}; those above zero speak for {printable(second)}")
    print_table({"": cells})


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Positions of the ``count`` largest values, the largest first and, of equal ones, the first.

    A partition takes time in proportion to the number of values; models of hashed features have millions.
    """
    if len(values) > count:
        least = np.partition(values, len(values) - count)[len(values) - count]
        positions = np.flatnonzero(values >= least)
    else:
        positions = np.arange(len(values))
    return positions[np.argsort(-values[positions], kind="stable")][:count]


def _describe_classes(model: LogisticRegression, names: Sequence[str], classes: Sequence[str]) -> None:
    """Print, for each class, the column with its largest coefficient and the one with its smallest."""
    print("\nCoefficients of the columns that speak most for a class, and most against it")
    first_classes = classes[:_SHOWN_CLASSES]
    most, least = model.coef_.argmax(axis=1), model.coef_.argmin(axis=1)
    table: dict[str, dict[str, str]] = {"for": {}, "against": {}}
    for k, name in enumerate(first_classes):
        table["for"][name] = f"{names[most[k]]} {model.coef_[k, most[k]]:+.4g}"
        table["against"][name] = f"{names[least[k]]} {model.coef_[k, least[k]]:+.4g}"
    print_table(table)


def _describe_layers(model: MLPClassifier) -> None:
    """Print the units, the activation, the number of parameters and the largest weight of every layer of a network."""
    units = [W.shape[1] for W in model.coefs_]
    activations = [model.activation] * (len(units) - 1) + [known_target(model).loss.link]
    cells = {
        "units": [f"{m:,}" for m in units],
        "activation": activations,
        "parameters": [f"{W.size + b.size:,}" for W, b in zip(model.coefs_, model.intercepts_, strict=True)],
        "largest weight": [f"{np.abs(W).max():.4g}" for W in model.coefs_],
    }
    rows = [f"layer {k}" for k in range(1, len(units) + 1)]
    print()
    print_table({heading: dict(zip(rows, column, strict=True)) for heading, column in cells.items()})


def _is_equal(value: object, default: object) -> bool:
    """Whether a parameter is the default. JSON made a list of a tuple; ``==`` of arrays would give an array."""
    return repr(value) == repr(list(default) if isinstance(value, list) and isinstance(default, tuple) else default)


def _fit_facts(model: Estimator) -> dict[str, str]:
    """Facts of the fit. A model that `from_sklearn` converted lacks some of their attributes."""
    try:
        objective = model.loss_ if isinstance(model, MLPClassifier) else model.objective_
        return {**describe_choice(model), "objective": f"{objective:.10g}"}
    except AttributeError:
        return {"fit": "elsewhere; nothing is known of it"}


def _target_fact(model_file: StoredModel) -> dict[str, str]:
    target = model_file.notes.get("target")
    return {"target": str(target)} if target is not None else {}
