"""Rows in parts that are plain lists of this process: what a cluster does, without one."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
from scipy import sparse

from gpu_logreg.arrays.device import Device
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.part import Part, call, shape_of
from gpu_logreg.rows.parted import PartedDataset
from gpu_logreg.rows.resident import ResidentDataset

N, D = 300, 5
NAMES = "abcdefghijklmnopqrst"
EDGES = (0, 1, 100, 110, 300)


class PartsInProcess:
    """See `gpu_logreg.rows.part.Parts`; with ``is_moved`` a part is sent anew for every call, as after a death."""

    def __init__(self, parts, is_moved=False):
        self.parts, self.is_moved, self.n_calls = parts, is_moved, 0

    def each(self, function, /, *shared, own=None, large=False):
        self.n_calls += 1
        found = []
        for k, part in enumerate(self.parts):
            if own is not None and own[k] is None:
                found.append(None)
                continue
            if self.is_moved:
                part = pickle.loads(pickle.dumps(part))
            arguments = pickle.loads(pickle.dumps((function, *shared, *(() if own is None else own[k]))))
            found.append(call(part, arguments[0], arguments[1:]))
        return found


def rows_of(is_sparse, n_classes, weighted, dtype=np.float64, n=N, d=D):
    """X, codes, weights and loss."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, d)).astype(dtype)
    if is_sparse:
        X = sparse.csr_array(np.where(rng.random(X.shape) < 0.3, X, 0))
    loss = Binary() if n_classes == 2 else Classes(n_classes)
    codes = rng.integers(n_classes, size=n).astype(loss.label_dtype)
    return X, codes, rng.exponential(size=n) + 0.1 if weighted else None, loss


def resident(X, codes, s):
    return ResidentDataset.from_arrays(X, codes, s, Device("cpu"), list(NAMES[: X.shape[1]]), encoded=True)


def parted(X, codes, s, loss, edges=EDGES, impl="reference", is_moved=False):
    """The same rows in parts, and as they are in memory."""
    parts = []
    for k, (a, b) in enumerate(itertools.pairwise(edges)):
        data = resident(X[a:b], codes[a:b], None if s is None else s[a:b])
        parts.append(Part(data, choose(impl, data.rows, Device("cpu"), loss), f"partition {k}: "))
    each = PartsInProcess(parts, is_moved)
    return PartedDataset(each, each.each(shape_of), list(NAMES[: X.shape[1]]))
