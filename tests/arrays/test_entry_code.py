"""The entry of a compiled loop: each kind of argument and result, references, and what it refuses."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gpu_logreg.arrays.compiled import Loop
from gpu_logreg.arrays.entry_code import describe

LOOPS = """
from gpu_logreg.arrays.compiled import njit


@njit()
def given(x):
    return x


@njit()
def seen(vector, X, s, k, factor):
    total = 0.0
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            total += X[i, j] * (i + 10 * j)
    first = 1.0 if s is None else s[0]
    return len(vector), total * factor, first, k + 1, total > 0.0


@njit()
def fill(x, value):
    for i in range(len(x)):
        x[i] = value


@njit()
def stand_still(n, step):
    for i in range(0, n, step):
        pass
"""


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loops")
    (folder / "loops_of_entry_code.py").write_text(LOOPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("NUMBA_CACHE_DIR", str(folder))
        loops = {name: Loop("loops_of_entry_code", name) for name in ("given", "seen", "fill", "stand_still")}
        yield loops.__getitem__


@pytest.mark.parametrize("value", [3, -(2**62), 2.5, -np.inf, np.float64(0.1), np.int64(7), np.uint8(200), None])
def test_numbers(loop, value):
    assert loop("given")(value) == value


def test_a_float32_stays_one(loop):
    assert loop("given")(np.float32(0.1)) == float(np.float32(0.1))


def test_a_number_that_is_not_one_stays_so(loop):
    assert np.isnan(loop("given")(np.nan))


def wanted(X, s, k, factor):
    rows, columns = np.indices(X.shape)
    total = float((X * (rows + 10.0 * columns)).sum())
    return 3, total * factor, 1.0 if s is None else s[0], k + 1, total > 0.0


class Array(np.ndarray):
    """As `numpy.memmap` is, an array whose type is not NumPy's own."""


MATRICES = {
    "C": lambda X: X,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": lambda X: X[::-1, ::-1],
    "subclass": lambda X: X.view(Array),
    "one row": lambda X: X[:1],
    "no row": lambda X: X[:0],
    "read-only": lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
}


ARRAYS = [("float64", layout) for layout in MATRICES] + [
    (dtype, "C") for dtype in ("float32", "uint8", "int64", "bool")
]


@pytest.mark.parametrize(("dtype", "layout"), ARRAYS)
def test_arrays(loop, dtype, layout):
    X = MATRICES[layout](np.arange(12).reshape(4, 3).astype(dtype))
    for s in (np.array([0.25, 4.0]), None) if (dtype, layout) == ("float64", "C") else (None,):
        found = loop("seen")((0,) * 3, X, s, 41, 0.5)
        assert found == pytest.approx(wanted(X.astype(float), s, 41, 0.5))
        assert [type(one) for one in found] == [int, float, float, int, bool]


def test_layouts_of_one_word_have_one_entry(loop):
    seen = Loop(loop("seen")._module, "seen")
    for layout in ("C", "read-only", "subclass", "one row"):
        seen((0,) * 3, MATRICES[layout](np.ones((4, 3))), None, 1, 1.0)
    assert len(seen._entries) == 1
    seen((0,) * 3, np.asfortranarray(np.ones((4, 3))), None, 1, 1.0)
    seen((0,) * 4, np.ones((4, 3)), None, 1, 1.0)
    assert len(seen._entries) == 3


def test_an_array_is_written_to(loop):
    x = np.zeros(7)
    assert loop("fill")(x[1:4], 2.0) is None
    np.testing.assert_array_equal(x, [0, 2, 2, 2, 0, 0, 0])


def test_references_are_given_back(loop):
    X, s, number = np.ones((4, 3)), np.array([0.25]), 2.0**40
    arguments = ((0,) * 3, X, s, 10**6, number)
    others = (0,) * 2, *arguments[1:]

    def call() -> None:
        loop("seen")(*arguments)
        loop("seen")(*others)  # an entry that does not fit is asked first
        loop("fill")(s, 1.0)

    call()
    before = [sys.getrefcount(one) for one in (*arguments, None)]
    for _ in range(100):
        call()
    after = [sys.getrefcount(one) for one in (*arguments, None)]
    assert after[:-1] == before[:-1]
    assert abs(after[-1] - before[-1]) < 50  # other threads count it too


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.zeros(2, ">f8"), "array of >f8"),
        (np.zeros(2, "f2"), "array of float16"),
        (np.zeros(2, object), "array of object"),
        (np.zeros(9, np.uint8)[1:].view(np.float64), "array of float64"),  # not at a multiple of 8 bytes
        ("text", "str"),
        ([1.0], "list"),
    ],
)
def test_what_no_loop_takes_is_refused(value, name):
    with pytest.raises(TypeError, match=f"compiled loops take no {name}"):
        describe(value)


def test_an_entry_takes_nothing_that_does_not_fit_its_words(loop):
    fill = Loop(loop("fill")._module, "fill")
    fill(np.zeros(3), 1.0)
    for value in (np.zeros(3, ">f8"), np.zeros((3, 1)), np.zeros(3, np.float32), [0.0] * 3, None, 3):
        (entry,) = fill._entries.values()
        arguments = (value, 1.0)
        assert entry(arguments) is arguments
    for arguments in ((np.zeros(3),), (np.zeros(3), 1), (np.zeros(3), np.float32(1.0)), (np.zeros(3), 1.0, 2.0)):
        assert entry(arguments) is arguments


def test_a_loop_that_raises_does_not_pass_for_one_that_returns(loop):
    with pytest.raises(RuntimeError, match="stand_still_i_i has raised an error"):
        loop("stand_still")(3, 0)
