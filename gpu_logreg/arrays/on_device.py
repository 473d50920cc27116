"""Contexts for a fit or a prediction on a GPU: they give its memory back, and turn CUDA's errors into one line.

CuPy's pool keeps the memory of freed arrays for later allocations, and no other program can use it: after a fit on
20 GB the device would still show 20 GB in use. So a fit that ends, by an exception too, frees the blocks of the pool
if the pool has grown. Arrays that are still referred to keep their memory, and an allocator that is not CuPy's own is
left alone.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from gpu_logreg.arrays.device import INSTALL, Device, default_pool, import_cupy, is_cupy, one_line, using
from gpu_logreg.errors import DeviceError, GpuLogregError

__all__ = ["POOL_BYTES", "give_back_memory", "on_device", "one_line_errors"]

POOL_BYTES = 2**24
"""Most bytes by which a prediction may leave CuPy's pool larger than before, 16 MiB.

The next prediction uses them again: for few rows, to allocate and free them takes longer than the prediction itself. A
guess: not measured on a GPU.
"""

_CLEARED = ("gpu_logreg", "cupy", "cupyx")  # packages whose frames are cleared after an exception
_MOST_ELEMENTS = 1000  # of a container that is searched for arrays: a longer one holds data of the user
_OF_CUDA = ("cupy", "cupyx", "cupy_backends", "cuda")  # packages whose errors are those of the GPU


@contextlib.contextmanager
def on_device(
    device: Device,
    *,
    pool_growth: int = 0,
    less: str = "storage='float16', fewer rows",
    otherwise: str = "use device='cpu'",
) -> Iterator[None]:
    """Make ``device`` the current CUDA device within the block, with `give_back_memory` and `one_line_errors`.

    Afterwards the device that was current before is current again. On the CPU the block does nothing.

    Parameters
    ----------
    device : Device
    pool_growth : int
        As of `give_back_memory`.
    less, otherwise : str
        As of `one_line_errors`.
    """
    with one_line_errors(device, less, otherwise), using(device), give_back_memory(device, pool_growth):
        yield


@contextlib.contextmanager
def give_back_memory(device: Device, pool_growth: int = 0) -> Iterator[None]:
    """Free the memory by which CuPy's pools have grown within the block: of ``device``, and page-locked on the host.

    Only arrays that nothing refers to can be freed, so the block should call a function whose local variables the
    arrays are. After an exception, its traceback refers to the local variables of every function that it left, and a
    notebook keeps the traceback: so the frames of this package's and of CuPy's functions are cleared.

    Parameters
    ----------
    device : Device
        Nothing is done on the CPU.
    pool_growth : int
        Bytes by which the pool may have grown at the end without being freed.
    """
    if device.kind == "cpu":
        yield
        return
    before = _pool_bytes(device)
    try:
        yield
    except BaseException as error:
        _clear_frames(error)
        raise
    finally:
        with contextlib.suppress(Exception):  # a lost device fails here again, while its first error is raised
            grown = _pool_bytes(device) > before + pool_growth
            if grown:
                _free(device)
            if grown or not pool_growth:
                import_cupy().get_default_pinned_memory_pool().free_all_blocks()


def _pool_bytes(device: Device) -> int:
    """Bytes of the device that CuPy's pool holds, in use or not; 0 where CuPy does not allocate from it."""
    with using(device):
        pool = default_pool()
        return 0 if pool is None else int(pool.total_bytes())


def _free(device: Device) -> None:
    with using(device):
        import_cupy().get_default_memory_pool().free_all_blocks()


def _clear_frames(error: BaseException) -> None:
    """Clear the frames of this package and of CuPy in the tracebacks of ``error``, its causes and its contexts."""
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
            if _is_of(_CLEARED, str(frame.f_globals.get("__name__"))):
                with contextlib.suppress(RuntimeError):  # the function still runs
                    frame.clear()
                    functions += [held for held in gc.get_referents(frame) if isinstance(held, FunctionType)]
    _drop_arrays(functions)


def _drop_arrays(waiting: list[Any]) -> None:
    """Drop CuPy arrays from the closures of functions, which outlive the frame that defined them."""
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
                with contextlib.suppress(ValueError):  # the cell is empty
                    if _holds_array(cell.cell_contents):
                        cell.cell_contents = None
                    waiting.append(cell.cell_contents)
        elif isinstance(holder, partial):
            waiting += [holder.func, *holder.args, *holder.keywords.values()]
        elif isinstance(holder, dict | list | tuple):
            waiting += _elements(holder)
        elif _is_of(_CLEARED[:1], type(holder).__module__) and not hasattr(holder, "get_params"):  # no estimator
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
    """Elements of a dict, list or tuple; none of one that has more than `_MOST_ELEMENTS`."""
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
        The remedy that takes less memory, for the message.
    otherwise : str
        The remedy without the device, for the message.
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
    """Whether an allocator of the user is out of memory: RMM's raises MemoryError itself, NumPy a subclass."""
    return type(error) is MemoryError and default_pool() is None
