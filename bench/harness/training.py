"""What every peer is given: rows, labels, and the objective. Needs NumPy and SciPy only, in whatever environment.

The objective is ``sum(row_loss) / n + (r |W|_1 + (1 - r) |W|**2 / 2) / (C n)``, intercepts without penalty; two classes
have one row of weights, K classes K of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

BLOCK_ELEMENTS = 5_000_000
"""Elements of dense rows that are widened to float64 at once."""


class Training(NamedTuple):
    """Rows ``X``, labels 0 to K - 1, and what is minimised."""

    X: Any
    y: np.ndarray
    C: float = 1.0
    l1_ratio: float = 0.0
    fit_intercept: bool = True

    @property
    def n_classes(self) -> int:
        return max(2, int(self.y.max()) + 1)

    @property
    def is_sparse(self) -> bool:
        return sparse.issparse(self.X)

    @property
    def rows_bytes(self) -> int:
        return sum(array.nbytes for array in _arrays_of(self.X).values())


def save(training: Training, folder: Path) -> None:
    """Write rows, labels and objective where `load` finds them."""
    for name, array in (_arrays_of(training.X) | {"y": training.y}).items():
        np.save(folder / f"{name}.npy", array)
    about = {"shape": training.X.shape, "C": training.C, "l1_ratio": training.l1_ratio}
    (folder / "training.json").write_text(json.dumps(about | {"fit_intercept": training.fit_intercept}))


def load(folder: Path) -> Training:
    """What `save` wrote, as maps of the files: processes share the memory until one of them writes to it."""
    about = json.loads((folder / "training.json").read_text())

    def array(name: str) -> np.ndarray:
        return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c"))

    if (folder / "indptr.npy").exists():
        parts = (array("data"), array("indices"), array("indptr"))
        X = sparse.csr_matrix(parts, shape=tuple(about["shape"]), copy=False)
    else:
        X = array("X")
    return Training(X, array("y"), float(about["C"]), about["l1_ratio"], about["fit_intercept"])


def value(training: Training, W: np.ndarray, b: np.ndarray) -> float:
    """The objective in float64, of weights (1 or K, d) and intercepts (1 or K,)."""
    X, y, total = training.X, training.y, 0.0
    step = X.shape[0] if training.is_sparse else max(1, BLOCK_ELEMENTS // X.shape[1])
    for first in range(0, X.shape[0], step):
        part, labels = X[first : first + step], y[first : first + step]
        if not training.is_sparse:
            part = part.astype(np.float64, copy=False)
        z = np.asarray(part @ W.T) + b
        if len(W) == 1:
            z = z[:, 0]
            total += float(np.logaddexp(0.0, np.where(labels == 1, -z, z)).sum())
        else:
            largest = z.max(axis=1)
            losses = largest + np.log(np.exp(z - largest[:, None]).sum(axis=1))
            total += float((losses - z[np.arange(len(z)), labels]).sum())
    r = training.l1_ratio
    penalty = r * float(np.abs(W).sum()) + 0.5 * (1.0 - r) * float((W * W).sum())
    return (total + penalty / training.C) / X.shape[0]


def _arrays_of(X: Any) -> dict[str, np.ndarray]:
    return {"data": X.data, "indices": X.indices, "indptr": X.indptr} if sparse.issparse(X) else {"X": X}
