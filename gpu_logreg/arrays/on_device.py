"""Contexts for a fit or a prediction on a GPU: they give its memory back, and turn CUDA's errors into one line.

CuPy's pool keeps the memory of freed arrays for later ones, and no other program on the device can use it: after a fit
on 20 GB they would stay taken. So the memory by which the pool has grown is freed when the fit ends, by an exception
too. Arrays that are still in use are not touched, nor is an allocator that is not CuPy's own.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from types import FunctionType, MethodType
from typing import Any

from gpu_logreg.arrays.device import INSTALL, Device, default_pool, import_cupy, is_cupy, one_line, using
from gpu_logreg.errors import DeviceError, GpuLogregError

__all__ = ["KEPT_BYTES", "given_back", "on_device", "one_line_errors"]

KEPT_BYTES = 2**24
"""Most bytes that a prediction on a GPU may leave in CuPy's pool for the next one, 16 MiB.

Allocating and freeing them takes longer than a prediction for few rows. A guess: not measured on a GPU.
"""

_OURS = ("gpu_logreg", "cupy", "cupyx")  # packages whose functions' variables are emptied after an exception
_MOST_ELEMENTS = 1000  # of a container that is searched for arrays: a longer one is somebody's data
_OF_CUDA = ("cupy", "cupyx", "cupy_backends", "cuda")  # packages whose errors are those of the GPU


@contextlib.contextmanager
def on_device(
    device: Device,
    *,
    kept: int = 0,
    less: str = "storage='float16', fewer rows",
    otherwise: str = "use device='cpu'",
) -> Iterator[None]:
    """Make ``device`` the current one within the block, with `given_back` and `one_line_errors`; nothing on the CPU.

    Afterwards the device that was the current one is so again.

    Parameters
    ----------
    device : Device
    kept : int
        As of `given_back`.
    less, otherwise : str
        As of `one_line_errors`.
    """
    with one_line_errors(device, less, otherwise), using(device), given_back(device, kept):
        yield


@contextlib.contextmanager
def given_back(device: Device, kept: int = 0) -> Iterator[None]:
    """Give back the memory that CuPy's pools have grown by within the block, on ``device`` and page-locked on the host.

    Arrays that are still in use stay, so that the block should call a function whose variables they are: these end with
    it. After an exception its traceback refers to the variables of every function that was left, and a notebook keeps
    the traceback: the variables of this package's functions, and of CuPy's, are emptied.

    Parameters
    ----------
    device : Device
        Nothing is done on the CPU.
    kept : int
        Bytes of growth that may stay.
    """
    if device.kind == "cpu":
        yield
        return
    before = _held(device)
    try:
        yield
    except BaseException as error:
        _empty_variables(error)
        raise
    finally:
        with contextlib.suppress(Exception):  # a lost device fails here again; its first error is being raised
            grown = _held(device) > before + kept
            if grown:
                _free(device)
            if grown or not kept:
                import_cupy().get_default_pinned_memory_pool().free_all_blocks()


def _held(device: Device) -> int:
    """Bytes of the device in CuPy's pool, used and not; 0 where arrays are not made in it."""
    with using(device):
        pool = default_pool()
        return 0 if pool is None else int(pool.total_bytes())


def _free(device: Device) -> None:
    with using(device):
        import_cupy().get_default_memory_pool().free_all_blocks()


def _empty_variables(error: BaseException) -> None:
    """Empty the variables of functions of ours and of CuPy's that ``error``, or what led to it, was raised through."""
    seen: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    functions: list[Any] = []
    while waiting:
        known = waiting.pop()
        if known is None or id(known) in seen:
            continue
        seen[id(known)] = known
        waiting += [known.__cause__, known.__context__]
        step = known.__traceback__
        while step is not None:
            frame, step = step.tb_frame, step.tb_next
            if _is_of(_OURS, str(frame.f_globals.get("__name__"))):
                with contextlib.suppress(RuntimeError):  # a function that has not ended
                    frame.clear()
                    functions += [held for held in gc.get_referents(frame) if isinstance(held, FunctionType)]
    _drop_arrays(functions)


def _drop_arrays(waiting: list[Any]) -> None:
    """Drop arrays of a GPU from the closures of functions, which live on when the variables of a frame are emptied."""
    seen: dict[int, Any] = {}
    while waiting:
        holder = waiting.pop()
        if id(holder) in seen:
            continue
        seen[id(holder)] = holder
        if isinstance(holder, MethodType):
            waiting += [holder.__self__, holder.__func__]
        elif isinstance(holder, FunctionType):
            for cell in holder.__closure__ or ():
                with contextlib.suppress(ValueError):  # of a variable that has no value
                    if _holds_array(cell.cell_contents):
                        cell.cell_contents = None
                    waiting.append(cell.cell_contents)
        elif isinstance(holder, dict | list | tuple):
            waiting += _elements(holder)
        elif _is_of(_OURS[:1], type(holder).__module__) and not hasattr(holder, "get_params"):  # no estimator
            held = getattr(holder, "__dict__", {})
            held.update({name: None for name, value in held.items() if _holds_array(value)})
            waiting += held.values()


def _holds_array(value: Any) -> bool:
    """Whether ``value`` is an array of CuPy's, or one of several that are."""
    if isinstance(value, dict | list | tuple):
        return any(map(_is_array, _elements(value)))
    return _is_array(value)


def _is_array(value: Any) -> bool:
    return is_cupy(value) and hasattr(value, "nbytes")  # a kernel is CuPy's too


def _elements(holder: Any) -> list[Any]:
    """Elements of a dict, list or tuple; none where it has more than `_MOST_ELEMENTS`."""
    return [] if len(holder) > _MOST_ELEMENTS else [*(holder.values() if isinstance(holder, dict) else holder)]


def _is_of(packages: tuple[str, ...], module: str) -> bool:
    return module.split(".", 1)[0] in packages


@contextlib.contextmanager
def one_line_errors(device: Device, less: str, otherwise: str) -> Iterator[None]:
    """Raise errors of CuPy and of the GPU within the block as a `DeviceError` of one line, with a remedy.

    Parameters
    ----------
    device : Device
    less : str
        What takes less memory.
    otherwise : str
        What to do without the device.
    """
    try:
        yield
    except Exception as error:
        problem = _problem_of(error, device, less, otherwise)
        if problem is None:
            raise
        raise DeviceError(problem) from error


def _problem_of(error: Exception, device: Device, less: str, otherwise: str) -> str | None:
    if device.kind == "cpu" or isinstance(error, GpuLogregError):
        return None
    kind, said = type(error).__name__, one_line(error)
    of_cuda = any(_is_of(_OF_CUDA, kind.__module__) for kind in type(error).__mro__)
    if (of_cuda and kind == "OutOfMemoryError") or _is_of_another_allocator(error):
        return f"{device.name} ran out of memory ({said}); use {less}, or {otherwise}"
    if kind in ("CompileException", "DynamicLibNotFoundError") and of_cuda:
        return f"the kernels cannot be compiled ({said}); {INSTALL}"
    if isinstance(error, ImportError) and _is_of(_OF_CUDA, error.name or ""):
        return f"a library of CUDA cannot be loaded ({said}); {INSTALL}"
    if not of_cuda:
        return None
    return f"{device.name} failed ({said}); if it is lost, start a new process, or {otherwise}"


def _is_of_another_allocator(error: Any) -> bool:
    """Whether an allocator of the user's is out of memory: RMM's raises MemoryError itself, NumPy a subclass of it."""
    return type(error) is MemoryError and default_pool() is None
