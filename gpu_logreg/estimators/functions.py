"""Value and gradient of a linear model as a function of arrays: the objective without an estimator."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpu_logreg.arrays.csr import csr_rows_of
from gpu_logreg.arrays.device import Device, cupy_to_device, numpy_defaults
from gpu_logreg.arrays.device_choice import resolve_device
from gpu_logreg.arrays.interchange import as_array
from gpu_logreg.arrays.on_device import POOL_BYTES, on_device
from gpu_logreg.arrays.vector import Float64Vector
from gpu_logreg.errors import DataError
from gpu_logreg.objectives.linear import Objective
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.resident import ResidentDataset

__all__ = ["LossAndGradient", "loss_and_gradient"]


def _array(values: Any, name: str) -> Any:
    """An array of any library as it is, anything else as a NumPy array."""
    values = as_array(values, name)
    return values if hasattr(values, "dtype") and hasattr(values, "ndim") else np.asarray(values)


class LossAndGradient(NamedTuple):
    """What `loss_and_gradient` returns, all on the host in float64."""

    value: float
    dw: Float64Vector
    db: float


def loss_and_gradient(
    X: Any,
    y: Any,
    w: Any,
    b: float = 0.0,
    *,
    sample_weight: Any = None,
    l2: float = 0.0,
    impl: str = "auto",
    device: str = "auto",
) -> LossAndGradient:
    """Mean cross-entropy of a linear model plus ridge penalty, with its gradient, from one pass over the rows.

    ``value = sum(s row_loss) / sum(s) + l2 |w|**2 / 2``; ``dw = X.T @ dz / sum(s) + l2 w``; ``db = sum(dz) / sum(s)``,
    with ``z = X @ w + b``, ``p = 1 / (1 + exp(-z))`` and ``dz = s (p - y)``.

    Parameters
    ----------
    X : array of shape (n, d)
        NumPy, CuPy, PyTorch, JAX or other DLPack array of real numbers, or a sparse matrix of SciPy's.
    y : array of shape (n,)
        Labels 0 and 1, or soft labels in between.
    w : array of shape (d,)
        Weights.
    b : float, default=0.0
        Intercept.
    sample_weight : array of shape (n,), optional
        Weight of each row; 2 equals a row written twice.
    l2 : float, default=0.0
        Ridge strength on the mean loss.
    impl : {"auto", "reference", "cpu", "cuda", "cublas"}, default="auto"
        The pass; a name that cannot take these rows is refused with the reason.
    device : {"auto", "cpu", "cuda", "cuda:N"}, default="auto"
        Rows that are on a GPU stay there with ``"auto"`` and ``"cuda"``, and are refused where another GPU is named;
        labels and weights come to the rows.

    Returns
    -------
    LossAndGradient
        ``value`` in nats, ``dw`` of shape (d,), ``db``.

    Raises
    ------
    DataError
        Shapes that differ, labels outside [0, 1], weights that are negative or all zero, NaN or infinity.
    DeviceError, ImplementationError
        An explicit ``device`` or ``impl`` that cannot be had.

    Examples
    --------
    >>> import numpy as np
    >>> from gpu_logreg import loss_and_gradient
    >>> loss_and_gradient(np.array([[1.0], [-1.0]]), np.array([1.0, 0.0]), np.array([0.5])).value
    0.4740769841801067
    """
    sparse_rows = csr_rows_of(X)
    X = _array(X, "X") if sparse_rows is None else sparse_rows
    if X.ndim != 2 or X.shape[0] == 0:
        raise DataError(f"X must be an array of shape (n, d) with at least one row, and has shape {X.shape}")
    w = np.asarray(w, dtype=np.float64)
    if w.shape != (X.shape[1],):
        raise DataError(f"w has shape {w.shape}, and X has {X.shape[1]} columns")
    if not (np.isfinite(w).all() and np.isfinite(b)):
        raise DataError(f"{'b' if np.isfinite(w).all() else 'w'} contains NaN or infinity")
    if not l2 >= 0:
        raise DataError(f"l2={l2:g} is negative")
    place = resolve_device(device, X)
    with on_device(place, pool_growth=POOL_BYTES, less="fewer rows"), numpy_defaults():
        value, grad = _value_and_gradient(X, y, np.append(w, b), sample_weight, l2, impl, place)
    return LossAndGradient(value, grad[:-1], float(grad[-1]))


def _value_and_gradient(
    X: Any, y: Any, params: Float64Vector, sample_weight: Any, l2: float, impl: str, place: Device
) -> tuple[float, Float64Vector]:
    y = cupy_to_device(_array(y, "y"), place)
    weights = cupy_to_device(as_array(sample_weight, "sample_weight"), place)
    dataset = ResidentDataset.from_arrays(X, y, weights, place, storage=None)
    objective = Objective(dataset, choose(impl, dataset.rows, place), l2, fit_intercept=True)
    value, grad = objective(params)
    if not (np.isfinite(value) and np.isfinite(grad).all()):
        dataset.refuse_not_finite()
    return value, grad
