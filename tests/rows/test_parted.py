"""Rows in parts are the rows in memory: what is known of them, their samples, and parts that were sent elsewhere."""

import pickle

import numpy as np
import pytest
from parts_in_process import D, N, parted, resident, rows_of
from scipy import sparse

from gpu_logreg.arrays.device import Device
from gpu_logreg.errors import DataError
from gpu_logreg.mathematics.losses import Binary
from gpu_logreg.passes.choice import choose
from gpu_logreg.rows.digest import digest_of
from gpu_logreg.rows.part import Part, Scoring, View

KINDS = [(False, 2), (False, 3), (True, 2), (True, 3)]


@pytest.mark.parametrize(("is_sparse", "n_classes"), KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_known_of_the_rows(is_sparse, n_classes, weighted):
    X, codes, s, loss = rows_of(is_sparse, n_classes, weighted)
    parts, memory = parted(X, codes, s, loss), resident(X, codes, s)
    assert (parts.n_rows, parts.n_columns, parts.compute_dtype) == (N, D, memory.compute_dtype)
    assert (parts.is_sparse, parts.n_stored) == (memory.is_sparse, memory.n_stored)
    assert parts.weight_total == pytest.approx(memory.weight_total, rel=1e-14)
    assert parts.least_weight == memory.least_weight
    assert parts.storage_name == memory.storage_name
    assert parts.curvature_cost(1) == pytest.approx(memory.curvature_cost(1), rel=1e-14)
    np.testing.assert_allclose(parts.weights_of_classes(loss), memory.weights_of_classes(loss), rtol=1e-13)
    assert parts.with_columns(np.array([1, 4])).column_names == ["b", "e"]
    assert parts.with_columns(np.array([1, 4])).n_columns == 2


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_that_are_gathered(is_sparse, weighted):
    X, codes, s, loss = rows_of(is_sparse, 2, weighted)
    parts, memory = parted(X, codes, s, loss), resident(X, codes, s)
    indices = np.array([0, 1, 99, 100, 250, 299])  # none of the part of rows 100 to 110 but its first
    gathered, at = parts.gather(indices)
    one, other = gathered.take(at), memory.take(indices)
    np.testing.assert_array_equal(one.X, other.X)
    np.testing.assert_array_equal(one.y, other.y)
    if weighted:
        np.testing.assert_array_equal(one.sample_weight, other.sample_weight)
    for a, b in zip(
        parts.labels_and_weights(indices, np.arange(6.0)),
        memory.labels_and_weights(indices, np.arange(6.0)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    taken = list(parts.take_parts([indices, indices[3:5]], np.float32))
    for found, wanted in zip(taken, (indices, indices[3:5]), strict=True):
        np.testing.assert_array_equal(found.X, memory.take(wanted, np.float32).X)


def test_only_parts_that_hold_a_wanted_row_are_asked():
    X, codes, s, loss = rows_of(False, 2, False)
    parts = parted(X, codes, s, loss)
    assert [None if own is None else own[0].tolist() for own in parts._of_parts(np.array([2, 3, 299]))] == [
        None,
        [1, 2],
        None,
        [189],
    ]


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_samples_are_unbiased(weighted, scored):
    n = 3000
    X, _, s, loss = rows_of(False, 2, weighted, n=n)
    rng = np.random.default_rng(5)
    codes = (np.arange(n) > 0.95 * n).astype(np.uint8)  # sorted: most parts hold one class only
    if weighted:
        s = s * (rng.random(n) < 0.8)
        s[20:30] = 0.0  # a whole part
    X[:, 0] *= rng.pareto(1.0, n)
    data = parted(X, codes, s, loss, edges=(0, 10, 20, 30, 900, 2500, n)) if not weighted else None
    if weighted:
        data = parted(X, codes, s, loss, edges=(0, 10, 35, 900, 2500, n))
    drawing = data.drawing(2)
    if scored:
        drawing.by_scores_of(X.mean(axis=0), 1.0 / X.var(axis=0), 600.0)
    weights = np.ones(n) if s is None else s
    value = rng.standard_normal(n) ** 2
    by_place = np.zeros(n)
    estimates, sizes = [], []
    for seed in range(300):
        rows, weight = drawing.draw(300, np.random.default_rng(seed))
        assert (np.diff(rows) > 0).all()
        assert (weights[rows] > 0).all()
        estimates.append(weight @ (weights * value)[rows])
        by_place[rows] += weight / 300
        sizes.append(len(rows))
    assert 200 < np.mean(sizes) < 480
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - weights @ value) < 4.5 * error + 1e-9
    # by position: in every twelfth of the rows the inverse-probability weights add up to its rows of positive weight
    for part in np.array_split(np.arange(n), 12):
        present = np.count_nonzero(weights[part])
        assert abs(by_place[part].sum() / present - 1.0) < 0.35
    assert drawing.n_present == np.count_nonzero(weights)


def test_a_sample_of_all_rows_is_all_of_positive_weight():
    X, codes, s, loss = rows_of(False, 2, True)
    s[5:20] = 0.0
    rows, weight = parted(X, codes, s, loss).drawing(2).draw(N, np.random.default_rng(0))
    np.testing.assert_array_equal(rows, np.flatnonzero(s))
    assert (weight == 1.0).all()


@pytest.mark.parametrize("is_sparse", [False, True])
def test_parts_that_are_made_anew_draw_the_same(is_sparse):
    X, codes, s, loss = rows_of(is_sparse, 2, True)
    drawn = []
    for is_moved in (False, True):
        drawing = parted(X, codes, s, loss, is_moved=is_moved).drawing(2)
        drawn += drawing.draw(60, np.random.default_rng(0))
        drawing.by_scores_of(np.zeros(D), np.ones(D), 60.0)
        drawn += drawing.draw(60, np.random.default_rng(0))
    for one, other in zip(drawn[:4], drawn[4:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_samples_are_drawn_by_is_kept_for_one_way_of_drawing():
    X, codes, s, loss = rows_of(False, 2, True, np.float32)
    (part,) = parted(X, codes, s, loss, edges=(0, N)).parts.parts
    scoring = np.zeros(D), np.ones(D), 60.0
    view, wide = View(), View(in_float64=True)
    assert part.drawing(None, 2, view) is part.drawing(None, 2, view)
    first = part.drawing(Scoring(*scoring), 2, view)
    assert part.drawing(Scoring(np.zeros(D), np.ones(D), 60.0), 2, view) is first
    other = part.drawing(Scoring(*scoring), 2, wide)  # scores in another dtype are other numbers
    assert other is not first
    assert other.total != first.total
    assert part.drawing(Scoring(np.zeros(D), np.full(D, np.nan), 60.0), 2, wide) is not other
    assert part.drawing(None, 3, view) is not part.drawing(None, 2, view)


def placed(array, offset):
    """The same elements, beginning at an address that is a multiple of 8 plus an offset."""
    memory = np.empty(array.nbytes + 16, np.uint8)
    first = (-memory.ctypes.data) % 8 + offset
    found = memory[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    found[...] = array
    return found


def variants(X):
    """The same rows as they may lie after a part was sent, spilled, or cut from others."""
    if sparse.issparse(X):
        parts = X.data, X.indices, X.indptr
        read_only = [array.copy() for array in parts]
        for array in read_only:
            array.flags.writeable = False
        yield sparse.csr_array(tuple(read_only), shape=X.shape)
        yield sparse.csr_array(tuple(placed(array, 1) for array in parts), shape=X.shape)
        return
    read_only = X.copy()
    read_only.flags.writeable = False
    yield read_only
    yield placed(X, 1)
    yield np.asfortranarray(X)
    yield np.repeat(X, 2, axis=1)[:, ::2]  # strided
    yield np.asfortranarray(np.vstack([X, X]))[: len(X)]  # rows of an array of columns


@pytest.mark.parametrize("impl", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_no_bit_depends_on_how_a_part_lies_in_memory(impl, dtype, is_sparse):
    X, codes, s, _ = rows_of(is_sparse, 2, True, dtype)
    w = np.random.default_rng(2).standard_normal(D)

    def sums_of(part):
        return [np.asarray(one).tobytes() for one in part.engine.gradient(part.data, w, 0.3)]

    def part_of(X, codes, s):
        data = resident(X, codes, s)
        return Part(data, choose(impl, data.rows, Device("cpu"), Binary()), "")

    wanted = sums_of(part_of(X, codes, s))
    for other in variants(X):
        assert sums_of(part_of(other, placed(codes, 1), placed(s, 4))) == wanted
    assert sums_of(pickle.loads(pickle.dumps(part_of(X, codes, s)))) == wanted


@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_value_that_is_not_finite_is_named_with_its_part(is_sparse):
    X, codes, s, loss = rows_of(False, 2, False)
    X[120, 3] = np.nan
    if is_sparse:
        X = sparse.csr_array(X)
    data = parted(X, codes, s, loss)
    assert not data.all_finite()
    with pytest.raises(DataError, match=r"^partition 3: Input X contains NaN at row 10, column 3 \('d'\)"):
        data.refuse_not_finite()
    drawing = data.drawing(2)
    drawing.by_scores_of(np.zeros(D), np.ones(D), 60.0)
    with pytest.raises(DataError, match=r"^partition 3: Input X contains NaN at row 10"):
        drawing.draw(60, np.random.default_rng(0))


def test_the_digest_is_of_all_parts():
    X, codes, s, loss = rows_of(False, 2, True)
    one = digest_of(parted(X, codes, s, loss))
    assert one == digest_of(parted(X, codes, s, loss, is_moved=True))
    X[250, 1] += 1.0
    assert one != digest_of(parted(X, codes, s, loss))
