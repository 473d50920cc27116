"""Products with the Hessian on a device: on a stand-in for CuPy everywhere, on CuPy itself where there is a GPU."""

from __future__ import annotations

import fake_cupy
import kernel_host
import numpy as np
import pytest

from gpu_logreg.arrays.device import Device, cuda_problem, import_cupy, to_numpy
from gpu_logreg.errors import ImplementationError
from gpu_logreg.mathematics.losses import loss_of_classes
from gpu_logreg.passes import row_curvature
from gpu_logreg.passes.choice import choose
from gpu_logreg.passes.cuda import classes, cublas, dense
from gpu_logreg.rows.block import Rows
from gpu_logreg.rows.resident import ResidentDataset


@pytest.fixture
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    caches = dense._kernels, classes._kernels, classes._most_shared, cublas._kernel
    for cache in caches:
        cache.cache_clear()
    with fake_cupy.installed(monkeypatch) as cupy:
        yield cupy
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(params=["fake", pytest.param("cupy", marks=pytest.mark.gpu)], autouse=True)
def cupy(request):
    if request.param == "fake":
        return request.getfixturevalue("fake")
    problem = cuda_problem()
    if problem:
        pytest.skip(problem)
    return import_cupy()


def data_sets(cupy, n: int, d: int, K: int, storage: str, weight: str | None):
    """The same rows on the device, and in float64 on the host; a point and a direction that float32 holds."""
    rng = np.random.default_rng([n, d, K])
    X = (rng.integers(0, 9, (n, d)) if storage == "uint8" else rng.standard_normal((n, d)) * 3).astype(storage)
    y = rng.integers(0, max(2, K), n).astype(np.int32 if K > 1 else np.uint8)
    s = None if weight is None else (rng.exponential(size=n) + (np.arange(n) == 0)).astype(weight)
    there = Rows(cupy.asarray(X), cupy.asarray(y), None if s is None else cupy.asarray(s))
    total = float(n) if s is None else float(s.sum())
    on_host = Rows(X.astype(np.float64), y, None if s is None else s.astype(np.float64))
    shape = (K, d) if K > 1 else (d,)
    w, v = rng.standard_normal((2, *shape)).astype(np.float32).astype(np.float64) / 4
    b, c = rng.standard_normal((2, K)) if K > 1 else (0.25, -0.5)
    return ResidentDataset(there, total), ResidentDataset(on_host, total), (w, b), (v, c)


def check(impl: str, data: ResidentDataset, host: ResidentDataset, point, direction) -> None:
    """Within some roundings of the sizes of the terms of the sums on the host, in float64."""
    loss = loss_of_classes(max(2, np.size(point[1])))
    engine, reference = (
        choose(impl, data.rows, Device("cuda"), loss),
        choose("reference", host.rows, Device("cpu"), loss),
    )
    assert engine.name == impl
    wanted = reference.product(host, reference.row_curvature(host, *point), *direction)
    sums, at = engine.gradient_and_curvature(data, *point)
    X, s = np.abs(host.rows.X), 1.0 if host.rows.sample_weight is None else host.rows.sample_weight
    size = s * (X @ np.abs(np.atleast_2d(direction[0])).max(axis=0) + 1.0)
    eps = float(np.finfo(data.compute_dtype).eps)
    assert (np.abs(sums.dw_sum - engine.gradient(data, *point).dw_sum) <= 10 * eps * (size @ X)).all()
    for ours, theirs, terms in zip(engine.product(data, at, *direction), wanted, (size @ X, size.sum()), strict=True):
        assert np.shape(ours) == np.shape(theirs)
        assert np.asarray(ours).dtype == np.float64
        assert type(ours) in (float, np.ndarray)
        assert (np.abs(ours - theirs) <= 10 * eps * terms).all()
    of_host = reference.diagonal(host, reference.row_curvature(host, *point))
    for ours, theirs in zip(engine.diagonal(data, at), of_host, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=400 * eps)


@pytest.mark.parametrize("n", [1, 33, 300])
@pytest.mark.parametrize("K", [1, 5])
@pytest.mark.parametrize(
    ("storage", "weight"), [("float32", None), ("float32", "float64"), ("float64", None), ("uint8", "float32")]
)
def test_products_follow_those_of_the_host(cupy, storage, weight, K, n):
    check("cuda", *data_sets(cupy, n, 12, K, storage, weight))


@pytest.mark.parametrize(("impl", "K"), [("cublas", 1), ("reference", 1), ("reference", 4), ("cuda", 17)])
def test_other_engines_and_many_classes(cupy, impl, K):
    check(impl, *data_sets(cupy, 200, 20, K, "float32", "float64"))


@pytest.mark.parametrize("d", [1, 3, 28, 300, 1100])
def test_members_of_the_family_of_two_classes(cupy, d):
    check("cuda", *data_sets(cupy, 77, d, 1, "float32", None))


def test_probabilities_that_are_not_kept_are_computed_again(cupy, monkeypatch):
    monkeypatch.setattr(row_curvature, "KEPT_PROBABILITIES", 0)
    monkeypatch.setattr(row_curvature, "KEPT_SHARE", 0.0)
    check("cuda", *data_sets(cupy, 100, 12, 4, "float32", None))


def test_rows_that_are_nearly_certain_keep_their_digits(cupy):
    """The kernel subtracts the mean twice: all classes but one have probabilities of a millionth."""
    data, _, (W, _), (V, c) = data_sets(cupy, 64, 12, 3, "float32", None)
    at = choose("cuda", data.rows, Device("cuda"), loss_of_classes(3))
    kept = at.row_curvature(data, 0.0 * W, np.array([14.0, 0.0, -1.0]))
    _, db = at.product(data, kept, 0.0 * V, c * 1e3)
    p, t = to_numpy(kept.kept)[0].astype(np.float64), c * 1e3
    wanted = 64 * np.array([-p[1:] @ (t[1:] - t[0]), *(p[1:] * (t[1:] - t[0]))])
    np.testing.assert_allclose(db, wanted, rtol=1e-4)


def test_no_rows_give_zeros(cupy):
    for K in (1, 3):
        data, _, point, direction = data_sets(cupy, 1, 5, K, "float32", None)
        rows = data.rows
        none = ResidentDataset(Rows(rows.X[:0], rows.y[:0], None), 0.0)
        engine = choose("cuda", none.rows, Device("cuda"), loss_of_classes(max(2, K)))
        _, at = engine.gradient_and_curvature(none, *point)
        assert not any(np.any(sums) for sums in engine.product(none, at, *direction))


@pytest.mark.parametrize("wrong", ["shape", "dtype", "order"])
def test_probabilities_that_the_kernel_would_misread_are_refused(cupy, wrong):
    data, _, (W, b), _ = data_sets(cupy, 40, 12, 3, "float32", None)
    P = {
        "shape": lambda: cupy.zeros((40, 4), np.float32),
        "dtype": lambda: cupy.zeros((40, 3)),
        "order": lambda: cupy.zeros((3, 40), np.float32).T,
    }[wrong]()
    with pytest.raises(ImplementationError, match=r"probabilities of shape \(40, 3\) in float32, in C order"):
        classes.cuda_multinomial_pass(data.rows, W, b, probabilities=P)
