"""The choice of the device and the array namespace, with and without CuPy, with and without a GPU."""

from __future__ import annotations

import importlib.util
import sys

import dlpack_only
import numpy as np
import pytest
from fresh_process import run_fresh
from stand_in_cupy import StandInArray, stand_in

from gpu_logreg.arrays.device import Device, array_namespace
from gpu_logreg.arrays.device_choice import AUTO_CUDA_BYTES, resolve_device
from gpu_logreg.errors import DataError, DeviceError


@pytest.fixture
def no_cupy(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, package=None: None if name == "cupy" else find_spec(name, package)
    )


@pytest.fixture
def broken_cupy(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text('raise RuntimeError("libcudart.so.99 is missing\\nsee the manual")\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)


@pytest.fixture
def no_driver(monkeypatch):
    error = RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected\nmore")
    monkeypatch.setitem(sys.modules, "cupy", stand_in(error))


@pytest.fixture
def two_devices(monkeypatch):
    cupy = stand_in(2)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


@pytest.fixture
def cupy_without_gpu():
    """CuPy as it is installed here, if there is no GPU for it."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        count = 0
    if count:
        pytest.skip(f"there is a GPU here ({count} devices); the state without one cannot be seen")


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# Array namespaces


def test_numpy_arrays_and_plain_values_belong_to_numpy():
    assert array_namespace(np.zeros(2)) is np
    assert array_namespace(np.zeros(2), np.ones(1)) is np
    assert array_namespace() is np
    assert array_namespace([1.0], None, 2.0) is np


def test_cupy_arrays_belong_to_the_cupy_that_made_them(two_devices):
    assert array_namespace(StandInArray([1.0])) is two_devices
    assert array_namespace(StandInArray([1.0]), StandInArray([1.0], index=1), None, 3.0) is two_devices


def test_mixed_arrays_are_refused(two_devices):
    with pytest.raises(DataError, match="NumPy and CuPy arrays are mixed"):
        array_namespace(np.zeros(1), StandInArray([1.0]))


# The parameter device


def test_cpu_is_taken_without_a_look_at_cupy(broken_cupy):
    assert resolve_device("cpu") == Device("cpu")
    assert resolve_device("cpu").name == "cpu"
    assert "cupy" not in sys.modules


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:x", "cuda:", "cuda:-1", "cuda:1.0", "cuda:0:1", "CUDA", " cpu", "", "mps", 0, None]
)
def test_unknown_devices_are_refused_by_name(device, two_devices):
    with pytest.raises(DataError) as error:
        resolve_device(device)
    message = one_line(error)
    assert f"device={device!r}" in message
    assert "'auto', 'cpu', 'cuda' or 'cuda:N'" in message


@pytest.mark.parametrize(("device", "index"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)])
def test_devices_that_are_there_are_taken(device, index, two_devices):
    found = resolve_device(device, np.zeros((2, 2)))
    assert found == Device("cuda", index, "asked for")
    assert found.name == f"cuda:{index}"


@pytest.mark.parametrize(
    ("count", "device", "present"),
    [(2, "cuda:7", "only cuda:0 to cuda:1"), (1, "cuda:1", "only cuda:0"), (0, "cuda", "no device")],
)
def test_devices_that_are_not_there_are_refused(monkeypatch, count, device, present):
    monkeypatch.setitem(sys.modules, "cupy", stand_in(count))
    with pytest.raises(DeviceError) as error:
        resolve_device(device)
    message = one_line(error)
    assert f"device={device!r}" in message
    assert f"there is no device {'cuda:0' if device == 'cuda' else device}" in message
    assert f"this machine has {present}; or use device='cpu'" in message


def test_cuda_means_the_device_of_the_rows(two_devices):
    for rows in (StandInArray([1.0], index=1), dlpack_only.Tensor(np.zeros(1), kind=2, index=1)):
        assert resolve_device("cuda", rows) == Device("cuda", 1)
        assert resolve_device("cuda:1", rows) == Device("cuda", 1)
        assert resolve_device("cpu", rows) == Device("cpu")
        with pytest.raises(DeviceError) as error:
            resolve_device("cuda:0", rows)
        assert one_line(error) == (
            "device='cuda:0' cannot be used: X is on cuda:1; use device='auto', which fits it there, or bring X to "
            "cuda:0 first"
        )


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_without_cupy_an_explicit_device_says_what_to_install(no_cupy, device):
    with pytest.raises(DeviceError) as error:
        resolve_device(device)
    message = one_line(error)
    assert f"device={device!r} cannot be used: CuPy is not installed" in message
    assert "pip install 'gpu-logreg[cuda12]'" in message


def test_a_cupy_that_does_not_import_gives_its_own_reason(broken_cupy):
    with pytest.raises(DeviceError) as error:
        resolve_device("cuda")
    message = one_line(error)
    assert "CuPy is installed but cannot be imported (RuntimeError: libcudart.so.99 is missing)" in message
    assert "pip install 'gpu-logreg[cuda12]'" in message


def test_a_cupy_without_a_driver_gives_its_own_reason(no_driver):
    with pytest.raises(DeviceError) as error:
        resolve_device("cuda")
    message = one_line(error)
    assert "CuPy 14.0.0 is installed but finds no usable CUDA driver" in message
    assert "no CUDA-capable device is detected" in message
    assert "install or update the NVIDIA driver" in message
    assert "pip install" not in message


def test_cupy_installed_without_a_gpu_is_refused_with_the_reason(cupy_without_gpu):
    with pytest.raises(DeviceError) as error:
        resolve_device("cuda")
    message = one_line(error)
    assert "is installed but finds no usable CUDA driver" in message or "has no device" in message
    assert "device='cpu'" in message


def test_cupy_installed_without_a_gpu_leaves_auto_on_the_cpu(cupy_without_gpu):
    for X in (None, np.zeros((2, 2)), np.empty(AUTO_CUDA_BYTES, np.uint8)):
        assert resolve_device("auto", X).name == "cpu"
    reason = resolve_device("auto").reason
    assert reason.startswith("auto: ")
    assert "CUDA driver" in reason or "no device" in reason


# The automatic device


@pytest.mark.parametrize("state", ["no_cupy", "broken_cupy", "no_driver"])
@pytest.mark.parametrize("nbytes", [None, 0, 8, AUTO_CUDA_BYTES])
def test_auto_never_raises_and_gives_its_reason(request, state, nbytes):
    request.getfixturevalue(state)
    found = resolve_device("auto", None if nbytes is None else np.empty(nbytes, np.uint8))
    assert found.kind == "cpu"
    expected = {
        "no_cupy": "CuPy is not installed",
        "broken_cupy": "CuPy is installed but cannot be imported",
        "no_driver": "finds no usable CUDA driver",
    }[state]
    assert (expected if nbytes in (None, AUTO_CUDA_BYTES) else "the rows are few") in found.reason
    assert "\n" not in found.reason


def test_auto_sends_rows_to_a_gpu_from_its_threshold_on(two_devices):
    few, many = np.empty(AUTO_CUDA_BYTES - 1, np.uint8), np.empty(AUTO_CUDA_BYTES, np.uint8)
    assert resolve_device("auto", few).name == "cpu"
    assert resolve_device("auto", many).name == "cuda:0"
    assert "usable" in resolve_device("auto", many).reason


def test_auto_follows_rows_that_are_on_a_gpu(two_devices):
    for rows in (StandInArray([1.0], index=1), dlpack_only.Tensor(np.zeros(1), kind=2, index=1)):
        found = resolve_device("auto", rows)
        assert found.name == "cuda:1"
        assert found.reason == "auto: the rows are on this device"


# What is imported, and when


def test_importing_the_package_imports_no_library():
    code = "import sys, gpu_logreg; print([m for m in ('cupy', 'numba', 'sklearn') if m in sys.modules])"
    assert run_fresh(code) == "[]"


def test_a_small_fit_on_the_cpu_imports_neither_cupy_nor_numba():
    code = """
        import sys
        import numpy as np
        from gpu_logreg import LogisticRegression, loss_and_gradient
        X = np.array([[0.0], [1.0], [2.0], [3.0]])
        y = np.array([0, 1, 0, 1])
        model = LogisticRegression().fit(X, y)
        model.predict_proba(X)
        loss_and_gradient(X, y, np.zeros(1))
        print(model.device_, [m for m in ("cupy", "numba") if m in sys.modules])
    """
    assert run_fresh(code) == "cpu []"
