"""CUDA text of gpu-logreg, read as package data; holds no Python."""
