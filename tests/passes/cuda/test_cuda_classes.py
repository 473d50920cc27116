"""The CUDA pass for many classes: on a stand-in for CuPy everywhere, on CuPy itself where there is a GPU."""

from __future__ import annotations

from typing import NamedTuple

import fake_cupy
import kernel_host
import numpy as np
import pytest
from softmax_cases import CASES, REALS, Case, bits_of, case_of, check, make_rows, parameters
from sweeps import every_other

from gpu_logreg.arrays.device import cuda_problem, import_cupy
from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda.tuning.family import STORAGES
from gpu_logreg.passes.reference.classes import reference_multinomial_pass
from gpu_logreg.passes.sums import Sums
from gpu_logreg.rows.block import Rows


def name_of(case: object) -> str | None:
    return "-".join(map(str, case[:5])) if isinstance(case, Case) else None


every_case = pytest.mark.parametrize("case", every_other(CASES), ids=name_of)


@pytest.fixture(autouse=True)
def known_storage(request):
    case = request.node.callspec.params.get("case") if hasattr(request.node, "callspec") else None
    if getattr(case, "storage", None) == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="NumPy knows bfloat16 from it")


@pytest.fixture
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    caches = cuda_multinomial._kernels, cuda_multinomial._most_shared
    for cache in caches:
        cache.cache_clear()
    with fake_cupy.installed(monkeypatch) as cupy:
        yield cupy
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(params=["fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def cupy(request):
    if request.param == "fake":
        return request.getfixturevalue("fake")
    problem = cuda_problem()
    if problem:
        pytest.skip(problem)
    return import_cupy()


@pytest.fixture
def run(monkeypatch):
    """The pass with the member of the family that a case names."""

    def sums(case: Case, rows: Rows, W: np.ndarray, b: np.ndarray) -> Sums:
        monkeypatch.setattr(cuda_multinomial, "choose_softmax_family", lambda *_: case.family)
        return cuda_multinomial.cuda_multinomial_pass(rows, W, b, case.real)

    return sums


def to_device(cupy, rows: Rows) -> Rows:
    try:
        return Rows(*(None if array is None else cupy.asarray(array) for array in rows))
    except (TypeError, ValueError) as error:
        if cupy is not fake_cupy and rows.X.dtype.name == "bfloat16":
            pytest.skip(f"this CuPy knows no bfloat16: {error}")
        raise


def blocks_of_a_grid(cupy) -> int:
    """Blocks of the largest grid of a case, one for every multiprocessor."""
    return cupy.cuda.Device(0).attributes["MultiProcessorCount"]


def test_the_cases_meet_every_branch():
    assert {case[:2] for case in CASES} == {(storage, real) for storage in STORAGES for real in REALS}
    assert {case.weight for case in CASES} == {None, *REALS}
    assert {case.copy for case in CASES} == {1, 2, 4, 8, 16}
    assert {case.w_shared for case in CASES} == {0, 1}
    assert {case.slices == 1 for case in CASES} == {True, False}
    assert {case.n_classes % case.tile_classes == 0 for case in CASES} == {True, False}
    assert {case.rows * case.softmax_lanes % 32 == 0 for case in CASES} == {True, False}
    assert {case.n_classes % case.softmax_lanes == 0 for case in CASES} == {True, False}
    assert {case.lanes for case in CASES} == {1, 2, 4, 8, 16, 32}
    assert {case.d * STORAGES[case.storage] % case.family.vec == 0 for case in CASES} == {True, False}


@every_case
def test_sums_follow_the_reference(cupy, run, case):
    W, b = parameters(case)
    tile, grid = case.rows, case.rows * blocks_of_a_grid(cupy)
    for n in sorted({1, 2, max(tile - 1, 1), tile, tile + 1, grid + tile // 2 + 1, 3 * grid + 1}):
        rows = make_rows(n, case)
        on_device = to_device(cupy, rows)
        assert cuda_multinomial.supports(on_device, case.n_classes, case.real) is None
        check(run(case, on_device, W, b), rows, W, b, case.real)


@pytest.mark.parametrize(
    "case", [case_of("float32", "float32", 28, 10), case_of("uint8", "float32", 785, 10)], ids=name_of
)
def test_member_and_dtype_are_chosen_where_none_is_given(cupy, case):
    W, b = parameters(case)
    for n in (1, 300):
        rows = make_rows(n, case)
        on_device = to_device(cupy, rows)
        given = cuda_multinomial.cuda_multinomial_pass(on_device, W, b)
        check(given, rows, W, b, case.real)
        asked = cuda_multinomial.cuda_multinomial_pass(on_device, W, b, case.real)
        assert bits_of(asked) == bits_of(given)
        check(cuda_multinomial.cuda_multinomial_pass(on_device, W, b, "float64"), rows, W, b, "float64")


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
    copy: int


LAYOUTS = [
    Layout("float32", 28, 33, 0, 1, 0, 4),
    Layout("float32", 28, 32, 2, 1, 0, 8),
    Layout("float32", 28, 28, 0, 2, 0, 16),
    Layout("float32", 28, 28, 0, 1, 1, 4),
    Layout("float64", 6, 6, 0, 3, 1, 8),
    Layout("float16", 100, 101, 1, 1, 0, 2),
    Layout("uint8", 64, 64, 0, 1, 1, 1),
    Layout("uint8", 64, 72, 0, 1, 0, 8),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(map(str, layout)))
def test_rows_that_are_part_of_a_larger_array(cupy, layout):
    """The copies are as wide as the addresses allow; the shim refuses wider ones, and the chosen member says which."""
    n, K = 45, 4
    rng = np.random.default_rng(layout.columns)
    count = n * layout.step * layout.columns
    values = rng.integers(1, 256, count) if layout.storage == "uint8" else rng.standard_normal(count)
    around = np.full(layout.shift + count, 99, layout.storage)
    around[layout.shift :] = values.astype(layout.storage)
    there = cupy.asarray(around)

    def part(flat):
        matrix = flat[layout.shift :].reshape(n * layout.step, layout.columns)
        return matrix[:: layout.step, layout.skipped : layout.skipped + layout.d]

    y = rng.integers(0, K, n).astype(np.int32)
    rows, on_device = Rows(part(around), y, None), Rows(part(there), cupy.asarray(y), None)
    real = np.dtype("float64" if layout.storage == "float64" else "float32")
    assert cuda_multinomial.family_of(on_device.X, K, real).copy == layout.copy
    W, b = rng.standard_normal((K, layout.d)) / layout.d, rng.standard_normal(K)
    check(cuda_multinomial.cuda_multinomial_pass(on_device, W, b), rows, W, b, real.name)
    one, one_there = (Rows(part.X[7:8], part.y[7:8], None) for part in (rows, on_device))
    check(cuda_multinomial.cuda_multinomial_pass(one_there, W, b), one, W, b, real.name)


EXTREME = [sign * z for z in (0.0, 1e-30, 0.5, 16.0, 40.0, 88.0, 104.0, 700.0, 1e4) for sign in (1, -1)]


@pytest.mark.parametrize(
    "case", [case_of("float32", "float32", 1, 3), case_of("float64", "float64", 5, 4)], ids=name_of
)
def test_extreme_logits(cupy, run, case):
    """Against logarithms and exponentials in the widest dtype; rows one by one, so that no loss hides a smaller one."""
    K, limits = case.n_classes, np.finfo(case.real)
    W = np.zeros((K, case.d))
    W[:3, -1] = 1.0, -0.5, 0.25
    for label in range(3):
        for x in EXTREME:
            X = np.zeros((1, case.d), case.storage)
            X[0, -1] = x
            s = None if case.weight is None else np.ones(1, case.weight)
            sums = run(case, to_device(cupy, Rows(X, np.full(1, label, np.int32), s)), W, np.zeros(K))
            z = W[:, -1].astype(np.longdouble) * X[0, -1].astype(np.longdouble)
            e = np.exp(z - z.max())
            others = np.delete(e, int(np.argmax(z))).sum()
            loss = np.log1p(others) + (z.max() - z[label])
            dz = e / (1 + others)
            dz[label] = -np.delete(e, label).sum() / (1 + others)
            # A rounded difference of logits of that size moves its exponential by so much.
            rtol, tiny = 4 * float(limits.eps) * (1 + (abs(x) if abs(x) <= 700 else 0)), float(limits.tiny)
            assert sums.loss_sum == pytest.approx(float(loss), rel=rtol, abs=tiny)
            np.testing.assert_allclose(sums.db_sum, dz.astype(np.float64), rtol=rtol, atol=tiny)


@pytest.mark.parametrize(
    "case", [case_of("float32", "float32", 28, 10), case_of("uint8", "float32", 784, 3)], ids=name_of
)
def test_a_label_that_is_no_class_adds_no_loss(cupy, run, case):
    K, lanes = case.n_classes, case.softmax_lanes
    strange = np.array([-1, -lanes, -8 * lanes, K, K + lanes, 1000], np.int32)
    rows = make_rows(len(strange), case)._replace(sample_weight=None)
    W, b = parameters(case)
    sums = run(case, to_device(cupy, rows._replace(y=strange)), W, b)
    assert sums.loss_sum == 0.0
    Z = rows.X.astype(np.float64) @ W.T + b
    e = np.exp(Z - Z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(sums.db_sum, (e / e.sum(axis=1, keepdims=True)).sum(axis=0), rtol=1e-5)


def test_the_intercept_is_added_in_float64(cupy, run):
    case = case_of("float32", "float32", 1, 3)
    rows = make_rows(300, case)
    rows = rows._replace(X=np.float32(1500.0) + rows.X)
    W = np.array([[1.0], [0.0], [-1.0]])
    b = np.array([-1500.1, 0.0, 1500.3])  # not float32, and nearly the negative of X W
    check(run(case, to_device(cupy, rows), W, b), rows, W, b, "float32")


@every_case
def test_a_second_run_gives_the_same_bits(cupy, run, case):
    n = case.rows * (blocks_of_a_grid(cupy) + 1) + 1  # a block has a second tile, and the last is ragged
    on_device, (W, b) = to_device(cupy, make_rows(n, case)), parameters(case)
    runs = set()
    for seed in range(5):
        fake_cupy.schedule_seed = seed  # means nothing to a GPU, which has schedules of its own
        runs.add(bits_of(run(case, on_device, W, b)))
    fake_cupy.schedule_seed = 0
    assert len(runs) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "case",
    [
        case_of("float32", "float32", 28, 10),
        case_of("float32", "float32", 785, 10),
        case_of("float64", "float64", 5, 4),
        case_of("float16", "float32", 3, 3),
        case_of("bfloat16", "float32", 28, 10),
    ],
    ids=name_of,
)
def test_what_is_not_finite_reaches_the_sums(cupy, run, case, value):
    n = case.rows + 3  # the last row lies in the place of the rows that are not there
    W, b = parameters(case)
    for row, column in ((0, 0), (n // 2, case.d // 2), (n - 1, case.d - 1)):
        rows = make_rows(n, case)
        rows.X[row, column] = value
        if rows.sample_weight is not None:
            rows.sample_weight[row] = 1
        sums = run(case, to_device(cupy, rows), W, b)
        with np.errstate(invalid="ignore"):
            true = reference_multinomial_pass(rows._replace(X=rows.X.astype(np.float64)), W, b)
        assert not np.isfinite(true.dw_sum[:, column]).any()
        np.testing.assert_array_equal(np.isfinite(sums.dw_sum), np.isfinite(true.dw_sum))
        np.testing.assert_array_equal(np.isfinite(sums.db_sum), np.isfinite(true.db_sum))
        assert not np.isfinite(sums.loss_sum)
        if np.isnan(value):
            assert np.isnan(sums.loss_sum)
            assert np.isnan(sums.dw_sum).all()


def test_an_infinite_logit_harms_the_other_classes_in_one_column_only(cupy, run):
    """Of the largest logit ``inf - inf`` is NaN, of the others the derivative is zero, as in the reference."""
    case = case_of("float32", "float32", 28, 10)
    rows = make_rows(5, case)
    W, b = np.zeros((10, 28)), np.zeros(10)
    W[4, 3] = 1.0
    rows.X[2, 3], rows.sample_weight[2], rows.y[2] = np.inf, 1, 7
    sums = run(case, to_device(cupy, rows), W, b)
    with np.errstate(invalid="ignore"):
        true = reference_multinomial_pass(rows, W, b)
    np.testing.assert_array_equal(np.isnan(sums.db_sum), np.isnan(true.db_sum))
    np.testing.assert_array_equal(np.isfinite(sums.dw_sum), np.isfinite(true.dw_sum))


@pytest.mark.parametrize(
    "case", [case_of("float32", "float32", 28, 3), case_of("float64", "float64", 5, 4)], ids=name_of
)
def test_a_logit_that_is_no_number_makes_the_whole_row_so(cupy, run, case):
    """Whichever lane has it: all lanes of the row have to agree."""
    rows, (W, b) = make_rows(1, case), parameters(case)
    if rows.sample_weight is not None:
        rows.sample_weight[:] = 1
    for k in range(case.n_classes):
        intercepts = b.copy()
        intercepts[k] = np.nan
        sums = run(case, to_device(cupy, rows), W, intercepts)
        assert np.isnan([sums.loss_sum, *sums.db_sum, *sums.dw_sum.ravel()]).all()


def test_weights_that_are_not_finite_reach_the_sums(cupy, run):
    case = case_of("float32", "float32", 28, 10)
    rows, (W, b) = make_rows(259, case), parameters(case)
    rows.sample_weight[-1] = np.nan
    sums = run(case, to_device(cupy, rows), W, b)
    assert np.isnan([sums.loss_sum, *sums.db_sum, *sums.dw_sum.ravel()]).all()


def test_sums_of_parts_add_up_and_weights_are_repetitions(cupy, run):
    case = case_of("float64", "float64", 5, 4)
    (X, y, _), (W, b) = make_rows(300, case), parameters(case)
    times = np.random.default_rng(3).integers(0, 4, 300)
    times[-1] = 0
    weighted = to_device(cupy, Rows(X, y, times.astype(np.float64)))
    whole = run(case, weighted, W, b)
    parts = [Rows(*(array[part] for array in weighted)) for part in (slice(0, 131), slice(131, 300))]
    repeated = to_device(cupy, Rows(X.repeat(times, axis=0), y.repeat(times), np.ones(times.sum())))
    for same in (run(case, parts[0], W, b) + run(case, parts[1], W, b), run(case, repeated, W, b)):
        np.testing.assert_allclose(same.loss_sum, whole.loss_sum, rtol=1e-13)
        np.testing.assert_allclose(same.db_sum, whole.db_sum, rtol=1e-13, atol=1e-12)
        np.testing.assert_allclose(same.dw_sum, whole.dw_sum, rtol=1e-13, atol=1e-11)
    nothing = run(case, to_device(cupy, Rows(X, y, np.zeros(300))), W, b)
    assert nothing.loss_sum == 0
    assert not nothing.dw_sum.any()
    assert not nothing.db_sum.any()


def test_two_launches_and_one_copy_each_way_compiled_once(fake, run):
    case = case_of("float32", "float32", 28, 10)
    on_device, (W, b) = to_device(fake, make_rows(300, case)), parameters(case)
    for _ in range(3):
        fake.counts.clear()
        run(case, on_device, W, b)
        assert fake.counts == {"launches": 2, "copies to the host": 1, "copies to the device": 1}
    assert cuda_multinomial._kernels.cache_info().misses == 1


def test_no_rows_launch_nothing(fake):
    case = case_of("float32", "float32", 3, 4)
    on_device = to_device(fake, make_rows(0, case))
    fake.counts.clear()
    sums = cuda_multinomial.cuda_multinomial_pass(on_device, *parameters(case))
    assert not fake.counts
    assert sums.loss_sum == 0
    np.testing.assert_array_equal(sums.dw_sum, np.zeros((4, 3)))
    np.testing.assert_array_equal(sums.db_sum, np.zeros(4))
