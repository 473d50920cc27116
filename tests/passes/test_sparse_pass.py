"""Walks over sparse rows: sums, moments, curvatures, scores and samples, against those of the same rows written out."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_sums import WIDE, naive_sums
from scipy import sparse

from gpu_logreg.arrays import blocks as threads_module
from gpu_logreg.arrays.checks import first_not_finite
from gpu_logreg.arrays.csr import csr_rows
from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError, ImplementationError
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.objectives.curvature import BinarySample
from gpu_logreg.objectives.linear import Objective, Reads
from gpu_logreg.objectives.sampler import Sampler
from gpu_logreg.objectives.standardised import StandardisedDense, StandardisedSparse
from gpu_logreg.passes import choice as table
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cpu import scores as scores_module
from gpu_logreg.passes.cpu import sparse as sparse_module
from gpu_logreg.passes.cpu import sparse_products
from gpu_logreg.passes.cpu.loops.sizes import LOG_ROWS
from gpu_logreg.passes.cpu.loops.sparse import TILE_ROWS
from gpu_logreg.passes.cpu.scores import sparse_row_scores
from gpu_logreg.passes.cpu.sparse import sparse_curvature_sums, sparse_moments, sparse_multinomial_pass, sparse_pass
from gpu_logreg.passes.reference import sparse as reference_sparse
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.passes.reference.scores import row_scores
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset

CPU = Device("cpu")
EPS = float(np.finfo(np.float64).eps)
FAST, ONE_BY_ONE = 4.0, 0.25
"""What the compiled pass may err more than the plain one over dense rows, in roundings of a whole sum: some, and some
for every row, as it adds equal terms one after the other and rounds each to the same side."""
CLASSES = 1e-13
"""Relative error of the sums over K classes, of at most a thousand rows."""

impls = pytest.mark.parametrize("impl", ["reference", "cpu"])


class Kind(NamedTuple):
    """Dtypes of elements, of the numbers of columns, of labels and of weights: each compiled apart."""

    x: str
    index: str
    soft: bool
    s: str | None


KINDS = [
    Kind("float32", "int32", False, None),
    Kind("float32", "int64", False, "float64"),
    Kind("float64", "int32", False, None),
    Kind("float64", "int32", True, "float32"),
    Kind("float64", "int64", True, "float64"),
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: " ".join(map(str, kind)))


def csr(D, index: str = "int32"):
    X = csr_rows(sparse.csr_array(D))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    return X


def elements(n: int, d: int, density: float, seed: int = 0) -> np.ndarray:
    """Rows of any number of elements, of which some are empty, as may be columns; not centred."""
    rng = np.random.default_rng([n, d, seed])
    share = density * rng.uniform(0.0, 2.0, (n, 1)) * (rng.random((n, 1)) < 0.9)
    return np.where(rng.random((n, d)) < share, rng.standard_normal((n, d)) + 0.3, 0.0)


def problem(kind: Kind, n: int, d: int, density: float = 0.3, K: int = 0):
    """Rows, and parameters that give logits of a few units, of one logit or of K."""
    rng = np.random.default_rng([n, d, K])
    X = csr(elements(n, d, density).astype(kind.x), kind.index)
    y = rng.integers(0, K, n).astype(np.int32) if K else rng.integers(0, 2, n).astype(np.uint8)
    y = rng.random(n) if kind.soft and not K else y
    s = None if kind.s is None else (rng.exponential(size=n) * (rng.random(n) < 0.9)).astype(kind.s)
    shape = (K, d) if K else (d,)
    return Rows(X, y, s), rng.standard_normal(shape), rng.standard_normal(K) if K else -0.75


def dense(rows: Rows) -> Rows:
    return rows._replace(X=rows.X.toarray())


def errors(sums: Sums, rows: Rows, w, b) -> np.ndarray:
    """Of loss, dw and db: the largest error, in roundings of the whole sum in float64."""
    wanted, found = naive_sums(rows.X.toarray(), rows.y, rows.sample_weight, w, b), []
    for name in ("loss", "dw", "db"):
        error = np.abs(getattr(sums, f"{name}_sum") - getattr(wanted, f"{name}_sum"))
        found.append(np.max(error / (EPS * getattr(wanted, f"{name}_size") + np.finfo(np.float64).tiny), initial=0.0))
    return np.array(found)


def check(sums: Sums, rows: Rows, w, b) -> None:
    """The fair rule: no worse than the plain pass over the same rows written out, in float64, but for a little."""
    allowed = FAST + ONE_BY_ONE * len(rows.y) + errors(reference_pass(dense(rows), w, b, np.float64), rows, w, b)
    found = errors(sums, rows, w, b)
    assert (found <= allowed).all(), f"loss, dw, db err by {found} roundings; allowed are {allowed}"
    assert sums.dw_sum.dtype == np.float64
    assert sums.dw_sum.shape == (rows.X.shape[1],)
    assert type(sums.loss_sum) is type(sums.db_sum) is float


def check_classes(sums: Sums, rows: Rows, W, b) -> None:
    """Against the textbook, in extended precision."""
    x, y, K = rows.X.toarray().astype(WIDE), rows.y, len(b)
    s = np.ones(len(x), WIDE) if rows.sample_weight is None else rows.sample_weight.astype(WIDE)
    Z = x @ W.T.astype(WIDE) + b
    largest = Z.max(axis=1, keepdims=True, initial=-np.inf)
    E = np.exp(Z - largest)
    row_loss = np.log(E.sum(axis=1)) + largest[:, 0] - Z[np.arange(len(x)), y]
    dZ = s[:, None] * (E / E.sum(axis=1, keepdims=True) - (np.arange(K) == y[:, None]))
    assert sums.loss_sum == pytest.approx(float(s @ row_loss), rel=CLASSES)
    assert type(sums.loss_sum) is float
    for found, wanted, size in (
        (sums.dw_sum, dZ.T @ x, np.abs(dZ).T @ np.abs(x)),
        (sums.db_sum, dZ.sum(axis=0), np.abs(dZ).sum(axis=0)),
    ):
        assert found.shape == wanted.shape
        assert found.dtype == np.float64
        np.testing.assert_array_less(np.abs(found - wanted), CLASSES * size + np.finfo(np.float64).tiny)


def run(impl: str, X, y, s, w, b) -> Sums:
    """As a fit does it: the data set hands the rows to the pass."""
    dataset = ResidentDataset.from_arrays(X, y, s, CPU)
    return choose(impl, dataset.rows, CPU).gradient(dataset, w, b)


@pytest.fixture
def many_chunks(monkeypatch):
    """Rows so few that they would be one chunk are several."""
    monkeypatch.setattr(sparse_module, "LEAST_CHUNK_WORK", 1)
    monkeypatch.setattr(sparse_module, "ELEMENTS_PER_COLUMN", 1)


def cut(X, sums_by_column: int = 1) -> list[tuple[int, int]]:
    return list(zip(*sparse_module.chunks_of_rows(X, sums_by_column), strict=True))


# ---- two classes


@kinds
def test_sums_of_ragged_numbers_of_rows_and_columns(kind):
    for n, d in itertools.product((0, 1, 2, 5, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 3 * TILE_ROWS + 7), (1, 3, 40)):
        rows, w, b = problem(kind, n, d)
        check(sparse_pass(rows, w, b), rows, w, b)


@pytest.mark.parametrize("stored", range(10))
def test_rows_of_every_number_of_elements(stored):
    rows, w, b = problem(KINDS[2], 50, 9)
    D = np.zeros((50, 9))
    D[::2, :stored] = np.random.default_rng(stored).standard_normal((25, stored))
    rows = rows._replace(X=csr(D))
    check(sparse_pass(rows, w, b), rows, w, b)


@pytest.mark.parametrize("shape", [(5, 3), (1, 1), (3, 0), (0, 3)])
def test_nothing_stored_leaves_the_intercept(shape):
    n, d = shape
    rows = Rows(csr(np.zeros(shape)), np.ones(n, np.uint8), None)
    sums = sparse_pass(rows, np.full(d, 7.0), 0.5)
    assert sums.loss_sum == pytest.approx(n * np.log1p(np.exp(-0.5)), rel=1e-15)
    assert sums.db_sum == pytest.approx(-n / (1.0 + np.exp(0.5)), rel=1e-15)
    np.testing.assert_array_equal(sums.dw_sum, np.zeros(d))


def test_columns_that_no_row_has_get_no_gradient():
    rows, w, b = problem(KINDS[2], 100, 8)
    D = rows.X.toarray()
    D[:, [0, 3, 7]] = 0.0
    rows = rows._replace(X=csr(D))
    sums = sparse_pass(rows, w, b)
    check(sums, rows, w, b)
    assert not sums.dw_sum[[0, 3, 7]].any()
    assert sums.dw_sum[[1, 2, 4, 5, 6]].all()


def test_the_product_of_many_losses_does_not_overflow():
    n = 20 * LOG_ROWS  # two to this power is beyond float64
    sums = sparse_pass(Rows(csr(np.zeros((n, 2))), np.zeros(n, np.uint8), None), np.zeros(2), 0.0)
    assert sums.loss_sum == pytest.approx(n * np.log(2.0), rel=1e-14)


@impls
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("z", [800.0, 1e4, 1e30, 1e300])
def test_huge_logits_have_finite_losses(impl, weighted, z):
    n = 301
    X = csr(np.where(np.arange(n)[:, None] % 2, z, -z) * np.ones((1, 2)))
    sign, s = np.arange(n) % 2, np.full(n, 0.5) if weighted else None
    total = n if s is None else s.sum()
    w = np.array([1.0, 0.0])
    right, wrong = (run(impl, X, y, s, w, 0.0) for y in (sign, 1 - sign))
    assert right == (0.0, pytest.approx([0.0, 0.0], abs=0.0), 0.0)
    assert wrong.loss_sum == pytest.approx(total * z, rel=1e-13)
    np.testing.assert_allclose(wrong.dw_sum, total * z, rtol=1e-13)
    assert wrong.db_sum == (sign.sum() - (n - sign.sum())) * total / n


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@impls
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_bad_value_anywhere_is_seen_in_the_sums(impl, bad, dtype):
    n, d = 2 * TILE_ROWS + 3, 5
    for row, column, label in itertools.product((0, TILE_ROWS - 1, TILE_ROWS, n - 1), (0, d - 1), (0, 1)):
        D = elements(n, d, 0.4).astype(dtype)
        D[row, column] = bad
        X = csr(D)
        for w in (np.linspace(-1.0, 1.0, d), np.zeros(d)):
            sums = run(impl, X, np.full(n, label), None, w, 0.0)
            assert not (np.isfinite(sums.loss_sum) and np.isfinite(sums.dw_sum).all()), (row, column, label)
        assert first_not_finite(X)[:2] == (row, column)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 150),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    st.sampled_from([1e-3, 1.0, 30.0]),
    st.sampled_from(KINDS),
)
def test_any_sums(seed, n, d, density, size, kind):
    rng = np.random.default_rng(seed)
    D = elements(n, d, density, seed) * 10.0 ** rng.integers(-3, 4, d)
    y = rng.random(n) if kind.soft else rng.integers(0, 2, n).astype(np.uint8)
    s = None if kind.s is None else rng.exponential(size=n).astype(kind.s)
    rows = Rows(csr(D.astype(kind.x), kind.index), y, s)
    w, b = size * rng.standard_normal(d), float(rng.standard_normal())
    check(sparse_pass(rows, w, b), rows, w, b)


def test_sums_of_two_blocks_are_those_of_the_rows_together():
    rows, w, b = problem(KINDS[1], 500, 7)
    whole, wanted = sparse_pass(rows, w, b), naive_sums(rows.X.toarray(), *rows[1:], w, b)
    for at in (1, TILE_ROWS, 333, 499):
        parts = sparse_pass(Rows(*(part[:at] for part in rows)), w, b)
        parts += sparse_pass(Rows(*(part[at:] for part in rows)), w, b)
        assert abs(parts.loss_sum - whole.loss_sum) <= FAST * EPS * wanted.loss_size
        assert (np.abs(parts.dw_sum - whole.dw_sum) <= FAST * EPS * wanted.dw_size).all()
        assert abs(parts.db_sum - whole.db_sum) <= FAST * EPS * wanted.db_size


def test_a_pass_leaves_its_inputs_as_they_are_and_takes_read_only_ones():
    rows, w, b = problem(KINDS[2], 200, 6)
    wanted = sparse_pass(rows, w, b)
    held = [rows.X.data, rows.X.indices, rows.X.indptr, rows.y, w]
    copies = [array.copy() for array in held]
    for array in held:
        array.flags.writeable = False
    found = sparse_pass(rows, w, b)
    assert bits(found) == bits(wanted)
    for array, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# ---- K classes


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2], KINDS[4]], ids=lambda kind: " ".join(map(str, kind)))
@pytest.mark.parametrize("K", [2, 3, 4, 7, 20])
def test_sums_of_classes(kind, K):
    for n, d in ((0, 3), (1, 1), (5, 4), (203, 19), (700, 5)):
        rows, W, b = problem(kind, n, d, 0.4, K)
        sums = sparse_multinomial_pass(rows, W, b)
        check_classes(sums, rows, W, b)
        assert sums.dw_sum.flags.c_contiguous  # as the objective packs it
        check_classes(reference_multinomial_pass(rows, W, b, np.float64), rows, W, b)


def test_parameters_of_classes_in_any_layout():
    rows, W, b = problem(KINDS[2], 60, 6, 0.4, 3)
    wanted = sparse_multinomial_pass(rows, W, b)
    wide = np.repeat(np.hstack([W, W]), 2, axis=0)
    for same in (np.asfortranarray(W), wide[::2, :6], W.astype(np.longdouble)):
        found = sparse_multinomial_pass(rows, same, b)
        assert found.loss_sum == wanted.loss_sum
        np.testing.assert_array_equal(found.dw_sum, wanted.dw_sum)


def test_losses_of_classes_of_any_size_keep_their_digits():
    gaps = np.array([1e-4, 1.0, 20.0, 60.0, 300.0])
    for gap, label in itertools.product(gaps, (0, 1)):
        rows = Rows(csr(np.array([[gap]])), np.array([label], np.int32), None)
        W, b = np.array([[1.0], [0.0], [0.0]]), np.array([0.0, 0.0, -1.0])
        sums = sparse_multinomial_pass(rows, W, b)
        others = np.exp(-gap) + np.exp(-1.0 - gap)
        loss = np.log1p(others) + (0.0 if label == 0 else gap)
        assert sums.loss_sum == pytest.approx(loss, rel=1e-14, abs=0.0)
        own = -others / (1.0 + others) if label == 0 else 1.0 / (1.0 + others)  # not 1 - p, which is 0
        assert sums.db_sum[0] == pytest.approx(own, rel=1e-14, abs=0.0)


@pytest.mark.parametrize("run_classes", [sparse_multinomial_pass, reference_multinomial_pass])
@pytest.mark.parametrize("z", [800.0, 1e4, 1e30, 1e300])
def test_huge_logits_of_classes_have_finite_losses(run_classes, z):
    rows = Rows(csr(np.array([[z], [z], [-z], [0.0]])), np.array([0, 2, 1, 1], np.int32), None)
    sums = run_classes(rows, np.array([[1.0], [0.0], [-1.0]]), np.zeros(3))
    assert sums.loss_sum == pytest.approx(2 * z + z + np.log(3.0), rel=1e-14)
    np.testing.assert_allclose(sums.dw_sum, [[z], [z], [-2 * z]], rtol=1e-14)  # the rows of z and of -z, both wrong
    np.testing.assert_allclose(sums.db_sum, [1.0 + 1.0 / 3.0, -1.0 - 2.0 / 3.0, 1.0 / 3.0], rtol=1e-14)


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@pytest.mark.parametrize("run_classes", [sparse_multinomial_pass, reference_multinomial_pass])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("K", [3, 9])
def test_one_bad_value_anywhere_is_seen_in_the_sums_of_classes(run_classes, bad, K):
    for row, column, label, zero in itertools.product((0, 99), (0, 4), (0, K - 1), (False, True)):
        D = elements(100, 5, 0.4)
        D[row, column] = bad
        W = np.zeros((K, 5)) if zero else np.random.default_rng(K).standard_normal((K, 5))
        sums = run_classes(Rows(csr(D), np.full(100, label, np.int32), None), W, np.zeros(K))
        assert not (np.isfinite(sums.loss_sum) and np.isfinite(sums.dw_sum).all()), (row, column, label)


# ---- chunks and threads


def bits(sums) -> bytes:
    return b"".join(np.asarray(part, np.float64).tobytes() for part in sums)


@pytest.mark.parametrize("shape", [(400, 5, 0.5), (40, 3, 1.0), (17, 1, 1.0)])
def test_chunks_are_all_rows_once_and_of_about_as_many_elements(shape, many_chunks):
    n, d, density = shape
    X = csr(elements(n, d, density))
    chunks = cut(X)
    assert len(chunks) > 1
    assert [first for first, _ in chunks] == [0, *(last for _, last in chunks[:-1])]
    assert chunks[-1][1] == n
    held = [int(X.indptr[last] - X.indptr[first]) for first, last in chunks]
    assert max(held) <= X.nnz / len(chunks) + d
    assert min(held) >= X.nnz / len(chunks) - d


def test_small_rows_are_one_chunk_and_memory_bounds_their_number(monkeypatch, many_chunks):
    X = csr(elements(400, 5, 0.5))
    assert len(cut(X)) == sparse_module.CHUNKS
    assert len(cut(csr(np.zeros((9, 3))))) == 1
    assert len(cut(csr(np.zeros((9, 0))))) == 1
    monkeypatch.setattr(sparse_module, "PARTIAL_BYTES", 3 * 8 * 5 * 10)
    assert len(cut(X, 10)) == 3
    monkeypatch.setattr(sparse_module, "PARTIAL_BYTES", 1)
    assert len(cut(X)) == 1
    monkeypatch.undo()
    assert len(cut(X)) == 1


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[4]], ids=lambda kind: " ".join(map(str, kind)))
def test_sums_of_many_chunks(kind, many_chunks):
    for n, d in ((TILE_ROWS * 5 + 3, 4), (500, 20)):
        rows, w, b = problem(kind, n, d, 0.5)
        assert len(cut(rows.X)) > 5
        check(sparse_pass(rows, w, b), rows, w, b)
        rows, W, b = problem(kind, n, d, 0.5, 5)
        check_classes(sparse_multinomial_pass(rows, W, b), rows, W, b)


@pytest.fixture
def threads(monkeypatch):
    """Set the number of threads of the walks."""

    def use(count: int) -> None:
        if threads_module._pool is not None:
            threads_module._pool.shutdown()
        monkeypatch.setattr(threads_module, "_pool", None)
        monkeypatch.setattr(threads_module, "n_threads", lambda: count)

    monkeypatch.setattr(threads_module, "_pool", None)
    yield use
    if threads_module._pool is not None:
        threads_module._pool.shutdown()


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[4]], ids=lambda kind: " ".join(map(str, kind)))
def test_one_two_and_three_threads_give_the_same_bits(kind, threads, many_chunks, monkeypatch):
    for module in (scores_module, reference_sparse):
        monkeypatch.setattr(module, "SPARSE_LOGITS", 100)
    rows, w, b = problem(kind, 700, 6, 0.5)
    of_classes, W, several = problem(kind, 700, 6, 0.5, 4)
    X, h = rows.X.astype(np.float64), np.random.default_rng(0).random(700)
    found = set()
    for count in (1, 2, 3):
        threads(count)
        for _ in range(3):
            sums = bits(sparse_pass(rows, w, b)), bits(sparse_multinomial_pass(of_classes, W, several))
            rest = (*sparse_curvature_sums(X, h), sparse_row_scores(rows, w, np.abs(w), 1.0))
            found.add((*sums, bits(rest)))
        assert (threads_module._pool is None) == (count == 1)  # several were used where several were asked for
    assert len(found) == 1


def test_sums_that_no_chunk_shares_do_not_change_from_walk_to_walk(many_chunks):
    rows, w, b = problem(KINDS[2], 700, 6, 0.5)
    assert len({bits(sparse_pass(rows, w, b)) for _ in range(5)}) == 1


# ---- moments, curvature, scores


@kinds
@pytest.mark.parametrize(("n", "d"), [(1, 1), (33, 5), (400, 12)])
def test_moments(kind, n, d):
    rows = problem(kind, n, d)[0]
    x = rows.X.toarray().astype(WIDE)
    s = np.ones(n, WIDE) if rows.sample_weight is None else rows.sample_weight.astype(WIDE)
    moments = sparse_moments(rows)
    for found, wanted, size in ((moments.x_sum, s @ x, s @ np.abs(x)), (moments.xx_sum, s @ x**2, s @ x**2)):
        assert found.shape == (d,)
        np.testing.assert_array_less(np.abs(found - wanted), 20 * EPS * size + np.finfo(np.float64).tiny)


@pytest.mark.parametrize("stored", [1, 0])
def test_moments_are_float64_also_where_nothing_is_stored(stored):
    D = np.zeros((4, 3))
    D.flat[:stored] = 2.0
    moments = sparse_moments(Rows(csr(D), np.zeros(4, np.uint8), None))
    assert moments.x_sum.dtype == moments.xx_sum.dtype == np.float64
    np.testing.assert_array_equal(moments.x_sum, D.sum(axis=0))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("shape", [(1, 1, 1.0), (60, 7, 0.4), (300, 12, 0.2), (5, 40, 0.3), (9, 4, 0.0), (0, 3, 0.0)])
def test_curvature_sums(shape, index, compiled, many_chunks):
    n, d, density = shape
    D = elements(n, d, density)
    h = np.random.default_rng(n).random(n) * (np.arange(n) % 5 > 0)
    H, v = (sparse_curvature_sums if compiled else reference_sparse.sparse_curvature_sums)(csr(D, index), h)
    x = D.astype(WIDE)
    tiny = np.finfo(np.float64).tiny
    np.testing.assert_array_less(np.abs(H - (x.T * h) @ x), 20 * EPS * (np.abs(x.T) * h) @ np.abs(x) + tiny)
    np.testing.assert_array_less(np.abs(v - x.T @ h), 20 * EPS * np.abs(x.T) @ h + tiny)
    if compiled:
        np.testing.assert_array_equal(H, H.T)
    assert type(H) is np.ndarray
    assert H.shape == (d, d)
    assert v.shape == (d,)
    assert H.dtype == v.dtype == np.float64


def scored(D, mean, inverse, unseen):
    """Row by row and column by column."""
    scores = np.zeros(len(D), WIDE)
    for i, j in np.ndindex(D.shape):
        off = WIDE(D[i, j]) - mean[j]
        scores[i] += (unseen if off != 0 else 0.0) if np.isnan(inverse[j]) else off * off * inverse[j]
    return scores


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("unseen", [0.0, 300.0])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_of_rows(dtype, centred, unseen, compiled, monkeypatch):
    for module in (scores_module, reference_sparse):
        monkeypatch.setattr(module, "SPARSE_LOGITS", 50)
    D = elements(300, 7, 0.4).astype(dtype)
    D[:, 3] = 7.5  # looked constant in the sample, and is not
    D[[5, 6], 3] = 0.0, 7.0
    D[:, 4] = 0.0
    D[9, 4] = 1e-30
    mean = np.array([0.1, 0.0, -2.0, 7.5, 0.0, 7.5, 1.0]) if centred else np.zeros(7)
    inverse = np.array([1.0, 0.0, 0.5, np.nan, np.nan, np.nan, 30.0])
    kept = inverse.copy()
    for index in ("int32", "int64"):
        rows = Rows(csr(D, index), None, None)
        found = (sparse_row_scores if compiled else reference_sparse.sparse_row_scores)(rows, mean, inverse, unseen)
        wanted = scored(D, mean, inverse, unseen)
        # The score of a row of zeros, which the stored elements correct, is what is rounded.
        size = wanted + float(scored(np.zeros((1, 7)), mean, inverse, unseen)[0])
        np.testing.assert_array_less(np.abs(found - wanted), 20 * EPS * size + np.finfo(np.float64).tiny)
        np.testing.assert_allclose(found, row_scores(rows._replace(X=D.astype(np.float64)), mean, inverse, unseen))
    np.testing.assert_array_equal(inverse, kept)


@pytest.mark.parametrize("compiled", [False, True])
def test_scores_of_rows_without_elements_are_those_of_zeros(compiled):
    rows = Rows(csr(np.zeros((4, 3))), None, None)
    scores = (sparse_row_scores if compiled else reference_sparse.sparse_row_scores)(
        rows, np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.5, np.nan]), 10.0
    )
    np.testing.assert_array_equal(scores, 4 * [1.0 + 2.0 + 10.0])


@pytest.mark.parametrize("compiled", [False, True])
def test_rows_at_the_mean_of_every_column_have_no_score_but_rounding_and_none_below_zero(compiled):
    rng = np.random.default_rng(0)
    for _ in range(50):
        mean, inverse = 10.0 * rng.standard_normal(30), rng.random(30)
        rows = Rows(csr(np.tile(mean, (3, 1))), None, None)
        scores = (sparse_row_scores if compiled else reference_sparse.sparse_row_scores)(rows, mean, inverse, 1.0)
        assert (scores >= 0.0).all()
        assert (scores <= 10 * EPS * (mean * mean * inverse).sum()).all()


def test_a_data_set_scores_its_sparse_rows_by_their_elements():
    D = elements(80, 5, 0.3)
    y, mean, inverse = np.arange(80) % 2, D.mean(axis=0), 1.0 / D.var(axis=0)
    dataset = ResidentDataset.from_arrays(csr(D), y, None, CPU)
    wanted = row_scores(Rows(D, y, None), mean, inverse, 9.0)
    for impl in ("reference", "cpu"):
        engine = choose(impl, dataset.rows, CPU)
        np.testing.assert_allclose(engine.scores(dataset, mean, inverse, 9.0), wanted, rtol=1e-12)


# ---- the choice, and what it costs


@pytest.mark.parametrize("K", [1, 3])
def test_the_pass_is_chosen_by_the_elements_that_are_stored(K, monkeypatch):
    rows = problem(KINDS[2], 60, 6, 0.4, K if K > 1 else 0)[0]

    def chosen(impl: str):
        return choose(impl, rows, CPU, Binary() if K == 1 else Classes(K))

    few = chosen("auto")
    assert few.name == "reference"
    assert few.reason == "auto: the elements are few; the rows are sparse"
    monkeypatch.setattr(table, "SPARSE_PASS_ELEMENTS", rows.X.nnz * K)
    many = chosen("auto")
    assert many.name == "cpu"
    assert many.reason == "auto: one read per gradient; the rows are sparse"
    monkeypatch.setattr(table, "SPARSE_PASS_ELEMENTS", rows.X.nnz * K + 1)
    assert chosen("auto").name == "reference"
    for name in ("reference", "cpu"):
        asked = chosen(name)
        assert (asked.name, asked.reason) == (name, "asked for; the rows are sparse")
        assert asked.keeps_samples_sparse(ResidentDataset(rows, 60.0)) == (K == 1)  # of K classes half of it is stored


@pytest.mark.parametrize("impl", ["cuda", "cublas"])
def test_passes_of_a_gpu_are_refused(impl):
    rows = problem(KINDS[2], 20, 3)[0]
    with pytest.raises(ImplementationError) as error:
        choose(impl, rows, CPU)
    assert str(error.value) == f"impl={impl!r} reads dense rows, and X is sparse; use impl='auto', or X.toarray()"


def test_both_passes_of_a_data_set_give_the_sums_of_its_rows():
    for kind in KINDS:
        rows, w, b = problem(kind, 150, 8)
        for impl in ("reference", "cpu"):
            dataset = ResidentDataset.from_arrays(*rows, CPU)
            assert dataset.compute_dtype == np.float64
            assert dataset.rows.X is rows.X
            implementation = choose(impl, dataset.rows, CPU)
            check(implementation.gradient(dataset, w, b), rows, w, b)
            np.testing.assert_allclose(implementation.moments(dataset).x_sum, sparse_moments(rows).x_sum, rtol=1e-14)


def test_costs_fall_with_the_elements_and_are_at_most_those_of_dense_rows():
    def costs(X):
        dataset = ResidentDataset.from_arrays(X, np.arange(1000) % 2, None, CPU)
        return dataset.read_cost, dataset.curvature_cost(1)

    D = np.random.default_rng(0).standard_normal((1000, 200))
    thin, few = (csr(np.where(np.arange(200) < stored, D, 0.0)) for stored in (10, 1))
    assert costs(D) == costs(csr(D)) == (1.0, 1.0)
    for more, less in zip(costs(thin), costs(few), strict=True):
        assert 0.0 < less < more < 1.0
    assert costs(thin)[0] == pytest.approx(10 * costs(few)[0])
    assert costs(thin)[1] == pytest.approx(100 * costs(few)[1])


# ---- samples


N, D_ = 500, 7
L2 = 0.03

intercepts = pytest.mark.parametrize("fit_intercept", [True, False], ids=["intercept", "no intercept"])
weighted = pytest.mark.parametrize("has_weights", [False, True], ids=["plain", "weighted"])


def rows_of(mean: float, dtype: str = "float64"):
    """Sparse columns of several scales, one of them empty and one constant, and one of no zeros about ``mean``."""
    rng = np.random.default_rng(11)
    X = np.where(rng.random((N, D_)) < np.geomspace(0.9, 0.1, D_), rng.standard_normal((N, D_)), 0.0)
    X[:, 5] = rng.standard_normal(N)
    z = X @ np.linspace(-1.0, 1.0, D_) + 0.3
    X = X * np.geomspace(0.1, 30.0, D_)
    X[:, 5] += mean
    X[:, 1], X[:, 2] = 0.0, 1.5
    y = (rng.logistic(size=N) < z).astype(np.uint8)
    return X.astype(dtype), y, rng.exponential(size=N) * (rng.random(N) < 0.8)


def objective_of(X, y, s, fit_intercept: bool, impl: str) -> Objective:
    dataset = ResidentDataset.from_arrays(X, y, s, CPU)
    return Objective(dataset, choose(impl, dataset.rows, CPU), L2, fit_intercept)


def samplers(mean, has_weights, fit_intercept, impl, seed=0, dtype="float64") -> tuple[Sampler, Sampler]:
    """Of the same rows, sparse and dense."""
    X, y, s = rows_of(mean, dtype)
    s = s if has_weights else None
    sparse_rows, dense_rows = (
        objective_of(rows, y, s, fit_intercept, at) for rows, at in ((csr(X), impl), (X.astype(float), "reference"))
    )
    rng = np.random.default_rng
    return Sampler(sparse_rows, rng(seed), keeps_sparse=True), Sampler(dense_rows, rng(seed))


def written_out(sample: BinarySample) -> BinarySample:
    """The same rows in the same coordinates, as a dense sample."""
    X, y, s = sample.rows.data.rows
    rows = Rows(sample.coordinates.rows(X.toarray()), y, s)
    dense = StandardisedDense(ResidentDataset(rows, sample.weight_total))
    rest = sample.penalty, sample.coordinates, choose("reference", rows, CPU), Reads(), sample.n_total
    return BinarySample(dense, *rest)


def some_phi(p: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(p) / 2


@impls
@intercepts
@weighted
@pytest.mark.parametrize("mean", [0.0, 2.0, 1e3, 1e4])
@pytest.mark.parametrize("m", [60, N])
def test_a_sample_is_the_dense_one_of_the_same_rows(impl, fit_intercept, has_weights, mean, m):
    sample = samplers(mean, has_weights, fit_intercept, impl)[0].sample(m)
    assert type(sample.rows) is StandardisedSparse
    plain, phi = written_out(sample), some_phi(D_ + fit_intercept)
    # No row is centred: the digits that the means cost are lost once in gradients and twice in Hessians.
    first, second = 20 * EPS * (10 + mean), 20 * EPS * (10 + mean) ** 2
    for k in (1, 2, 7):
        few, dense_few = sample.thin(k), plain.thin(k)
        assert few.n_rows == dense_few.n_rows == -(-sample.n_rows // k)
        assert few.weight_total == dense_few.weight_total
        np.testing.assert_array_equal(few.rows.data.rows.y, dense_few.rows.data.rows.y)
        value, grad = few(phi)
        wanted, wanted_grad = dense_few(phi)
        assert value == pytest.approx(wanted, rel=first)
        np.testing.assert_allclose(grad, wanted_grad, rtol=0, atol=first)
        H, wanted_H = few.hessian(phi), dense_few.hessian(phi)
        np.testing.assert_allclose(H, wanted_H, rtol=0, atol=second)
        np.testing.assert_allclose(H, H.T, rtol=0, atol=second)
        assert H.dtype == np.float64
        whole_value, whole_grad, whole_H = few.second_order(phi)
        assert whole_value == value
        np.testing.assert_array_equal(whole_grad, grad)
        np.testing.assert_array_equal(whole_H, H)
    assert sample.thin(1) is sample


@impls
@intercepts
@pytest.mark.parametrize("mean", [2.0, 1e3])
def test_the_metric_of_a_sample_is_that_of_the_dense_one(impl, fit_intercept, mean):
    sample = samplers(mean, True, fit_intercept, impl)[0].sample(N)
    plain, phi = written_out(sample), some_phi(D_ + fit_intercept) / 5
    v = np.linspace(-1.0, 1.0, D_ + fit_intercept)
    tolerance = 1e3 * EPS * (10 + mean) ** 2
    np.testing.assert_allclose(
        sample.metric(phi).solve(v), plain.metric(phi).solve(v), rtol=0, atol=tolerance * np.abs(v).max() / L2
    )
    found, wanted = (each.params_metric(phi).solve(v) for each in (sample, plain))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
    np.testing.assert_allclose(sample.damped_hessian(phi), plain.damped_hessian(phi), rtol=0, atol=tolerance)


@impls
@intercepts
@weighted
@pytest.mark.parametrize("m", [60, 200, N, 10 * N])
def test_samplers_of_sparse_and_of_dense_rows_draw_the_same(impl, fit_intercept, has_weights, m):
    ours, theirs = samplers(2.0, has_weights, fit_intercept, impl)
    sample, plain = ours.sample(m), theirs.sample(m)
    assert (ours.irregular, ours.complete) == (theirs.irregular, theirs.complete)
    assert ours._objective.reads.total == theirs._objective.reads.total
    assert sample.n_rows == plain.n_rows
    np.testing.assert_array_equal(sample.rows.data.rows.y, plain.rows.data.rows.y)
    np.testing.assert_allclose(sample.rows.data.rows.sample_weight, plain.rows.data.rows.sample_weight, rtol=1e-14)
    np.testing.assert_allclose(sample.coordinates.mean, plain.coordinates.mean, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(sample.coordinates.scale, plain.coordinates.scale, rtol=1e-14)
    phi = some_phi(D_ + fit_intercept)
    assert sample(phi)[0] == pytest.approx(plain(phi)[0], rel=1e-13)
    params, v = sample.coordinates.to_params(phi), np.linspace(-1.0, 1.0, D_ + fit_intercept)
    found, wanted = (each.metric(m, params).solve(v) for each in (ours, theirs))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())
    np.testing.assert_allclose(ours.hessian(m, phi), theirs.hessian(m, phi), rtol=0, atol=1e-12)
    assert ours._objective.reads.total == pytest.approx(theirs._objective.reads.total)


@impls
@weighted
def test_all_rows_that_have_a_weight_are_a_sample(impl, has_weights):
    ours, theirs = samplers(2.0, has_weights, True, impl)
    X, _, s = rows_of(2.0)
    present = np.flatnonzero(s) if has_weights else np.arange(N)
    sample, plain, phi = ours.whole(), theirs.whole(), some_phi(D_ + 1)
    np.testing.assert_array_equal(sample.rows.data.rows.X.toarray(), X[present])
    assert ours.complete
    for found, wanted in zip(sample.second_order(phi), plain.second_order(phi), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_float32_rows_of_a_sample_are_those_in_float64():
    ours, theirs = samplers(2.0, True, True, "cpu", dtype="float32")
    sample, plain, phi = ours.sample(200), theirs.sample(200), some_phi(D_ + 1)
    assert sample.rows.data.rows.X.dtype == np.float32  # read where they lie
    assert sample.rounding == sample.precision == EPS
    assert sample(phi)[0] == pytest.approx(plain(phi)[0], rel=1e-13)


def test_walks_over_samples_count_with_their_share():
    sampler = samplers(2.0, False, True, "cpu")[0]
    objective, phi = sampler._objective, some_phi(D_ + 1)
    sample = sampler.sample(100)
    m = sample.n_rows
    for walk, rows, drawn_anew in (
        (lambda: sample(phi), m, False),
        (lambda: sample.hessian(phi), m, False),
        (lambda: sample.second_order(phi), 2 * m, False),
        (lambda: sample.thin(4)(phi), -(-m // 4), False),
        (lambda: sampler.metric(300, sample.coordinates.to_params(phi)), 300, True),
        (lambda: sampler.hessian(50, phi), 50, True),
    ):
        before = objective.reads.total
        walk()
        # How many rows are drawn is right but for one of every stratum.
        assert objective.reads.total - before == pytest.approx(rows / N, abs=(2.0 if drawn_anew else 1e-9) / N)


@impls
@weighted
def test_rows_are_scored_where_columns_are_carried_by_few_and_the_sample_holds_them_all(impl, has_weights):
    n, hits = 5000, 4
    rng = np.random.default_rng(2)
    X, y = elements(n, 6, 0.4), (np.arange(n) % 2).astype(np.uint8)
    X[:, 4:] = 0.0
    carriers = rng.choice(n, (2, hits), replace=False)
    X[carriers[0], 4] = X[carriers[1], 5] = 1.0
    s = (0.5 + rng.random(n)) * (rng.random(n) < 0.7) if has_weights else None
    if has_weights:
        s[carriers.ravel()] = 1.5
    for seed in range(3):
        sampler = Sampler(objective_of(csr(X), y, s, True, impl), np.random.default_rng(seed), keeps_sparse=True)
        plain = Sampler(objective_of(X, y, s, True, "reference"), np.random.default_rng(seed))
        sample, of_dense = sampler.sample(500), plain.sample(500)
        assert sampler.irregular
        assert sampler._objective.reads.total == pytest.approx(1.0 + 2 * 500 / n, rel=0.02)
        for column in (4, 5):
            assert (sample.rows.data.rows.X.toarray()[:, column] == 1.0).sum() == hits
        np.testing.assert_allclose(
            sample.rows.data.rows.sample_weight, of_dense.rows.data.rows.sample_weight, rtol=1e-9
        )
        np.testing.assert_array_equal(sample.rows.data.rows.y, of_dense.rows.data.rows.y)


@pytest.mark.parametrize("take", [lambda sampler: sampler.sample(N), lambda sampler: sampler.whole()])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_of_the_sample_that_is_not_finite_is_named(bad, take):
    X, y, _ = rows_of(2.0)
    X[7, 3] = bad
    kind = "NaN" if np.isnan(bad) else "infinity"
    with pytest.raises(DataError, match=f"Input X contains {kind} at row 7, column 3; remove or impute it"):
        take(Sampler(objective_of(csr(X), y, None, True, "cpu"), np.random.default_rng(0), keeps_sparse=True))


@impls
@intercepts
@pytest.mark.parametrize("m", [60, 10 * N])
def test_samples_of_many_classes_are_those_of_dense_rows(impl, fit_intercept, m):
    X, _, s = rows_of(2.0)
    y = np.random.default_rng(1).integers(0, 3, N).astype(np.int32)
    drawn = []
    for rows in (csr(X), X):
        dataset = ResidentDataset.from_arrays(rows, y, s, CPU, encoded=True)
        objective = Objective(dataset, choose(impl, dataset.rows, CPU, Classes(3)), L2, fit_intercept)
        drawn.append(Sampler(objective, np.random.default_rng(0)).sample(m))
    sample, plain = drawn
    assert type(sample.rows.data.rows.X) is np.ndarray
    np.testing.assert_allclose(sample.rows.data.rows.X, plain.rows.data.rows.X, rtol=0, atol=1e-13)
    phi = some_phi(3 * (D_ + fit_intercept))
    assert sample(phi)[0] == pytest.approx(plain(phi)[0], rel=1e-13)
    np.testing.assert_allclose(sample(phi)[1], plain(phi)[1], rtol=0, atol=1e-13)
    found, wanted = sample.curvature_sum(phi), plain.curvature_sum(phi)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_classes_of_wide_rows_are_shared_by_threads(monkeypatch):
    rng = np.random.default_rng(8)
    D = np.where(rng.random((60, 40)) < 0.2, rng.standard_normal((60, 40)), 0.0)
    rows = Rows(csr(D), rng.integers(0, 7, 60).astype(np.int32), rng.exponential(size=60))
    dataset = ResidentDataset(rows, float(rows.sample_weight.sum()))
    W, b = rng.standard_normal((7, 40)), rng.standard_normal(7)
    wanted = sparse_multinomial_pass(rows, W, b)
    monkeypatch.setattr(sparse_products, "WIDE_SUMS", 1)
    found_bits = set()
    for threads in ("1", "2", "3"):
        monkeypatch.setattr("gpu_logreg.arrays.thread_limit.OMP_NUM_THREADS", threads)
        found = choose("cpu", rows, CPU, Classes(7)).gradient(dataset, W, b)
        assert found.loss_sum == pytest.approx(wanted.loss_sum, rel=1e-13)
        np.testing.assert_allclose(found.dw_sum, wanted.dw_sum, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(found.db_sum, wanted.db_sum, rtol=1e-11, atol=1e-12)
        found_bits.add(bits(found))
    assert len(found_bits) == 1
