"""The entry of a compiled loop: machine code that takes the Python objects of a call, and says whether it fits them.

Numba's own wrapper needs Numba in memory to read an array. This one reads NumPy's object itself, whose fields have
their places by NumPy's binary interface, and needs nothing but Python. It is called with the tuple of the arguments and
the GIL, which it releases while the loop runs. It gives that tuple back, and does nothing, where an argument has
another type than the loop was compiled for.

An argument is described by a word: ``f8.2.C`` an array of float64 of two dimensions in C order (``F`` in Fortran's
order, ``A`` in neither), ``i`` and ``f`` a number, ``s`` a float32, ``t8`` a tuple of eight numbers, of which the
length alone counts, ``n`` None.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

__all__ = ["add_entry", "announce_symbols", "describe"]

_HEAD = object.__basicsize__
"""Bytes of the head of every Python object, before the fields of its type."""

_DATA, _N_DIM, _SHAPE, _STRIDES, _DTYPE, _FLAGS = (_HEAD + at for at in (0, 8, 16, 24, 40, 48))
_BYTE_ORDER, _NUMBER = _HEAD + 10, _HEAD + 12
_C_ORDER, _FORTRAN_ORDER, _ALIGNED = 0x1, 0x2, 0x100

_BYTE, _INT, _LONG, _DOUBLE = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()
_POINTER = _BYTE.as_pointer()

_FUNCTIONS = {
    "PyTuple_GetItem": (_POINTER, [_POINTER, _LONG]),
    "PyTuple_Size": (_LONG, [_POINTER]),
    "PyTuple_New": (_POINTER, [_LONG]),
    "PyTuple_SetItem": (_INT, [_POINTER, _LONG, _POINTER]),
    "PyType_IsSubtype": (_INT, [_POINTER, _POINTER]),
    "PyIndex_Check": (_INT, [_POINTER]),
    "PyLong_AsLongLong": (_LONG, [_POINTER]),
    "PyLong_FromLongLong": (_POINTER, [_LONG]),
    "PyBool_FromLong": (_POINTER, [_LONG]),
    "PyFloat_AsDouble": (_DOUBLE, [_POINTER]),
    "PyFloat_FromDouble": (_POINTER, [_DOUBLE]),
    "PyEval_SaveThread": (_POINTER, []),
    "PyEval_RestoreThread": (ir.VoidType(), [_POINTER]),
    "PyErr_SetString": (ir.VoidType(), [_POINTER, _POINTER]),
    "Py_IncRef": (ir.VoidType(), [_POINTER]),
}
_OBJECTS: dict[str, object] = {
    "ndarray": np.ndarray,
    "float": float,
    "float32": np.float32,
    "tuple": tuple,
    "none": None,
    "error": RuntimeError,
}


def announce_symbols() -> None:
    """Tell LLVM where the functions and objects are that entries refer to."""
    for name in _FUNCTIONS:
        llvm.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    for name, value in _OBJECTS.items():
        llvm.add_symbol(f"gpu_logreg_{name}", id(value))


def describe(value: Any) -> str:
    """The word for an argument; TypeError for one that no loop takes."""
    if isinstance(value, np.ndarray):
        flags, dtype = value.flags, value.dtype
        known = dtype.kind in "iub" or dtype.char in "fd"
        if known and dtype.isnative and flags.aligned:
            order = "C" if flags.c_contiguous else "F" if flags.f_contiguous else "A"
            return f"{dtype.kind}{dtype.itemsize}.{value.ndim}.{order}"
    elif value is None:
        return "n"
    elif isinstance(value, tuple):
        return f"t{len(value)}"
    elif isinstance(value, float):
        return "f"
    elif isinstance(value, np.float32):
        return "s"
    elif hasattr(value, "__index__"):
        return "i"
    kind = f"array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    raise TypeError(f"compiled loops take no {kind}")


def add_entry(name: str, library: Any, context: Any, function: Any, words: Sequence[str]) -> None:
    """Add the entry ``name`` of a function that Numba has compiled to its library.

    Parameters
    ----------
    library, context : of Numba
    function : Numba's description of the compiled function
    words : sequence of str
        Of its arguments.
    """
    module = library.create_ir_module(f"entry of {name}")
    entry = ir.Function(module, ir.FunctionType(_POINTER, [_POINTER]), name)
    code = _Entry(context, ir.IRBuilder(entry.append_basic_block("start")), entry)
    code.require(code.is_equal(code.call("PyTuple_Size", entry.args[0]), _LONG(len(words))))
    items = [code.call("PyTuple_GetItem", entry.args[0], _LONG(k)) for k in range(len(words))]
    for item, word in zip(items, words, strict=True):
        code.check(item, word)
    values = [code.unbox(item, kind) for item, kind in zip(items, function.argtypes, strict=True)]
    thread = code.call("PyEval_SaveThread")
    callee = context.declare_function(module, function)
    status, result = context.call_conv.call_function(code.builder, callee, function.restype, function.argtypes, values)
    code.call("PyEval_RestoreThread", thread)
    with code.builder.if_then(status.is_error, likely=False):
        code.fail(f"{name} has raised an error")  # no loop should
    code.builder.ret(code.box(result, function.restype))
    library.add_ir_module(module)


class _Entry:
    """Generates the instructions of one entry."""

    def __init__(self, context: Any, builder: Any, entry: Any) -> None:
        self.builder = builder
        self._context = context
        self._entry = entry
        start, self._refusal = builder.block, entry.append_basic_block("refusal")
        builder.position_at_end(self._refusal)
        self.call("Py_IncRef", entry.args[0])
        builder.ret(entry.args[0])
        builder.position_at_end(start)

    def call(self, name: str, *arguments: Any) -> Any:
        """Call a function of Python's."""
        result, kinds = _FUNCTIONS[name]
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(module, ir.FunctionType(result, kinds), name)
        return self.builder.call(function, arguments)

    def require(self, condition: Any) -> None:
        """Give the arguments back where the condition does not hold."""
        goes_on = self._entry.append_basic_block()
        self.builder.cbranch(condition, goes_on, self._refusal)
        self.builder.position_at_end(goes_on)

    def fail(self, message: str) -> None:
        """Raise RuntimeError."""
        text = self._context.insert_const_string(self.builder.module, message)
        self.call("PyErr_SetString", self._object("error"), text)
        self.builder.ret(ir.Constant(_POINTER, None))

    def is_equal(self, a: Any, b: Any) -> Any:
        """Whether two whole numbers are equal."""
        return self.builder.icmp_unsigned("==", a, b)

    def check(self, item: Any, word: str) -> None:
        """Require that an argument has the type of its word."""
        if word == "n":
            self.require(self.is_equal(item, self._object("none")))
        elif word == "i":
            self.require(self.builder.icmp_unsigned("!=", self.call("PyIndex_Check", item), _INT(0)))
            self.require(self.builder.icmp_unsigned("!=", self._type(item), self._object("ndarray")))
        elif word in "fs":
            self._require_type(item, "float" if word == "f" else "float32")
        elif word[0] == "t":
            self._require_type(item, "tuple")
            self.require(self.is_equal(self.call("PyTuple_Size", item), _LONG(int(word[1:]))))
        else:
            self._check_array(item, *word.split("."))

    def _check_array(self, item: Any, dtype: str, n_dim: str, order: str) -> None:
        self._require_type(item, "ndarray")
        self.require(self.is_equal(self._field(item, _N_DIM, _INT), _INT(int(n_dim))))
        found = self._field(item, _DTYPE, _POINTER)
        numbers = sorted({np.dtype(c).num for c in np.typecodes["All"] if np.dtype(c) == np.dtype(dtype)})
        number = self._field(found, _NUMBER, _INT)
        same = [self.is_equal(number, _INT(one)) for one in numbers]  # C has two names for one of its whole numbers
        self.require(same[0] if len(same) == 1 else self.builder.or_(*same))
        swapped = ">" if np.little_endian else "<"
        order_of_bytes = self._field(found, _BYTE_ORDER, _BYTE)
        self.require(self.builder.icmp_unsigned("!=", order_of_bytes, _BYTE(ord(swapped))))
        wanted = {"C": _C_ORDER, "F": _FORTRAN_ORDER, "A": 0}[order] | _ALIGNED
        mask = (_C_ORDER if order == "C" else _C_ORDER | _FORTRAN_ORDER) | _ALIGNED
        flags = self.builder.and_(self._field(item, _FLAGS, _INT), _INT(mask))
        self.require(self.is_equal(flags, _INT(wanted)))

    def unbox(self, item: Any, kind: Any) -> Any:
        """The value of an argument as Numba has it."""
        from numba.core import types
        from numba.np.arrayobj import populate_array

        if isinstance(kind, types.Array):
            array = self._context.make_array(kind)(self._context, self.builder)
            shape, strides = (
                self._field(item, _SHAPE, _LONG.as_pointer()),
                self._field(item, _STRIDES, _LONG.as_pointer()),
            )
            populate_array(
                array,
                data=self.builder.bitcast(self._field(item, _DATA, _POINTER), array.data.type),
                shape=[self._element(shape, k) for k in range(kind.ndim)],
                strides=[self._element(strides, k) for k in range(kind.ndim)],
                itemsize=_LONG(self._context.get_abi_sizeof(self._context.get_data_type(kind.dtype))),
                meminfo=None,
            )
            return array._getvalue()
        if isinstance(kind, types.Integer):
            return self.call("PyLong_AsLongLong", item)
        if isinstance(kind, types.Float):
            value = self.call("PyFloat_AsDouble", item)
            return value if kind == types.float64 else self.builder.fptrunc(value, ir.FloatType())
        return self._context.get_constant_null(kind)  # None, or a tuple of which the length alone counts

    def box(self, value: Any, kind: Any) -> Any:
        """The Python object of a result."""
        from numba import types

        if isinstance(kind, types.Float):
            wide = value if kind == types.float64 else self.builder.fpext(value, _DOUBLE)
            return self.call("PyFloat_FromDouble", wide)
        if isinstance(kind, types.Boolean):
            return self.call("PyBool_FromLong", self.builder.zext(value, _LONG))
        if isinstance(kind, types.Integer):
            return self.call("PyLong_FromLongLong", self._context.cast(self.builder, value, kind, types.int64))
        if isinstance(value.type, ir.BaseStructType | ir.ArrayType):  # a tuple
            boxed = self.call("PyTuple_New", _LONG(len(kind)))
            for k, one in enumerate(kind.types):
                element = self.box(self.builder.extract_value(value, k), one)
                self.call("PyTuple_SetItem", boxed, _LONG(k), element)
            return boxed
        nothing = self._object("none")
        self.call("Py_IncRef", nothing)
        return nothing

    def _require_type(self, item: Any, name: str) -> None:
        subtype = self.call("PyType_IsSubtype", self._type(item), self._object(name))
        self.require(self.builder.icmp_unsigned("!=", subtype, _INT(0)))

    def _type(self, item: Any) -> Any:
        return self._field(item, _HEAD - 8, _POINTER)

    def _object(self, name: str) -> Any:
        module, symbol = self.builder.module, f"gpu_logreg_{name}"
        return module.globals.get(symbol) or ir.GlobalVariable(module, _BYTE, symbol)

    def _field(self, item: Any, at: int, kind: Any) -> Any:
        place = self.builder.gep(item, [_LONG(at)])
        return self.builder.load(self.builder.bitcast(place, kind.as_pointer()))

    def _element(self, pointer: Any, k: int) -> Any:
        return self.builder.load(self.builder.gep(pointer, [_LONG(k)]))
