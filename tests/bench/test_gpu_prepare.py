"""Kernels of ``bench/gpu/check.py`` compiled without a GPU: their keys are CuPy's; they are found where CuPy looks."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import kernel_host
import nvrtc
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = 'extern "C" __global__ void f(float* x) { x[0] = X; }'


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))


def site() -> Path:
    spec = importlib.util.find_spec("cupy")
    if spec is None or spec.origin is None:
        pytest.skip("CuPy is not installed")
    return Path(spec.origin).parents[1]


def library() -> Path:
    found = nvrtc.library()
    if found is None:
        pytest.skip("the nvidia-cuda-nvrtc wheel is not installed")
    return Path(found._name)


@pytest.fixture
def cupy_compiler(monkeypatch):
    """The compiler of the CuPy that is installed, for a device of compute capability 9.0 that is not there."""
    folder, path = site(), library()
    from cupy._core import core
    from cupy.cuda import compiler
    from gpu.key import NVRTC

    opened = NVRTC(path)
    monkeypatch.setattr(compiler, "nvrtc", opened)
    monkeypatch.setattr(compiler, "_nvrtc_version", opened.getVersion())
    monkeypatch.setattr(compiler, "_get_arch", lambda: "90")
    options_of = compiler._get_arch_for_options_for_nvrtc.__wrapped__  # it is kept for each device, and there is none
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc", options_of)
    monkeypatch.setattr(compiler, "_empty_file_preprocess_cache", {})
    compiler._get_max_compute_capability.__wrapped__()
    assert folder == Path(core.__file__).parents[2]
    return compiler


@pytest.fixture
def tools(cupy_compiler):
    """What the preparation takes for that CuPy on this machine."""
    from cupy._core import core
    from gpu.key import cache_key_of, headers_of
    from gpu.prepare import Tools

    folder = site()
    (binary,) = (folder / "cupy" / "_core").glob("core.*.so")
    names = [name.decode() for name in core._get_header_source_map()]
    key = cache_key_of(binary.read_bytes())
    headers = headers_of(folder, names)
    assert (key, headers) == (core.CUPY_CACHE_KEY, core._get_header_source())
    options = core.assemble_cupy_compiler_options(())
    cuda = [option[2:] for option in options if option.startswith("-I") and "_core/include" not in option]
    assert len(cuda) <= 1
    return Tools(str(folder), key, headers, str(library()), "90", f"{folder}/cupy", (cuda or [""])[0])


def some_programs() -> list:
    """Text and options of a few kernels of the check."""
    import gpu.ceiling
    import gpu.data

    from gpu_logreg.passes.cuda import dense as cuda
    from gpu_logreg.passes.cuda.source import kernel_source
    from gpu_logreg.passes.cuda.tuning.family import choose_family

    text = kernel_source(f"{cuda.KERNEL}.cu", cuda.HEADERS)
    found = [gpu.ceiling.read_program(8, True), gpu.data.fill_program()]
    for d, storage in ((28, "float32"), (100, "uint8"), (512, "bfloat16")):
        member = choose_family(d, storage, "float32")
        found.append((text, cuda.kernel_options(member, storage, "float32", "uint8", None)))
    return found


def all_programs() -> list:
    import fake_cupy
    import gpu.programs

    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    with pytest.MonkeyPatch.context() as patch, fake_cupy.installed(patch):
        patch.setattr(fake_cupy, "RawModule", fake_cupy.RawModule)  # put back afterwards
        found = gpu.programs.recorded()
        gpu.programs._forget()
    return found


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_key_of_every_kernel_is_the_one_that_cupy_computes(tools, whole):
    import gpu.prepared

    compiler = tools.compiler()
    found = all_programs() if whole else some_programs()
    assert len(found) >= (120 if whole else 5)
    for code, options in found:
        assert compiler.key(code, options) == gpu.prepared.cupy_key(code, options)


def test_another_text_option_architecture_or_build_has_another_key(tools):
    keys = {tools.compiler().key(TEXT, ("-DX=1",)), tools.compiler().key(TEXT, ("-DX=2",))}
    keys.add(tools.compiler().key(TEXT + " ", ("-DX=1",)))
    keys.add(tools._replace(arch="80").compiler().key(TEXT, ("-DX=1",)))
    keys.add(tools._replace(cupy="/elsewhere/cupy").compiler().key(TEXT, ("-DX=1",)))
    keys.add(tools._replace(cuda_include="/elsewhere").compiler().key(TEXT, ("-DX=1",)))
    keys.add(tools._replace(cache_key="0" * 40).compiler().key(TEXT, ("-DX=1",)))
    assert len(keys) == 7


def test_prepared_kernels_are_found_by_cupy_wherever_its_headers_lie(tools, cupy_compiler, tmp_path):
    import gpu.prepare
    import gpu.prepared

    asked = [(TEXT, ("-DX=1",)), (TEXT, ("-DX=2",)), (TEXT, ("-DX=oops",))]
    elsewhere = tools._replace(cupy="/elsewhere/cupy")
    folder = tmp_path / "prepared"
    (folder / gpu.prepared.KERNELS).mkdir(parents=True)
    (folder / gpu.prepared.KERNELS / "old.cubin").touch()
    gpu.prepare._begin(elsewhere)
    made = [gpu.prepare._compile(program, str(folder / gpu.prepared.KERNELS)) for program in asked]
    assert "identifier" in made[2][2]
    manifest = gpu.prepare.prepare(asked, [elsewhere], folder, 1)
    assert len(manifest["kernels"]) == 2
    assert "-DX=oops" in manifest["refused"][0]
    assert len(list((folder / gpu.prepared.KERNELS).iterdir())) == 2
    (folder / "manifest.json").write_text(json.dumps(manifest | {"arch": "90", "nvrtc": ["here"]}))
    (folder / "mnist.npz").touch()
    cache = tmp_path / "cache"
    told = gpu.prepared.use_prepared(folder, cache)
    assert told["CUPY_CACHE_DIR"] == str(cache)
    assert told["GPU_LOGREG_MNIST"] == str(folder / "mnist.npz")
    with gpu.prepared.new_kernels(cache) as counts:
        assert gpu.prepared.adopt(folder, cache) == {
            **{"prepared": 2, "by": ["here"], "arch": "90", "same_key": 0, "other_key": 2}
        }
        key = gpu.prepared.cupy_key(TEXT, ("-DX=2",))
        backend = type(cupy_compiler._kernel_cache_backend)(str(cache))  # CuPy's own reader of its cache
        assert backend.load(key)[:4] == b"\x7fELF"
        (cache / "b.cubin").touch()
        (cache / "c.cubin").touch()
        (cache / "c.cubin.cu").write_text('#line 1 "logistic.cuh"\n')
    assert counts == {"ours": 1, "cupy": 3}


def test_kernels_of_another_architecture_or_build_are_not_adopted(tools, cupy_compiler, tmp_path, monkeypatch):
    import gpu.prepared

    entry = {"text": 0, "options": ["-DX=1"], "builds": {"// another": "a.cubin"}}
    manifest = {"arch": "90", "nvrtc": ["there"], "texts": [TEXT], "kernels": [entry]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "NVRTC here is another build" in gpu.prepared.adopt(tmp_path, tmp_path)["problem"]
    monkeypatch.setattr(cupy_compiler, "_get_arch", lambda: "80")
    assert gpu.prepared.adopt(tmp_path, tmp_path)["problem"] == "not measured: the device is sm_80"
    shutil.rmtree(tmp_path)
    assert gpu.prepared.adopt(tmp_path, tmp_path)["problem"].startswith("not measured: there is no ")


def test_what_a_run_has_compiled_comes_back_and_is_carried_along_the_next_time(tmp_path):
    import gpu.prepare
    import gpu.prepared

    cache, packed = tmp_path / "cache", tmp_path / "kernels.zip"
    cache.mkdir()
    gpu.prepared.pack(cache, (), packed)
    assert not packed.exists()
    names = [f"{digit * 40}.cubin" for digit in "abc"]
    for name in names:
        (cache / name).write_bytes(name.encode())
        (cache / f"{name}.cu").touch()
        gpu.prepared.pack(cache, names[:1], packed)
    assert not list(tmp_path.glob(".*"))
    manifest = gpu.prepare.prepare([], [], tmp_path / "prepared", 1, packed)
    assert manifest["others"] == 2
    kept = sorted((tmp_path / "prepared" / gpu.prepared.KERNELS).iterdir())
    assert [path.read_bytes().decode() for path in kept] == names[1:]


def test_programs_are_written_once_for_a_text(tmp_path):
    import gpu.programs

    asked = [("a", ("-DX=1",)), ("b", ()), ("a", ("-DX=2",))]
    gpu.programs.write(tmp_path / "programs.json", asked)
    assert list(gpu.programs.programs_of(tmp_path / "programs.json")) == asked
    assert json.loads((tmp_path / "programs.json").read_text())["texts"] == ["a", "b"]


def test_the_file_of_mnist_is_looked_for_where_data_may_be(tmp_path, monkeypatch):
    import gpu.mnist

    monkeypatch.delenv("GPU_LOGREG_MNIST", raising=False)
    monkeypatch.setenv("GPU_LOGREG_DATA", str(tmp_path))
    (tmp_path / "mnist.npz").touch()
    assert gpu.mnist.mnist_file() == tmp_path / "mnist.npz"
    monkeypatch.setenv("GPU_LOGREG_MNIST", str(tmp_path / "none.npz"))
    assert gpu.mnist.mnist_file() is None
