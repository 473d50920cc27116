"""Passes and steps on the CPU, compiled by Numba."""
