"""Mistakes of which a device would make a failure or wrong numbers, one of each kind, for ``test_stand_in_faults.py``.

A fault is a replacement in the text of a module of the package: its functions then run the changed code, wherever they
were imported. Add one when a new kind of mistake has been made.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    kind: str
    module: str
    old: str
    new: str
    scene: str
    seen: str
    """What the error says that it ends in."""


FAULTS = [
    Fault(
        "an unknown keyword",
        "arrays.checks",
        "float(weights.min())",
        "float(weights.min(initial=0.0))",
        "weights_there",
        "unexpected keyword argument 'initial'",
    ),
    Fault(
        "an argument too many",
        "estimators.labels",
        "xp.unique(typed)",
        "xp.unique(typed, False, False, False, None, 1)",
        "classes",
        "too many positional arguments",
    ),
    Fault(
        "a method that only NumPy has",
        "rows.upload",
        "    return on_device\n",
        "    return on_device.newbyteorder()\n",
        "weights",
        "no attribute 'newbyteorder'",
    ),
    Fault(
        "an attribute that only NumPy has",
        "passes.cuda.checks",
        "int(X.data.ptr)",
        "int(X.ctypes.data)",
        "weights",
        "no attribute 'ctypes'",
    ),
    Fault(
        "a flag that only NumPy has",
        "passes.cuda.checks",
        "array.flags.c_contiguous",
        "array.flags.carray",
        "weights",
        "no attribute 'carray'",
    ),
    Fault(
        "a function that only NumPy has",
        "mathematics.logistic",
        "xp.exp(-xp.abs(z))",
        "xp.exp(-xp.fabs(z) + 0 * xp.spacing(z))",
        "predict",
        "has no fabs",
    ),
    Fault(
        "NumPy's function of a device array",
        "mathematics.softmax",
        "xp.where(is_largest, 0, e)",
        "__import__('numpy').where(is_largest, 0, e)",
        "classes",
        "numpy.where on a CuPy array",
    ),
    Fault(
        "an implicit conversion",
        "arrays.device",
        "array.get() if is_cupy(array) else np.asarray(array)",
        "np.asarray(array)",
        "weights",
        "Implicit conversion to a NumPy array is not allowed",
    ),
    Fault(
        "a host array handed to a kernel",
        "passes.cuda.dense",
        "cupy.asarray(w, dtype=real)",
        "w.astype(real)",
        "weights",
        "a kernel was given a host array",
    ),
    Fault(
        "a host array beside device arrays",
        "rows.coordinates",
        "shift = xp.asarray(mean, dtype=dtype)",
        "shift = mean.astype(dtype)",
        "weights",
        "Unsupported type <class 'numpy.ndarray'>",
    ),
    Fault(
        "a promotion that does not happen",
        "passes.cuda.cublas",
        "cupy.asarray(w, dtype=X.dtype)",
        "cupy.asarray(w)",
        "cublas",
        "argument 0 is float64, not float32",
    ),
    Fault(
        "a type that a kernel does not take",
        "passes.cuda.dense",
        "np.int32(d)",
        "np.int64(d)",
        "weights",
        "argument 8 is int64, not int32",
    ),
    Fault(
        "out of the wrong type",
        "rows.coordinates",
        "xp.empty((m, d + int(fit_intercept)), dtype=dtype)",
        "xp.empty((m, d + int(fit_intercept)), dtype=np.int64)",
        "weights",
        "could not be coerced to provided output parameter (int64)",
    ),
    Fault(
        "out of the wrong shape",
        "rows.coordinates",
        "out=U[part, :d])",
        "out=U[part, :1])",
        "weights",
        "Out shape is mismatched",
    ),
    Fault(
        "sizes of a launch that are no tuple",
        "passes.cuda.dense",
        "kernels.first((blocks,),",
        "kernels.first([blocks],",
        "weights",
        "are a tuple, not list",
    ),
    Fault(
        "options that are no tuple",
        "passes.cuda.cublas",
        "options=options)",
        "options=list(options))",
        "cublas",
        "with a tuple of options",
    ),
    Fault(
        "a kernel that writes what nobody has allocated",
        "passes.cuda.dense",
        "cupy.empty((blocks, d + 2)",
        "cupy.empty((blocks, d + 1)",
        "weights",
        "wrote outside its array",
    ),
    Fault(
        "memory that nobody has written",
        "passes.cuda.steps_kernels",
        "cupy.zeros(self.n_batches * self.batch_rows",
        "cupy.empty(self.n_batches * self.batch_rows",
        "batches",
        "Not equal to tolerance",
    ),
    Fault(
        "a truth value of Python as a condition",
        "objectives.batches",
        "xp.where(xp.isfinite(params).all(), value, np.nan)",
        "xp.where(bool(xp.isfinite(params).all()), value, np.nan)",
        "batches",
        "'bool' object has no attribute 'astype'",
    ),
    Fault(
        "a loop over a device array",
        "mathematics.losses",
        "return to_numpy(z > 0).astype(np.intp)",
        "return np.array([float(value) > 0 for value in z])",
        "predict",
        "read one element at a time",
    ),
    Fault(
        "a factorisation that fails in silence",
        "arrays.cholesky",
        'errstate(linalg="raise")',
        'errstate(linalg="ignore")',
        "factor",
        "DID NOT RAISE",
    ),
    Fault(
        "a factorisation whose setting is forgotten",
        "arrays.cholesky",
        'errstate(linalg="raise")',
        "errstate()",
        "factor",
        "DID NOT RAISE",
    ),
    Fault(
        "a forgotten event",
        "rows.upload",
        "    stream.wait_event(allocated)\n",
        "",
        "upload",
        "nan location mismatch",
    ),
    Fault(
        "an event that is not recorded",
        "rows.upload",
        "    allocated.record()\n",
        "",
        "upload",
        "nan location mismatch",
    ),
    Fault(
        "a forgotten synchronisation",
        "rows.upload",
        "            stream.synchronize()  #",
        "            pass  #",
        "upload",
        "nan location mismatch",
    ),
    Fault(
        "a chunk filled while it is read",
        "rows.upload",
        "copied[turn].synchronize()",
        "pass",
        "upload",
        "Arrays are not equal",
    ),
    Fault(
        "an event of before the copy",
        "rows.upload",
        "copied[turn] = stream.record()",
        "copied[turn] = cupy.cuda.Event()",
        "upload",
        "Arrays are not equal",
    ),
    Fault(
        "no synchronisation where something fails",
        "rows.upload",
        "        finally:\n",
        "        except ZeroDivisionError:\n            raise\n        else:\n",
        "upload that fails",
        "was given back while a copy was under way",
    ),
    Fault(
        "work beside the device of the rows",
        "passes.cuda.dense",
        "    with X.device:\n",
        "    if True:\n",
        "second device",
        "cudaErrorIllegalAddress",
    ),
]
