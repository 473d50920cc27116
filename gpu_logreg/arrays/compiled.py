"""Loops compiled by Numba: called by their names, loaded from disk without Numba, compiled when first needed.

The import of Numba, and what it sets up for its first function, take about half a second, and the modules of the loops
import Numba. So the code that calls a loop does not import its module: it has a `Loop`, which is called as the function
is. The first call with arguments of some types looks for machine code on disk (`gpu_logreg.arrays.code_files`), which
LLVM alone can load. Where there is none, the module is imported, and Numba compiles the function for these types.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import threading
from collections.abc import Callable, Iterable
from typing import Any

import llvmlite.binding as llvm

from gpu_logreg.arrays import code_files, entry_code
from gpu_logreg.arrays.forks import wait_before_forks

__all__ = ["LIBERTIES", "Loop", "njit"]

LIBERTIES = frozenset({"contract", "nsz"})
"""Fast-math flags of every loop: the compiler may fuse products and sums, and ignore the sign of zeros.

The flags "nnan" and "ninf" are never given: with them the compiler may assume that no number is NaN or infinite, and a
NaN of a row has to reach the sums, where a fit notices it. Loops add "arcp" (division by a reciprocal), and "reassoc"
where a sum may be taken in another order, in vectors.
"""

_lock = threading.RLock()  # held while code is loaded or compiled
_engine: Any = None

wait_before_forks(_lock, lambda: None)


def njit(*, fastmath: Iterable[str] = (), counts: bool = False, **options: Any) -> Any:
    """`numba.njit` for the loops: with NumPy's division by zero, and nothing that is called from Python.

    A function is called from Python through a `Loop`, and from other loops as it is. Loops allocate no arrays but by
    `gpu_logreg.passes.cpu.loops.memory.scratch`. Numba ``counts`` no references then, which takes it a third less
    time, and leaves code that does not need Numba; products by BLAS need both.
    """
    from gpu_logreg.arrays.numba_compiler import decorator

    return decorator(fastmath=set(fastmath), _nrt=counts, **options)


class Loop:
    """A compiled function, by the names of its module and its own; called as the function is.

    Examples
    --------
    >>> import numpy as np
    >>> sum_moments = Loop("gpu_logreg.passes.cpu.loops.dense", "sum_moments")
    >>> sums = np.zeros((1, 4))
    >>> sum_moments(np.array([[1.0, 2.0], [3.0, 4.0]]), np.empty(0), 0, 2, 2, sums)
    >>> sums
    array([[ 4.,  6., 10., 20.]])
    """

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name
        self._entries: dict[tuple[str, ...], Callable[..., Any]] = {}
        self.n_loaded = 0

    def __call__(self, *arguments: Any) -> Any:
        """Call the function with the GIL released."""
        for entry in self._entries.values():
            result = entry(arguments)
            if result is not arguments:
                return result
        words = tuple(map(entry_code.describe, arguments))
        result = self._entry(words)(arguments)
        if result is arguments:
            raise TypeError(f"{self._name} is not compiled for its own arguments: {words}")
        return result

    def _entry(self, words: tuple[str, ...]) -> Callable[..., Any]:
        """The code for these arguments, loaded or compiled."""
        with _lock:
            entry = self._entries.get(words) or self._loaded(words)
        if entry is None:
            # A fork waits for imports, for Numba's lock and for ours, in this order.
            function = getattr(importlib.import_module(self._module), self._name)
            from gpu_logreg.arrays.numba_compiler import IS_KNOWN, global_compiler_lock, have_numba_ready

            if not IS_KNOWN:
                entry = functools.partial(_call, function)
        if entry is None:
            with global_compiler_lock, _lock:
                _started()
                have_numba_ready()
                entry = self._entries.get(words) or self._loaded(words) or self._compiled(function, words)
        with _lock:
            self._entries = {**self._entries, words: entry}  # a new one: another thread may be going through the old
        return entry

    def _key(self, words: tuple[str, ...]) -> list[Any]:
        return [self._name, self._module, list(words), list(code_files.processor())]

    def _loaded(self, words: tuple[str, ...]) -> Callable[..., Any] | None:
        found = code_files.load(self._key(words))
        if found is None:
            return None
        facts, code = found
        engine = _started()
        if not all(map(llvm.address_of_symbol, facts["symbols"])):
            return None  # functions that Numba brings, for BLAS; LLVM would end the process
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        self.n_loaded += 1
        return _callable(engine.get_function_address(facts["entry"]))

    def _compiled(self, function: Any, words: tuple[str, ...]) -> Callable[..., Any]:
        from gpu_logreg.arrays.numba_compiler import compiled

        name = f"gpu_logreg_{self._name}_{'_'.join(words).replace('.', '')}"
        library, symbols = compiled(function, name, words)
        code_files.save(self._key(words), {"entry": name, "symbols": symbols}, library._get_compiled_object())
        entry = _callable(library.get_pointer_to_function(name))
        entry.library = library  # type: ignore[attr-defined]
        return entry


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


def _callable(address: int) -> Callable[..., Any]:
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(address)


def _started() -> Any:
    """The engine that loads machine code; the lock is held."""
    global _engine
    if _engine is None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        entry_code.announce_symbols()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        _engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target.create_target_machine(jit=True))
    return _engine
