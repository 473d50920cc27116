"""Specialisations of the CUDA pass for many classes that meet every branch of its kernel; rows, weights and a check."""

from __future__ import annotations

from typing import NamedTuple

import kernel_host  # noqa: F401 - NumPy knows "bfloat16" from what it imports
import numpy as np

from gpu_logreg.passes.cuda.tuning.family import STORAGES
from gpu_logreg.passes.cuda.tuning.softmax_layout import SoftmaxFamily, shared_bytes
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows

REALS = ("float32", "float64")


class Case(NamedTuple):
    """One specialisation; ``weight`` is None where every weight is 1.

    The member of the family is given and not chosen, so that a better choice leaves no branch of the kernel untested.
    """

    storage: str
    real: str
    d: int
    n_classes: int
    weight: str | None
    copy: int
    rows: int
    block: int
    lanes: int
    tile_rows: int
    tile_classes: int
    softmax_lanes: int
    held: int
    w_shared: int
    extra: int = 0

    @property
    def family(self) -> SoftmaxFamily:
        """The member; rows in shared memory lie ``extra`` bytes further apart than they need."""
        size = STORAGES[self.storage]
        vec = max(4, size)
        step = max(vec, self.copy)
        pitch = -(-self.d * size // step) * step + self.extra
        family = SoftmaxFamily(*(self.copy, vec, pitch), *self[6:14], 0, 1)
        shared = shared_bytes(family, self.d, self.n_classes, size, 8 if self.real == "float64" else 4)
        return family._replace(shared=shared)

    @property
    def slices(self) -> int:
        """Groups of threads that each hold a gradient."""
        vectors = -(-self.d * STORAGES[self.storage] // self.family.vec)
        per_slice = -(-vectors // self.held) * -(-self.n_classes // self.tile_classes)
        return min(self.block // per_slice, self.rows)


# A compilation each, so no product: every storage in both precisions, copies of every size, rows of one column and of
# many, one class tile and several with and without padding, numbers of lanes from 1 to a warp, one slice and many.
CASES = [
    Case("float32", "float32", 1, 3, None, 4, 128, 128, 1, 2, 3, 1, 1, 1),
    Case("float32", "float32", 3, 4, "float64", 4, 8, 128, 4, 2, 2, 4, 2, 1),
    Case("float32", "float32", 28, 10, "float32", 16, 32, 256, 8, 4, 5, 8, 4, 1),
    Case("float32", "float32", 28, 3, None, 16, 2, 128, 2, 1, 3, 2, 1, 1, 16),
    Case("float32", "float32", 100, 26, "float32", 16, 16, 256, 32, 2, 13, 16, 5, 1),
    Case("float32", "float32", 785, 10, None, 4, 4, 256, 32, 1, 10, 8, 4, 0, 12),
    Case("float32", "float64", 30, 7, "float32", 8, 16, 128, 16, 1, 4, 4, 3, 1),
    Case("float64", "float64", 1, 26, "float64", 8, 1, 128, 1, 1, 4, 16, 1, 1),
    Case("float64", "float64", 5, 4, "float64", 8, 16, 128, 2, 4, 3, 2, 2, 1),
    Case("float64", "float64", 100, 26, None, 16, 4, 256, 32, 1, 9, 16, 2, 0),
    Case("float64", "float32", 9, 5, None, 8, 64, 128, 4, 8, 5, 2, 3, 1),
    Case("float16", "float32", 3, 3, "float32", 2, 32, 128, 1, 2, 3, 2, 1, 1),
    Case("float16", "float32", 100, 10, None, 8, 32, 128, 16, 2, 5, 4, 3, 1, 8),
    Case("float16", "float64", 28, 4, "float64", 8, 8, 128, 8, 2, 4, 4, 2, 1),
    Case("bfloat16", "float32", 28, 10, None, 8, 16, 256, 4, 4, 10, 8, 1, 1),
    Case("bfloat16", "float64", 13, 3, "float32", 2, 32, 128, 4, 1, 2, 2, 1, 0),
    Case("uint8", "float32", 785, 10, "float32", 1, 8, 128, 32, 4, 5, 8, 4, 1),
    Case("uint8", "float32", 784, 3, None, 16, 16, 256, 16, 1, 3, 2, 1, 1),
    Case("uint8", "float64", 30, 10, None, 2, 16, 128, 8, 2, 4, 8, 2, 1),
]


def case_of(storage: str, real: str, d: int, n_classes: int) -> Case:
    (found,) = (case for case in CASES if case[:4] == (storage, real, d, n_classes))
    return found


def make_rows(n: int, case: Case) -> Rows:
    """Rows on the host, whose logits by `parameters` are about 1 in size; some weights are zero."""
    rng = np.random.default_rng([n, case.d, case.n_classes])
    X = rng.integers(0, 256, (n, case.d)) if case.storage == "uint8" else rng.standard_normal((n, case.d))
    y = rng.integers(0, case.n_classes, n).astype(np.int32)
    s = None if case.weight is None else (rng.exponential(size=n) * (rng.random(n) < 0.8)).astype(case.weight)
    return Rows(X.astype(case.storage), y, s)


def parameters(case: Case) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(case.d)
    W = rng.standard_normal((case.n_classes, case.d)) / np.sqrt(case.d)
    return W / 128 if case.storage == "uint8" else W, rng.standard_normal(case.n_classes)


def check(sums: Sums, rows: Rows, W: np.ndarray, b: np.ndarray, real: str) -> None:
    """No further from float64 than the reference pass in the same dtype, but for a few bits of the terms."""
    X = rows.X.astype(np.float64)
    true = reference_multinomial_pass(rows._replace(X=X), W, b)
    plain = reference_multinomial_pass(rows._replace(X=rows.X.astype(real)), W, b)
    s = np.ones(len(rows.y)) if rows.sample_weight is None else rows.sample_weight.astype(np.float64)
    bits = 4 * np.finfo(real).eps
    logits = X @ W.T + b
    loss_terms = bits * np.sum(s * (1 + np.ptp(logits, axis=1))) if len(X) else 0.0
    assert abs(sums.loss_sum - true.loss_sum) <= abs(plain.loss_sum - true.loss_sum) + loss_terms
    assert np.abs(sums.db_sum - true.db_sum).max() <= np.abs(plain.db_sum - true.db_sum).max() + bits * s.sum()
    dw_terms = bits * (s @ np.abs(X)).max()
    assert np.abs(sums.dw_sum - true.dw_sum).max() <= np.abs(plain.dw_sum - true.dw_sum).max() + dw_terms
    assert type(sums.loss_sum) is float
    for array, shape in ((sums.dw_sum, W.shape), (sums.db_sum, b.shape)):
        assert type(array) is np.ndarray
        assert array.dtype == np.float64
        assert array.shape == shape


def bits_of(sums: Sums) -> tuple[float, bytes, bytes]:
    return sums.loss_sum, sums.dw_sum.tobytes(), sums.db_sum.tobytes()
