"""Walks over rows on a GPU: CuPy, cuBLAS and the kernels of the project."""
