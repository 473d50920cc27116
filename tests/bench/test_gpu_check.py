"""The measurements for a GPU: run at tiny sizes on the stand-in for CuPy, so that no slip waits for a device."""

from __future__ import annotations

import itertools
from pathlib import Path

import fake_cupy
import kernel_host
import numpy as np
import nvrtc
import pytest
from fresh_process import run_fresh
from sweeps import thinned

from gpu_logreg.passes.cuda import classes as cuda_multinomial
from gpu_logreg.passes.cuda import cublas
from gpu_logreg.passes.cuda import dense as cuda
from gpu_logreg.passes.cuda import source as kernel_text
from gpu_logreg.passes.cuda import steps as steps_cuda
from gpu_logreg.passes.cuda.tuning.family import STORAGES, Family, admissible, choose_family

ROOT = Path(__file__).resolve().parents[2]
KIB = 2**10


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))


@pytest.fixture
def cupy(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    pytest.importorskip("ml_dtypes", reason="the stand-in knows bfloat16 from ml_dtypes")
    import gpu.stand_in

    caches = cuda._kernels, cublas._kernel, steps_cuda._kernel
    caches += cuda_multinomial._kernels, cuda_multinomial._most_shared
    for cache in caches:
        cache.cache_clear()
    with fake_cupy.installed(monkeypatch) as module:
        # A clock that moves by a millisecond whenever an event is recorded.
        event = gpu.stand_in.timed(module.cuda.Event, itertools.count().__next__)
        monkeypatch.setattr(module.cuda, "Event", event)
        monkeypatch.setattr(module.cuda, "get_elapsed_time", lambda a, b: float(b.at - a.at))
        yield module
    for cache in caches:
        cache.cache_clear()


def late():
    """The budget of a run whose time is over."""
    from gpu.timing import Budget

    return Budget(0.0)


class Quick:
    """The budget of a run that has all the time there is."""

    def left(self) -> float:
        return 1e6


def test_the_timer_counts_one_call_between_two_events(cupy):
    import gpu.timing

    calls = []
    assert gpu.timing.device_ms(cupy, [lambda: calls.append(1), lambda: calls.append(2)], rounds=4) == 1.0
    assert calls == [1, 2, 1, 1, 2, 1, 2]
    assert gpu.timing.call_ms(lambda: None, 3) >= 0
    assert gpu.timing.queued_ms(lambda: 1, lambda result: result, 3) >= 0
    assert gpu.timing.one_line(ValueError("a\nb")) == "ValueError: a"


def test_random_numbers_are_normal_and_do_not_depend_on_the_piece(cupy):
    import gpu.data

    whole = gpu.data.normal(cupy, 20_000, 3).get()
    assert abs(whole.mean()) < 0.03
    assert abs(whole.std() - 1.0) < 0.03
    assert len(np.unique(whole)) > 19_900
    np.testing.assert_array_equal(gpu.data.normal(cupy, 100, 3, first=5000).get(), whole[5000:5100])
    assert not np.array_equal(gpu.data.normal(cupy, 100, 4).get(), whole[:100])


@pytest.mark.parametrize("storage", STORAGES)
def test_rows_are_filled_in_pieces_in_every_storage(cupy, monkeypatch, storage):
    import gpu.data

    monkeypatch.setattr(gpu.data, "CHUNK", 1000)
    flat = gpu.data.filled(cupy, storage, 2500)
    assert flat.dtype.name == storage
    data = gpu.data.cut(cupy, flat, storage, 7)
    assert data.X.shape == (357, 7)
    assert set(np.unique(data.y.get())) == {0, 1}
    X = gpu.data.widened(storage, data.X).get()
    z = X @ data.w + data.b
    assert 0.2 < z.std() < 5
    assert abs(z.mean()) < 1
    np.testing.assert_array_equal(X, data.X.get().astype(np.float64))


def test_the_ceiling_counts_only_reads_that_saw_every_word(cupy, monkeypatch):
    import gpu.ceiling

    monkeypatch.setattr(gpu.ceiling, "BLOCKS_PER_MULTIPROCESSOR", (1,))
    monkeypatch.setattr(gpu.ceiling, "CHECKED_VECTORS", 2501)
    found = gpu.ceiling.ceiling(cupy, 64 * KIB)
    assert len(found["variants"]) == 6
    assert all(row["gb_per_s"] == found["nbytes"] / 1e6 for row in found["variants"])
    assert found["copy_gb_per_s"] == 2 * found["nbytes"] / 1e6
    kernel = gpu.ceiling.read_kernel(cupy, 4, True)
    host = np.random.default_rng(0).integers(0, 256, 16 * 2501, dtype=np.uint8)
    piece, folded = cupy.asarray(host), cupy.empty(256, dtype=np.uint32)
    true = np.bitwise_xor.reduce(host.view(np.uint32))
    assert gpu.ceiling._folds_rightly(kernel, piece, true, folded, 1)
    assert not gpu.ceiling._folds_rightly(kernel, piece[:-16], true, folded, 1)
    assert not gpu.ceiling._folds_rightly(lambda *_: None, piece, true, folded, 1)


@pytest.mark.skipif(nvrtc.library() is None, reason="the nvidia-cuda-nvrtc wheel is not installed")
@pytest.mark.parametrize("arch", thinned([80, 90, 120], lambda arch: arch == 90))
def test_the_kernels_of_the_benchmark_compile_without_spills(arch):
    import gpu.ceiling
    import gpu.data

    programs = [gpu.ceiling.read_program(flight, tiled) for flight in gpu.ceiling.FLIGHTS for tiled in (True, False)]
    for code, options in [*programs, gpu.data.fill_program()]:
        _, log = nvrtc.compile_cubin(code, (*options, *nvrtc.CUPY_OPTIONS, f"-arch=sm_{arch}", "--ptxas-options=-v"))
        assert "warning" not in log
        (taken,) = nvrtc.resources(log).values()
        assert taken.spill_bytes == 0
        assert taken.registers <= 128  # two blocks of 256 threads on a multiprocessor


@pytest.mark.parametrize("storage", STORAGES)
def test_the_pass_is_measured_once_it_is_right(cupy, storage):
    import gpu.passes

    (row,) = gpu.passes.passes(cupy, storage, (28,), 32 * KIB, 1.0, rounds=3)
    assert row["error"] < 1e-5
    assert row["ms"] == 1.0
    assert row["gb_per_s"] == row["share"] == row["nbytes"] / 1e6
    assert row["call_ms"] > 0
    assert row.get("goal") == gpu.passes.goal(28, storage)


def test_a_pass_that_is_wrong_has_no_time(cupy, monkeypatch):
    import gpu.launch
    import gpu.passes

    true = gpu.launch.true_sums
    for factor in (1.01, float("nan")):
        monkeypatch.setattr(
            gpu.launch,
            "true_sums",
            lambda data, factor=factor: true(data)._replace(loss_sum=factor * true(data).loss_sum),
        )
        (row,) = gpu.passes.passes(cupy, "float32", (5,), 4 * KIB, None, rounds=1)
        assert "wrong on the first" in row["problem"]
        assert "ms" not in row


def test_small_rows_are_measured_in_several_sets_and_what_does_not_fit_says_so(cupy, monkeypatch):
    import gpu.passes

    attributes = {"MultiProcessorCount": 4, "L2CacheSize": 4 * KIB}
    monkeypatch.setattr(fake_cupy.Device, "attributes", attributes)
    row, wide = gpu.passes.passes(cupy, "float32", (4, 10**6), 8 * KIB, None, rounds=2)
    assert row["sets"] == 2
    assert "share" not in row
    assert "problem" in wide


def test_peers_give_the_same_sums_and_the_others_say_why_not(cupy, monkeypatch):
    import gpu.passes

    rows = list(gpu.passes.against(cupy, (6,), 8 * KIB, Quick(), ("cupy", "nowhere"), rounds=2))
    assert [sorted(row["peers"]) for row in rows] == [[], ["cupy"], ["cupy", "nowhere"]]
    row = rows[-1]
    assert row["peers"]["cupy"]["error"] < 1e-5
    assert row["peers"]["nowhere"] == {"problem": "KeyError: 'nowhere'"}
    assert row["ratio"] == 1.0
    assert row["fastest_peer"] == "cupy"
    assert row["cublas_call"]["ms"] > 0
    unmeasured = list(gpu.passes.against(cupy, (6,), 8 * KIB, late(), ("cupy",), rounds=2))[-1]
    assert unmeasured["peers"]["cupy"]["problem"].startswith("TimeoutError: not measured: ")
    load = gpu.passes.LOADERS["cupy"]
    monkeypatch.setitem(
        gpu.passes.LOADERS, "cupy", lambda cupy: load(cupy)._replace(to_host=lambda array: 2 * array.get())
    )
    row = list(gpu.passes.against(cupy, (6,), 8 * KIB, Quick(), ("cupy",), rounds=2))[-1]
    assert row["peers"]["cupy"]["problem"].startswith("wrong: relative error")
    assert "ratio" not in row


def test_the_pass_of_many_classes_is_measured_once_it_is_right(cupy, monkeypatch):
    import gpu.multinomial
    import gpu.tables

    shapes = ((28, 10, "float32"), (12, 3, "uint8"), (4, 5, "float64"))
    found = list(gpu.multinomial.multinomial(cupy, 8 * KIB, 2.0, Quick(), shapes, rounds=2))
    for row, (d, K, storage) in zip(found, shapes, strict=True):
        assert (row["d"], row["classes"], row["storage"]) == (d, K, storage)
        assert row["error"] < 1e-5
        assert row["ms"] == 1.0
        assert row["gb_per_s"] == row["nbytes"] / 1e6 == 2.0 * row["share"] == 2.0 * row["read_ms"]
        assert row["ratio"] == row["reference_ms"] / row["call_ms"] > 0
    assert gpu.tables._classes(found).count("softmax_lanes=") == 3
    (unmeasured,) = gpu.multinomial.multinomial(cupy, KIB, None, late(), shapes[:1])
    assert unmeasured["problem"] == "not measured: no time left"
    (wide,) = gpu.multinomial.multinomial(cupy, 100 * KIB, None, Quick(), ((50_000, 3, "float32"),))
    assert "does not fit the registers" in wide["problem"]
    true = gpu.multinomial.true_sums
    for factor in (1.01, float("nan")):
        monkeypatch.setattr(
            gpu.multinomial,
            "true_sums",
            lambda *of, factor=factor: true(*of)._replace(loss_sum=factor * true(*of).loss_sum),
        )
        (row,) = gpu.multinomial.multinomial(cupy, KIB // 2, None, Quick(), shapes[2:], rounds=1)
        assert row["problem"].startswith("wrong on 128 rows: relative error")
        assert "ms" not in row


def test_products_are_measured_once_they_are_right(cupy, monkeypatch):
    import gpu.products
    import gpu.tables

    shapes = ((28, 2, "float32"), (12, 2, "uint8"), (12, 3, "float32"))
    found = list(gpu.products.products(cupy, 8 * KIB, Quick(), shapes, rounds=1))
    for row, (d, K, storage) in zip(found, shapes, strict=True):
        assert (row["d"], row["classes"], row["storage"]) == (d, K, storage)
        assert row["error"] < 1e-5
        assert row["ratio"] == row["reference_ms"] / row["call_ms"] > 0
    assert "gradient_ms" in gpu.tables.SECTIONS["products"][1](found)
    (unmeasured,) = gpu.products.products(cupy, KIB, late(), shapes[:1])
    assert unmeasured["problem"] == "not measured: no time left"
    monkeypatch.setitem(gpu.products.LARGEST_ERROR, "float32", 0.0)
    (row,) = gpu.products.products(cupy, KIB, Quick(), shapes[:1], rounds=1)
    assert row["problem"].startswith("wrong: relative error")
    assert "call_ms" not in row


@pytest.mark.slow
def test_fits_are_timed_and_judged(cupy, monkeypatch):
    import gpu.fits

    timed, judged = gpu.fits.fits(cupy, 1.0, Quick(), n=3000, d=4, rounds=1, solvers=(gpu.fits.OURS,))
    assert timed["solver"] == judged["solver"] == "gpu-logreg"
    assert timed["reads_wall"] == judged["reads_wall"] == judged["seconds"] / judged["read_s"]
    assert "reached" not in timed
    assert judged["reached"]
    assert -1e-12 <= judged["suboptimality"] <= gpu.fits.GOAL
    monkeypatch.setattr(fake_cupy, "memory_free", 3 * 4 * 4 * 500)
    assert gpu.fits.rows_that_fit(3000, 4) == 500
    unmeasured, again = gpu.fits.fits(cupy, None, late(), n=300, d=4, solvers=("torch L-BFGS",))
    assert unmeasured == again
    assert unmeasured["problem"].startswith("not measured: ")


def test_fits_are_judged_by_the_best_value():
    import gpu.fits

    trials = [{"value": 1.1, "seconds": 1.0}, {"value": 1.0 + 1e-9, "seconds": 2.0}, {"value": 1.0, "seconds": 3.0}]
    row = {"solver": "gpu-logreg", "read_s": None, "trials": trials}
    assert gpu.fits._judged(row, 1.0)["seconds"] == 2.0
    assert gpu.fits._judged(row, 1.0)["reached"]
    bad = gpu.fits._judged(row | {"trials": trials[:1]}, 1.0)
    assert not bad["reached"]
    assert bad["problem"].startswith("wrong: 1.0e-01 above the least value")


@pytest.mark.slow
def test_networks_are_trained_in_turns_once_their_losses_are_right(cupy, monkeypatch):
    import gpu.network
    import gpu.tables
    import gpu.torch_loop

    monkeypatch.setattr(gpu.torch_loop, "TORCH_DEVICE", "cpu")
    monkeypatch.setattr(gpu.network, "COMPILED", {"torch.compile": "no such mode"})
    rows = list(gpu.network.networks(cupy, Quick(), 70, 5, (32, 64), rounds=2))
    assert [row["batch"] for row in rows] == [32, 64, 32, 64]
    assert not any("torch.compile" in row["trainers"] for row in rows[:2])
    for row in rows[2:]:
        assert "problem" not in row
        ours, plain, eager = (row["trainers"][name] for name in (gpu.network.OURS, gpu.network.PLAIN, "torch eager"))
        assert ours["error"] < 1e-6
        assert ours["rows_per_s"] == pytest.approx(1e3 * 70 / ours["epoch_ms"])
        assert plain["ratio"] == plain["epoch_ms"] / ours["epoch_ms"]
        assert "ratio" not in ours
        assert 0 < row["queue_ms"] <= row["steps_ms"]
        assert row["shuffle_ms"] > 0
        assert "ratio_compile" not in row
        assert row["trainers"]["torch.compile"]["problem"]
        if "problem" in eager:
            assert "torch" in eager["problem"]
            assert "ratio_eager" not in row
            continue
        assert eager["error"] < 1e-5
        assert row["ratio_eager"] == eager["ratio"]
        assert eager["met"] == (eager["ratio"] >= 2.0)
    text = gpu.tables._network(rows[2:])
    assert text.count("gpu-logreg, reference on CuPy |") == 2
    assert "- batch 64, an epoch of ours: shuffle " in text


def test_a_network_that_is_wrong_has_no_time(cupy, monkeypatch):
    import gpu.network
    import gpu.tables

    true = gpu.network.batches_of

    def wrong(rows, layers, impl):
        batches = true(rows, layers, impl)
        if impl == "cuda":
            batches.training.params *= np.float32(1.01)
        return batches

    monkeypatch.setattr(gpu.network, "batches_of", wrong)
    monkeypatch.setattr(gpu.network, "COMPILED", {})
    (row,) = gpu.network.networks(cupy, Quick(), 70, 5, (32,), rounds=1)
    assert "gpu-logreg: ValueError: wrong: relative error of the loss" in row["problem"]
    assert not any("epoch_ms" in one for one in row["trainers"].values())
    assert f"- batch 32: {row['problem']}" in gpu.tables._network([row])
    monkeypatch.setattr(gpu.network, "batches_of", lambda *_: 1 / 0)
    (row,) = gpu.network.networks(cupy, Quick(), 70, 5, (32,))
    assert (row["batch"], row["problem"]) == (32, "ZeroDivisionError: division by zero")


def test_a_loop_that_breaks_while_it_is_timed_loses_only_itself(cupy):
    import gpu.network

    found = {gpu.network.OURS: {}, "torch eager": {}, "torch.compile": {}}
    good = gpu.network.Trainer(lambda _: 1.0, lambda: None)
    bad = gpu.network.Trainer(lambda _: 1.0, lambda: 1 / 0)
    gpu.network._time(cupy, found, {gpu.network.OURS: good, "torch eager": bad, "torch.compile": good}, 10, 2)
    assert found["torch eager"] == {"problem": "ZeroDivisionError: division by zero"}
    found[gpu.network.OURS]["epoch_ms"], found["torch.compile"]["epoch_ms"] = 2.0, 3.0
    row = {"trainers": found}
    gpu.network._compare(row)
    assert "ratio_eager" not in row
    assert row["ratio_compile"] == 1.5
    assert found["torch.compile"]["met"]


def test_the_rows_of_a_network_are_those_of_mnist_where_they_are_asked_for(cupy, monkeypatch, tmp_path):
    import gpu.network

    monkeypatch.setattr(gpu.network, "N", 20)
    monkeypatch.setattr(gpu.network, "D", 4)
    images = np.arange(80, dtype=np.uint8).reshape(20, 2, 2)
    np.savez(tmp_path / "mnist.npz", X_train=images, y_train=np.arange(20) % 10)
    monkeypatch.setenv("GPU_LOGREG_MNIST", str(tmp_path / "mnist.npz"))
    rows, source = gpu.network.resident_rows(cupy, 20, 4)
    assert source == "MNIST"
    assert rows.X.dtype == np.float32
    np.testing.assert_array_equal(rows.X.get(), images.reshape(20, 4) / np.float32(255))
    np.testing.assert_array_equal(rows.y.get(), 2 * [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert gpu.network.resident_rows(cupy, 21, 4)[1] == "random rows"


@pytest.mark.slow
def test_first_fits_and_the_crossover(monkeypatch):
    import gpu.start
    import gpu.tables

    cold, cached = gpu.start.first_fits(500, 4, device="cpu")
    assert (cold["state"], cached["state"]) == ("cold", "cached")
    assert all(row["first_fit_s"] > 0 and row["device"] == "cpu" for row in (cold, cached))
    assert "| cached |" in " ".join(gpu.tables._first([cold, cached]).split())
    assert all("DataError" in row["problem"] for row in gpu.start.first_fits(500, 4, device="nowhere"))
    rows = list(gpu.start.crossover(Quick(), (200, 400), 3, device="cpu", rounds=1))
    assert [row["n"] for row in rows] == [200, 400]
    times = iter([2.0, 1.0, 1.0, 2.0, 2.0, 1.0, 2.0, 1.0])  # CPU and GPU in turn: the GPU wins, loses, wins, wins
    monkeypatch.setattr(gpu.start, "_fit_s", lambda *_: next(times))
    rows = list(gpu.start.crossover(Quick(), (100, 200, 400, 800), 3, device="cpu", rounds=1))
    assert gpu.tables.crossover_nbytes(rows) == 400 * 3 * 4
    assert gpu.tables.crossover_nbytes(rows[:2]) is None


@pytest.mark.slow
def test_what_the_sanitizer_runs_is_right(cupy):
    import gpu.sanitize

    cases = list(gpu.sanitize.run((3, 28), (1, 33)))
    assert len(cases) == 2 * 2 * (len(STORAGES) + 3) + 2 * 2 * 3
    cases += gpu.sanitize.run_classes(((3, 4), (28, 10)))
    assert len(cases) == 2 * 2 * (len(STORAGES) + 3) + 2 * 2 * 3 + 2 * (len(STORAGES) - 1)
    assert [case for case in cases if case[1]] == []


@pytest.mark.slow
def test_smoke_fits_are_right(cupy):
    import gpu.smoke

    rows = list(gpu.smoke.smoke(cupy))
    assert len(rows) == 6
    assert not [row for row in rows if "problem" in row]
    assert all(0 <= row["error"] <= gpu.smoke.TOLERANCE for row in rows)


def test_smoke_tells_what_is_wrong(monkeypatch):
    import gpu.smoke

    values = {"good": 0.0, "bad": 0.1, "lost": float("nan")}

    def fit(name):
        return lambda device, prepared: [np.ones(3), np.full(2, values[name] if device == "cuda" else 0.0)], np.asarray

    fits = {name: fit(name) for name in values} | {"broken": (lambda *_: 1 / 0, np.asarray)}
    monkeypatch.setattr(gpu.smoke, "_fits", lambda _: fits)
    rows = {row["fit"]: row.get("problem") for row in gpu.smoke.smoke(None)}
    assert rows == {
        "good": None,
        "bad": "wrong: coefficients differ by 1.0e-01 from those of the CPU",
        "lost": "wrong: coefficients differ by nan from those of the CPU",
        "broken": "ZeroDivisionError: division by zero",
    }


def test_without_a_device_one_line_says_so(tmp_path):
    programs = ["gpu/check.py", "gpu/sanitize.py", "gpu/families.py"]
    before = sorted((ROOT / "bench" / "results").iterdir())
    code = f"""
        import runpy, sys
        import gpu_logreg.arrays.device as backend
        backend.cuda_problem = lambda *_: "there is none"
        for program in {programs}:
            sys.argv = ["program", *(["--d", "5"] if program.endswith("families.py") else [])]
            try:
                runpy.run_path({str(ROOT / "bench")!r} + "/" + program, run_name="__main__")
            except SystemExit as end:
                print("exit code", end.code)
    """
    said = run_fresh(code, OUT=str(tmp_path / "out")).splitlines()
    assert len(said) == 2 * len(programs)
    assert all(line.endswith(": there is none") for line in said[::2])
    assert said[1::2] == ["exit code 1"] * len(programs)
    assert not (tmp_path / "out").exists()
    assert sorted((ROOT / "bench" / "results").iterdir()) == before


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("d", [1, 3, 28, 100, 1000, 2000])
def test_the_ladder_tries_admissible_members_and_the_chosen_one(storage, d):
    from gpu import families

    real = "float64" if storage == "float64" else "float32"
    found, size = list(families.members(d, storage, real)), STORAGES[storage]
    assert len(found) == len(set(found))
    assert set(admissible(d, storage, real)) <= set(found)
    chosen = choose_family(d, storage, real)
    assert not isinstance(chosen, Family) or chosen in found
    for family in found:
        assert d * size % family.vec == 0
        assert family.vec % size == 0
        assert family.lanes * family.chunks * family.vec >= d * size
        assert family.lanes in (1, 2, 4, 8, 16, 32, family.block)
        assert family.rows in (1, 2, 4, 8)
        assert family.rows <= family.lanes
        assert family.block % 32 == 0
        assert family.block * family.resident <= families.MOST_THREADS


def test_the_ladder_is_timed_member_by_member(cupy):
    from gpu import families

    kept = families.few_members(28, "float32", "float32", 4)
    assert kept[0] == choose_family(28, "float32", "float32")
    rows = list(families.measure(cupy, 28, "float32", 16 * KIB, Quick(), rounds=1, turns=kept))
    assert [Family(**row["family"]) for row in rows] == kept
    assert [row["chosen"] for row in rows] == [True, *([False] * (len(kept) - 1))]
    assert all(row["gb_per_s"] > 0 for row in rows)


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "uint8"])
@pytest.mark.parametrize("d", [28, 100, 1000])
def test_a_few_members_are_the_chosen_one_and_others_that_differ(storage, d):
    from gpu import families

    found = families.few_members(d, storage, "float32", 8)
    assert found[0] == choose_family(d, storage, "float32")
    assert len(found) == len(set(found)) == 8
    assert set(found) <= set(families.members(d, storage, "float32"))
    assert len({member[:4] for member in found}) >= 5


def test_the_text_of_kernels_is_found_in_a_plain_checkout(monkeypatch):
    installed = kernel_text.kernel_source("sum_partials.cu", ("reduce.cuh",))

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(kernel_text, "files", missing)
    assert kernel_text.kernel_source("sum_partials.cu", ("reduce.cuh",)) == installed


@pytest.mark.slow
def test_a_plain_checkout_on_the_path_is_enough(tmp_path):
    code = """
        import sys
        sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in str(finder)]
        sys.path = [entry for entry in sys.path if "__editable__" not in entry]
        sys.modules.update(safetensors=None, ml_dtypes=None, pyarrow=None, typer=None, rich=None, hypothesis=None)
        import numpy as np
        import gpu_logreg
        from gpu_logreg import LogisticRegression
        from gpu_logreg.passes.cuda.dense import KERNEL, kernel_source
        X = np.random.default_rng(0).standard_normal((300, 3))
        model = LogisticRegression().fit(X, X[:, 0] > 0.3 * X[:, 1] + 0.1 * X[:, 2])
        print(model.converged_, len(kernel_source(KERNEL + ".cu")) > 1000, gpu_logreg.__file__)
    """
    said = run_fresh(code, PYTHONPATH=str(ROOT)).split()
    assert said == ["True", "True", str(ROOT / "gpu_logreg" / "__init__.py")]
