"""Six tiny fits on the device against the same fits by the reference passes on the CPU: does anything work at all?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gpu.timing import one_line

from gpu_logreg import LogisticRegression, MLPClassifier

N, D = 600, 6
TOLERANCE = 1e-3
"""Largest difference of a coefficient, or of a weight of a network after one epoch."""


def smoke(cupy: Any) -> Iterator[dict[str, Any]]:
    """A row for every fit: ``error`` is the largest difference of a coefficient, ``problem`` says what is wrong."""
    for name, (fit, on_device) in _fits(cupy).items():
        row: dict[str, Any] = {"fit": name}
        try:
            theirs, ours = fit("cpu", np.asarray), fit("cuda", on_device)
            row["error"] = float(np.max([np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)]))  # NaN stays
            if not row["error"] <= TOLERANCE:
                row["problem"] = f"wrong: coefficients differ by {row['error']:.1e} from those of the CPU"
        except Exception as error:
            row["problem"] = one_line(error)
        yield row


def _fits(cupy: Any) -> dict[str, tuple[Callable[..., list[Any]], Callable[[Any], Any]]]:
    """Fits by name: a function of the device and of what prepares the rows, and what prepares them for the device."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((N, D)).astype(np.float32)
    logits = X @ rng.standard_normal((D, 3))
    two = (rng.logistic(size=N) < logits[:, 0]).astype(np.int64)
    three = (logits + rng.gumbel(size=(N, 3))).argmax(axis=1)
    weights = rng.exponential(size=N)

    def linear(labels: Any, fit_options: dict[str, Any] | None = None, **options: Any) -> Callable[..., list[Any]]:
        def fit(device: str, prepared: Callable[[Any], Any]) -> list[Any]:
            impl = "reference" if device == "cpu" else "auto"
            model = LogisticRegression(device=device, impl=impl, tol=1e-8, **options)
            model.fit(prepared(X), labels, **(fit_options or {}))
            return [_host(model.coef_), _host(model.intercept_)]

        return fit

    def network(device: str, prepared: Callable[[Any], Any]) -> list[Any]:
        impl = "reference" if device == "cpu" else "auto"
        model = MLPClassifier((5,), activation="tanh", device=device, impl=impl, batch_size=128, random_state=0)
        model.partial_fit(prepared(X), two, classes=[0, 1])
        return [_host(W) for W in model.coefs_]

    return {
        "two classes": (linear(two), np.asarray),
        "CuPy arrays, weights of rows and classes": (
            linear(two, {"sample_weight": weights}, class_weight="balanced"),
            cupy.asarray,
        ),
        "L1": (linear(two, l1_ratio=1.0, C=0.1), np.asarray),
        "three classes": (linear(three), np.asarray),
        "float64": (linear(two, storage="float64"), lambda rows: cupy.asarray(rows.astype(np.float64))),
        "network": (network, np.asarray),
    }


def _host(array: Any) -> Any:
    return np.asarray(array.get() if hasattr(array, "get") else array, dtype=np.float64)
