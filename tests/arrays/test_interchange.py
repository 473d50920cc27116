"""Arrays of other libraries, brought in without a copy and back out in their own kind."""

from __future__ import annotations

import importlib.util
import sys

import dlpack_only
import numpy as np
import pytest
from stand_in_cupy import StandInArray, stand_in

from gpu_logreg.arrays.device import Device, to_device, to_numpy, using
from gpu_logreg.arrays.interchange import as_array, like
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
def two_devices(monkeypatch):
    cupy = stand_in(2)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


def test_as_array_views_dlpack_arrays_without_a_copy():
    held = np.arange(6.0).reshape(2, 3)
    seen = as_array(dlpack_only.Tensor(held))
    assert type(seen) is np.ndarray
    assert np.shares_memory(seen, held)
    np.testing.assert_array_equal(seen, held)


def test_as_array_leaves_alone_what_others_validate():
    for value in (np.zeros(2), [1.0, 2.0], None, "text", StandInArray([1.0])):
        assert as_array(value) is value


def test_as_array_takes_an_array_out_of_its_graph():
    held = np.arange(3.0)
    assert np.shares_memory(as_array(dlpack_only.GraphTensor(held)), held)


@pytest.mark.parametrize("kind", [2, 13])
def test_as_array_reads_cuda_arrays_through_cupy(two_devices, kind):
    seen = as_array(dlpack_only.Tensor(np.arange(3.0), kind=kind, index=1))
    assert isinstance(seen, StandInArray)
    assert seen.device.id == 1


def test_as_array_of_a_cuda_array_without_cupy_says_what_to_install(no_cupy):
    with pytest.raises(DeviceError, match="CuPy is not installed; install it with"):
        as_array(dlpack_only.Tensor(np.arange(3.0), kind=2))


def test_as_array_refuses_devices_it_cannot_read():
    with pytest.raises(DataError, match="DLPack device 8 "):
        as_array(dlpack_only.Tensor(np.arange(3.0), kind=8))


@pytest.mark.parametrize("values", [[1.5, 2.5], [1, 2], [True, False]])
def test_like_returns_results_in_the_library_of_the_input(values):
    result = np.array(values)
    back = like(result, dlpack_only.Tensor(np.zeros(1)))
    assert type(back) is dlpack_only.Tensor
    assert back.held.dtype == result.dtype
    np.testing.assert_array_equal(back.held, result)


def test_like_returns_numpy_for_numpy_for_lists_and_for_strings():
    result = np.zeros(2)
    for template in (np.zeros(1), [1.0], None):
        assert like(result, template) is result
    text = np.array(["a", "b"])
    assert like(text, dlpack_only.Tensor(np.zeros(1))) is text


def test_like_returns_numpy_where_the_library_cannot_import():
    result = np.zeros(2)
    assert like(result, dlpack_only.SilentTensor(np.zeros(1))) is result


def test_moving_arrays(two_devices):
    host, device = np.arange(3.0), StandInArray([1.0, 2.0])
    assert to_device(None, Device("cuda")) is None
    assert to_device(host, Device("cpu")) is host
    assert to_device(host, Device("cuda", 1)).device.id == 1
    assert type(to_device(device, Device("cpu"))) is np.ndarray
    assert to_numpy(host) is host
    np.testing.assert_array_equal(to_numpy(device), [1.0, 2.0])


def test_a_cpu_block_imports_nothing(broken_cupy):
    with using(Device("cpu")):
        assert "cupy" not in sys.modules


def test_a_cuda_block_enters_its_device(two_devices):
    with using(Device("cuda", 1)):
        assert two_devices.entered == [1]
