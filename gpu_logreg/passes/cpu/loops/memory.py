"""Memory for compiled loops, of the C library: Numba counts no references to it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

__all__ = ["flat", "release", "scratch", "zeros"]

_I64 = ir.IntType(64)


def _allocated(context: Any, builder: Any, kind: Any, length: Any, margin: Any, fill: bool) -> Any:
    """An array of the C library's memory, that begins at a cache line but for its margin."""
    item, pointer = _I64(kind.dtype.bitwidth // 8), ir.IntType(8).as_pointer()
    margin, size = builder.mul(margin, item), builder.mul(length, item)
    allocate = cgutils.get_or_insert_function(builder.module, ir.FunctionType(pointer, [_I64]), "malloc")
    memory = builder.call(allocate, [builder.add(builder.add(size, builder.shl(margin, _I64(1))), _I64(72))])
    start = builder.and_(builder.add(builder.ptrtoint(memory, _I64), _I64(72)), _I64(-64))
    start = builder.inttoptr(builder.add(start, margin), pointer)
    builder.store(memory, builder.bitcast(builder.gep(start, [_I64(-8)]), pointer.as_pointer()))
    if fill:
        cgutils.memset(builder, start, size, 0)
    array = context.make_array(kind)(context, builder)
    data = builder.bitcast(start, array.data.type)
    populate_array(array, data=data, shape=[length], strides=[item], itemsize=item, meminfo=None)
    return array._getvalue()


@intrinsic  # type: ignore[untyped-decorator]
def scratch(typing_context: Any, length: Any, like: Any, margin: Any) -> Any:
    """An uninitialised array of the dtype of ``like``, with ``margin`` elements of nobody before and behind it.

    A loop that reads labels and weights and writes logits is compiled twice, for vectors and for single elements, which
    add in another order. Which one runs is decided by the addresses: whether what is written may overlap what is read.
    The compiler asks about whole chunks, also where the last one is shorter. So labels that ended just before the
    logits gave other bits than the same labels elsewhere, and there the margin is twice the rows of a chunk.
    """
    del typing_context
    kind = types.Array(like.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _allocated(context, builder, kind, args[0], args[2], fill=False)

    return kind(types.int64, like, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def zeros(typing_context: Any, length: Any, like: Any) -> Any:
    """An array of zeros of the dtype of ``like``."""
    del typing_context
    kind = types.Array(like.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _allocated(context, builder, kind, args[0], _I64(0), fill=True)

    return kind(types.int64, like), codegen


@intrinsic  # type: ignore[untyped-decorator]
def release(typing_context: Any, array: Any) -> Any:
    """Give the memory of `scratch` or `zeros` back; ``array`` is the whole of it."""
    del typing_context

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        start = builder.bitcast(context.make_array(signature.args[0])(context, builder, args[0]).data, pointer)
        memory = builder.load(builder.bitcast(builder.gep(start, [_I64(-8)]), pointer.as_pointer()))
        free = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [pointer]), "free")
        builder.call(free, [memory])
        return context.get_dummy_value()

    return types.void(array), codegen


@intrinsic  # type: ignore[untyped-decorator]
def flat(typing_context: Any, array: Any) -> Any:
    """The elements of a C-ordered array as one of one dimension, in place."""
    del typing_context
    kind = types.Array(array.dtype, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, args[0])
        target = context.make_array(kind)(context, builder)
        populate_array(
            target,
            data=source.data,
            shape=[source.nitems],
            strides=[source.itemsize],
            itemsize=source.itemsize,
            meminfo=None,
        )
        return target._getvalue()

    return kind(array), codegen
