"""Columns brought to mean 0 and deviation 1."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gpu_logreg.rows.scaling import centre_scale_and_width, scale_columns


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "bool", "float32", "float64"])
def test_whole_numbers_are_not_rounded_to_whole_numbers(dtype, container):
    X = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (50, 3)).astype(dtype)
    centre, scale, _ = centre_scale_and_width(X)
    if container is not np.asarray:
        centre = np.zeros(3)  # as sparse columns are scaled
    scaled = scale_columns(container(X), centre, scale)
    assert scaled.dtype.kind == "f"
    dense = scaled if container is np.asarray else scaled.toarray()
    np.testing.assert_allclose(dense, (X.astype(float) - centre) / scale, rtol=1e-5, atol=1e-6)
