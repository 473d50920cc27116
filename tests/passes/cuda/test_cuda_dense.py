"""The CUDA pass: on a stand-in for CuPy everywhere, on CuPy itself where there is a GPU."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import fake_cupy
import kernel_host
import numpy as np
import pytest
from sweeps import every_other

from gpu_logreg.arrays.device import cuda_problem, import_cupy
from gpu_logreg.errors import ImplementationError
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda.tuning.family import Family
from gpu_logreg.passes.reference.gradient import reference_pass
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows, compute_dtype

REALS = ("float32", "float64")


class Case(NamedTuple):
    """One specialisation; ``weight`` is None where every weight is 1.

    The member of the family is given and not chosen, so that a better choice leaves no branch of the kernel untested.
    """

    storage: str
    real: str
    d: int
    label: str
    weight: str | None
    vec: int
    lanes: int
    rows: int
    once: int = 0
    ahead: int = 0
    stages: int = 0

    @property
    def family(self) -> Family:
        chunks = -(-self.d * cuda.STORAGES[self.storage] // (self.vec * self.lanes))
        block = self.lanes if self.lanes > 32 else 64 if self.stages else 256
        resident = 3 if block <= 256 else 1
        return Family(self.vec, self.lanes, chunks, self.rows, block, resident, self.once, self.ahead, self.stages)


# A compilation each, so no product: every storage in both precisions, every label and weight, and of the families
# every number of lanes, every size of a load, one chunk and several, every number of rows under way.
CASES = [
    Case("float32", "float32", 1, "uint8", None, vec=4, lanes=1, rows=1),
    Case("float32", "float32", 2, "float32", "float64", vec=8, lanes=1, rows=1),
    Case("float32", "float32", 3, "float32", "float32", vec=4, lanes=4, rows=4),
    Case("float32", "float32", 13, "uint8", "float64", vec=4, lanes=16, rows=8),
    Case("float32", "float32", 28, "uint8", "float32", vec=16, lanes=8, rows=8),
    Case("float32", "float32", 57, "uint8", None, vec=4, lanes=32, rows=8),
    Case("float32", "float32", 784, "float32", None, vec=16, lanes=32, rows=1),
    Case("float32", "float32", 2000, "uint8", "float32", vec=16, lanes=256, rows=8),
    Case("float32", "float32", 7200, "uint8", None, vec=16, lanes=512, rows=4),
    Case("float32", "float64", 8, "uint8", None, vec=16, lanes=2, rows=2),
    Case("float32", "float64", 30, "float64", "float32", vec=8, lanes=16, rows=8),
    Case("float64", "float64", 4, "float64", "float32", vec=16, lanes=2, rows=1),
    Case("float64", "float64", 5, "uint8", "float64", vec=8, lanes=8, rows=8),
    Case("float64", "float64", 256, "uint8", None, vec=16, lanes=32, rows=2),
    Case("float64", "float64", 900, "float64", None, vec=16, lanes=128, rows=2),
    Case("float64", "float32", 100, "uint8", "float64", vec=16, lanes=8, rows=2),
    Case("float16", "float32", 57, "float32", "float32", vec=2, lanes=64, rows=8),
    Case("float16", "float32", 100, "uint8", "float64", vec=8, lanes=16, rows=8),
    Case("float16", "float32", 1024, "uint8", None, vec=16, lanes=256, rows=8),
    Case("float16", "float64", 64, "uint8", None, vec=16, lanes=8, rows=2),
    Case("bfloat16", "float32", 30, "float32", "float64", vec=4, lanes=16, rows=8),
    Case("bfloat16", "float32", 1024, "uint8", None, vec=8, lanes=128, rows=4),
    Case("bfloat16", "float64", 13, "uint8", "float32", vec=2, lanes=16, rows=8),
    Case("uint8", "float32", 5, "float32", "float32", vec=1, lanes=8, rows=8),
    Case("uint8", "float32", 64, "uint8", "float64", vec=16, lanes=4, rows=4),
    Case("uint8", "float32", 100, "uint8", "float32", vec=4, lanes=32, rows=8),
    Case("uint8", "float32", 784, "uint8", None, vec=16, lanes=64, rows=1),
    Case("uint8", "float64", 30, "float64", None, vec=2, lanes=16, rows=8),
    # Rows ahead in registers.
    Case("float32", "float32", 64, "float32", "float64", vec=16, lanes=8, rows=4, ahead=1),
    Case("uint8", "float32", 1000, "uint8", "float32", vec=8, lanes=64, rows=4, once=1, ahead=1),
    Case("bfloat16", "float32", 512, "uint8", None, vec=16, lanes=32, rows=2, once=1, ahead=1),
    # Stripes: loads of every size, one lane and several, one chunk and several, one stage and several.
    Case("uint8", "float32", 28, "uint8", "float32", vec=4, lanes=1, rows=1, once=1, stages=4),
    Case("float32", "float64", 20, "uint8", "float64", vec=16, lanes=2, rows=2, once=1, stages=2),
    Case("float16", "float32", 28, "uint8", None, vec=8, lanes=1, rows=1, once=1, stages=2),
    Case("float64", "float32", 10, "float32", None, vec=16, lanes=4, rows=4, stages=1),
    Case("float32", "float32", 100, "float32", "float64", vec=16, lanes=4, rows=2, stages=1),
    Case("uint8", "float32", 50, "float32", None, vec=2, lanes=4, rows=2, once=1, stages=1),
    Case("bfloat16", "float32", 100, "uint8", "float32", vec=8, lanes=4, rows=4, stages=2),
    Case("float64", "float64", 6, "uint8", None, vec=16, lanes=2, rows=2, stages=3),
    Case("uint8", "float32", 13, "uint8", None, vec=1, lanes=1, rows=1, stages=3),
    Case("float32", "float32", 512, "uint8", None, vec=16, lanes=32, rows=4, stages=2),
]


def case_of(storage: str, real: str, d: int) -> Case:
    (found,) = (case for case in CASES if case[:3] == (storage, real, d))
    return found


def name_of(case: object) -> str | None:
    return "-".join(map(str, case)) if isinstance(case, Case) else None


every_case = pytest.mark.parametrize("case", every_other(CASES), ids=name_of)


def knows_bfloat16() -> bool:
    """Whether NumPy does; `kernel_host` has imported ``ml_dtypes`` if it is there, and a machine with a GPU may not."""
    try:
        return np.dtype("bfloat16") is not None
    except TypeError:
        return False


@pytest.fixture(autouse=True)
def known_storage(request):
    params = getattr(request.node, "callspec", None)
    storages = [getattr(value, "storage", value) for value in params.params.values()] if params else []
    if not knows_bfloat16() and any(isinstance(storage, str) and storage == "bfloat16" for storage in storages):
        pytest.skip("NumPy knows bfloat16 from ml_dtypes, which is not installed")


@pytest.fixture
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    cuda._kernels.cache_clear()
    with fake_cupy.installed(monkeypatch) as cupy:
        yield cupy
    cuda._kernels.cache_clear()


@pytest.fixture(params=["fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def cupy(request):
    if request.param == "fake":
        return request.getfixturevalue("fake")
    problem = cuda_problem()
    if problem:
        pytest.skip(problem)
    return import_cupy()


def make_rows(n: int, case: Case) -> Rows:
    """Rows on the host, whose logits by `parameters` are about 1 in size."""
    rng = np.random.default_rng([n, case.d])
    X = rng.integers(0, 256, (n, case.d)) if case.storage == "uint8" else rng.standard_normal((n, case.d))
    y = rng.integers(0, 2, n) if case.label == "uint8" else rng.random(n)
    s = None if case.weight is None else (rng.exponential(size=n) * (rng.random(n) < 0.8)).astype(case.weight)
    return Rows(X.astype(case.storage), y.astype(case.label), s)


def parameters(case: Case) -> tuple[np.ndarray, float]:
    w = np.random.default_rng(case.d).standard_normal(case.d) / np.sqrt(case.d)
    return w / 128 if case.storage == "uint8" else w, 0.3


@pytest.fixture
def run(monkeypatch):
    """The pass with the member of the family that a case names."""

    def sums(case: Case, rows: Rows, w: np.ndarray, b: float) -> Sums:
        monkeypatch.setattr(cuda, "choose_family", lambda *_: case.family)
        return cuda.cuda_pass(rows, w, b, case.real)

    return sums


def to_device(cupy, rows: Rows) -> Rows:
    try:
        return Rows(*(None if array is None else cupy.asarray(array) for array in rows))
    except (TypeError, ValueError) as error:
        if cupy is not fake_cupy and rows.X.dtype.name == "bfloat16":
            pytest.skip(f"this CuPy knows no bfloat16: {error}")
        raise


def in_dtype(rows: Rows, dtype: str) -> Rows:
    y = rows.y if rows.y.dtype == np.uint8 else rows.y.astype(dtype)
    return Rows(rows.X.astype(dtype), y, rows.sample_weight)


def check(sums: Sums, rows: Rows, w: np.ndarray, b: float, real: str) -> None:
    """No further from float64 than the reference pass in the same dtype, but for a few bits of the terms."""
    exact, plain = in_dtype(rows, "float64"), reference_pass(in_dtype(rows, real), w, b)
    true = reference_pass(exact, w, b)
    s = np.ones(len(rows.y)) if rows.sample_weight is None else rows.sample_weight.astype(np.float64)
    bits = 4 * np.finfo(real).eps
    loss_terms = bits * np.sum(s * (1 + np.abs(exact.X @ w + b)))
    assert abs(sums.loss_sum - true.loss_sum) <= abs(plain.loss_sum - true.loss_sum) + loss_terms
    assert abs(sums.db_sum - true.db_sum) <= abs(plain.db_sum - true.db_sum) + bits * s.sum()
    dw_terms = bits * (s @ np.abs(exact.X)).max()
    assert np.abs(sums.dw_sum - true.dw_sum).max() <= np.abs(plain.dw_sum - true.dw_sum).max() + dw_terms
    assert type(sums.loss_sum) is type(sums.db_sum) is float
    assert type(sums.dw_sum) is np.ndarray
    assert sums.dw_sum.dtype == np.float64
    assert sums.dw_sum.shape == w.shape


def rows_of_a_grid(cupy, family: Family) -> int:
    """Rows that the largest grid has under way at once."""
    return family.batch * family.resident * cupy.cuda.Device(0).attributes["MultiProcessorCount"]


def test_the_cases_meet_every_branch():
    families = [case.family for case in CASES]
    assert {family.lanes for family in families} == {1, 2, 4, 8, 16, 32, 64, 128, 256, 512}
    assert {family.vec for family in families} == {1, 2, 4, 8, 16}
    assert {family.rows for family in families} == {1, 2, 4, 8}
    assert {family.chunks > 1 for family in families if family.lanes <= 32} == {True, False}
    assert {family.chunks > 1 for family in families if family.lanes > 32} == {True, False}
    striped = [family for family in families if family.stages]
    assert {family.lanes for family in striped} >= {1, 2, 4, 32}
    assert {family.vec for family in striped} == {1, 2, 4, 8, 16}
    assert {family.stages for family in striped} == {1, 2, 3, 4}
    for flag in ("once", "ahead"):
        assert {getattr(family, flag) for family in families if not family.stages} == {0, 1}
    assert {family.once for family in striped} == {0, 1}
    assert {case[:2] for case in CASES} == {(storage, real) for storage in cuda.STORAGES for real in REALS}
    assert {(case.label == "uint8", case.weight) for case in CASES} == {
        (hard, weight) for hard in (True, False) for weight in (None, *REALS)
    }


@every_case
def test_sums_follow_the_reference(cupy, run, case):
    w, b = parameters(case)
    batch, most = case.family.batch, rows_of_a_grid(cupy, case.family)
    for n in sorted({1, 2, max(batch - 1, 1), batch, batch + 1, 2 * batch + 3, most + batch // 2 + 1, 2 * most + 1}):
        rows = make_rows(n, case)
        on_device = to_device(cupy, rows)
        assert cuda.supports(on_device, case.real) is None
        check(run(case, on_device, w, b), rows, w, b, case.real)


@pytest.mark.parametrize(
    "case",
    [case_of("float32", "float32", 28), case_of("float64", "float64", 900), case_of("uint8", "float32", 784)],
    ids=name_of,
)
def test_member_and_dtype_are_chosen_where_none_is_given(cupy, case):
    w, b = parameters(case)
    for n in (1, 300):
        rows = make_rows(n, case)
        on_device = to_device(cupy, rows)
        check(cuda.cuda_pass(on_device, w, b), rows, w, b, case.real)
        assert compute_dtype(on_device.X.dtype) == case.real
        asked, given = cuda.cuda_pass(on_device, w, b, case.real), cuda.cuda_pass(on_device, w, b)
        assert (asked.loss_sum, asked.db_sum) == (given.loss_sum, given.db_sum)
        np.testing.assert_array_equal(asked.dw_sum, given.dw_sum)


class Layout(NamedTuple):
    storage: str
    d: int
    columns: int
    """Columns of the array that the rows are a part of."""
    skipped: int
    """Of them, before the first column of ``X``."""
    step: int
    """Rows of that array for one of ``X``."""
    shift: int
    """Elements between an aligned address and that array."""
    vec: int


LAYOUTS = [
    Layout("float32", 28, 33, 0, 1, 0, 4),
    Layout("float32", 28, 32, 4, 1, 0, 16),
    Layout("float32", 28, 32, 2, 1, 0, 8),
    Layout("float32", 28, 28, 0, 2, 0, 16),
    Layout("float32", 28, 28, 0, 1, 1, 4),
    Layout("float32", 1, 3, 1, 2, 0, 4),
    Layout("float64", 256, 256, 0, 3, 1, 8),
    Layout("float16", 100, 101, 1, 1, 0, 2),
    Layout("float16", 100, 100, 0, 1, 2, 4),
    Layout("bfloat16", 1024, 1028, 4, 2, 0, 8),
    Layout("uint8", 784, 784, 0, 1, 1, 1),
    Layout("uint8", 64, 72, 0, 1, 0, 8),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(map(str, layout)))
def test_rows_that_are_part_of_a_larger_array(cupy, monkeypatch, run, layout):
    n = 45
    real = compute_dtype(layout.storage).name
    size = np.dtype(layout.storage).itemsize
    lanes = next(lanes for lanes in (1, 2, 4, 8, 16, 32, 64, 128, 256) if 4 * lanes * layout.vec >= layout.d * size)
    case = Case(layout.storage, real, layout.d, "uint8", None, layout.vec, lanes, rows=min(lanes, 4))
    asked = []
    rng = np.random.default_rng(layout.columns)
    count = n * layout.step * layout.columns
    values = rng.integers(1, 256, count) if layout.storage == "uint8" else rng.standard_normal(count)
    around = np.full(layout.shift + count, 99, layout.storage)
    around[layout.shift :] = values.astype(layout.storage)
    there = to_device(cupy, Rows(around, np.zeros(n, np.uint8), None)).X

    def part(flat):
        matrix = flat[layout.shift :].reshape(n * layout.step, layout.columns)
        return matrix[:: layout.step, layout.skipped : layout.skipped + layout.d]

    rows = Rows(part(around), rng.integers(0, 2, n).astype(np.uint8), None)
    on_device = Rows(part(there), cupy.asarray(rows.y), None)
    monkeypatch.setattr(cuda, "choose_family", lambda *arguments: asked.append(arguments) or case.family)
    assert cuda.supports(on_device) is None
    d, *names, alignment, contiguous = asked[0]
    assert (d, *names) == (layout.d, layout.storage, real)
    assert contiguous == (layout.columns == layout.d and layout.step == 1)
    assert min(alignment, math.gcd(d * size, 16)) == layout.vec
    w, b = parameters(case)
    check(run(case, on_device, w, b), rows, w, b, real)
    one = Rows(on_device.X[7:8], on_device.y[7:8], None)
    check(run(case, one, w, b), Rows(rows.X[7:8], rows.y[7:8], None), w, b, real)


@pytest.mark.parametrize("storage", ["float16", "bfloat16", "uint8", "float32", "float64"])
def test_every_value_is_read_exactly(cupy, run, storage):
    """With ``w = 0`` and one positive row ``dw_sum`` is half the row, in any arithmetic."""
    real = "float64" if storage == "float64" else "float32"
    d = {"uint8": 784, "float32": 784, "float64": 256}.get(storage, 1024)
    case = case_of(storage, real, d)
    size = np.dtype(storage).itemsize
    if size <= 2:
        patterns = np.arange(2 ** (8 * size)).astype(f"u{size}")
    else:
        patterns = np.random.default_rng(1).integers(0, 2 ** (8 * size), 4 * d, f"u{size}")
    values = patterns.view(storage)
    with np.errstate(invalid="ignore"):  # some are NaN
        wide = values.astype(np.float64)
    tiny = 2 * np.finfo(real).tiny  # CuPy flushes what is below
    values = values[np.isfinite(wide) & ((np.abs(wide) >= tiny) | (wide == 0))]
    for first in range(0, len(values), d):
        X = np.resize(values[first : first + d], (1, d))
        on_device = to_device(cupy, Rows(X, np.ones(1, case.label), None))
        dw_sum = run(case, on_device, np.zeros(d), 0.0).dw_sum
        np.testing.assert_array_equal(dw_sum, -X[0].astype(np.float64) / 2)


EXTREME = [sign * z for z in (0.0, 1e-30, 0.5, 16.0, 40.0, 88.0, 104.0, 700.0, 1e4) for sign in (1, -1)]


@pytest.mark.parametrize("case", [case_of("float32", "float32", 1), case_of("float64", "float64", 4)], ids=name_of)
def test_extreme_logits(cupy, run, case):
    for y in (0, 1):
        for z in EXTREME:  # one by one, so that a large loss hides no small one
            X = np.zeros((1, case.d), case.storage)
            X[0, -1] = z
            rows = Rows(X, np.full(1, y, case.label), None if case.weight is None else np.ones(1, case.weight))
            sums = run(case, to_device(cupy, rows), np.ones(case.d), 0.0)
            true = float(np.logaddexp(0.0, -z if y else z))
            limits = {"rel": 4 * float(np.finfo(case.real).eps), "abs": float(np.finfo(case.real).tiny)}
            assert sums.loss_sum == pytest.approx(true, **limits)
            true_dz = np.exp(-np.logaddexp(0.0, -z)) if y == 0 else -np.exp(-np.logaddexp(0.0, z))
            assert sums.db_sum == pytest.approx(float(true_dz), **limits)


def test_the_intercept_is_added_in_float64(cupy, run):
    case = case_of("float32", "float32", 1)
    rows = make_rows(300, case)
    rows = rows._replace(X=np.float32(1500.0) + rows.X)
    w, b = np.ones(1), -1500.1  # not a float32, and nearly the negative of X w
    check(run(case, to_device(cupy, rows), w, b), rows, w, b, "float32")


@pytest.mark.parametrize("weight", [None, "float64"])
def test_no_rows_give_zeros(cupy, weight):
    case = case_of("float32", "float32", 3)._replace(weight=weight)
    sums = cuda.cuda_pass(to_device(cupy, make_rows(0, case)), np.ones(3), 1.0)
    assert sums.loss_sum == sums.db_sum == 0
    np.testing.assert_array_equal(sums.dw_sum, np.zeros(3))


def assert_equal(left: Sums, right: Sums) -> None:
    """But for the order of the sums, in float64."""
    np.testing.assert_allclose(left.loss_sum, right.loss_sum, rtol=1e-13)
    np.testing.assert_allclose(left.db_sum, right.db_sum, rtol=1e-13, atol=1e-12)
    np.testing.assert_allclose(left.dw_sum, right.dw_sum, rtol=1e-13, atol=1e-11)


@pytest.mark.parametrize("d", [4, 5])
def test_sums_of_parts_add_up(cupy, run, d):
    case = case_of("float64", "float64", d)
    whole, (w, b) = to_device(cupy, make_rows(1000, case)), parameters(case)
    parts = [Rows(*(array[part] for array in whole)) for part in (slice(0, 333), slice(333, 1000))]
    added = run(case, parts[0], w, b) + run(case, parts[1], w, b)
    assert_equal(run(case, whole, w, b), added)


def test_weights_are_repetitions_and_a_row_of_weight_zero_is_none(cupy, run):
    case = case_of("float64", "float64", 5)
    w, b = parameters(case)
    X, y, _ = make_rows(300, case)
    times = np.random.default_rng(3).integers(0, 4, 300)
    times[-1] = 0
    weighted = to_device(cupy, Rows(X, y, times.astype(np.float64)))
    repeated = to_device(cupy, Rows(X.repeat(times, axis=0), y.repeat(times), np.ones(times.sum())))
    assert_equal(run(case, weighted, w, b), run(case, repeated, w, b))
    nothing = run(case, to_device(cupy, Rows(X, y, np.zeros(300))), w, b)
    assert nothing.loss_sum == nothing.db_sum == 0
    np.testing.assert_array_equal(nothing.dw_sum, np.zeros(5))


@every_case
def test_a_second_run_gives_the_same_bits(cupy, run, case):
    n = 2 * case.family.batch + 1
    if case.family.lanes > 32:  # slots in shared memory, used again for the next rows
        n += rows_of_a_grid(cupy, case.family)
    on_device, (w, b) = to_device(cupy, make_rows(n, case)), parameters(case)
    runs = []
    for seed in range(5):
        fake_cupy.schedule_seed = seed  # means nothing to a GPU, which has schedules of its own
        loss_sum, dw_sum, db_sum = run(case, on_device, w, b)
        runs.append((loss_sum, dw_sum.tobytes(), db_sum))
    fake_cupy.schedule_seed = 0
    assert len(set(runs)) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "case",
    [
        case_of("float32", "float32", 28),
        case_of("float32", "float32", 57),
        case_of("float64", "float64", 900),
        case_of("float16", "float32", 100),
        case_of("bfloat16", "float32", 1024),
    ],
    ids=name_of,
)
def test_what_is_not_finite_reaches_the_sums(cupy, run, case, value):
    n = case.family.batch + 3  # the last row is read again for the rows that are not there
    w, b = parameters(case)
    w[:] = np.abs(w) + 0.01
    for row, column in ((0, 0), (n // 2, case.d // 2), (n - 1, case.d - 1)):
        rows = make_rows(n, case)
        rows.X[row, column] = value
        rows.y[row] = value < 0  # wrong by an infinite logit
        if rows.sample_weight is not None:
            rows.sample_weight[row] = 1
        loss_sum, dw_sum, db_sum = run(case, to_device(cupy, rows), w, b)
        assert not np.isfinite(loss_sum)
        assert not np.isfinite(dw_sum[column])
        if np.isnan(value):
            assert np.isnan([loss_sum, db_sum]).all()
            assert np.isnan(dw_sum).all()
        else:
            assert np.isfinite(db_sum)  # |dz| is at most 1
            assert np.isfinite(np.delete(dw_sum, column)).all()


def test_weights_that_are_not_finite_reach_the_sums(cupy, run):
    case = case_of("float32", "float32", 28)
    rows, (w, b) = make_rows(259, case), parameters(case)
    rows.sample_weight[-1] = np.nan
    loss_sum, dw_sum, db_sum = run(case, to_device(cupy, rows), w, b)
    assert np.isnan([loss_sum, db_sum, *dw_sum]).all()


def test_two_launches_and_one_copy_each_way(fake, run):
    for case in (case_of("float32", "float32", 28), case_of("float32", "float32", 2000)):
        on_device, (w, b) = to_device(fake, make_rows(300, case)), parameters(case)
        for _ in range(2):
            fake.counts.clear()
            run(case, on_device, w, b)
            assert fake.counts == {"launches": 2, "copies to the host": 1, "copies to the device": 1}


def test_no_rows_launch_nothing(fake):
    case = case_of("float32", "float32", 28)
    on_device = to_device(fake, make_rows(0, case))
    fake.counts.clear()
    cuda.cuda_pass(on_device, *parameters(case))
    assert not fake.counts


def test_a_kernel_is_compiled_once(fake, run):
    case = case_of("float32", "float32", 28)
    on_device = to_device(fake, make_rows(10, case))
    for _ in range(3):
        run(case, on_device, *parameters(case))
    assert cuda._kernels.cache_info().misses == 1


def shifted(array):
    """The same values one byte further on, where no load of an element may begin."""
    moved = np.empty(array.nbytes + 1, np.uint8)
    moved[1:] = array.get().reshape(-1).view(np.uint8)
    there = import_cupy().asarray(moved)[1:]
    return there.view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: rows._replace(X=np.zeros((8, 2))), "takes CuPy arrays, and X is a numpy.ndarray"),
        (lambda rows: rows._replace(y=np.zeros(8)), "takes CuPy arrays, and y is a numpy.ndarray"),
        (lambda rows: rows._replace(y=[0] * 8), "takes CuPy arrays, and y is a builtins.list"),
        (lambda rows: rows._replace(sample_weight=np.ones(8)), "and sample_weight is a numpy.ndarray"),
        (lambda rows: rows._replace(X=rows.X[0]), "and X is 1-D float32"),
        (
            lambda rows: rows._replace(X=rows.X.astype(np.int64)),
            "in float32, float64, float16, bfloat16, uint8, and X is 2-D int64",
        ),
        (lambda rows: rows._replace(X=rows.X.astype(np.bool_)), "and X is 2-D bool"),
        (lambda rows: rows._replace(X=rows.X[:, :0]), "takes at least one column, and X has none"),
        (
            lambda rows: rows._replace(X=rows.X.repeat(2, axis=1)[:, ::2]),
            r"rows that are contiguous \(C order\), and X is not; see cupy.ascontiguousarray",
        ),
        (lambda rows: Rows(rows.X.repeat(2, axis=1)[:1, ::2], rows.y[:1], None), r"contiguous \(C order\)"),
        (
            lambda rows: rows._replace(y=rows.y.astype(np.int64)),
            r"takes y in uint8 or in the dtype it computes in \(float32\), and y is int64",
        ),
        (lambda rows: rows._replace(y=rows.y.astype(np.float64)), "and y is float64"),
        (lambda rows: rows._replace(y=rows.y.astype(np.bool_)), "and y is bool"),
        (lambda rows: rows._replace(X=rows.X.astype(np.float64), y=rows.X[:, 0]), r"\(float64\), and y is float32"),
        (lambda rows: rows._replace(y=rows.y[:7]), r"y of shape \(8,\) for the 8 rows of X, and y has \(7,\)"),
        (lambda rows: rows._replace(y=rows.y[:, None]), r"and y has \(8, 1\)"),
        (lambda rows: rows._replace(X=rows.X[:4], y=rows.y[::2]), "takes a contiguous y; copy it once"),
        (lambda rows: rows._replace(sample_weight=rows.y), "and sample_weight is uint8"),
        (lambda rows: rows._replace(sample_weight=rows.X[:7, 0]), r"and sample_weight has \(7,\)"),
        (lambda rows: rows._replace(sample_weight=rows.X[:, 0]), "takes a contiguous sample_weight"),
        (lambda rows: rows._replace(X=shifted(rows.X)), "X at addresses that the 4 bytes of float32 divide"),
        (lambda rows: rows._replace(y=shifted(rows.X[:, 0])), "y at addresses that the 4 bytes of float32 divide"),
        (
            lambda rows: rows._replace(sample_weight=shifted(rows.X[:, 0].astype(np.float64))),
            "sample_weight at addresses that the 8 bytes of float64 divide",
        ),
    ],
)
def test_rows_that_are_refused(cupy, change, reason):
    rows = change(to_device(cupy, make_rows(8, case_of("float32", "float32", 2)._replace(label="uint8", weight=None))))
    with pytest.raises(ImplementationError, match=reason) as error:
        cuda.cuda_pass(rows, np.zeros(2), 0.0)
    assert str(error.value) == cuda.supports(rows)
    assert "\n" not in str(error.value)


def test_f_order_is_refused_and_a_single_column_has_no_order(cupy):
    case = case_of("float32", "float32", 3)
    rows = make_rows(40, case)
    fortran = Rows(cupy.asarray(rows.X.T.copy()).T, cupy.asarray(rows.y), None)
    assert "contiguous (C order)" in str(cuda.supports(fortran))
    one = fortran._replace(X=fortran.X[:1], y=fortran.y[:1])  # its columns lie 40 apart
    assert "contiguous (C order)" in str(cuda.supports(one))
    column = Rows(fortran.X[:, 1:2], cupy.asarray(np.ones(40, np.uint8)), None)
    assert cuda.supports(column) is None
    sums = cuda.cuda_pass(column, np.ones(1), 0.3)
    check(sums, Rows(rows.X[:, 1:2], np.ones(40, np.uint8), None), np.ones(1), 0.3, "float32")


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("storage", ["float32", "float16", "uint8"])
def test_rows_that_are_too_wide(cupy, storage, real):
    def supports(d: int) -> str | None:
        X, y = cupy.asarray(np.zeros((1, d), storage)), cupy.asarray(np.zeros(1, np.uint8))
        return cuda.supports(Rows(X, y, None), real)

    reason = supports(20_000)
    assert "\n" not in reason
    assert reason.startswith("the cuda pass: a row of 20,000 columns does not fit the registers of a block")
    (widest,) = re.findall(r" ([\d,]+) in " + real, reason)
    widest = int(widest.replace(",", ""))
    assert supports(widest) is None


def test_arrays_of_two_devices(fake):
    rows = to_device(fake, make_rows(8, case_of("float32", "float32", 28)))
    rows = rows._replace(sample_weight=fake.moved(rows.sample_weight, 1))
    assert cuda.supports(rows) == "the cuda pass takes arrays of one device; X is on 0 and sample_weight on 1"
    rows = rows._replace(y=fake.moved(rows.y, 1))
    assert cuda.supports(rows) == "the cuda pass takes arrays of one device; X is on 0 and y on 1"
