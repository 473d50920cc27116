"""How Numba compiles the loops: each with the functions that it calls in one piece, and with its entry.

Numba makes machine code of every function by itself, optimises it for that, and optimises it once more where another
function takes it in. Of functions that are called by loops alone it is the first that is left out here: they are
typed and lowered, and what calls them takes them in as they are. That is about a third of the time of a compilation.

This goes by Numba's inner parts, which may change with any of its releases. With a release that is not among `KNOWN`
the loops are plain functions of `numba.njit`: right, but compiled in every process anew.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.compiler import Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.np.numpy_support import from_dtype

from gpu_logreg.arrays import entry_code

KNOWN = ("0.65", "0.67", "0.68")
"""Releases of Numba that have been tried: all tests with the last, some fits of each kind with the others."""

IS_KNOWN = numba.__version__.rpartition(".")[0] in KNOWN

__all__ = ["IS_KNOWN", "compiled", "decorator", "global_compiler_lock", "have_numba_ready"]


def decorator(**options: Any) -> Any:
    """`numba.njit` with NumPy's division by zero, for functions that only compiled functions call."""
    if not IS_KNOWN:
        del options["_nrt"]
        return numba.njit(nogil=True, error_model="numpy", **options)
    decorate = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)

    def of_function(function: Any) -> Any:
        dispatcher = decorate(function)
        dispatcher._compiler.compile = functools.partial(_of_callee, dispatcher)
        return dispatcher

    return of_function


def _of_callee(dispatcher: Any, kinds: tuple[Any, ...], result: Any) -> Any:
    """A function that another one calls, typed and lowered; no machine code."""
    # Numba knows a function by the object that calls it from Python, and wants one of C's. Nobody calls this one.
    found = _lowered(dispatcher, kinds)._replace(entry_point=object().__sizeof__)
    found.library.finalize = functools.partial(_linked, found.library)
    cpu_target.target_context.insert_user_function(found.entry_point, found.fndesc, [found.library])
    return found


def _linked(library: Any) -> None:
    """In the place of the library's own ``finalize``, which optimises the code and makes machine code of it."""
    library._raise_if_finalized()
    for other in dict.fromkeys(library._linking_libraries):
        library._final_module.link_in(other._get_module_for_linking(), preserve=True)
    library._finalized = True


def _lowered(dispatcher: Any, kinds: tuple[Any, ...]) -> Any:
    """Numba's result of a compilation that ends before any machine code."""
    flags = Flags()
    cpu_target.options.parse_as_flags(flags, dispatcher.targetoptions)
    flags.no_compile = True
    contexts = cpu_target.typing_context, cpu_target.target_context
    return compile_extra(*contexts, dispatcher.py_func, kinds, None, flags, {})


def have_numba_ready() -> None:
    """Have Numba tell LLVM of its functions; the locks of compilation are held."""
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def compiled(function: Any, name: str, words: Sequence[str]) -> tuple[Any, list[str]]:
    """The library of a function with its entry ``name``, and the symbols that its machine code refers to.

    Parameters
    ----------
    function : what `decorator` has made
    name : str
    words : sequence of str
        Of its arguments, by `gpu_logreg.arrays.entry_code.describe`.
    """
    found = _lowered(function, tuple(map(_numba_type, words)))
    library = found.library
    entry_code.add_entry(name, library, cpu_target.target_context, found.fndesc, words)
    library.finalize()
    symbols = [one.name for one in library._final_module.functions if one.is_declaration]
    return library, [symbol for symbol in symbols if not symbol.startswith("llvm.")]


def _numba_type(word: str) -> Any:
    """The type of an argument for Numba. Arrays are such that may be written to, whether they are or not."""
    if word in "nifs":
        return {"n": types.none, "i": types.int64, "f": types.float64, "s": types.float32}[word]
    if word[0] == "t":
        return types.UniTuple(types.int64, int(word[1:]))
    dtype, n_dim, order = word.split(".")
    return types.Array(from_dtype(np.dtype(dtype)), int(n_dim), order)
