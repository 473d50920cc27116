"""The part of cuDF that an estimator sees of it, by its documentation, on the stand-in for CuPy.

Its DataFrame and Series refuse to become NumPy arrays by accident, hold text that CuPy has not, and have nulls, of
which they make NaN on their way to CuPy, or refuse to. Used while `fake_cupy.installed`.
"""

from __future__ import annotations

from typing import Any

import fake_cupy
import numpy as np
import pandas as pd

_TEXT = np.dtype(object)


class Series:
    def __init__(self, values: pd.Series, old: bool = False) -> None:
        self._values = values
        self._old = old

    @property
    def dtype(self) -> Any:
        dtype = self._values.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return dtype
        # Nulls are beside the values in cuDF, and the dtype does not tell of them.
        return getattr(dtype, "numpy_dtype", _TEXT) if not isinstance(dtype, np.dtype) else dtype

    @property
    def null_count(self) -> int:
        return (
            0 if isinstance(self._values.dtype, np.dtype) and self.dtype.kind == "f" else int(self._values.isna().sum())
        )

    def __len__(self) -> int:
        return len(self._values)

    def to_pandas(self) -> pd.Series:
        return self._values

    def to_cupy(self, dtype: Any = None, copy: bool = False, na_value: Any = None) -> Any:
        if getattr(self.dtype, "kind", "O") == "O":
            raise NotImplementedError(f"{self.dtype} cannot be exposed as an array")
        if self.null_count and (self._old or self.dtype.kind == "b"):
            raise ValueError("Column must have no nulls.")
        values = (
            self._values.to_numpy(np.float64, na_value=np.nan) if self.null_count else self._values.to_numpy(self.dtype)
        )
        return fake_cupy.asarray(values)

    @property
    def values(self) -> Any:
        return self.to_cupy()

    @property
    def __cuda_array_interface__(self) -> Any:
        if self.null_count:
            raise NotImplementedError("a masked column is not exposed")
        return {"shape": (len(self),), "typestr": self.dtype.str, "data": (0, False), "version": 1}

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a host NumPy array via __array__ is not allowed")

    def __iter__(self) -> Any:
        raise TypeError(f"{type(self).__name__} object is not iterable")


class DataFrame:
    """``old`` is how versions before 25 treat nulls."""

    def __init__(self, frame: pd.DataFrame, old: bool = False) -> None:
        self._frame = frame
        self._old = old

    @property
    def columns(self) -> pd.Index:
        return self._frame.columns

    @property
    def shape(self) -> tuple[int, int]:
        return self._frame.shape

    @property
    def dtypes(self) -> pd.Series:
        return self._frame.dtypes

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, name: Any) -> Series:
        return Series(self._frame[name], self._old)

    def head(self, n: int = 5) -> DataFrame:
        return DataFrame(self._frame.head(n), self._old)

    def to_pandas(self) -> pd.DataFrame:
        return self._frame

    def to_cupy(self, dtype: Any = None, copy: bool = False, na_value: Any = None) -> Any:
        columns = [fake_cupy.peek(self[name].to_cupy()) for name in self.columns]
        return fake_cupy.asarray(np.asfortranarray(np.stack(columns, axis=1)))

    @property
    def values(self) -> Any:
        return self.to_cupy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a host NumPy array via __array__ is not allowed")

    def __iter__(self) -> Any:
        return iter(self.columns)


for _kind in (Series, DataFrame):
    _kind.__module__ = "cudf"
