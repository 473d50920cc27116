"""Random problems of logistic regression, each from its own seed, as wide as what people fit."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse


class Drawn(NamedTuple):
    """A problem as it is given to an estimator, and its rows as a plain array."""

    seed: int
    X: Any
    rows: np.ndarray
    y: np.ndarray
    labels: np.ndarray
    sample_weight: np.ndarray | None
    params: dict[str, Any]
    n_classes: int
    text: str

    @property
    def row_weights(self) -> np.ndarray:
        """Row weights times class weights in long double, as scikit-learn defines them."""
        s = np.ones(len(self.y)) if self.sample_weight is None else self.sample_weight
        s = np.asarray(s).astype(np.longdouble)
        chosen = self.params.get("class_weight")
        if chosen is None:
            return s
        classes = np.unique(self.y)
        of_class = [s[self.labels == k].sum() for k in range(self.n_classes)]
        if isinstance(chosen, str):
            by_class = np.array([s.sum() / (self.n_classes * total) for total in of_class])
        else:
            by_class = np.array([np.longdouble(chosen.get(label, 1.0)) for label in classes.tolist()])
        return s * by_class[self.labels]


def draw(seed: int) -> Drawn:
    """The problem of a seed."""
    rng = np.random.default_rng(seed)
    n, d, K = _sizes(rng)
    dtype = str(
        rng.choice(["float64", "float32", "float16", "int64", "int32", "uint8"], p=[0.5, 0.25, 0.1, 0.05, 0.05, 0.05])
    )
    U, kind = _columns(rng, n, d)
    labels, how = _labels(rng, U, K)
    rows, spread = _in_units(rng, U, dtype)
    if d > 1 and rng.random() < 0.06:
        rows[:, -1] = rows[:, 0] if rows.dtype.kind in "iu" else rows[:, 0] / 2
        spread += ", a copy of a column"
    X, container = _contained(rng, rows)
    weights, weighing = _weights(rng, labels, K)
    names = rng.choice([0, 1, 2])
    y = labels if names == 0 else labels * 3 - 1 if names == 1 else np.array(list("abcdef"))[labels]
    params, text = _params(rng, y, K)
    said = f"n={n} d={d} K={K} {dtype} {container}, {kind}, {how}, {spread}, weights {weighing}, {text}"
    return Drawn(seed, X, rows, y, labels, weights, params, K, said)


def _sizes(rng: np.random.Generator) -> tuple[int, int, int]:
    K = int(rng.choice([2, 3, 4, 5, 6], p=[0.55, 0.2, 0.1, 0.1, 0.05]))
    n, d = int(np.exp(rng.uniform(math.log(20), math.log(400)))), int(np.exp(rng.uniform(0.0, math.log(30.0))))
    shape = rng.random()
    if shape < 0.06:
        n, d = int(rng.integers(1000, 4000)), int(rng.integers(1, 9))
    elif shape < 0.12:  # fewer rows than columns
        n = int(rng.integers(12, 30))
        d = int(rng.integers(n, 2 * n))
    if K > 2:
        d = min(d, 72 // K)
    return max(n, 5 * K), d, K


def _columns(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, str]:
    kind = str(rng.choice(["normal", "heavy", "skewed", "0/1", "mostly 0"], p=[0.5, 0.15, 0.1, 0.1, 0.15]))
    if kind == "heavy":
        U = rng.standard_t(1.5, size=(n, d))
    elif kind == "skewed":
        U = np.exp(1.5 * rng.standard_normal((n, d)))
    elif kind == "0/1":
        U = (rng.random((n, d)) < rng.uniform(0.05, 0.95, d)).astype(np.float64)
    else:
        U = rng.standard_normal((n, d))
    if kind == "mostly 0":
        U = U * (rng.random((n, d)) < 0.2)
    if kind == "normal" and d > 1 and rng.random() < 0.4:
        kind = "correlated"
        U = U @ (np.linalg.qr(rng.standard_normal((d, d)))[0] * np.geomspace(1.0, 10.0 ** rng.uniform(-4, -1), d)).T
    if d > 1 and rng.random() < 0.15:
        twin, other = rng.choice(d, 2, replace=False)
        noise = 10.0 ** rng.uniform(-8, -1)
        U[:, twin] = U[:, other] + noise * rng.standard_normal(n)
        kind += f", a twin column (noise {noise:.0e})"
    if rng.random() < 0.1:
        U[:, rng.integers(d)] = rng.choice([0.0, 1.0, -3.0])
        kind += ", a constant column"
    return U, kind


def _labels(rng: np.random.Generator, U: np.ndarray, K: int) -> tuple[np.ndarray, str]:
    n, d = U.shape
    strength = float(rng.choice([0.3, 1.0, 4.0]))
    typical = np.median(np.abs(U), axis=0)
    W = strength * rng.standard_normal((d, K)) / np.where(typical > 0, typical, 1.0)[:, None] / math.sqrt(d)
    z = (U - np.median(U, axis=0)) @ W + rng.choice([0.0, 2.0]) * rng.standard_normal(K)
    separable = rng.random() < 0.1
    labels = np.argmax(z if separable else z + rng.gumbel(size=z.shape), axis=1)
    order = rng.permutation(n)
    for k in range(K):  # two rows of every class at least
        labels[order[2 * k : 2 * k + 2]] = k
    return labels, "nearly separable" if separable else f"signal {strength:g}"


def _in_units(rng: np.random.Generator, U: np.ndarray, dtype: str) -> tuple[np.ndarray, str]:
    d = U.shape[1]
    decades = float(rng.choice([0, 3, 12], p=[0.35, 0.3, 0.35]))
    if dtype == "float16":
        decades = min(decades, 2.0)
    scale = 10.0 ** rng.uniform(-decades, decades, d)
    away = rng.random() < 0.25
    largest = {"float64": 6.0, "float32": 3.0}.get(dtype, 1.0)
    offset = scale * 10.0 ** rng.uniform(-1.0, largest, d) * rng.choice([-1.0, 1.0], d) if away else np.zeros(d)
    rows = U * scale + offset
    if dtype == "float16":
        rows = np.clip(rows, -6e4, 6e4)
    elif dtype not in ("float64", "float32"):
        limits = {"uint8": (0, 255), "int32": (-(2**31) + 1, 2**31 - 1), "int64": (-(2**53), 2**53)}[dtype]
        rows = np.clip(np.rint(rows * (1.0 if decades else 10.0) + (100.0 if dtype == "uint8" else 0.0)), *limits)
    text = f"scales 1e±{decades:g}" + (f", offsets up to {10**largest:.0e} scales" if away else "")
    return rows.astype(dtype), text


def _contained(rng: np.random.Generator, rows: np.ndarray) -> tuple[Any, str]:
    """The same rows in one of the containers that people have."""
    n, d = rows.shape
    kinds = ["C", "F", "strided", "reversed", "read-only", "big-endian", "pandas", "list"]
    shares = [0.3, 0.1, 0.06, 0.04, 0.03, 0.03, 0.03, 0.01]
    if rows.dtype != np.float16:  # SciPy has no such matrices
        kinds += [
            "csr_array",
            "csr_matrix",
            "csc_array",
            "coo_matrix",
            "lil_array",
            "dok_array",
            "bsr_array",
            "dia_array",
        ]
        kinds += ["csr of int64", "csr with zeros stored", "csr unsorted"]
        shares += [0.16, 0.05, 0.04, 0.03, 0.02, 0.01, 0.02, 0.01, 0.02, 0.02, 0.02]
    kind = str(rng.choice(kinds, p=np.array(shares) / sum(shares)))
    if kind == "C":
        return rows, kind
    if kind == "F":
        return np.asfortranarray(rows), kind
    if kind == "strided":
        whole = np.full((2 * n, 3 * d), 77, dtype=rows.dtype)
        whole[::2, 1::3] = rows
        return whole[::2, 1::3], kind
    if kind == "reversed":
        return rows[::-1, ::-1].copy()[::-1, ::-1], kind
    if kind == "read-only":
        fixed = rows.copy()
        fixed.flags.writeable = False
        return fixed, kind
    if kind == "big-endian":
        return rows.astype(rows.dtype.newbyteorder(">")), kind
    if kind == "pandas":
        import pandas as pd

        return pd.DataFrame(rows, columns=[f"c{j}" for j in range(d)]), kind
    if kind == "list":
        return [[value.item() for value in row] for row in rows], kind
    if kind in ("csr of int64", "csr with zeros stored", "csr unsorted"):
        return _odd_csr(rng, rows, kind), kind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sparse.SparseEfficiencyWarning)
        return getattr(sparse, kind)(rows), kind


def _odd_csr(rng: np.random.Generator, rows: np.ndarray, kind: str) -> Any:
    X = sparse.csr_array(rows)
    if kind == "csr of int64":
        X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    elif kind == "csr with zeros stored":
        n, d = rows.shape
        every = np.tile(np.arange(d, dtype=np.int32), n)
        X = sparse.csr_array((rows.ravel().copy(), every, np.arange(0, n * d + 1, d, dtype=np.int32)), shape=(n, d))
    else:
        for i in range(X.shape[0]):
            part = slice(X.indptr[i], X.indptr[i + 1])
            order = rng.permutation(part.stop - part.start)
            X.indices[part], X.data[part] = X.indices[part][order], X.data[part][order]
        X.has_sorted_indices = False
    return X


def _weights(rng: np.random.Generator, labels: np.ndarray, K: int) -> tuple[np.ndarray | None, str]:
    n = len(labels)
    kinds = ["none", "whole", "some zero", "tiny", "huge", "of all sizes", "float32"]
    kind = str(rng.choice(kinds, p=[0.5, 0.15, 0.08, 0.1, 0.08, 0.06, 0.03]))
    if kind == "none":
        return None, kind
    s = rng.uniform(0.01, 1.0, n)
    if kind == "whole":
        s = rng.integers(0, 5, n).astype(np.float64 if rng.random() < 0.5 else np.int64)
    elif kind == "some zero":
        s = s * (rng.random(n) < 0.6)
    elif kind == "tiny":
        size = 10.0 ** rng.uniform(-14, -3)
        s, kind = s * size, f"tiny {size:.0e}"
    elif kind == "huge":
        size = 10.0 ** rng.uniform(3, 14)
        s, kind = s * size, f"huge {size:.0e}"
    elif kind == "of all sizes":
        s = 10.0 ** rng.uniform(-5, 5, n)
    elif kind == "float32":
        s = s.astype(np.float32)
    for k in range(K):  # every class weighs something
        if not s[labels == k].any():
            s[np.flatnonzero(labels == k)[0]] = s.max() if s.any() else 1
    return s, kind


def _params(rng: np.random.Generator, y: np.ndarray, K: int) -> tuple[dict[str, Any], str]:
    kind = rng.random()
    C = 1.0 if kind < 0.15 else 10.0 ** rng.uniform(-2, 3) if kind < 0.5 else 10.0 ** rng.uniform(-12, 12)
    C = math.inf if kind > 0.92 else float(f"{C:.4g}")
    params: dict[str, Any] = {"C": C}
    share = rng.random()
    if share > 0.55 and not math.isinf(C):
        ratio = 1.0 if share < 0.75 else float(rng.choice([0.5, 0.01, 0.99, round(rng.random(), 3), 1e-6]))
        params["l1_ratio"] = ratio
    if rng.random() < 0.2:
        params["fit_intercept"] = False
    chosen = rng.random()
    if chosen < 0.12:
        params["class_weight"] = "balanced"
    elif chosen < 0.2:
        params["class_weight"] = {label: float(f"{10.0 ** rng.uniform(-2, 2):.3g}") for label in np.unique(y).tolist()}
    if params.get("l1_ratio", 0.0) == 0.0 and rng.random() < 0.15:
        params["solver"] = "lbfgs"
    return params, " ".join(f"{name}={value}" for name, value in params.items())
