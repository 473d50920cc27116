"""Sums over rows in parts are those of the rows in memory, to the rounding of their additions."""

import itertools

import numpy as np
import pytest
from parts_in_process import EDGES, D, N, parted, resident, rows_of

from gpu_logreg.arrays.device import Device
from gpu_logreg.passes.by_blocks import choose_for
from gpu_logreg.passes.by_parts import PartedEngine

CASES = [(False, 2), (False, 3), (True, 2), (True, 3)]


def close(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def point(n_classes, rng, d=D):
    shape = (d,) if n_classes == 2 else (n_classes, d)
    return rng.standard_normal(shape), rng.standard_normal() if n_classes == 2 else rng.standard_normal(n_classes)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize(("is_sparse", "n_classes"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_sum(impl, is_sparse, n_classes, weighted):
    X, codes, s, loss = rows_of(is_sparse, n_classes, weighted)
    parts, memory = parted(X, codes, s, loss, impl=impl), resident(X, codes, s)
    engine, other = (choose_for(impl, rows, Device("cpu"), loss) for rows in (parts, memory))
    assert isinstance(engine, PartedEngine)
    assert engine.name == other.name == impl
    assert engine.reason.endswith("the rows are in 4 parts")
    rng = np.random.default_rng(2)
    (w, b), (v, c) = point(n_classes, rng), point(n_classes, rng)

    close(engine.gradient(parts, w, b), other.gradient(memory, w, b))
    close(engine.gradient_pass(parts)(w, b), other.gradient(memory, w, b))
    close(engine.moments(parts), other.moments(memory))
    at, at_memory = engine.row_curvature(parts, w, b), other.row_curvature(memory, w, b)
    assert at.kept is None
    close(engine.product(parts, at, v, c), other.product(memory, at_memory, v, c))
    close(engine.diagonal(parts, at), other.diagonal(memory, at_memory))
    sums, at = engine.gradient_and_curvature(parts, w, b)
    close(sums, other.gradient(memory, w, b))
    close(engine.product(parts, at, v, c), other.product(memory, at_memory, v, c))
    if is_sparse:
        (h, moments), (h_memory, moments_memory) = (
            e.moments_by_curvature(rows, w, b) for e, rows in ((engine, parts), (other, memory))
        )
        close([h, *moments], [h_memory, *moments_memory])
    assert engine.by_columns(parts, True, lambda share: None) is None
    assert engine.bytes_by_columns(parts) is None


@pytest.mark.parametrize(("is_sparse", "n_classes"), CASES)
def test_sums_over_some_columns(is_sparse, n_classes):
    X, codes, s, loss = rows_of(is_sparse, n_classes, True)
    parts, memory = parted(X, codes, s, loss), resident(X, codes, s)
    engine, other = (choose_for("auto", rows, Device("cpu"), loss) for rows in (parts, memory))
    w, b = point(n_classes, np.random.default_rng(2))
    for some in (np.array([1, 3]), np.array([0]), np.array([1, 3])):  # others, and the first ones again
        few, few_memory = engine.columns(parts)(some), other.columns(memory)(some)
        assert few.n_columns == len(some)
        close(engine.gradient(few, w[..., some], b), other.gradient(few_memory, w[..., some], b))


def test_sums_in_float64_over_rows_in_float32():
    X, codes, s, loss = rows_of(False, 2, True, np.float32)
    parts, memory = parted(X, codes, s, loss), resident(X, codes, s)
    engine, other = (choose_for("auto", rows, Device("cpu"), loss) for rows in (parts, memory))
    w, b = point(2, np.random.default_rng(2))
    assert (parts.compute_dtype, parts.in_float64().compute_dtype) == (np.float32, np.float64)
    wanted = other.gradient(memory.in_float64(), w, b)
    close(engine.gradient(parts.in_float64(), w, b), wanted)
    assert not np.array_equal(engine.gradient(parts, w, b).dw_sum, wanted.dw_sum)


@pytest.mark.parametrize(("is_sparse", "n_classes"), CASES)
def test_sums_over_a_sample_are_those_of_rows_in_memory(is_sparse, n_classes):
    X, codes, s, loss = rows_of(is_sparse, n_classes, True)
    parts, memory = parted(X, codes, s, loss), resident(X, codes, s)
    engine, other = (choose_for("reference", rows, Device("cpu"), loss) for rows in (parts, memory))
    w, b = point(n_classes, np.random.default_rng(2))
    gathered, _ = parts.gather(np.arange(N))
    for one, two in zip(engine.gradient(gathered, w, b), other.gradient(memory, w, b), strict=True):
        np.testing.assert_array_equal(one, two)
    at = engine.row_curvature(gathered, w, b)
    close(engine.product(gathered, at, w, b), other.product(memory, other.row_curvature(memory, w, b), w, b))
    close(engine.diagonal(gathered, at), other.diagonal(memory, other.row_curvature(memory, w, b)))
    close(engine.moments(gathered), other.moments(memory))


@pytest.mark.parametrize("is_moved", [False, True])
def test_sums_are_added_in_the_order_of_the_parts(is_moved):
    X, codes, s, loss = rows_of(False, 2, True)
    parts = parted(X, codes, s, loss, is_moved=is_moved)
    engine = choose_for("reference", parts, Device("cpu"), loss)
    w, b = point(2, np.random.default_rng(2))
    total = np.zeros(D)
    for first, last in itertools.pairwise(EDGES):
        one = resident(X[first:last], codes[first:last], s[first:last])
        total = total + choose_for("reference", one, Device("cpu"), loss).gradient(one, w, b).dw_sum
    np.testing.assert_array_equal(engine.gradient(parts, w, b).dw_sum, total)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_no_bit_depends_on_how_a_point_lies_in_memory(impl, is_sparse):
    """An array may change its order on its way, and does so where it is sent again after a death."""
    X, codes, s, loss = rows_of(is_sparse, 3, True, n=20_000, d=20)
    parts = parted(X, codes, s, loss, edges=(0, 8000, 20_000), impl=impl)
    engine = choose_for(impl, parts, Device("cpu"), loss)
    rng = np.random.default_rng(2)
    (w, b), (v, c) = point(3, rng, 20), point(3, rng, 20)
    wanted = [engine.gradient(parts, w, b), engine.product(parts, engine.row_curvature(parts, w, b), v, c)]
    for change in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        W, V = change(w), change(v)
        found = [engine.gradient(parts, W, b), engine.product(parts, engine.row_curvature(parts, W, b), V, c)]
        for one, other in zip(found, wanted, strict=True):
            assert [np.asarray(a).tobytes() for a in one] == [np.asarray(a).tobytes() for a in other]
