"""Sparse rows as the passes take them: every container, dtype and disorder; what is refused; what is asked of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from gpu_logreg.arrays.csr import (
    all_finite,
    block_of_rows,
    csr_rows,
    elements_in_a_row,
    in_order,
    place_of,
    rows_at,
    stored_in_a_row,
)
from gpu_logreg.errors import DataError

FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
CONTAINERS = [getattr(sparse, f"{name}_{kind}") for name in FORMATS for kind in ("array", "matrix")]
DENSE = np.array([[0.0, 1.5, 0.0, -2.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.25, 0.0], [0.0, 0.0, 0.0, 7.0]])


def of_lists(columns: list[list[int]], values: list[list[float]], d: int, dtype: str = "float64"):
    """CSR rows from the columns and values of each row, in the order in which they are listed."""
    indptr = np.cumsum([0, *map(len, columns)])
    data, indices = np.concatenate([[], *values]).astype(dtype), np.concatenate([[], *columns]).astype(np.int32)
    return sparse.csr_array((data, indices, indptr.astype(np.int32)), shape=(len(columns), d))


def arrays(X) -> tuple[bytes, bytes, bytes]:
    return X.data.tobytes(), X.indices.tobytes(), X.indptr.tobytes()


def check_canonical(rows) -> None:
    """Rows are sorted and name no column twice, whatever SciPy has noted of them."""
    assert type(rows) is sparse.csr_array
    for start, end in zip(rows.indptr[:-1], rows.indptr[1:], strict=True):
        assert (np.diff(rows.indices[start:end]) > 0).all()
    assert len(rows.data) == len(rows.indices) == rows.indptr[-1]


# ---- what is taken


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_container(container, dtype):
    given_rows = container(DENSE.astype(dtype))
    rows = csr_rows(given_rows)
    check_canonical(rows)
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows.toarray(), DENSE)
    np.testing.assert_array_equal(given_rows.toarray(), DENSE)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("bool", "float64"),
        ("int8", "float64"),
        ("uint16", "float64"),
        ("int64", "float64"),
        ("float16", "float64"),
        ("longdouble", "float64"),
        (">f4", "float64"),
        (">f8", "float64"),
        ("float32", "float32"),
        ("float64", "float64"),
    ],
)
def test_every_real_dtype_becomes_one_that_the_passes_read(dtype, expected):
    X = sparse.csr_array(DENSE)
    X.data = np.array([1, 0, 1, 1, 0], dtype)  # SciPy makes no float16 of its own accord
    rows = csr_rows(X)
    assert rows.dtype == expected
    assert rows.dtype.isnative
    np.testing.assert_array_equal(rows.data, [1.0, 0.0, 1.0, 1.0, 0.0])
    assert X.dtype == dtype


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_is_shared_where_nothing_is_to_do(make, index, dtype):
    X = make(DENSE.astype(dtype))
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    rows = csr_rows(X)
    assert rows.data is X.data or np.shares_memory(rows.data, X.data)
    assert np.shares_memory(rows.indices, X.indices)
    assert np.shares_memory(rows.indptr, X.indptr)
    assert rows.indices.dtype == rows.indptr.dtype == index


def test_read_only_rows_are_taken():
    X = sparse.csr_array(DENSE)
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    np.testing.assert_array_equal(csr_rows(X).toarray(), DENSE)


def test_columns_in_any_order_are_sorted_in_a_copy():
    X = of_lists([[3, 1], [], [2, 0], [3]], [[-2.0, 1.5], [], [0.25, 3.0], [7.0]], 4)
    before = arrays(X)
    rows = in_order(csr_rows(X))
    check_canonical(rows)
    np.testing.assert_array_equal(rows.toarray(), DENSE)
    assert arrays(X) == before
    assert not np.shares_memory(rows.data, X.data)


def test_rows_in_any_order_share_their_memory_until_someone_needs_an_order():
    X = of_lists([[3, 1, 3], [], [2, 0], [3]], [[-2.0, 1.5, 0.0], [], [0.25, 3.0], [7.0]], 4)
    rows = csr_rows(X)
    assert np.shares_memory(rows.data, X.data)
    assert np.shares_memory(rows.indices, X.indices)
    np.testing.assert_array_equal(rows.toarray(), DENSE)


def test_columns_named_twice_are_added_in_a_copy():
    X = of_lists([[1, 3, 1], [0, 0]], [[1.0, 5.0, 0.5], [2.0, -2.0]], 4)
    before = arrays(X)
    rows = in_order(csr_rows(X))
    check_canonical(rows)
    np.testing.assert_array_equal(rows.toarray(), [[0.0, 1.5, 0.0, 5.0], [0.0, 0.0, 0.0, 0.0]])
    assert arrays(X) == before


def test_what_scipy_noted_of_a_matrix_before_it_was_changed_is_not_believed():
    X = sparse.csr_array(DENSE)
    assert X.has_canonical_format
    X.indices[:2] = X.indices[1::-1].copy()
    X.data[:2] = X.data[1::-1].copy()
    rows = in_order(csr_rows(X))
    check_canonical(rows)
    np.testing.assert_array_equal(rows.toarray(), DENSE)


def test_zeros_that_are_stored_change_nothing():
    X = of_lists([[0, 2], [1]], [[0.0, 4.0], [0.0]], 3)
    rows = csr_rows(X)
    np.testing.assert_array_equal(rows.toarray(), [[0.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
    assert np.shares_memory(rows.data, X.data)


def test_room_beyond_the_last_element_is_not_read():
    X = sparse.csr_array(DENSE)
    wanted = X.nnz
    X.data, X.indices = np.append(X.data, [np.nan] * 9), np.append(X.indices, np.full(9, 99, X.indices.dtype))
    rows = csr_rows(X)
    assert len(rows.data) == len(rows.indices) == wanted
    np.testing.assert_array_equal(rows.toarray(), DENSE)
    assert len(X.data) == wanted + 9


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (4, 2)])
def test_nothing_stored(shape):
    rows = csr_rows(sparse.csr_array(shape))
    assert rows.shape == shape
    assert rows.nnz == 0


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(1, 7), st.booleans())
def test_any_lists_of_elements(data, n, d, as_matrix):
    """Of whole numbers, so that the order in which doubles are added does not show."""
    columns = [data.draw(st.lists(st.integers(0, d - 1), max_size=8)) for _ in range(n)]
    values = [[float(data.draw(st.integers(-3, 3))) for _ in row] for row in columns]
    X = of_lists(columns, values, d)
    X = sparse.csr_matrix(X) if as_matrix else X
    before = arrays(X)
    rows = in_order(csr_rows(X))
    check_canonical(rows)
    wanted = np.zeros((n, d))
    for i, (at, numbers) in enumerate(zip(columns, values, strict=True)):
        np.add.at(wanted[i], np.array(at, int), numbers)
    np.testing.assert_array_equal(rows.toarray(), wanted)
    assert arrays(X) == before


# ---- what is refused


def refusal(X) -> str:
    with pytest.raises(DataError) as error:
        csr_rows(X)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers(dtype):
    assert refusal(sparse.csr_array(DENSE.astype(dtype))) == (
        f"Complex data not supported: X has dtype {dtype}; give real numbers"
    )


def test_objects():
    X = sparse.csr_array(DENSE)
    X.data = X.data.astype(object)
    assert refusal(X) == "X has dtype object; give real numbers"


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2)])
def test_another_number_of_dimensions(shape):
    message = f"Expected 2D array, got {len(shape)}D array instead; sparse X must have shape (n, d)"
    assert refusal(sparse.coo_array(np.ones(shape))) == message


@pytest.mark.parametrize(("column", "said"), [(4, "0 to 4"), (-1, "-1 to 3"), (2**31 - 1, "0 to 2147483647")])
@pytest.mark.parametrize("index", ["int32", "int64"])
def test_a_column_outside(column, said, index):
    X = sparse.csr_array(DENSE)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    X.indices[3] = column
    assert refusal(X) == f"sparse X is damaged: indices hold {said}, and X has 4 columns"


def beginning(X):
    X.indptr[0] = 1


def falling(X):
    X.indptr[2] = 0


def too_far(X):
    X.indptr[-1] = 100


def too_few_rows(X):
    X.indptr = X.indptr[:-1]


def too_many_rows(X):
    X.indptr = np.append(X.indptr, X.indptr[-1])


def too_few_values(X):
    X.data = X.data[:-2]


def too_few_columns(X):
    X.indices = X.indices[:-2]


@pytest.mark.parametrize(
    "damage",
    [falling, beginning, too_far, too_few_rows, too_many_rows, too_few_values, too_few_columns],
)
def test_a_damaged_matrix(damage):
    X = sparse.csr_array(DENSE)
    damage(X)
    assert refusal(X).startswith("sparse X is damaged: ")


def outside(name: str, value: int):
    def damage(X):
        getattr(X, name)[1] = value

    return damage


def shorter(X):
    X.data = X.data[:-1]


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize(
    ("kind", "damage", "said"),
    [
        ("csc_array", outside("indices", 10**9), "to 1000000000, and X has 6 rows"),
        ("csc_matrix", outside("indices", -1), "indices hold -1 to"),
        ("csc_array", falling, "indptr does not rise from 0"),
        ("csc_array", too_far, "indptr does not rise from 0"),
        ("csc_array", shorter, "indptr does not rise from 0"),
        ("coo_array", outside("row", 10**9), "row hold 0 to 1000000000, and X has 6 rows"),
        ("coo_array", outside("col", -1), "col hold -1 to 3, and X has 4 columns"),
        ("coo_matrix", outside("row", -(10**9)), "row hold -1000000000 to"),
        ("coo_matrix", shorter, "row and"),
        ("bsr_array", outside("indices", 10**9), "to 1000000000, and X has 2 columns of blocks"),
        ("bsr_array", falling, "indptr does not rise from 0"),
    ],
)
def test_a_damaged_matrix_of_another_kind_is_refused_before_it_is_converted(kind, damage, said, index):
    """SciPy's conversions look at no number, and would write where it points to."""
    D = np.vstack([DENSE, DENSE])[:6]
    X = getattr(sparse, kind)(D, **({"blocksize": (2, 2)} if kind.startswith("bsr") else {}))
    if kind.startswith("coo"):
        X.row, X.col = X.row.astype(index), X.col.astype(index)
    else:
        X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    np.testing.assert_array_equal(csr_rows(X).toarray(), D)
    damage(X)
    assert said in refusal(X)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_whole_numbers_share_the_numbers_of_their_columns(dtype):
    X = sparse.csr_array((DENSE != 0).astype(dtype))
    rows = csr_rows(X)
    assert rows.dtype == np.float64
    assert np.shares_memory(rows.indices, X.indices)
    assert np.shares_memory(rows.indptr, X.indptr)
    np.testing.assert_array_equal(rows.toarray(), X.toarray())


@pytest.mark.parametrize("part", [slice(0, 2), slice(1, 4), slice(2, 2), slice(0, 5), slice(3, 5)])
def test_a_block_of_rows(part):
    X = csr_rows(sparse.csr_array(np.vstack([DENSE, DENSE])[:5]))
    block = block_of_rows(X, part)
    np.testing.assert_array_equal(block.toarray(), X.toarray()[part])
    assert block.data.dtype == X.data.dtype


# ---- what is asked of rows


def pair(dtype: str = "float64"):
    """The same rows, dense and sparse."""
    X = DENSE.astype(dtype)
    return X, csr_rows(sparse.csr_array(X))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "at", [[2, 0, 2], [], [1], slice(1, 3), slice(None, None, 2), slice(0, 0)], ids=lambda at: str(at)
)
def test_rows_at_numbers_and_slices(at, dtype):
    at = at if isinstance(at, slice) else np.array(at, int)
    for X in pair():
        taken = rows_at(X, at, np.dtype(dtype))
        assert type(taken) is np.ndarray
        assert taken.dtype == dtype
        np.testing.assert_array_equal(taken, DENSE[at])


def test_rows_at_a_slice_of_dense_rows_are_where_they_were_and_of_sparse_ones_new():
    dense, rows = pair()
    assert np.shares_memory(rows_at(dense, slice(1, 3), np.float64), dense)
    taken = rows_at(rows, slice(0, 4), np.float64)
    taken[...] = 9.0
    np.testing.assert_array_equal(rows.toarray(), DENSE)


def test_the_place_of_every_element():
    dense, rows = pair()
    assert [place_of(rows, k) for k in range(rows.nnz)] == list(zip(*np.nonzero(DENSE), strict=True))
    assert [place_of(dense, k) for k in (0, 3, 4, 15)] == [(0, 0), (0, 3), (1, 0), (3, 3)]
    after_empty = csr_rows(of_lists([[], [], [1], [], [0, 2], []], [[], [], [1.0], [], [2.0, 3.0], []], 3))
    assert [place_of(after_empty, k) for k in range(3)] == [(2, 1), (4, 0), (4, 2)]


@pytest.mark.parametrize(
    ("shape", "stored", "expected"),
    [((4, 9), 0, 1), ((4, 9), 1, 1), ((4, 9), 4, 1), ((4, 9), 5, 2), ((4, 9), 36, 9), ((0, 3), 0, 1)],
)
def test_elements_in_a_row_are_those_stored_rounded_up(shape, stored, expected):
    X = np.zeros(shape)
    X.flat[:stored] = 1.0
    rows = csr_rows(sparse.csr_array(X))
    assert elements_in_a_row(rows) == stored_in_a_row(rows) == expected
    assert elements_in_a_row(X) == shape[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_whether_all_is_finite(bad):
    dense, rows = pair()
    assert all_finite(dense)
    assert all_finite(rows)
    assert all_finite(csr_rows(sparse.csr_array((3, 2))))
    dense[3, 3] = rows.data[-1] = bad
    assert not all_finite(dense)
    assert not all_finite(rows)
