"""Sums over streamed rows are those of the rows in memory, to the rounding of their additions."""

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg.arrays.device import Device
from gpu_logreg.arrays.kinds import kind_of
from gpu_logreg.mathematics.losses import Binary, Classes
from gpu_logreg.passes.by_blocks import BlockwiseEngine, choose_for
from gpu_logreg.passes.row_curvature import RowCurvature
from gpu_logreg.rows.block_store import BlockStore
from gpu_logreg.rows.resident import ResidentDataset
from gpu_logreg.rows.row_labels import RowLabels
from gpu_logreg.rows.streamed import StreamedDataset

N, D = 300, 5
PARTS = [slice(0, 100), slice(100, 200), slice(200, 300)]


class Source:
    n_rows, n_columns, order, seeks, fills = N, D, "C", True, False

    def __init__(self, X):
        self.X, self.dtype, self.kind = X, X.dtype, kind_of(X)

    def pieces(self, wanted):
        yield 0, self.X

    def place(self, row):
        return "here: "


def data(is_sparse, n_classes, weighted, dtype=np.float64, **stored):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((N, D)).astype(dtype)
    if is_sparse:
        X = sparse.csr_array(np.where(rng.random(X.shape) < 0.3, X, 0.0))
    codes = rng.integers(n_classes, size=N).astype(np.uint8)
    s = rng.exponential(size=N) if weighted else None
    loss = Binary() if n_classes == 2 else Classes(n_classes)
    by_class = rng.random(n_classes) + 0.5 if weighted else None
    labels = RowLabels(codes, np.dtype(loss.label_dtype), s, by_class)
    store = BlockStore(Source(X), PARTS, frozenset({1}))
    stored = {"n_stored": X.nnz, "n_pairs": float((np.diff(X.indptr) ** 2).sum())} if is_sparse else {}
    streamed = StreamedDataset(store, labels, n_classes, list("abcde"), **stored)
    every = slice(0, N)
    memory = ResidentDataset.from_arrays(
        X, labels.labels(every), labels.weights(every), Device("cpu"), list("abcde"), encoded=True
    )
    return streamed, memory, loss


def close(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


CASES = [(False, 2), (False, 3), (True, 2), (True, 3)]


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize(("is_sparse", "n_classes"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_sum(impl, is_sparse, n_classes, weighted):
    streamed, memory, loss = data(is_sparse, n_classes, weighted)
    engine, other = (choose_for(impl, rows, Device("cpu"), loss) for rows in (streamed, memory))
    assert isinstance(engine, BlockwiseEngine)
    assert engine.name == other.name == impl
    rng = np.random.default_rng(2)
    shape = (D,) if n_classes == 2 else (n_classes, D)
    w, v = rng.standard_normal(shape), rng.standard_normal(shape)
    b, c = (0.3, -0.2) if n_classes == 2 else (rng.standard_normal(n_classes), rng.standard_normal(n_classes))

    close(engine.gradient(streamed, w, b), other.gradient(memory, w, b))
    close(engine.gradient_pass(streamed)(w, b), other.gradient(memory, w, b))
    close(engine.moments(streamed), other.moments(memory))
    at, at_memory = engine.row_curvature(streamed, w, b), other.row_curvature(memory, w, b)
    assert at.kept is None
    close(engine.product(streamed, at, v, c), other.product(memory, at_memory, v, c))
    close(engine.diagonal(streamed, at), other.diagonal(memory, at_memory))
    sums, at = engine.gradient_and_curvature(streamed, w, b)
    close(sums, other.gradient(memory, w, b))
    close(engine.product(streamed, at, v, c), other.product(memory, at_memory, v, c))
    if is_sparse:
        (h, moments), (h_memory, moments_memory) = (
            e.moments_by_curvature(rows, w, b) for e, rows in ((engine, streamed), (other, memory))
        )
        close([h, *moments], [h_memory, *moments_memory])
    some = np.array([1, 3])
    few, few_memory = engine.columns(streamed)(some), other.columns(memory)(some)
    assert few.n_columns == 2
    assert few.column_names == ["b", "d"]
    w, b = w[..., some], b
    close(engine.gradient(few, w, b), other.gradient(few_memory, w, b))


@pytest.mark.parametrize(("is_sparse", "n_classes"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_known_of_the_rows(is_sparse, n_classes, weighted):
    streamed, memory, loss = data(is_sparse, n_classes, weighted)
    assert (streamed.n_rows, streamed.n_columns, streamed.compute_dtype) == (N, D, memory.compute_dtype)
    assert streamed.weight_total == pytest.approx(memory.weight_total, rel=1e-14)
    assert streamed.least_weight == memory.least_weight
    assert streamed.storage_name == memory.storage_name
    assert (streamed.read_cost, streamed.curvature_cost(1)) == (memory.read_cost, memory.curvature_cost(1))
    np.testing.assert_allclose(streamed.weights_of_classes(loss), memory.weights_of_classes(loss), rtol=1e-13)
    indices = np.array([0, 5, 99, 100, 250, 299])
    for one, other in zip(
        streamed.labels_and_weights(indices, np.arange(6.0)),
        memory.labels_and_weights(indices, np.arange(6.0)),
        strict=True,
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_rows_that_are_gathered(is_sparse):
    streamed, memory, _ = data(is_sparse, 2, False)
    indices = np.array([0, 5, 99, 100, 250, 299])
    gathered, at = streamed.gather(indices)
    np.testing.assert_array_equal(gathered.take(at).X, memory.take(indices).X)
    parts = [indices[:4], indices[4:5], indices[5:]]
    taken = [rows.X for rows in streamed.take_parts(parts, np.float32)]
    assert [len(X) for X in taken] == [4, 1, 1]
    assert all(X.dtype == np.float32 for X in taken)
    np.testing.assert_array_equal(np.concatenate(taken), memory.take(indices, np.float32).X)


def test_float64_arithmetic_of_float32_rows():
    streamed, memory, loss = data(False, 2, False, np.float32)
    assert streamed.compute_dtype == np.float32
    wide = streamed.in_float64()
    assert wide.store is streamed.store
    engine, other = (choose_for("cpu", rows, Device("cpu"), loss) for rows in (wide, memory))
    w = np.linspace(-1.0, 1.0, D)
    close(engine.gradient(wide, w, 0.1), other.gradient(memory.in_float64(), w, 0.1))


def test_a_row_that_is_not_finite_is_named():
    streamed, _, _ = data(False, 2, False)
    assert streamed.all_finite()
    streamed.store.source.X[299, 2] = np.nan
    assert not streamed.all_finite()
    with pytest.raises(ValueError, match=r"^here: Input X contains NaN at row 299, column 2 \('c'\); remove"):
        streamed.refuse_not_finite()


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_product_is_one_walk_over_a_dense_block(monkeypatch, impl, n_classes):
    streamed, memory, loss = data(False, n_classes, True)
    engine, other = (choose_for(impl, rows, Device("cpu"), loss) for rows in (streamed, memory))
    W = np.random.default_rng(0).standard_normal((3, D))
    w, v, b, c = (W[0], W[1], 0.5, -0.3) if n_classes == 2 else (W, W[::-1], W[:, 0], W[:, 1])
    at = other.row_curvature(memory, w, b)
    monkeypatch.setattr(type(other), "row_curvature", None)
    close(engine.product(streamed, RowCurvature(w, b, None), v, c), other.product(memory, at, v, c))
    close(engine.diagonal(streamed, RowCurvature(w, b, None)), other.diagonal(memory, at))
