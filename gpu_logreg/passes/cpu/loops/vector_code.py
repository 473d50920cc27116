"""How the operations of `vectors` are generated: with LLVM's vector types, of the length of their first argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["I64", "VectorCode", "operation"]

I64 = ir.IntType(64)


class VectorCode:
    """Generates the instructions of one operation: LLVM's builder, the arguments, and what several operations need."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self.arguments = arguments
        self._context = context
        self._types = signature.args
        self.length = len(signature.args[0])

    def element_type(self, k: int) -> Any:
        """Type of the elements of the k-th argument, an array."""
        return self._context.get_value_type(self._types[k].dtype)

    def pointer(self, k: int, at: Any) -> Any:
        """To element ``at`` of the k-th argument."""
        array = self._context.make_array(self._types[k])(self._context, self.builder, self.arguments[k])
        return self.builder.gep(array.data, [at])

    def load(self, pointer: Any, element: Any) -> Any:
        """A vector from memory, whose address need not be a multiple of more than 4 bytes.

        By itself LLVM assumes that the length of a vector divides its address, and the instruction that it takes then
        ends the process where it does not.
        """
        loaded = self.builder.load(self.builder.bitcast(pointer, self.vector(element).as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, value: Any, pointer: Any) -> None:
        """A vector into memory, whose address need not be a multiple of more than 4 bytes; see `load`."""
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer())).align = 4

    def vector(self, element: Any) -> Any:
        """The type of a vector."""
        return ir.VectorType(element, self.length)

    def spread(self, value: Any) -> Any:
        """A vector of equal elements."""
        empty = ir.Constant(self.vector(value.type), ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.IntType(32)(0))
        return self.builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), self.length), None))

    def converted(self, value: Any, k: int, element: Any) -> Any:
        """An element of the k-th argument, an array, as ``element``."""
        target = types.float32 if isinstance(element, ir.FloatType) else types.float64
        return self._context.cast(self.builder, value, self._types[k].dtype, target)

    def constant(self, element: Any, value: float) -> Any:
        """A vector of one constant."""
        return ir.Constant(self.vector(element), [ir.Constant(element, value)] * self.length)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """``a b + c``, in one instruction where the processor has it."""
        kind = ir.FunctionType(a.type, [a.type] * 3)
        element = "f32" if isinstance(a.type.element, ir.FloatType) else "f64"
        name = f"llvm.fmuladd.v{self.length}{element}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])

    def fold(self, value: Any, join: Callable[[Any, Any], Any]) -> Any:
        """All elements joined to one: the lower half with the upper, and so on. The order is fixed, and so the bits."""
        n = self.length
        while n > 1:
            n //= 2
            halves = [
                self.builder.shuffle_vector(
                    value,
                    ir.Constant(value.type, ir.Undefined),
                    ir.Constant(ir.VectorType(ir.IntType(32), n), [ir.IntType(32)(k + first) for k in range(n)]),
                )
                for first in (0, n)
            ]
            value = join(*halves)
        return self.builder.extract_element(value, ir.IntType(32)(0))


def operation(result: Any, generate: Callable[[VectorCode], Any], n_arguments: int) -> Any:
    """An intrinsic for compiled code, called with ``vector`` and ``n_arguments`` more.

    Parameters
    ----------
    result : Numba's type of what it returns; None: that of the elements of the first array
    generate : function
        Emits its instructions.
    n_arguments : int
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = generate(VectorCode(context, builder, signature, arguments))
        return context.get_dummy_value() if value is None else value

    def typed(arguments: Any) -> Any:
        wanted = arguments[1].dtype if result is None else result
        # Places and numbers of rows and columns have 64 bits, because the code generated above adds and multiplies them
        # with constants of 64 bits; Numba may have given an argument a narrower type.
        kinds = [types.int64 if isinstance(kind, types.Integer) else kind for kind in arguments]
        return wanted(*kinds), codegen

    names = ["vector", *(f"a{k}" for k in range(n_arguments))]
    scope: dict[str, Any] = {"typed": typed}
    exec(f"def operation(typing_context, {', '.join(names)}): return typed(({', '.join(names)},))", scope)
    return intrinsic(scope["operation"])
