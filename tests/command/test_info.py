"""``gpu-logreg info``: what would run on this machine, and why not what would not."""

from __future__ import annotations

import importlib.util
import json
import sys

import fake_cupy
import kernel_host
import numba
import numpy as np
import pytest
from command_line import run, succeed
from stand_in_cupy import stand_in

import gpu_logreg
from gpu_logreg.arrays.device import Device
from gpu_logreg.command import machine
from gpu_logreg.command.machine import driver_version, kernel_problem, machine_facts


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """So wide that no line is folded, and no driver but that of a test."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(machine, "driver_version", lambda: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def fake(monkeypatch):
    if kernel_host.missing():
        pytest.skip(kernel_host.missing())
    monkeypatch.setattr(fake_cupy, "device_count", 2)
    with fake_cupy.installed(monkeypatch) as module:
        yield module


def without_cupy(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name == "cupy" else find_spec(name, package)
    )
    monkeypatch.setattr(machine, "version_of", lambda name: None if name.startswith("cupy") else "1.0")


def lines(capsys, *arguments) -> dict[str, str]:
    """What is said by name; every value begins in the same column."""
    out = succeed(capsys, "info", *arguments).out
    width = min(line.index(line.split("  ")[-1].strip()) for line in out.splitlines())
    assert all(line[width - 2 : width] == "  " and line[width] != " " for line in out.splitlines())
    return {line[:width].strip(): line[width:] for line in out.splitlines()}


def test_the_machine_as_it_is(capsys):
    said = lines(capsys)
    assert said["gpu-logreg"] == gpu_logreg.__version__
    assert said["numba"] == numba.__version__
    assert said["numpy"] == np.__version__
    assert " on " in said["CPU"]
    assert " processors" in said["CPU"]
    assert "(Numba compiles for " in said["CPU"]
    assert "gpu_logreg-" in said["Numba cache"] or said["Numba cache"].startswith("none")
    found = json.loads(succeed(capsys, "info", "--json").out)
    assert found["packages"]["numba"] == numba.__version__
    assert found["cpu"]["threads"] >= 1
    assert found["gpu"]["usable"] is (found["gpu"]["problem"] is None)


def test_without_cupy(capsys, monkeypatch):
    without_cupy(monkeypatch)
    said = lines(capsys)
    install = "CuPy is not installed; install it with: pip install 'gpu-logreg[cuda12]' (or [cuda13])"
    assert said["CuPy"] == install
    assert said["GPU"] == f"not usable: {install}"
    assert said["driver"].startswith("none found; a GPU needs NVIDIA's driver")
    assert said["device"] == "auto takes cpu"
    found = machine_facts()
    assert found["cupy"]["version"] is None
    assert found["gpu"] == {"usable": False, "problem": install, "devices": []}


@pytest.mark.parametrize(("driver", "extra"), [("12.4", "cuda12"), ("13.1", "cuda13"), ("11.8", "cuda12")])
def test_without_cupy_the_driver_tells_what_to_install(capsys, monkeypatch, driver, extra):
    without_cupy(monkeypatch)
    monkeypatch.setattr(machine, "driver_version", lambda: driver)
    assert lines(capsys)["driver"] == f"for CUDA {driver}: pip install 'gpu-logreg[{extra}]'"


def test_a_cupy_that_does_not_import(capsys, monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text('raise RuntimeError("libcudart.so.99 is missing\\nsee the manual")\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    said = lines(capsys)
    assert "CuPy is installed but cannot be imported (RuntimeError: libcudart.so.99 is missing)" in said["CuPy"]
    assert said["GPU"] == f"not usable: {said['CuPy']}"


def without_devices(error, runtime: int = 12090):
    cupy = stand_in(error)
    cupy.cuda.runtime.runtimeGetVersion = lambda: runtime
    cupy.cuda.nvrtc = type("nvrtc", (), {"getVersion": staticmethod(lambda: (12, 9))})
    return cupy


def test_cupy_without_a_driver(capsys, monkeypatch):
    error = RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient\nmore")
    monkeypatch.setitem(sys.modules, "cupy", without_devices(error))
    said = lines(capsys)
    assert said["CuPy"].startswith("14.0.0 (")
    assert said["CuPy"].endswith("), CUDA 12.9, NVRTC 12.9")
    assert said["GPU"] == (
        "not usable: CuPy 14.0.0 is installed but finds no usable CUDA driver (RuntimeError: "
        "cudaErrorInsufficientDriver: CUDA driver version is insufficient); install or update the NVIDIA driver"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert lines(capsys)["GPU"].endswith(
        "install or update the NVIDIA driver, or unset CUDA_VISIBLE_DEVICES='', which hides devices"
    )


def test_a_driver_older_than_cupy(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", without_devices(RuntimeError("insufficient"), 13000))
    monkeypatch.setattr(machine, "driver_version", lambda: "12.4")
    monkeypatch.setattr(machine, "version_of", lambda name: "14.0.0" if name == "cupy-cuda13x" else None)
    assert lines(capsys)["driver"] == (
        "for CUDA 12.4, and CuPy is for 13.0: update the driver, or pip uninstall cupy-cuda13x and pip install "
        "'gpu-logreg[cuda12]'"
    )


def test_a_driver_without_a_device(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", without_devices(RuntimeError("cudaErrorNoDevice: no device")))
    monkeypatch.setattr(machine, "driver_version", lambda: "13.0")
    assert lines(capsys)["driver"] == (
        "for CUDA 13.0; if nvidia-smi shows no GPU either, is there one, and was a container started with it "
        "(--gpus all)?"
    )


def test_two_cupys_at_once(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", without_devices(RuntimeError("insufficient")))
    monkeypatch.setattr(machine, "version_of", lambda name: "14.0.0" if name.startswith("cupy-cuda1") else None)
    assert "which are in each other's way: uninstall all of them, and install one" in lines(capsys)["CuPy"]


def test_a_cupy_without_its_compiler(capsys, monkeypatch):
    cupy = without_devices(RuntimeError("insufficient"))

    def missing():
        raise RuntimeError("libnvrtc.so.12 was not found")

    cupy.cuda.nvrtc.getVersion = staticmethod(missing)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(machine, "version_of", lambda name: "14.0.0" if name == "cupy-cuda12x" else None)
    assert lines(capsys)["CuPy"] == (
        "14.0.0 (cupy-cuda12x), CUDA 12.9; RuntimeError: libnvrtc.so.12 was not found; install CuPy with what it "
        "needs: pip install 'cupy-cuda12x[ctk]'"
    )


def test_the_devices_that_there_are(capsys, fake, monkeypatch):
    monkeypatch.setattr(machine, "driver_version", lambda: "13.0")
    said = lines(capsys)
    assert said["GPU"] == "usable: cuda:0, cuda:1"
    for name in ("cuda:0", "cuda:1"):
        assert said[name].startswith("stand-in, compute capability 9.0, 8.0 of ")
        assert " GiB free, kernels compile and run (tried in " in said[name]
    assert said["driver"] == "for CUDA 13.0"
    assert said["device"] == "auto takes cuda:0 for rows of 64 MiB and more, cpu for fewer"
    found = json.loads(succeed(capsys, "info", "--json").out)
    assert [device["device"] for device in found["gpu"]["devices"]] == ["cuda:0", "cuda:1"]
    assert found["gpu"]["usable"]
    assert fake.cuda.Device().id == 0


def test_kernels_that_do_not_compile_are_seen_by_trying(capsys, fake, monkeypatch):
    class CompileException(Exception):  # noqa: N818
        """As CuPy's."""

    CompileException.__module__ = "cupy.cuda.compiler"

    def refuse(*_, **__):
        if fake.cuda.Device().id == 1:
            raise CompileException("nvrtc: error: invalid value for --gpu-architecture (-arch)\nmore")
        return module(*_, **__)

    module = fake_cupy.RawModule
    monkeypatch.setattr(fake_cupy, "RawModule", refuse)
    said = lines(capsys)
    assert said["GPU"] == "usable: cuda:0; not usable: cuda:1, as below"
    assert "the kernels cannot be compiled (CompileException: nvrtc: error: invalid value for" in said["cuda:1"]
    assert "pip install" in said["cuda:1"]


def test_a_device_that_computes_wrongly(capsys, fake, monkeypatch):
    monkeypatch.setattr(machine, "_probe", lambda: np.array([9.0, 0.0]))
    assert lines(capsys)["device"] == (
        "auto takes cuda:0 for rows of 64 MiB and more, which fail there: use cpu, cpu for fewer"
    )
    assert kernel_problem(Device("cuda", 0)) == "a kernel that should give [9.0, 12.0] gave [9.0, 0.0]"


def test_a_device_that_another_process_has(capsys, fake, monkeypatch):
    def busy():
        raise RuntimeError("cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy")

    monkeypatch.setattr(fake.cuda.runtime, "memGetInfo", busy)
    said = lines(capsys)
    assert said["GPU"] == "not usable: cuda:0, cuda:1, as below"
    assert said["device"] == "auto takes cpu"
    assert said["cuda:0"].endswith("another process may have it to itself: see nvidia-smi")


def test_the_version_of_the_driver(monkeypatch):
    class Library:
        def cuDriverGetVersion(self, number):  # noqa: N802
            number._obj.value = 12080
            return 0

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: Library())
    assert driver_version() == "12.8"

    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(machine.ctypes, "CDLL", missing)
    assert driver_version() is None


def test_json_is_of_the_machine_alone(capsys, tmp_path):
    ended = run(capsys, "info", tmp_path / "a.model", "--json")
    assert ended.code == 2
    assert ended.err == (
        f"error: --json describes this machine, and {tmp_path / 'a.model'} is a model; leave out one of the two\n"
    )
