"""Walks over rows on the CPU, compiled by Numba."""
